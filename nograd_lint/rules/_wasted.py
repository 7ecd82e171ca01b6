"""Forwards of a training step that no backward can reach: what divides NGL105 from NGL102."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Facts, Forward
    from nograd_lint.analysis.tracked import Tracked
    from nograd_lint.rules._context import UnitContext

# What becomes of an output that carries no graph any further, best reason first.
CUT = ("detach", "argmax", "item", "compare", "numpy", "print", "metric")
_NEEDED = ("backward", "return", "inner_return", "yield", "attr", "stored", "passed", "append", "accumulate", "store")


def is_wasted(unit: UnitContext, forward: Forward) -> bool:
    """A tracked forward, in a step of training, of a network whose output is only used detached."""
    facts = unit.facts
    if not forward.tracked or forward.frozen or forward.leaf_input or forward.level < 2 or forward.target is not None:
        return False
    sinks = facts.sinks.get(forward.node, {})
    if is_needed(facts, forward) or not ("detach" in sinks or "argmax" in sinks):
        return False
    if not _in_step(unit, forward):
        return False
    trained = {f.receiver for n, f in facts.forwards.items() if "backward" in facts.sinks.get(n, {})}
    # The trained network itself is run once more for evaluation: a validation phase.
    return forward.receiver not in trained


def is_needed(facts: Facts, forward: Forward) -> bool:
    """The output goes, with its graph, where a gradient may be asked for."""
    return any(kind in facts.sinks.get(forward.node, {}) for kind in _NEEDED)


def _in_step(unit: UnitContext, forward: Forward) -> bool:
    """The forward runs as often as a backward does: both stand in the same innermost loop."""
    loops = [loop.node for loop in forward.loops]
    return any(
        [loop.node for loop in backward.loops] == loops and backward.function == forward.function
        for backward in unit.facts.backwards.values()
    )


def wasted(unit: UnitContext, found: Tracked) -> bool:
    """Whether NGL105 says what there is to say of a tracked evaluation."""
    return all(is_wasted(unit, unit.facts.forwards[node]) for node in found.forwards)
