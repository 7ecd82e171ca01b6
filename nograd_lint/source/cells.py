"""Code cells as one module."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from nograd_lint.source.files import BrokenCell, Cell, SourceFile
from nograd_lint.source.magics import neutralise, syntax_error


class CellFile(SourceFile):
    """The code cells of a notebook, given as (number, text), one below the other.

    Every cell ends with a line end of ours, so that its rows in the module are the rows that an editor shows.
    """

    def __init__(self, path: Path, filename: str, raw: bytes, cells: Sequence[tuple[int, str]]) -> None:
        super().__init__(path, filename, raw, "utf-8")
        self._texts = [text.replace("\r\n", "\n").replace("\r", "\n") for _, text in cells]
        found = []
        row = 1
        for (number, _), text in zip(cells, self._texts, strict=True):
            found.append(Cell(number, row, text.count("\n") + 1))
            row += found[-1].rows
        self.cells = tuple(found)

    @cached_property
    def text(self) -> str:
        return "".join(text + "\n" for text in self._texts)

    @property
    def newline(self) -> str:
        return "\n"

    @property
    def screen(self) -> bytes:
        return self.text.encode("utf-8", "replace")

    @cached_property
    def analysis(self) -> bytes:
        parts = []
        broken = []
        for cell, text in zip(self.cells, self._texts, strict=True):
            code = neutralise(text.encode("utf-8", "replace"))
            if error := syntax_error(code):
                code = b"\n" * (cell.rows - 1)
                if not text.lstrip().startswith("%"):  # a language of its own, as on some hosted notebooks
                    broken.append(BrokenCell(cell.number, cell.first_row + min(error[0], cell.rows) - 1, error[1]))
            parts += [code, b"\n"]
        self.broken = tuple(broken)
        return b"".join(parts)
