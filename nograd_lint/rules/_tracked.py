"""What NGL101 to NGL104 share: a finding for a tracked evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.analysis.tracked import Tracked, tracked
from nograd_lint.analysis.weigh import SHARED
from nograd_lint.diagnostics import Applicability
from nograd_lint.project.file import MODULE
from nograd_lint.rules._base import Decorate, Finding, FixPlan, Note, Wrap
from nograd_lint.rules._deferred import consumed_off
from nograd_lint.rules._explained import explained
from nograd_lint.rules._kept import detached_where_kept
from nograd_lint.rules._shared import switched_by_branch
from nograd_lint.rules._wasted import wasted

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext


def findings(unit: UnitContext, code: str, what: str) -> Iterator[Finding]:
    """Findings of one code; ``what`` completes "`model(x)` …"."""
    for found in tracked(unit.world, unit.facts, low=unit.low):
        if found.code == code and left_out(unit, found) is None:
            yield _finding(unit, found, what)


def left_out(unit: UnitContext, found: Tracked) -> str | None:
    """Why a tracked evaluation is not reported as such, None where it is."""
    if explained(unit, found.forwards[0]):
        return "it is reported at the guard that does nothing"
    if wasted(unit, found):
        return "it is reported as NGL105"
    if all(consumed_off(unit, node) for node in found.forwards):
        return "it runs later, where gradients are off"
    return None


def _finding(unit: UnitContext, found: Tracked, what: str) -> Finding:
    first = unit.facts.forwards[found.forwards[0]]
    notes = [Note(text, unit.note("", node).place) for text, node in found.notes]
    notes += [unit.note(f"`{name}` keeps the graph of every batch", node) for node, name in found.kept]
    for path, name, node, _ in found.ways:
        place = "module level" if name == MODULE else f"`{name}`"
        notes.append(unit.note_at(f"called from {place} with gradients on", path, name, node))
    if len(found.forwards) > 1:
        notes.append(unit.note(f"{len(found.forwards)} forwards in this region", found.forwards[1]))
    spelled = first.name or first.receiver or "the model"
    message = what.format(function=_shown(found.function), model=f"`{spelled}(...)`")
    return Finding(
        node=found.forwards[0],
        message=message,
        confidence=found.confidence,
        notes=tuple(notes),
        region=found.region,
        fix=_fix(unit, found),
        function=found.function if found.function != unit.unit else None,
    )


def _shown(function: str) -> str:
    return "the script" if function == MODULE else f"`{function.partition('#')[0]}`"


def _fix(unit: UnitContext, found: Tracked) -> FixPlan | None:
    root = unit.root
    if found.why_unsafe == SHARED:
        return switched_by_branch(unit, found)
    applicability = Applicability.SAFE if found.safe else Applicability.UNSAFE
    reason = (
        "nothing asks for a gradient of these outputs"
        if found.safe
        else (found.why_unsafe or "somebody may still want a gradient of these outputs")
    )
    if found.whole is not None and root is not None:
        return FixPlan("Decorate the function with `torch.no_grad()`", applicability, (Decorate(root.o),), reason)
    runs = [found.region]
    if _waits(unit, found.region):  # each forward by itself
        runs = sorted({(stmt, stmt) for stmt in (unit.parent_statement[node] for node in found.forwards)})
        if any(_waits(unit, run) for run in runs):
            return detached_where_kept(unit, found)
    wraps = tuple(Wrap(*run) for run in runs)
    return FixPlan("Put the forward under `torch.no_grad()`", applicability, wraps, reason)


def _waits(unit: UnitContext, run: tuple[int, int]) -> bool:
    """Whether a run of statements holds what no guard may be held across."""
    return any(run[0] <= node <= unit.end_of(run[1]) for node in unit.yields_and_awaits)
