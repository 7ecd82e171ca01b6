"""Giving repositories to workers, and taking up what they say, in order; what a lost worker had is given to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field
from typing import Any

from nograd_lint.executors import ExecutorError, Pool, worker_died
from nograd_lint.scan.repositories import Repositories, Repository
from nograd_lint.scan.work import Outcome, lint

_PART = 6_000_000  # bytes of Python: a larger repository is the work of several
_AHEAD = 2  # for each worker: nobody waits for the next one
_PATIENCE = 0.2  # seconds between two signs of life
_LOOK = 50  # of them between two looks whether anybody is left
_TRIES = 3
_DIED = "every worker that worked on it died; it may need more memory"


@dataclass
class _Known:
    """What there is of a repository so far."""

    repository: Repository
    shared: Any
    missing: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        parts = [self.outcomes[number] for number in sorted(self.outcomes)]
        problems = [problem for part in parts for problem in part.problems]
        return Outcome(
            sum(part.files for part in parts),
            tuple(record for part in parts for record in part.records),
            (*self.repository.problems, *dict.fromkeys(problems)),
        )


@dataclass(eq=False)
class _Task:
    number: int
    part: int
    parts: int
    tries: int = 0


def scan(
    repositories: Repositories, options: Mapping[str, Any], pool: Pool, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, Outcome]]:
    """Names and outcomes of repositories, in their order.

    Raises:
        ExecutorError: the workers can't do the work at all.
        SourceError: the repositories can't be read any further.
    """
    yield from _Scan(repositories, options, pool, progress).run()


class _Scan:
    def __init__(
        self,
        repositories: Repositories,
        options: Mapping[str, Any],
        pool: Pool,
        progress: Callable[[int, int], None],
    ) -> None:
        from nograd_lint.linter import signature

        self.count, self.each = repositories
        self.options = dict(options)
        self.pool = pool
        self.progress = progress
        self.signature = signature()
        self.known: dict[int, _Known] = {}
        self.running: dict[Future[Outcome], _Task] = {}
        self.waiting: deque[_Task] = deque()
        self.again: deque[_Task] = deque()  # one of them may be what kills workers: each is alone
        self.begun = self.told = self.done = 0

    def run(self) -> Iterator[tuple[str, Outcome]]:
        idle = 0
        try:
            while self._fill():
                finished, _ = wait(self.running, _PATIENCE, FIRST_COMPLETED)
                for future in finished:
                    task = self.running.pop(future, None)
                    if task is not None:
                        self._settle(task, future)
                self.progress(self.done, self.count)
                while self.told in self.known and not self.known[self.told].missing:
                    known = self.known.pop(self.told)
                    self.told += 1
                    yield known.repository.name, known.outcome()
                idle = 0 if finished else idle + 1
                if idle % _LOOK == _LOOK - 1:
                    self.pool.check()
        finally:
            for future in self.running:
                future.cancel()

    def _fill(self) -> bool:
        """Give out work; whether there was any left."""
        alone = self.again or any(task.tries for task in self.running.values())
        while len(self.running) < (1 if alone or self.again else self.pool.width * _AHEAD):
            task = self._next()
            if task is None:
                break
            known = self.known[task.number]
            try:
                future = self.pool.submit(lint, self.signature, known.shared, self.options, task.part, task.parts)
            except BrokenExecutor:
                self._broken(task)
                continue
            self.running[future] = task
            if task.tries:
                break
        return bool(self.running)

    def _next(self) -> _Task | None:
        if self.again:
            return self.again.popleft() if not self.running else None
        if not self.waiting:
            repository = next(self.each, None)
            if repository is None:
                return None
            parts = -(-repository.size // _PART) or 1
            place = repository.place
            shared = self.pool.share(place) if isinstance(place, bytes) and parts > 1 else place
            self.known[self.begun] = _Known(repository._replace(place=""), shared, parts)
            self.waiting += [_Task(self.begun, part, parts) for part in range(1, parts + 1)]
            self.begun += 1
        return self.waiting.popleft()

    def _settle(self, task: _Task, future: Future[Outcome]) -> None:
        try:
            self._take(task, future.result())
        except BrokenExecutor:
            self._broken(task)
        except CancelledError:
            self._retry(task)
        except ExecutorError:
            raise
        except Exception as error:
            message = _DIED if worker_died(error) else f"internal error: {type(error).__name__}: {_one_line(error)}"
            self._take(task, Outcome(problems=(("", message),)))

    def _broken(self, task: _Task) -> None:
        lost = [task, *self.running.values()]  # which of them killed a worker can't be told
        self.running.clear()
        self.pool.renew()
        for one in lost:
            self._retry(one)

    def _retry(self, task: _Task) -> None:
        task.tries += 1
        if task.tries < _TRIES:
            self.again.append(task)
        else:
            self._take(task, Outcome(problems=(("", _DIED),)))

    def _take(self, task: _Task, outcome: Outcome) -> None:
        known = self.known[task.number]
        known.outcomes[task.part] = outcome
        known.missing -= 1
        self.done += not known.missing


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
