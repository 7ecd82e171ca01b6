"""A tensor that was made in inference mode meets autograd.

## What it does
Reports outputs and modules that are made in an inference-mode block and then used, outside it, in a training step of the same
function: as a target that the loss saves, as the input of a model, or as the model itself.

## Why is this bad?
An inference tensor can't be saved for backward: `RuntimeError: Inference tensors cannot be saved for backward`, at a place far
from the one that made it. `torch.no_grad()` has no such after-effect.

## Examples
```python error
import torch
import torch.nn.functional as F


def distil_step(teacher, student, optimizer, x):
    with torch.inference_mode():
        wanted = teacher(x)  # NGL207
    loss = F.mse_loss(student(x), wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F


def distil_step(teacher, student, optimizer, x):
    with torch.no_grad():
        wanted = teacher(x)
    loss = F.mse_loss(student(x), wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```
```python ok
import torch
import torch.nn.functional as F


def distil_step(teacher, student, optimizer, x):
    with torch.inference_mode():
        wanted = teacher(x)
    loss = F.mse_loss(student(x), wanted.clone())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
```

## Fix safety
Safe: `no_grad` records nothing either.

## Known problems
Tensors that are kept in attributes and meet autograd in another function are not followed.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#inference-mode
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.analysis.values import Mode
from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Replace, Rule
from nograd_lint.rules._carry import Kind, carry, surely_off
from nograd_lint.rules._flow import reaching
from nograd_lint.rules._guards import shown
from nograd_lint.rules._work import forwards_in
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL207", name="inference-tensor-in-autograd", severity=Severity.ERROR, fixable=True)

# Losses that save their target for backward; ``l1_loss`` keeps only signs.
_SAVING = re.compile(
    r"torch\.nn\.functional\.(?:mse_loss|cross_entropy|nll_loss|kl_div|smooth_l1_loss|huber_loss|binary_cross_entropy\w*|"
    r"cosine_similarity|cosine_embedding_loss|poisson_nll_loss|gaussian_nll_loss|linear|conv\w+|embedding|bilinear)"
)
# What a layer that is given as a parameter is called.
_LAYER = re.compile(
    r"heads?\d*|fc\d*|proj\w*|layers?\d*|mlp\w*|linear\w*|classifier\w*|decoder\w*|\w*_head", re.IGNORECASE
)


def check(unit: UnitContext) -> Iterator[Finding]:
    if not unit.facts.backwards:
        return
    for guard in sorted(unit.facts.guards.values(), key=lambda g: (g.node, g.item)):
        stmt = unit.by_ordinal[guard.node]
        if guard.mode is not Mode.INFERENCE or not isinstance(stmt, ir.With):
            continue
        for assign in unit.all(ir.Assign):
            use = _meets_autograd(unit, assign, stmt) if assign.o in guard.inner else None
            if use is None or assign.value is None:
                continue
            forwards = forwards_in(unit, assign.value.o, unit.end_of(assign.value.o))
            yield Finding(
                forwards[0].node if forwards else assign.value.o,
                f"`{shown(unit.source(assign.targets[0].o))}` is an inference tensor, which can't be saved for backward",
                Confidence.HIGH if forwards else Confidence.MEDIUM,
                (
                    unit.note("meets autograd here", use),
                    unit.note("inference mode is entered here", stmt.items[guard.item].expr.o),
                ),
                (stmt.o, stmt.o),
                _fix(stmt, guard.item),
            )
            break


def _meets_autograd(unit: UnitContext, assign: ir.Assign, stmt: ir.With) -> int | None:
    """Where, outside the block, the value is saved for backward."""
    name = ir.dotted(assign.targets[0])
    if name is None or assign.value is None or not _is_inference_tensor(unit, assign.value):
        return None
    end = unit.end_of(stmt.o)
    names: tuple[ir.Name | ir.Attr, ...] = (*unit.all(ir.Name), *unit.all(ir.Attr))
    for node in names:
        if node.o <= end or ir.dotted(node) != name or surely_off(unit, node.o):
            continue
        if {d.stmt for d in reaching(unit, name, node.o).definitions} != {assign.o}:
            continue
        use = unit.parents.get(node.o)
        if isinstance(use, ir.Call) and node is not use.func and _saves(unit, use):
            return use.o
        if isinstance(use, ir.Bin) and use.op in ("*", "@", "/") and _other_is_live(unit, use, node):
            return use.o
    return None


def _is_inference_tensor(unit: UnitContext, value: ir.Expr) -> bool:
    found = carry(unit, value)
    if found.kind is Kind.OFF:
        return True
    nodes = [unit.by_ordinal[n] for n in found.cut]
    return found.kind is Kind.DETACHED and all(
        isinstance(n, ir.Call) and isinstance(n.func, ir.Attr) and n.func.attr == "detach" for n in nodes
    )


def _saves(unit: UnitContext, call: ir.Call) -> bool:
    forward = unit.facts.forwards.get(call.o)
    if forward is not None:
        return forward.tracked and not forward.frozen and "backward" in unit.facts.sinks.get(call.o, {})
    if _SAVING.fullmatch(unit.resolve(call.func) or ""):
        return any(carry(unit, a).kind is Kind.MAYBE for a in (*call.args, *(v for _, v in call.keywords)))
    name = ir.dotted(call.func)
    return unit.symbol(call.func) is None and name is not None and _LAYER.fullmatch(name.rpartition(".")[2]) is not None


def _other_is_live(unit: UnitContext, use: ir.Bin, node: ir.Node) -> bool:
    other = use.right if use.left is node else use.left
    value = unit.facts.values.get(other.o)
    return value is not None and any(
        "backward" in unit.facts.sinks.get(token, {}) for token in value.graph if token >= 0
    )


def _fix(stmt: ir.With, item: int) -> FixPlan:
    replace = Replace(stmt.items[item].expr.o, "torch.no_grad()")
    return FixPlan("Use `torch.no_grad()`", Applicability.SAFE, (replace,), "it records nothing either")
