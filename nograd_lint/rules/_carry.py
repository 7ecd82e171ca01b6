"""Whether a value may carry a graph, judged by where it comes from and by the grad mode of each step on the way.

The question is asked of one expression at a time, so the answer can rest on statements as they stand: what a name was
last assigned, in which grad mode that statement runs, which operations hand a graph on although gradients are off
(views, no-op casts). Where nothing is known of a value it may carry a graph.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.values import Mode, Val, loader_by_name, split_of, words
from nograd_lint.project.index import Symbol
from nograd_lint.rules._context import words_of
from nograd_lint.rules._flow import Definition, reaching
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nograd_lint.rules._context import UnitContext


class Kind(enum.IntEnum):
    """Ordered by what a value made of several of them is."""

    PLAIN = 0  # a number, a batch of data, nothing that was ever differentiable
    DETACHED = 1  # cut off by ``detach``, ``item``, ``data``
    OFF = 2  # computed with gradients off
    MAYBE = 3  # may carry a graph


class Carry(msgspec.Struct, frozen=True):
    """
    Attributes:
        kind: what the value is.
        made: places in this unit at which it is computed in the grad mode that the unit is entered in.
        off: places at which it is computed with gradients off.
        cut: places at which it is detached.
        sure: nothing on the way was judged by a name alone.
    """

    kind: Kind
    made: tuple[int, ...] = ()
    off: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    sure: bool = True


_MAYBE = Carry(Kind.MAYBE)
_PLAIN = Carry(Kind.PLAIN)
_DATA = ("batch", "loader", "number", "const", "optimizer")
_LABEL_WORDS = words_of("label labels target targets gt truth mask masks tgt ground")
_LOSS_WORDS = re.compile(r"loss|criterion|crit|mse|bce|cross_?entropy|nll|objective", re.IGNORECASE)
_CUTTING = frozenset(("detach", "detach_", "item", "tolist", "numpy", "argmax", "argmin", "bool", "long", "int"))
# What gives the tensor itself, a view of it, or a container's element: the graph stays.
_PASSING = words_of(
    "view view_as reshape reshape_as squeeze unsqueeze flatten unflatten t permute transpose swapaxes expand expand_as "
    "cpu cuda to float half double bfloat16 type type_as contiguous narrow select chunk split unbind movedim real imag "
    "get pop items values keys copy to_dict retain_grad refine_names rename as_strided diagonal unfold to_local append "
    "squeeze_ unsqueeze_ t_ backward wait requires_grad_"
)
_VIEWS = words_of(
    "squeeze unsqueeze reshape flatten transpose permute movedim swapaxes t view_as_real view_as_complex unbind split "
    "chunk narrow select diagonal real imag atleast_1d atleast_2d broadcast_to ravel unflatten"
)
_FACTORIES = words_of("tensor as_tensor zeros ones rand randn full empty arange linspace eye randint from_numpy")
_OPERATIONS = re.compile(r"torch(?:\.nn\.functional|\.linalg|\.fft|\.special)?\.[a-z]\w*|builtins\.(?:sum|max|min)")
_NO_OPERATION = re.compile(
    r"torch\.(?:load|save|compile|set_\w+|is_\w+|get_\w+|manual_seed|device|autocast|no_grad|\w+_mode)"
)
_ENABLES = re.compile(
    rb"enable_grad|set_grad_enabled|inference_mode\(False|autograd\.grad\(|functional\.(?:jacobian|hessian)"
)
# Libraries whose models generate under a guard.
_GENERATING = ("transformers", "peft", "optimum")
_DEEP = 24


def carry(unit: UnitContext, expr: ir.Expr, depth: int = 0) -> Carry:
    """Whether the value of an expression may carry a graph, where the expression stands."""
    memo: dict[int, Carry] = unit.__dict__.setdefault("_carry", {})
    if expr.o not in memo:
        memo[expr.o] = _MAYBE  # a loop in the flow of values
        memo[expr.o] = _carry(unit, expr, depth) if depth < _DEEP else _MAYBE
    return memo[expr.o]


def modes_at(unit: UnitContext, node: int) -> frozenset[Mode]:
    """The grad modes in which the statement of a node runs."""
    call = unit.facts.calls.get(node) or unit.facts.forwards.get(node) or unit.facts.backwards.get(node)
    if call is not None:
        return frozenset(m for m, _ in call.modes)
    return frozenset(unit.facts.stmt_modes.get(unit.parent_statement.get(node, -1), ()))


def surely_off(unit: UnitContext, node: int) -> bool:
    modes = modes_at(unit, node)
    return bool(modes) and all(m.off for m in modes)


def _join(parts: Iterable[Carry]) -> Carry:
    found = list(parts)
    if not found:
        return _PLAIN
    kind = max(part.kind for part in found)
    return Carry(
        kind,
        tuple(dict.fromkeys(n for part in found for n in part.made)),
        tuple(dict.fromkeys(n for part in found for n in part.off)),
        tuple(dict.fromkeys(n for part in found for n in part.cut)),
        all(part.sure for part in found if part.kind is kind),
    )


def _carry(unit: UnitContext, expr: ir.Expr, depth: int) -> Carry:
    value = unit.facts.values.get(expr.o)
    if value is not None and value.kind in _DATA:
        return _PLAIN
    match expr:
        case ir.Const() | ir.FStr() | ir.Slice():
            return _PLAIN
        case ir.Name():
            return _name(unit, expr, expr.id, depth)
        case ir.Attr():
            return _attribute(unit, expr, depth)
        case ir.Sub():
            return carry(unit, expr.value, depth + 1)
        case ir.Call():
            return _call(unit, expr, depth)
        case ir.Bin():
            return _operation(unit, expr, (expr.left, expr.right), depth)
        case ir.Unary():
            return _operation(unit, expr, (expr.operand,), depth)
        case ir.Compare():
            return _PLAIN
        case ir.IfExp():
            return _join((carry(unit, expr.body, depth + 1), carry(unit, expr.orelse, depth + 1)))
        case ir.Bool():
            return _join(carry(unit, v, depth + 1) for v in expr.values)
        case ir.Seq():
            return _join(carry(unit, v, depth + 1) for v in expr.items)
        case ir.Dict():
            return _join(carry(unit, v, depth + 1) for v in expr.values)
        case ir.Comp():
            return carry(unit, expr.value or expr.elt, depth + 1)
        case ir.Star() | ir.Await() | ir.Walrus():
            return carry(unit, expr.value, depth + 1)
    return _MAYBE


def _name(unit: UnitContext, expr: ir.Expr, name: str, depth: int) -> Carry:
    found = reaching(unit, name, expr.o)
    if found.entry:
        known = unit.facts.values.get(expr.o)
        if known is not None and known.symbol is not None:
            return _MAYBE
        labels = any(w in _LABEL_WORDS for w in words(name))
        if not found.definitions:
            return Carry(Kind.PLAIN, sure=False) if labels else _MAYBE
        if not labels:
            return _MAYBE
    return _join(_defined(unit, d, name, depth) for d in found.definitions)


def _defined(unit: UnitContext, definition: Definition, name: str, depth: int) -> Carry:
    value = definition.value
    if value is None:
        return _MAYBE
    if definition.kind == "other":
        return _MAYBE
    found = carry(unit, value, depth + 1)
    if definition.kind == "aug":
        if found.kind is Kind.MAYBE and not surely_off(unit, definition.stmt):
            return found
        if surely_off(unit, definition.stmt):
            return Carry(Kind.OFF, off=(definition.stmt,))
    if definition.kind == "loop" and found.kind is Kind.MAYBE and _is_data(value):
        return Carry(Kind.PLAIN, sure=False)
    if definition.kind == "unpack" and found.kind is Kind.MAYBE and any(w in _LABEL_WORDS for w in words(name)):
        return Carry(Kind.PLAIN, sure=False)
    return found


def _is_data(expr: ir.Expr) -> bool:
    """An iterable that its name says is data."""
    if isinstance(expr, ir.Call):
        return any(_is_data(arg) for arg in expr.args) or _is_data(expr.func)
    if isinstance(expr, ir.Sub):
        return _is_data(expr.value)
    name = ir.dotted(expr)
    return name is not None and (loader_by_name(name) or bool(split_of(name)))


def _attribute(unit: UnitContext, expr: ir.Attr, depth: int) -> Carry:
    if expr.attr == "data":
        return Carry(Kind.DETACHED, cut=(expr.o,))
    if expr.attr in ("shape", "device", "dtype", "ndim", "requires_grad"):
        return _PLAIN
    name = ir.dotted(expr)
    if name is not None:
        found = reaching(unit, name, expr.o)
        if found.definitions and not found.entry:
            return _name(unit, expr, name, depth)
    base = carry(unit, expr.value, depth + 1)
    return _MAYBE if base.kind is Kind.PLAIN else base


def _operation(unit: UnitContext, expr: ir.Expr, parts: Iterable[ir.Expr], depth: int) -> Carry:
    """An operation that makes a new tensor of others, and has no parameters of its own."""
    found = _join(carry(unit, part, depth + 1) for part in parts)
    if surely_off(unit, expr.o):
        return found if found.kind is Kind.PLAIN else Carry(Kind.OFF, off=(expr.o,), sure=True)
    if found.kind is Kind.MAYBE and Mode.ENTRY in modes_at(unit, expr.o):
        return msgspec.structs.replace(found, made=(*found.made, expr.o))
    return found


def _call(unit: UnitContext, expr: ir.Call, depth: int) -> Carry:
    func = expr.func
    facts = unit.facts
    name = unit.resolve(func)
    args = [*expr.args, *(v for _, v in expr.keywords)]
    off = surely_off(unit, expr.o)
    forward = facts.forwards.get(expr.o)
    if forward is not None:
        if forward.surely_off and not _may_enable(unit, expr):
            return Carry(Kind.OFF, off=(expr.o,), sure=forward.level > 1)
        return Carry(Kind.MAYBE, made=(expr.o,) if _at_entry(unit, expr.o) else ())
    if name is not None:
        return _external(unit, expr, name, args, depth, off=off)
    if isinstance(func, ir.Attr):
        if func.attr in _CUTTING:
            return Carry(Kind.DETACHED, cut=(expr.o,))
        if func.attr in _PASSING:
            return carry(unit, func.value, depth + 1)
        if func.attr == "clone":
            return _operation(unit, expr, (func.value,), depth)
        if func.attr == "scale" and expr.args:
            return carry(unit, expr.args[0], depth + 1)
    callee = _callee(unit, func)
    if callee is not None and callee.kind == "loss":
        return _operation(unit, expr, args, depth)
    if isinstance(func, ir.Name) and func.id in ("sum", "max", "min") and callee is not None and callee.symbol is None:
        return _operation(unit, expr, args, depth)
    if isinstance(func, ir.Attr) and _is_guarded_method(unit, func):
        return Carry(Kind.OFF, off=(expr.o,))
    site = facts.calls.get(expr.o)
    if site is not None and site.target is not None:
        return _project_call(unit, expr, site.target, off=off)
    last = func.attr if isinstance(func, ir.Attr) else func.id if isinstance(func, ir.Name) else ""
    if _LOSS_WORDS.search(last) and (callee is None or not callee.model):
        return msgspec.structs.replace(_operation(unit, expr, args, depth), sure=False)
    if isinstance(func, ir.Attr):
        base = carry(unit, func.value, depth + 1)
        if base.kind in (Kind.OFF, Kind.DETACHED):  # a method of a tensor without a graph
            return _operation(unit, expr, (func.value, *args), depth)
    return Carry(Kind.MAYBE, made=(expr.o,) if _at_entry(unit, expr.o) else ())


def _callee(unit: UnitContext, func: ir.Expr) -> Val | None:
    """The value that is called; for a method of the object at hand, the attribute."""
    value = unit.facts.values.get(func.o)
    if not isinstance(func, ir.Attr):
        return value
    if value is not None and value.cls is not None:
        return unit.world.attribute(value.cls, func.attr, 1)
    return None


def _is_guarded_method(unit: UnitContext, func: ir.Attr) -> bool:
    """A framework's method that switches gradients off itself: ``model.generate(...)``."""
    receiver = unit.facts.values.get(func.value.o)
    if receiver is None:
        return False
    if receiver.cls is not None and unit.world.promised(receiver.cls, func.attr) is not None:
        return True
    known = receiver.cls is None or receiver.cls.kind == "external"
    return known and receiver.model > 0 and func.attr == "generate" and unit.world.imports_any(unit.path, _GENERATING)


