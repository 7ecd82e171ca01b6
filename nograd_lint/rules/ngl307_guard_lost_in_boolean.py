"""Two context managers are joined by `and` or `or`, and the guard is not the one that is entered.

## What it does
Reports `with torch.no_grad() and torch.autocast(...):` and the like, where the operand that `with` gets is no guard.

## Why is this bad?
`and` and `or` give one of their operands: `and` the last, `or` the first (a context manager is always true). The guard is
made and dropped, and gradient tracking stays on, without a word.

## Examples
```python error
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad() and torch.autocast("cuda"):  # NGL307
        return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad(), torch.autocast("cuda"):
        return model(x).argmax(1).tolist()
```
```python ok
import contextlib

import torch


def predict(model, x):
    model.eval()
    with torch.no_grad(), torch.autocast("cuda"):
        return model(x).argmax(1).tolist()


def run(model, x, keep):
    with (keep and torch.enable_grad()) or torch.no_grad():
        return model(x)
```

## Fix safety
Safe: a comma enters both, one after the other.

## Known problems
None.

## References
- https://docs.python.org/3/reference/compound_stmts.html#the-with-statement
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Kind, Replace, Rule
from nograd_lint.rules._guards import called, makes_guard, shown
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL307", name="guard-lost-in-boolean", severity=Severity.ERROR, kind=Kind.GUARD, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    for stmt in unit.all(ir.With):
        for item in stmt.items:
            if isinstance(item.expr, ir.Bool):
                yield from _lost(unit, stmt, item.expr)


def _lost(unit: UnitContext, stmt: ir.With, expr: ir.Bool) -> Iterator[Finding]:
    operands = _operands(expr, expr.op)
    entered = operands[-1] if expr.op == "and" else operands[0]
    dropped = operands[:-1] if expr.op == "and" else operands[1:]
    guards = [o for o in dropped if makes_guard(unit, o)]
    if not guards or makes_guard(unit, entered):
        return
    if expr.op == "or" and not _is_manager(unit, entered):
        return  # may be false, so that the guard is entered
    if expr.op == "and" and not all(makes_guard(unit, o) or _is_manager(unit, o) for o in dropped):
        return  # may be false; entering that is another mistake
    guard, other = shown(unit.source(guards[0].o)), shown(unit.source(entered.o))
    text = ", ".join(unit.source(o.o) for o in operands)
    yield Finding(
        expr.o,
        f"only `{other}` is entered: `{expr.op}` drops `{guard}`",
        Confidence.HIGH if called(unit, guards[0]) else Confidence.MEDIUM,
        region=(stmt.o, stmt.o),
        fix=FixPlan("Enter both", Applicability.SAFE, (Replace(expr.o, text),), "a comma enters one after the other"),
    )


def _operands(expr: ir.Expr, op: str) -> list[ir.Expr]:
    """``a and b and c`` is nested to the left."""
    if isinstance(expr, ir.Bool) and expr.op == op:
        return [o for value in expr.values for o in _operands(value, op)]
    return [expr]


def _is_manager(unit: UnitContext, expr: ir.Expr) -> bool:
    """A call of PyTorch or the standard library that gives a context manager, which is always true."""
    name = unit.resolve(expr.func) if isinstance(expr, ir.Call) else None
    return name is not None and name.startswith(("torch.", "contextlib."))
