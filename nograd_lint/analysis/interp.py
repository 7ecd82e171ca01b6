"""Abstract interpretation of one unit: grad mode at every place, what is a model, where outputs go.

Statements are executed in program order on abstract values; branches are joined and loops run twice. Nested functions
and lambdas are run where they are called or handed on. What a call of another function of the project does comes from
its summary (see :mod:`nograd_lint.project.summaries`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from nograd_lint.analysis.calls import Calls
from nograd_lint.analysis.facts import CallSite, Facts, Guard, Loop, Site, Switch
from nograd_lint.analysis.values import (
    NOTHING,
    NUMBER,
    UNKNOWN,
    Mode,
    Val,
    join,
    loader_by_name,
    model_by_name,
    split_of,
    tensor,
)
from nograd_lint.project.index import MODULE, Symbol
from nograd_lint.syntax import ir
from nograd_lint.syntax.ir import walk

if TYPE_CHECKING:
    from nograd_lint.project.summaries import World

_SURE_HINTS = frozenset(("eval", "parameters", "named_parameters", "named_modules"))
_SWITCHES = frozenset(("torch.set_grad_enabled", "torch._C._set_grad_enabled"))
_CONTEXT = re.compile(r"ctx|context|guard|grad|infer", re.IGNORECASE)
_PLAIN_ATTRIBUTES = frozenset(
    "shape size dtype device ndim requires_grad grad is_leaf names layout itemsize nbytes is_cuda grad_fn".split()
)
_MAX_INLINE = 6


class State:
    __slots__ = ("dead", "env", "guard", "mode", "phases")

    def __init__(self, env: dict[str, Val], mode: Mode, guard: int | None, phases: dict[str, str]) -> None:
        self.env = env
        self.mode = mode
        self.guard = guard
        self.phases = phases
        self.dead = False

    def copy(self) -> State:
        return State(dict(self.env), self.mode, self.guard, dict(self.phases))


def _join_states(states: Iterable[State]) -> State:
    alive = [s for s in states if not s.dead]
    if not alive:
        dead = State({}, Mode.ENTRY, None, {})
        dead.dead = True
        return dead
    first = alive[0]
    for other in alive[1:]:
        for name, value in other.env.items():
            mine = first.env.get(name)
            if mine is None:
                first.env[name] = value
            elif mine is not value:
                first.env[name] = join((mine, value))
        if other.mode is not first.mode:
            first.mode = Mode.DYNAMIC
            first.guard = first.guard if first.guard is not None else other.guard
        for name in {*first.phases, *other.phases}:
            a, b = first.phases.get(name, ""), other.phases.get(name, "")
            if a != b:
                first.phases[name] = "mixed"
    return first


class Interp(Calls):
    """One run over one unit.

    Args:
        depth: how many levels of calls may still be looked into.
        forwards: calls of something that nobody can look into, which an earlier run found to give a graph: their
            result is detached.
    """

    def __init__(
        self, world: World, path: str, unit: str, body: ir.Unit, depth: int, forwards: frozenset[int] = NOTHING
    ) -> None:
        self.world = world
        self.project = world.project
        self.knowledge = world.knowledge
        self.path = path
        self.depth = depth
        self.known_forwards = forwards
        self.revealed: set[int] = set()
        self.has_origins = False
        self.owners: set[str] = set()  # names of which an attribute was ever assigned
        self.said: dict[tuple[str, int, int], tuple[frozenset[str], int]] = {}  # of a name in an extent: see `enrich`
        self.early: list[tuple[set[int], set[int]]] = []  # forwards of a branch that returns, and all up to there
        self.facts = Facts(path, unit, body)
        self.state = State({}, Mode.ENTRY, None, {})
        self.stmts: list[int] = []
        self.loops: list[Loop] = []
        self.functions: list[str] = [unit]
        self.returned: list[list[Val]] = []
        self.locals: dict[str, ir.Alias] = {}
        self.inlining: list[int] = []
        self.ran: set[int] = set()  # nested functions that were run
        self.nested: dict[int, tuple[ir.Def | ir.Lambda, State, str]] = {}
        self.globals_declared: set[str] = set()
        self.guarded_functions: dict[int, Mode] = {}  # lambdas and nested functions that were put under a guard
        file = self.project.file(path)
        assert file is not None
        self.file = file
        self.extent = (0, file.size)
        self.class_extent = self.extent
        self.unit = unit
        if unit != MODULE and unit in file.units:
            definition = file.units[unit]
            self.extent = (definition.start, definition.end)
            if definition.parent >= 0:
                outer = file.outline.definitions[definition.parent]
                self.facts.cls = Symbol("class", path, outer.qualname)
                self.class_extent = (outer.start, outer.end)
                self.facts.is_module_class = world.is_module(self.facts.cls)

    # --- the unit -----------------------------------------------------------------------------------------------------

    def run(self) -> Facts:
        root = self.facts.body.root
        self.returned.append([])
        if root is not None and self.unit != MODULE:
            self._enter(root)
            self.block(root.body)
        else:
            self.block(self.facts.body.body)
        self.facts.exit_modes.add((self.state.mode, self.state.guard))
        self._run_rest()
        for branch, before in self.early:  # what follows a branch that returns is the other one
            self._tell_apart(branch, set(self.facts.forwards) - before)
        self.facts.env = {name: _portable(value) for name, value in self.state.env.items()}
        self.facts.summary = self._summarise(root)
        return self.facts

    def _enter(self, root: ir.Def) -> None:
        facts = self.facts
        for decorator in root.decorators:
            mode = self.guard_of_decorator(decorator)
            if mode is not None and not (root.is_async or mode is Mode.ENTRY):
                facts.entry = (mode, decorator.o)
                self.state.mode = self.state.mode.under(mode)
                self.state.guard = decorator.o
        rebound = self.world.rebound(self.path, self.unit)
        if rebound is not None and not root.is_async:
            facts.entry = (rebound, root.o)
            self.state.mode, self.state.guard = self.state.mode.under(rebound), root.o
        if facts.cls is not None:
            facts.hook = self.world.hook(facts.cls, root.name)
        binding = {ir.dotted(d) for d in root.decorators}
        for i, param in enumerate(root.params):
            value = self._parameter(param, -1 - i)
            if i == 0 and facts.cls is not None and "classmethod" in binding:
                value = Val(symbol=facts.cls, name=param.name)
            elif i == 0 and facts.cls is not None and "staticmethod" not in binding:
                sure = 3 if facts.is_module_class else 0
                value = Val("self", cls=facts.cls, model=sure, name=param.name)
            self.state.env[param.name] = value

    def _parameter(self, param: ir.Param, token: int) -> Val:
        if param.default is not None:
            self.expr(param.default)
        graph = frozenset((token,)) if token < 0 else NOTHING
        value = Val(graph=graph, name=param.name)
        if param.annotation is not None:
            typed = self.world.annotated(self.path, param.annotation)
            if typed is not None:
                value = msgspec.structs.replace(typed, graph=graph, name=param.name)
        if param.kind in ("star", "star2"):
            value = Val(kind="container", graph=graph, name=param.name)
        return value

    def _run_rest(self) -> None:
        """Nested functions that nothing called: somebody may call them later, in an unknown mode."""
        for node, (function, state, name) in list(self.nested.items()):
            if node not in self.ran:
                saved = self.state
                self.state = state.copy()
                self.state.env = {**saved.env, **state.env} if not saved.dead else dict(state.env)
                self.state.mode, self.state.guard = Mode.ENTRY, None
                self.state.phases = {}
                stmts, loops = self.stmts, self.loops
                self.stmts, self.loops = [], []
                self.inline(function, name, (), (), self.guarded_functions.get(node))
                self.state, self.stmts, self.loops = saved, stmts, loops

    # --- places -------------------------------------------------------------------------------------------------------

    def site(self, node: int, receiver: str = "") -> dict[str, Any]:
        phase = self.phase_of(receiver)
        return {
            "node": node,
            "stmts": tuple(self.stmts),
            "loops": tuple(self.loops),
            "function": self.functions[-1],
            "modes": {(self.state.mode, self.state.guard)},
            "phases": {phase},
        }

    def phase_of(self, receiver: str) -> str:
        phases = self.state.phases
        if receiver and receiver in phases:
            return phases[receiver]
        if "self" in phases and (not receiver or receiver.startswith("self")):
            return phases["self"]
        whole = _holder(receiver, phases)
        if whole is not None:
            return phases[whole]
        if not receiver:
            found = set(phases.values())
            return found.pop() if len(found) == 1 else ""
        return ""

    # --- statements ---------------------------------------------------------------------------------------------------

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
        self.state = _join_states((then, other))

    def _tell_apart(self, then: set[int], other: set[int]) -> None:
        """Of two branches that run the same model, only one holds a guard: the other one does without on purpose."""
        forwards = self.facts.forwards
        for mine, theirs in ((then, other), (other, then)):
            guarded = {self._spelling(n) for n in theirs if forwards[n].surely_off}
            guarded -= {self._spelling(n) for n in mine if forwards[n].surely_off}
            for node in mine:
                if not forwards[node].surely_off and self._spelling(node) in guarded:
                    forwards[node].fallback = True

    def _spelling(self, node: int) -> tuple[str | None, ...]:
        """A call by the names in it."""
        call = self.facts.by_ordinal[node]
        return tuple(ir.dotted(e) for e in (call.func, *call.args)) if isinstance(call, ir.Call) else ()

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
        joined = _join_states((before, after))
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
            self.state = _join_states((before.copy(), done.copy() if not done.dead else before.copy()))
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
        self.state = _join_states(ends)
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
        from nograd_lint.project.index import bound_name

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
        self.state = _join_states(ends)

    # --- assignment ---------------------------------------------------------------------------------------------------

    def assign(self, target: ir.Expr, value: Val, source: ir.Expr | None) -> None:
        if isinstance(target, ir.Name):
            if target.id in self.globals_declared:
                self.sink(value.graph, "attr", target.o)
            if value.name != target.id:
                self.state.phases.pop(target.id, None)
            self.state.env[target.id] = self._named(value, target.id)
            if target.id in self.owners:
                for key in [k for k in self.state.env if k.startswith(target.id + ".")]:
                    del self.state.env[key]
        elif isinstance(target, ir.Attr):
            base = self.expr(target.value)
            self._assign_attribute(target, base, value, source)
        elif isinstance(target, ir.Seq):
            self._unpack(target.items, value)
        elif isinstance(target, ir.Star):
            self.assign(target.value, tensor(value.graph), None)
        elif isinstance(target, ir.Sub):
            self.expr(target)
            name = ir.dotted(target.value)
            if value.graph and name is not None:
                old = self.state.env.get(name, UNKNOWN)
                self.put(name, old.with_graph(old.graph | value.graph))
            if value.graph:
                self.keep(value.graph, target.value, "accumulate" if self._is_local(name) else "store", target.o)

    def put(self, name: str, value: Val) -> None:
        """What a dotted name holds from here on."""
        self.state.env[name] = value
        self.owners.add(name.partition(".")[0])

    def _is_local(self, name: str | None) -> bool:
        """Something that this function made: what is put into it is followed."""
        value = self.state.env.get(name) if name is not None and "." not in name else None
        root = self.facts.body.root
        return value is not None and root is not None and all(p.name != name for p in root.params)

    def _assign_attribute(self, target: ir.Attr, base: Val, value: Val, source: ir.Expr | None) -> None:
        name = ir.dotted(target)
        if target.attr == "requires_grad" and isinstance(source, ir.Const):
            self.requires_grad(target.value, base, bool(source.value), attribute=True)
            return
        if target.attr == "data" or target.attr == "grad":
            return
        if name is not None:
            self.put(name, self._named(value, name))
            if value.graph and base.kind != "func":
                self.sink(value.graph, "attr", target.o)

    def _named(self, value: Val, name: str) -> Val:
        if value.model and value.kind != "self" and value.name != name:
            self._alias_phase(value.name, name)
            return msgspec.structs.replace(value, name=name)
        if not value.name and (value.kind or value.graph):
            return msgspec.structs.replace(value, name=name)
        return value

    def _alias_phase(self, old: str, new: str) -> None:
        """``net = model.eval()``: what was said of the one holds for the other."""
        phases = self.state.phases
        whole = _holder(old, phases)
        if whole is not None:
            phases[new] = phases[whole]

    def _unpack(self, targets: Sequence[ir.Expr], value: Val) -> None:
        items = value.items
        star = any(isinstance(t, ir.Star) for t in targets)
        for i, target in enumerate(targets):
            if items is not None and len(items) == len(targets) and not star:
                if items[i].kind == "detached" and isinstance(targets[0], ir.Name) and targets[0].id == "_":
                    self.sink(items[i].data, "argmax", target.o)
                self.assign(target, items[i], None)
            elif value.kind in ("batch", "loader"):
                self.assign(target, Val("batch", data=value.data, graph=value.graph), None)
            else:
                part = tensor(value.graph)
                self.assign(
                    target, msgspec.structs.replace(part, origin=value.origin) if value.origin >= 0 else part, None
                )

    # --- iteration ----------------------------------------------------------------------------------------------------

    def element(self, iterable: Val, source: ir.Expr) -> Val:
        """One element of what is iterated; ``enumerate``, ``zip``, ``items()`` and the like are looked into."""
        if isinstance(source, ir.Call):
            name = (ir.dotted(source.func) or "").rpartition(".")[2]
            parts = [self.element(self.facts.values.get(a.o, UNKNOWN), a) for a in source.args]
            if name == "enumerate" and parts:
                return Val("container", items=(NUMBER, parts[0]), graph=parts[0].graph)
            if name == "zip" and parts:
                return Val("container", items=tuple(parts), graph=NOTHING.union(*(v.graph for v in parts)))
            if name in ("tqdm", "list", "iter", "reversed", "sorted", "islice", "trange", "track") and parts:
                return parts[0]
            if name in ("items", "values", "children", "modules", "named_children", "named_modules") and isinstance(
                source.func, ir.Attr
            ):
                owner = self.facts.values.get(source.func.o, UNKNOWN)
                if owner.model:
                    inner = Val(model=min(owner.model, 2), frozen=owner.frozen, name=f"{owner.name}[]")
                    pair = name in ("items", "named_children", "named_modules")
                    return Val("container", items=(NUMBER, inner)) if pair else inner
        if iterable.model and iterable.kind != "self":
            return Val(model=min(iterable.model, 3), frozen=iterable.frozen, name=f"{iterable.name}[]")
        if iterable.items is not None:
            return join(iterable.items)
        if iterable.kind in ("loader", "batch"):
            return Val("batch", data=iterable.data, graph=iterable.graph)
        if iterable.kind == "params":
            return Val("param", name=iterable.name)
        return Val(graph=iterable.graph, origin=iterable.origin) if iterable.origin >= 0 else tensor(iterable.graph)

    def loop(self, node: int, expr: ir.Expr, value: Val) -> Loop:
        split = self.split_of_iter(expr, value)
        return Loop(node, split, bool(split) or value.kind == "loader" or any(map(loader_by_name, _loader_names(expr))))

    def split_of_iter(self, expr: ir.Expr, value: Val) -> str:
        """Whether a loop goes over evaluation or training data, judged by what it iterates."""
        if value.kind in ("loader", "batch") and value.data:
            return str(value.data)
        found = {split_of(name) for name in _loader_names(expr)} - {""}
        return found.pop() if len(found) == 1 else ""

    # --- expressions --------------------------------------------------------------------------------------------------

    def expr(self, node: ir.Expr) -> Val:
        kind = node.__class__
        value: Val = _EXPRESSIONS[kind](self, node)
        if self.has_origins and kind in _COMPUTED and value.origin < 0 and value.kind in ("", "tensor"):
            origin = -1 if value.model or value.symbol is not None or value.cls is not None else self._origin_of(node)
            if origin >= 0 and not _made(value.graph):
                value = msgspec.structs.replace(value, origin=origin)
        self.facts.values[node.o] = value
        return value

    def _origin_of(self, node: ir.Expr) -> int:
        """The origin of what a tensor is computed from."""
        sources: tuple[ir.Expr, ...] = ()
        if isinstance(node, (ir.Attr, ir.Sub)):
            sources = (node.value,)
        elif isinstance(node, ir.Call):
            function = self.facts.values.get(node.func.o, UNKNOWN).symbol
            if function is not None and function.kind == "external" and function.name.startswith("torch."):
                sources = node.args[:1]
            elif function is None and isinstance(node.func, ir.Attr):
                sources = (node.func.value,)
        elif isinstance(node, ir.Bin):
            sources = (node.left, node.right)
        elif isinstance(node, ir.Unary):
            sources = (node.operand,)
        return max((self.facts.values.get(s.o, UNKNOWN).origin for s in sources), default=-1)

    def _name(self, node: ir.Name) -> Val:
        value = self.state.env.get(node.id)
        if value is None or (node.id in self.globals_declared and value is UNKNOWN):
            value = self._global(node.id)
            if value.symbol is not None:
                self.facts.symbols[node.o] = value.symbol
        return self.enrich(value, node.id)

    def _global(self, name: str) -> Val:
        symbol = self.project.resolve(self.path, name, self.locals)
        if symbol is None:
            return Val(name=name)
        if symbol.kind == "global":
            return self.world.global_value(symbol, self.depth) if self.unit != MODULE else Val(name=name)
        if symbol.kind == "external":
            return Val(symbol=symbol, name=name)
        return Val(symbol=symbol, name=name)

    def enrich(self, value: Val, name: str) -> Val:
        """Add what the name, and the methods called on it elsewhere, say about a value."""
        if (
            value.kind not in ("", "tensor")
            or value.symbol is not None
            or value.model >= 2
            or value.name.endswith("[]")
        ):
            return value
        if value.cls is not None and value.cls.kind == "class" and not value.model:
            return value  # a class of the project that is no module
        made = bool(value.graph) and _made(value.graph)
        if name.startswith("self."):
            start, end = self.class_extent
        elif name.partition(".")[0] in self.state.env or self.unit == MODULE:
            start, end = self.extent
        else:
            start, end = 0, self.file.size
        said = self.said.get((name, start, end))
        if said is None:
            said = self.said[name, start, end] = self.file.hinted(name, start, end), model_by_name(name)
        hints, by_name = said
        level = value.model
        if hints & _SURE_HINTS:
            level = 3 if "eval" in hints or by_name else 2
        elif made:
            return value
        elif "train" in hints and by_name:
            level = 3
        elif by_name:
            level = max(level, 2 if hints else 1)
        if not level:
            return value
        if made:
            return Val(cls=value.cls, model=level, name=name)
        return msgspec.structs.replace(value, kind="", model=level, name=name)

    def _attr(self, node: ir.Attr) -> Val:
        name = ir.dotted(node)
        if name is not None and name in self.state.env:
            self.expr(node.value)
            return self.enrich(self.state.env[name], name)
        base = self.expr(node.value)
        value = self.attribute(base, node.attr, name or "")
        if value.symbol is not None:
            self.facts.symbols[node.o] = value.symbol
        if base.graph and node.attr == "data":
            self.sink(base.graph, "detach", node.o)
            return Val("detached", data=base.graph)
        if base.graph and node.attr in _PLAIN_ATTRIBUTES:
            self.sink(base.graph, "shape", node.o)
        return self.enrich(value, name) if name is not None else value

    def attribute(self, base: Val, attr: str, name: str) -> Val:
        symbol = base.symbol
        if symbol is not None:
            found = self.world.member(symbol, attr)
            if found is not None:
                if found.kind == "global":
                    return self.world.global_value(found, self.depth)
                return Val(
                    symbol=found,
                    name=name,
                    kind="bound" if symbol.kind == "class" and found.kind == "function" else "",
                    data=None,
                )
            return Val(name=name)
        if base.cls is not None:
            value = self.world.attribute(base.cls, attr, self.depth)
            if value is not None:
                if value.kind == "bound":
                    return msgspec.structs.replace(value, data=base, name=name)
                return msgspec.structs.replace(value, name=name, frozen=value.frozen or base.frozen)
        if attr == "data" or attr in _PLAIN_ATTRIBUTES:
            return UNKNOWN
        if base.model and attr == "module":  # what DataParallel and the like wrap
            return base
        if base.model and base.kind != "self":
            by_name = model_by_name(attr)
            return Val(model=min(base.model, 2) if by_name else 0, name=name, frozen=base.frozen, data=None)
        if base.kind in ("loader", "batch"):
            return Val("batch", data=base.data, graph=base.graph) if base.kind == "batch" else Val(name=name)
        if base.kind == "leaf":
            return UNKNOWN
        return Val(name=name, graph=base.graph)

    def _const(self, node: ir.Const) -> Val:
        return Val("const", data=node.value) if node.kind in ("bool", "none") else NUMBER

    def _sub(self, node: ir.Sub) -> Val:
        base = self.expr(node.value)
        for index in node.index:
            self.expr(index)
        if base.items is not None and len(node.index) == 1:
            at = node.index[0]
            if (
                isinstance(at, ir.Const)
                and isinstance(at.value, int)
                and -len(base.items) <= at.value < len(base.items)
            ):
                item = base.items[at.value]
                if item.kind == "detached":
                    self.sink(item.data, "argmax", node.o)
                return item
        if base.kind in ("batch", "loader"):
            return Val("batch", data=base.data, graph=base.graph)
        name = ir.dotted(node.value) or base.name
        if base.symbol is None and not base.graph:
            split = ""
            for index in node.index:
                if isinstance(index, ir.Const) and index.kind == "str":
                    split = split or split_of(str(index.value))
            if name and loader_by_name(name):
                return Val("loader", data=split or split_of(name))
            return self.enrich(Val(model=min(base.model, 2)), f"{name}[]") if base.model else UNKNOWN
        return tensor(base.graph)

    def _slice(self, node: ir.Slice) -> Val:
        for part in node.parts:
            if part is not None:
                self.expr(part)
        return UNKNOWN

    def _bin(self, node: ir.Bin) -> Val:
        left, right = self.expr(node.left), self.expr(node.right)
        graph = left.graph | right.graph
        if graph:
            return tensor(graph)
        return left if left == right else UNKNOWN

    def _bool(self, node: ir.Bool) -> Val:
        values = [self.expr(v) for v in node.values]
        if any(v.kind == "guard" for v in values):
            # ``a and b`` enters only its last operand, ``a or b`` only its first.
            return values[-1] if node.op == "and" else values[0]
        return join(values)

    def _unary(self, node: ir.Unary) -> Val:
        value = self.expr(node.operand)
        if node.op == "not":
            self.sink(value.graph, "compare", node.o)
            return Val("const", data=not value.data) if value.kind == "const" else UNKNOWN
        return tensor(value.graph)

    def _compare(self, node: ir.Compare) -> Val:
        for expr in (node.left, *node.rights):
            self.sink(self.expr(expr).graph, "compare", node.o)
        return UNKNOWN

    def _ifexp(self, node: ir.IfExp) -> Val:
        self.expr(node.test)
        body, orelse = self.expr(node.body), self.expr(node.orelse)
        for value in (body, orelse):  # ``torch.no_grad if c else nullcontext``, to be called
            if (
                value.symbol is not None
                and value.symbol.kind == "external"
                and self.world.guard_mode(value.symbol.name)
            ):
                return Val("maybe guard", name=value.name)
        return join((body, orelse))

    def _lambda(self, node: ir.Lambda) -> Val:
        name = f"{self.functions[-1]}.<lambda>" if self.functions[-1] != MODULE else "<lambda>"
        self.nested[node.o] = (node, self.state.copy(), self.functions[-1])
        self.facts.functions[node.o] = name
        return Val("func", data=(node, None), name=name)

    def _comp(self, node: ir.Comp) -> Val:
        saved = self.state.env
        self.state.env = dict(saved)
        loops = len(self.loops)
        for generator in node.generators:
            iterable = self.expr(generator.iter)
            self.loops.append(self.loop(node.o, generator.iter, iterable))
            self.assign(generator.target, self.element(iterable, generator.iter), None)
            for test in generator.ifs:
                self.expr(test)
        value = self.expr(node.elt)
        if node.value is not None:
            value = self.expr(node.value)
        if node.kind != "generator" and any(loop.data for loop in self.loops[loops:]):
            for token in value.graph:
                forward = self.facts.forwards.get(token)
                if forward is not None and any(loop.node == node.o for loop in forward.loops):
                    self.facts.kept.setdefault(token, [(node.o, "the comprehension")])
        del self.loops[loops:]
        self.state.env = saved
        if value.kind in ("loader", "batch") or value.model:
            return msgspec.structs.replace(value, name="")
        return Val("container", graph=value.graph) if value.graph else UNKNOWN

    def _seq(self, node: ir.Seq) -> Val:
        items = tuple(self.expr(item) for item in node.items)
        graph = NOTHING.union(*(i.graph for i in items)) if items else NOTHING
        if any(isinstance(item, ir.Star) for item in node.items) or not items:
            return Val("container", graph=graph)
        if node.kind == "tuple" or len(items) <= 4:
            return Val("container", graph=graph, items=items)
        return Val("container", graph=graph)

    def _dict(self, node: ir.Dict) -> Val:
        graph = NOTHING
        values = []
        for key in node.keys:
            if key is not None:
                self.expr(key)
        for item in node.values:
            value = self.expr(item)
            values.append(value)
            graph |= value.graph
        if values and all(v.model for v in values):
            return join(values)
        return Val("container", graph=graph)

    def _star(self, node: ir.Star) -> Val:
        return self.expr(node.value)

    def _await(self, node: ir.Await) -> Val:
        return self.expr(node.value)

    def _yield(self, node: ir.Yield) -> Val:
        if node.value is not None:
            value = self.expr(node.value)
            self.sink(value.graph, "yield", node.o)
            self.returned[-1].append(tensor(value.graph))
        return UNKNOWN

    def _walrus(self, node: ir.Walrus) -> Val:
        value = self.expr(node.value)
        self.assign(node.target, value, node.value)
        return value

    def _fstr(self, node: ir.FStr) -> Val:
        for item in node.values:
            self.sink(self.expr(item).graph, "print", node.o)
        return Val("const", data="")

    # --- sinks --------------------------------------------------------------------------------------------------------

    def sink(self, graph: frozenset[int], kind: str, node: int) -> None:
        for forward in graph:
            nodes = self.facts.sinks.setdefault(forward, {}).setdefault(kind, [])
            if node not in nodes:
                nodes.append(node)

    def keep(self, graph: frozenset[int], target: ir.Expr, kind: str, node: int) -> None:
        """A container or a sum takes up tensors; across batches where it was made outside the forward's loop."""
        name = ir.dotted(target) or ""
        self.sink(graph, kind, node)
        if not self.loops or not name:
            return
        for token in graph:
            forward = self.facts.forwards.get(token)
            if forward is None:
                continue
            shared = [loop for loop in self.loops if loop in forward.loops]
            batches = next((loop for loop in shared if loop.data), shared[-1] if shared else None)
            if batches is not None and self.made_outside(name, batches.node):
                kept = self.facts.kept.setdefault(token, [])
                if (node, name) not in kept:
                    kept.append((node, name))

    def made_outside(self, name: str, loop: int) -> bool:
        """Nothing inside the loop makes the object anew."""
        return name not in self._assigned_in(loop)

    def _assigned_in(self, loop: int) -> frozenset[str]:
        cache = self.__dict__.setdefault("_assigned", {})
        if loop not in cache:
            cache[loop] = frozenset(_plain_assignments(self.facts.body, loop))
        found: frozenset[str] = cache[loop]
        return found


