"""From the bytes of a file to text and to what the parsers see, as Python itself reads source."""

from __future__ import annotations

import codecs
import re

UTF8_BOM = codecs.BOM_UTF8
_WIDE_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# PEP 263: a comment alone on the first or the second row, and on the second only if the first holds no code.
_COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLANK = re.compile(rb"[ \t\f]*(?:#.*)?\Z")


class SourceError(Exception):
    """A file that cannot be linted, or not be written back; ``str()`` is the reason in one line."""


def declared_encoding(raw: bytes) -> str:
    """The encoding of Python source: UTF-8, unless its first two rows declare another."""
    if raw.startswith(tuple(bom for bom, _ in _WIDE_BOMS)):
        name = next(name for bom, name in _WIDE_BOMS if raw.startswith(bom))
        raise SourceError(f"the file is {name}, which Python cannot read; save it as UTF-8")
    bom = raw.startswith(UTF8_BOM)
    second = raw.find(b"\n", raw.find(b"\n") + 1)
    head = raw[len(UTF8_BOM) * bom : second if second >= 0 else None]
    if b"coding" not in head:
        return "utf-8"
    for row in head[:4096].splitlines()[:2]:  # a lone CR ends a row, too
        if match := _COOKIE.match(row):
            return _checked(match[1].decode("ascii", "replace"), match[0], bom)
        if not _BLANK.match(row):
            break
    return "utf-8"


def _checked(name: str, cookie: bytes, bom: bool) -> str:
    if name.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        return "utf-8"
    if bom:
        raise SourceError(f"the file begins with a UTF-8 byte order mark but declares the encoding {name}")
    try:
        readable = cookie.decode(name) == cookie.decode("ascii")
    except (LookupError, ValueError):
        readable = False
        try:
            codecs.lookup(name)
        except LookupError:
            raise SourceError(f"unknown encoding: {name}") from None
    if not readable:
        raise SourceError(f"the encoding {name} is none that Python source can have")
    return codecs.lookup(name).name


def decode(raw: bytes, encoding: str) -> str:
    """``raw`` without a byte order mark as text, line ends as they are."""
    body = raw.removeprefix(UTF8_BOM)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        row = len((body[: error.start] + b"x").splitlines())
        hint = "; declare another encoding, such as `# -*- coding: latin-1 -*-`" if encoding == "utf-8" else ""
        byte = body[error.start]
        raise SourceError(f"cannot be decoded as {encoding}: byte 0x{byte:02x} in row {row}{hint}") from None
    except ValueError as error:  # codecs that raise something else of their own
        raise SourceError(f"cannot be decoded as {encoding}: {error}") from None


def analysed(raw: bytes, encoding: str) -> bytes:
    """What the parsers see: UTF-8 without a byte order mark, line ends ``\\n``; rows and columns as in the text."""
    if encoding != "utf-8":
        data = decode(raw, encoding).encode("utf-8", "replace")
    else:
        data = raw.removeprefix(UTF8_BOM)
        if not data.isascii():
            decode(data, encoding)
    if b"\0" in data:
        raise SourceError("contains null bytes, so it is no Python source")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data
