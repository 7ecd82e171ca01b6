"""What the two parsers of units have in common."""

from __future__ import annotations

import re
import unicodedata

WRAPPER = "if 1:\n"  # gives an indented unit a parent, so that its columns survive
_LONGEST_STRING = 200
_INDENTED = re.compile(r"(?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n?|\n))*[ \t]+(?![ \t\f#\r\n]|\Z)")


def wrapped(text: str) -> bool:
    """Whether a unit's text needs the wrapper; comments on top of a module may be indented as they like."""
    return text[:1] in (" ", "\t") and _INDENTED.match(text) is not None


def identifier(name: str) -> str:
    """A name as Python compares it: ``µ`` the micro sign and ``μ`` the letter are one."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def string(value: str) -> str:
    """The value of a string as a constant holds it: not too long, and something that can be written as UTF-8."""
    short = value[:_LONGEST_STRING]
    return short if short.isascii() else short.encode("utf-8", "replace").decode()


# Both parsers recurse, libcst on the native stack, which ends the process where it overflows.
_MOST_BRACKETS = 200  # as Python's own tokenizer has it
_MOST_LINKS = 1000
_SHORTEST = 1000  # characters; nothing shorter can be too deep but in brackets
_LINKS = re.compile(
    r"""
    (?P<link>[rbfutRBFUT]{0,3}(?:\"{3}(?:\\.|[^\\])*?(?:\"{3}|\Z)|'{3}(?:\\.|[^\\])*?(?:'{3}|\Z)
        |"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))
    |(?P<skip>\#[^\n]*|\\\n)
    |(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<comma>,)
    |\n(?P<elif>[ \t]*)elif\b
    |(?P<statement>\n[ \t]*(?:def|class|return|import|try|raise|while|with|pass)\b)|(?P<end>[\n;])
    |(?P<operator>\*\*|//|[-+*/%@~|&^.]|\b(?:and|or|not|lambda|await|if)\b)
    """,
    re.VERBOSE | re.DOTALL,
)


def too_deep(text: str) -> int | None:
    """The row (from 1) at which a text is nested deeper than a parser can be trusted with, None where it is not."""
    if len(text) < _SHORTEST and text.count("(") + text.count("[") + text.count("{") <= _MOST_BRACKETS:
        return None
    links = 0  # of the expression that is open, all of its brackets together
    stack = [0]  # by bracket
    chains: dict[str, int] = {}  # elif by indentation
    for match in _LINKS.finditer(text):
        kind = match.lastgroup
        if kind in ("operator", "link"):
            stack[-1] += 1
            links += 1
        elif kind == "open":
            stack.append(0)
        elif kind == "close":
            if len(stack) > 1:
                links -= stack.pop()
            stack[-1] += 1
            links += 1
        elif kind == "comma":
            links -= stack[-1]
            stack[-1] = 0
        elif kind == "statement" or (kind == "end" and len(stack) == 1):
            stack, links = [0], 0
        elif kind == "elif":
            stack, links = [0], 0
            chains[match["elif"]] = chains.get(match["elif"], 0) + 1
            if chains[match["elif"]] > _MOST_LINKS:
                return _row(text, match)
        if links > _MOST_LINKS or len(stack) > _MOST_BRACKETS:
            return _row(text, match)
    return None


def _row(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1
