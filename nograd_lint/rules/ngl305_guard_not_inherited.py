"""A forward runs in a thread, an executor or a spawned process that was started under a guard.

## What it does
Reports threads, executors and spawned processes that are started with gradients off and whose function runs a model without a
guard of its own.

## Why is this bad?
Grad mode belongs to the thread. A new thread, and a worker of a pool, start with gradients on, whatever the mode of the
thread that hands them the work; so does a process that is spawned (one that is forked inherits the mode).

## Examples
```python error
from concurrent.futures import ThreadPoolExecutor

import torch


def predict(model, batches):
    model.eval()
    with torch.no_grad(), ThreadPoolExecutor() as pool:
        futures = [pool.submit(model, x) for x in batches]  # NGL305
        return [future.result().argmax(1) for future in futures]
```
```python error
import threading

import torch


@torch.no_grad()
def predict(model, batches):
    model.eval()
    found = []

    def work():
        for x in batches:
            found.append(model(x).argmax(1))

    thread = threading.Thread(target=work)  # NGL305
    thread.start()
    thread.join()
    return found
```
```python fixed
import threading

import torch


@torch.no_grad()
def predict(model, batches):
    model.eval()
    found = []

    @torch.no_grad()
    def work():
        for x in batches:
            found.append(model(x).argmax(1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found
```
```python ok
from concurrent.futures import ThreadPoolExecutor

import torch


@torch.no_grad()
def scores(model, x):
    model.eval()
    return model(x).softmax(1)


def predict(model, batches):
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(scores, model, x) for x in batches]
        return [future.result().argmax(1) for future in futures]
```

## Fix safety
A function defined in the same place is decorated; that is unsafe, for others may call it too. Elsewhere there is no fix:
decorate the function that runs in the thread.

## Known problems
An executor that comes from elsewhere is recognised by its name alone, with medium confidence.

## References
- https://github.com/pytorch/pytorch/issues/20528
- https://github.com/kyutai-labs/pocket-tts/pull/16
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Decorate, Finding, FixPlan, Rule
from nograd_lint.rules._carry import surely_off
from nograd_lint.rules._deferred import forwards_of
from nograd_lint.rules._flow import reaching
from nograd_lint.rules._guards import shown
from nograd_lint.rules._training import source_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL305",
    name="guard-not-inherited",
    severity=Severity.ERROR,
    fixable=True,
    guarded=(
        r"hread\(",
        r"hread_pool\w*\(",
        r"Process\(",
        r"Executor\(",
        r"Pool\(",
        r"Timer\(",
        r"run_in_executor\(",
        r"submit\(",
        r"\.map\(",
        r"\.apply\(",
        r"map_async\(",
        r"apply_async\(",
        r"imap\w*\(",
        r"starmap\w*\(",
    ),
)

_POOL_METHODS = frozenset(
    ("submit", "map", "apply", "apply_async", "map_async", "imap", "imap_unordered", "starmap", "starmap_async")
)
_POOLS = re.compile(
    r"(?:concurrent\.futures\.\w*ThreadPoolExecutor|multiprocessing\.pool\.ThreadPool|multiprocessing\.dummy\.Pool)"
)
_FORKING = re.compile(r"(?:multiprocessing\.\w*(?:Process|Pool)|concurrent\.futures\.\w*ProcessPoolExecutor)")
_POOL_NAME = re.compile(r"(?:thread_?pool|executor|threads)\w*", re.IGNORECASE)


def check(unit: UnitContext) -> Iterator[Finding]:
    if not any(mode.off for modes in unit.facts.stmt_modes.values() for mode in modes):
        return
    for call in unit.all(ir.Call):
        found = _started(unit, call)
        if found is None or not surely_off(unit, call.o):
            continue
        function, where, sure = found
        level = forwards_of(unit, function)
        if not level:
            continue
        source = source_of(unit, call.o)
        yield Finding(
            call.o,
            f"`{shown(unit.source(function.o))}` runs in {where}, to which the guard does not reach: gradients are on there",
            Confidence.HIGH if sure and level > 1 else Confidence.MEDIUM,
            (unit.note("switched off here, for this thread", source.node),) if source is not None else (),
            fix=_decorate(unit, function),
        )


def _decorate(unit: UnitContext, function: ir.Expr) -> FixPlan | None:
    """A guard above the function that runs in the thread, where it is defined here."""
    value = unit.facts.values.get(function.o)
    node = value.data[0] if value is not None and value.kind == "func" else None
    if not isinstance(node, ir.Def) or node.is_async:
        return None
    reason = "others may call the function too"
    return FixPlan(f"Decorate `{node.name}` with `torch.no_grad()`", Applicability.UNSAFE, (Decorate(node.o),), reason)


def _started(unit: UnitContext, call: ir.Call) -> tuple[ir.Expr, str, bool] | None:
    """The function that a call hands to another thread or process, where that is, and whether that is sure."""
    name = unit.resolve(call.func)
    func = call.func
    if name is None and isinstance(func, ir.Attr) and func.attr == "Process" and _spawns(unit, func.value):
        target = call.keyword("target")
        return (target, "a spawned process", True) if target is not None else None
    if name is not None and not _FORKING.fullmatch(name):
        entry = unit.world.knowledge.callback(name)
        if entry is not None and entry.thread and not entry.decorates:
            found = call.keyword(entry.keyword) if entry.keyword else None
            if found is None and entry.argument is not None and entry.argument < len(call.args):
                found = call.args[entry.argument]
            return (found, "a thread of its own", True) if found is not None else None
        return None
    if isinstance(func, ir.Attr) and func.attr in _POOL_METHODS and call.args:
        sure = _is_pool(unit, func.value)
        if sure is not None:
            return call.args[0], "a worker of the pool", sure
    if isinstance(func, ir.Attr) and func.attr == "run_in_executor" and len(call.args) > 1:
        return call.args[1], "a worker thread", True
    return None


def _is_pool(unit: UnitContext, expr: ir.Expr) -> bool | None:
    """True where an expression is surely a pool of threads, False where its name says so, else None."""
    name = ir.dotted(expr)
    if name is None:
        return None
    found = reaching(unit, name, expr.o)
    made = {unit.resolve(d.value.func) for d in found.definitions if isinstance(d.value, ir.Call)} - {None}
    if any(_POOLS.fullmatch(m or "") for m in made):
        return True
    if made:
        return None
    return False if _POOL_NAME.fullmatch(name.rpartition(".")[2]) else None


def _spawns(unit: UnitContext, expr: ir.Expr) -> bool:
    """``multiprocessing.get_context("spawn")``."""
    values: list[ir.Expr | None] = [expr]
    name = ir.dotted(expr)
    if name is not None:
        values = [d.value for d in reaching(unit, name, expr.o).definitions]
    for value in values:
        if isinstance(value, ir.Call) and (unit.resolve(value.func) or "").endswith("multiprocessing.get_context"):
            first = value.args[0] if value.args else value.keyword("method")
            if isinstance(first, ir.Const) and first.value in ("spawn", "forkserver"):
                return True
    return False
