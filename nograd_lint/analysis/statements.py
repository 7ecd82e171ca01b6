"""What every kind of statement does: branches, loops, guards, definitions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from nograd_lint.analysis.expressions import Expressions
from nograd_lint.analysis.facts import Guard, Loop
from nograd_lint.analysis.state import State, join_states
from nograd_lint.analysis.values import (
    UNKNOWN,
    Mode,
    Val,
    tensor,
)
from nograd_lint.project.file import MODULE
from nograd_lint.syntax import ir
from nograd_lint.syntax.ir import walk

_SWITCHES = frozenset(("torch.set_grad_enabled", "torch._C._set_grad_enabled"))
_CONTEXT = re.compile(r"ctx|context|guard|grad|infer", re.IGNORECASE)


class Statements(Expressions):
    """The part of the interpreter that knows statements."""

    def block(self, stmts: Sequence[ir.Stmt]) -> None:
        for stmt in stmts:
            if self.state.dead:
                return
            self.stmts.append(stmt.o)
            self.facts.stmt_modes.setdefault(stmt.o, set()).add(self.state.mode)
            _STATEMENTS[type(stmt)](self, stmt)
            self.stmts.pop()

    def _do_expr(self, stmt: ir.ExprStmt) -> None:
        value = self.expr(stmt.value)
        self._switch_at_once(stmt.value, value)
        for sinks in self.facts.sinks.values():
            if stmt.value.o in sinks.get("passed", ()):  # for its effect: it keeps what it is given
                sinks.setdefault("stored", []).append(stmt.value.o)
        if isinstance(stmt.value, (ir.Call, ir.Await)) and value.graph:
            self.sink(frozenset(t for t in value.graph if t == stmt.value.o), "discarded", stmt.o)

    def _still(self, stmt: ir.Assign, value: Val) -> Val:
        """``model = model.fuse()`` stays a model, whatever the method is; ``model = wrap(model)`` stays frozen."""
        call = stmt.value
        if value.kind or value.model or value.symbol is not None or any(t >= 0 for t in value.graph):
            return value
        if isinstance(call, ir.Call) and len(stmt.targets) == 1:
            name = ir.dotted(stmt.targets[0])
            old = self.state.env.get(name) if name is not None else None
            if old is None or old.model < 2:
                return value
            if isinstance(call.func, ir.Attr) and ir.dotted(call.func.value) == name:
                return old
            if old.frozen and any(ir.dotted(arg) == name for arg in call.args):
                return old
        return value

    def _switch_at_once(self, expr: ir.Expr, value: Val) -> None:
        """``set_grad_enabled(x)`` takes effect when it is called."""
        if isinstance(expr, ir.Call) and value.kind == "guard" and value.name in _SWITCHES:
            self._switch(expr, value.data, "set_grad_enabled")

    def _do_assign(self, stmt: ir.Assign) -> None:
        if stmt.value is None:
            return
        self.assigning = stmt
        value = self.expr(stmt.value)
        self._switch_at_once(stmt.value, value)
        if value.graph and len(stmt.targets) == 1 and (name := ir.dotted(stmt.targets[0])) is not None:
            if _mentions(stmt.value, name):
                self.keep(value.graph, stmt.targets[0], "accumulate", stmt.o)
        value = self._still(stmt, value)
        if stmt.annotation is not None and not value.model:
            typed = self.world.annotated(self.path, stmt.annotation)
            if typed is not None:
                value = msgspec.structs.replace(typed, graph=value.graph)
        for target in stmt.targets:
            self.assign(target, value, stmt.value)

    def _do_aug(self, stmt: ir.Aug) -> None:
        value = self.expr(stmt.value)
        old = self.expr(stmt.target)
        if value.graph:
            self.keep(value.graph, stmt.target, "accumulate", stmt.o)
        if value.graph - old.graph or old.graph:
            self.assign(stmt.target, tensor(value.graph | old.graph), None)

    def _do_return(self, stmt: ir.Return) -> None:
        if stmt.value is not None:
            value = self.expr(stmt.value)
            self.returned[-1].append(value)
            self.sink(value.graph, "return" if len(self.returned) == 1 else "inner_return", stmt.o)
        if len(self.returned) == 1:
            self.facts.exit_modes.add((self.state.mode, self.state.guard))
        self.state.dead = True

    def _do_if(self, stmt: ir.If) -> None:
        self.expr(stmt.test)
        truth = self.constant(stmt.test)
        before = self.state
        then = before.copy()
        other = before.copy()
        self.state = then
        known = set(self.facts.forwards)
        if truth is not False:
            self.block(stmt.body)
        else:
            then.dead = True
        first = set(self.facts.forwards) - known
        then = self.state
        self.state = other
        if truth is not True:
            self.block(stmt.orelse)
        else:
            other.dead = True
        second = set(self.facts.forwards) - known - first
        self._tell_apart(first, second)
        if then.dead and first and not stmt.orelse:
            self.early.append((first, set(self.facts.forwards)))
        other = self.state
        self.state = join_states((then, other))

    def _tell_apart(self, then: set[int], other: set[int]) -> None:
        """Of two branches that run the same model, only one holds a guard: the other one does without on purpose."""
        forwards = self.facts.forwards
        for mine, theirs in ((then, other), (other, then)):
            guarded = {self.spelled[n] for n in theirs if forwards[n].surely_off}
            guarded -= {self.spelled[n] for n in mine if forwards[n].surely_off}
            for node in mine:
                if not forwards[node].surely_off and self.spelled[node] in guarded:
                    forwards[node].fallback = True

    def constant(self, test: ir.Expr) -> bool | None:
        if isinstance(test, ir.Const) and test.kind in ("bool", "int"):
            return bool(test.value)
        if isinstance(test, ir.Name) and test.id == "TYPE_CHECKING":
            return False
        return None

    def _do_for(self, stmt: ir.For) -> None:
        iterable = self.expr(stmt.iter)
        self.loops.append(self.loop(stmt.o, stmt.iter, iterable))
        before = self.state.copy()
        for _ in range(2 if len(self.loops) <= 2 else 1):
            if self.state.dead:
                break
            self.assign(stmt.target, self.element(iterable, stmt.iter), None)
            self.block(stmt.body)
        self.loops.pop()
        self.state = self._loop_exit(before)
        self.block(stmt.orelse)

    def _loop_exit(self, before: State) -> State:
        after = self.state
        if after.dead:
            return before
        if after.mode is not before.mode:
            # A switch inside a loop that normally runs counts as thrown.
            before.mode, before.guard = after.mode, after.guard
        phases = dict(after.phases)
        frozen = {name for name, value in after.env.items() if value.frozen}
        joined = join_states((before, after))
        joined.phases = phases
        for name in frozen:  # a loop that freezes parameters normally runs
            joined.env[name] = msgspec.structs.replace(joined.env[name], frozen=True)
        return joined

    def _do_while(self, stmt: ir.While) -> None:
        self.expr(stmt.test)
        self.loops.append(Loop(stmt.o, ""))
        before = self.state.copy()
        for _ in range(2 if len(self.loops) <= 2 else 1):
            if self.state.dead:
                break
            self.block(stmt.body)
            if not self.state.dead:
                self.expr(stmt.test)
        self.loops.pop()
        self.state = self._loop_exit(before)
        self.block(stmt.orelse)

    def _do_with(self, stmt: ir.With) -> None:
        saved = (self.state.mode, self.state.guard)
        phases = dict(self.state.phases)
        changed = False
        for index, item in enumerate(stmt.items):
            value = self.expr(item.expr)
            mode = self.entered(value)
            if mode is None and not value.kind and value.symbol is None and isinstance(item.expr, (ir.Name, ir.Attr)):
                last = ir.dotted(item.expr) or ""
                if _CONTEXT.search(last.rpartition(".")[2]):
                    mode = Mode.DYNAMIC  # a context that came from elsewhere
            if mode is not None:
                changed = True
                if mode is not Mode.ENTRY:
                    self.state.mode = self.state.mode.under(mode)
                    self.state.guard = stmt.o
                self._record_guard(stmt, index, mode)
            if item.target is not None:
                inner = value if mode is None else UNKNOWN
                self.assign(item.target, inner, None)
        entered = {k: v for k, v in self.state.phases.items() if phases.get(k) != v}
        self.block(stmt.body)
        for name in entered:  # a context manager that switches the model switches it back
            if self.state.phases.get(name) == entered[name]:
                self.state.phases[name] = phases.get(name, "")
        exit_stack = any(self._is_exit_stack(item.expr) for item in stmt.items)
        if changed or exit_stack:
            self.state.mode, self.state.guard = saved

    def _is_exit_stack(self, expr: ir.Expr) -> bool:
        name = ir.dotted(expr.func) if isinstance(expr, ir.Call) else None
        return name is not None and name.rpartition(".")[2] in ("ExitStack", "AsyncExitStack")

    def _record_guard(self, stmt: ir.With, index: int, mode: Mode) -> None:
        key = (stmt.o, index)
        if key not in self.facts.guards and stmt.body:
            inner = frozenset(n.o for n in walk(stmt.body))
            self.facts.guards[key] = Guard(
                **self.site(stmt.o), item=index, mode=mode, first=stmt.body[0].o, last=stmt.body[-1].o, inner=inner
            )

    def _do_try(self, stmt: ir.Try) -> None:
        before = self.state.copy()
        self.block(stmt.body)
        self.block(stmt.orelse)
        done = self.state
        ends = [done]
        for handler in stmt.handlers:
            # Anything in the body may have happened.
            self.state = join_states((before.copy(), done.copy() if not done.dead else before.copy()))
            if handler.name:
                self.state.env[handler.name] = UNKNOWN
            known = set(self.facts.forwards)
            tried = {f.receiver for f in self.facts.forwards.values() if f.surely_off and stmt.o in f.stmts}
            self.block(handler.body)
            for node in set(self.facts.forwards) - known:
                forward = self.facts.forwards[node]
                forward.fallback = forward.receiver in tried
            ends.append(self.state)
        mode, guard = done.mode, done.guard
        self.state = join_states(ends)
        if self.state.dead and stmt.final:
            # Run the final block for its effects all the same.
            self.state = before
            self.state.mode, self.state.guard = mode, guard
            self.block(stmt.final)
            self.state.dead = True
            return
        self.block(stmt.final)

    def _do_def(self, stmt: ir.Def) -> None:
        name = f"{self.functions[-1]}.{stmt.name}" if self.functions[-1] != MODULE else stmt.name
        for decorator in stmt.decorators:
            self.expr(decorator)
        self.facts.functions[stmt.o] = name
        if self.unit == MODULE:
            return
        mode: Mode | None = None
        for decorator in stmt.decorators:
            found = self.guard_of_decorator(decorator)
            if found is not None and not stmt.is_async:
                mode = found
        self.nested[stmt.o] = (stmt, self.state.copy(), name)
        self.state.env[stmt.name] = Val("func", data=(stmt, mode), name=name)

    def _do_class(self, stmt: ir.Class) -> None:
        for base in stmt.bases:
            self.expr(base)
        for decorator in stmt.decorators:
            self.expr(decorator)
        self.functions.append(f"{self.functions[-1]}.{stmt.name}" if self.functions[-1] != MODULE else stmt.name)
        saved = dict(self.state.env)
        self.block(stmt.body)
        self.state.env = saved
        self.functions.pop()

    def _do_simple(self, stmt: ir.Simple) -> None:
        for expr in stmt.exprs:
            value = self.expr(expr)
            if stmt.kind == "assert":
                self.sink(value.graph, "compare", stmt.o)
            if stmt.kind == "del" and (name := ir.dotted(expr)) is not None:
                self.state.env[name] = UNKNOWN
        if stmt.kind == "raise":
            self.state.dead = True

    def _do_import(self, stmt: ir.Import) -> None:
        from nograd_lint.project.file import bound_name

        if self.unit != MODULE:
            for alias in stmt.names:
                name = bound_name(alias)
                self.locals[name] = alias
                self.state.env.pop(name, None)

    def _do_scope(self, stmt: ir.ScopeStmt) -> None:
        self.globals_declared.update(stmt.names)

    def _do_match(self, stmt: ir.Match) -> None:
        subject = self.expr(stmt.subject)
        before = self.state
        ends = [before.copy()]
        for case in stmt.cases:
            self.state = before.copy()
            for name in case.names:
                self.state.env[name] = tensor(subject.graph)
            if case.guard is not None:
                self.expr(case.guard)
            self.block(case.body)
            ends.append(self.state)
        self.state = join_states(ends)


def _mentions(expr: ir.Expr, name: str) -> bool:
    """Whether a dotted name stands in an expression."""
    last = name.rpartition(".")[2]
    if expr.__class__ is ir.Name:
        return expr.id == name
    for node in walk(expr):
        if node.__class__ is ir.Attr:
            if node.attr == last and ir.dotted(node) == name:
                return True
        elif node.__class__ is ir.Name and node.id == name:
            return True
    return False


_STATEMENTS: dict[type, Any] = {
    ir.ExprStmt: Statements._do_expr,
    ir.Assign: Statements._do_assign,
    ir.Aug: Statements._do_aug,
    ir.Return: Statements._do_return,
    ir.If: Statements._do_if,
    ir.For: Statements._do_for,
    ir.While: Statements._do_while,
    ir.With: Statements._do_with,
    ir.Try: Statements._do_try,
    ir.Def: Statements._do_def,
    ir.Class: Statements._do_class,
    ir.Simple: Statements._do_simple,
    ir.Import: Statements._do_import,
    ir.ScopeStmt: Statements._do_scope,
    ir.Match: Statements._do_match,
}