def _at_entry(unit: UnitContext, node: int) -> bool:
    return modes_at(unit, node) == {Mode.ENTRY}


def _external(unit: UnitContext, expr: ir.Call, name: str, args: list[ir.Expr], depth: int, *, off: bool) -> Carry:
    last = name.rpartition(".")[2]
    knowledge = unit.world.knowledge
    on = expr.keyword("requires_grad")
    if on is not None and not (isinstance(on, ir.Const) and on.value is False):
        return _MAYBE
    if name.endswith("autograd.variable.Variable") and expr.args:
        return carry(unit, expr.args[0], depth + 1)
    if knowledge.guarded(name) is not None:
        return Carry(Kind.OFF, off=(expr.o,))
    if knowledge.detached(name) is not None:
        return Carry(Kind.DETACHED, cut=(expr.o,))
    if last in _FACTORIES and name.startswith("torch."):
        cut = tuple(n for a in args for n in carry(unit, a, depth + 1).cut)
        return Carry(Kind.DETACHED if cut else Kind.PLAIN, cut=cut)
    if name.startswith("torch.") and last in _VIEWS:
        return _join(carry(unit, a, depth + 1) for a in args)
    if _OPERATIONS.fullmatch(name) and not _NO_OPERATION.fullmatch(name):
        found = _operation(unit, expr, args, depth)
        if off and found.kind is Kind.PLAIN and not name.startswith("builtins"):
            return Carry(Kind.OFF, off=(expr.o,))
        return found
    return _MAYBE


