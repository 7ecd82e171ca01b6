"""Reads what must be reported from comments at the ends of lines.

Fixtures say ``# expect: NGL101``, cases and the examples of rules say ``# NGL101``; several codes stand with commas. A
line without such a comment must be silent. Comments are read from tokens, so text in strings means nothing.
"""

from __future__ import annotations

import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

CODES = r"NGL\d{3}(?:\s*,\s*NGL\d{3})*"
EXPECT = re.compile(rf"#\s*expect:\s*({CODES})\s*$")
BARE = re.compile(rf"#\s*({CODES})\s*$")
MAGIC = re.compile(r"^\s*(?:%|!)")

Place = tuple[str, int]  # code, row


def expected(source: str, marker: re.Pattern[str] = EXPECT) -> set[Place]:
    """The (code, row) pairs that the comments of a source text ask for."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (match := marker.search(token.string)):
            found |= {(code.strip(), token.start[0]) for code in match[1].split(",")}
    return found


def code_cells(notebook: Path) -> Iterator[tuple[int, str]]:
    """The code cells with their numbers, 1-based among all cells; magics and shell lines are left blank."""
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"], start=1):
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            yield number, "\n".join("" if MAGIC.match(line) else line for line in lines) + "\n"