_COMPUTED = frozenset((ir.Attr, ir.Sub, ir.Call, ir.Bin, ir.Unary))


def _made(graph: frozenset[int]) -> bool:
    """Whether some forward of the unit is in a graph, not only what the unit was given."""
    return any(token >= 0 for token in graph)


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


def _holder(name: str, phases: Mapping[str, str]) -> str | None:
    """What a dotted name is, or is a part of, among the names that were switched."""
    while name:
        if name in phases:
            return name
        name = name[:-2] if name.endswith("[]") else name.rpartition(".")[0]
    return None


def _portable(value: Val) -> Val:
    """A value as other units may see it: without facts of this unit, whose places mean nothing elsewhere."""
    if value.kind in ("func", "guarded", "partial", "detached"):
        return Val(name=value.name)
    if value.items is not None:
        return msgspec.structs.replace(value, items=tuple(_portable(v) for v in value.items), origin=-1)
    return msgspec.structs.replace(value, origin=-1) if value.origin >= 0 else value


def _plain_assignments(body: ir.Unit, loop: int) -> Iterable[str]:
    from nograd_lint.syntax.ir import walk

    for node in walk(body.body):
        if node.o == loop and isinstance(node, (ir.For, ir.While)):
            for inner in walk(node.body):
                if isinstance(inner, ir.Assign) and inner.value is not None:
                    fresh = not any(
                        isinstance(n, (ir.Name, ir.Attr)) and ir.dotted(n) in {ir.dotted(t) for t in inner.targets}
                        for n in walk(inner.value)
                    )
                    for target in inner.targets:
                        name = ir.dotted(target)
                        if name is not None and fresh:
                            yield name


