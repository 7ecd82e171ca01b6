"""A generator yields inside a `with torch.no_grad()` block.

## What it does
Reports `yield` inside a guard where a consumer in the project needs gradients. Context managers and fixtures do so on purpose
and are left alone; where no consumer needs gradients, the confidence is low.

## Why is this bad?
Grad mode belongs to the thread, not to the generator: while the generator is suspended, its consumer runs with gradients
off. Two such generators side by side, or one that is not used up, leave them off for good.

## Examples
```python error
import torch
import torch.nn.functional as F


def teacher_scores(teacher, batches):
    with torch.no_grad():
        for x in batches:
            yield x, teacher(x)  # NGL204


def distil(teacher, student, optimizer, batches):
    for x, scores in teacher_scores(teacher, batches):
        loss = F.mse_loss(student(x), scores)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F


@torch.no_grad()
def teacher_scores(teacher, batches):
    for x in batches:
        yield x, teacher(x)


def distil(teacher, student, optimizer, batches):
    for x, scores in teacher_scores(teacher, batches):
        loss = F.mse_loss(student(x), scores)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python ok
import contextlib

import torch


@contextlib.contextmanager
def evaluating(model):
    model.eval()
    with torch.no_grad():
        yield model


@torch.no_grad()
def predictions(model, batches):
    model.eval()
    for x in batches:
        yield model(x).argmax(1)
```

## Fix safety
A decorator guards every step of the generator, and only those. The fix is safe where nothing stands outside the block.

## Known problems
Consumers outside the project are not known.

## References
- https://github.com/pytorch/pytorch/pull/49017
- https://github.com/pytorch/pytorch/issues/31497
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.project.index import Symbol
from nograd_lint.rules._base import Decorate, Finding, FixPlan, Note, Rule, Unwrap
from nograd_lint.rules._training import trains, trains_between
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Guard
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL204", name="no-grad-leaks-from-generator", severity=Severity.ERROR, fixable=True)

_ON_PURPOSE = re.compile(r"(?:async)?contextmanager|fixture|yield_fixture|hookimpl|hookwrapper|lifespan")
# What takes one element at a time and hands it on, so that the generator stays suspended in between.
_LAZY = frozenset(("enumerate", "zip", "tqdm", "iter", "map", "filter", "islice", "chain", "track", "trange"))


def check(unit: UnitContext) -> Iterator[Finding]:
    yields = unit.all(ir.Yield)
    if not yields:
        return
    for guard in sorted(unit.facts.guards.values(), key=lambda g: (g.node, g.item)):
        stmt = unit.by_ordinal[guard.node]
        if not guard.mode.off or not isinstance(stmt, ir.With):
            continue
        function = _function(unit, guard.node)
        inside = [y for y in yields if y.o in guard.inner and _function(unit, y.o) is function and _off(unit, y)]
        if not isinstance(function, ir.Def) or not inside or _on_purpose(unit, function):
            continue
        notes = [unit.note("gradients are switched off here", stmt.items[guard.item].expr.o)]
        consumers = _consumers(unit, function)
        yield Finding(
            inside[0].o,
            f"`{function.name}` yields inside the guard: gradients are off for its consumer, too",
            Confidence.MEDIUM if consumers else Confidence.LOW,
            (*notes, *consumers[:3]),
            (stmt.o, stmt.o),
            _fix(unit, function, stmt, guard),
        )


def _function(unit: UnitContext, node: int) -> ir.Def | ir.Lambda | None:
    """The function around a node."""
    for outer in unit.ancestors(node):
        if isinstance(outer, (ir.Def, ir.Lambda)):
            return outer
    return None


def _off(unit: UnitContext, node: ir.Yield) -> bool:
    modes = unit.facts.stmt_modes.get(unit.parent_statement[node.o], set())
    return all(mode.off for mode in modes)


def _on_purpose(unit: UnitContext, function: ir.Def) -> bool:
    if function.name.startswith(("pytest_", "__enter__", "__aenter__")):
        return True
    for decorator in function.decorators:
        name = ir.dotted(decorator.func if isinstance(decorator, ir.Call) else decorator) or ""
        if _ON_PURPOSE.fullmatch(name.rpartition(".")[2]):
            return True
    file = unit.world.project.file(unit.path)
    made_later = rb"(?:contextmanager|fixture)\(\s*(?:self\.|cls\.)?" + re.escape(function.name).encode() + rb"\b"
    return file is not None and re.search(made_later, file.data) is not None


def _consumers(unit: UnitContext, function: ir.Def) -> list[Note]:
    """Loops over the generator in which somebody trains."""
    if function is not unit.root:
        return []
    notes = []
    for path, name, site in unit.world.callers(Symbol("function", unit.path, unit.unit))[0]:
        consumer = unit.other(path, name)
        if consumer is None:
            continue
        loop = _loop_over(consumer, site.node)
        if loop is None or not loop.body:
            continue
        first, last = loop.body[0].o, consumer.end_of(loop.body[-1].o)
        called = [c for n, c in consumer.facts.calls.items() if first <= n <= last and c.target is not None]
        if trains_between(consumer, first, last) or any(trains(unit.world, c.target) for c in called if c.target):
            notes.append(consumer.note("is trained on with gradients off", loop.o))
    return notes


def _loop_over(unit: UnitContext, call: int) -> ir.For | None:
    """The loop that goes over the generator of a call step by step."""
    node = call
    for outer in unit.ancestors(call):
        if isinstance(outer, ir.For):
            return outer if outer.iter.o == node else None
        if not isinstance(outer, ir.Call):
            return None
        func = outer.func
        name = func.attr if isinstance(func, ir.Attr) else func.id if isinstance(func, ir.Name) else ""
        if name not in _LAZY:
            return None
        node = outer.o
    return None


def _fix(unit: UnitContext, function: ir.Def, stmt: ir.With, guard: Guard) -> FixPlan | None:
    if function.is_async:
        return None
    outside = [n for n in (*unit.facts.forwards, *unit.facts.backwards) if n not in guard.inner]
    safe = not outside and stmt in function.body
    reason = (
        "every step of the generator is guarded, and nothing else" if safe else "more than the block comes under it"
    )
    expr = stmt.items[guard.item].expr
    if not isinstance(expr, ir.Call):
        return None
    actions = (Unwrap(stmt.o, guard.item), Decorate(function.o, unit.source(expr.o)))
    return FixPlan(
        "Decorate the generator instead", Applicability.SAFE if safe else Applicability.UNSAFE, actions, reason
    )
