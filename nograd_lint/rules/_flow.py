"""Where the value of a name comes from: definitions that reach a place, found on the statements as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nograd_lint.project.file import bound_name
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nograd_lint.rules._context import UnitContext


class Definition(msgspec.Struct, frozen=True):
    """Something that gives a name its value.

    ``kind`` is assign (``value`` is the value), unpack (``value`` is what is unpacked), aug (``value`` is added), loop
    (``value`` is gone over), or other (nothing is known of the value).
    """

    stmt: int
    kind: str
    value: ir.Expr | None = None


class Reaching(msgspec.Struct, frozen=True):
    """``entry``: the value may also come from outside: a parameter, a global, an enclosing function."""

    definitions: tuple[Definition, ...]
    entry: bool


def reaching(unit: UnitContext, name: str, use: int) -> Reaching:
    """The definitions of a (dotted) name that may hold at a node of the unit."""
    memo: dict[tuple[str, int], Reaching] = unit.__dict__.setdefault("_reaching", {})
    key = (name, use)
    if key not in memo:
        memo[key] = _reaching(unit, name, use)
    return memo[key]


def _reaching(unit: UnitContext, name: str, use: int) -> Reaching:
    found: list[Definition] = []
    head = name.partition(".")[0]
    for outer in unit.ancestors(use):
        if isinstance(outer, ir.Comp) and any(_binds(g.target, head) for g in outer.generators):
            source = next(g.iter for g in outer.generators if _binds(g.target, head))
            if not unit.inside(use, source.o):
                return Reaching((Definition(unit.parent_statement[use], "loop", source),), entry=False)
        if isinstance(outer, ir.Lambda) and any(p.name == head for p in outer.params):
            return Reaching((Definition(unit.parent_statement[use], "other"),), entry=True)
    current = unit.parent_statement.get(use)
    while current is not None and current in unit.place:
        block, index = unit.place[current]
        if _scan(block[:index], name, found):
            return Reaching(tuple(dict.fromkeys(found)), entry=False)
        parent = unit.parents.get(current)
        if isinstance(parent, (ir.For, ir.While)) and parent.body is block:
            _scan(block[index:], name, found)  # from the last time round
            if isinstance(parent, ir.For) and _binds(parent.target, name):
                found.append(Definition(parent.o, "loop", parent.iter))
                return Reaching(tuple(dict.fromkeys(found)), entry=False)
        elif isinstance(parent, ir.With):
            for item in parent.items:
                if item.target is not None and _binds(item.target, name):
                    found.append(Definition(parent.o, "other", item.expr))
                    return Reaching(tuple(dict.fromkeys(found)), entry=False)
        elif isinstance(parent, ir.Try) and parent.body is not block:
            _scan(parent.body, name, found)
        elif isinstance(parent, ir.Def):
            if parent is not unit.root or any(p.name == head for p in parent.params):
                break
        current = parent.o if parent is not None else None
    return Reaching(tuple(dict.fromkeys(found)), entry=True)


def _scan(stmts: Sequence[ir.Stmt], name: str, found: list[Definition]) -> bool:
    """Collect definitions from the last statement backwards; whether one of them surely takes effect."""
    return any(_effect(stmt, name, found) for stmt in reversed(stmts))


def _effect(stmt: ir.Stmt, name: str, found: list[Definition]) -> bool:
    """Collect the definitions in a statement; whether the name surely has a new value, or nothing gets past it."""
    if isinstance(stmt, ir.Assign):
        for target in stmt.targets:
            if ir.dotted(target) == name:
                if stmt.value is None:
                    return False
                found.append(Definition(stmt.o, "assign", stmt.value))
                return True
            if _binds(target, name):
                found.append(_unpacked(stmt, target, name))
                return True
    elif isinstance(stmt, ir.Aug):
        if ir.dotted(stmt.target) == name:
            found.append(Definition(stmt.o, "aug", stmt.value))
    elif isinstance(stmt, ir.Return):
        return True
    elif isinstance(stmt, ir.Simple):
        return stmt.kind == "raise" or (stmt.kind == "del" and any(ir.dotted(e) == name for e in stmt.exprs))
    elif isinstance(stmt, ir.If):
        sure = _scan(stmt.body, name, found)
        return _scan(stmt.orelse, name, found) and sure
    elif isinstance(stmt, (ir.For, ir.While)):
        _scan(stmt.orelse, name, found)
        _scan(stmt.body, name, found)
        if isinstance(stmt, ir.For) and _binds(stmt.target, name):
            found.append(Definition(stmt.o, "loop", stmt.iter))
    elif isinstance(stmt, ir.With):
        if _scan(stmt.body, name, found):
            return True
        for item in stmt.items:
            if item.target is not None and _binds(item.target, name):
                found.append(Definition(stmt.o, "other", item.expr))
                return True
    elif isinstance(stmt, ir.Try):
        if _scan(stmt.final, name, found):
            return True
        sure = _scan((*stmt.body, *stmt.orelse), name, found)
        for handler in stmt.handlers:
            sure = _scan(handler.body, name, found) and sure
        return sure
    elif isinstance(stmt, ir.Match):
        for case in stmt.cases:
            _scan(case.body, name, found)
    elif isinstance(stmt, (ir.Def, ir.Class)):
        if stmt.name == name:
            found.append(Definition(stmt.o, "other"))
            return True
    elif isinstance(stmt, ir.Import) and any(bound_name(a) == name for a in stmt.names):
        found.append(Definition(stmt.o, "other"))
        return True
    if isinstance(stmt, (ir.Assign, ir.ExprStmt, ir.If, ir.While)):
        expr = stmt.test if isinstance(stmt, (ir.If, ir.While)) else stmt.value
        found.extend(
            Definition(stmt.o, "assign", node.value)
            for node in (ir.walk(expr) if expr is not None else ())
            if isinstance(node, ir.Walrus) and ir.dotted(node.target) == name
        )
    return False


def _unpacked(stmt: ir.Assign, target: ir.Expr, name: str) -> Definition:
    value = stmt.value
    if isinstance(target, ir.Seq) and isinstance(value, ir.Seq) and len(target.items) == len(value.items):
        for part, item in zip(target.items, value.items, strict=True):
            if ir.dotted(part) == name:
                return Definition(stmt.o, "assign", item)
    return Definition(stmt.o, "unpack", value)


def _binds(target: ir.Expr, name: str) -> bool:
    if isinstance(target, ir.Seq):
        return any(_binds(item, name) for item in target.items)
    if isinstance(target, ir.Star):
        return _binds(target.value, name)
    return ir.dotted(target) == name


def conditions(unit: UnitContext, node: int) -> Iterator[tuple[ir.If, bool]]:
    """The ``if`` statements around a node, innermost first, and whether the node stands in the body (not the else)."""
    for outer in unit.ancestors(node):
        if isinstance(outer, ir.If) and not unit.inside(node, outer.test.o):
            yield outer, bool(outer.body) and outer.body[0].o <= node <= unit.end_of(outer.body[-1].o)
        elif isinstance(outer, ir.Def):
            return
