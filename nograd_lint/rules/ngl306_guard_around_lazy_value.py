"""A lazy value is made under a guard and consumed outside it.

## What it does
Reports generator expressions, `map`, lambdas and coroutines that run a model, are made with gradients off, and are returned
out of the guard or used up after it.

## Why is this bad?
Nothing has run yet when the guard ends. The model runs when the value is consumed, in the grad mode of that place: with
gradient tracking on.

## Examples
```python error
import torch


@torch.no_grad()
def scores(model, batches):
    model.eval()
    return (model(x).softmax(1) for x in batches)  # NGL306
```
```python fixed
import torch


@torch.no_grad()
def scores(model, batches):
    model.eval()
    return list(model(x).softmax(1) for x in batches)
```
```python ok
import torch


@torch.no_grad()
def scores(model, batches):
    model.eval()
    return [model(x).softmax(1) for x in batches]
```

## Fix safety
Unsafe: a list in place of a generator expression or `map` is computed at once and holds all outputs in memory. There is no
fix for lambdas and coroutines.

## Known problems
A consumer that holds a guard of its own is not looked for.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Replace, Rule
from nograd_lint.rules._carry import surely_off
from nograd_lint.rules._deferred import forwards_of, unguarded_in
from nograd_lint.rules._flow import reaching
from nograd_lint.rules._training import Source, source_of
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL306",
    name="guard-around-lazy-value",
    severity=Severity.ERROR,
    fixable=True,
    guarded=(r"\bmap\(", r"\bfilter\(", r"return lambda", r"\breturn\b[^\n]*(?:\n[^\n]*){0,3}?\bfor\b[^\n]*\bin\b"),
)

_LAZY_FUNCTIONS = ("map", "filter")


def check(unit: UnitContext) -> Iterator[Finding]:
    if not any(mode.off for modes in unit.facts.stmt_modes.values() for mode in modes):
        return
    for stmt in unit.all(ir.Return):
        if stmt.value is not None and surely_off(unit, stmt.o):
            yield from _lazy(unit, stmt.value, "returned out of the guard")
    for assign in unit.all(ir.Assign):
        if assign.value is not None and surely_off(unit, assign.o) and _used_outside(unit, assign):
            yield from _lazy(unit, assign.value, "used up outside the guard")


def _lazy(unit: UnitContext, value: ir.Expr, what: str) -> Iterator[Finding]:
    found = _runs_later(unit, value)
    if found is None:
        return
    kind, level = found
    source = source_of(unit, value.o)
    if source is None or not level:
        return
    yield Finding(
        value.o,
        f"{kind} is {what}: the model runs when it is consumed, with gradient tracking on",
        Confidence.HIGH if level > 1 else Confidence.MEDIUM,
        (unit.note("the guard that has ended by then", source.node),),
        fix=_as_list(unit, value),
    )


def _as_list(unit: UnitContext, value: ir.Expr) -> FixPlan | None:
    """The value computed under the guard."""
    if isinstance(value, ir.Comp):
        # Its parentheses are no part of the node: they become those of the call.
        stmt = unit.parent_statement[value.o]
        text = unit.source(stmt)
        opening = text[: text.find(unit.source(value.o))].rstrip()
        if not opening.endswith("(") or "{}" in text:
            return None
        change = Replace(stmt, f"{opening[:-1]}list{text[len(opening) - 1 :]}")
    elif isinstance(value, ir.Call) and isinstance(value.func, ir.Name) and value.func.id in _LAZY_FUNCTIONS:
        change = Replace(value.o, "list({})")
    else:
        return None
    reason = "all outputs are in memory at once"
    return FixPlan("Compute a list under the guard", Applicability.UNSAFE, (change,), reason)


def _runs_later(unit: UnitContext, value: ir.Expr) -> tuple[str, int] | None:
    """What kind of lazy value an expression is, and how sure it is that it runs a model."""
    if isinstance(value, ir.Comp) and value.kind == "generator":
        return "the generator expression", unguarded_in(unit, value)
    if isinstance(value, ir.Lambda):
        return "the lambda", unguarded_in(unit, value)
    if isinstance(value, ir.Call):
        name = value.func.id if isinstance(value.func, ir.Name) else ""
        if name in _LAZY_FUNCTIONS and value.args and unit.symbol(value.func) is None:
            return f"`{name}`", forwards_of(unit, value.args[0])
        site = unit.facts.calls.get(value.o)
        file = unit.world.project.file(site.target.path) if site is not None and site.target is not None else None
        if site is not None and site.target is not None and file is not None:
            definition = file.units.get(site.target.name)
            if definition is not None and definition.is_async:
                summary = unit.world.summary(site.target, 2)
                return "the coroutine", summary.forward if summary is not None and summary.entry is None else 0
    return None


def _used_outside(unit: UnitContext, assign: ir.Assign) -> bool:
    """The name is used where gradients may be on, with the value that it gets here."""
    source: Source | None = source_of(unit, assign.o)
    name = ir.dotted(assign.targets[0])
    if source is None or source.kind != "with" or source.stmt is None or name is None or len(assign.targets) > 1:
        return False
    end = unit.end_of(source.stmt.o)
    names: tuple[ir.Name | ir.Attr, ...] = (*unit.all(ir.Name), *unit.all(ir.Attr))
    return any(
        node.o > end
        and ir.dotted(node) == name
        and not surely_off(unit, node.o)
        and any(d.stmt == assign.o for d in reaching(unit, name, node.o).definitions)
        for node in names
    )
