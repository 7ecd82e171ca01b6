"""Who calls a function, and in which grad modes it is entered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.calls import bind
from nograd_lint.analysis.facts import CallSite, Facts, Summary
from nograd_lint.analysis.values import UNKNOWN, Mode, Val, guard_by_name
from nograd_lint.project.answers import Answers
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.knowledge import Hook

CALLER_DEPTH = 4  # levels of callers looked up
_MANY = 24  # more candidate callers than this are cut off, and counted
DISTINCT = 3  # a method that more files define says nothing about the class of an unknown receiver
_PLAIN_GUARD = re.compile(r"\b(?:no_grad|inference_mode)\(\)$")
_CHANGES_MODE = re.compile(rb"enable_grad|set_grad_enabled|inference_mode\((?!\))|\bself[ \t]*=")


class Way(msgspec.Struct, frozen=True):
    """One way into a function: the grad mode there and the call sites on the way, outermost first."""

    mode: Mode
    steps: tuple[tuple[str, str, int, str], ...]  # (path, unit, ordinal of the call, phase)
    unseen: bool = False  # it starts at a private function, or a ``forward``, whose callers can't be seen


class _Places(msgspec.Struct, frozen=True):
    """Units (path, name) in which something of a function's name is called; ``cut``: files with more than that."""

    units: tuple[tuple[str, str], ...]
    targets: set[Symbol]
    distinct: bool
    cut: int


class Entry(msgspec.Struct, frozen=True):
    """All ways into a function that the project shows."""

    ways: tuple[Way, ...] = ()
    complete: bool = True  # False where callers were cut off or can't be told apart

    @property
    def modes(self) -> frozenset[Mode]:
        return frozenset(w.mode for w in self.ways)


