"""A file to lint: its bytes, its text, what the parsers see of it, and how edits get back into it."""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

import msgspec

from nograd_lint.diagnostics import Edit, Position, Problem, Span
from nograd_lint.source.decoding import UTF8_BOM, SourceError, analysed, declared_encoding, decode

_NEWLINE = re.compile(r"\r\n|\n|\r")


class Cell(msgspec.Struct, frozen=True):
    """A code cell: its number (from 1, all cells counted), its first row in the module, and how many rows it has."""

    number: int
    first_row: int
    rows: int


class BrokenCell(msgspec.Struct, frozen=True):
    """A cell that is no Python; the analysis goes on without it. The row is one of the module."""

    number: int
    row: int
    message: str


class SourceFile:
    """One file. Rows and columns are those of :mod:`nograd_lint.diagnostics`; offsets are bytes of ``analysis``.

    ``analysis`` is what the parsers see: UTF-8 without a byte order mark, with ``\\n`` line ends, row for row and
    column for column the same as ``text``, in which line ends are as in the file. What only reporting or fixing needs
    is computed when it is first asked for.
    """

    def __init__(self, path: Path, filename: str, raw: bytes, encoding: str | None = None) -> None:
        self.path = path
        self.filename = filename
        self.raw = raw
        self.encoding = declared_encoding(raw) if encoding is None else encoding
        self.cells: tuple[Cell, ...] = ()
        self.broken: tuple[BrokenCell, ...] = ()

    @cached_property
    def analysis(self) -> bytes:
        return analysed(self.raw, self.encoding)

    @property
    def screen(self) -> bytes:
        """Bytes in which every word of the analysed code occurs, got without any work on them."""
        return self.analysis

    @cached_property
    def text(self) -> str:
        return decode(self.raw, self.encoding)

    @cached_property
    def newline(self) -> str:
        """The first line end of the file."""
        match = _NEWLINE.search(self.text)
        return match[0] if match else "\n"

    # --- places -------------------------------------------------------------------------------------------------------

    @cached_property
    def _row_offsets(self) -> list[int]:
        starts = list(accumulate(map(len, self.analysis.splitlines(keepends=True)), initial=0))
        if len(starts) > 1 and not self.analysis.endswith(b"\n"):
            starts.pop()
        return starts

    @cached_property
    def _row_indices(self) -> list[int]:
        lengths = map(len, io.StringIO(self.text, newline=""))
        starts = list(accumulate(lengths, initial=0))
        if len(starts) > 1 and not self.text.endswith(("\n", "\r")):
            starts.pop()
        return starts

    @property
    def rows(self) -> int:
        return len(self._row_offsets)

    def position(self, offset: int) -> Position:
        """Row and column of a byte of ``analysis``."""
        row = bisect_right(self._row_offsets, offset)
        start = self._row_offsets[row - 1]
        return Position(row, len(self.analysis[start:offset].decode("utf-8", "replace")) + 1)

    def span(self, start: int, end: int) -> Span:
        return Span(self.position(start), self.position(end))

    def offset(self, position: Position) -> int:
        """The byte of ``analysis`` at a row and column; a place beyond a row's end is its end."""
        if position.row > self.rows:
            return len(self.analysis)
        start = self._row_offsets[position.row - 1]
        end = self._row_offsets[position.row] - 1 if position.row < self.rows else len(self.analysis)
        row = self.analysis[start:end]
        if row.isascii():
            return start + min(position.column - 1, len(row))
        return start + len(row.decode()[: position.column - 1].encode())

    def index(self, position: Position) -> int:
        """The index into ``text`` of a row and column; a place beyond a row's end is its end."""
        if position.row > len(self._row_indices):
            return len(self.text)
        start = self._row_indices[position.row - 1]
        return start + min(position.column - 1, len(self.row(position.row)))

    def row(self, number: int) -> str:
        """The text of a row (from 1) without its line end; nothing where there is no such row."""
        if not 1 <= number <= len(self._row_indices):
            return ""
        start = self._row_indices[number - 1]
        end = self._row_indices[number] if number < len(self._row_indices) else len(self.text)
        text = self.text[start:end]
        return text[:-2] if text.endswith("\r\n") else text.rstrip("\r\n")

    def slice(self, span: Span) -> str:
        """The text of a span, line ends as in the file."""
        return self.text[self.index(span.start) : self.index(span.end)]

    def cell_at(self, row: int) -> Cell | None:
        """The cell that a row of a notebook's module lies in."""
        number = bisect_right(self.cells, row, key=lambda cell: cell.first_row)
        return self.cells[number - 1] if number else None

    # --- edits --------------------------------------------------------------------------------------------------------

    def replacements(self, edits: Sequence[Edit]) -> list[tuple[int, int, str]]:
        """Edits as (start, end, new text) in ``text``, in order, with the file's own line ends; none may overlap."""
        found = []
        for edit in dict.fromkeys(edits):
            start, end = self.index(edit.span.start), self.index(edit.span.end)
            content = edit.content.replace("\r\n", "\n").replace("\n", self.newline)
            found.append((start, max(start, end), content))
        found.sort(key=lambda item: item[:2])
        for (_, end, _), (start, _, _) in pairwise(found):
            if start < end:
                raise SourceError("edits overlap")
        return found

    def edited(self, edits: Sequence[Edit]) -> bytes:
        """The file's new bytes, which equal the old ones everywhere but in the edits."""
        if not edits:
            return self.raw
        bom = UTF8_BOM if self.raw.startswith(UTF8_BOM) else b""
        text = splice(self.text, self.replacements(edits))
        try:
            if bom + self.text.encode(self.encoding) != self.raw:
                raise SourceError(f"cannot be written back as {self.encoding} without changes elsewhere")
            return bom + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise SourceError(f"{character!r} cannot be written as {self.encoding}") from None


