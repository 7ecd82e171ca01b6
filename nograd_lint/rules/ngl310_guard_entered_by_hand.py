"""An `inference_mode()` object is entered by hand and dropped, which ends the mode at once.

## What it does
Reports `torch.inference_mode().__enter__()` where nothing keeps the object.

## Why is this bad?
The mode lasts as long as the object that `__enter__` was called on. Nobody holds that object, so it is destroyed at the
end of the statement, and the mode with it: what follows runs with gradient tracking on. (`torch.no_grad().__enter__()` is the
opposite: nothing ever undoes it, see NGL203.)

## Examples
```python error
import torch


def predict(model, x):
    model.eval()
    torch.inference_mode().__enter__()  # NGL310
    return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(model, x):
    model.eval()
    with torch.inference_mode():
        return model(x).argmax(1).tolist()
```
```python ok
import torch


def predict(model, x):
    model.eval()
    mode = torch.inference_mode()
    mode.__enter__()
    try:
        return model(x).argmax(1).tolist()
    finally:
        mode.__exit__(None, None, None)
```

## Fix safety
Unsafe: the rest of the block is put under the guard, and more than the author had in mind may stand there.

## Known problems
None.

## References
- https://github.com/facebookresearch/sam3/pull/593
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Delete, Finding, FixPlan, Rule, Wrap
from nograd_lint.rules._guards import called, shown
from nograd_lint.rules._training import trains_between
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL310", name="guard-entered-by-hand", severity=Severity.ERROR, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    for call in unit.all(ir.Call):
        func = call.func
        if not isinstance(func, ir.Attr) or func.attr != "__enter__":
            continue
        if called(unit, func.value) != "torch.inference_mode":
            continue
        stmt = unit.parent_statement[call.o]
        rest = unit.after(stmt)
        yield Finding(
            call.o,
            f"`{shown(unit.source(func.value.o))}` ends with this statement: nothing keeps the object that was entered",
            Confidence.HIGH,
            region=(stmt, rest[-1].o) if rest else None,
            fix=_fix(unit, call, func.value, rest),
        )


def _fix(unit: UnitContext, call: ir.Call, guard: ir.Expr, rest: tuple[ir.Stmt, ...]) -> FixPlan | None:
    stmt = unit.by_ordinal[unit.parent_statement[call.o]]
    if not rest or not isinstance(stmt, ir.ExprStmt) or stmt.value is not call:
        return None
    first, last = rest[0].o, unit.end_of(rest[-1].o)
    if any(first <= node <= last for node in unit.yields_and_awaits) or trains_between(unit, first, last):
        return None
    actions = (Delete(stmt.o), Wrap(first, rest[-1].o, unit.source(guard.o)))
    reason = "all that follows in the block comes under the guard"
    return FixPlan("Put the rest of the block under the guard", Applicability.UNSAFE, actions, reason)
