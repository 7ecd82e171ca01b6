"""A guarded block holds no tensor work, and the forward stands outside it.

## What it does
Reports a guard in an evaluation whose block only loads a model, calls `.eval()`, moves inputs or works on outputs that were
computed before, while the forward itself runs outside with gradient tracking on.

## Why is this bad?
The guard shows that the author wanted no graph, and does not keep one from being recorded. Work on the outputs afterwards
does not free it either: views of a tensor with a graph keep the graph, also under a guard.

## Examples
```python error
import torch


def predict(path, x):
    with torch.no_grad():  # NGL304
        model = torch.load(path)
        model.eval()
    return model(x).argmax(1).tolist()
```
```python fixed
import torch


def predict(path, x):
    with torch.no_grad():
        model = torch.load(path)
        model.eval()
        return model(x).argmax(1).tolist()
```
```python ok
import torch


def predict(path, x):
    model = torch.load(path).eval()
    with torch.no_grad():
        return model(x).argmax(1).tolist()
```

## Fix safety
The guard is moved or widened to hold the forward. Safe where nothing can ask for a gradient of what is computed.

## Known problems
A block that calls functions of other libraries may do tensor work, and is left alone.

## References
- https://github.com/CambridgeCIA/LION/issues/115
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.analysis.facts import Guard
from nograd_lint.analysis.tracked import Tracked, tracked
from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Kind, MoveGuard, Rule
from nograd_lint.rules._guards import makes_guard, shown
from nograd_lint.rules._work import only_prepares, run_of, works_on
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL304", name="guard-misses-forward", severity=Severity.ERROR, kind=Kind.GUARD, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    guards = [g for g in unit.facts.guards.values() if g.mode.off]
    if not guards:
        return
    found = [t for t in tracked(unit.world, unit.facts, low=False) if t.confidence is not Confidence.LOW]
    taken: set[tuple[int, int]] = set()
    for guard in sorted(guards, key=lambda g: (g.node, g.item)):
        stmt = unit.by_ordinal[guard.node]
        if not isinstance(stmt, ir.With) or not makes_guard(unit, stmt.items[guard.item].expr):
            continue
        missed = next((t for t in found if t.region not in taken and _misses(unit, stmt, guard, t)), None)
        if missed is None:
            continue
        taken.add(missed.region)
        forward = missed.forwards[0]
        run = run_of(unit, [stmt.o, *missed.forwards])
        yield Finding(
            stmt.items[guard.item].expr.o,
            f"the guard misses the forward: `{shown(unit.source(forward))}` runs outside it with gradient tracking on",
            missed.confidence,
            (unit.note("runs with gradient tracking on", forward), *(unit.note(text, n) for text, n in missed.notes)),
            run,
            _fix(unit, stmt, guard, run, missed) if run is not None else None,
        )


def _misses(unit: UnitContext, stmt: ir.With, guard: Guard, found: Tracked) -> bool:
    """The block does nothing that a guard is good for, and belongs to this evaluation."""
    if any(node in guard.inner for node in found.forwards) or found.forwards[0] not in unit.parent_statement:
        return False
    if unit.enclosing.get(stmt.o) != unit.enclosing.get(found.forwards[0]):
        return False
    first, last = stmt.body[0].o, unit.end_of(stmt.body[-1].o)
    if any(first <= node <= last for node in unit.facts.forwards):
        return False
    outputs = frozenset(found.forwards)
    if works_on(unit, stmt.body, outputs):
        return True
    return only_prepares(unit, stmt.body) and _is_used(unit, stmt, found)


def _is_used(unit: UnitContext, stmt: ir.With, found: Tracked) -> bool:
    """The forward uses something that the block gets ready: its model or its input."""
    names = {
        name for node in ir.walk(stmt.body) if isinstance(node, ir.Assign) for name in map(ir.dotted, node.targets)
    }
    names |= {
        ir.dotted(node.func.value)
        for node in ir.walk(stmt.body)
        if isinstance(node, ir.Call)
        and isinstance(node.func, ir.Attr)
        and node.func.attr in ("eval", "train", "load_state_dict")
    }
    names -= {None}
    forward = unit.by_ordinal[found.forwards[0]]
    return any(isinstance(n, (ir.Name, ir.Attr)) and ir.dotted(n) in names for n in ir.walk(forward))


def _fix(unit: UnitContext, stmt: ir.With, guard: Guard, run: tuple[int, int], found: Tracked) -> FixPlan | None:
    first, last = run
    if stmt.o not in {s.o for s in unit.place[first][0]}:
        return None  # the guard stands deeper than the forward
    if any(first <= node <= unit.end_of(last) for node in unit.yields_and_awaits):
        return None
    applicability = Applicability.SAFE if found.safe else Applicability.UNSAFE
    reason = "nothing asks for a gradient of these outputs" if found.safe else "somebody may still want a gradient"
    return FixPlan(
        "Let the guard hold the forward", applicability, (MoveGuard(stmt.o, first, last, guard.item),), reason
    )
