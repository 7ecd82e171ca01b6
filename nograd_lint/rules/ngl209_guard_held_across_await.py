"""`await` stands inside a guarded block.

## What it does
Reports `await`, `async for` and `async with` inside `with torch.no_grad():` and the like.

## Why is this bad?
Grad mode belongs to the thread, not to the coroutine: while this one waits, every other coroutine of the event loop runs with
gradients off. Where two such blocks overlap, the second restores what the first had set, and gradients stay off for good;
and the one that is resumed last may run with them on.

## Examples
```python error
import torch


async def predict(model, queue, x):
    model.eval()
    with torch.no_grad():
        scores = model(x)
        await queue.put(scores)  # NGL209
    return scores
```
```python fixed
import torch


async def predict(model, queue, x):
    model.eval()
    with torch.no_grad():
        scores = model(x)
    await queue.put(scores)
    return scores
```
```python ok
import torch


async def predict(model, queue):
    model.eval()
    x = await queue.get()
    with torch.no_grad():
        scores = model(x)
    await queue.put(scores)
```

## Fix safety
Unsafe: the guard is narrowed to the statements that run a model, and others may have been meant.

## Known problems
A program with a single coroutine is not harmed.

## References
- https://github.com/pytorch/pytorch/issues/82145
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, MoveGuard, Rule
from nograd_lint.rules._work import forwards_in, run_of, tensor_work
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL209", name="guard-held-across-await", severity=Severity.ERROR, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    waits = _waits(unit)
    if not waits:
        return
    for guard in sorted(unit.facts.guards.values(), key=lambda g: (g.node, g.item)):
        stmt = unit.by_ordinal[guard.node]
        if not guard.mode.off or not isinstance(stmt, ir.With):
            continue
        inside = [n for n in waits if n in guard.inner and _function(unit, n) is _function(unit, stmt.o)]
        if not inside:
            continue
        function = _function(unit, stmt.o)
        name = function.name if function is not None else ""
        alone = name == "main" or name.startswith("test")
        yield Finding(
            inside[0],
            f"`{name}` waits inside the guard: whatever else runs meanwhile runs with gradients off",
            Confidence.MEDIUM if alone else Confidence.HIGH,
            (unit.note("gradients are switched off here", stmt.items[guard.item].expr.o),),
            (stmt.o, stmt.o),
            _fix(unit, stmt, guard.item, waits),
        )


def _waits(unit: UnitContext) -> list[int]:
    found = [n.o for n in unit.all(ir.Await)]
    found += [n.o for n in unit.all(ir.For) if n.is_async]
    found += [n.o for n in unit.all(ir.With) if n.is_async]
    found += [n.o for n in unit.all(ir.Comp) if any(g.is_async for g in n.generators)]
    return sorted(found)


def _function(unit: UnitContext, node: int) -> ir.Def | None:
    return next((outer for outer in unit.ancestors(node) if isinstance(outer, ir.Def)), None)


def _fix(unit: UnitContext, stmt: ir.With, item: int, waits: list[int]) -> FixPlan | None:
    """The guard around the run of the block's statements that need it, where none of them waits."""
    first, last = stmt.body[0].o, unit.end_of(stmt.body[-1].o)
    work = [f.node for f in forwards_in(unit, first, last)] or tensor_work(unit, first, last)
    run = run_of(unit, work) if work else None
    if run is None or any(run[0] <= node <= unit.end_of(run[1]) for node in waits):
        return None
    if run[0] not in {s.o for s in stmt.body}:
        return None
    reason = "more than the forward may have been meant"
    return FixPlan("Narrow the guard", Applicability.UNSAFE, (MoveGuard(stmt.o, *run, item),), reason)