def _loader_names(expr: ir.Expr) -> Iterable[str]:
    """Names that an iterable is made of; arguments of ``enumerate``, ``tqdm``, ``zip`` and the like are looked into."""
    if isinstance(expr, ir.Name):
        yield expr.id
    elif isinstance(expr, ir.Attr):
        yield expr.attr
        base = ir.dotted(expr.value)
        if base is not None and base != "self":
            yield base
    elif isinstance(expr, ir.Call):
        name = ir.dotted(expr.func)
        last = (name or "").rpartition(".")[2]
        if last and last not in (
            "enumerate",
            "zip",
            "iter",
            "range",
            "len",
            "list",
            "reversed",
            "map",
            "filter",
            "sorted",
        ):
            yield last
            if isinstance(expr.func, ir.Attr):
                yield from _loader_names(expr.func.value)
        for arg in expr.args[:2]:
            yield from _loader_names(arg)
        for _, value in expr.keywords:
            if isinstance(value, ir.Const) and value.kind == "str":
                yield str(value.value)
    elif isinstance(expr, ir.Sub):
        yield from _loader_names(expr.value)
        for index in expr.index:
            if isinstance(index, ir.Const) and index.kind == "str":
                yield str(index.value)
    elif isinstance(expr, ir.Star):
        yield from _loader_names(expr.value)


