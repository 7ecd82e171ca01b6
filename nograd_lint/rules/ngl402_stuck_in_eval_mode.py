"""Training goes on after an evaluation that left the model in eval mode.

## What it does
Reports `model.eval()` in, or called from, a training loop where nothing puts the model back: neither a `model.train()` in the
loop nor a restored mode in the evaluation.

## Why is this bad?
From the second time round dropout is off and batch norm no longer learns its statistics: the model trains worse, without
a word.

## Examples
```python error
import torch
import torch.nn.functional as F


def fit(model, optimizer, train_loader, val_loader):
    model.train()
    for _ in range(10):
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()  # NGL402
        with torch.no_grad():
            print(sum(model(x).argmax(1).eq(y).sum().item() for x, y in val_loader))
```
```python ok
import torch
import torch.nn.functional as F


def fit(model, optimizer, train_loader, val_loader):
    for _ in range(10):
        model.train()
        for x, y in train_loader:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(sum(model(x).argmax(1).eq(y).sum().item() for x, y in val_loader))
```

## Fix safety
There is no fix: where `model.train()` belongs is the author's decision.

## Known problems
Only loops that train and evaluate in the same function, or through one call, are looked at.

## References
- https://pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.eval
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence, Severity
from nograd_lint.project.index import Symbol
from nograd_lint.rules._base import Finding, Note, Rule
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Forward
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL402", name="stuck-in-eval-mode", severity=Severity.WARNING, guarded=(r"\.train\(",))


def check(unit: UnitContext) -> Iterator[Finding]:
    for node, (spelled, to, site) in sorted(unit.facts.evals.items()):
        call = unit.by_ordinal.get(node)
        if to != "eval" or not isinstance(call, ir.Call) or not isinstance(call.func, ir.Attr):
            continue
        if call.func.attr not in ("eval", "train"):
            continue  # a call of a function that switches: reported there
        stuck = None
        if site.loops and site.function == unit.unit:
            stuck = _stuck(unit, node, spelled, unit)
        elif not site.loops and not _comes_back(unit, node, spelled):
            stuck = _stuck_in_caller(unit, spelled)
        if stuck is not None:
            confidence, notes = stuck
            message = f"`{spelled}` stays in eval mode, and training goes on"
            yield Finding(node, message, confidence, tuple(notes))


def _comes_back(unit: UnitContext, node: int, spelled: str) -> bool:
    """The function itself puts the model in another mode afterwards, or its caller's mode is remembered."""
    return any(
        n > node and to != "eval" and (name == spelled or spelled.startswith(f"{name}."))
        for n, (name, to, _) in unit.facts.evals.items()
    )


def _stuck(unit: UnitContext, node: int, spelled: str, where: UnitContext) -> tuple[Confidence, list[Note]] | None:
    """Whether a switch to eval mode in a loop is still on when the loop trains the model again."""
    _, _, site = unit.facts.evals[node]
    trained = _trained_before(unit, node, spelled, [loop.node for loop in site.loops])
    if trained is None:
        return None
    loop, forward = trained
    first, last = loop, unit.end_of(loop)
    for other, (name, to, _) in unit.facts.evals.items():
        same = name in (spelled, "self") or spelled.startswith(f"{name}.") or name.startswith(f"{spelled}.")
        if to != "eval" and same and first <= other <= last:
            return None
    if any(first <= n <= last and _may_switch_back(unit, n) for n in unit.facts.calls):
        return None
    before = any(to == "train" and name == spelled and n < loop for n, (name, to, _) in unit.facts.evals.items())
    notes = [unit.note("trained here, from the second time round in eval mode", forward.node)]
    if unit is not where:
        notes.insert(0, unit.note("called in a training loop", node))
    return (Confidence.HIGH if before else Confidence.MEDIUM), notes


def _trained_before(unit: UnitContext, node: int, spelled: str, loops: list[int]) -> tuple[int, Forward] | None:
    """A loop around the switch in which, before it, the model runs for a backward."""
    for loop in loops:
        for forward in unit.facts.forwards.values():
            if not loop <= forward.node < node or forward.receiver != spelled:
                continue
            if any(n >= 0 and loop <= n <= unit.end_of(loop) for n in unit.facts.sink(forward.node, "backward")):
                return loop, forward
    return None


def _may_switch_back(unit: UnitContext, call: int) -> bool:
    """A function of the project that is called in the loop and switches to train mode somewhere."""
    site = unit.facts.calls[call]
    if site.target is None:
        return site.method in ("train", "fit", "train_epoch", "train_one_epoch", "train_step", "set_train")
    file = unit.world.project.file(site.target.path)
    definition = file.units.get(site.target.name) if file is not None else None
    return file is not None and definition is not None and b".train(" in file.data[definition.start : definition.end]


def _stuck_in_caller(unit: UnitContext, spelled: str) -> tuple[Confidence, list[Note]] | None:
    root = unit.root
    if root is None or spelled not in {p.name for p in root.params} or spelled == "self":
        return None
    for path, name, site in unit.world.callers(Symbol("function", unit.path, unit.unit))[0]:
        caller = unit.other(path, name)
        if caller is None:
            continue
        switch = caller.facts.evals.get(site.node)
        if switch is not None and switch[1] == "eval" and switch[2].loops:
            stuck = _stuck(caller, site.node, switch[0], unit)
            if stuck is not None:
                return stuck
    return None
