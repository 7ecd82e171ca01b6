"""Reading knowledge files."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import msgspec.toml

from nograd_lint.knowledge.tables import Entry, Framework

_HERE = Path(__file__).parent


class KnowledgeError(ValueError):
    """A knowledge file cannot be used; the message names the file and the key."""


class File(msgspec.Struct, frozen=True):
    framework: Framework
    digest: bytes


class _Packed(msgspec.Struct, array_like=True):
    frameworks: dict[str, tuple[str, ...]]
    files: dict[str, File]


_UNPACKED: list[_Packed] = []


def pack() -> bytes:
    """What comes with nograd-lint, in a form that is read faster."""
    return msgspec.msgpack.encode(_Packed(frameworks(), {stem: builtin(stem) for stem in frameworks()}))


def unpack(data: bytes) -> None:
    """Take what :func:`pack` gave instead of the files; what is something else is left alone."""
    with contextlib.suppress(msgspec.DecodeError):
        _UNPACKED[:] = [msgspec.msgpack.decode(data, type=_Packed)]


@functools.cache
def frameworks() -> dict[str, tuple[str, ...]]:
    """The frameworks that come with nograd-lint: stem of the file, and the import roots that stand for it."""
    if _UNPACKED:
        return _UNPACKED[0].frameworks
    found = {}
    for path in sorted(_HERE.glob("*.toml")):
        # The keys of the top level end where the first table starts; the tables are parsed only where they are needed.
        head = path.read_text(encoding="utf-8").partition("\n[")[0]
        found[path.stem] = tuple(msgspec.toml.decode(head)["modules"])
    return found


@functools.cache
def builtin(stem: str) -> File:
    """The file that comes with nograd-lint."""
    if _UNPACKED:
        return _UNPACKED[0].files[stem]
    return read(_HERE / f"{stem}.toml")


def read(path: Path) -> File:
    """Read and check one file.

    Raises:
        KnowledgeError: it is missing, no TOML, or not in the format.
    """
    try:
        data = path.read_bytes()
        content = msgspec.toml.decode(data)
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path}: is not UTF-8") from error
    except msgspec.DecodeError as error:
        raise KnowledgeError(f"{path}: is not TOML: {error}") from error
    try:
        framework = msgspec.convert(content, Framework)
    except msgspec.ValidationError as error:
        raise KnowledgeError(f"{path}: {_explain(str(error), content)}") from error
    if unknown := [stem for stem in framework.needs if stem not in frameworks()]:
        raise KnowledgeError(f"{path}: needs: no such framework: {unknown[0]!r}{_suggest(unknown[0], frameworks())}")
    _check_names(path, content, framework)
    return File(framework, hashlib.blake2b(data, digest_size=16).digest())


def _check_names(path: Path, content: dict[str, Any], framework: Framework) -> None:
    for table in content:
        entries = getattr(framework, "class_" if table == "class" else table)
        for number, entry in enumerate(entries if isinstance(content[table], list) else (), 1):
            if isinstance(entry, Entry) and not entry.names:
                members = entry.methods or getattr(entry, "attributes", ())
                if not (entry.bases and members):
                    raise KnowledgeError(f"{path}: [[{table}]] number {number}: needs names, or bases and methods")


_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]*)`")
_KEY = re.compile(r"^(?P<table>\w+)\[(?P<number>\d+)\](?:\.(?P<key>.+))?$")


def _explain(message: str, content: dict[str, Any]) -> str:
    """The message of the validator in the words of the file: which table, which entry, which key."""
    at = _AT.search(message)
    text, where, table, place = message, "", "", None
    if at is not None:
        text = message[: at.start()]
        place = _KEY.match(at["path"])
        if place is None:
            where = f"{at['path']}: "
        else:
            table = place["table"]
            where = f"[[{table}]] number {int(place['number']) + 1}: " + (f"{place['key']}: " if place["key"] else "")
    if unknown := _UNKNOWN.match(text):
        key = unknown["key"]
        kind = "table" if not table and isinstance(content.get(key), (list, dict)) else "key"
        return f"{where}unknown {kind} {key!r}{_suggest(key, _keys(table))}"
    if missing := _MISSING.match(text):
        return f"{where}the key {missing['key']!r} is missing"
    if at is not None and at["path"] in _keys("") and text == "Expected `array`, got `object`":
        return f"{where}a table is written [[{at['path']}]], in two pairs of brackets"
    if text.startswith("Invalid enum value") and place is not None and place["key"]:
        return f"{where}{text[:1].lower()}{text[1:]}: use one of {', '.join(_values(table, place['key']))}"
    return where + text[:1].lower() + text[1:]


def _fields(table: str) -> dict[str, Any]:
    """Keys and types of the top level or of a table."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(Framework)}
    if not table:
        return fields
    return {field.encode_name: field.type for field in msgspec.structs.fields(get_args(fields[table])[0])}


def _keys(table: str) -> list[str]:
    return list(_fields(table))


def _values(table: str, path: str) -> list[str]:
    """What a key with a fixed set of values may be; ``path`` may point into a list."""
    queue = [_fields(table)[path.partition("[")[0]]]
    for kind in queue:
        queue += [arg for arg in get_args(kind) if not isinstance(arg, str)]
    return [arg for kind in queue for arg in get_args(kind) if isinstance(arg, str)]


def _suggest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
