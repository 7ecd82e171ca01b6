"""Fixes that move statements into a block or out of one.

Each function gives the changes of one action, by offsets of the layout's text. Lines within string literals keep what
they begin with; so do blank lines. Comments stay with the statements that they stand among.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nograd_lint.fixes.draft import Change
from nograd_lint.fixes.layout import Layout, UnfixableError, colon, field, statements

if TYPE_CHECKING:
    from tree_sitter import Node

_COMPOUND = frozenset(
    ("if_statement", "for_statement", "while_statement", "try_statement", "with_statement", "match_statement",
     "function_definition", "class_definition", "decorated_definition")
)  # fmt: skip
# Comments that speak to a tool about the very line they stand in.
_PRAGMA = re.compile(r"#\s*(?:noqa|nograd|type|pragma|pylint|fmt|ruff|yapf|nosec|pyright|mypy)\b", re.IGNORECASE)


def wrap(layout: Layout, first: Node, last: Node, headers: list[str]) -> list[Change]:
    """Put the statements ``first`` to ``last`` into a block; the last of ``headers`` opens it, the others go before."""
    block = first.parent
    if block is None or block != last.parent:
        raise UnfixableError("the statements are no siblings")
    siblings = statements(block)
    i, j = siblings.index(first), siblings.index(last)
    if i > j:
        raise UnfixableError("the statements stand in the wrong order")
    _check_movable(siblings[i : j + 1], docstring_possible=i == 0 and _takes_docstring(block))

    inline = layout.is_inline(block)
    step = layout.step(first)
    base, newline = _base(layout, siblings, i, step)
    changes = _explode(layout, block, siblings, base, newline) if inline else []

    opening = (newline + base).join(headers) + newline + base + step
    start, end = layout.start(first), layout.end(last)
    if layout.joined(first):
        if inline and i == 0:
            changes = [Change(layout.end(colon(block)), start, newline + base + opening)]
        else:
            changes.append(Change(layout.end(siblings[i - 1]), start, newline + base + opening))
    elif layout.own_line(first):
        changes.append(Change(start, start, opening))
    else:
        raise UnfixableError("the statement does not begin its line")
    if j + 1 < len(siblings) and layout.joined(siblings[j + 1]):
        changes.append(Change(end, layout.start(siblings[j + 1]), newline + base))

    deeper = step * 2 if inline else step
    changes += shift(layout, start, end, base if not inline else base[: -len(step)], deeper)
    changes += _shift_comments(layout, last, base, step)
    return changes


def _check_movable(run: list[Node], *, docstring_possible: bool) -> None:
    if any(node.has_error for node in run):
        raise UnfixableError("the statements can't be parsed")
    if docstring_possible and is_string(run[0]):
        raise UnfixableError("a docstring must stay the first statement")
    if any(node.type == "future_import_statement" for node in run):
        raise UnfixableError("a __future__ import must stay at the top of the file")


def _takes_docstring(block: Node) -> bool:
    owner = block.parent
    return owner is None or owner.type in ("function_definition", "class_definition")


def is_string(statement: Node) -> bool:
    return statement.type == "expression_statement" and [child.type for child in statement.named_children] in (
        ["string"],
        ["concatenated_string"],
    )


def _base(layout: Layout, siblings: list[Node], i: int, step: str) -> tuple[str, str]:
    """Indentation of the block's statements, and the newline that is used there."""
    block = siblings[i].parent
    if block is not None and layout.is_inline(block) and block.parent is not None:
        row = layout.lines.row(layout.start(block.parent))
        return layout.indentation(row) + step, layout.lines.newline(row)
    while layout.joined(siblings[i]):
        i -= 1
    row = layout.lines.row(layout.start(siblings[i]))
    return layout.indentation(row), layout.lines.newline(row)


def _explode(layout: Layout, block: Node, siblings: list[Node], base: str, newline: str) -> list[Change]:
    """Give a suite that stands in its header's line a line of its own."""
    return [Change(layout.end(colon(block)), layout.start(siblings[0]), newline + base)]


def shift(layout: Layout, start: int, end: int, base: str, step: str) -> list[Change]:
    """Indent the lines that begin between two offsets and are indented by ``base`` at least.

    Only continuation lines and comments can be indented less, where it means nothing.
    """
    changes = []
    strings = layout.multiline_strings(start, end)
    for row in range(layout.lines.row(start) + 1, layout.lines.row(end) + 1):
        at = layout.lines.start(row)
        if at >= end or layout.is_blank(row) or any(low < at < high for low, high in strings):
            continue
        if layout.indentation(row).startswith(base):
            place = layout.indented(row) + len(base)
            changes.append(Change(place, place, step))
    return changes


