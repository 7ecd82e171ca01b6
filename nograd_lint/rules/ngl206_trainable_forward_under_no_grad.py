"""A part of a model runs under a guard, or is detached, although the optimizer has its parameters.

## What it does
Reports, in training code and in `forward` of a module that an optimizer trains, a sub-module with parameters of its own that
runs with gradients off, or whose output is detached, and a `forward` that is decorated with a guard. Not reported are modules
without parameters, parts that the class freezes, pretrained parts, copies, and parts that also run with gradients on. A part
that the class freezes is reported where the project unfreezes it elsewhere, or the constructor has a flag for it. A layer
without parameters that stands behind others, such as a positional encoding, is reported where its whole `forward` is guarded:
it lets no gradient through to them.

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
```python error
import math

import torch
from torch import nn


class PositionalEncoding(nn.Module):
    def __init__(self, width, table):
        super().__init__()
        self.width = width
        self.register_buffer("table", table)

    def forward(self, x):
        with torch.no_grad():
            x = x * math.sqrt(self.width)
            return x + self.table[: x.size(0)]  # NGL206
```
```python fixed
import math

import torch
from torch import nn


class PositionalEncoding(nn.Module):
    def __init__(self, width, table):
        super().__init__()
        self.width = width
        self.register_buffer("table", table)

    def forward(self, x):
        x = x * math.sqrt(self.width)
        return x + self.table[: x.size(0)]
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
from nograd_lint.rules._carry import surely_off
from nograd_lint.rules._flow import conditions, reaching
from nograd_lint.rules._guards import Decorator, decorators, shown
from nograd_lint.rules._optimized import (
    freezes,
    holding,
    is_trainable,
    loaded_or_copied,
    optimizers,
    owns_parameters,
    trainable_by_flag,
    trained_by,
    unfrozen_elsewhere,
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
    guarded=(r"def forward\b",),
)

# Parts that are not trained by gradients on purpose.
_ON_PURPOSE = re.compile(
    r"ema|momentum|target|teacher|slow|frozen|fixed|ref|reference|key|old|prior|copy|shadow", re.IGNORECASE
)
_BETWEEN = re.compile(r"Position|Attention|Residual|Pooling|Layer|Block|Attn")  # layers that stand behind others
_INDICES = re.compile(
    r"(?:^|_)(?:ids?|idx|ind(?:ex(?:es)?|ices)|pos(?:itions?)?|(?:time)?steps?|len(?:gth)?s?|masks?)$"
)
_CUT = frozenset(("detach", "compare", "argmax", "print", "metric", "item"))


def check(unit: UnitContext) -> Iterator[Finding]:
    cls = unit.facts.cls
    if cls is not None and unit.facts.is_module_class:
        if unit.unit.rpartition(".")[2].partition("#")[0] == "forward":
            found = list(_contradicted(unit, cls))
            if not found and not freezes(unit, cls):
                found = list(_decorated(unit, cls) or _parts(unit, cls)) or list(_blocked(unit, cls))
            yield from found
    elif unit.facts.backwards:
        yield from _in_training(unit)


# --- in a module ------------------------------------------------------------------------------------------------------


def _guard(unit: UnitContext) -> Decorator | None:
    root = unit.root
    return next((d for d in decorators(unit, root) if d.off), None) if root is not None else None


def _contradicted(unit: UnitContext, cls: Symbol) -> Iterator[Finding]:
    """A part always runs with gradients off, and the project says elsewhere that it can be trained."""
    guard = _guard(unit)
    for call in unit.all(ir.Call):
        part = _own_part(unit, cls, call)
        if part is None or not surely_off(unit, call.o) or (guard is None and any(conditions(unit, call.o))):
            continue
        evidence = unfrozen_elsewhere(unit, part) or trainable_by_flag(unit, cls)
        if evidence is not None and not _runs_with_gradients(unit, cls, f"self.{part}"):
            node = guard.expr.o if guard is not None else call.o
            message = f"`self.{part}` runs with gradients off, whatever is said elsewhere about training it"
            yield _finding(unit, node, message, (evidence,), unguarded=True)
            return


def _own_part(unit: UnitContext, cls: Symbol, call: ir.Call) -> str | None:
    """``encoder`` for a call of ``self.encoder``, where that is a module with parameters."""
    name = ir.dotted(call.func) or ""
    head, _, part = name.partition(".")
    if head != "self" or not part.isidentifier() or _ON_PURPOSE.search(part):
        return None
    value = unit.world.attribute(cls, part, 1)
    if value is None:
        return None
    if value.model < 2:
        return part if _is_switched(unit, cls, part) else None
    if value.cls is None:
        return part
    if value.cls.kind == "external":
        return None if unit.world.is_parameterless(value.cls.name) else part
    return part if owns_parameters(unit, value.cls) else None


def _is_switched(unit: UnitContext, cls: Symbol, part: str) -> bool:
    """The class freezes or unfreezes the part, calls it, or asks for its parameters: it is a module."""
    file = unit.world.project.file(cls.path)
    pattern = rb"\bself\.%s\.(?:requires_grad_|parameters|named_parameters)\(" % re.escape(part.encode())
    return file is not None and re.search(pattern, file.class_body(cls.name)) is not None


def _decorated(unit: UnitContext, cls: Symbol) -> list[Finding]:
    """The whole ``forward`` is guarded, in a module that another one trains."""
    guard = _guard(unit)
    if guard is None or not owns_parameters(unit, cls):
        return []
    for holder, attribute in holding(unit, cls):
        optimizer = None
        if not freezes(unit, holder) and not _ON_PURPOSE.search(attribute):
            optimizer = trained_by(unit, holder, attribute)
        if optimizer is not None:
            message = f"`{cls.name}` is frozen in silence: its `forward` runs with gradients off, whoever trains it"
            return [_finding(unit, guard.expr.o, message, (optimizer,), unguarded=True)]
    return []


def _blocked(unit: UnitContext, cls: Symbol) -> Iterator[Finding]:
    """A layer without parameters that stands between others: no gradient gets through it to those before it."""
    returns = unit.all(ir.Return)
    if _BETWEEN.search(cls.name) is None or owns_parameters(unit, cls) or len(returns) != 1:
        return
    value = returns[0].value
    computed = unit.facts.values.get(value.o) if value is not None else None
    if value is None or computed is None or not any(_carries_gradient(unit, token) for token in computed.graph):
        return
    if surely_off(unit, value.o) and not any(conditions(unit, value.o)):
        guard = _guard(unit)
        node = guard.expr.o if guard is not None else value.o
        message = f"`{cls.name}` gives its input back without its graph: the layers before it learn nothing"
        yield _finding(unit, node, message, (), unguarded=True)


def _carries_gradient(unit: UnitContext, token: int) -> bool:
    """The token stands for a parameter of ``forward`` that other layers may have computed: not for indices."""
    params = unit.root.params if unit.root is not None else ()
    return 1 <= -1 - token < len(params) and _INDICES.search(params[-1 - token].name) is None


def _parts(unit: UnitContext, cls: Symbol) -> Iterator[Finding]:
    """A part whose output carries no gradient back to it."""
    seen: set[str] = set()
    for forward in sorted(unit.facts.forwards.values(), key=lambda f: f.node):
        part = _part(forward)
        if part is None or part in seen or not _is_cut(unit, forward) or not _is_meant_to_learn(unit, cls, part):
            continue
        seen.add(part)
        optimizer = None
        if not _runs_with_gradients(unit, cls, forward.receiver):
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
            same = forward.receiver == receiver and not forward.surely_off
            if other is not None and same and not _is_cut(other, forward):
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
