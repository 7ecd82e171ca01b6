"""A guard decorates a class.

## What it does
Reports `@torch.no_grad()`, `@torch.inference_mode()` and the like above a `class`.

## Why is this bad?
Only `__init__` runs under the guard; the other methods track gradients. And the name is no class any more but a function:
`isinstance` and subclassing raise `TypeError`. Under `inference_mode` the module's parameters become inference tensors.

## Examples
```python error
import torch


@torch.no_grad()  # NGL308
class Scorer:
    def __init__(self, model):
        self.model = model.eval()

    def score(self, x):
        return self.model(x).softmax(1)
```
```python fixed
import torch


class Scorer:
    def __init__(self, model):
        self.model = model.eval()

    @torch.no_grad()
    def score(self, x):
        return self.model(x).softmax(1)
```
```python ok
import torch


class Scorer:
    def __init__(self, model):
        self.model = model.eval()

    @torch.no_grad()
    def score(self, x):
        return self.model(x).softmax(1)
```

## Fix safety
Unsafe: the decorator goes from the class to the methods that run a model, and others may have been meant.

## Known problems
None.

## References
- https://pytorch.org/docs/stable/generated/torch.no_grad.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Decorate, Finding, FixPlan, RemoveDecorator, Rule
from nograd_lint.rules._guards import decorators
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL308", name="guard-on-class", severity=Severity.ERROR, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    for cls in unit.all(ir.Class):
        for decorator in decorators(unit, cls):
            meant = _meant(unit, cls) if decorator.off else []
            guard = unit.source(decorator.expr.o)
            yield Finding(
                decorator.expr.o,
                f"`{decorator.name}` on the class `{cls.name}` guards `__init__` alone, and turns the class into a function",
                Confidence.HIGH,
                region=(cls.o, cls.o),
                fix=FixPlan(
                    "Decorate the methods that run a model" if meant else "Remove the decorator",
                    Applicability.UNSAFE,
                    (RemoveDecorator(cls.o, decorator.index), *(Decorate(method.o, guard) for method in meant)),
                    "other methods may have been meant",
                ),
            )


def _meant(unit: UnitContext, cls: ir.Class) -> list[ir.Def]:
    """The methods that run a model with gradients on and could be decorated."""
    found = []
    for method in cls.body:
        if not isinstance(method, ir.Def) or method.is_async or method.name == "__init__":
            continue
        own = unit.other(unit.path, f"{unit.enclosing[method.o]}.{method.name}")
        if own is None or own.facts.backwards or own.facts.steps:
            continue
        if any(forward.tracked for forward in own.facts.forwards.values()):
            found.append(method)
    return found
