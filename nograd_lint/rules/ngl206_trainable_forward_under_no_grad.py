"""A part of a model runs under a guard, or is detached, although the optimizer has its parameters.

## What it does
Reports, in training code and in `forward` of a module that an optimizer trains, a sub-module with parameters of its own that
runs with gradients off, or whose output is detached, and a `forward` that is decorated with a guard. Not reported are modules
without parameters, parts that the class freezes, pretrained parts, copies, and parts that also run with gradients on.

## Why is this bad?
The rest of the model learns and the loss falls, so nobody notices that this part stays as it was initialised.

## Examples
```python error
import torch
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(16, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        with torch.no_grad():
            features = self.encoder(x)  # NGL206
        return self.head(features)


def train(loader):
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters())
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(16, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        features = self.encoder(x)
        return self.head(features)


def train(loader):
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters())
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python ok
import torch
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(16, 8).requires_grad_(False)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        with torch.no_grad():
            features = self.encoder(x)
        return self.head(features)


def train(loader):
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters())
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```

## Fix safety
Unsafe: the part is trained then, which takes memory and changes the results.

## Known problems
An optimizer that gets the parameters of a model of unknown class is taken to be this model's.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Kind, Note, Rule
from nograd_lint.rules._flow import conditions, reaching
from nograd_lint.rules._guards import decorators, shown
from nograd_lint.rules._optimized import (
    freezes,
    holding,
    is_trainable,
    loaded_or_copied,
    optimizers,
    owns_parameters,
    trained_by,
)
from nograd_lint.rules._training import guarded_region, lost, source_of, unguard
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Forward
    from nograd_lint.project.index import Symbol
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL206",
    name="trainable-forward-under-no-grad",
    severity=Severity.ERROR,
    kind=Kind.TRAIN,
    fixable=True,
)

# Parts that are not trained by gradients on purpose.
_ON_PURPOSE = re.compile(
    r"ema|momentum|target|teacher|slow|frozen|fixed|ref|reference|key|old|prior|copy|shadow", re.IGNORECASE
)
_CUT = frozenset(("detach", "compare", "argmax", "print", "metric", "item"))


def check(unit: UnitContext) -> Iterator[Finding]:
    cls = unit.facts.cls
    if cls is not None and unit.facts.is_module_class:
        if unit.unit.rpartition(".")[2].partition("#")[0] == "forward" and not freezes(unit, cls):
            yield from _in_forward(unit, cls)
    elif unit.facts.backwards:
        yield from _in_training(unit)


# --- in a module ------------------------------------------------------------------------------------------------------


def _in_forward(unit: UnitContext, cls: Symbol) -> Iterator[Finding]:
    root = unit.root
    assert root is not None
    guard = next((d for d in decorators(unit, root) if d.off), None)
    if guard is not None:
        for holder, attribute in holding(unit, cls):
            if freezes(unit, holder) or _ON_PURPOSE.search(attribute) or not owns_parameters(unit, cls):
                continue
            optimizer = trained_by(unit, holder, attribute)
            if optimizer is not None:
                source = source_of(unit, root.body[0].o)
                message = f"`{cls.name}` is frozen in silence: its `forward` runs with gradients off, whoever trains it"
                yield _finding(unit, guard.expr.o, message, (optimizer,), unguarded=source is not None)
                break
        return
    seen: set[str] = set()
    for forward in sorted(unit.facts.forwards.values(), key=lambda f: f.node):
        part = _part(forward)
        if part is None or part in seen or not _is_cut(unit, forward) or not _is_meant_to_learn(unit, cls, part):
            continue
        seen.add(part)
        if _runs_with_gradients(unit, cls, forward.receiver):
            continue
        optimizer = trained_by(unit, cls, part)
        if optimizer is not None:
            message = f"`{forward.receiver}` is frozen in silence: {_how(forward)}, and an optimizer has its parameters"
            yield _finding(unit, forward.node, message, (optimizer,), unguarded=forward.surely_off)


def _part(forward: Forward) -> str | None:
    """``encoder`` for a forward of ``self.encoder``."""
    head, _, part = forward.receiver.partition(".")
    return part if head == "self" and part.isidentifier() and forward.level >= 2 else None


def _is_cut(unit: UnitContext, forward: Forward) -> bool:
    """No gradient gets through the forward, in any case."""
    if any(True for _ in conditions(unit, forward.node)):
        return False
    if forward.surely_off:
        return unit.facts.entry is None
    sinks = unit.facts.sinks.get(forward.node, {})
    return "detach" in sinks and sinks.keys() <= _CUT


def _is_meant_to_learn(unit: UnitContext, cls: Symbol, part: str) -> bool:
    return is_trainable(unit, cls, part) and not loaded_or_copied(unit, cls, part) and not _ON_PURPOSE.search(part)


def _runs_with_gradients(unit: UnitContext, cls: Symbol, receiver: str) -> bool:
    """Another forward of the same part, in any method of the class, lets gradients through."""
    file = unit.world.project.file(unit.path)
    for name in file.units if file is not None else ():
        if not name.startswith(f"{cls.name}."):
            continue
        other = unit.other(unit.path, name)
        for forward in other.facts.forwards.values() if other is not None else ():
            if other is not None and forward.receiver == receiver and not _is_cut(other, forward):
                return True
    return False


def _how(forward: Forward) -> str:
    return "it runs with gradients off" if forward.surely_off else "its output is detached"


# --- in a training function -------------------------------------------------------------------------------------------


def _in_training(unit: UnitContext) -> Iterator[Finding]:
    if lost(unit):
        return  # nothing learns at all: NGL201
    given = {ir.dotted(model): call for call, model in optimizers(unit)}
    for name, call in given.items():
        if name is None or _ON_PURPOSE.search(name):
            continue
        forwards = [f for f in unit.facts.forwards.values() if f.receiver == name]
        if not forwards or not all(_is_cut(unit, f) and _feeds(unit, f) for f in forwards):
            continue
        forward = min(forwards, key=lambda f: f.node)
        message = f"`{name}` is frozen in silence: {_how(forward)}, and an optimizer has its parameters"
        note = unit.note("its parameters are given to an optimizer", call.o)
        yield _finding(unit, forward.node, message, (note,), unguarded=forward.surely_off)


def _feeds(unit: UnitContext, forward: Forward) -> bool:
    """The forward belongs to a step of training, and its output is used there."""
    loops = [loop.node for loop in forward.loops]
    steps = [b for b in unit.facts.backwards.values() if b.node > forward.node]
    if not any([loop.node for loop in b.loops] == loops for b in steps):
        return False
    stmt = unit.by_ordinal[unit.parent_statement[forward.node]]
    if not isinstance(stmt, ir.Assign):
        return not forward.surely_off
    name = ir.dotted(stmt.targets[0])
    return name is not None and any(
        n.id == name
        and n.o > unit.end_of(stmt.o)
        and any(d.stmt == stmt.o for d in reaching(unit, name, n.o).definitions)
        for n in unit.all(ir.Name)
    )


def _finding(unit: UnitContext, node: int, message: str, notes: tuple[Note, ...], *, unguarded: bool) -> Finding:
    source = source_of(unit, node)
    if source is None and unguarded and unit.root is not None:
        source = source_of(unit, unit.root.body[0].o)
    fix: FixPlan | None = None
    if unguarded:
        fix = unguard(source, "Take the guard away", f"`{shown(unit.unit)}` is trained then")
    return Finding(node, message, Confidence.MEDIUM, notes, guarded_region(source), fix)
