"""Jupyter notebooks: cells out of the JSON text, and edits back into it with nothing else changed."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import msgspec

from nograd_lint.diagnostics import Edit
from nograd_lint.source.cells import CellFile
from nograd_lint.source.decoding import UTF8_BOM, SourceError
from nograd_lint.source.files import splice

_SPACE = re.compile(r"[ \t\n\r]*")
# One code point of a string's value each (a CRLF is one line end of ours).
_CHARACTERS = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\r\\n|\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL
)
_ESCAPED_TEXT = re.compile(r"\\u(?!00[01])[0-9a-fA-F]{4}")
_NEWLINES = ("\\n", "\\r", "\\r\\n", "\\u000a", "\\u000A", "\\u000d", "\\u000D")


class _Source(msgspec.Struct):
    """The ``source`` of a code cell, and where its value stands in the JSON text."""

    number: int
    text: str
    start: int
    end: int


class _Style(msgspec.Struct):
    escape: bool  # whether other characters than ASCII's are written as \\u…
    separator: str  # between the items of a list in one row


class Notebook(CellFile):
    """A notebook. One that is not in Python has no cells."""

    def __init__(self, path: Path, filename: str, raw: bytes) -> None:
        try:
            self._json = raw.removeprefix(UTF8_BOM).decode()
        except UnicodeDecodeError:
            raise SourceError("not a notebook: the file is not UTF-8") from None
        try:
            self._sources = _Reader(self._json).read()
        except json.JSONDecodeError as error:
            reason = f"{error.msg} (row {error.lineno}, column {error.colno})"
            raise SourceError(f"not a notebook: not valid JSON: {reason}") from None
        except RecursionError:
            raise SourceError("not a notebook: nested too deeply") from None
        super().__init__(path, filename, raw, [(source.number, source.text) for source in self._sources])

    def edited(self, edits: Sequence[Edit]) -> bytes:
        if not edits:
            return self.raw
        by_cell: dict[int, list[tuple[int, int, str]]] = {}
        starts = [0]
        for text in self._texts:
            starts.append(starts[-1] + len(text) + 1)
        for start, end, content in self.replacements(edits):
            index = next(i for i in reversed(range(len(self._texts))) if starts[i] <= start)
            first, last = starts[index], starts[index] + len(self._texts[index])
            if end == last + 1:  # whole rows down to the cell's last: the line end after that one is ours
                end = last
                if content.endswith("\n"):
                    content = content[:-1]
                elif start > first:
                    start -= 1
            if end > last:
                raise SourceError("an edit reaches from one cell into another")
            by_cell.setdefault(index, []).append((start - first, end - first, content))
        style = _Style(
            escape=self.raw.isascii() and _ESCAPED_TEXT.search(self._json) is not None,
            separator=", " if '": ' in self._json else ",",
        )
        changes = []
        for index, replacements in by_cell.items():
            source = self._sources[index]
            value = self._json[source.start : source.end]
            changes.append((source.start, source.end, _edited_source(value, source.text, replacements, style)))
        bom = UTF8_BOM if self.raw.startswith(UTF8_BOM) else b""
        return bom + splice(self._json, sorted(changes)).encode()


class _Reader:
    """Walks the JSON text as far as the cells, so that the places of their sources are known."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.decode = json.JSONDecoder().raw_decode

    def read(self) -> list[_Source]:
        self.sources: list[_Source] | None = None
        self.metadata: dict[str, Any] = {}
        self.version: object = None
        start = self.skip(0)
        self.expect("{", start, "not a JSON object")
        end = self.skip(self.object(start, self.top))
        if end != len(self.text):
            raise json.JSONDecodeError("Extra data", self.text, end)
        if self.sources is None:
            if isinstance(self.version, int) and self.version < 4:
                raise SourceError(f"notebook format {self.version} is too old; convert it with `jupyter nbconvert`")
            raise SourceError("not a notebook: it has no cells")
        return self.sources if _language(self.metadata) in ("", "python", "ipython") else []

    def top(self, key: str, position: int) -> int:
        if key == "cells":
            self.sources = []
            return self.array(position, self.cell)
        value, end = self.decode(self.text, position)
        if key == "metadata" and isinstance(value, dict):
            self.metadata = value
        elif key == "nbformat":
            self.version = value
        return end

    def cell(self, index: int, position: int) -> int:
        self.expect("{", position, f"cell {index + 1} is not an object")
        fields: dict[str, Any] = {}
        places: dict[str, tuple[int, int]] = {}

        def member(key: str, position: int) -> int:
            fields[key], end = self.decode(self.text, position)
            places[key] = (position, end)
            return end

        end = self.object(position, member)
        if fields.get("cell_type") == "code" and self.sources is not None:
            source = fields.get("source", "")
            lines = source if isinstance(source, list) else [source]
            if not all(isinstance(line, str) for line in lines):
                raise SourceError(f"not a notebook: the source of cell {index + 1} is no text")
            editor = _mapping(_mapping(fields.get("metadata")).get("vscode"))
            if "source" in places and editor.get("languageId", "python") == "python":
                text = "".join(lines).replace("\r\n", "\n")
                self.sources.append(_Source(index + 1, text, *places["source"]))
        return end

    def expect(self, opening: str, position: int, otherwise: str) -> None:
        if not self.text.startswith(opening, position):
            self.decode(self.text, position)  # raises where it is no JSON at all
            raise SourceError(f"not a notebook: {otherwise}")

    def skip(self, position: int) -> int:
        match = _SPACE.match(self.text, position)
        return match.end() if match else position

    def object(self, position: int, visit: Callable[[str, int], int]) -> int:
        """Visit the members of the object at ``position``; its end."""

        def member(_: int, position: int) -> int:
            if self.text[position : position + 1] != '"':
                raise json.JSONDecodeError("Expecting property name enclosed in double quotes", self.text, position)
            key, end = self.decode(self.text, position)
            end = self.skip(end)
            if self.text[end : end + 1] != ":":
                raise json.JSONDecodeError("Expecting ':' delimiter", self.text, end)
            return visit(key, self.skip(end + 1))

        return self.items(position, "}", member)

    def array(self, position: int, visit: Callable[[int, int], int]) -> int:
        self.expect("[", position, "its cells are no list")
        return self.items(position, "]", visit)

    def items(self, position: int, closing: str, visit: Callable[[int, int], int]) -> int:
        position = self.skip(position + 1)
        if self.text[position : position + 1] == closing:
            return position + 1
        index = 0
        while True:
            position = self.skip(visit(index, position))
            index += 1
            delimiter = self.text[position : position + 1]
            if delimiter == closing:
                return position + 1
            if delimiter != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", self.text, position)
            position = self.skip(position + 1)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _language(metadata: dict[str, Any]) -> str:
    kernel = _mapping(metadata.get("kernelspec"))
    language = _mapping(metadata.get("language_info")).get("name") or kernel.get("language") or ""
    return str(language).lower()


