"""The fix for what keeps its graph across batches, where no guard fits: ``.detach()`` where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability
from nograd_lint.rules._base import FixPlan, Replace
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.tracked import Tracked
    from nograd_lint.rules._context import UnitContext


def detached_where_kept(unit: UnitContext, tracked: Tracked) -> FixPlan | None:
    """What is kept is detached; the graph of each batch is still recorded."""
    actions = detach_kept(unit, tracked)
    if not actions:
        return None
    reason = "somebody may still want a gradient of what is kept"
    return FixPlan("Detach what is kept", Applicability.UNSAFE, actions, reason)


def detach_kept(unit: UnitContext, tracked: Tracked) -> tuple[Replace, ...] | None:
    """``.detach()`` on all that a list or a sum takes up; None where something of it may be no tensor."""
    values = {_value(unit, node) for node, _ in tracked.kept}
    if None in values:
        return None
    return tuple(Replace(value, "{}.detach()") for value in sorted(v for v in values if v is not None))


def _carrier(unit: UnitContext, value: ir.Expr) -> ir.Expr:
    """The one operand that brings the graph into a sum or product (``loss`` of ``loss * len(x)``)."""
    while isinstance(value, ir.Bin):
        known = unit.facts.values
        sides = [side for side in (value.left, value.right) if (v := known.get(side.o)) is not None and v.graph]
        if len(sides) != 1:
            break
        value = sides[0]
    return value


def _value(unit: UnitContext, node: int) -> int | None:
    kept = unit.by_ordinal[node]
    if isinstance(kept, ir.Aug) and kept.op == "+":
        return _carrier(unit, kept.value).o  # with a graph, what is added to something is a tensor
    if isinstance(kept, ir.Call) and isinstance(kept.func, ir.Attr) and kept.func.attr == "append" and kept.args:
        value = unit.facts.values.get(kept.args[0].o)
        return kept.args[0].o if value is not None and value.kind in ("loss", "tensor") else None
    return None
