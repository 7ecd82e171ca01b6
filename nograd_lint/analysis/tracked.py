"""The question behind NGL101 to NGL104: which forwards are evaluation, tracked, and asked for no gradient?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.facts import Facts, Forward
from nograd_lint.analysis.values import Mode, words
from nograd_lint.analysis.weigh import SHARED, Candidate, evident, weigh
from nograd_lint.analysis.why import Why
from nograd_lint.diagnostics import Confidence
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir
from nograd_lint.syntax.ir import walk

if TYPE_CHECKING:
    from nograd_lint.project.callers import Entry
    from nograd_lint.project.summaries import World


class Tracked(msgspec.Struct, frozen=True):
    """A run of statements that evaluates with gradient tracking on."""

    code: str
    forwards: tuple[int, ...]  # ordinals, in order
    confidence: Confidence
    function: str
    region: tuple[int, int]
    notes: tuple[tuple[str, int], ...]  # evidence within the unit: text, ordinal
    kept: tuple[tuple[int, str], ...]
    whole: Symbol | None  # set where the whole function is evaluation, so that a decorator fits
    safe: bool  # no gradient demand can come from anywhere
    why_unsafe: str
    ways: tuple[tuple[str, str, int, str], ...] = ()  # a way in with gradients on


def tracked(world: World, facts: Facts, *, low: bool = True) -> list[Tracked]:
    """All tracked evaluations of a unit, best evidence first decides the confidence.

    Without ``low``, those of low confidence may be missing: most of them turn out to be none once somebody has looked
    for callers, which costs most.
    """
    return _looked_at(world, facts, low)[0]


def silent(world: World, facts: Facts) -> dict[int, Why]:
    """Every forward of a unit that is no tracked evaluation, and why."""
    return _looked_at(world, facts, True)[1]


def _looked_at(world: World, facts: Facts, low: bool) -> tuple[list[Tracked], dict[int, Why]]:
    nothing: tuple[list[Tracked], dict[int, Why]] = ([], {})

    # Recursion: a function in the making is not reported by its callees.
    def find() -> tuple[list[Tracked], dict[int, Why]]:
        current = world.facts(facts.path, facts.unit)  # asked for here, so that the answer is known to rest on them
        return _look(world, current, low) if current is not None else nothing

    return world.memo(("tracked" if low else "surely tracked", facts.path, facts.unit), find, nothing)


def _look(world: World, facts: Facts, low: bool) -> tuple[list[Tracked], dict[int, Why]]:
    why = _whole_unit(world, facts) if facts.forwards else None
    if why is not None:
        return [], dict.fromkeys(facts.forwards, why)
    candidates = []
    silent: dict[int, Why] = {}
    for forward in sorted(facts.forwards.values(), key=lambda f: f.node):
        found = weigh(world, facts, forward)
        if isinstance(found, Why):
            silent[forward.node] = found
        elif not low and found.confidence is Confidence.LOW:
            continue  # before anybody looks at callees and for callers, which costs most
        elif _reported_at_callee(world, facts, forward, low):
            silent[forward.node] = Why.AT_CALLEE
        else:
            candidates.append(found)
    if not candidates:
        return [], silent
    symbol = Symbol("function", facts.path, facts.unit)
    if not low and world.called_under_guard(symbol):
        return [], silent  # as callers would say
    entry = world.entry(symbol) if facts.unit != MODULE else None
    why = _callers_speak_against(world, facts, symbol, entry) if entry is not None else None
    if why is not None:
        return [], {**silent, **dict.fromkeys((c.forward.node for c in candidates), why)}
    return _group(facts, candidates, entry), silent


def _whole_unit(world: World, facts: Facts) -> Why | None:
    """Why nothing in a unit can be a tracked evaluation."""
    last = facts.unit.rpartition(".")[2].partition("#")[0]
    if facts.is_module_class and last in ("forward", "__call__") and not facts.evals:
        return Why.OWN_FORWARD
    if world.switched_off(facts.path) is not None:
        return Why.PROCESS_OFF
    hook = facts.hook
    if hook is not None and (Mode(hook.mode).off or hook.demand):
        return Why.FRAMEWORK
    return None


def _callers_speak_against(world: World, facts: Facts, symbol: Symbol, entry: Entry) -> Why | None:
    seen = [w for w in entry.ways if not w.unseen]
    if entry.ways and (not seen or any(w.mode.off or w.mode is Mode.DYNAMIC for w in seen)):
        # Where some callers hold the guard, the others are reported at their calls.
        return Why.CALLERS_OFF
    if any(backwards_of_callers(world, symbol)):
        return Why.CALLERS_BACKWARD
    if _callers_know_better(world, facts, symbol):
        return Why.AT_CALLERS
    return None


def _callers_know_better(world: World, facts: Facts, symbol: Symbol) -> bool:
    """A private helper that only evaluations in sight call is reported there, where the guard belongs."""
    if not facts.unit.rpartition(".")[2].startswith("_") or any(evident(f) for f in facts.forwards.values()):
        return False
    sites, complete = world.callers(symbol)
    if not sites or not complete:
        return False
    for path, unit, site in sites:
        caller = world.facts(path, unit)
        forward = caller.forwards.get(site.node) if caller is not None else None
        if caller is None or forward is None or not evident(forward):
            return False
    return True


def _reported_at_callee(world: World, facts: Facts, forward: Forward, low: bool) -> bool:
    """The function that is called is reported itself, at its own forward."""
    if forward.target is None:
        return False
    target = world.facts(forward.target.path, forward.target.name)
    if target is None or target is facts or _left_to_callers(world, forward, target):
        return False
    return any(t.confidence is not Confidence.LOW for t in tracked(world, target, low=low))


def _left_to_callers(world: World, forward: Forward, target: Facts) -> bool:
    return evident(forward) and _callers_know_better(world, target, Symbol("function", target.path, target.unit))


def backwards_of_callers(world: World, symbol: Symbol) -> Iterator[tuple[str, str, int]]:
    """Where callers run backward on what a function returns: path, unit, ordinal."""
    for path, unit, site in world.callers(symbol)[0]:
        facts = world.facts(path, unit, 1)
        found = facts.sinks.get(site.node, {}).get("backward", ()) if facts is not None else ()
        yield from ((path, unit, n) for n in found if n != site.node)


def _group(facts: Facts, candidates: list[Candidate], entry: Entry | None) -> list[Tracked]:
    if not candidates:
        return []
    training = sorted([b.node for b in facts.backwards.values()] + list(facts.steps))
    barriers = sorted(training + _may_train(facts))
    groups: dict[tuple[str, int], list[Candidate]] = {}
    for candidate in candidates:
        forward = candidate.forward
        top = _top_statement(facts, forward, barriers)
        key = (forward.function, top if barriers else -1)
        groups.setdefault(key, []).append(candidate)
    result = []
    for (function, top), members in groups.items():
        sure = [m for m in members if m.confidence is not Confidence.LOW] or members
        first = sure[0]
        best = max(sure, key=lambda m: m.confidence.rank)
        kept = tuple(k for m in sure for k in facts.kept.get(m.forward.node, ()))
        tops = [_top_statement(facts, m.forward, barriers) for m in sure]
        region = (min(tops), max(tops)) if not barriers else (top, top)
        whole = None
        root = facts.body.root
        if root is not None and not barriers and function == facts.unit and not root.is_async:
            whole = Symbol("function", facts.path, facts.unit)
        else:
            region = _narrowed(facts, [m.forward for m in sure], region)
        if facts.unit == MODULE:
            code = "NGL103"
        elif training or any(m.why_unsafe == SHARED for m in sure):
            code = "NGL102"
        else:
            code = "NGL101"
        if kept:
            code = "NGL104"
        notes: dict[tuple[str, int], None] = {}
        for m in sure:
            for note in m.notes:
                notes.setdefault(note)
        unsafe = next((m.why_unsafe for m in sure if m.why_unsafe), "")
        way = next((w.steps for w in entry.ways if not w.unseen), ()) if entry is not None else ()
        result.append(
            Tracked(
                code,
                tuple(m.forward.node for m in sure),
                best.confidence,
                function,
                region,
                tuple(notes),
                kept,
                whole,
                not unsafe and first.confidence is Confidence.HIGH,
                unsafe,
                way,
            )
        )
    return sorted(result, key=lambda t: t.forwards[0])


_TRAINING = frozenset("train fit finetune pretrain retrain learn optimize optimise".split())
_TRAINERS = frozenset("trainer learner self".split())


def _may_train(facts: Facts) -> list[int]:
    """Calls of functions that are not in sight and, as it seems, train: no guard may be put around them."""
    return [
        node.o
        for node in facts.nodes
        if isinstance(node, ir.Call) and node.o not in facts.forwards and node.o not in facts.evals
        if _seems_to_train(facts, node)
    ]


def _seems_to_train(facts: Facts, call: ir.Call) -> bool:
    name = ir.dotted(call.func)
    site = facts.calls.get(call.o)
    if name is None or (site is not None and site.target is not None):
        return False
    if (facts.resolve(call.func) or "").startswith("torch."):
        return False
    values = [facts.values.get(arg.o) for arg in (*call.args, *(value for _, value in call.keywords))]
    given = [value for value in values if value is not None]
    model = any(value.model for value in given)
    if model and any(value.kind == "optimizer" for value in given):
        return True
    receiver, _, last = name.rpartition(".")
    verb = words(last)[:1]
    return bool(verb) and verb[0] in _TRAINING and (model or receiver.rpartition(".")[2].lower() in _TRAINERS)


def _top_statement(facts: Facts, forward: Forward, training: list[int]) -> int:
    """The outermost statement around a forward that holds no training."""
    for stmt in forward.stmts:
        if not any(stmt <= t for t in training) or not _holds(facts, stmt, training):
            return stmt
    return forward.stmt


def _narrowed(facts: Facts, forwards: list[Forward], region: tuple[int, int]) -> tuple[int, int]:
    """The run of statements within the one suite of a condition, ``try`` or ``with`` that holds all the forwards.

    Loops are left whole: a guard around one is entered once.
    """
    while region[0] == region[1]:
        stmt = facts.by_ordinal[region[0]]
        if isinstance(stmt, ir.If):
            suites = [stmt.body, stmt.orelse]
        elif isinstance(stmt, ir.Try):
            suites = [stmt.body, *(handler.body for handler in stmt.handlers), stmt.orelse, stmt.final]
        elif isinstance(stmt, ir.With):
            suites = [stmt.body]
        else:
            break
        inner = {next((n for n in forward.stmts if n > stmt.o), 0) for forward in forwards}
        if not any(inner <= {child.o for child in suite} for suite in suites):
            break
        if isinstance(stmt, ir.With) and (min(inner), max(inner)) == (stmt.body[0].o, stmt.body[-1].o):
            break  # the guard may as well go around
        region = min(inner), max(inner)
    return region


def _holds(facts: Facts, stmt: int, nodes: list[int]) -> bool:
    cache: dict[int, int] = facts.__dict__.setdefault("_extents", {})
    if not cache:
        for node in walk(facts.body.body):
            if isinstance(node, (ir.For, ir.While, ir.If, ir.With, ir.Try, ir.Def, ir.Class, ir.Match)):
                cache[node.o] = max(n.o for n in walk(node))
    last = cache.get(stmt, stmt)
    return any(stmt <= n <= last for n in nodes)


__all__ = ["Tracked", "backwards_of_callers", "silent", "tracked"]
