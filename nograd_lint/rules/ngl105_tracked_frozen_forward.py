"""Training code runs a network with gradient tracking on although only its detached output is used.

## What it does
Reports the forward of a teacher, target, reference or reward network in a training step whose output never reaches a
`backward` with its graph: it is detached, or only its numbers and indices are used.

## Why is this bad?
The graph of that network is recorded in every step and thrown away: memory and time for nothing, in the most expensive
place of the program.

## Examples
```python error
import torch.nn.functional as F


def distil(teacher, student, optimizer, train_loader):
    teacher.eval()
    student.train()
    for x, _ in train_loader:
        wanted = teacher(x).detach()  # NGL105
        loss = F.mse_loss(student(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F


def distil(teacher, student, optimizer, train_loader):
    teacher.eval()
    student.train()
    for x, _ in train_loader:
        with torch.no_grad():
            wanted = teacher(x).detach()
        loss = F.mse_loss(student(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```
```python ok
import torch
import torch.nn.functional as F


def distil(teacher, student, optimizer, train_loader):
    teacher.eval()
    student.train()
    for x, _ in train_loader:
        with torch.no_grad():
            wanted = teacher(x)
        loss = F.mse_loss(student(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
```

## Fix safety
Safe where every use of the output is detached and in sight.

## Known problems
A network that is run for the side effects of its graph, such as hooks on gradients, is not recognised.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Kind, Rule, Wrap
from nograd_lint.rules._guards import shown
from nograd_lint.rules._wasted import CUT, is_needed, is_wasted
from nograd_lint.rules._work import run_of

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Forward
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL105",
    name="tracked-frozen-forward",
    severity=Severity.WARNING,
    kind=Kind.GUARD,
    fixable=True,
)


def check(unit: UnitContext) -> Iterator[Finding]:
    facts = unit.facts
    if not facts.backwards:
        return
    by_receiver: dict[str, list[Forward]] = {}
    for forward in sorted(facts.forwards.values(), key=lambda f: f.node):
        if is_wasted(unit, forward):
            by_receiver.setdefault(forward.receiver, []).append(forward)
    for members in by_receiver.values():
        forward = members[0]
        sinks = facts.sinks[forward.node]
        cut = _cut(unit, forward)
        spelled = shown(unit.source(forward.node))
        yield Finding(
            forward.node,
            f"`{spelled}` is run with gradient tracking on, and only its detached output is used",
            Confidence.HIGH if forward.level == 3 else Confidence.MEDIUM,
            (unit.note("the graph ends here", sinks[cut][0]),),
            fix=_fix(unit, members),
        )


def _cut(unit: UnitContext, forward: Forward) -> str:
    return next(kind for kind in CUT if kind in unit.facts.sinks[forward.node])


def _fix(unit: UnitContext, members: list[Forward]) -> FixPlan:
    """One guard around all forwards of a network, or around each, where training goes on between them."""
    stmts = sorted({unit.parent_statement[forward.node] for forward in members})
    run = run_of(unit, [forward.node for forward in members]) if len(stmts) > 1 else None
    if run is not None and not _is_needed(unit, *run):
        wraps = [Wrap(*run)]
    else:
        wraps = [Wrap(stmt, stmt) for stmt in stmts]
    # The output leaves the statement without a graph anyway.
    bound = len(wraps) == len(stmts) and all(
        any(unit.inside(node, unit.parent_statement[f.node]) for node in unit.facts.sinks[f.node][_cut(unit, f)])
        for f in members
    )
    return FixPlan(
        "Put the forward under `torch.no_grad()`",
        Applicability.SAFE if bound else Applicability.UNSAFE,
        tuple(wraps),
        "its output is only used detached" if bound else "other uses of the statement's results are not judged",
    )


def _is_needed(unit: UnitContext, first: int, last: int) -> bool:
    """Whether a gradient may be asked for of something that a run of statements computes."""
    facts, end = unit.facts, unit.end_of(last)
    marks = (*facts.backwards, *facts.steps, *unit.yields_and_awaits)
    return any(first <= node <= end for node in marks) or any(
        first <= node <= end and is_needed(facts, forward) for node, forward in facts.forwards.items()
    )