def _comment_rows(layout: Layout, last: Node, base: str) -> list[int]:
    """The comments below a compound statement that belong to it, being indented more than it is."""
    rows: list[int] = []
    row = layout.lines.row(layout.end(last)) + 1
    while last.type in _COMPOUND and row < len(layout.lines.starts):
        if layout.is_comment(row):
            indentation = layout.indentation(row)
            if not (indentation.startswith(base) and len(indentation) > len(base)):
                break
            rows.append(row)
        elif not layout.is_blank(row):
            break
        row += 1
    return rows


def _shift_comments(layout: Layout, last: Node, base: str, step: str) -> list[Change]:
    places = [layout.indented(row) + len(base) for row in _comment_rows(layout, last, base)]
    return [Change(place, place, step) for place in places]


def unwrap(layout: Layout, node: Node, item: int, *, keep_comment: bool = True) -> list[Change]:
    """Remove an item of a ``with`` statement, and the statement with its last one."""
    items = with_items(node)
    if not 0 <= item < len(items):
        raise UnfixableError("the with statement has no such item")
    if _has_target(items[item]):
        raise UnfixableError("the guard is bound to a name")
    if len(items) > 1:
        return [_remove_item(layout, items, item)]
    return _dissolve(layout, node, header_comment(layout, node) if keep_comment else "")


def with_items(node: Node) -> list[Node]:
    if node.type != "with_statement":
        raise UnfixableError("no with statement here")
    clause = next(child for child in node.named_children if child.type == "with_clause")
    return [child for child in clause.named_children if child.type == "with_item"]


def _has_target(item: Node) -> bool:
    return any(child.type == "as_pattern" for child in item.named_children)


def _remove_item(layout: Layout, items: list[Node], k: int) -> Change:
    lines = layout.lines
    clause = items[k].parent
    assert clause is not None
    start, end = layout.start(items[k]), layout.end(items[k])
    parenthesised = bool(clause.children) and clause.children[0].type == "("
    if parenthesised and len(items) == 2 and lines.row(layout.start(clause)) == lines.row(layout.end(clause)):
        return Change(layout.start(clause), layout.end(clause), layout.source(items[1 - k]))
    first, last = lines.row(start), lines.row(end)
    rest = layout.text[end : lines.end(last)].lstrip(" \t").removeprefix(",").lstrip(" \t")
    alone = not layout.text[lines.start(first) : start].strip() and (not rest or rest.startswith("#"))
    if parenthesised and alone and last + 1 < len(lines.starts):
        return Change(lines.start(first), lines.start(last + 1), "")
    if k + 1 < len(items):
        return Change(start, layout.start(items[k + 1]), "")
    return Change(layout.end(items[k - 1]), end, "")


def header_comment(layout: Layout, node: Node) -> str:
    """The comment in the line of a block's colon, unless it is meant for a tool."""
    block = field(node, "body")
    end = layout.end(colon(block))
    if layout.is_inline(block):
        return ""
    comment = layout.text[end : layout.lines.end(layout.lines.row(end))].strip()
    return "" if _PRAGMA.match(comment) else comment


def _dissolve(layout: Layout, node: Node, comment: str) -> list[Change]:
    """Remove the header of a block, but for its comment, and dedent the body."""
    block = field(node, "body")
    body = statements(block)
    parent = node.parent
    if parent is None or not layout.own_line(node) or node.has_error:
        raise UnfixableError("the with statement does not begin its line")
    if statements(parent)[0] == node and _takes_docstring(parent) and is_string(body[0]):
        raise UnfixableError("a string would become the docstring")
    start = layout.start(node)
    if layout.is_inline(block):
        return [Change(start, layout.start(body[0]), "")]

    lines = layout.lines
    base = layout.indentation(lines.row(start))
    inner = layout.indentation(lines.row(layout.start(body[0])))
    if not inner.startswith(base) or len(inner) == len(base) or not layout.own_line(body[0]):
        raise UnfixableError("the indentation is not consistent")
    head = lines.row(layout.end(colon(block)))
    if comment:
        changes = [Change(start, lines.end(head), comment)]
    else:
        # The first line of the body takes the place of the header.
        head += 1
        while layout.is_blank(head):  # ends at the body, for there is one
            head += 1
        changes = [Change(start, layout.indented(head) + len(layout.indentation(head)), "")]
    end = layout.end(node)
    strings = layout.multiline_strings(start, end)
    for row in range(head + 1, lines.row(end) + 1):
        if lines.start(row) < end and not any(low < lines.start(row) < high for low, high in strings):
            changes += _dedent(layout, row, base, inner)
    for row in _comment_rows(layout, node, base):
        changes += _dedent(layout, row, base, inner)
    return changes


def _dedent(layout: Layout, row: int, base: str, inner: str) -> list[Change]:
    indentation = layout.indentation(row)
    if layout.is_blank(row) or not indentation.startswith(base):
        return []
    surplus = min(len(indentation), len(inner)) - len(base)
    place = layout.indented(row) + len(base)
    return [Change(place, place + surplus, "")] if surplus else []