def _may_enable(unit: UnitContext, call: ir.Call) -> bool:
    """The model's own code may switch gradients on again."""
    value = unit.facts.values.get(call.func.o)
    cls = value.cls if value is not None else None
    site = unit.facts.calls.get(call.o)
    target = site.target if site is not None else None
    if target is None and cls is not None and cls.kind == "class":
        return any(_text_enables(unit, a) for a in unit.world.project.ancestors(cls) if a.kind == "class")
    return target is not None and _text_enables(unit, target)


def _text_enables(unit: UnitContext, symbol: Symbol) -> bool:
    file = unit.world.project.file(symbol.path)
    if file is None:
        return True
    definition = (file.classes if symbol.kind == "class" else file.units).get(symbol.name)
    return definition is None or _ENABLES.search(file.data, definition.start, definition.end) is not None


def _project_call(unit: UnitContext, expr: ir.Call, target: Symbol, *, off: bool) -> Carry:
    """A function of the project: its own guard, or the mode of the call."""
    summary = unit.world.summary(target, 2)
    if summary is None:
        return _MAYBE
    if summary.entry is not None and summary.entry.off and not _text_enables(unit, target):
        return Carry(Kind.OFF, off=(expr.o,))
    if off and not summary.enabled_forward and not _text_enables(unit, target) and not _hands_on(summary.returns.graph):
        return Carry(Kind.OFF, off=(expr.o,), sure=bool(summary.forward))
    return Carry(Kind.MAYBE, made=(expr.o,) if _at_entry(unit, expr.o) else ())


def _hands_on(graph: frozenset[int]) -> bool:
    """Whether what a function returns may be one of its arguments."""
    from nograd_lint.analysis.facts import OWN

    return any(t < 0 and t != OWN for t in graph)
