"""A text under edit: changes are made one after the other, and come out as edits of the text as it was."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nograd_lint.diagnostics import Edit, Position, Span


class Change(NamedTuple):
    """Replace ``start`` to ``end`` (offsets in code points) by ``text``."""

    start: int
    end: int
    text: str


class ConflictError(Exception):
    """Changes overlap, or what one of them is about has been deleted by another."""


class Lines:
    """The line table of a text; a line ends in ``\\n``, ``\\r\\n`` or ``\\r``, as for Python itself."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        position = 0
        for line in text.splitlines(keepends=True):
            position += len(line)
            # str.splitlines also splits at form feeds and the like, which end no line of Python.
            if line[-1] in "\r\n":
                self.starts.append(position)

    def row(self, offset: int) -> int:
        """0-based row of an offset."""
        return bisect_right(self.starts, offset) - 1

    def start(self, row: int) -> int:
        """First offset of a row; the end of the text for rows beyond it."""
        return self.starts[row] if row < len(self.starts) else len(self.text)

    def end(self, row: int) -> int:
        """Offset of the end of a row, its newline left out."""
        start, end = self.start(row), self.start(row + 1)
        while end > start and self.text[end - 1] in "\r\n":
            end -= 1
        return end

    def line(self, row: int) -> str:
        return self.text[self.start(row) : self.end(row)]

    def newline(self, row: int) -> str:
        """The newline that ends a row, or the nearest one above where the last row has none."""
        for r in (row, row - 1, 0):
            if r >= 0 and (ending := self.text[self.end(r) : self.start(r + 1)]):
                return ending
        return "\n"

    def offset(self, position: Position) -> int:
        """Offset of a row and column, both 1-based."""
        return min(self.start(position.row - 1) + position.column - 1, len(self.text))

    def position(self, offset: int) -> Position:
        row = self.row(offset)
        return Position(row + 1, offset - self.starts[row] + 1)


class _Piece(NamedTuple):
    """Part of the draft: ``original[start:end]``, or ``text`` where that is new."""

    start: int
    end: int
    text: str | None

    @property
    def length(self) -> int:
        return self.end - self.start if self.text is None else len(self.text)


class Draft:
    """A piece table over ``original``."""

    def __init__(self, original: str) -> None:
        self.original = original
        self.text = original
        self._pieces: list[_Piece] = [_Piece(0, len(original), None)]

    def apply(self, changes: Iterable[Change]) -> None:
        """Make changes whose offsets refer to :attr:`text`; they must not overlap.

        Raises:
            ConflictError: two changes overlap, or insert at the same place.
        """
        pieces: list[_Piece] = []
        position = 0
        previous: Change | None = None
        for change in sorted(changes):
            if previous is not None and (change.start < previous.end or change[:2] == previous[:2]):
                raise ConflictError
            pieces += self._cut(position, change.start)
            if change.text:
                pieces.append(_Piece(0, 0, change.text))
            position = change.end
            previous = change
        pieces += self._cut(position, len(self.text))
        self._pieces = pieces
        self.text = "".join(self.original[p.start : p.end] if p.text is None else p.text for p in pieces)

    def _cut(self, start: int, end: int) -> list[_Piece]:
        result = []
        position = 0
        for piece in self._pieces:
            low, high = max(start - position, 0), min(end - position, piece.length)
            if low < high:
                if piece.text is None:
                    result.append(_Piece(piece.start + low, piece.start + high, None))
                else:
                    result.append(_Piece(0, 0, piece.text[low:high]))
            position += piece.length
        return result

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where what is left of ``original[start:end]`` stands now.

        Raises:
            ConflictError: nothing of it is left.
        """
        first = last = None
        position = 0
        for piece in self._pieces:
            if piece.text is None:
                low, high = max(start, piece.start), min(end, piece.end)
                if low < high:
                    if first is None:
                        first = position + low - piece.start
                    last = position + high - piece.start
            position += piece.length
        if first is None or last is None:
            raise ConflictError
        return first, last

    def changes(self) -> list[Change]:
        """What has changed, in terms of :attr:`original`."""
        result = []
        position = 0
        new = ""
        for piece in [*self._pieces, _Piece(len(self.original), len(self.original), None)]:
            if piece.text is not None:
                new += piece.text
                continue
            if new or piece.start > position:
                result += _trim(self.original, Change(position, piece.start, new))
            position, new = piece.end, ""
        return result

    def edits(self) -> tuple[Edit, ...]:
        lines = Lines(self.original)
        return tuple(
            Edit(change.text, Span(lines.position(change.start), lines.position(change.end)))
            for change in self.changes()
        )


def _trim(text: str, change: Change) -> list[Change]:
    """The change without what it replaces by itself."""
    old, new = text[change.start : change.end], change.text
    if old == new:
        return []
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return [Change(change.start + head, change.end - tail, new[head : len(new) - tail])]


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """The text with edits made that do not overlap."""
    lines = Lines(text)
    draft = Draft(text)
    draft.apply(Change(lines.offset(e.span.start), lines.offset(e.span.end), e.content) for e in edits)
    return draft.text
