"""Where work is done that is not done here: processes of this machine, or a Dask cluster.

Both are used through :class:`concurrent.futures.Executor`, and so could be any other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
_DIFFERS = (
    "has another version of nograd-lint, Python, libcst or tree-sitter than there is here: install the same everywhere"
)
_CONNECT = 10  # seconds to reach a scheduler
_WORKERS = 30  # seconds for its first worker to come


class ExecutorError(Exception):
    """An executor that can't do the work; ``str()`` is one line that says why."""


class Pool:
    """An executor and what has to be known of it. Closing it ends whatever it still does.

    Args:
        executor: does the work.
        width: how much of it at once.
    """

    def __init__(self, executor: Executor, width: int) -> None:
        self.executor = executor
        self._width = width
        self.lost: list[str] = []  # why work was not done by it, each a line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def width(self) -> int:
        return self._width

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        return self.executor.submit(function, *args)

    def share(self, data: bytes) -> Any:
        """Give the same to many pieces of work: what this returns arrives there as ``data``."""
        return data

    def renew(self) -> None:
        """A worker died, and took the executor with it."""

    def check(self) -> None:
        """Raise :class:`ExecutorError` where waiting is of no use any more."""

    def close(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)


class Processes(Pool):
    """Processes of this machine. They start afresh: who forks while threads run may wait forever."""

    def __init__(self, jobs: int) -> None:
        self._others = multiprocessing.active_children()
        self._scratch = tempfile.TemporaryDirectory(prefix="nograd-lint-", ignore_cleanup_errors=True)
        super().__init__(self._start(jobs), jobs)

    def _start(self, jobs: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(self._scratch.name,))

    def renew(self) -> None:
        self._end()
        self.executor = self._start(self._width)

    def _end(self) -> None:
        super().close()
        for process in multiprocessing.active_children():
            if process not in self._others:
                process.kill()
                process.join()

    def close(self) -> None:
        self._end()
        self._scratch.cleanup()


def _begin(scratch: str) -> None:
    """What is killed can't clean up: its files lie where the parent does. Ctrl-C is the parent's to see."""
    tempfile.tempdir = scratch
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without it there is nobody to work for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Dask(Pool):
    """The workers of a Dask cluster. What one leaves behind when it dies, the scheduler gives to another.

    Raises:
        ModuleNotFoundError: distributed is not installed.
        ExecutorError: there is no scheduler, or it has no workers.
    """

    def __init__(self, scheduler: str) -> None:
        import logging
        import re

        import dask
        from distributed import Client

        for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is told in one line
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"})
        self._address = scheduler
        if not re.fullmatch(r"(?:\w+://)?[^\s/]+:\d+", scheduler):  # a client that can't read it does not end
            raise ExecutorError(f"{scheduler} is no address of a Dask scheduler, such as tcp://host:8786")
        try:
            self._client = Client(scheduler, timeout=_CONNECT, set_as_default=False)
        except OSError as error:
            raise ExecutorError(f"no Dask scheduler at {scheduler}: {_reason(error)}") from None
        try:
            self._client.wait_for_workers(1, timeout=_WORKERS)
        except TimeoutError:
            self._client.close()
            raise ExecutorError(f"the Dask cluster at {scheduler} has no workers") from None
        super().__init__(self._client.get_executor(pure=False), 1)
        try:
            self._compare()
        except ExecutorError:
            self.close()
            raise

    def _compare(self) -> None:
        """Whether everybody has what is here. Who lacks it altogether may die of the first piece of work."""
        from nograd_lint.linter import signature

        def theirs() -> bytes | None:  # sent as it stands, being nobody's that could be imported
            try:
                from nograd_lint.linter import signature

                return signature()
            except ImportError:
                return None

        found = {"the scheduler": self._client.run_on_scheduler(theirs)}
        found.update((f"the worker at {address}", answer) for address, answer in self._client.run(theirs).items())
        for who, answer in found.items():
            if answer is None:
                raise ExecutorError(f"{who} has no nograd-lint: install it there, too, in the same version")
            if answer != signature():
                raise ExecutorError(f"{who} {_DIFFERS}")

    @property
    def width(self) -> int:
        """The workers of now: they come and go. Each has one interpreter, whatever threads it has."""
        return max(len(self._threads()), 1)

    def share(self, data: bytes) -> Any:
        # A task and no copy on a worker: it is made again if the worker that has it dies.
        return self._client.submit(_same, data, pure=False)

    def check(self) -> None:
        if not self._threads():
            try:
                self._client.wait_for_workers(1, timeout=_WORKERS)
            except TimeoutError:
                raise ExecutorError(f"no worker of the Dask cluster at {self._address} is left") from None

    def _threads(self) -> dict[str, int]:
        try:
            found: dict[str, int] = self._client.nthreads()
        except (OSError, TimeoutError) as error:
            raise ExecutorError(f"the Dask scheduler at {self._address} is gone: {_reason(error)}") from None
        return found

    def close(self) -> None:
        self.executor.shutdown(wait=False)
        self._client.close(timeout=1)


def _same(data: bytes) -> bytes:
    return data


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- in a worker ------------------------------------------------------------------------------------------------------

# One piece of work at a time in a process: threads would take turns, and pay with memory for it.
ALONE = threading.RLock()


def same_here(signature: bytes) -> None:
    """Refuse to work for another version: its results would be others.

    Raises:
        ExecutorError: naming this machine.
    """
    from nograd_lint.linter import signature as own

    if signature != own():
        raise ExecutorError(f"the worker on {socket.gethostname()} {_DIFFERS}")


def worker_died(error: BaseException) -> bool:
    """Whether the work kills whoever does it, as far as can be told."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
