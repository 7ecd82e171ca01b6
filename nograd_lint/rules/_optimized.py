"""Which modules an optimizer trains, and which classes freeze themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nograd_lint.project.index import Symbol
from nograd_lint.rules._base import Note
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nograd_lint.analysis.values import Val
    from nograd_lint.rules._context import UnitContext

_FREEZES = re.compile(
    rb"requires_grad_\(\s*(?:requires_grad\s*=\s*)?False|requires_grad\s*=\s*False|\.freeze\w*\(|"
    rb"def (?:_?freeze|train)\b"
)
_LAYERS = re.compile(
    rb"\bParameter\(|nn\.(?:Linear|Conv|Embedding|\w*Norm|LSTM|GRU|RNN|MultiheadAttention|Transformer|Bilinear)"
)
_NOT_MADE_HERE = rb"(?:from_pretrained|hub\.load|torch\.load|deepcopy|pretrained)"
_BUILDS_OPTIMIZER = re.compile(rb"parameters\(")
_MOST_FILES = 24
_FLAGS = ("requires_grad", "trainable", "learnable", "freeze", "frozen", "finetune", "fine_tune", "tune", "unfreeze")


def class_text(unit: UnitContext, cls: Symbol) -> bytes:
    file = unit.world.project.file(cls.path) if cls.kind == "class" else None
    definition = file.classes.get(cls.name) if file is not None else None
    return b"" if file is None or definition is None else file.data[definition.start : definition.end]


def freezes(unit: UnitContext, cls: Symbol) -> bool:
    """The class, or one that it inherits from, freezes something or keeps a part of it in eval mode."""
    return any(_freezes_here(unit, a) for a in unit.world.project.ancestors(cls) if a.kind == "class")


def _freezes_here(unit: UnitContext, cls: Symbol) -> bool:
    def find() -> bool:
        return _FREEZES.search(class_text(unit, cls)) is not None

    return unit.world.memo(("freezes", cls.path, cls.name), find, False)


def owns_parameters(unit: UnitContext, cls: Symbol) -> bool:
    """The class makes layers or parameters of its own."""
    text = class_text(unit, cls)
    if _LAYERS.search(text):
        return True
    parts = {m[1].decode() for m in re.finditer(rb"self\.(\w+)[ \t]*=", text)}
    return any(is_trainable(unit, cls, part) for part in sorted(parts))


def is_trainable(unit: UnitContext, cls: Symbol, attribute: str) -> bool:
    """``self.attribute`` is a module with parameters that nothing freezes."""
    value = unit.world.attribute(cls, attribute, 1)
    if value is None or value.model < 2 or value.frozen:
        return False
    if value.cls is None:
        return value.model == 3
    if value.cls.kind == "external":
        return not unit.world.is_parameterless(value.cls.name)
    return not unit.world.parameterless(value.cls) and not freezes(unit, value.cls)


def loaded_or_copied(unit: UnitContext, cls: Symbol, attribute: str) -> bool:
    """``self.attribute`` is a pretrained model, or a copy that follows another one."""
    pattern = rb"self\.%s\b[^=\n]*=[^=][^\n]*%s" % (attribute.encode(), _NOT_MADE_HERE)
    return re.search(pattern, class_text(unit, cls)) is not None


# --- who says that it can be trained ----------------------------------------------------------------------------------


_ANY_MODEL = frozenset(("model", "module", "net", "network"))


def unfrozen_elsewhere(unit: UnitContext, attribute: str) -> Note | None:
    """Code of the project that makes the parameters of something of this name require gradients again.

    Any model is called ``model``: such a name says something in the same file only.
    """
    only = unit.path if attribute in _ANY_MODEL else ""
    return unit.world.memo(("unfrozen", attribute, only), lambda: _find_unfrozen(unit, attribute), None)


def _find_unfrozen(unit: UnitContext, attribute: str) -> Note | None:
    name = re.escape(attribute.encode())
    pattern = re.compile(
        rb"\b%s\.requires_grad_\(\s*(?:True)?\s*\)|"
        rb"\bin [\w.()]*\b%s\.(?:named_)?parameters\(\):(?:(?!\n\S)[\s\S]){0,800}?\.requires_grad = True" % (name, name)
    )
    project = unit.world.project
    calling = ("requires_grad_", "parameters", "named_parameters")
    for path in sorted({path for called in calling for path in project.files_calling(called)}):
        file = project.file(path)
        if file is None or not file.mentions(attribute) or (attribute in _ANY_MODEL and path != unit.path):
            continue
        match = pattern.search(file.data)
        if match is None:
            continue
        for other, definition in file.units.items():
            context = unit.other(path, other) if definition.start <= match.start() < definition.end else None
            if context is not None and context.root is not None:
                return context.note(f"makes the parameters of `{attribute}` trainable", context.root.o)
    return None


def trainable_by_flag(unit: UnitContext, cls: Symbol) -> Note | None:
    """The constructor has a parameter that says whether the module is trained."""
    method = unit.world.project.method(cls, "__init__")
    other = unit.other(method.path, method.name) if method is not None else None
    root = other.root if other is not None else None
    if other is None or root is None or not any(param.name in _FLAGS for param in root.params):
        return None
    used = any(name.id in _FLAGS for name in other.all(ir.Name))
    return other.note("can be made trainable when it is built", root.o) if used else None


# --- optimizers -------------------------------------------------------------------------------------------------------


def optimizers(unit: UnitContext) -> Iterator[tuple[ir.Call, ir.Expr]]:
    """Optimizers that the unit makes, with each model whose ``parameters()`` they get."""
    for call in unit.all(ir.Call):
        name = unit.resolve(call.func)
        symbol = unit.symbol(call.func) if name is None else None
        known = name is not None and unit.world.knowledge.is_optimizer(name)
        if not known and not (symbol is not None and symbol.kind == "class" and unit.world.is_a(symbol, "optimizer")):
            continue
        for node in ir.walk((*call.args, *(v for _, v in call.keywords))):
            if isinstance(node, ir.Call) and isinstance(node.func, ir.Attr):
                if node.func.attr in ("parameters", "named_parameters"):
                    yield call, node.func.value


def trained_by(unit: UnitContext, cls: Symbol, attribute: str | None) -> Note | None:
    """An optimizer of the project that gets the parameters of an instance of the class, with those of an attribute."""
    holders = {cls, *_holders(unit, cls)}
    for path in _files_about(unit, holders):
        file = unit.world.project.file(path)
        if file is None:
            continue
        for name, definition in file.units.items():
            if not _BUILDS_OPTIMIZER.search(file.data, definition.start, definition.end):
                continue
            other = unit.other(path, name)
            for call, model in optimizers(other) if other is not None else ():
                if other is not None and _may_be(other, model, holders, attribute):
                    return other.note("its parameters are given to an optimizer", call.o)
    return None


def _may_be(unit: UnitContext, model: ir.Expr, holders: set[Symbol], attribute: str | None) -> bool:
    value: Val | None = unit.facts.values.get(model.o)
    cls = value.cls if value is not None else None
    if isinstance(model, ir.Attr) and ir.dotted(model.value) != "self":
        return attribute is not None and model.attr == attribute
    if cls is None or cls.kind == "external":
        return cls is None or cls.name in ("torch.nn.Module", "torch.nn.modules.module.Module")
    family = set(unit.world.project.ancestors(cls))
    return bool(family & holders) or any(cls in unit.world.project.ancestors(holder) for holder in holders)


def _holders(unit: UnitContext, cls: Symbol) -> set[Symbol]:
    """Module classes that make an instance of the class for an attribute of theirs."""
    return {holder for holder, _ in holding(unit, cls)}


def holding(unit: UnitContext, cls: Symbol) -> list[tuple[Symbol, str]]:
    """Module classes with an attribute that is an instance of the class."""
    short = cls.name.rpartition(".")[2]
    pattern = re.compile(rb"self\.(\w+)[ \t]*=[^=\n]*\b%s\(" % short.encode())
    found = []
    for path in unit.world.project.files_calling(short)[:_MOST_FILES]:
        file = unit.world.project.file(path)
        for name, definition in sorted(file.classes.items()) if file is not None else ():
            holder = Symbol("class", path, name)
            match = pattern.search(file.data, definition.start, definition.end) if file is not None else None
            if match is not None and holder != cls and unit.world.is_module(holder):
                found.append((holder, match[1].decode()))
    return found


def _files_about(unit: UnitContext, classes: set[Symbol]) -> list[str]:
    found = {unit.path: None}
    for cls in sorted(classes):
        for path in unit.world.project.files_calling(cls.name.rpartition(".")[2])[:_MOST_FILES]:
            found[path] = None
    return list(found)
