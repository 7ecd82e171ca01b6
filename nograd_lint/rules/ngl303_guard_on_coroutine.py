"""A guard decorates a coroutine function or an async generator.

## What it does
Reports `@torch.no_grad()` and the like above an `async def` whose body runs a model or other tensor operations itself. A body
that only awaits, or only calls what is guarded already, is reported with low confidence.

## Why is this bad?
Calling the function only makes a coroutine, and that is all that the decorator guards. The body runs later, when it is
awaited, with gradient tracking on. The decorated function is no coroutine function for `inspect` any more, either.

## Examples
```python error
import torch


class Service:
    def __init__(self, model):
        self.model = model.eval()

    @torch.no_grad()  # NGL303
    async def predict(self, request):
        x = await request.tensor()
        return self.model(x).argmax(1).tolist()
```
```python fixed
import torch


class Service:
    def __init__(self, model):
        self.model = model.eval()

    async def predict(self, request):
        x = await request.tensor()
        with torch.no_grad():
            return self.model(x).argmax(1).tolist()
```
```python ok
import torch


class Service:
    def __init__(self, model):
        self.model = model.eval()

    async def predict(self, request):
        return self.classify(await request.tensor())

    @torch.no_grad()
    def classify(self, x):
        return self.model(x).argmax(1).tolist()
```

## Fix safety
Unsafe: the guard moves to the statements that run the model, and others may have been meant as well.

## Known problems
A decorator of the project's own that wraps a guard is not looked at.

## References
- https://github.com/vllm-project/vllm/pull/49153
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, RemoveDecorator, Rule, Wrap
from nograd_lint.rules._guards import Decorator, decorators
from nograd_lint.rules._work import forwards_in, run_of, tensor_work
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL303", name="guard-on-coroutine", severity=Severity.ERROR, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    for function in unit.all(ir.Def):
        if not function.is_async or not function.body:
            continue
        for decorator in decorators(unit, function):
            if decorator.mode is None or decorator.off:
                yield _finding(unit, function, decorator)
                break


def _finding(unit: UnitContext, function: ir.Def, decorator: Decorator) -> Finding:
    first, last = function.body[0].o, unit.end_of(function.body[-1].o)
    forwards = [
        f for f in forwards_in(unit, first, last) if f.tracked and not isinstance(unit.parents.get(f.node), ir.Await)
    ]
    work = tensor_work(unit, first, last)
    notes = []
    if forwards:
        confidence = Confidence.HIGH if max(f.level for f in forwards) > 1 else Confidence.MEDIUM
        notes.append(unit.note("runs with gradient tracking on", forwards[0].node))
    elif work:
        confidence = Confidence.MEDIUM
        notes.append(unit.note("runs with gradient tracking on", work[0]))
    else:
        confidence = Confidence.LOW
    kind = "async generator" if function.is_generator else "coroutine"
    return Finding(
        decorator.expr.o,
        f"`{decorator.name}` guards the making of the {kind} `{function.name}`, not its body",
        confidence,
        tuple(notes),
        (function.o, function.o),
        _fix(unit, function, decorator, [f.node for f in forwards] or work),
    )


def _fix(unit: UnitContext, function: ir.Def, decorator: Decorator, work: list[int]) -> FixPlan | None:
    run = run_of(unit, work) if work else None
    if run is None:
        return None
    first, last = run
    if any(first <= node <= unit.end_of(last) for node in unit.yields_and_awaits):
        return None
    guard = unit.source(decorator.expr.o) + ("" if isinstance(decorator.expr, ir.Call) else "()")
    actions = (RemoveDecorator(function.o, decorator.index), Wrap(first, last, guard))
    reason = "more than the forward may have been meant"
    return FixPlan("Guard the statements that run the model", Applicability.UNSAFE, actions, reason)
