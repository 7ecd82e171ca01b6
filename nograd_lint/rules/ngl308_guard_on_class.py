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
Unsafe: the decorator goes, and the methods that were meant still need one of their own.

## Known problems
None.

## References
- https://pytorch.org/docs/stable/generated/torch.no_grad.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, RemoveDecorator, Rule
from nograd_lint.rules._guards import decorators
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL308", name="guard-on-class", severity=Severity.ERROR, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    for cls in unit.all(ir.Class):
        for decorator in decorators(unit, cls):
            yield Finding(
                decorator.expr.o,
                f"`{decorator.name}` on the class `{cls.name}` guards `__init__` alone, and turns the class into a function",
                Confidence.HIGH,
                region=(cls.o, cls.o),
                fix=FixPlan(
                    "Remove the decorator",
                    Applicability.UNSAFE,
                    (RemoveDecorator(cls.o, decorator.index),),
                    "the methods that run the model need a guard of their own",
                ),
            )