# --- back into the JSON ---------------------------------------------------------------------------------------------


def _edited_source(value: str, text: str, replacements: Sequence[tuple[int, int, str]], style: _Style) -> str:
    """The JSON of a cell's source with parts of its text replaced; the rest keeps its spelling and layout."""
    is_list = value.startswith("[")
    strings = _strings(value) if is_list else [(0, len(value))]
    # What stands before each string, and its characters as they are spelt.
    gaps = [value[a:b] for (_, a), (b, _) in pairwise([(0, 1), *strings])] or [""]
    elements = [_CHARACTERS.findall(value, start + 1, end - 1) for start, end in strings] or [[]]
    if sum(map(len, elements)) != len(text):
        raise SourceError("the JSON of the cell cannot be edited")
    starts = list(accumulate(map(len, elements), initial=0))[:-1]
    touched = set()
    for start, end, content in reversed(replacements):
        index = bisect_right(starts, start) - 1
        for other in range(bisect_right(starts, max(start, end - 1)) - 1, index - 1, -1):
            touched.add(other)
            del elements[other][max(start - starts[other], 0) : end - starts[other]]
        elements[index][start - starts[index] : start - starts[index]] = [
            json.dumps(content, ensure_ascii=style.escape)[1:-1]
        ]
    if not is_list:
        return f'"{"".join(elements[0])}"'
    return _joined(value, strings, gaps, elements, touched, style)


def _strings(value: str) -> list[tuple[int, int]]:
    """Where the strings of a JSON list stand."""
    reader = _Reader(value)
    found: list[tuple[int, int]] = []

    def element(_: int, position: int) -> int:
        found.append((position, reader.decode(value, position)[1]))
        return found[-1][1]

    reader.array(0, element)
    return found


def _joined(
    value: str,
    strings: Sequence[tuple[int, int]],
    gaps: list[str],
    elements: list[list[str]],
    touched: set[int],
    style: _Style,
) -> str:
    """The list again, one string per line of what was touched; strings that lost their line end take the next in."""
    separator = gaps[1] if len(gaps) > 1 else "," + gaps[0] if gaps[0] else style.separator
    result: list[str] = []
    pending, gap = "", ""
    for index, characters in enumerate(elements):
        text = "".join(characters)
        if index not in touched and not pending:
            result += [gaps[index] if result else gaps[0], f'"{text}"']
            continue
        gap = gap if pending else gaps[index]
        pending += text
        if index + 1 < len(elements) and not pending.endswith(_NEWLINES):
            continue
        for line in _lines(pending):
            result += [gap if result else gaps[0], f'"{line}"']
            gap = separator
        pending = ""
    if not result:
        return "[]"
    return "[" + "".join(result) + (value[strings[-1][1] :] if strings else "]")


def _lines(text: str) -> list[str]:
    """The characters of a JSON string as lines."""
    lines: list[str] = [""]
    for character in _CHARACTERS.findall(text):
        lines[-1] += character
        if character in _NEWLINES:
            lines.append("")
    return lines if lines[-1] else lines[:-1]
