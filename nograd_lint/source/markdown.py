"""Fenced Python blocks of a Markdown file as one module, each in its own rows."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from nograd_lint.source.decoding import analysed
from nograd_lint.source.files import SourceFile
from nograd_lint.source.magics import neutralise, syntax_error

_FENCE = re.compile(rb"([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)\Z")
_PYTHON = re.compile(rb"\{?[ .]*(?:python3?|py3?|ipython3?)\b|\{code-cell\}[ \t]*i?python", re.IGNORECASE)


class MarkdownFile(SourceFile):
    """Rows and columns are those of the Markdown file; whatever is no Python block is blank to the parsers.

    Blocks that do not parse (output, fragments, other languages under the wrong name) are left out.
    """

    def __init__(self, path: Path, filename: str, raw: bytes) -> None:
        super().__init__(path, filename, raw, "utf-8")
        self._document = analysed(raw, "utf-8")

    @property
    def screen(self) -> bytes:
        return self._document

    @cached_property
    def analysis(self) -> bytes:
        rows = self._document.split(b"\n")
        result = [b""] * len(rows)
        for first, last, indented in _blocks(rows):
            code = neutralise(b"\n".join(rows[first:last])).split(b"\n")
            # A block inside a list item keeps its columns below a header in the row of its fence.
            header = b"if True:" if indented and any(row.strip() for row in code) else b""
            if syntax_error(b"\n".join([header, *code])) is None:
                result[first - 1 : last] = [header, *code]
        return b"\n".join(result)


def _blocks(rows: list[bytes]) -> list[tuple[int, int, bool]]:
    """(first row, row behind the last, indented) of each Python block, rows from 0."""
    found = []
    opened: tuple[int, bytes, bool, bool] | None = None
    for number, row in enumerate(rows):
        fence = _FENCE.match(row.rstrip())
        if fence is None:
            continue
        if opened is None:
            opened = (number + 1, fence[2], bool(fence[1]), _PYTHON.match(fence[3]) is not None)
            continue
        first, mark, indented, python = opened
        if not fence[3] and fence[2].startswith(mark):
            if python:
                found.append((first, number, indented))
            opened = None
    if opened is not None and opened[3]:  # as in Markdown, the end of the file closes it
        found.append((opened[0], len(rows), opened[2]))
    return found
