"""An evaluation or inference function runs a model with gradient tracking on.

## What it does
Reports functions that evaluate, predict or extract features with a model while PyTorch records the graph, although
nothing uses a gradient of what they compute.

## Why is this bad?
Every activation stays alive for a backward pass that never comes: memory grows with the depth of the model and the
size of the batch, and inference is slower. The predictions are the same.

## Examples
```python error
import torch


def evaluate(model, test_loader):
    model.eval()
    correct = 0
    for x, y in test_loader:
        output = model(x)  # NGL101
        correct += (output.argmax(1) == y).sum().item()
    return correct
```
```python fixed
import torch


@torch.no_grad()
def evaluate(model, test_loader):
    model.eval()
    correct = 0
    for x, y in test_loader:
        output = model(x)
        correct += (output.argmax(1) == y).sum().item()
    return correct
```
```python ok
import torch


@torch.inference_mode()
def evaluate(model, test_loader):
    model.eval()
    return [model(x).argmax(1) for x, _ in test_loader]


def saliency(model, x):
    model.eval()
    x.requires_grad_()
    model(x).max().backward()
    return x.grad
```

## Fix safety
Safe where nothing can ask for a gradient of what is computed: no output that carries the graph leaves the region. Unsafe where
outputs go to callers that are not in sight.

## Known problems
Whether a call runs a model is judged by where the object comes from, what is called on it, and its name; a model that arrives
through a container or a registry may be missed.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Severity
from nograd_lint.rules._base import Finding, Kind, Rule
from nograd_lint.rules._tracked import findings

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL101", name="tracked-evaluation", severity=Severity.WARNING, kind=Kind.GUARD, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    return findings(unit, RULE.code, "{function} evaluates {model} with gradient tracking on")
