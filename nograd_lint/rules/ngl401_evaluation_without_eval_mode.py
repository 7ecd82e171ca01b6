"""Inference runs under a guard on a model that was never put in eval mode.

## What it does
Reports a guarded forward of a model that the same function has made or loaded, where nothing has called `eval()` on it.

## Why is this bad?
A guard says nothing about dropout and batch norm: a new module is in training mode, so dropout still drops, and batch norm
still uses and changes its statistics. The results are not those of the trained model.

## Examples
```python error
import torch
from torch import nn


def predict(path, x):
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2))
    model.load_state_dict(torch.load(path))
    with torch.no_grad():
        return model(x).argmax(1).tolist()  # NGL401
```
```python ok
import torch
from torch import nn


def predict(path, x):
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2))
    model.load_state_dict(torch.load(path))
    model.eval()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```

## Fix safety
There is no fix: whether dropout is meant to act is the author's decision.

## Known problems
A module without dropout and batch norm behaves the same in both modes.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#evaluation-mode-nn-module-eval
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence, Severity
from nograd_lint.rules._base import Finding, Rule
from nograd_lint.rules._flow import reaching
from nograd_lint.rules._guards import shown
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Forward
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL401", name="evaluation-without-eval-mode", severity=Severity.INFO, default=False)

# Both read a module in the mode that it was saved in.
_LOADERS = ("torch.load", "torch.jit.load")


def check(unit: UnitContext) -> Iterator[Finding]:
    facts = unit.facts
    if facts.backwards or facts.steps:
        return
    seen: set[str] = set()
    for forward in sorted(facts.forwards.values(), key=lambda f: f.node):
        if not forward.surely_off or forward.level < 3 or forward.receiver in seen or forward.phases != {""}:
            continue
        made = _made(unit, forward)
        if made is None or _switched(unit, forward.receiver):
            continue
        seen.add(forward.receiver)
        yield Finding(
            forward.node,
            f"`{shown(unit.source(forward.node))}` runs a model that is still in training mode",
            Confidence.MEDIUM,
            (unit.note("made here", made),),
        )


def _made(unit: UnitContext, forward: Forward) -> int | None:
    """Where the function makes the model, by calling a class or a loader that leaves it in training mode."""
    call = unit.by_ordinal.get(forward.node)
    if not isinstance(call, ir.Call) or not isinstance(call.func, ir.Name):
        return None
    found = reaching(unit, call.func.id, call.func.o)
    if found.entry or len(found.definitions) != 1:
        return None
    value = found.definitions[0].value
    if found.definitions[0].kind != "assign" or not isinstance(value, ir.Call):
        return None
    name = unit.resolve(value.func)
    symbol = unit.symbol(value.func)
    if name is not None and (name in _LOADERS or unit.world.knowledge.is_module_class(name)):
        return value.o
    if symbol is not None and symbol.kind == "class" and unit.world.is_module(symbol):
        return value.o
    return None


def _switched(unit: UnitContext, name: str) -> bool:
    return any(spelled == name or name.startswith(f"{spelled}.") for spelled, _, _ in unit.facts.evals.values())
