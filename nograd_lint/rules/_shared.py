"""The fix for a forward that training and evaluation share: gradients on where the branch that trains is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability
from nograd_lint.rules._base import FixPlan, Wrap
from nograd_lint.rules._flow import conditions, reaching
from nograd_lint.rules._guards import shown
from nograd_lint.rules._kept import detach_kept
from nograd_lint.rules._work import run_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.tracked import Tracked
    from nograd_lint.rules._context import UnitContext

_INVERSE = {"==": "!=", "!=": "==", "is": "is not", "is not": "is", "in": "not in", "not in": "in"}


def switched_by_branch(unit: UnitContext, tracked: Tracked) -> FixPlan | None:
    """``with torch.set_grad_enabled(phase == "train"):`` around forwards whose backward stands under that condition.

    What training keeps across batches is detached, too.
    """
    nodes = tracked.forwards
    detach = detach_kept(unit, tracked)
    found = {_branch(unit, node, backward) for node in nodes for backward in unit.facts.sinks[node]["backward"]}
    run = run_of(unit, list(nodes))
    if len(found) != 1 or run is None or any(run[0] <= n <= unit.end_of(run[1]) for n in unit.yields_and_awaits):
        return None
    [condition] = found
    if condition is None or "\n" in condition:
        return None
    guard = f"torch.set_grad_enabled({condition})"
    message = f"Put the forward under `{shown(guard)}`"
    reason = "the backward below runs on that condition alone"
    return FixPlan(message, Applicability.UNSAFE, (*(detach or ()), Wrap(*run, guard)), reason)


def _branch(unit: UnitContext, forward: int, backward: int) -> str | None:
    """The condition of the outermost branch that holds a backward and not the forward, as a truth value."""
    outside = [(stmt, taken) for stmt, taken in conditions(unit, backward) if not unit.inside(forward, stmt.o)]
    if not outside:
        return None
    stmt, taken = outside[-1]
    if not _is_same(unit, stmt.test, forward, stmt.o):
        return None
    test = stmt.test
    if not taken and isinstance(test, ir.Unary) and test.op == "not":
        test, taken = test.operand, True
    text = unit.source(test.o)
    if taken:
        return text if _is_bool(unit, test) else f"bool({text})"
    if isinstance(test, ir.Compare) and len(test.ops) == 1 and test.ops[0] in _INVERSE:
        return f"{unit.source(test.left.o)} {_INVERSE[test.ops[0]]} {unit.source(test.rights[0].o)}"
    return f"not {text}" if isinstance(test, (ir.Name, ir.Attr)) else f"not ({text})"


def _is_bool(unit: UnitContext, test: ir.Expr) -> bool:
    """``set_grad_enabled`` takes nothing but a bool."""
    if isinstance(test, ir.Compare):
        return True
    if isinstance(test, ir.Unary):
        return test.op == "not"
    if isinstance(test, ir.Bool):
        return all(_is_bool(unit, value) for value in test.values)
    if isinstance(test, ir.Attr):
        return test.attr == "training"
    if not isinstance(test, ir.Name) or unit.root is None:
        return False
    parameter = next((p for p in unit.root.params if p.name == test.id), None)
    if parameter is None:
        found = reaching(unit, test.id, test.o)
        return not found.entry and all(d.value is not None and _is_bool(unit, d.value) for d in found.definitions)
    default = parameter.default
    annotated = isinstance(parameter.annotation, ir.Name) and parameter.annotation.id == "bool"
    return annotated or (isinstance(default, ir.Const) and default.kind == "bool")


def _is_same(unit: UnitContext, test: ir.Expr, *places: int) -> bool:
    """Whether an expression has one value at all of some places, and reading it does nothing."""
    for node in ir.walk(test):
        if isinstance(node, (ir.Name, ir.Attr)):
            name = ir.dotted(node)
            if name is None or len({reaching(unit, name, place) for place in places}) > 1:
                return False
        elif not isinstance(node, (ir.Compare, ir.Unary, ir.Bool, ir.Const)):
            return False
    return True
