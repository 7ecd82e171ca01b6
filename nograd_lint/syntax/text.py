"""What the two parsers of units have in common."""

from __future__ import annotations

WRAPPER = "if 1:\n"  # gives an indented unit a parent, so that its columns survive
_LONGEST_STRING = 200


def wrapped(text: str) -> bool:
    """Whether a unit's text needs the wrapper."""
    return text[:1] in (" ", "\t")


def string(value: str) -> str:
    """The value of a string as a constant holds it: not too long, and something that can be written as UTF-8."""
    short = value[:_LONGEST_STRING]
    return short if short.isascii() else short.encode("utf-8", "replace").decode()
