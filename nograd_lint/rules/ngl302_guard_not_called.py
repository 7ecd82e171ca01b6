"""A guard is entered without being called, or called with something that makes it no guard.

## What it does
Reports `with torch.no_grad:`, the same with the other three, a `with` over `torch.no_grad(x)`, and a decorator that can't
work: `@torch.set_grad_enabled`, and `@torch.no_grad` where the project supports PyTorch before 2.1 (`target-torch`).

## Why is this bad?
The class is no context manager, only what calling it gives is: `TypeError: 'type' object does not support the context manager
protocol`. `torch.no_grad` takes nothing but a function, and gives back a guarded function, which is no context manager
either. Such lines stay unnoticed in code that is rarely run.

## Examples
```python error
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad:  # NGL302
        return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```
```python error
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad(model):  # NGL302
        return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(model, x):
    model.eval()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```
```python error
import torch


@torch.set_grad_enabled  # NGL302
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()
```
```python ok
import torch


@torch.no_grad
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()


def predict_again(model, x):
    model.eval()
    with torch.set_grad_enabled(False):
        return model(x).argmax(1).tolist()
```

## Fix safety
The missing parentheses are safe. Dropping an argument is unsafe, for something was meant by it.

## Known problems
A guard that comes through a container or an attribute is not looked at.

## References
- https://github.com/pytorch/pytorch/pull/107086
- https://github.com/PJLab-ADG/nr3d_lib/pull/12
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Kind, Replace, Rule
from nograd_lint.rules._guards import called, is_class, is_no_function, named, shown
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL302", name="guard-not-called", severity=Severity.ERROR, kind=Kind.GUARD, fixable=True)

_CALLS_SINCE = (2, 1)  # the first PyTorch whose guards decorate without a call


def check(unit: UnitContext) -> Iterator[Finding]:
    for stmt in unit.all(ir.With):
        for item in stmt.items:
            yield from _entered(unit, item.expr, stmt.o)
    for call in unit.all(ir.Call):
        if isinstance(call.func, ir.Attr) and call.func.attr == "enter_context" and len(call.args) == 1:
            yield from _entered(unit, call.args[0], None)
    owners: tuple[ir.Def | ir.Class, ...] = (*unit.all(ir.Def), *unit.all(ir.Class))
    for owner in owners:
        for decorator in owner.decorators:
            yield from _decorates(unit, decorator, owner.o)


def _entered(unit: UnitContext, expr: ir.Expr, stmt: int | None) -> Iterator[Finding]:
    if isinstance(expr, ir.IfExp):
        yield from _entered(unit, expr.body, stmt)
        yield from _entered(unit, expr.orelse, stmt)
        return
    region = (stmt, stmt) if stmt is not None else None
    name = is_class(unit, expr)
    if name is not None:
        text = shown(unit.source(expr.o))  # only for what is reported: places cost more than all the rest
        fix = None
        if name != "torch.set_grad_enabled":
            fix = FixPlan(
                "Call the guard", Applicability.SAFE, (Replace(expr.o, "{}()"),), "it can't be entered as it is"
            )
        shown_as = f"`{text}`" if name.endswith(text.rpartition(".")[2]) else f"`{text}` (`{name}`)"
        message = f"{shown_as} is a class, which can't be entered: it has to be called"
        yield Finding(expr.o, message, Confidence.HIGH, region=region, fix=fix)
    elif isinstance(expr, ir.Call):
        name = called(unit, expr)
        if name in ("torch.no_grad", "torch.enable_grad") and (expr.args or expr.keywords):
            text = shown(unit.source(expr.o))
            message = f"`{text}` gives back a function and not a context manager: entering it raises TypeError"
            yield Finding(expr.o, message, Confidence.HIGH, region=region, fix=_without_argument(unit, expr))


def _without_argument(unit: UnitContext, call: ir.Call) -> FixPlan | None:
    argument = call.args[0] if call.args else call.keywords[0][1]
    if isinstance(argument, ir.Const) and argument.value in (False, None):
        return None  # gradients were perhaps to stay on
    replace = Replace(call.o, f"{unit.source(call.func.o)}()")
    return FixPlan("Drop the argument", Applicability.UNSAFE, (replace,), "something was meant by the argument")


def _decorates(unit: UnitContext, decorator: ir.Expr, owner: int) -> Iterator[Finding]:
    name = named(unit, decorator)
    if name == "torch.set_grad_enabled":
        message = "`@torch.set_grad_enabled` raises TypeError: it needs a mode, `@torch.set_grad_enabled(False)`"
        yield Finding(decorator.o, message, Confidence.HIGH, region=(owner, owner))
    elif name is not None and unit.target_torch is not None and unit.target_torch < _CALLS_SINCE:
        before = ".".join(map(str, unit.target_torch))
        message = (
            f"`@{shown(unit.source(decorator.o))}` without a call needs PyTorch 2.1, and the project supports {before}"
        )
        fix = FixPlan(
            "Call the guard", Applicability.SAFE, (Replace(decorator.o, "{}()"),), "newer versions do the same"
        )
        yield Finding(decorator.o, message, Confidence.HIGH, region=(owner, owner), fix=fix)
    elif isinstance(decorator, ir.Call) and called(unit, decorator) in ("torch.no_grad", "torch.enable_grad"):
        if decorator.args and is_no_function(unit, decorator.args[0]):
            message = f"`@{shown(unit.source(decorator.o))}` takes its argument for the function to guard"
            plan = _without_argument(unit, decorator)
            yield Finding(decorator.o, message, Confidence.HIGH, region=(owner, owner), fix=plan)
