"""The text behind a report: rows to show, and where a notebook's rows are, in their cell and in its file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from nograd_lint.diagnostics import Position, Problem, Span
from nograd_lint.source.decoding import UTF8_BOM
from nograd_lint.source.files import SourceFile, load


def read(path: Path, filename: str, content: bytes | None) -> Source:
    """The file as a report needs it; one that cannot be read (any more) has no rows to show."""
    source = load(path, filename, content)
    return Source(None if isinstance(source, Problem) else source)


class Source:
    def __init__(self, file: SourceFile | None) -> None:
        self._file = file

    def row(self, number: int) -> str:
        """The text of a row without its line end; nothing where there is none."""
        return "" if self._file is None else self._file.row(number)

    def in_cell(self, span: Span) -> tuple[int | None, Span]:
        """The number of a notebook's cell and the place in it; for other files None and the place as it is."""
        if self._file is None or not self._file.cells:
            return None, span
        start = self._file.cell_at(span.start.row)
        if start is None:
            return None, span
        before = start.first_row - 1
        # An end at the very start of the next cell belongs to this one.
        last = min(span.end.row - before, start.rows + 1)
        end = Position(last, span.end.column if last == span.end.row - before else 1)
        return start.number, Span(Position(span.start.row - before, span.start.column), end)

    def row_in_file(self, cell: int | None, row: int) -> int | None:
        """The opposite of :meth:`in_cell` for a row; None where there is no such cell, or none is given."""
        if self._file is None or not self._file.cells:
            return row if cell is None else None
        return next((c.first_row + row - 1 for c in self._file.cells if c.number == cell), None)

    def in_file(self, span: Span) -> Span:
        """The place in the file itself: for a notebook the whole rows of its JSON that hold the code."""
        cell, within = self.in_cell(span)
        if cell is None or self._file is None:
            return span
        rows = self._json_rows.get(cell, ())
        if not rows:
            return Span(Position(1, 1), Position(1, 1))
        first = rows[min(within.start.row, len(rows)) - 1]
        last = max(first, rows[min(within.end.row, len(rows)) - 1])
        return Span(Position(first, 1), Position(last, len(self._json_lines[last - 1]) + 1))

    @cached_property
    def _json_lines(self) -> list[str]:
        return [] if self._file is None else self._file.raw.decode("utf-8", "replace").split("\n")

    @cached_property
    def _json_rows(self) -> dict[int, Sequence[int]]:
        if self._file is None:
            return {}
        try:
            return _json_rows(self._file.raw)
        except msgspec.MsgspecError:
            return {}


class _Cell(msgspec.Struct):
    source: msgspec.Raw = msgspec.Raw(b'""')


class _Notebook(msgspec.Struct):
    cells: list[msgspec.Raw] = []


def _json_rows(raw: bytes) -> dict[int, Sequence[int]]:
    """For each cell, the row of the notebook's JSON that each row of its source stands in.

    The decoder leaves raw parts as they are written, so that searching for them in order finds their places.
    """
    found: dict[int, Sequence[int]] = {}
    position = raw.find(b'"cells"')
    counted, row = 0, 1
    for number, cell in enumerate(msgspec.json.decode(raw.removeprefix(UTF8_BOM), type=_Notebook).cells, 1):
        position = raw.find(bytes(cell), position)
        source = msgspec.json.decode(cell, type=_Cell).source
        inner = raw.find(bytes(source), raw.find(b'"source"', position))
        rows: list[int] = []
        lines = msgspec.json.decode(source, type=str | list[msgspec.Raw])
        for line in [source] if isinstance(lines, str) else lines:
            inner = raw.find(bytes(line), inner)
            row += raw.count(b"\n", counted, inner)
            counted = inner
            rows += [row] * max(len(msgspec.json.decode(line, type=str).splitlines()), 1)
            inner += len(bytes(line))
        found[number] = rows
        position += len(bytes(cell))
    return found
