"""Put a probe around the statements of a region (runs in the user's interpreter; also used, without torch, to plan).

The tree keeps its line numbers, so tracebacks, warnings and debuggers see the user's own file. A region is given by
the starts of its first and last statement: two statements that begin at one place and lie in one block are the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

PROBE = "__nograd_probe__"
RETURN = "__nograd_return__"

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_BLOCKS = ("body", "orelse", "finalbody")


class Region:
    """Statements ``first`` to ``last`` of one block; places are (line, UTF-8 column) as in :mod:`ast`."""

    def __init__(self, id: int, first: tuple[int, int], last: tuple[int, int]) -> None:  # noqa: A002
        self.id = id
        self.first = first
        self.last = last


def blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements in ``tree``, outer ones first."""
    for node in ast.walk(tree):
        for field in _BLOCKS:
            block = getattr(node, field, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block


def start(node: ast.stmt) -> tuple[int, int]:
    return (node.lineno, node.col_offset)


def find(tree: ast.AST, first: tuple[int, int], last: tuple[int, int]) -> tuple[list[ast.stmt], int, int] | None:
    """The block that holds the region, and the indices of its first statement and of the one after its last."""
    for block in blocks(tree):
        starts = [start(statement) for statement in block]
        if first in starts and last in starts:
            # What rewrites assertions leaves several statements at one place, hence the last of them.
            return block, starts.index(first), len(starts) - starts[::-1].index(last)
    return None


def own_nodes(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes below ``statements`` that run as part of them: not the insides of nested functions and classes."""
    todo: list[ast.AST] = list(statements)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _SCOPES):
            todo.extend(ast.iter_child_nodes(node))


def assigned_names(statements: list[ast.stmt]) -> list[str]:
    """Names that the statements bind, in alphabetical order."""
    names = set()
    for node in own_nodes(statements):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return sorted(name for name in names if not name.startswith("__"))


class _Returns(ast.NodeTransformer):
    """``return e`` becomes ``return __nograd_return__(id, e)``, in the region's own function only."""

    def __init__(self, region: int) -> None:
        self.region = region

    def visit_Return(self, node: ast.Return) -> Any:
        if node.value is None:
            return node
        call = ast.Call(ast.Name(RETURN, ast.Load()), [ast.Constant(self.region), node.value], [])
        ast.copy_location(call, node.value)
        ast.copy_location(call.func, node.value)
        ast.copy_location(call.args[0], node.value)
        node.value = call  # in place: the statement may also begin or end another region
        return node

    def _skip(self, node: ast.AST) -> ast.AST:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _skip  # noqa: N815


def _fill(node: ast.AST, place: ast.stmt) -> None:
    """Give the new nodes of a ``with`` header the place of the region's first statement."""
    for new in ast.walk(node):
        if isinstance(new, (ast.expr, ast.stmt)):
            ast.copy_location(new, place)


def instrument(tree: ast.Module, regions: list[Region]) -> list[int]:
    """Insert the probes in place; the ids of the regions that were found."""
    # Wider regions first, so that narrower ones end up inside them.
    places = []
    for region in regions:
        place = find(tree, region.first, region.last)
        if place is not None:
            places.append((region, place[0][place[1]], place[0][place[2] - 1]))
    places.sort(key=lambda p: (p[0].first, (-p[0].last[0], -p[0].last[1]), p[0].id))
    for region, first, last in places:
        for block in blocks(tree):
            if first in block and last in block:
                begin, end = block.index(first), block.index(last) + 1
                break
        else:  # pragma: no cover - find() saw it a moment ago
            continue
        inside = block[begin:end]
        names = assigned_names(inside)
        for statement in inside:
            _Returns(region.id).visit(statement)
        call = ast.Call(
            ast.Name(PROBE, ast.Load()),
            [ast.Constant(region.id), ast.Tuple([ast.Constant(name) for name in names], ast.Load())],
            [],
        )
        _fill(call, first)
        probe = ast.With([ast.withitem(call, None)], inside, None)
        ast.copy_location(probe, first)
        block[begin:end] = [probe]
    return [region.id for region, _, _ in places]
