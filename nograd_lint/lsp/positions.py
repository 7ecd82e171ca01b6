"""Positions of the protocol: rows from 0, ended by nothing but LF, CRLF and CR, columns in the client's code units."""

from __future__ import annotations

import io
from functools import cached_property
from itertools import accumulate

from lsprotocol import types

from nograd_lint.diagnostics import Position, Span


class Text:
    """A text whose places a client knows in its own units."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text = text
        self.encoding = encoding

    @cached_property
    def lines(self) -> list[str]:
        """The rows with their line ends; a last one that is empty is not among them."""
        return list(io.StringIO(self.text, newline=""))

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate(map(len, self.lines), initial=0))

    def row(self, number: int) -> str:
        """The text of a row (from 0) without its line end."""
        return self.lines[number].rstrip("\r\n") if number < len(self.lines) else ""

    def index(self, position: types.Position) -> int:
        """The index into the text; a place beyond the end of a row, or of the text, is that end."""
        if position.line >= len(self.lines):
            return len(self.text)
        return self._starts[position.line] + self._points(self.row(position.line), position.character)

    def position(self, position: types.Position) -> Position:
        """A row and column as diagnostics have them."""
        return Position(position.line + 1, self._points(self.row(position.line), position.character) + 1)

    def span(self, range_: types.Range) -> Span:
        return Span(self.position(range_.start), self.position(range_.end))

    def units(self, position: Position) -> types.Position:
        """A row and column of a diagnostic as the client wants it."""
        before = self.row(position.row - 1)[: position.column - 1]
        return types.Position(position.row - 1, _units(before, self.encoding))

    def range(self, span: Span) -> types.Range:
        return types.Range(self.units(span.start), self.units(span.end))

    def at(self, index: int) -> types.Position:
        """The position of an index into the text."""
        from bisect import bisect_right

        row = max(bisect_right(self._starts, index) - 1, 0)
        if row < len(self.lines):
            return types.Position(row, _units(self.text[self._starts[row] : index], self.encoding))
        last = self.lines[-1] if self.lines else ""
        if last and not last.endswith(("\n", "\r")):
            return types.Position(row - 1, _units(last, self.encoding))
        return types.Position(row, 0)

    def _points(self, row: str, units: int) -> int:
        """How many code points of a row so many code units are."""
        if row.isascii() or self.encoding == "utf-32":
            return min(units, len(row))
        seen = 0
        for number, character in enumerate(row):
            if seen >= units:
                return number
            seen += _units(character, self.encoding)
        return len(row)


def _units(text: str, encoding: str) -> int:
    if encoding == "utf-32" or text.isascii():
        return len(text)
    if encoding == "utf-8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
