"""`model.eval` or `model.train` is named without being called, or overwritten.

## What it does
Reports `model.eval` and `model.train` as a statement of their own without parentheses, and `model.eval = True` and the like.

## Why is this bad?
The bare name does nothing: dropout and batch norm stay in the mode that they are in, and the results are those of the wrong
mode. The assignment even replaces the method, so that a later `model.eval()` raises `TypeError`.

## Examples
```python error
import torch


def predict(model, x):
    model.eval  # NGL403
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```
```python error
import torch


def predict(path, x):
    model = torch.load(path)
    model.eval = True  # NGL403
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(path, x):
    model = torch.load(path)
    model.eval()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```
```python ok
import torch


def predict(model, x):
    switch = model.eval
    switch()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```

## Fix safety
The missing parentheses are safe. Replacing an assignment by a call is unsafe: somebody may read the attribute.

## Known problems
An object whose `eval` or `train` is no method is taken for a model where its name is that of one.

## References
- https://pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.eval
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Replace, Rule
from nograd_lint.rules._guards import shown
from nograd_lint.rules._models import how_sure
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL403",
    name="mode-switch-not-called",
    severity=Severity.ERROR,
    fixable=True,
    guarded=(r"\.train[ \t]*(?:=|#|$)",),
)

_SWITCHES = ("eval", "train")


def check(unit: UnitContext) -> Iterator[Finding]:
    for stmt in unit.all(ir.ExprStmt):
        if isinstance(stmt.value, ir.Attr) and stmt.value.attr in _SWITCHES:
            confidence = how_sure(unit, stmt.value.value)
            if confidence is not None:
                text = shown(unit.source(stmt.value.o))
                fix = FixPlan(
                    "Call it", Applicability.SAFE, (Replace(stmt.value.o, "{}()"),), "as it is, it does nothing"
                )
                yield Finding(
                    stmt.o, f"`{text}` is only named, not called: the mode stays as it is", confidence, fix=fix
                )
    for assign in unit.all(ir.Assign):
        target = assign.targets[0]
        if len(assign.targets) == 1 and isinstance(target, ir.Attr) and target.attr in _SWITCHES:
            yield from _overwritten(unit, assign, target)


def _overwritten(unit: UnitContext, assign: ir.Assign, target: ir.Attr) -> Iterator[Finding]:
    if not isinstance(assign.value, ir.Const) or assign.value.kind != "bool":
        return
    model = unit.source(target.value.o)
    confidence: Confidence | None = how_sure(unit, target.value)
    if model == "self" and not unit.facts.is_module_class:
        return
    if confidence is None or confidence is Confidence.LOW:
        return
    to_eval = bool(assign.value.value) == (target.attr == "eval")
    fix = FixPlan(
        "Call the method",
        Applicability.UNSAFE,
        (Replace(assign.o, f"{model}.{'eval' if to_eval else 'train'}()"),),
        "somebody may read the attribute",
    )
    yield Finding(
        assign.o,
        f"`{shown(unit.source(assign.o))}` overwrites the method and leaves the mode as it is",
        confidence,
        fix=fix,
    )
