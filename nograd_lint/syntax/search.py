"""Looking for words in source text. To look for plain bytes is ten times as fast as any pattern with alternatives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_PROSE = (b">>>", b"...", b"#")
_PLAIN = re.compile(rb"(\\b)?((?:[\w ]|\\[.(])+)(?![*+?{])")

_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
# Whatever is neither a word, a bracket nor a blank ends a line.
_CALLS = bytes(c if c in _WORD or c == ord("(") else ord(" ") if c in b" \t" else ord("\n") for c in range(256))
_NAME = re.compile(rb"def[ \t]+(\w+)")


class Patterns:
    """Patterns, each of which begins with plain characters, perhaps at the beginning of a word."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        self._patterns = [(_plain(pattern), re.compile(pattern, re.MULTILINE)) for pattern in patterns]

    def offsets(self, data: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
        """Where they are found, in no order."""
        end = len(data) if end is None else end
        for plain, pattern in self._patterns:
            at = data.find(plain, start, end)
            while at >= 0:
                if pattern.match(data, at, end):
                    yield at
                at = data.find(plain, at + len(plain), end)

    def search(self, data: bytes, start: int = 0, end: int | None = None) -> bool:
        """Whether one of them is found."""
        return any(True for _ in self.offsets(data, start, end))


def _plain(pattern: bytes) -> bytes:
    found = _PLAIN.match(pattern)
    if found is None:
        raise ValueError(f"{pattern!r} does not begin with plain characters")
    return found[2].replace(b"\\", b"")


def lines(data: bytes, literals: Iterable[bytes]) -> set[tuple[int, int]]:
    """The lines that hold one of some words, from where to where."""
    found = set()
    for literal in literals:
        at = data.find(literal)
        while at >= 0:
            start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            end = len(data) if end < 0 else end
            found.add((start, end))
            at = data.find(literal, end)
    return found


def called_names(data: bytes) -> frozenset[bytes]:
    """Every name that an opening bracket follows."""
    before = data.translate(_CALLS).split(b"(")[:-1]
    found = {text.rstrip(b" ").rpartition(b"\n")[2].rpartition(b" ")[2] for text in before}
    return frozenset(name for name in found if name and not name[:1].isdigit())


def inner_definitions(data: bytes) -> frozenset[bytes]:
    """The names of all functions that are defined on an indented line."""
    found = set()
    at = data.find(b"def ")
    while at >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        if start and data[start:at].strip() in (b"", b"async") and data[start : start + 1] in (b" ", b"\t"):
            name = _NAME.match(data, at)
            if name is not None:
                found.add(name[1])
        at = data.find(b"def ", at + 4)
    return frozenset(found)


def in_prose(data: bytes, at: int) -> bool:
    """Whether a place lies on a line that is a comment, or one of an example in a docstring."""
    return data[data.rfind(b"\n", 0, at) + 1 : at + 3].lstrip().startswith(_PROSE)


def mentions(data: bytes, names: Iterable[bytes]) -> bool:
    """Whether one of some names stands in a text."""
    return any(name in data and re.search(rb"\b%s\b" % re.escape(name), data) for name in names)
