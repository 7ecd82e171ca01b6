"""Backward, switches and guards: what changes grad mode, or asks for gradients."""

from __future__ import annotations

from typing import Any

import msgspec

from nograd_lint.analysis._run import Run
from nograd_lint.analysis.facts import Backward, Switch
from nograd_lint.analysis.values import (
    UNKNOWN,
    Mode,
    Val,
    guard_by_name,
)
from nograd_lint.syntax import ir


class Effects(Run):
    """The part of the interpreter that knows what changes grad mode, and what asks for gradients."""

    def _backward_method(self, node: ir.Call, receiver: Val, args: tuple[Val, ...]) -> Val:
        value = receiver
        if not receiver.graph and args:
            value = args[0]
        self._backward(node, value, "backward")
        for arg in args:
            self.sink(arg.graph, "backward", node.o)
        return UNKNOWN

    def _backward(self, node: ir.Call, value: Val, what: str) -> None:
        graph = value.graph
        self.sink(graph, "backward", node.o)
        known = self.facts.backwards.get(node.o)
        if known is None:
            self.facts.backwards[node.o] = Backward(**self.site(node.o), graph=graph, what=what, value=value)
        else:
            known.graph |= graph
            known.modes |= {(self.state.mode, self.state.guard)}

    def _switch(self, node: ir.Call, to: Mode, how: str) -> None:
        self.facts.switches.setdefault(node.o, Switch(**self.site(node.o), to=to, how=how))
        self.state.mode, self.state.guard = to, self.stmts[-1] if self.stmts else node.o

    def requires_grad(self, expr: ir.Expr, value: Val, on: bool, attribute: bool = False) -> None:
        """``x.requires_grad = on`` or ``x.requires_grad_(on)``; as an attribute of a module the first does nothing."""
        name = ir.dotted(expr)
        if value.kind == "param":
            owner = value.name
            if not on and owner:
                self._freeze(owner, True)
            return
        if value.model:
            owner = name or value.name  # ``teacher.eval().requires_grad_(False)``
            if owner and not attribute:
                self._freeze(owner, not on)
            return
        if name is not None and on:
            self.put(name, Val("leaf", graph=value.graph, name=name))

    def _freeze(self, name: str, frozen: bool) -> None:
        value = self.state.env.get(name)
        if value is None:
            value = self.enrich(Val(name=name, model=2), name)
        if not self._in_filter():
            self.put(name, msgspec.structs.replace(value, frozen=frozen, model=value.model or 2))

    def _in_filter(self) -> bool:
        """Freezing under an ``if`` inside the loop freezes only some of the parameters."""
        if not self.loops:
            return False
        loop = self.loops[-1].node
        after = self.stmts[self.stmts.index(loop) + 1 :] if loop in self.stmts else []
        return len(after) > 1

    def entered(self, value: Val) -> Mode | None:
        """The grad mode that entering a value as a context sets; None where it is no guard."""
        if value.kind == "guard":
            mode = value.data
            return mode if isinstance(mode, Mode) else Mode.DYNAMIC
        if value.cls is not None and value.cls.kind == "class":
            return self.world.guard_class(value.cls)
        return None

    def guard_of_decorator(self, decorator: ir.Expr) -> Mode | None:
        """The mode that a decorator puts its function in, None where it is no guard."""
        value = self.expr(decorator)
        if value.kind == "guard":
            return value.data if isinstance(value.data, Mode) else None
        symbol = value.symbol
        if symbol is not None and symbol.kind == "external":
            mode = self.world.guard_mode(symbol.name)
            if mode is not None and not isinstance(decorator, ir.Call):
                return None if symbol.name == "torch.set_grad_enabled" else mode
        if symbol is not None and symbol.kind == "function":
            summary = self.world.summary(symbol, self.depth - 1)
            if summary is not None:
                return summary.decorates or summary.guard
        if value.kind == "guarded":
            return None
        name = ir.dotted(decorator.func if isinstance(decorator, ir.Call) else decorator)
        if name is not None and guard_by_name(name):
            return Mode.DISABLED
        return None

    def _with_mode(self, mode: Mode, node: ir.Call, run: Any) -> Val:
        saved = (self.state.mode, self.state.guard)
        self.state.mode, self.state.guard = self.state.mode.under(mode), node.o
        result: Val = run()
        self.state.mode, self.state.guard = saved
        return result
