"""Functions that are handed on and run later or elsewhere, in the grad mode of whoever runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nograd_lint.analysis.facts import Forward
from nograd_lint.analysis.values import Val
from nograd_lint.project.index import Symbol
from nograd_lint.rules._carry import surely_off
from nograd_lint.rules._flow import reaching
from nograd_lint.rules._training import source_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext


def forwards_of(unit: UnitContext, function: ir.Expr, value: Val | None = None) -> int:
    """How sure it is (0 to 3) that calling a function runs a forward that no guard of its own covers."""
    if value is None:
        value = unit.facts.values.get(function.o)
    if value is None:
        return 0
    if value.kind == "partial":
        return forwards_of(unit, function, value.data[0])
    if value.kind == "func":
        node, mode = value.data
        return 0 if mode is not None and mode.off else unguarded_in(unit, node)
    if value.kind == "guarded":
        return 0
    symbol = value.symbol if value.symbol is not None else unit.facts.symbols.get(function.o)
    if symbol is None and isinstance(function, ir.Attr):
        symbol = _method(unit, function)
    if symbol is not None and symbol.kind == "function":
        return _project(unit, symbol)
    return value.model if value.kind != "self" else 0


def _method(unit: UnitContext, function: ir.Attr) -> Symbol | None:
    """``self.work`` and ``predictor.work``."""
    value = unit.facts.values.get(function.value.o)
    cls = value.cls if value is not None else None
    return unit.world.project.method(cls, function.attr) if cls is not None and cls.kind == "class" else None


def _project(unit: UnitContext, symbol: Symbol) -> int:
    summary = unit.world.summary(symbol, 2)
    if summary is None or summary.backward or summary.trains:
        return 0
    if summary.entry is not None:
        return 0
    if summary.called_params:
        return max(summary.forward, 2)
    return summary.forward


def unguarded_in(unit: UnitContext, node: ir.Node) -> int:
    """How sure it is that a nested function or expression runs a forward outside any guard of its own."""
    if any(node.o <= b <= unit.end_of(node.o) for b in unit.facts.backwards):
        return 0
    return max((f.level for f in inner_forwards(unit, node)), default=0)


def inner_forwards(unit: UnitContext, node: ir.Node) -> list[Forward]:
    """The forwards inside a node that no guard inside it covers."""
    found = []
    for ordinal, forward in sorted(unit.facts.forwards.items()):
        if unit.inside(ordinal, node.o) and not forward.frozen:
            source = source_of(unit, ordinal)
            if source is None or not unit.inside(source.node, node.o):
                found.append(forward)
    return found


def consumed_off(unit: UnitContext, node: int) -> bool:
    """A node stands in a lazy value that is given a name, and used with gradients off only."""
    lazy = next((outer for outer in unit.ancestors(node) if is_lazy(outer)), None)
    parent = unit.parents.get(lazy.o) if lazy is not None else None
    if not isinstance(parent, ir.Assign) or len(parent.targets) != 1 or not isinstance(parent.targets[0], ir.Name):
        return False
    name = parent.targets[0].id
    target = parent.targets[0].o
    uses = [
        node
        for node in unit.all(ir.Name)
        if node.id == name and node.o != target
        if any(d.stmt == parent.o for d in reaching(unit, name, node.o).definitions)
    ]
    return bool(uses) and all(surely_off(unit, use.o) for use in uses)


def is_lazy(node: ir.Node) -> bool:
    """A generator expression or lambda: nothing in it runs where it stands."""
    return isinstance(node, ir.Lambda) or (isinstance(node, ir.Comp) and node.kind == "generator")
