"""An attribute is set to freeze a module or a parameter, and has no effect.

## What it does
Reports `module.requires_grad = False` on a module, the misspelling `require_grad`, `p.requires_grad_ = False`, which replaces
the method, and `Variable(x, volatile=True)`, which has meant nothing since PyTorch 0.4.

## Why is this bad?
PyTorch takes the assignment without a word and goes on tracking and training: a module has no `requires_grad` of its own, and
a tensor no attribute of the other names.

## Examples
```python error
import torch


def freeze(path):
    model = torch.load(path)
    model.requires_grad = False  # NGL404
    return model
```
```python fixed
import torch


def freeze(path):
    model = torch.load(path)
    model.requires_grad_(False)
    return model
```
```python error
import torch


def freeze(path):
    model = torch.load(path)
    for parameter in model.parameters():
        parameter.require_grad = False  # NGL404
    return model
```
```python fixed
import torch


def freeze(path):
    model = torch.load(path)
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model
```
```python ok
import torch


def freeze(path):
    model = torch.load(path)
    model.requires_grad_(False)
    for parameter in model.head.parameters():
        parameter.requires_grad = True
    return model
```

## Fix safety
Unsafe: what was meant to be frozen is frozen then, and training changes.

## Known problems
A module with a `requires_grad` property of its own, defined in another library, is reported.

## References
- https://pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.requires_grad_
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Applicability, Confidence, Severity
from nograd_lint.rules._base import Finding, FixPlan, Replace, Rule
from nograd_lint.rules._flow import conditions, reaching
from nograd_lint.rules._guards import shown
from nograd_lint.rules._models import how_sure
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(
    code="NGL404",
    name="freeze-without-effect",
    severity=Severity.ERROR,
    fixable=True,
    guarded=(
        r"\.grad\w*[ \t]*=",
        r"\.require\w*grad\w*[ \t]*=",
    ),
)

_MISSPELT = frozenset(("require_grad", "require_grads", "requires_grads", "required_grad", "require_gradient"))
_TENSORS = ("is_tensor", "Tensor", "Parameter")
_OWN = re.compile(r"self|cls|args|opts?|cfg|conf|config|hparams|params|options|FLAGS")


def check(unit: UnitContext) -> Iterator[Finding]:
    for stmt in unit.all(ir.Assign):
        for target in stmt.targets:
            if isinstance(target, ir.Attr) and isinstance(stmt.value, (ir.Const, ir.Name, ir.Attr, ir.Unary)):
                yield from _assigned(unit, stmt, target)
    for call in unit.all(ir.Call):
        volatile = call.keyword("volatile")
        if isinstance(volatile, ir.Const) and volatile.value is True and _is_variable(unit, call):
            message = "`volatile=True` has no effect since PyTorch 0.4: gradient tracking stays on"
            yield Finding(call.o, message, Confidence.HIGH)


def _is_variable(unit: UnitContext, call: ir.Call) -> bool:
    name = unit.resolve(call.func) or ir.dotted(call.func) or ""
    return name.rpartition(".")[2] == "Variable" and (name.startswith("torch.") or "." not in name)


def _assigned(unit: UnitContext, stmt: ir.Assign, target: ir.Attr) -> Iterator[Finding]:
    owner = target.value
    if target.attr == "requires_grad_":
        yield _finding(unit, stmt, target, "`{}` replaces a method and freezes nothing", Confidence.HIGH)
    elif target.attr in _MISSPELT and not _OWN.fullmatch((ir.dotted(owner) or "").rpartition(".")[2]):
        if not _reads(unit, target.attr):
            sure = Confidence.HIGH if _is_parameter(unit, owner) else Confidence.MEDIUM
            yield _finding(unit, stmt, target, "`{}` has no effect: the attribute is called `requires_grad`", sure)
    elif target.attr == "requires_grad" and ir.dotted(owner) != "self" and not _is_parameter(unit, owner):
        confidence = how_sure(unit, owner)
        if confidence is not None and not _own_attribute(unit, owner) and not _is_tested(unit, stmt):
            message = "`{}` has no effect: a module has no `requires_grad`, only its parameters have"
            yield _finding(unit, stmt, target, message, confidence)


def _finding(unit: UnitContext, stmt: ir.Assign, target: ir.Attr, message: str, confidence: Confidence) -> Finding:
    owner = unit.source(target.value.o)
    assert stmt.value is not None
    value = unit.source(stmt.value.o)
    text = f"{owner}.requires_grad = {value}" if target.attr in _MISSPELT else f"{owner}.requires_grad_({value})"
    fix = None
    if len(stmt.targets) == 1 and stmt.annotation is None:
        reason = "what was meant to be frozen is frozen then"
        fix = FixPlan("Set what was meant", Applicability.UNSAFE, (Replace(stmt.o, text),), reason)
    return Finding(stmt.o, message.replace("{}", shown(unit.source(stmt.o))), confidence, fix=fix)


def _is_parameter(unit: UnitContext, expr: ir.Expr) -> bool:
    """A parameter, by the loop that gives it."""
    value = unit.facts.values.get(expr.o)
    if value is not None and (
        value.kind in ("param", "leaf") or (value.kind == "tensor" and not isinstance(expr, ir.Sub))
    ):
        return True
    name = ir.dotted(expr)
    if name is None or "." in name:
        return False
    return any(
        isinstance(node, ir.Attr) and node.attr in ("parameters", "named_parameters")
        for definition in reaching(unit, name, expr.o).definitions
        if definition.value is not None
        for node in ir.walk(definition.value)
    )


def _reads(unit: UnitContext, attribute: str) -> bool:
    """The file reads the attribute, so that it is one of its own making."""
    file = unit.world.project.file(unit.path)
    pattern = rb"\.%s\b(?![ \t]*=[^=])" % attribute.encode()
    return file is not None and re.search(pattern, file.data) is not None


def _is_tested(unit: UnitContext, stmt: ir.Assign) -> bool:
    """The code has asked whether it is a tensor."""
    return any(
        isinstance(node, (ir.Name, ir.Attr)) and (ir.dotted(node) or "").rpartition(".")[2] in _TENSORS
        for outer, _ in conditions(unit, stmt.o)
        for node in ir.walk(outer.test)
    )


def _own_attribute(unit: UnitContext, expr: ir.Expr) -> bool:
    """The module's class, in this project, does something with the attribute."""
    value = unit.facts.values.get(expr.o)
    if value is None or value.cls is None or value.cls.kind != "class":
        return False
    for cls in unit.world.project.ancestors(value.cls):
        file = unit.world.project.file(cls.path) if cls.kind == "class" else None
        if file is not None and cls.name in file.classes:
            definition = file.classes[cls.name]
            if re.search(rb"def requires_grad\b|self\.requires_grad\b", file.data[definition.start : definition.end]):
                return True
    return False
