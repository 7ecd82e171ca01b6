"""A guard stands inside a guard that does the same.

## What it does
Reports a `with torch.no_grad():` or `with torch.inference_mode():` in a region of the same function in which gradients are off
already, where the inner one changes nothing.

## Why is this bad?
It does no harm. It misleads the reader, who has to ask why it is there.

## Examples
```python error
import torch


@torch.no_grad()
def predict(model, x):
    model.eval()
    with torch.no_grad():  # NGL502
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
    with torch.no_grad():
        scores = model(x)
    with torch.no_grad():
        return scores.argmax(1).tolist()
```

## Fix safety
Safe: the mode is the same without it.

## Known problems
Guards of callers are not considered: the function may be called without them tomorrow.

## References
- https://github.com/finegrain-ai/refiners/pull/69
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.analysis.values import Mode
from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Rule, Unwrap
from nograd_lint.rules._guards import makes_guard
from nograd_lint.rules._training import source_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL502", name="redundant-guard", severity=Severity.INFO, default=False, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    for guard in sorted(unit.facts.guards.values(), key=lambda g: (g.node, g.item)):
        stmt = unit.by_ordinal[guard.node]
        if not isinstance(stmt, ir.With) or not makes_guard(unit, stmt.items[guard.item].expr):
            continue
        modes = set(unit.facts.stmt_modes.get(stmt.o, {Mode.DYNAMIC}))
        for index in range(guard.item):
            if (before := unit.facts.guards.get((stmt.o, index))) is not None:
                modes = {mode.under(before.mode) for mode in modes}
        if guard.mode is Mode.DISABLED and not modes <= {Mode.DISABLED, Mode.INFERENCE}:
            continue
        if guard.mode is Mode.INFERENCE and modes != {Mode.INFERENCE}:
            continue
        if not guard.mode.off:
            continue
        outer = source_of(unit, stmt.items[guard.item].expr.o)
        yield Finding(
            stmt.items[guard.item].expr.o,
            "gradients are off here already",
            Confidence.HIGH,
            (unit.note("switched off here", outer.node),) if outer is not None else (),
            (stmt.o, stmt.o),
            FixPlan(
                "Remove the inner guard", Applicability.SAFE, (Unwrap(stmt.o, guard.item),), "the mode is the same"
            ),
        )
