"""Results as a Parquet file: a row for each diagnostic, with the fields of the JSON report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

import nograd_lint

if TYPE_CHECKING:
    from typing_extensions import Self

_ROWS = 10_000  # that are written at once

_POSITION = pa.struct([("row", pa.int32()), ("column", pa.int32())])
_PLACE = [("location", _POSITION), ("end_location", _POSITION)]
_EVIDENCE = pa.struct([("message", pa.string()), ("filename", pa.string()), *_PLACE, ("cell", pa.int32())])
_EDIT = pa.struct([("content", pa.string()), *_PLACE, ("cell", pa.int32())])
_FIX = pa.struct([("applicability", pa.string()), ("message", pa.string()), ("edits", pa.list_(_EDIT))])
SCHEMA = pa.schema(
    [
        ("repository", pa.string()),
        *(
            (name, pa.string())
            for name in ("code", "name", "message", "severity", "confidence", "filename", "function")
        ),
        *_PLACE,
        ("region", pa.struct(_PLACE)),
        ("cell", pa.int32()),
        ("evidence", pa.list_(_EVIDENCE)),
        ("fix", _FIX),
        ("url", pa.string()),
        ("fingerprint", pa.string()),
    ],
    metadata={"nograd-lint": nograd_lint.__version__},
)


class Table:
    """Takes rows, in order; the file is there when all of them are.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}")
        self._rows: list[dict[str, Any]] = []
        self._writer = ParquetWriter(self._temporary, SCHEMA, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write()
            self._writer.close()
            if kind is None:
                self._temporary.replace(self._path)
        finally:
            with suppress(FileNotFoundError):
                self._temporary.unlink()

    def add(self, repository: str, records: Iterable[Mapping[str, Any]]) -> None:
        """The diagnostics of a repository."""
        self._rows += [{"repository": repository, **record} for record in records]
        if len(self._rows) >= _ROWS:
            self._write()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, SCHEMA))
            self._rows.clear()
