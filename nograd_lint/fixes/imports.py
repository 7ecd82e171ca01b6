"""How a file spells the names of torch, and where ``import torch`` goes where it does not yet know them."""

from __future__ import annotations

import re
import sys
from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.fixes.draft import Change
from nograd_lint.fixes.layout import Layout, UnfixableError, field, statements

if TYPE_CHECKING:
    from tree_sitter import Node

_TORCH = re.compile(r"(?<![\w.])torch\.([A-Za-z_]\w*)")
# Modules that offer the guards under the same names.
_HOMES = ("torch", "torch.autograd", "torch.autograd.grad_mode")
_IMPORTS = ("import_statement", "import_from_statement")
_DEFINITIONS = ("function_definition", "class_definition", "decorated_definition")
# Code that fails on import where torch is missing.
_NEEDS_TORCH = re.compile(r"^[ \t]*(?:@torch\.|class \w+\([^)\n]*\b(?:torch|nn)\.)", re.MULTILINE)


class Spelling(msgspec.Struct, frozen=True):
    """``text`` as the file would write it; ``changes`` import torch at the top, ``local`` says to do so on the spot.

    ``certain`` is False where torch may be missing at run time without the module failing to import.
    """

    text: str
    changes: tuple[Change, ...] = ()
    local: bool = False
    certain: bool = True


class _Binding(msgspec.Struct, frozen=True):
    name: str
    origin: str  # dotted name of what it stands for; "" where that is unknown
    at: int  # byte offset of the end of the statement
    certain: bool


def guard_spelling(layout: Layout, text: str, at: int) -> Spelling:
    """How ``text``, in which names of torch are written ``torch.name``, is written at an offset of the file.

    Raises:
        UnfixableError: the name ``torch`` stands for something else there.
    """
    wanted = list(dict.fromkeys(_TORCH.findall(text)))
    if not wanted:
        return Spelling(text)
    bindings = list(_visible(layout, at))
    spelt: dict[str, str] = {}
    certain = True
    whole = [b for b in bindings if b.origin == "torch"]
    for attribute in wanted:
        single = [b for b in bindings if b.origin in [f"{home}.{attribute}" for home in _HOMES]]
        if any(f"{b.name}.{attribute}(" in layout.text for b in whole):
            single = []  # the file could use the short name, but does not
        found = single or whole
        if not found:
            break
        best = next((b for b in found if b.certain), found[0])
        certain = certain and best.certain
        spelt[attribute] = best.name if single else f"{best.name}.{attribute}"
    else:
        certain = certain or bool(_NEEDS_TORCH.search(layout.text))
        return Spelling(_TORCH.sub(lambda m: spelt[m[1]], text), certain=certain)

    if any(b.name == "torch" and not b.origin for b in bindings) or _supplied_by_star(layout, bindings):
        # `torch = pytest.importorskip("torch")`, a lazy loader, or a star import.
        return Spelling(text)
    if any(b.name == "torch" for b in bindings):
        raise UnfixableError("the name torch stands for something else")
    if _torch_is_optional(layout):
        return Spelling(text, local=True, certain=False)
    return Spelling(text, changes=(_import_torch(layout, at),))


def _visible(layout: Layout, at: int) -> list[_Binding]:
    """What is imported, or bound to the name ``torch``, where code at an offset runs; innermost scope first."""
    byte = layout.byte(at)
    node = layout.root.descendant_for_byte_range(byte, byte)
    scopes = []
    while node is not None:
        # A class body is seen by itself alone, and what a function binds further down is not bound yet.
        if node.type == "function_definition" and field(node, "body").start_byte <= byte:
            scopes.append(field(node, "body"))
        node = node.parent
    result = []
    for scope in scopes:
        result += [b for b in _bindings(scope) if b.at <= byte]
    module = list(_bindings(layout.root))
    # A function runs after the whole module has; the module's own code does not.
    return result + (module if scopes else [b for b in module if b.at <= byte])


def _bindings(scope: Node, *, certain: bool = True) -> list[_Binding]:
    result: list[_Binding] = []
    for node in scope.named_children:
        if node.type in _IMPORTS:
            result += [_Binding(name, origin, node.end_byte, certain) for name, origin in _imported(node)]
        elif node.type == "expression_statement":
            result += [
                _Binding("torch", "", node.end_byte, certain)
                for child in node.named_children
                if child.type == "assignment" and (left := child.child_by_field_name("left")) is not None
                if left.text == b"torch" and child.child_by_field_name("right") is not None
            ]
        elif node.type in ("if_statement", "try_statement", "with_statement", "else_clause", "block", "finally_clause"):
            if node.type == "if_statement" and _never_runs(node):
                continue
            sure = certain and (
                node.type not in ("if_statement", "try_statement", "else_clause") or _always_raises(node)
            )
            result += _bindings(node, certain=sure)
    return result


def _never_runs(node: Node) -> bool:
    condition = node.child_by_field_name("condition")
    return condition is not None and (condition.text or b"").rpartition(b".")[2] == b"TYPE_CHECKING"


def _always_raises(node: Node) -> bool:
    """Whether a ``try`` statement lets nobody pass who came through a handler."""
    handlers = [child for child in node.named_children if child.type == "except_clause"]
    lasts = [statements(child)[-1] for h in handlers for child in h.named_children if child.type == "block"]
    return node.type == "try_statement" and all(
        last.type == "raise_statement" or b"exit(" in (last.text or b"") for last in lasts
    )


