"""`backward` is called on a value that was computed while gradients were disabled.

## What it does
Reports `backward()`, `torch.autograd.grad()` and what frameworks offer in their place where the value was surely computed
under `torch.no_grad()`, `torch.inference_mode()` or `set_grad_enabled(False)`. Where the value was computed outside, a
`backward()` under a guard works and is not reported.

## Why is this bad?
There is no graph to go back through: PyTorch raises `element 0 of tensors does not require grad and does not have a
grad_fn`, as soon as the line is reached.

## Examples
```python error
import torch
import torch.nn.functional as F


@torch.no_grad()
def train(model, optimizer, train_loader):
    model.train()
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # NGL201
        optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F


def train(model, optimizer, train_loader):
    model.train()
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python ok
import torch
import torch.nn.functional as F


def train(model, optimizer, train_loader):
    model.train()
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        with torch.no_grad():
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def saliency(model, x):
    model.eval()
    with torch.enable_grad():
        x.requires_grad_(True)
        score = model(x).max()
    return torch.autograd.grad(score, x)[0]
```

## Fix safety
Unsafe: the guard is taken away, and with it whatever else it was there for.

## Known problems
Only where every step from the guarded computation to the backward can be seen in one function; a loss that a function of
another library returns is not judged.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence, Severity
from nograd_lint.rules._base import Finding, Kind, Rule
from nograd_lint.rules._guards import shown
from nograd_lint.rules._training import guarded_region, hidden, lost, source_of, unguard

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL201", name="backward-under-no-grad", severity=Severity.ERROR, kind=Kind.TRAIN, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    if not unit.facts.backwards:
        return
    silenced = {found.end for found in hidden(unit)}
    seen: set[int] = set()
    for found in lost(unit):
        node = found.backward.node
        first = found.carry.off[0]
        source = source_of(unit, first)
        at = source.node if source is not None else first
        if node in silenced or at in seen:
            continue
        seen.add(at)
        notes = [unit.note(f"`{shown(unit.source(n))}` is computed with gradients off", n) for n in found.carry.off[:3]]
        if source is not None:
            notes.append(unit.note("gradients are switched off here", source.node))
        yield Finding(
            node,
            f"`{shown(unit.source(node))}` raises: `{shown(unit.source(found.value.o))}` has no graph, it was computed with "
            "gradients off",
            Confidence.HIGH if found.carry.sure else Confidence.MEDIUM,
            tuple(notes),
            guarded_region(source),
            unguard(source, "Take the guard away", "whatever else stands under it is tracked then, too"),
        )