def splice(text: str, replacements: Sequence[tuple[int, int, str]]) -> str:
    """``text`` with some parts, given in order, replaced."""
    parts = []
    position = 0
    for start, end, content in replacements:
        parts += [text[position:start], content]
        position = end
    return "".join([*parts, text[position:]])


def load(path: Path, filename: str, data: bytes | None = None, *, markdown: bool = False) -> SourceFile | Problem:
    """A file, or why it cannot be linted. ``data`` stands for its content where that is known already.

    ``filename`` is the name to report; its suffix says what kind of file it is.
    """
    try:
        raw = path.read_bytes() if data is None else data
        if filename.endswith(".ipynb"):
            from nograd_lint.source.notebook import Notebook

            return Notebook(path, filename, raw)
        if markdown and filename.endswith(MARKDOWN_SUFFIXES):
            from nograd_lint.source.markdown import MarkdownFile

            return MarkdownFile(path, filename, raw)
        source = SourceFile(path, filename, raw)
        source.analysis  # noqa: B018 - decodes, and so finds out whether it can be
    except SourceError as error:
        return Problem(filename, str(error))
    except OSError as error:
        return Problem(filename, os_reason(error))
    return source


MARKDOWN_SUFFIXES = (".md", ".markdown")


def from_text(path: Path, filename: str, text: str) -> SourceFile | Problem:
    """Text that somebody else decoded (an editor, flake8): its encoding declaration, if any, does not count."""
    try:
        source = SourceFile(path, filename, text.encode("utf-8", "replace"), "utf-8")
        source.analysis  # noqa: B018 - finds null bytes
    except SourceError as error:
        return Problem(filename, str(error))
    return source


def os_reason(error: OSError) -> str:
    """An operating system's error in one line."""
    if isinstance(error, FileNotFoundError):
        return "file not found"
    return (error.strerror or str(error)).lower().partition("\n")[0]


def display_name(path: Path, root: Path) -> str:
    """The name that diagnostics give a file: relative to the root, or whole where it lies elsewhere; with ``/``."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()
