"""A training step or loop is called in a region where gradients are disabled.

## What it does
Reports a guard (a decorator or a `with` block) under which a function is called that computes a loss and calls
`backward` on it. The evidence shows the way from the guard to the backward, through as many functions as it takes.
A backward on a loss that the same function computes under its own guard is NGL201.

## Why is this bad?
The loss has no graph: the first `backward` raises, or, where somebody has silenced the error, nothing is learnt.

## Examples
```python error
import torch
import torch.nn.functional as F


def train_epoch(model, optimizer, train_loader):
    model.train()
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()  # NGL202
def main(model, optimizer, train_loader):
    for _ in range(10):
        train_epoch(model, optimizer, train_loader)
```
```python fixed
import torch
import torch.nn.functional as F


def train_epoch(model, optimizer, train_loader):
    model.train()
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main(model, optimizer, train_loader):
    for _ in range(10):
        train_epoch(model, optimizer, train_loader)
```
```python ok
import torch
import torch.nn.functional as F


@torch.enable_grad()
def adapt(model, optimizer, batches):
    for x in batches:
        loss = F.mse_loss(model(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model, optimizer, batches):
    adapt(model, optimizer, batches)
    model.eval()
    return [model(x) for x in batches]


def update(model, rate):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= rate * parameter.grad
```

## Fix safety
Unsafe: the guard is taken away, and with it whatever else it was there for.

## Known problems
A step that depends on a flag (`if train: loss.backward()`) is taken to be switched off where the guard holds.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence, Severity
from nograd_lint.rules._base import Finding, Kind, Rule
from nograd_lint.rules._training import (
    Source,
    Step,
    expects_error,
    guarded_region,
    hidden,
    lost,
    source_of,
    trains,
    unguard,
)

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL202", name="training-under-no-grad", severity=Severity.ERROR, kind=Kind.TRAIN, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    reported = {found.backward.node for found in lost(unit)} | {found.end for found in hidden(unit)}
    guards: dict[int, tuple[Source, list[tuple[int, tuple[Step, ...]]]]] = {}
    for node, site in sorted(unit.facts.calls.items()):
        if site.target is None or node in reported or not site.surely_off or expects_error(unit, node):
            continue
        source = source_of(unit, node)
        if source is None or source.kind == "switch":
            continue
        steps = trains(unit.world, site.target)
        if steps:
            guards.setdefault(source.node, (source, []))[1].append((node, steps))
    for source, calls in guards.values():
        node, steps = calls[0]
        notes = [unit.note(f"called with gradients off: {steps[0].text}", node)]
        notes += [unit.note_at(step.text, step.path, step.unit, step.node) for step in steps]
        name = unit.facts.calls[node].target
        assert name is not None
        yield Finding(
            source.node,
            f"`{name.name.partition('#')[0]}` trains, and is called here with gradients off",
            Confidence.HIGH if len(steps) == 1 else Confidence.MEDIUM,
            tuple(notes),
            guarded_region(source),
            unguard(source, "Take the guard away", "whatever else stands under it is tracked then, too"),
        )
