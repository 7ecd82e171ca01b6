"""Guards as they are written: what is called, what is only named, what is put above a function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.values import Mode
from nograd_lint.rules._context import GUARDS
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

# Arguments that are no function, whatever else they are.
_VALUES = (ir.Const, ir.Compare, ir.Unary, ir.Bin, ir.Seq, ir.Dict, ir.FStr, ir.Comp)


def named(unit: UnitContext, expr: ir.Expr | None) -> str | None:
    """The canonical name of PyTorch's guard that an expression names without calling it."""
    if not isinstance(expr, (ir.Name, ir.Attr)):
        return None
    found = unit.resolve(expr)
    return found if found in GUARDS else None


def is_class(unit: UnitContext, expr: ir.Expr) -> str | None:
    """The canonical name of the guard class that an expression is, through variables too, None where it is none."""
    found = named(unit, expr)
    if found is None and isinstance(expr, (ir.Name, ir.Attr)):
        value = unit.facts.values.get(expr.o)
        symbol = value.symbol if value is not None and not value.kind else None
        if symbol is not None and symbol.kind == "external" and symbol.name in GUARDS:
            found = symbol.name
    return found


def called(unit: UnitContext, expr: ir.Expr | None) -> str | None:
    """The canonical name of PyTorch's guard that an expression calls."""
    return named(unit, expr.func) if isinstance(expr, ir.Call) else None


def makes_guard(unit: UnitContext, expr: ir.Expr | None) -> bool:
    """Whether an expression is a call that gives a context manager; ``torch.no_grad(f)`` gives a function."""
    name = called(unit, expr)
    if name is None:
        return False
    assert isinstance(expr, ir.Call)
    if name in ("torch.no_grad", "torch.enable_grad"):
        return not expr.args and not expr.keywords
    return not (name == "torch.inference_mode" and _takes_function(unit, expr))


def _takes_function(unit: UnitContext, call: ir.Call) -> bool:
    if not call.args:
        return False
    value = unit.facts.values.get(call.args[0].o)
    if value is None:
        return False
    return value.kind in ("func", "bound") or (value.symbol is not None and value.symbol.kind in ("function", "class"))


def is_no_function(unit: UnitContext, expr: ir.Expr) -> bool:
    """Surely nothing that a guard could be put around."""
    if isinstance(expr, _VALUES):
        return True
    value = unit.facts.values.get(expr.o)
    return value is not None and value.kind in ("const", "number", "tensor", "batch", "leaf")


class Decorator(msgspec.Struct, frozen=True):
    """A guard above a function or class."""

    owner: ir.Def | ir.Class
    index: int
    expr: ir.Expr
    name: str  # canonical, or as written for a wrapper of the project
    mode: Mode | None  # None: it does not say

    @property
    def off(self) -> bool:
        return self.mode is not None and self.mode.off


def decorators(unit: UnitContext, owner: ir.Def | ir.Class) -> Iterator[Decorator]:
    """The guards among the decorators of a function or class, outermost first."""
    for index, expr in enumerate(owner.decorators):
        func = expr.func if isinstance(expr, ir.Call) else expr
        name = unit.resolve(func)
        if name in GUARDS:
            yield Decorator(owner, index, expr, name, _mode(name, expr))


def _mode(name: str, expr: ir.Expr) -> Mode | None:
    argument: ir.Expr | None = None
    if isinstance(expr, ir.Call):
        argument = expr.args[0] if expr.args else expr.keyword("mode")
    if name == "torch.no_grad":
        return Mode.DISABLED
    if name == "torch.enable_grad":
        return Mode.ENABLED
    if name == "torch.inference_mode" and argument is None:
        return Mode.INFERENCE
    if isinstance(argument, ir.Const) and argument.kind == "bool":
        on = bool(argument.value)
        if name == "torch.inference_mode":
            return Mode.INFERENCE if on else Mode.ENABLED
        return Mode.ENABLED if on else Mode.DISABLED
    return None


def shown(source: str) -> str:
    """A piece of source for a message: one line, not too long."""
    line = " ".join(source.split())
    return line if len(line) <= 60 else line[:57] + "..."