_STATEMENTS: dict[type, Any] = {
    ir.ExprStmt: Interp._do_expr,
    ir.Assign: Interp._do_assign,
    ir.Aug: Interp._do_aug,
    ir.Return: Interp._do_return,
    ir.If: Interp._do_if,
    ir.For: Interp._do_for,
    ir.While: Interp._do_while,
    ir.With: Interp._do_with,
    ir.Try: Interp._do_try,
    ir.Def: Interp._do_def,
    ir.Class: Interp._do_class,
    ir.Simple: Interp._do_simple,
    ir.Import: Interp._do_import,
    ir.ScopeStmt: Interp._do_scope,
    ir.Match: Interp._do_match,
}
_EXPRESSIONS: dict[type, Any] = {
    ir.Name: Interp._name,
    ir.Attr: Interp._attr,
    ir.Call: Calls.call,
    ir.Const: Interp._const,
    ir.Sub: Interp._sub,
    ir.Slice: Interp._slice,
    ir.Bin: Interp._bin,
    ir.Bool: Interp._bool,
    ir.Unary: Interp._unary,
    ir.Compare: Interp._compare,
    ir.IfExp: Interp._ifexp,
    ir.Lambda: Interp._lambda,
    ir.Comp: Interp._comp,
    ir.Seq: Interp._seq,
    ir.Dict: Interp._dict,
    ir.Star: Interp._star,
    ir.Await: Interp._await,
    ir.Yield: Interp._yield,
    ir.Walrus: Interp._walrus,
    ir.FStr: Interp._fstr,
}
__all__ = ["CallSite", "Interp", "Site", "State", "Switch"]
