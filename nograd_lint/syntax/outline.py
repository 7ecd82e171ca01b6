"""The outline of a file: definitions, imports and names, however broken the file is."""

from __future__ import annotations

import msgspec

from nograd_lint.syntax.ir import Alias


class Definition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A function or class. Offsets are bytes of the analysed text; ``start`` is the first byte of its first line."""

    kind: str  # function, class
    name: str
    qualname: str  # without <locals>
    parent: int  # index of the enclosing definition, -1 at top level
    start: int
    end: int
    row: int  # 0-based row of ``start``, decorators included
    body: int  # first byte of the body
    bases: tuple[str, ...]  # source of a class's bases
    decorators: tuple[str, ...]  # source, without @
    is_async: bool = False


class ImportName(msgspec.Struct, frozen=True, array_like=True, gc=False):
    alias: Alias
    scope: int  # index of the definition that holds the import, -1 at top level


class Outline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    definitions: tuple[Definition, ...]
    imports: tuple[ImportName, ...]
    globals: tuple[str, ...]  # names that the module body assigns
    broken: bool  # tree-sitter met an error


def outline(data: bytes) -> Outline:
    """The outline of UTF-8 source text."""
    from nograd_lint.syntax.skim import skim

    found = skim(data)
    if found is None:
        from nograd_lint.syntax.tree import outline_of_tree

        found = outline_of_tree(data)
    return found


def unit_text(data: bytes, definition: Definition) -> str:
    """The source of a function or class, from the first byte of its first line."""
    return data[definition.start : definition.end].decode("utf-8", "replace") + "\n"


def module_text(data: bytes, outline: Outline, *, rows: bool = True) -> str:
    """The module with function bodies blanked; ``rows`` keeps its rows, which cost as much to parse as others."""
    pieces = []
    at = 0
    for definition in outline.definitions:
        if definition.kind == "function" and definition.body >= at:
            pieces.append(data[at : definition.body])
            pieces.append(b"...")
            if rows:
                pieces.append(b"\n" * data.count(b"\n", definition.body, definition.end))
            at = definition.end
    pieces.append(data[at:])
    return b"".join(pieces).decode("utf-8", "replace")
