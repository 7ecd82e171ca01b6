"""`torch.no_grad()` guards inference of which nothing but numbers leaves.

## What it does
Reports `no_grad` on functions and blocks whose results are all plain Python values: what `.item()`, `.tolist()`, `float()`
and the like give. No tensor leaves the guard, so that `torch.inference_mode()` would do.

## Why is this bad?
It is not: `inference_mode` skips some more bookkeeping and is slightly faster for small models.

## Examples
```python error
import torch


@torch.no_grad()  # NGL501
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()
```
```python fixed
import torch


@torch.inference_mode()
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()
```
```python ok
import torch


@torch.no_grad()
def embed(model, x):
    model.eval()
    return model(x)
```

## Fix safety
Unsafe: caches that the model keeps, and code that FSDP and other wrappers run, may not survive inference mode.

## Known problems
What the model itself keeps from the forward, such as a cache, is not seen.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#inference-mode
- https://github.com/huggingface/pytorch-image-models/pull/2534
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Replace, Rule
from nograd_lint.rules._flow import reaching
from nograd_lint.rules._guards import decorators
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL501", name="prefer-inference-mode", severity=Severity.INFO, default=False, fixable=True)

_NUMBER_METHODS = frozenset(("item", "tolist", "numpy", "size", "numel", "dim"))
_NUMBER_FUNCTIONS = frozenset(("float", "int", "len", "str", "bool", "round", "range", "format"))
_STORING = frozenset(("append", "extend", "update", "add", "put", "insert", "setdefault", "save", "register_buffer"))


def check(unit: UnitContext) -> Iterator[Finding]:
    root = unit.root
    if root is None or root.is_async or root.is_generator or not unit.facts.forwards:
        return
    for decorator in decorators(unit, root):
        if (
            decorator.name != "torch.no_grad"
            or not isinstance(decorator.expr, ir.Call)
            or not _only_numbers(unit, root)
        ):
            continue
        fix = FixPlan(
            "Use inference mode",
            Applicability.UNSAFE,
            (Replace(decorator.expr.o, "torch.inference_mode()"),),
            "what the model itself keeps from the forward is not seen",
        )
        message = f"no tensor leaves `{root.name}`: `torch.inference_mode()` would do"
        yield Finding(decorator.expr.o, message, Confidence.MEDIUM, region=(root.o, root.o), fix=fix)


def _only_numbers(unit: UnitContext, root: ir.Def) -> bool:
    """Nothing but numbers is returned, and nothing is stored where it outlives the function."""
    params = {p.name for p in root.params}
    for node in ir.walk(root.body):
        if isinstance(node, (ir.Assign, ir.Aug)):
            targets = node.targets if isinstance(node, ir.Assign) else (node.target,)
            if any(isinstance(n, (ir.Attr, ir.Sub)) and not _is_local(n, params) for t in targets for n in ir.walk(t)):
                return False
        elif isinstance(node, ir.Call) and isinstance(node.func, ir.Attr) and node.func.attr in _STORING:
            if not _is_local(node.func.value, params):
                return False
        elif isinstance(node, (ir.ScopeStmt, ir.Yield)):
            return False
    returned = [node.value for node in unit.all(ir.Return) if node.value is not None]
    return bool(returned) and all(_is_number(unit, value, 0) for value in returned)


def _is_local(expr: ir.Expr, params: set[str]) -> bool:
    while isinstance(expr, (ir.Attr, ir.Sub)):
        expr = expr.value
    return isinstance(expr, ir.Name) and expr.id not in params


def _is_number(unit: UnitContext, expr: ir.Expr, depth: int) -> bool:
    """A value that is no tensor, for sure."""
    match expr:
        case ir.Const() | ir.FStr():
            return True
        case ir.Call(func=ir.Attr(attr=attr)):
            return attr in _NUMBER_METHODS
        case ir.Call(func=ir.Name(id=name)):
            return name in _NUMBER_FUNCTIONS or (name in ("sum", "max", "min") and _all(unit, expr.args, depth))
        case ir.Bin():
            return _all(unit, (expr.left, expr.right), depth)
        case ir.Seq():
            return _all(unit, expr.items, depth)
        case ir.Comp():
            return expr.value is None and _is_number(unit, expr.elt, depth + 1)
        case ir.Name():
            found = reaching(unit, expr.id, expr.o)
            known = bool(found.definitions) and not found.entry and depth < 8 and not _is_filled(unit, expr.id)
            return known and all(
                d.kind in ("assign", "aug") and d.value is not None and _is_number(unit, d.value, depth + 1)
                for d in found.definitions
            )
    return False


def _is_filled(unit: UnitContext, name: str) -> bool:
    """Something is put into the container later on."""
    for call in unit.all(ir.Call):
        if isinstance(call.func, ir.Attr) and call.func.attr in _STORING and ir.dotted(call.func.value) == name:
            return not _all(unit, call.args, 1)
    targets = [t for a in unit.all(ir.Assign) for t in a.targets]
    return any(isinstance(t, ir.Sub) and ir.dotted(t.value) == name for t in targets)


def _all(unit: UnitContext, exprs: tuple[ir.Expr, ...], depth: int) -> bool:
    return all(_is_number(unit, e, depth + 1) for e in exprs)
