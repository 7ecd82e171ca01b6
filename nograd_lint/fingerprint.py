"""Fingerprints: what a diagnostic is recognised by after the code around it has changed, or been formatted.

No line numbers: the rule, the file, the qualified function, and the first statement of the region as its tokens,
without whatever formatters add, drop or rewrite. Equal ones are counted in their order in the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest

import msgspec

from nograd_lint.diagnostics import Confidence, Diagnostic, Position
from nograd_lint.source.files import SourceFile
from nograd_lint.source.lexer import STRING, logical_line

_TOKEN = re.compile(
    rb"(?P<space>[ \t\f\n]+|\\\n?)|(?P<comment>\#[^\n]*)|(?P<string>(?<![\w\x80-\xff])[rbuftRBUFT]{0,3}(?:"
    + STRING
    + rb"))|(?P<number>(?<![\w\x80-\xff])(?:0[xXoObB]\w+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?[\d_]+)?[jJlL]?))"
    + rb"|(?P<word>[\w\x80-\xff]+)|(?P<operator>:=|.)",
    re.DOTALL,
)
_COMPOUND = frozenset(b"if for while with async def class try else elif except finally match case".split())
_PREFIX = re.compile(rb"\A[rbuft]*", re.IGNORECASE)
_QUOTES = re.compile(rb"\\(?=['\"])|['\"]|\s")
# What a comma before is a trailing one: of brackets, of a tuple assigned to or iterated over, of a tuple at the end.
_AFTER_TRAILING_COMMA = frozenset((b")", b"]", b"}", b"=", b"in", b":", b""))


def statement_tokens(data: bytes, start: int) -> bytes:
    """The statement that begins at ``start``, of a compound one the header, as formatters leave it."""
    end = logical_line(data, start).end
    tokens: list[bytes] = []
    strings: list[bytes] = []
    depth = lambdas = 0
    for match in _TOKEN.finditer(data, start, end):
        kind, token = match.lastgroup, match[0]
        if kind in ("space", "comment"):
            continue
        if kind == "string":
            strings.append(_string(token))
            continue
        if strings:  # neighbours may be joined into one
            tokens.append(b'"' + b"".join(strings))
            strings = []
        if token in b"([{":
            depth += 1
        elif token in b")]}":
            depth -= 1
        elif depth == 0 and token == b"lambda":
            lambdas += 1
        elif depth == 0 and token == b":" and lambdas:
            lambdas -= 1
        elif depth == 0 and (token == b";" or (token == b":" and tokens and tokens[0] in _COMPOUND)):
            break
        tokens.append(_number(token) if kind == "number" else token)
    if strings:
        tokens.append(b'"' + b"".join(strings))
    kept = [
        token
        for token, following in zip_longest(tokens, tokens[1:], fillvalue=b"")
        if token not in b"()" and not (token == b"," and following in _AFTER_TRAILING_COMMA)
    ]
    return b" ".join(kept)


def _number(token: bytes) -> bytes:
    """A number as formatters write it: ``1.0`` for ``1.``, ``0.5`` for ``.5``, ``1e3`` for ``1E+3``."""
    whole, point, fraction = token.lower().replace(b"+", b"").partition(b".")
    return (whole or b"0") + point + (b"0" if point and not fraction[:1].isdigit() else b"") + fraction


def _string(token: bytes) -> bytes:
    """A string whatever its quotes, prefix and escapes look like, ready to be joined with its neighbours."""
    body = _QUOTES.sub(b"", _PREFIX.sub(b"", token))
    return body.replace(b"{{", b"{").replace(b"}}", b"}").lower()


def with_fingerprints(source: SourceFile, name: str, diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics of a file with their fingerprints, sorted by place.

    They must be all that the rules found, before any filter: which of several equal ones is meant is a matter of order.
    Those of low confidence come last, as they are looked for only where somebody wants to know of them.

    Args:
        source: the file.
        name: its path below the root of its own project, whichever project the run is about.
        diagnostics: what was found in it.
    """
    import hashlib

    seen: Counter[bytes] = Counter()
    found = []
    for diagnostic in sorted(sorted(diagnostics, key=_place), key=lambda d: d.confidence is Confidence.LOW):
        statement = statement_tokens(source.analysis, source.offset(diagnostic.region.start))
        fields = (diagnostic.code, name, diagnostic.function)
        base = b"\0".join([*(field.encode("utf-8", "replace") for field in fields), statement])
        digest = hashlib.blake2b(b"%b\0%d" % (base, seen[base]), digest_size=8).hexdigest()
        seen[base] += 1
        found.append(msgspec.structs.replace(diagnostic, fingerprint=digest))
    return tuple(sorted(found, key=_place))


def _place(diagnostic: Diagnostic) -> tuple[Position, Position, str]:
    return diagnostic.span.start, diagnostic.region.start, diagnostic.code
