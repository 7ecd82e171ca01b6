"""Why nothing is reported for a line: what the analysis decided about the forwards there, and what it rests on."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.candidates import candidates
from nograd_lint.analysis.facts import Facts, Forward, Site
from nograd_lint.analysis.methods import CHAINING, NOT_FORWARD
from nograd_lint.analysis.tracked import backwards_of_callers, silent, tracked
from nograd_lint.analysis.values import Mode
from nograd_lint.analysis.why import Why
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.rules._base import Note, Place
from nograd_lint.rules._context import UnitContext
from nograd_lint.rules._tracked import left_out
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.project.callers import Way
    from nograd_lint.project.file import File
    from nograd_lint.project.summaries import World

_MOST_WAYS = 5
_BUILTIN = frozenset(dir(builtins))


class Silence(msgspec.Struct, frozen=True):
    """A reason, and the places that it rests on."""

    message: str
    notes: tuple[Note, ...] = ()


def silences(world: World, path: str, row: int) -> Iterator[Silence]:
    """Why the analysis is silent about a row (1-based) of a file."""
    file = world.project.file(path)
    if file is None:
        return
    if file.screened_out:
        yield Silence("nothing in the file is about PyTorch or gradients: it is not looked at")
        return
    name = _unit_at(file, row)
    facts = world.facts(path, name)
    if facts is None:
        yield Silence(f"{_called(name)} can't be parsed")
        return
    found = list(_Line(UnitContext(world, facts), row - file.row(name)).reasons())
    if not found and name not in candidates(world, file):
        found = [Silence(f"{_called(name)} has no word of guards, evaluation or training: it is not looked at")]
    yield from found


def _unit_at(file: File, row: int) -> str:
    lines = file.data.split(b"\n")[: row - 1]
    return file.unit_at(sum(len(line) + 1 for line in lines))


class _Line:
    """One row of a unit."""

    def __init__(self, unit: UnitContext, row: int) -> None:
        self.unit = unit
        self.world = unit.world
        self.facts = unit.facts
        self.row = row

    def reasons(self) -> Iterator[Silence]:
        forwards = self._forwards()
        for forward in forwards:
            yield from self._about(forward)
        if not forwards:
            yield from self._calls()
        for guard in sorted(self.facts.guards.values(), key=lambda g: g.node):
            if guard.mode.off and self.unit.span(guard.node).start.row == self.row:
                inside = [n for n in sorted(self.facts.forwards) if n in guard.inner]
                if inside:
                    notes = tuple(self.unit.note("runs under it", node) for node in inside[:_MOST_WAYS])
                    yield Silence("the guard turns gradients off for what it is around", notes)
        for node, backward in sorted(self.facts.backwards.items()):
            if node >= 0 and self._covers(node):
                yield Silence(f"nothing shows that gradients are off where `{backward.what}` needs them")

    def _covers(self, node: int) -> bool:
        span = self.unit.span(node)
        return span.start.row <= self.row <= span.end.row

    def _forwards(self) -> list[Forward]:
        """Those of the row, or of the whole function for its header."""
        root, forwards = self.unit.root, [f for _, f in sorted(self.facts.forwards.items())]
        if root is not None and root.body and self.row < self.unit.span(root.body[0].o).start.row:
            return forwards
        return [f for f in forwards if self._covers(f.node)]

    # --- a forward ----------------------------------------------------------------------------------------------------

    def _about(self, forward: Forward) -> Iterator[Silence]:
        shown = f"`{forward.name or forward.receiver or 'the model'}(...)`"
        why = silent(self.world, self.facts).get(forward.node)
        if why is not None:
            message, notes = self._explained(forward, why)
            yield Silence(f"{shown}: {message}", tuple(notes))
            return
        for found in tracked(self.world, self.facts):
            if forward.node in found.forwards and (left := left_out(self.unit, found)) is not None:
                yield Silence(f"{shown}: {left}")

    def _explained(self, forward: Forward, why: Why) -> tuple[str, list[Note]]:
        unit, facts = self.unit, self.facts
        message = why.value
        notes: list[Note] = []
        symbol = Symbol("function", facts.path, facts.unit)
        match why:
            case Why.OFF:
                if not forward.surely_off:
                    message = "whether gradients are on there depends on a value"
                notes = _guards(facts, forward)
            case Why.BACKWARD:
                notes = [unit.note("backward", n) for n in facts.sink(forward.node, "backward")]
            case Why.TRAINING:
                notes = self._training(forward)
            case Why.PROCESS_OFF:
                notes = self._switch()
            case Why.FRAMEWORK:
                message = str(facts.hook.why)
                notes = [unit.note("called by the framework", unit.root.o)] if unit.root is not None else []
            case Why.AT_CALLEE if forward.target is not None:
                callee = self.world.facts(forward.target.path, forward.target.name)
                if callee is not None:
                    found = tracked(self.world, callee)
                    notes = [unit.note_at("runs the model", callee.path, callee.unit, t.forwards[0]) for t in found]
            case Why.CALLERS_OFF:
                message, notes = self._callers(symbol)
            case Why.CALLERS_BACKWARD:
                for path, name, node in backwards_of_callers(self.world, symbol):
                    notes.append(unit.note_at(f"{_called(name)} runs backward on it", path, name, node))
            case Why.AT_CALLERS:
                for path, name, site in self.world.callers(symbol)[0]:
                    notes.append(unit.note_at(f"called by {_called(name)}", path, name, site.node))
        return message, notes[: 2 * _MOST_WAYS]

    def _training(self, forward: Forward) -> list[Note]:
        unit, facts = self.unit, self.facts
        notes = [unit.note("goes over training data", loop.node) for loop in forward.loops if loop.split == "train"]
        switches = [n for n, (_, to, _) in sorted(facts.evals.items()) if to == "train" and n < forward.node]
        notes += [unit.note("the model is put in training mode", n) for n in switches[-1:]]
        trains = sorted([n for n in facts.backwards if n >= 0] + list(facts.steps))
        return notes + [unit.note("the function trains", n) for n in trains[:1]]

    def _switch(self) -> list[Note]:
        path = self.world.switched_off(self.facts.path)
        facts = self.world.facts(path, MODULE) if path is not None else None
        switches = sorted(n for n, s in facts.switches.items() if s.to.off) if facts is not None else []
        return [self.unit.note_at("gradients are turned off here", str(path), MODULE, n) for n in switches[:1]]

    # --- callers ------------------------------------------------------------------------------------------------------

    def _callers(self, symbol: Symbol) -> tuple[str, list[Note]]:
        """Every way into the function: what its grad mode rests on, and the calls down from there."""
        entry = self.world.entry(symbol)
        off = [way for way in entry.ways if way.mode.off]
        unclear = [way for way in entry.ways if way.mode is Mode.DYNAMIC]
        on = [way for way in entry.ways if not way.mode.off and way.mode is not Mode.DYNAMIC]
        if unclear:
            message = "whether gradients are on depends on a caller that can't be told"
        elif on:
            message = "some callers turn gradients off: those that do not are reported at their calls"
        else:
            message = "every caller turns gradients off"
        if not entry.complete:
            message += "; not all could be followed"
        notes = [note for way in (*off, *unclear, *on)[:_MOST_WAYS] for note in self._way(way, symbol)]
        if len(entry.ways) > _MOST_WAYS:
            message += f" ({_MOST_WAYS} of {len(entry.ways)} ways in are shown)"
        return message, notes

    def _way(self, way: Way, symbol: Symbol) -> Iterator[Note]:
        path, name, node, _ = way.steps[0]
        facts = self.world.facts(path, name)
        site = facts.calls.get(node) if facts is not None else None
        if facts is not None and site is not None and way.mode is not Mode.ENABLED:
            if facts.hook is not None and Mode(facts.hook.mode) is way.mode:
                yield Note(str(facts.hook.why), Place(path, name, node))
            yield from _guards(facts, site)
            if way.mode is Mode.DYNAMIC and any(mode.off for mode, _ in site.modes):
                yield Note("it is handed on here, and may run where that does not hold", Place(path, name, node))
            elif way.mode is Mode.DYNAMIC and any(mode is Mode.ENTRY for mode, _ in site.modes):
                yield Note(f"who calls {_called(name)} can't be told", Place(path, name, node))
        names = [_called(name) for _, name, _, _ in way.steps] + [_called(symbol.name)]
        with_ = {Mode.ENABLED: "on", Mode.ENTRY: "as its callers have them"}.get(way.mode, "off")
        if way.mode is Mode.DYNAMIC:
            with_ = "on or off"
        for (path, name, node, _), caller, callee in zip(way.steps[:-1], names, names[1:], strict=False):
            yield Note(f"{caller} calls {callee}", Place(path, name, node))
        path, name, node, _ = way.steps[-1]
        yield Note(f"{' -> '.join(names)}, with gradients {with_}", Place(path, name, node))

    # --- no forward ---------------------------------------------------------------------------------------------------

    def _calls(self) -> Iterator[Silence]:
        """What the calls of the row are taken for, where none of them is a forward."""
        unknown = []
        for call in self.unit.all(ir.Call):
            last = call.func.attr if isinstance(call.func, ir.Attr) else ""
            if last in CHAINING or last in NOT_FORWARD or not self._covers(call.o):
                continue
            if (found := self._not_a_forward(call)) is not None:
                yield found
            elif self._unknown(call):
                unknown.append(f"`{ir.dotted(call.func)}(...)`")
        if unknown:
            yield Silence(f"nothing shows that {', '.join(dict.fromkeys(unknown))} runs a model")

    def _unknown(self, call: ir.Call) -> bool:
        name, value = ir.dotted(call.func), self.facts.values.get(call.func.o)
        if name is None or name in _BUILTIN or self.facts.symbols.get(call.func.o) is not None:
            return False
        return value is None or not (value.kind or value.symbol)

    def _not_a_forward(self, call: ir.Call) -> Silence | None:
        value = self.facts.values.get(call.func.o)
        shown = f"`{ir.dotted(call.func) or 'the call'}(...)`"
        if value is None:
            return None
        if value.cls is not None and isinstance(call.func, ir.Attr):
            promised = self.world.promised(value.cls, call.func.attr)
            if promised is not None:
                return Silence(f"{shown}: {promised}")
        symbol = value.symbol or self.facts.symbols.get(call.func.o)
        if symbol is not None and symbol.kind == "function":
            callee = self.world.facts(symbol.path, symbol.name)
            if callee is not None and callee.summary.guarded_forward:
                return Silence(f"{shown} runs a model, and turns gradients off itself", tuple(_own_guards(callee)))
        if value.model and value.frozen:
            return Silence(f"{shown}: {Why.FROZEN.value}")
        return None


def _own_guards(facts: Facts) -> list[Note]:
    notes = [note for forward in facts.forwards.values() if forward.surely_off for note in _guards(facts, forward)]
    return list(dict.fromkeys(notes))


def _guards(facts: Facts, site: Site) -> list[Note]:
    """What set the grad mode of a place."""
    notes = []
    for mode, guard in sorted(site.modes, key=str):
        if guard is not None and mode not in (Mode.ENTRY, Mode.ENABLED):
            text = "gradients are turned off here" if mode.off else "gradients are turned on or off here"
            notes.append(Note(text, Place(facts.path, facts.unit, guard)))
    return notes


def _called(unit: str) -> str:
    return "the module" if unit == MODULE else f"`{unit.partition('#')[0]}`"


__all__ = ["Silence", "silences"]
