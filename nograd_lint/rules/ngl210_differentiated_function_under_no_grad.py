"""A function is differentiated whose own guard switches gradients off.

## What it does
Reports functions given to `torch.func.grad`, `vjp`, `jacrev`, `autograd.functional.jacobian` and the like that compute their
result under a guard of their own, and `autograd.functional` called in inference mode.

## Why is this bad?
The gradient is zero everywhere, without a word: inside the guard nothing depends on the input. `autograd.functional` switches
gradients on for the function, which has no effect in inference mode.

## Examples
```python error
import torch


@torch.no_grad()
def energy(weights, x):
    return (x @ weights).square().sum()


def slopes(weights, x):
    return torch.func.grad(energy)(weights, x)  # NGL210
```
```python error
import torch
from torch.autograd.functional import jacobian


@torch.inference_mode()
def slopes(model, x):
    model.eval()
    return jacobian(model, x)  # NGL210
```
```python ok
import torch


def energy(weights, x):
    return (x @ weights).square().sum()


@torch.no_grad()
def slopes(weights, x):
    return torch.func.grad(energy)(weights, x)
```

## Fix safety
There is no fix: the guard may be needed by other callers of the function.

## Known problems
None.

## References
- https://pytorch.org/docs/stable/func.html
- https://github.com/pytorch/pytorch/pull/177596
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.analysis.values import Mode
from nograd_lint.diagnostics import Confidence, Severity
from nograd_lint.rules._base import Finding, Note, Rule
from nograd_lint.rules._carry import Kind, carry, modes_at
from nograd_lint.rules._guards import shown
from nograd_lint.rules._training import source_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.project.index import Symbol
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL210",
    name="differentiated-function-under-no-grad",
    severity=Severity.ERROR,
    guarded=(r"\bgrad\(", r"grad_and_value\(", r"hessian\(", r"\bjac\w+\(", r"vjp\(", r"jvp\(", r"linearize\("),
)


def check(unit: UnitContext) -> Iterator[Finding]:
    for call in unit.all(ir.Call):
        name = unit.resolve(call.func)
        demand = unit.world.knowledge.demand(name) if name is not None and name.startswith("torch.") else None
        if name is None or demand is None or demand.kind != "differentiates":
            continue
        function = call.args[0] if call.args else call.keyword("func")
        guard = _guarded(unit, function) if function is not None else None
        if function is not None and guard is not None:
            message = f"`{shown(unit.source(function.o))}` is differentiated, and switches gradients off itself: the result is zero"
            yield Finding(call.o, message, Confidence.HIGH, (guard,))
        elif name.startswith("torch.autograd.functional.") and modes_at(unit, call.o) == {Mode.INFERENCE}:
            source = source_of(unit, call.o)
            notes = (unit.note("inference mode is entered here", source.node),) if source is not None else ()
            message = f"`{shown(unit.source(call.func.o))}` gives zeros in inference mode"
            yield Finding(call.o, message, Confidence.HIGH, notes)


def _guarded(unit: UnitContext, function: ir.Expr) -> Note | None:
    """The guard inside a function under which it computes all that it returns."""
    value = unit.facts.values.get(function.o)
    symbol = value.symbol if value is not None and value.symbol is not None else unit.symbol(function)
    if value is not None and value.kind == "func" and isinstance(value.data[0], ir.Def):
        nested: ir.Def = value.data[0]
        if value.data[1] is not None and value.data[1].off:
            return unit.note(
                "gradients are switched off here", nested.decorators[0].o if nested.decorators else nested.o
            )
        return _around_returns(unit, nested)
    if symbol is not None and symbol.kind == "function":
        return _in_project(unit, symbol)
    return None


def _in_project(unit: UnitContext, symbol: Symbol) -> Note | None:
    other = unit.other(symbol.path, symbol.name)
    if other is None or other.root is None:
        return None
    if other.facts.entry is not None and other.facts.entry[0].off:
        return other.note("gradients are switched off here", other.facts.entry[1])
    return _around_returns(other, other.root)


def _around_returns(unit: UnitContext, function: ir.Def) -> Note | None:
    """The guard, where everything that the function returns is computed under one."""
    returned = [r for r in unit.all(ir.Return) if r.value is not None and unit.inside(r.o, function.o)]
    sources = []
    for stmt in returned:
        assert stmt.value is not None
        found = carry(unit, stmt.value)
        if found.kind is not Kind.OFF or not found.off:
            return None
        sources.append(source_of(unit, found.off[0]))
    source = sources[0] if sources else None
    return unit.note("gradients are switched off here", source.node) if source is not None else None
