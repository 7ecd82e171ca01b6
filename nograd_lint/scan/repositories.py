"""Where repositories come from: a directory that holds them, or a Parquet file with the text of their files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from nograd_lint.scan.work import Problem, pack
from nograd_lint.settings import DEFAULT_EXCLUDE, did_you_mean
from nograd_lint.source.files import MARKDOWN_SUFFIXES, os_reason

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

COLUMNS = ("repository", "path", "source")
_LINTED = (".py", ".ipynb")
_KEPT = (*_LINTED, *MARKDOWN_SUFFIXES, ".toml", ".cfg", ".txt", ".gitignore")  # what a result may depend on
_BATCH = 1_000  # rows


class SourceError(Exception):
    """Repositories that can't be read; ``str()`` is one line."""


class Repository(NamedTuple):
    """One of them: a directory, or its packed files; ``size`` is that of its Python files in bytes."""

    name: str
    place: str | bytes
    size: int
    problems: tuple[Problem, ...] = ()


class Repositories(NamedTuple):
    """How many there are, and one after the other, each read when its turn comes."""

    number: int
    each: Iterator[Repository]


# --- a directory ------------------------------------------------------------------------------------------------------


def in_directory(directory: Path, depth: int) -> Repositories:
    """The directories ``depth`` levels below one.

    Raises:
        SourceError: it can't be read, or there are none.
    """
    found = [directory]
    for level in range(depth):
        below = []
        for parent in found:
            try:
                with os.scandir(parent) as entries:
                    names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())
            except OSError as error:
                if level == 0:
                    raise SourceError(f"{directory}: {os_reason(error)}") from None
                names = []
            below += [parent / name for name in names]
        found = below
    if not found:
        raise SourceError(f"{directory}: holds no directories that could be repositories")
    return Repositories(len(found), (_directory(path, path.relative_to(directory).as_posix()) for path in found))


def _directory(path: Path, name: str) -> Repository:
    size = 0
    for folder, folders, files in os.walk(path):
        folders[:] = [one for one in folders if one not in DEFAULT_EXCLUDE]
        for file in files:
            if file.endswith(_LINTED):
                try:
                    size += os.stat(os.path.join(folder, file)).st_size  # noqa: PTH116, PTH118 - for many thousands
                except OSError:  # who lints it says so
                    continue
    return Repository(name, str(path), size)


# --- a Parquet file ---------------------------------------------------------------------------------------------------


def in_parquet(path: Path, columns: Mapping[str, str]) -> Repositories:
    """The repositories of a Parquet file with a row for each source file; ``columns``: other names of its columns.

    Raises:
        SourceError: it is no such file, lacks columns, or the rows of a repository do not stand together.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    names = [columns.get(column, column) for column in COLUMNS]
    try:
        file = ParquetFile(path)
        _check_columns(file, path, names)
        count = _count(file, path, names[0])
    except ArrowException as error:
        raise SourceError(f"{path}: no Parquet file that can be read: {_first_line(error)}") from None
    except OSError as error:
        raise SourceError(f"{path}: {os_reason(error)}") from None
    return Repositories(count, _repositories(file, path, names))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _check_columns(file: ParquetFile, path: Path, names: list[str]) -> None:
    import pyarrow.types as kinds

    for role, name in zip(COLUMNS, names, strict=True):
        if name not in file.schema_arrow.names:
            has = ", ".join(file.schema_arrow.names[:12])
            hint = did_you_mean(name, file.schema_arrow.names) or f"; --column {role}=NAME says which one it is"
            raise SourceError(f"{path}: no column `{name}` (there are {has}){hint}")
        kind = file.schema_arrow.field(name).type
        if kinds.is_dictionary(kind):
            kind = kind.value_type
        if not (kinds.is_string(kind) or kinds.is_large_string(kind)) and not (
            role == "source" and (kinds.is_binary(kind) or kinds.is_large_binary(kind))
        ):
            raise SourceError(f"{path}: the column `{name}` holds {kind} where text is expected")


def _count(file: ParquetFile, path: Path, column: str) -> int:
    """How many repositories there are. Each is read once, and so its rows must stand together."""
    seen: dict[str | None, int] = {}
    before: object = file  # no name is this
    row = 0
    for batch in file.iter_batches(columns=[column]):
        for name in batch.column(0).to_pylist():
            row += 1
            if name == before:
                continue
            if name in seen:
                raise SourceError(
                    f"{path}: the rows of the repository {name} do not stand together "
                    f"(from row {seen[name]}, and again from row {row}): sort the file by `{column}`"
                )
            seen[name] = row
            before = name
    return len(seen)


def _repositories(file: ParquetFile, path: Path, names: list[str]) -> Iterator[Repository]:
    from pyarrow import ArrowException

    rows = (row for batch in file.iter_batches(batch_size=_BATCH, columns=names) for row in batch.to_pylist())
    try:
        for name, members in groupby(rows, lambda row: row[names[0]]):
            yield _packed(name or "", ((row[names[1]], row[names[2]]) for row in members))
    except ArrowException as error:
        raise SourceError(f"{path}: {_first_line(error)}") from None


def _packed(name: str, rows: Iterable[tuple[Any, Any]]) -> Repository:
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    for path, source in rows:
        if not path or not _inside(path):
            problems.append((path or "", "no path inside of the repository"))
        elif source is None:
            problems.append((path, "without source"))
        elif path in files:
            problems.append((path, "occurs twice; the first one counts"))
        elif path.endswith(_KEPT) or PurePosixPath(path).name.startswith("nograd-lint"):
            files[path] = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    size = sum(len(data) for path, data in files.items() if path.endswith(_LINTED))
    return Repository(name, pack(files), size, tuple(problems))


def _inside(path: str) -> bool:
    """Whether a path leads nowhere else, on any system."""
    parts = path.replace("\\", "/").split("/")
    return not path.startswith(("/", "\\")) and ":" not in parts[0] and ".." not in parts and "\0" not in path
