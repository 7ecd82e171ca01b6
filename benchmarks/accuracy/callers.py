#!/usr/bin/env python3
"""How much the linter keeps to itself because it can't tell who calls a function.

usage: callers.py [--package NAME] [--list]

A candidate is a function whose own text is enough for a default diagnostic of NGL101 to NGL104: it runs a model
unguarded, evidence of evaluation is in it, and nothing in it asks for a gradient. What its callers do decides then:

- reported: callers with gradients on, or nobody in sight who calls it
- known: callers that hold a guard, that walk the graph, or that are reported in its stead
- unresolved: it is silent because of callers that can't be told: they end at a private function or a `forward` that
  nobody in sight calls, it is handed on as a value and may run anywhere, or all that holds a guard are calls of a
  common name on something of unknown class

The share of the unresolved is printed; `ecosystem.py` prints and stores it, too. --list names them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from common import packages, tree

from nograd_lint.analysis import weigh
from nograd_lint.analysis.candidates import candidates
from nograd_lint.analysis.facts import CallSite, Facts
from nograd_lint.analysis.tracked import backwards_of_callers, silent, tracked
from nograd_lint.analysis.values import Mode
from nograd_lint.analysis.why import Why
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence
from nograd_lint.engine import Engine
from nograd_lint.linter import Linter
from nograd_lint.project.callers import DISTINCT
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.project.summaries import World
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings
from nograd_lint.source.discovery import discover

OUTCOMES = ("reported", "known", "unresolved")
OF_CALLERS = (Why.CALLERS_OFF, Why.CALLERS_BACKWARD, Why.AT_CALLERS)


def is_candidate(world: World, facts: Facts) -> bool:
    """Its own text says that a forward of it is tracked evaluation (that a ``forward`` calls it says nothing here)."""
    reasons = silent(world, facts)
    undecided = [f for f in facts.forwards.values() if reasons.get(f.node) in (None, *OF_CALLERS)]
    with mock.patch.object(weigh._Case, "_in_forward", False):
        found = [weigh.weigh(world, facts, forward) for forward in undecided]
    return any(isinstance(one, weigh.Candidate) and one.confidence is not Confidence.LOW for one in found)


def outcome(world: World, facts: Facts) -> str:
    """What the callers of a candidate make of it."""
    if any(found.confidence is not Confidence.LOW for found in tracked(world, facts)):
        return "reported"
    reasons = set(silent(world, facts).values())
    if reasons & {Why.CALLERS_BACKWARD, Why.AT_CALLERS}:
        return "known"
    symbol = Symbol("function", facts.path, facts.unit)
    entry = world.entry(symbol)
    told = {(path, name, site.node) for path, name, site in world.callers(symbol)[0] if _is_told(world, symbol, site)}
    seen = [way for way in entry.ways if not way.unseen and way.steps[-1][:3] in told]
    guarded = any(way.mode.off or (way.mode is Mode.DYNAMIC and entry.complete) for way in seen)
    return "known" if guarded or any(backwards_of_callers(world, symbol)) else "unresolved"


def _is_told(world: World, symbol: Symbol, site: CallSite) -> bool:
    """A call that surely is one of the function, or that only few others could be meant by."""
    return site.target is not None or len(world.project.files_defining(symbol.name.rpartition(".")[2])) <= DISTINCT


def census(root: Path) -> Iterator[tuple[str, str, str]]:
    """Every candidate of a project: file, function, and what becomes of it."""
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()}, isolated=True)
    engine = Engine(Settings(), root, resolver=resolver, use_cache=False)
    first = {resolver.root(file): file for file in discover([root], Settings(), root).files}
    engine.check(list(first.values()))  # a file of each project below the root: it looks at all of the project
    for linter in engine._linters.values():
        yield from _census(linter)


def _census(linter: Linter) -> Iterator[tuple[str, str, str]]:
    world = linter.world
    for path in sorted(linter.paths):
        file = world.project.file(path)
        if file is None or file.screened_out:
            continue
        for unit in candidates(world, file):
            facts = world.facts(path, unit)
            if facts is None or not facts.forwards or unit == MODULE:
                continue
            if is_candidate(world, facts):
                yield path, unit, outcome(world, facts)


def shown(count: Counter[str]) -> str:
    total = sum(count.values())
    share = f" = {count['unresolved'] / total:.1%}" if total else ""
    outcomes = ", ".join(f"{count[name]} {name}" for name in OUTCOMES)
    return f"silenced for callers that can't be told: {count['unresolved']} of {total} candidates{share} ({outcomes})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", help="only packages whose name starts so")
    parser.add_argument("--list", action="store_true", help="name the functions that are silenced so")
    options = parser.parse_args()
    count: Counter[str] = Counter()
    for package in packages():
        if options.package is not None and not package.name.startswith(options.package):
            continue
        for path, unit, what in census(tree(package.key)):
            count[what] += 1
            if options.list and what == "unresolved":
                print(package.key, path, unit)
    print(shown(count))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
