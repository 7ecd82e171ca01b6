"""Judging the files of a project in workers that need not see them: the project is sent whole, and judged in pieces."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nograd_lint.diagnostics import Problem
from nograd_lint.executors import ALONE, ExecutorError, Pool, same_here, worker_died
from nograd_lint.parallel import Progress, by_size

if TYPE_CHECKING:
    from nograd_lint.config import Resolver, Root
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.linter import Linter
    from nograd_lint.project.marks import Marks
    from nograd_lint.project.names import NameIndex
    from nograd_lint.project.stars import Bindings

_PIECES = 6  # per worker: the slowest one to finish keeps the others waiting for one piece at most
_WORTH_IT = 50_000  # bytes of source to judge per piece: for less, the project need not be sent once more
_PATIENCE = 0.2  # seconds between two signs of life
_LOOK = 50  # of them between two looks whether anybody is left


class _Project(NamedTuple):
    """All that a worker needs to know."""

    resolver: Resolver
    engine_root: Path
    root: Root
    paths: dict[str, Path]
    contents: dict[str, bytes]
    knowledge: Knowledge
    names: NameIndex | None
    marks: Marks
    bindings: dict[str, Bindings]


def judge(projects: Sequence[tuple[Linter, Sequence[Path]]], pool: Pool, progress: Progress) -> None:
    """Judge those files of some projects of which nothing is known yet, so that their linters know of them.

    Files whose worker did not live to tell are left to whoever asks about them; ``pool.lost`` says why.

    Raises:
        ExecutorError: the workers can't do the work at all.
    """
    running: dict[Future[bytes], tuple[Linter, int]] = {}
    try:
        for linter, members in projects:
            for future, count in _submit(linter, members, pool):
                running[future] = linter, count
        done = idle = 0
        while running:
            finished, _ = wait(running, _PATIENCE, FIRST_COMPLETED)
            for future in finished:
                linter, count = running.pop(future)
                _take(linter, future, pool)
                done += count
            progress(done)
            idle = 0 if finished else idle + 1
            if idle % _LOOK == _LOOK - 1:
                pool.check()
    finally:
        for future in running:
            future.cancel()


def _submit(linter: Linter, members: Sequence[Path], pool: Pool) -> Iterator[tuple[Future[bytes], int]]:
    """Give out the work on a project; each piece, and how many files are in it."""
    from nograd_lint.linter import signature

    work = linter.unjudged(linter.names[path] for path in dict.fromkeys(members) if linter.known(path) is None)
    if not work:
        return
    linter.prepare()
    sizes = {name: max(linter.files[name][0][0], 0) for name in work}
    most = pool.width * _PIECES
    pieces = by_size(sorted(work), sizes, max(1, min(most, sum(sizes.values()) // _WORTH_IT)))
    packed = _pack(linter, work)
    data = pool.share(packed) if len(pieces) > 1 else packed
    for names in pieces:
        yield pool.submit(_judge, signature(), data, names), len(names)


def _take(linter: Linter, future: Future[bytes], pool: Pool) -> None:
    try:
        linter.take(future.result())
    except ExecutorError:
        raise
    except CancelledError:
        pool.lost.append("the work was cancelled")
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        pool.lost.append("every worker that had them died" if worker_died(error) else reason)


def _pack(linter: Linter, members: Sequence[str]) -> bytes:
    resolver = linter.engine.resolver
    for name in members:
        resolver.enabled(linter.paths[name])  # what holds for the file is looked up here, and sent along
    contents = {}
    for name in linter.paths:
        source = linter.source(name, name)
        if not isinstance(source, Problem):
            contents[name] = source.raw
    project = linter.world.project
    packed = _Project(
        resolver, linter.engine.root, linter.root, linter.paths, contents,
        linter.world.knowledge, project.index, project.marks, project.stars.bindings,
    )  # fmt: skip
    return zlib.compress(pickle.dumps(packed), 1)


# --- in a worker ------------------------------------------------------------------------------------------------------

_LAST: list[tuple[bytes, Linter]] = []  # the project of the last piece: the next one mostly is of the same


def _judge(signature: bytes, packed: bytes, names: list[str]) -> bytes:
    import os

    same_here(signature)
    with ALONE:
        linter = _unpacked(packed)
        for name in names:
            shown = os.path.relpath(linter.paths[name], linter.engine.root).replace(os.sep, "/")
            source = linter.source(name, shown)
            if not isinstance(source, Problem):
                linter.judge(name, source, shown)
        return linter.give(names, linter.world.graph.below(("file", name) for name in names))


def _unpacked(packed: bytes) -> Linter:
    from nograd_lint.engine import Engine
    from nograd_lint.linter import Linter

    key = blake2b(packed, digest_size=16).digest()
    if not _LAST or _LAST[0][0] != key:
        found: Any = pickle.loads(zlib.decompress(packed))  # noqa: S301 - comes from who sent the code to run
        project = _Project(*found)
        engine = Engine(project.resolver.nearest(project.root.path).settings, project.engine_root,
                        resolver=project.resolver, use_cache=False)  # fmt: skip
        linter = Linter(engine, project.root)
        linter.hold(project.paths, project.contents, project.knowledge)
        known = linter.world.project
        known.index, known.known_marks, known.stars.bindings = project.names, project.marks, project.bindings
        _LAST[:] = [(key, linter)]
    return _LAST[0][1]
