"""What callers have to know of a unit, once it was run."""

from __future__ import annotations

import msgspec

from nograd_lint.analysis._run import Run
from nograd_lint.analysis.facts import OWN, Facts, Summary
from nograd_lint.analysis.values import (
    UNKNOWN,
    Mode,
    Val,
    join,
)
from nograd_lint.project.file import MODULE
from nograd_lint.syntax import ir


class Summarising(Run):
    """The part of the interpreter that says what callers have to know."""

    def _summarise(self, root: ir.Def | None) -> Summary:
        facts = self.facts
        if root is None or self.unit == MODULE:
            return Summary()
        forward = guarded = enabled = 0
        own: set[int] = set()
        for node, found in facts.forwards.items():
            if found.frozen or found.fallback:
                continue
            for mode, _ in found.modes:
                if mode.off:
                    guarded = max(guarded, found.level)
                elif mode is Mode.ENABLED:
                    enabled = max(enabled, found.level)
                    own.add(node)
                elif mode is Mode.DYNAMIC:  # on request, as its callers wish
                    guarded = max(guarded, found.level)
                elif mode is Mode.ENTRY:
                    forward = max(forward, found.level)
                    own.add(node)
        if facts.entry is not None and facts.entry[0].off:
            guarded, forward, own = max(guarded, forward), 0, set()
        called: set[int] = set()
        for i, param in enumerate(root.params):
            value = facts.env.get(param.name)
            if any(
                f.receiver == param.name or f.receiver.startswith(param.name + ".")
                for n, f in facts.forwards.items()
                if n in own
            ):
                called.add(i)
            del value
        if own and not any(
            facts.forwards[n].receiver.partition(".")[0] not in {p.name for p in root.params} - {"self"} for n in own
        ):
            # Every model that it runs comes from its caller: whether that is a model, the caller knows better.
            forward = min(forward, 2)
        backward_params = {-1 - t for t, sinks in facts.sinks.items() if t < 0 and t != OWN and "backward" in sinks}
        escapes = {
            -1 - t for t, sinks in facts.sinks.items() if t < 0 and t != OWN and ("attr" in sinks or "stored" in sinks)
        }
        detaches = {
            -1 - t: tuple(k for k in ("detach", "moved", "exported") if k in sinks)
            for t, sinks in facts.sinks.items()
            if t < 0 and t != OWN and "detach" in sinks
        }
        backward = any("backward" in facts.sinks.get(n, {}) for n in own)
        returns = join(_abstract(v, own, root, facts) for v in self.returned[0])
        if root.is_generator and returns.kind == "guard":
            returns = UNKNOWN
        guard = self._as_context_manager(root)
        leaves = None
        if facts.switches and guard is None:
            modes = {m for m, _ in facts.exit_modes}
            if len(modes) == 1 and (mode := next(iter(modes))) is not Mode.ENTRY and facts.entry is None:
                leaves = mode
        evals = set()
        names = {p.name: i for i, p in enumerate(root.params)}
        manager = _is_context_manager(root)
        for spelled, to, _ in facts.evals.values():
            if to == "eval" and spelled in names and (manager or self._last_switch(spelled) == "eval"):
                evals.add(names[spelled])
        return Summary(
            returns=returns,
            forward=forward,
            guarded_forward=guarded,
            enabled_forward=enabled,
            backward=backward,
            backward_params=frozenset(backward_params),
            graph_of_its_own=frozenset(i for i in backward_params if self._has_own_graph(-1 - i)),
            called_params=frozenset(called),
            guard=guard,
            decorates=self._as_decorator(root),
            leaves=leaves,
            evals=frozenset(evals),
            trains=bool(facts.steps) or bool(facts.backwards),
            entry=facts.entry[0] if facts.entry else None,
            detaches=tuple(sorted(detaches.items())),
            escapes=frozenset(escapes),
            guards=(facts.entry is not None and facts.entry[0].off) or (guarded >= 2 and not (forward or enabled)),
            param_calls=tuple((i, tuple(sorted(m))) for i, m in sorted(facts.param_calls.items())),
        )

    def _has_own_graph(self, token: int) -> bool:
        walked = [b for b in self.facts.backwards.values() if token in b.graph]
        return any(b.inner or any(t >= 0 for t in b.graph) for b in walked)

    def _last_switch(self, spelled: str) -> str:
        last = ""
        for name, to, _ in self.facts.evals.values():
            if name == spelled:
                last = to
        return last

    def _as_context_manager(self, root: ir.Def) -> Mode | None:
        """A generator under ``contextmanager`` that yields in a grad mode of its own; or a function that "
        "makes a guard."""
        if _is_context_manager(root):
            modes = self.yield_modes()
            if len(modes) == 1:
                mode = next(iter(modes))
                return None if mode is Mode.ENTRY else mode
            return Mode.DYNAMIC if any(m is not Mode.ENTRY for m in modes) else None
        guards = [v for v in self.returned[0] if v.kind == "guard"]
        if guards and not root.is_generator:
            return join(guards).data if len(guards) == len(self.returned[0]) else Mode.DYNAMIC
        return None

    def yield_modes(self) -> set[Mode]:
        from nograd_lint.syntax.ir import walk

        modes: set[Mode] = set()
        root = self.facts.body.root
        if root is None:
            return modes
        for node in walk(root.body):
            if isinstance(node, (ir.ExprStmt, ir.Assign)) and isinstance(node.value, ir.Yield):
                modes |= self.facts.stmt_modes.get(node.o, set())
        return modes

    def _as_decorator(self, root: ir.Def) -> Mode | None:
        """A function that takes a function and gives back one that runs it under a guard."""
        if not root.params:
            return None
        found: set[Mode] = set()
        for value in self.returned[0]:
            if value.kind == "guarded":
                found.add(value.data[0])
            elif value.kind == "func":
                function, mode = value.data
                if mode is not None:
                    found.add(mode)
                    continue
                found |= self._modes_of_calls_in(function, {p.name for p in root.params})
        if len(found) == 1:
            return next(iter(found))
        return Mode.DYNAMIC if found else None

    def _modes_of_calls_in(self, function: ir.Def | ir.Lambda, names: set[str]) -> set[Mode]:
        """Modes in which a wrapper calls what it wraps; a wrapper inside the wrapper counts."""
        from nograd_lint.syntax.ir import walk

        found: set[Mode] = set()
        if isinstance(function, ir.Lambda):
            return found
        names = names | {p.name for p in function.params if p.kind == "positional"}
        for stmt in walk(function.body):
            if isinstance(stmt, ir.With):
                for node in walk(stmt.body):
                    if isinstance(node, ir.Call) and isinstance(node.func, ir.Name) and node.func.id in names:
                        for (with_node, _), guard in self.facts.guards.items():
                            if with_node == stmt.o and guard.mode is not Mode.ENTRY:
                                found.add(guard.mode)
            elif isinstance(stmt, ir.Return) and isinstance(stmt.value, ir.Call):
                value = self.facts.values.get(stmt.value.func.o)
                if value is not None and value.kind == "guarded":
                    found.add(value.data[0])
        return found


def _is_context_manager(root: ir.Def) -> bool:
    names = {(ir.dotted(d.func if isinstance(d, ir.Call) else d) or "").rpartition(".")[2] for d in root.decorators}
    return root.is_generator and bool(names & {"contextmanager", "asynccontextmanager"})


def _abstract(value: Val, own: set[int], root: ir.Def, facts: Facts) -> Val:
    """A returned value as callers see it."""
    for i, param in enumerate(root.params):
        if value.name == param.name and value.graph == {-1 - i} and not value.kind and (i > 0 or facts.cls is None):
            return Val("param_value", data=i, graph=frozenset((-1 - i,)))
    graph = frozenset(t for t in value.graph if t < 0)
    if any(t in own for t in value.graph):
        graph |= {OWN}
    items = None
    if value.items is not None:
        items = tuple(msgspec.structs.replace(_abstract(v, own, root, facts), items=None) for v in value.items)
    if value.kind == "detached":
        return UNKNOWN
    if value.kind in ("func", "guarded", "partial", "bound", "self", "super"):
        if value.kind == "self":
            return Val(cls=value.cls, model=value.model)
        return Val(graph=graph)
    return msgspec.structs.replace(value, graph=graph, items=items)
