"""Gradients are switched off and not on again, where training can run afterwards.

## What it does
Reports `torch.set_grad_enabled(False)` as a statement, `torch.no_grad().__enter__()`, `ExitStack.push(torch.no_grad())` and a
`return` before the mode is restored: in functions and modules that others use, and in scripts that train. A script that only
predicts may switch gradients off for good.

## Why is this bad?
The switch lasts for the rest of the thread. Whatever trains there afterwards stops with `element 0 of tensors does not
require grad`, far from the line that caused it.

## Examples
```python error
import torch


class Detector:
    def __init__(self, path):
        torch.set_grad_enabled(False)  # NGL203
        self.model = torch.load(path).eval()
```
```python fixed
import torch


class Detector:
    def __init__(self, path):
        with torch.no_grad():
            self.model = torch.load(path).eval()
```
```python error
import torch


def predict(model, x):
    model.eval()
    torch.set_grad_enabled(False)  # NGL203
    scores = model(x)
    if scores.isnan().any():
        return None
    labels = scores.argmax(1).tolist()
    torch.set_grad_enabled(True)
    return labels
```
```python fixed
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad():
        scores = model(x)
        if scores.isnan().any():
            return None
        labels = scores.argmax(1).tolist()
    return labels
```
```python error
import contextlib

import torch


def predict(model, x):
    model.eval()
    with contextlib.ExitStack() as stack:
        stack.push(torch.no_grad())  # NGL203
        return model(x).argmax(1).tolist()
```
```python fixed
import contextlib

import torch


def predict(model, x):
    model.eval()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        return model(x).argmax(1).tolist()
```
```python ok
import torch


def predict(model, x):
    model.eval()
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        return model(x).argmax(1).tolist()
    finally:
        torch.set_grad_enabled(before)
```

## Fix safety
`enter_context` in place of `push` is safe. Putting the rest of the block under a guard is unsafe: what ran with gradients off
because of the switch, elsewhere, needs a guard of its own.

## Known problems
An exception between the switch and the line that restores the mode is not looked at.

## References
- https://pytorch.org/docs/stable/generated/torch.autograd.grad_mode.set_grad_enabled.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Action, Delete, Finding, FixPlan, Note, Replace, Rule, Wrap
from nograd_lint.rules._guards import shown
from nograd_lint.rules._switches import LeftOff, left_off, victim
from nograd_lint.rules._training import lost, source_of, trains_between
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL203", name="grad-mode-not-restored", severity=Severity.ERROR, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    if not unit.facts.switches:
        return
    sources = (source_of(unit, found.carry.off[0]) for found in lost(unit))
    explained = {source.node for source in sources if source is not None}  # NGL201 says it where it hurts
    for found in left_off(unit):
        node = found.switch.node
        if node in explained:
            continue
        text = shown(unit.source(node))
        if found.switch.how == "push":
            message = f"`{text}` does not enter the guard, and leaves gradients off when the stack closes"
            yield Finding(node, message, Confidence.HIGH, fix=_enter_context(unit, node))
            continue
        why = victim(unit, found.switch)
        if why is None:
            continue
        notes: tuple[Note, ...] = ()
        if found.returns is not None:
            message = f"`{text}` is not undone where the function returns early: gradients stay off for {why.text}"
            notes = (unit.note("returns with gradients off", found.returns),)
        else:
            message = f"`{text}` switches gradients off for the rest of the thread: {why.text}"
        yield Finding(node, message, why.confidence, notes, fix=_fix(unit, found))


def _enter_context(unit: UnitContext, node: int) -> FixPlan | None:
    call = unit.by_ordinal[node]
    if not isinstance(call, ir.Call) or not isinstance(call.func, ir.Attr):
        return None
    replace = Replace(call.func.o, f"{unit.source(call.func.value.o)}.enter_context")
    return FixPlan("Enter the guard", Applicability.SAFE, (replace,), "nothing else can be meant")


def _fix(unit: UnitContext, found: LeftOff) -> FixPlan | None:
    """The statements up to where the mode is restored, or to the end of the block, under a guard."""
    if unit.is_module or not isinstance(found.stmt, ir.ExprStmt):
        return None
    rest = unit.after(found.stmt.o)
    actions: list[Action] = [Delete(found.stmt.o)]
    if found.restore is not None:
        restore = unit.parent_statement[found.restore]
        at = next((i for i, stmt in enumerate(rest) if stmt.o == restore), None)
        if at is None:
            return None
        rest = rest[:at]
        actions.append(Delete(restore))
    if not rest:
        return None
    first, last = rest[0].o, unit.end_of(rest[-1].o)
    if any(first <= node <= last for node in unit.yields_and_awaits) or trains_between(unit, first, last):
        return None
    actions.append(Wrap(first, rest[-1].o))
    reason = "what ran with gradients off elsewhere because of the switch needs a guard of its own"
    return FixPlan("Guard the block instead", Applicability.UNSAFE, tuple(actions), reason)
