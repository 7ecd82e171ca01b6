"""Logical lines and comments of Python source, complete or broken.

The parsers are no help where a file does not parse, or before a notebook's magics are out of the way; this needs only
to tell strings, comments, brackets and line ends apart. Input is UTF-8 with ``\\n`` line ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# A field of an f-string may hold the string's own quote since Python 3.12; {…} without a brace in it is one piece.
_FIELD = rb"\{[^{}\n]*\}|\{(?![^{}\n]*\})"
# An unterminated string ends with its row, an unterminated triple-quoted one with the file, as in Python.
STRING = (
    rb'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"""|\\?\Z)'
    rb"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*(?:'''|\\?\Z)"
    rb'|(?:(?<=[fFtT])|(?<=[fFtT][rR]))"(?:[^"\\\n{]+|\\.|' + _FIELD + rb')*(?:"|(?=\n)|\\?\Z)'
    rb"|(?:(?<=[fFtT])|(?<=[fFtT][rR]))'(?:[^'\\\n{]+|\\.|" + _FIELD + rb")*(?:'|(?=\n)|\\?\Z)"
    rb'|"[^"\\\n]*(?:\\.[^"\\\n]*)*(?:"|(?=\n)|\\?\Z)'
    rb"|'[^'\\\n]*(?:\\.[^'\\\n]*)*(?:'|(?=\n)|\\?\Z)"
)
_TOKEN = re.compile(
    rb"(?P<other>[^#\"'()\[\]{}\\\n]+)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<newline>\n)|(?P<comment>\#[^\n]*)"
    rb"|(?P<string>" + STRING + rb")|(?P<continuation>\\\n?)",
    re.DOTALL,
)
# Words that no row inside brackets can begin with: a bracket before them was never closed.
_STATEMENT = re.compile(
    rb"[ \t\f]*(?:async[ \t]+def|def|class|return|import|while|with|try|raise|del|pass|break|continue|global|nonlocal"
    rb"|assert|except|finally|elif)\b"
)


class Comment(NamedTuple):
    """``line`` is the index of the logical line that holds it or, where ``alone`` between two, of the next one."""

    start: int
    end: int
    line: int
    alone: bool


class Line(NamedTuple):
    """A logical line: from its first token to the line end (or the end of the file) that closes it."""

    start: int
    end: int


class Lexed(NamedTuple):
    lines: list[Line]
    comments: list[Comment]


class _Row(NamedTuple):
    start: int  # of the first token, -1 where the row holds none
    end: int  # of the line end
    comments: list[tuple[int, int]]


def logical_line(data: bytes, position: int) -> _Row:
    """What begins at ``position``, the start of a row: a logical line, or a row without tokens."""
    start = -1
    depth = 0
    comments: list[tuple[int, int]] = []
    for match in _TOKEN.finditer(data, position):
        kind = match.lastgroup
        if kind == "newline":
            if depth and not _STATEMENT.match(data, match.end()):
                continue
            return _Row(start, match.start(), comments)
        if kind == "comment":
            comments.append(match.span())
            continue
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(depth - 1, 0)
        elif kind == "other" and not match[0].strip():
            continue
        if start < 0:
            start = match.start() + (len(match[0]) - len(match[0].lstrip()) if kind == "other" else 0)
    return _Row(start, len(data), comments)


def lex(data: bytes) -> Lexed:
    """All logical lines and comments."""
    lines: list[Line] = []
    comments: list[Comment] = []
    for row in _rows(data):
        comments += [Comment(start, end, len(lines), row.start < 0) for start, end in row.comments]
        if row.start >= 0:
            lines.append(Line(row.start, row.end))
    return Lexed(lines, comments)


def _rows(data: bytes) -> Iterator[_Row]:
    position = 0
    while position < len(data):
        row = logical_line(data, position)
        yield row
        position = row.end + 1
