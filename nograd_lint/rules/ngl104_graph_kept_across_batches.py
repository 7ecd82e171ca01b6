"""Evaluation keeps tensors that carry their graph from batch to batch.

## What it does
Reports evaluation loops that append outputs or losses to a list, or add them to a running sum, without taking a number
or a detached tensor of them.

## Why is this bad?
Each kept tensor holds the whole graph of its batch. Memory grows with the data set until the process dies.

## Examples
```python error
import torch


def validate(model, val_loader, loss_fn):
    model.eval()
    total = 0
    for x, y in val_loader:
        total += loss_fn(model(x), y)  # NGL104
    return float(total)
```
```python fixed
import torch


@torch.no_grad()
def validate(model, val_loader, loss_fn):
    model.eval()
    total = 0
    for x, y in val_loader:
        total += loss_fn(model(x), y)
    return float(total)
```
```python ok
import torch


@torch.no_grad()
def validate(model, val_loader, loss_fn):
    model.eval()
    losses = []
    for x, y in val_loader:
        losses.append(loss_fn(model(x), y))
    return torch.stack(losses).mean()
```

## Fix safety
Safe where nothing can ask for a gradient of what is computed: no output that carries the graph leaves the region. Unsafe where
outputs go to callers that are not in sight. Where no guard fits (across an `await`), or where training shares the routine, what
is kept is detached; that is unsafe as well.

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

RULE = Rule(code="NGL104", name="graph-kept-across-batches", severity=Severity.ERROR, kind=Kind.GUARD, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    return findings(
        unit,
        RULE.code,
        "{function} keeps outputs of {model} with their graph across batches: memory grows with every batch",
    )
