"""One repository, or a part of a large one, as a worker sees it."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from nograd_lint.cli.session import Session
from nograd_lint.executors import ALONE, ExecutorError, same_here
from nograd_lint.parallel import by_size

Problem = tuple[str, str]  # path in the repository (empty: all of it), and what is wrong


class Outcome(NamedTuple):
    """What was found: diagnostics as in the JSON report, their paths relative to the repository."""

    files: int = 0
    records: tuple[dict[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()


class _Slice(Session):
    """The files of one part of a repository."""

    part = parts = 1

    def files(self) -> list[Path]:
        files = super().files()
        if self.parts == 1:
            return files
        sizes = {str(file): file.stat().st_size if file.exists() else 0 for file in files}
        pieces = by_size(list(sizes), sizes, self.parts)
        if self.part > 1:
            self.problems = []  # the first one tells of them
        return [Path(name) for name in pieces[self.part - 1]] if self.part <= len(pieces) else []


def pack(files: Mapping[str, bytes]) -> bytes:
    """The files of a repository that no worker can see."""
    return zlib.compress(msgspec.msgpack.encode(files), 1)


_LAST: list[tuple[bytes, _Slice, tempfile.TemporaryDirectory[str] | None]] = []  # the last one that came in parts


def lint(signature: bytes, place: str | bytes, options: Mapping[str, Any], part: int, parts: int) -> Outcome:
    """Lint a repository: a directory, or what :func:`pack` made. Runs in a worker.

    Raises:
        ExecutorError: the worker can't do it, and others may.
    """
    same_here(signature)
    with ALONE:
        key = b""
        if parts > 1:
            key = blake2b(place if isinstance(place, bytes) else place.encode("utf-8", "surrogateescape")).digest()
            key += repr(sorted(options.items())).encode()
            if _LAST and _LAST[0][0] == key:
                return _slice(_LAST[0][1], part, parts, ())
        if isinstance(place, str):
            if not Path(place).is_dir():
                raise _unseen(place)
            return _open(key, Path(place), options, part, parts, None, ())
        home = tempfile.TemporaryDirectory(prefix="nograd-lint-")
        directory = Path(home.name).resolve() / "repository"
        problems = _unpack(directory, place)
        outcome = _open(key, directory, options, part, parts, home, problems if part == 1 else ())
        if parts == 1:
            home.cleanup()
        return outcome


def _open(
    key: bytes,
    directory: Path,
    options: Mapping[str, Any],
    part: int,
    parts: int,
    home: tempfile.TemporaryDirectory[str] | None,
    problems: tuple[Problem, ...],
) -> Outcome:
    try:
        session = _Slice([str(directory)], {**options, "top": directory, "no_cache": True, "quiet": True})
    except click.ClickException as error:
        return Outcome(problems=(*problems, _refused(directory, error)))
    session.cwd = directory
    if parts > 1:
        _LAST[:] = [(key, session, home)]
    return _slice(session, part, parts, problems)


def _slice(session: _Slice, part: int, parts: int, problems: tuple[Problem, ...]) -> Outcome:
    from nograd_lint.report.json import records

    session.part, session.parts = part, parts
    try:
        results = session.lint()
    except click.ClickException as error:
        return Outcome(problems=(*problems, _refused(session.cwd, error)))
    run = session.run(results)
    found = tuple((run.path(problem.filename), problem.message) for problem in run.all_problems)
    return Outcome(len(results), tuple(records(run)), (*problems, *found))


def _refused(directory: Path, error: click.ClickException) -> Problem:
    message = error.format_message()
    for prefix in (str(directory), os.path.relpath(directory)):
        message = message.replace(f"{prefix}{os.sep}", "")
    return "", " ".join(message.split())


def _unpack(directory: Path, packed: bytes) -> tuple[Problem, ...]:
    problems = []
    (directory / ".git").mkdir(parents=True)  # nothing above matters
    files: dict[str, bytes] = msgspec.msgpack.decode(zlib.decompress(packed), type=dict[str, bytes])
    for name, data in files.items():
        target = directory / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError as error:
            problems.append((name, (error.strerror or str(error)).lower()))
    return tuple(problems)


def _unseen(place: str) -> ExecutorError:
    import socket

    return ExecutorError(
        f"the worker on {socket.gethostname()} does not see {place}: "
        "put it where every worker sees it under the same path, or scan a Parquet file of sources"
    )
