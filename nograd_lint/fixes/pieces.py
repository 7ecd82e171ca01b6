"""Fixes that leave the blocks as they are: decorators, replacements, deletions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nograd_lint.fixes.draft import Change
from nograd_lint.fixes.layout import Layout, UnfixableError, statements

if TYPE_CHECKING:
    from tree_sitter import Node

# Decorators that read or mark the very function they stand on, so that nothing may come between.
_ADJACENT = re.compile(r"@\s*(?:torch\.(?:jit|compile|_dynamo)|(?:numba|nb|triton|ti|jax)\.|(?:n?jit|vectorize)\b)")
# Decorators that make something other than a function; a guard above them would get the wrong thing.
_OUTERMOST = re.compile(
    r"@\s*(?:[\w.]+\.)?(?:staticmethod|classmethod|(?:\w+_)?property|cached_property|setter|getter|deleter)\b"
)
# Sources that can be followed by a dot, a bracket or a parenthesis as they are.
_PRIMARY = frozenset(
    ("identifier", "attribute", "call", "subscript", "string", "concatenated_string", "list", "tuple", "dictionary",
     "set", "list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression",
     "parenthesized_expression", "true", "false", "none", "ellipsis")
)  # fmt: skip
# Sources that need parentheses wherever they stand beside something else.
_LOOSE = frozenset(("expression_list", "pattern_list", "named_expression", "yield", "assignment"))


def decorators(definition: Node) -> list[Node]:
    parent = definition.parent
    if parent is None or parent.type != "decorated_definition":
        return []
    return [child for child in parent.named_children if child.type == "decorator"]


def decorate(layout: Layout, definition: Node, guard: str) -> list[Change]:
    """Put a decorator nearest to the function, but above those that must stay next to it."""
    target = definition
    for decorator in reversed(decorators(definition)):
        if not _ADJACENT.match(layout.source(decorator)):
            break
        target = decorator
    start = layout.start(target)
    row = layout.lines.row(start)
    return [Change(start, start, f"@{guard}{layout.lines.newline(row)}{layout.indentation(row)}")]


def remove_decorator(layout: Layout, definition: Node, index: int) -> list[Change]:
    decorator = _decorator(definition, index)
    lines = layout.lines
    first, last = lines.row(layout.start(decorator)), lines.row(layout.end(decorator))
    return [Change(lines.start(first), lines.start(last + 1), "")]


def swap_decorators(layout: Layout, definition: Node, a: int, b: int) -> list[Change]:
    one, two = _decorator(definition, a), _decorator(definition, b)
    return [
        Change(layout.start(one), layout.end(one), layout.source(two)),
        Change(layout.start(two), layout.end(two), layout.source(one)),
    ]


def _decorator(definition: Node, index: int) -> Node:
    found = decorators(definition)
    if not 0 <= index < len(found):
        raise UnfixableError("no such decorator")
    return found[index]


def at_sign(layout: Layout, statement: Node) -> list[Change]:
    """Turn an expression statement into a decorator of the function or class below it."""
    siblings = statements(statement.parent) if statement.parent is not None else []
    below = siblings.index(statement) + 1 if statement in siblings else 0
    if not below or below == len(siblings) or statement.type != "expression_statement":
        raise UnfixableError("no function below the statement")
    definition = siblings[below]
    if definition.type not in ("function_definition", "decorated_definition") or not layout.own_line(statement):
        raise UnfixableError("no function below the statement")
    start, end = layout.start(statement), layout.end(statement)
    lines = layout.lines
    if layout.text[end : lines.end(lines.row(end))].partition("#")[0].strip():
        raise UnfixableError("something else follows in the line of the statement")
    inner = definition.child_by_field_name("definition") or definition
    if any(_OUTERMOST.match(layout.source(d)) for d in decorators(inner)):
        return [*delete(layout, statement), *decorate(layout, inner, layout.source(statement))]
    changes = [Change(start, start, "@")]
    row = lines.row(end) + 1
    first = row
    while layout.is_blank(row):
        row += 1
    if row > first:
        changes.append(Change(lines.start(first), lines.start(row), ""))
    return changes


def replace(layout: Layout, start: int, end: int, template: str) -> list[Change]:
    """Put ``template`` for the source of a node; ``{}`` in it stands for that source."""
    source = layout.text[start:end]
    before, hole, after = template.partition("{}")
    if hole and (before or after):
        node = layout.expression(start, end)
        kind = node.type if node is not None else ""
        if kind == "integer" or (after[:1] in (".", "[", "(") and kind not in _PRIMARY) or kind in _LOOSE:
            source = f"({source})"
        template = before + source + after.replace("{}", source)
    elif hole:
        template = source
    return [Change(start, end, template)]


def delete(layout: Layout, statement: Node) -> list[Change]:
    """Remove a statement with the comment in its line; ``pass`` stays where its block would be empty."""
    block = statement.parent
    if block is None:
        raise UnfixableError("no block here")
    siblings = statements(block)
    index = siblings.index(statement)
    start, end = layout.start(statement), layout.end(statement)
    if len(siblings) == 1 and block.type == "block":
        return [Change(start, end, "pass")]
    following = siblings[index + 1] if index + 1 < len(siblings) else None
    if following is not None and layout.joined(following):
        return [Change(start, layout.start(following), "")]
    if layout.joined(statement):
        if index:
            return [Change(layout.end(siblings[index - 1]), end, "")]
        return [Change(start, end, "pass")]
    if not layout.own_line(statement):
        raise UnfixableError("the statement does not begin its line")
    lines = layout.lines
    first, last = lines.row(start), lines.row(end)
    after = last + 1
    blank_after = _blank_rows(layout, after, 1)
    blank_before = _blank_rows(layout, first - 1, -1) if index else blank_after
    return [Change(lines.start(first), lines.start(after + min(blank_before, blank_after)), "")]


def _blank_rows(layout: Layout, row: int, direction: int) -> int:
    count = 0
    while 0 <= row < len(layout.lines.starts) - 1 and layout.is_blank(row):
        count += 1
        row += direction
    return count