class Callers(Answers):
    """The part of the world that knows callers."""

    if TYPE_CHECKING:

        def facts(self, path: str, unit: str, depth: int = ...) -> Facts | None: ...
        def guard_mode(self, name: str) -> Mode | None: ...
        def hook(self, cls: Symbol, method: str) -> Hook | None: ...
        def is_module(self, cls: Symbol) -> bool: ...
        def parameters(self, symbol: Symbol) -> tuple[tuple[str, str], ...]: ...
        def rebound(self, path: str, unit: str) -> Mode | None: ...
        def summary(self, symbol: Symbol, depth: int) -> Summary | None: ...

    def callers(self, symbol: Symbol) -> tuple[tuple[tuple[str, str, CallSite], ...], bool]:
        """Call sites of a function in the project (path, unit, site), and whether these are surely all in sight."""
        nobody: tuple[tuple[tuple[str, str, CallSite], ...], bool] = ((), False)
        return self.memo(("callers", *symbol.key), lambda: self._find_callers(symbol), nobody)

    def _find_callers(self, symbol: Symbol) -> tuple[tuple[tuple[str, str, CallSite], ...], bool]:
        _, is_method, name = symbol.name.partition("#")[0].rpartition(".")
        found: list[tuple[str, str, CallSite]] = []
        places = self._places(symbol)
        if places is None:
            return (), False
        complete = not places.cut
        self.cut += places.cut
        targets = places.targets
        aliases: set[str] = set()
        for path, unit in places.units:
            facts = self.facts(path, unit, 1)
            if facts is None:
                continue
            aliases |= _aliases(facts, targets)
            for site in facts.calls.values():
                if site.target in targets:
                    found.append((path, unit, site))
                elif any(_gives(value, targets) for value in (*site.args, *(v for _, v in site.keywords))):
                    handed_on = self._handed_on(site, targets)
                    if handed_on is None:
                        complete = False
                        # Whoever it is may call it elsewhere, where a guard that is held here does not hold.
                        modes = {(Mode.DYNAMIC if m.off else m, guard) for m, guard in site.modes}
                        handed_on = msgspec.structs.replace(site, modes=modes)
                    found.append((path, unit, handed_on))
                elif site.target is None and site.method == name and is_method and places.distinct:
                    receiver = site.args[0] if site.args else UNKNOWN
                    if receiver.cls is None and not (path == symbol.path and unit == symbol.name):
                        found.append((path, unit, site))
        if not found and is_method:
            found += self._calls_of_kin(symbol, places)
        if not found and is_method and not places.distinct and not name.startswith("_"):
            namesakes = list(self._calls_by_name(name))
            guarded = [entry for entry in namesakes if all(mode.off for mode, _ in entry[2].modes)]
            if 2 * len(guarded) >= len(namesakes):
                found += guarded  # any of them may be meant
        for alias in sorted(aliases - {name}):
            found += self._calls_by_name(alias)
        return tuple(found), complete

    def runs_no_model(self, method: str) -> bool:
        """Whether the project defines methods of a name, few enough to look into, and most run no model tracked."""
        return self.memo(("runs no model", method), lambda: self._find_runs_no_model(method), False)

    def _find_runs_no_model(self, method: str) -> bool:
        paths = self.project.files_defining(method)
        if not 0 < len(paths) <= _MANY:
            return False
        found: list[bool] = []
        for path in paths:
            file = self.project.file(path)
            units = [u for u in file.units if u.partition("#")[0].endswith(f".{method}")] if file is not None else []
            found += [self._keeps_no_graph(Symbol("function", path, unit)) for unit in units]
        return 2 * sum(found) > len(found)

    def _keeps_no_graph(self, method: Symbol) -> bool:
        """A method that holds a guard, or of no module, and that runs none."""
        summary = self.summary(method, 0)
        if summary is None or summary.forward:
            return False
        module = self.is_module(Symbol("class", method.path, method.name.rpartition(".")[0]))
        return summary.guards or not (module or summary.returns.origin >= 0)

    def called_in(self, symbol: Symbol, name: str) -> bool:
        """Whether a function of some name (``forward``) calls a function, by what :meth:`callers` goes by."""
        places = self._places(symbol)
        if places is None or not any(unit.rpartition(".")[2] == name for _, unit in places.units):
            return False  # who else calls it costs far more to find
        return any(unit.rpartition(".")[2] == name for _, unit, _ in self.callers(symbol)[0])

    def _places(self, symbol: Symbol) -> _Places | None:
        """Where something of a function's name is called or handed on; None where its callers can't be looked for."""
        head, _, name = symbol.name.partition("#")[0].rpartition(".")
        targets = {symbol}
        cls = Symbol("class", symbol.path, head) if head else None
        if cls is not None:
            for ancestor in self.project.ancestors(cls)[1:]:
                if ancestor.kind == "class":
                    targets.add(Symbol("function", ancestor.path, f"{ancestor.name}.{name}"))
            if name in ("__init__", "__call__", "forward"):
                return None
        # A method is called by its own class, by its bases, and by who knows the class.
        near = {t.path for t in targets}
        cls_name = head.rpartition(".")[2]
        distinct = cls is not None and len(self.project.files_defining(name)) <= DISTINCT
        anywhere = distinct and not name.startswith("_")
        calling = self.project.files_calling(name)
        units: list[tuple[str, str]] = []
        cut = 0
        for path in calling if symbol.path in calling else (symbol.path, *calling):
            file = self.project.file(path)
            if file is None or not (path in near or anywhere or file.mentions(cls_name)):
                continue
            inside = file.places(name)
            room = _MANY - len(units)
            units += [(path, unit) for unit in inside[:room]]
            cut += len(inside) > room
        return _Places(tuple(units), targets, distinct, cut)

    def _calls_of_kin(self, symbol: Symbol, places: _Places) -> Iterator[tuple[str, str, CallSite]]:
        """Calls of the same method of another class with the same base: what is called there may be either of them."""
        name = symbol.name.rpartition(".")[2]
        shared = {t for t in places.targets - {symbol} if self._defines(t)}
        for path, unit in places.units if shared else ():
            facts = self.facts(path, unit, 1)
            if facts is None or unit.rpartition(".")[2] == name:  # it calls what it overrides
                continue
            for site in facts.calls.values():
                if site.target is not None and site.target.name.endswith(f".{name}"):
                    cls = Symbol("class", site.target.path, site.target.name.rpartition(".")[0])
                    bases = {Symbol("function", a.path, f"{a.name}.{name}") for a in self.project.ancestors(cls)}
                    if not shared.isdisjoint(bases):
                        yield path, unit, site

    def _defines(self, symbol: Symbol) -> bool:
        file = self.project.file(symbol.path)
        return file is not None and symbol.name in file.units

    def called_under_guard(self, symbol: Symbol, depth: int = CALLER_DEPTH) -> bool:
        """Whether a method in sight, under a guard of its own, surely calls a method of its class, itself or by others.

        The text says so: nobody is looked into, as for :meth:`entry`, which costs far more.
        """
        node = ("called under guard", *symbol.key, depth)
        return self.memo(node, lambda: self._is_called_under_guard(symbol, depth), False)

    def _is_called_under_guard(self, symbol: Symbol, depth: int) -> bool:
        places = self._places(symbol)
        name = symbol.name.rpartition(".")[2]
        for path, unit in places.units if places is not None else ():
            cls = Symbol("class", path, unit.rpartition(".")[0])
            if not cls.name or self.project.method(cls, name) != symbol:
                continue
            guarded, calls = self._sure_calls(path, unit)
            if name in calls and (guarded or self._passes_on(cls, Symbol("function", path, unit), depth)):
                return True
        return False

    def _passes_on(self, cls: Symbol, caller: Symbol, depth: int) -> bool:
        """Whether a method surely runs in the mode of a caller that holds a guard."""
        if depth <= 0 or self.hook(cls, caller.name.rpartition(".")[2]) is not None:
            return False
        return self.called_under_guard(caller, depth - 1)

    def _sure_calls(self, path: str, unit: str) -> tuple[bool, frozenset[str]]:
        """Whether a method is decorated with a guard, and what it calls on ``self`` without changing grad mode."""
        nothing: tuple[bool, frozenset[str]] = False, frozenset()
        return self.memo(("sure calls", path, unit), lambda: self._find_sure_calls(path, unit), nothing)

    def _find_sure_calls(self, path: str, unit: str) -> tuple[bool, frozenset[str]]:
        nothing: tuple[bool, frozenset[str]] = False, frozenset()
        file = self.project.file(path)
        if file is None or unit not in file.units or _CHANGES_MODE.search(file.unit_bytes(unit)):
            return nothing
        decorators = file.units[unit].decorators
        body = file.unit(unit)
        root = body.root if body is not None else None
        if root is None or root.is_async or root.is_generator or not root.params or root.params[0].name != "self":
            return nothing
        nodes = ir.walk(root.body)
        if any(isinstance(node, (ir.Def, ir.Lambda, ir.Class)) for node in nodes):
            return nothing  # what is in there may run later
        if self.rebound(path, unit) is not None or not all(self._is_off_or_neutral(path, text) for text in decorators):
            return nothing
        calls = (node.func for node in nodes if isinstance(node, ir.Call))
        names = frozenset(f.attr for f in calls if isinstance(f, ir.Attr) and ir.dotted(f.value) == "self")
        return any(_PLAIN_GUARD.search(text) for text in decorators), names

    def guarded_by_decorator(self, path: str, unit: str) -> bool:
        """Whether the body of a function, no generator, surely runs with gradients off, as its decorators say."""
        file = self.project.file(path)
        definition = file.units.get(unit) if file is not None else None
        return (
            definition is not None
            and not definition.is_async
            and any(_PLAIN_GUARD.search(text) for text in definition.decorators)
            and self.rebound(path, unit) is None
            and all(self._is_off_or_neutral(path, text) for text in definition.decorators)
        )

    def _is_off_or_neutral(self, path: str, decorator: str) -> bool:
        """A decorator that turns gradients off, or does nothing about them."""
        name = re.sub(r"\(.*", "", decorator, flags=re.DOTALL).strip()
        symbol = self.project.resolve(path, name)
        if symbol is None:
            return not guard_by_name(name)
        if symbol.kind == "external":
            mode = self.guard_mode(symbol.name)
            return mode is None or (mode.off and decorator.endswith("()"))
        summary = self.summary(symbol, 0)
        return summary is not None and summary.decorates is None and summary.guard is None

    def _calls_by_name(self, alias: str) -> Iterable[tuple[str, str, CallSite]]:
        """Calls of something that is only known by the name of the method."""
        for path in self.project.files_calling(alias)[:_MANY]:
            file = self.project.file(path)
            for unit in file.places(alias)[:_MANY] if file is not None else ():
                facts = self.facts(path, unit, 1)
                for site in facts.calls.values() if facts is not None else ():
                    if site.target is None and site.method == alias:
                        yield path, unit, site

    def _handed_on(self, site: CallSite, targets: set[Symbol]) -> CallSite | None:
        """A call that is given the function, as a call of it in the mode in which the callee runs its parameter."""
        if site.target is None:
            return None
        summary = self.summary(site.target, 0)
        if summary is None:
            return None
        bound = bind(self.parameters(site.target), site.args, site.keywords)
        modes: set[tuple[Mode, int | None]] = set()
        for i, inner in summary.param_calls:
            if i in bound and bound[i].symbol in targets:
                for mode in inner:
                    modes |= {(outer if mode is Mode.ENTRY else mode, guard) for outer, guard in site.modes}
        if not modes:
            return None
        return msgspec.structs.replace(site, modes=modes)

    def entry(self, symbol: Symbol, depth: int = CALLER_DEPTH) -> Entry:
        """The grad modes in which the project enters a function, each with a witness."""
        return self.memo(("entry", *symbol.key, depth), lambda: self._find_entry(symbol, depth), Entry())

    def _find_entry(self, symbol: Symbol, depth: int) -> Entry:
        sites, complete = self.callers(symbol)
        ways: dict[tuple[Mode, str], Way] = {}
        for path, unit, site in sites:
            phase = next(iter(site.phases)) if len(site.phases) == 1 else "mixed"
            step = (path, unit, site.node, phase)
            for mode, _ in sorted(site.modes, key=str):
                if mode is not Mode.ENTRY:
                    ways.setdefault((mode, f"{path}:{unit}"), Way(mode, (step,)))
                    continue
                caller = Symbol("function", path, unit)
                if unit == MODULE:
                    ways.setdefault((Mode.ENABLED, f"{path}:{unit}"), Way(Mode.ENABLED, (step,)))
                    continue
                facts = self.facts(path, unit, 1)
                hook = facts.hook if facts is not None else None
                if hook is not None:
                    promised = Mode(hook.mode)
                    ways.setdefault((promised, f"{path}:{unit}"), Way(promised, (step,)))
                    continue
                if depth <= 0 or caller == symbol:
                    if caller != symbol:
                        complete = False
                        self.cut += 1
                    continue
                outer = self.entry(caller, depth - 1)
                complete = complete and outer.complete
                if not outer.ways:
                    # Somebody must call a private function; who it is can't be seen.
                    module = facts is not None and facts.is_module_class
                    unseen = _is_private(unit) or (module and unit.rpartition(".")[2] in ("forward", "__call__"))
                    mode = Mode.DYNAMIC if unseen else Mode.ENTRY
                    ways.setdefault((mode, f"{path}:{unit}"), Way(mode, (step,), unseen))
                for way in outer.ways:
                    ways.setdefault((way.mode, f"{path}:{unit}"), Way(way.mode, (*way.steps, step), way.unseen))
        return Entry(tuple(ways.values()), complete)


def _gives(value: Val, targets: set[Symbol]) -> bool:
    """Whether a value is one of some functions, or a list that holds one."""
    return value.symbol in targets or any(item.symbol in targets for item in value.items or ())


def _aliases(facts: Facts, targets: set[Symbol]) -> set[str]:
    """Attributes that one of the functions is assigned to: ``self.explore = self.explore_once``."""
    found = set()
    for node in facts.nodes:
        if isinstance(node, ir.Assign) and isinstance(node.value, (ir.Attr, ir.Name)):
            if facts.values.get(node.value.o, UNKNOWN).symbol in targets:
                found |= {target.attr for target in node.targets if isinstance(target, ir.Attr)}
    return found


def _is_private(unit: str) -> bool:
    name = unit.rpartition(".")[2]
    return name.startswith("_") and not name.startswith("__")
