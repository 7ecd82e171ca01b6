"""The pipeline from files to diagnostics: the one entry point of every front end.

screen → outline → libcst of candidate units → facts → summaries → rules → suppressions → baseline
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nograd_lint.config import Resolver, Root
from nograd_lint.diagnostics import Evidence, FileResult
from nograd_lint.linter import Linter
from nograd_lint.settings import Settings

if TYPE_CHECKING:
    from nograd_lint.executors import Pool
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.rules._base import Rule

_MANY = 200  # projects of one file: some 30 MB


class Engine:
    """Lints files of one or more projects.

    An engine may live long: it remembers what it knows of a project, and looks only at what has changed since.

    Args:
        settings: what holds where no configuration file says otherwise.
        root: what filenames in results are relative to.
        resolver: finds roots and configurations; one that reads configuration files where not given.
        use_cache: reuse results of earlier runs, and keep those of this one.
    """

    def __init__(
        self, settings: Settings, root: Path, *, resolver: Resolver | None = None, use_cache: bool = True
    ) -> None:
        from nograd_lint.rules.registry import all_rules

        self.settings = settings
        self.root = root
        self.rules: Mapping[str, Rule] = all_rules()
        self.resolver = resolver or Resolver({c: (r.name, r.default) for c, r in self.rules.items()})
        self.optional = frozenset(code for code, rule in self.rules.items() if not rule.default)
        self.knowledge: dict[Hashable, Knowledge] = {}  # of projects that are configured alike
        self.use_cache = use_cache
        self._linters: dict[Root, Linter] = {}
        self._contents: dict[Path, bytes] = {}
        self.told = False  # of changes: see :meth:`update`
        self._look = False
        self._dropped = 0

    def update(self, path: Path, content: bytes | None) -> None:
        """A file has another content: the one given, or (None) what is on disk now, if it is there at all.

        From the first call on the engine looks at the files that it was told about alone: for editors, which are told
        of every change.
        """
        self.told = True
        linter = self._linters.get(self.resolver.root(path))
        if linter is not None:
            linter.touched.add(path)
        if content is None:
            self._contents.pop(path, None)
        else:
            self._contents[path] = content

    def look(self) -> None:
        """Look at every file the next time, whatever :meth:`update` was told."""
        self._look = True

    def check(
        self,
        files: Sequence[Path],
        *,
        contents: Mapping[Path, bytes] | None = None,
        progress: Callable[[int, int], None] | None = None,
        jobs: int = 1,
        pool: Pool | None = None,
    ) -> list[FileResult]:
        """Lint files (absolute paths); ``contents`` stand for what is on disk. Results are in the order of ``files``.

        With ``jobs`` above 1, work that is large enough is spread over that many processes; with ``pool``, over that.
        """
        with _without_garbage_collection():
            ordered = self._check(files, {**self._contents, **(contents or {})}, progress, jobs, pool)
        if self.settings.baseline:
            from nograd_lint import baseline

            ordered = baseline.apply(baseline.read(self.root / self.settings.baseline), ordered)
        return ordered

    def _check(
        self,
        files: Sequence[Path],
        contents: dict[Path, bytes],
        progress: Callable[[int, int], None] | None,
        jobs: int,
        pool: Pool | None,
    ) -> list[FileResult]:
        groups: dict[Root, list[Path]] = {}
        for file in files:
            groups.setdefault(self.resolver.root(file), []).append(file)
        results: dict[Path, FileResult] = {}
        most = 0

        def tell(done: int) -> None:
            nonlocal most
            if progress is not None and done >= most:
                most = done
                progress(done, len(files))

        if pool is not None:
            from nograd_lint import remote

            remote.judge([(self._synced(*group, contents), group[1]) for group in groups.items()], pool, tell)
        for root, members in groups.items():
            linter = self._linters[root] if pool is not None else self._synced(root, members, contents)
            if jobs > 1 and pool is None:
                from nograd_lint import parallel

                parallel.judge(linter, members, jobs, partial(_tell_more, tell, len(results)))
            for file in members:
                results[file] = linter.check(file)
                tell(len(results))
            self._done(linter)
            if root.alone is not None and not self.told:
                self._drop(root)
        self._look = False
        return [results[file] for file in files]

    def silence(self, file: Path, row: int) -> list[tuple[str, tuple[Evidence, ...]]]:
        """Why the analysis is silent about a row of a file: reasons, each with the places that it rests on."""
        linter = self._synced(self.resolver.root(file), [file], self._contents)
        found = linter.silence(file, row)
        self._done(linter)
        return found

    def keep(self) -> None:
        """Keep what is known for the next run. :meth:`check` does so, but not for who is told of every keystroke."""
        for linter in self._linters.values():
            linter.close()

    def _done(self, linter: Linter) -> None:
        if not self.told:
            linter.close()
        else:
            linter.rest()

    def _drop(self, root: Root) -> None:
        """Forget a project of one file: there may be thousands, each asked about once."""
        del self._linters[root]
        self._dropped += 1
        if self._dropped % _MANY == 0:
            gc.collect()  # a project is full of circles

    def _synced(self, root: Root, members: Sequence[Path], contents: Mapping[Path, bytes]) -> Linter:
        linter = self._linters.get(root)
        if linter is None:
            linter = self._linters[root] = Linter(self, root)
        linter.sync(members, contents, everything=self._look or not self.told)
        return linter


def _tell_more(tell: Callable[[int], None], done: int, more: int) -> None:
    tell(done + more)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Syntax trees hold no cycles, and looking for some takes longer than anything else about them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