def _imported(node: Node) -> list[tuple[str, str]]:
    """The names that an import statement binds, each with what it stands for."""
    module = node.child_by_field_name("module_name")
    result = []
    for name in node.children_by_field_name("name"):
        alias = name.child_by_field_name("alias")
        target = name.child_by_field_name("name") if name.type == "aliased_import" else name
        dotted = _text(target)
        if module is not None:
            result.append((_text(alias) or dotted, f"{_text(module)}.{dotted}"))
        elif alias is not None:
            result.append((_text(alias), dotted))
        else:
            result.append((dotted.partition(".")[0], dotted.partition(".")[0]))
    if module is not None and any(child.type == "wildcard_import" for child in node.named_children):
        result.append(("*", _text(module)))
    return result


def _text(node: Node | None) -> str:
    return "".join((node.text or b"").decode().split()) if node is not None else ""


def _supplied_by_star(layout: Layout, bindings: list[_Binding]) -> bool:
    return any(b.name == "*" for b in bindings) and bool(_TORCH.search(layout.text))


def _is_torch(node: Node) -> bool:
    return any(origin == "torch" or origin.startswith("torch.") for _, origin in _imported(node))


def _torch_is_optional(layout: Layout) -> bool:
    """Whether the module imports something of torch, but never unconditionally at its top level."""
    found = [node for node in _walk(layout.root) if node.type in _IMPORTS and _is_torch(node)]
    return bool(found) and not any(node.parent == layout.root for node in found)


def _walk(node: Node) -> list[Node]:
    result = []
    for child in node.named_children:
        result.append(child)
        if child.type not in ("expression_statement", *_IMPORTS):
            result += _walk(child)
    return result


def _import_torch(layout: Layout, at: int) -> Change:
    """``import torch`` above ``at``: beside what is imported from torch, else below the imports of the file's top."""
    lines = layout.lines
    top = [node for node in statements(layout.root) if layout.start(node) < at]
    for node in top:
        if node.type in _IMPORTS and _is_torch(node) and layout.own_line(node):
            start = layout.start(node)
            return Change(start, start, "import torch" + lines.newline(lines.row(start)))
    head = list(takewhile(lambda node: node.type not in _DEFINITIONS, top))
    if (change := _among_imports(layout, head)) is not None:
        return change
    before = [i for i, node in enumerate(head) if node.type in (*_IMPORTS, "future_import_statement")]
    if not before and head and _is_docstring(head[0]):
        before = [0]
    if before:
        last = before[-1]
        is_import = head[last].type in _IMPORTS
        while last + 1 < len(head) and layout.joined(head[last + 1]):
            last += 1
        row = lines.row(layout.end(head[last]))
        newline = lines.newline(row)
        return Change(lines.end(row), lines.end(row), f"{newline}{'' if is_import else newline}import torch")
    row = 0
    while row + 1 < len(lines.starts) and lines.line(row).lstrip("\ufeff \t").startswith("#"):
        row += 1
    newline = lines.newline(row)
    start = layout.indented(row)
    return Change(start, start, f"import torch{newline}{'' if layout.is_blank(row) else newline}")


def _among_imports(layout: Layout, head: list[Node]) -> Change | None:
    """``import torch`` where its like stand: in the last group of imports that is neither Python's nor the project's.

    None where the imports at the top of the file are not so plain that this could be said.
    """
    lines = layout.lines
    imports = [node for node in head if node.type in _IMPORTS and layout.own_line(node)]
    groups: list[list[Node]] = []
    for node in imports:
        row = lines.row(layout.start(node))
        adjoins = groups and lines.row(layout.end(groups[-1][-1])) + 1 == row
        if adjoins:
            groups[-1].append(node)
        else:
            groups.append([node])
    third = [group for group in groups if any(map(_is_third_party, group)) and not any(map(_is_relative, group))]
    if third:
        plain = [node for node in third[-1] if node.type == "import_statement" and _module(node) < "torch"]
        if not plain:
            start = layout.start(third[-1][0])
            return Change(start, start, "import torch" + lines.newline(lines.row(start)))
        last, blank = plain[-1], ""
    else:
        standard = [group for group in groups if all(map(_is_standard, group))]
        if not standard and groups:
            start = layout.start(groups[0][0])
            return Change(start, start, "import torch" + lines.newline(lines.row(start)) * 2)
        if not standard:
            return None
        last = standard[-1][-1]
        blank = lines.newline(lines.row(layout.end(last)))
    row = lines.row(layout.end(last))
    following = [node for node in head if node.start_byte >= last.end_byte]
    if following and layout.joined(following[0]):
        return None
    return Change(lines.end(row), lines.end(row), f"{blank}{lines.newline(row)}import torch")


def _module(node: Node) -> str:
    name = node.child_by_field_name("module_name") or node.child_by_field_name("name")
    if name is not None and name.type == "aliased_import":
        name = name.child_by_field_name("name")
    return _text(name)


def _is_relative(node: Node) -> bool:
    return _module(node).startswith(".")


def _is_standard(node: Node) -> bool:
    return _module(node).partition(".")[0] in sys.stdlib_module_names


def _is_third_party(node: Node) -> bool:
    return not _is_standard(node) and not _is_relative(node)


def _is_docstring(node: Node) -> bool:
    return node.type == "expression_statement" and node.named_children[0].type == "string"
