"""A guard is made, or only named, and thrown away.

## What it does
Reports `torch.no_grad()`, `torch.inference_mode()` and `torch.enable_grad()` that stand as a statement of their own, with or
without parentheses, and guarded functions (`torch.no_grad()(model)`) that nobody keeps. Directly above a `def` it is a
missing `@`.

## Why is this bad?
Making the object changes nothing: only entering it with `with`, or decorating a function with it, does. Gradient tracking
stays as it was, without a word. (`torch.set_grad_enabled(False)` is the exception: it acts when it is called.)

## Examples
```python error
import torch


def evaluate(model, test_loader):
    model.eval()
    torch.no_grad()  # NGL301
    correct = 0
    for x, y in test_loader:
        correct += (model(x).argmax(1) == y).sum().item()
    return correct
```
```python fixed
import torch


def evaluate(model, test_loader):
    model.eval()
    with torch.no_grad():
        correct = 0
        for x, y in test_loader:
            correct += (model(x).argmax(1) == y).sum().item()
        return correct
```
```python error
import torch


torch.no_grad()  # NGL301
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()
```
```python fixed
import torch


@torch.no_grad()
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()
```
```python ok
import torch


def predict(model, x):
    model.eval()
    guard = torch.no_grad()
    with guard:
        return model(x).argmax(1).tolist()


def switch_off():
    return torch.set_grad_enabled(False)
```

## Fix safety
The `@` in front of a guard directly above a `def` is safe: nothing else can be meant; where blank lines stand
between the two there is no fix. Elsewhere the rest of the block is put
under the guard; that is unsafe, for more than the author had in mind may stand there.

## Known problems
A guard as the last expression of a notebook cell is reported too.

## References
- https://pytorch.org/docs/stable/generated/torch.no_grad.html
- https://github.com/kuprel/min-dalle/pull/24
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Action, AtSign, Delete, Finding, FixPlan, Kind, Rule, Wrap
from nograd_lint.rules._explained import line_above
from nograd_lint.rules._guards import called, decorators, named, shown
from nograd_lint.rules._training import trains_between
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL301", name="discarded-guard", severity=Severity.ERROR, kind=Kind.GUARD, fixable=True)

_REORDERED = ("staticmethod", "classmethod", "property")


def check(unit: UnitContext) -> Iterator[Finding]:
    for stmt in unit.all(ir.ExprStmt):
        value = stmt.value
        if isinstance(value, (ir.Name, ir.Attr)) and named(unit, value):
            yield _finding(unit, stmt, "is only named, not entered", guard=unit.source(value.o) + "()")
        elif isinstance(value, ir.Call):
            name = called(unit, value)
            if name is not None and name != "torch.set_grad_enabled":
                yield _finding(unit, stmt, "is made and dropped", guard=unit.source(value.o))
            elif (name := called(unit, value.func)) and name != "torch.set_grad_enabled":
                yield _finding(unit, stmt, "gives back a guarded function that is dropped")


def _finding(unit: UnitContext, stmt: ir.ExprStmt, what: str, *, guard: str | None = None) -> Finding:
    text = shown(unit.source(stmt.value.o))
    rest = unit.after(stmt.o)
    below = rest[0] if rest else None
    region = (stmt.o, rest[-1].o) if rest else None
    above = _above(unit, below) if isinstance(below, ir.Def) else None
    if isinstance(below, ir.Def) and above is not None:
        message = f"`{text}` above `{below.name}` has no effect: the `@` is missing"
        return Finding(
            stmt.o,
            message,
            Confidence.HIGH,
            region=(stmt.o, below.o),
            fix=_at_sign(unit, stmt, below) if above[1] else None,
        )
    return Finding(
        stmt.o,
        f"`{text}` has no effect here: it {what}, and gradient tracking stays as it is",
        Confidence.HIGH,
        region=region,
        fix=_wrap(unit, stmt, rest, guard) if guard is not None else None,
    )


def _above(unit: UnitContext, below: ir.Def) -> tuple[bytes, bool] | None:
    """See :func:`line_above`."""
    first = min((unit.span(d.o).start.row for d in below.decorators), default=unit.span(below.o).start.row)
    return line_above(unit.text.encode().split(b"\n")[: first - 1])


def _at_sign(unit: UnitContext, stmt: ir.ExprStmt, below: ir.Def) -> FixPlan | None:
    reordered = any(ir.dotted(d) in _REORDERED for d in below.decorators)
    if below.is_async or reordered or any(True for _ in decorators(unit, below)):
        return None
    return FixPlan("Decorate the function", Applicability.SAFE, (AtSign(stmt.o),), "nothing else can be meant")


def _wrap(unit: UnitContext, stmt: ir.ExprStmt, rest: tuple[ir.Stmt, ...], guard: str) -> FixPlan | None:
    name = called(unit, stmt.value) or named(unit, stmt.value)
    if not rest or name in ("torch.enable_grad", "torch.set_grad_enabled") or isinstance(rest[0], (ir.Def, ir.Class)):
        return None
    first, last = rest[0].o, unit.end_of(rest[-1].o)
    if any(first <= node <= last for node in unit.yields_and_awaits) or trains_between(unit, first, last):
        return None
    actions: tuple[Action, ...] = (Delete(stmt.o), Wrap(first, rest[-1].o, guard))
    reason = "all that follows in the block comes under the guard"
    return FixPlan("Put the rest of the block under the guard", Applicability.UNSAFE, actions, reason)
