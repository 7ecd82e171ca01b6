"""A loss without a graph is made to require gradients, which hides the error: nothing is learnt.

## What it does
Reports `loss.requires_grad = True`, `loss.requires_grad_()`, `Variable(loss, requires_grad=True)` and
`torch.tensor(loss.item(), requires_grad=True)` where `backward` is then called on that very tensor, and the last two where a
loss function returns them. Inputs and cached features that become leaves on purpose are not reported, nor is a loss whose
graph is intact. Where nothing is known of the graph, the confidence is low.

## Why is this bad?
`backward` ends at the new leaf: it raises no error, and no parameter gets a gradient. The loss is computed, printed and
never falls.

## Examples
```python error
import torch
import torch.nn.functional as F
from torch.autograd import Variable


def train(model, optimizer, train_loader):
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        loss = Variable(loss, requires_grad=True)  # NGL205
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F
from torch.autograd import Variable


def train(model, optimizer, train_loader):
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python error
import torch
import torch.nn.functional as F


@torch.no_grad()
def train(model, optimizer, train_loader):
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        loss.requires_grad = True  # NGL205
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F


def train(model, optimizer, train_loader):
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python ok
import torch
import torch.nn.functional as F


def attack(model, x, y):
    x = x.detach().requires_grad_()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return x.grad.sign()


def train(model, optimizer, train_loader):
    for x, y in train_loader:
        loss = F.cross_entropy(model(x), y)
        loss.requires_grad = True
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```

## Fix safety
Unsafe: the line goes, and the guard that made it seem necessary with it.

## Known problems
A graph that was lost in another function, on the way through NumPy for example, is not seen.

## References
- https://github.com/ronghuaiyang/arcface-pytorch/issues/56
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Delete, Finding, FixPlan, Kind, Note, Rule
from nograd_lint.rules._carry import Kind as Carried
from nograd_lint.rules._guards import shown
from nograd_lint.rules._training import Hidden, hidden, source_of, unguard
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL205", name="requires-grad-on-detached-loss", severity=Severity.ERROR, kind=Kind.TRAIN, fixable=True
)


def check(unit: UnitContext) -> Iterator[Finding]:
    seen: set[int] = set()
    for found in hidden(unit):
        if found.stmt.o in seen:
            continue
        seen.add(found.stmt.o)
        kind, text = found.carry.kind, shown(unit.source(found.stmt.o))
        copied = _is_copy(found)
        confidence = Confidence.HIGH if found.carry.sure and not found.returned else Confidence.MEDIUM
        if kind is Carried.OFF:
            message = f"`{text}` hides that the loss was computed with gradients off: nothing is learnt"
        elif kind is Carried.MAYBE and not copied:
            # On a tensor with a graph, setting the attribute raises an error, the method does nothing.
            attribute = isinstance(found.stmt, ir.Assign)
            otherwise = "raises an error" if attribute else "has no effect"
            message = f"`{text}` {otherwise}, or hides that the loss has lost its graph"
            confidence = Confidence.MEDIUM if attribute else Confidence.LOW
        else:
            message = f"`{text}` cuts the loss off from its graph: nothing is learnt"
        yield Finding(found.stmt.o, message, confidence, tuple(_notes(unit, found)), fix=_fix(unit, found))


def _is_copy(found: Hidden) -> bool:
    """The statement makes a new tensor; it does not only set a flag."""
    value = found.stmt.value if isinstance(found.stmt, (ir.Assign, ir.Return)) else None
    return isinstance(value, ir.Call) and value.keyword("requires_grad") is not None


def _notes(unit: UnitContext, found: Hidden) -> Iterator[Note]:
    for node in found.carry.off[:2]:
        yield unit.note("computed with gradients off here", node)
    source = source_of(unit, found.carry.off[0]) if found.carry.off else None
    if source is not None:
        yield unit.note("gradients are switched off here", source.node)
    for node in found.carry.cut[:2]:
        yield unit.note("the graph ends here", node)
    yield unit.note("callers get the leaf" if found.returned else "backward ends at the leaf", found.end)


def _fix(unit: UnitContext, found: Hidden) -> FixPlan | None:
    delete = Delete(found.stmt.o)
    reason = "gradients flow then, and training changes"
    if found.carry.kind is Carried.OFF:
        source = source_of(unit, found.carry.off[0]) if found.carry.off else None
        return unguard(source, "Remove the line and the guard", reason, delete)
    if isinstance(found.stmt, ir.Return):
        return None
    if found.rebinds and isinstance(found.stmt, ir.Assign) and not _refers_to_itself(found.stmt):
        return None
    return FixPlan("Remove the line", Applicability.UNSAFE, (delete,), reason)


def _refers_to_itself(stmt: ir.Assign) -> bool:
    """``loss = Variable(loss, ...)``: without the line, the name still has its value."""

    names = {ir.dotted(target) for target in stmt.targets}
    return any(isinstance(n, ir.Name) and n.id in names for n in ir.walk(stmt.value))
