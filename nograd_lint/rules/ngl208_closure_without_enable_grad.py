"""An optimizer's guarded `step` calls its closure without enabling gradients.

## What it does
Reports `closure()` in a method of an optimizer that runs under `torch.no_grad()`, where no `torch.enable_grad()` is around
the call.

## Why is this bad?
The closure computes the loss and calls `backward` on it. Under the guard of the step the loss has no graph, and `backward`
raises.

## Examples
```python error
import torch


class Descent(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            loss = closure()  # NGL208
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad, alpha=-group["lr"])
        return loss
```
```python fixed
import torch


class Descent(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad, alpha=-group["lr"])
        return loss
```
```python ok
import torch


class Descent(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            closure = torch.enable_grad()(closure)
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad, alpha=-group["lr"])
        return loss
```

## Fix safety
Safe: a closure is there to compute gradients, and PyTorch's own optimizers do the same.

## Known problems
None.

## References
- https://pytorch.org/docs/stable/optim.html#optimizer-step-closure
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Rule, Wrap
from nograd_lint.rules._carry import surely_off
from nograd_lint.rules._training import source_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL208", name="closure-without-enable-grad", severity=Severity.ERROR, fixable=True, guarded=(r"closure\(",)
)


def check(unit: UnitContext) -> Iterator[Finding]:
    root, cls = unit.root, unit.facts.cls
    if root is None or cls is None or not any(p.name == "closure" for p in root.params):
        return
    sure = unit.world.is_a(cls, "optimizer")
    if not sure and not _has_param_groups(unit):
        return
    for call in unit.all(ir.Call):
        if not isinstance(call.func, ir.Name) or call.func.id != "closure" or not surely_off(unit, call.o):
            continue
        value = unit.facts.values.get(call.func.o)
        if value is not None and value.kind in ("guarded", "func"):
            continue
        source = source_of(unit, call.o)
        stmt = unit.parent_statement[call.o]
        yield Finding(
            call.o,
            "the closure is called with gradients off: its `backward` raises",
            Confidence.HIGH if sure else Confidence.MEDIUM,
            (unit.note("gradients are switched off here", source.node),) if source is not None else (),
            fix=FixPlan(
                "Enable gradients for the closure",
                Applicability.SAFE,
                (Wrap(stmt, stmt, "torch.enable_grad()"),),
                "a closure is there to compute gradients",
            ),
        )


def _has_param_groups(unit: UnitContext) -> bool:
    """The class keeps parameters the way an optimizer does."""
    file = unit.world.project.file(unit.path)
    cls = unit.facts.cls
    if file is None or cls is None or cls.name not in file.classes:
        return False
    definition = file.classes[cls.name]
    return b"self.param_groups" in file.data[definition.start : definition.end]
