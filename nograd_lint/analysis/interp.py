"""Abstract interpretation of one unit: grad mode at every place, what is a model, where outputs go.

Statements are executed in program order on abstract values; branches are joined and loops run twice. Nested functions
and lambdas are run where they are called or handed on. What a call of another function of the project does comes from
its summary (see :mod:`nograd_lint.project.summaries`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from nograd_lint.analysis.bindings import holder
from nograd_lint.analysis.facts import Facts, Loop
from nograd_lint.analysis.state import State
from nograd_lint.analysis.statements import Statements
from nograd_lint.analysis.values import (
    CLASS_NAME,
    NOTHING,
    Mode,
    Val,
)
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.project.summaries import World


class Interp(Statements):
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
        self.assigning: ir.Assign | None = None  # the last assignment whose value was looked into
        self.spelled: dict[int, tuple[str | None, ...]] = {}  # a forward by the names in its call
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
        if param.annotation is not None and not CLASS_NAME.match(param.name):  # else the class, not one of it
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
        whole = holder(receiver, phases)
        if whole is not None:
            return phases[whole]
        if not receiver:
            found = set(phases.values())
            return found.pop() if len(found) == 1 else ""
        return ""


def _portable(value: Val) -> Val:
    """A value as other units may see it: without facts of this unit, whose places mean nothing elsewhere."""
    if value.kind in ("func", "guarded", "partial", "detached"):
        return Val(name=value.name)
    if value.items is not None:
        return msgspec.structs.replace(value, items=tuple(_portable(v) for v in value.items), origin=-1)
    return msgspec.structs.replace(value, origin=-1) if value.origin >= 0 else value
