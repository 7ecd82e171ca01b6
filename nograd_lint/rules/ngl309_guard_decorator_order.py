"""A guard stands above `@staticmethod`, `@classmethod` or `@property`, or is combined with `@contextmanager`.

## What it does
Reports a guard above a decorator that has to be outermost. With `@contextmanager`, in either order, it is reported where the
`with` body at some call runs a model.

## Why is this bad?
What the guard wraps is not a function there. Above `@property` the attribute gives a bound method instead of its value,
above `@classmethod` the call raises `TypeError`, above `@staticmethod` it does so through an instance. Beside
`@contextmanager` only the steps of the generator are guarded, never the body of the `with` statement.

## Examples
```python error
import torch


class Probe:
    def __init__(self, model, sample):
        self.model = model.eval()
        self.sample = sample

    @torch.no_grad()  # NGL309
    @property
    def width(self):
        return self.model(self.sample).shape[1]
```
```python fixed
import torch


class Probe:
    def __init__(self, model, sample):
        self.model = model.eval()
        self.sample = sample

    @property
    @torch.no_grad()
    def width(self):
        return self.model(self.sample).shape[1]
```
```python error
from contextlib import contextmanager

import torch


@contextmanager
@torch.no_grad()  # NGL309
def evaluating(model):
    model.eval()
    yield model
    model.train()


def predict(model, x):
    with evaluating(model):
        return model(x).argmax(1).tolist()
```
```python fixed
from contextlib import contextmanager

import torch


@contextmanager
def evaluating(model):
    model.eval()
    with torch.no_grad():
        yield model
    model.train()


def predict(model, x):
    with evaluating(model):
        return model(x).argmax(1).tolist()
```
```python ok
from contextlib import contextmanager

import torch


@contextmanager
def evaluating(model):
    model.eval()
    with torch.no_grad():
        yield model
    model.train()


class Factory:
    @staticmethod
    @torch.no_grad()
    def label(model, x):
        model.eval()
        return model(x).argmax(1).tolist()
```

## Fix safety
Swapping the two decorators is safe: the present order can't work. Putting the `yield` of a context manager under the guard
is unsafe: from then on the bodies of all its `with` statements run with gradients off.

## Known problems
None.

## References
- https://pytorch.org/docs/stable/generated/torch.no_grad.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.project.index import Symbol
from nograd_lint.rules._base import Finding, FixPlan, Note, RemoveDecorator, Rule, SwapDecorators, Wrap
from nograd_lint.rules._guards import Decorator, decorators
from nograd_lint.rules._work import forwards_in, run_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL309",
    name="guard-decorator-order",
    severity=Severity.ERROR,
    fixable=True,
    guarded=(
        r"property\b",
        r"cached_property\b",
        r"classmethod\b",
        r"staticmethod\b",
        r"contextmanager\b",
        r"asynccontextmanager\b",
    ),
)

_OUTERMOST = {
    "property": "the attribute gives a bound method, not its value",
    "functools.cached_property": "the attribute gives a bound method, not its value",
    "classmethod": "calling it raises TypeError",
    "staticmethod": "calling it through an instance raises TypeError",
}
_MANAGERS = ("contextlib.contextmanager", "contextlib.asynccontextmanager")


def check(unit: UnitContext) -> Iterator[Finding]:
    for function in unit.all(ir.Def):
        if len(function.decorators) < 2:
            continue
        for guard in decorators(unit, function):
            below = [
                (i, what) for i, d in enumerate(function.decorators) if i > guard.index and (what := _kind(unit, d))
            ]
            if below:
                index, what = below[0]
                yield _misplaced(function, guard, index, what)
                break
            if guard.off and any(unit.resolve(d) in _MANAGERS for d in function.decorators):
                yield from _manages(unit, function, guard)
                break


def _kind(unit: UnitContext, decorator: ir.Expr) -> str | None:
    name = unit.resolve(decorator) or ir.dotted(decorator)
    return name if name in _OUTERMOST else None


def _misplaced(function: ir.Def, guard: Decorator, index: int, what: str) -> Finding:
    fix = FixPlan(
        "Swap the decorators",
        Applicability.SAFE,
        (SwapDecorators(function.o, guard.index, index),),
        "the present order can't work",
    )
    return Finding(
        guard.expr.o,
        f"`{guard.name}` stands above `@{what}` of `{function.name}`: {_OUTERMOST[what]}",
        Confidence.HIGH,
        region=(function.o, function.o),
        fix=fix,
    )


def _manages(unit: UnitContext, function: ir.Def, guard: Decorator) -> Iterator[Finding]:
    """Where a ``with`` over the context manager runs a model, which is not guarded."""
    if function is not unit.root:
        return
    notes: list[Note] = []
    level = 0
    for path, name, site in unit.world.callers(Symbol("function", unit.path, unit.unit))[0]:
        caller = unit.other(path, name)
        for stmt in caller.all(ir.With) if caller is not None else ():
            if caller is None or not any(item.expr.o == site.node for item in stmt.items):
                continue
            inside = forwards_in(caller, stmt.body[0].o, caller.end_of(stmt.body[-1].o))
            inside = [f for f in inside if all(guard in (None, stmt.o) for _, guard in f.modes)]
            notes += [caller.note("runs outside the guard", f.node) for f in inside[:1]]
            level = max((level, *(f.level for f in inside)))
    if notes:
        yield Finding(
            guard.expr.o,
            f"`{guard.name}` guards the steps of the generator `{function.name}`, not the `with` body at its calls",
            Confidence.HIGH if level > 1 else Confidence.MEDIUM,
            tuple(notes),
            (function.o, function.o),
            _around_yield(unit, function, guard),
        )


def _around_yield(unit: UnitContext, function: ir.Def, guard: Decorator) -> FixPlan | None:
    """The guard around the one ``yield``, and around what runs a model beside it."""
    yields = [node.o for node in unit.all(ir.Yield)]
    first, last = function.body[0].o, unit.end_of(function.body[-1].o)
    run = run_of(unit, yields + [f.node for f in forwards_in(unit, first, last)]) if len(yields) == 1 else None
    if run is None or not isinstance(guard.expr, ir.Call):
        return None
    actions = (RemoveDecorator(function.o, guard.index), Wrap(*run, unit.source(guard.expr.o)))
    return FixPlan(
        "Put the `yield` under the guard", Applicability.UNSAFE, actions, "other `with` bodies come under it too"
    )
