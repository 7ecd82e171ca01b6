"""Which statements do tensor work, and which only get something ready for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nograd_lint.analysis.facts import Forward
from nograd_lint.analysis.values import model_by_name
from nograd_lint.rules._context import GUARDS, words_of
from nograd_lint.rules._deferred import is_lazy
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

_OPERATION = re.compile(r"torch(?:\.nn\.functional|\.linalg|\.fft|\.special)?\.[a-z]\w*")
# Functions of torch that make, load or move tensors, or change a setting: nothing of it needs a guard.
_SETTING = re.compile(
    r"torch\.(?:load|save|device|set_\w+|get_\w+|is_\w+|manual_seed|seed|compile|autocast|tensor|as_tensor|from_numpy|"
    r"zeros|ones|rand\w*|full|empty|arange|linspace|eye|Size|dtype|Generator|jit|hub|cuda|backends|distributed|"
    r"zeros_like|ones_like|rand_like|randn_like|empty_like|no_grad|inference_mode|enable_grad|set_grad_enabled)"
)


# Methods that hardly anything but tensors has.
_TENSOR_METHODS = words_of(
    "sigmoid softmax log_softmax argmax topk masked_fill backward matmul squeeze unsqueeze detach"
)


def forwards_in(unit: UnitContext, first: int, last: int) -> list[Forward]:
    """The forwards between two ordinals, in order."""
    return [f for node, f in sorted(unit.facts.forwards.items()) if first <= node <= last]


def tensor_work(unit: UnitContext, first: int, last: int) -> list[int]:
    """Calls between two ordinals that compute something from tensors."""
    found = []
    for call in unit.all(ir.Call):
        if first <= call.o <= last:
            name = unit.resolve(call.func)
            if name is None:
                works = isinstance(call.func, ir.Attr) and call.func.attr in _TENSOR_METHODS
            else:
                works = name not in GUARDS and bool(_OPERATION.fullmatch(name)) and not _SETTING.fullmatch(name)
            if works:
                found.append(call.o)
    return sorted(found)


def run_of(unit: UnitContext, nodes: list[int]) -> tuple[int, int] | None:
    """First and last of the smallest run of sibling statements that holds all nodes."""
    chains = [_statements_around(unit, node) for node in nodes]
    for depth in range(min(len(chain) for chain in chains) - 1, -1, -1):
        level = [chain[depth] for chain in chains]
        block, _ = unit.place[level[0]]
        if all(unit.place[stmt][0] is block for stmt in level):
            return min(level), max(level)
    return None


def _statements_around(unit: UnitContext, node: int) -> list[int]:
    """The statements around a node, outermost first."""
    chain = []
    current: int | None = unit.parent_statement[node]
    while current is not None:
        if current in unit.place:
            chain.append(current)
        parent = unit.parents.get(current)
        current = unit.parent_statement[parent.o] if parent is not None else None
    return chain[::-1]


# Methods that get a model or an input ready, and functions that load or print.
_PREPARING_METHODS = words_of(
    "eval train to cuda cpu float half double bfloat16 long int type requires_grad_ load_state_dict unsqueeze squeeze "
    "contiguous pin_memory permute transpose view reshape items keys values get append size dim copy parameters "
    "named_parameters state_dict from_pretrained from_checkpoint load format join info debug warning split strip"
)
_PREPARING = re.compile(
    r"torch\.(?:load|device|from_numpy|tensor|as_tensor|jit\.load|hub\.load|manual_seed|zeros|ones|rand|randn|stack|cat|"
    r"set_default_\w+|cuda\.\w+|backends\.\w+)|numpy\.\w+|PIL\.[\w.]+|cv2\.\w+|os\.[\w.]+|json\.\w+|time\.\w+|pathlib\.\w+"
)
_PREPARING_NAMES = frozenset(
    ("print", "len", "str", "int", "float", "list", "tuple", "dict", "open", "range", "isinstance")
)


def only_prepares(unit: UnitContext, body: tuple[ir.Stmt, ...]) -> bool:
    """The statements load, move and announce things, and compute nothing from parameters."""
    first, last = body[0].o, unit.end_of(body[-1].o)
    work = (ir.Bin, ir.Aug, ir.Yield, ir.Await)
    if any(isinstance(node, work) for node in ir.walk(body)):
        return False
    calls = [c for c in unit.all(ir.Call) if first <= c.o <= last]
    return bool(calls) and all(_prepares(unit, call) for call in calls)


def _prepares(unit: UnitContext, call: ir.Call) -> bool:
    name = unit.resolve(call.func)
    if name is not None:
        return (
            _PREPARING.fullmatch(name) is not None
            or unit.world.knowledge.model_factory(name) is not None
            or unit.world.knowledge.is_module_class(name)
        )
    if isinstance(call.func, ir.Name):
        symbol = unit.symbol(call.func)
        if symbol is not None and symbol.kind == "class":
            return unit.world.is_module(symbol)
        return symbol is None and call.func.id in _PREPARING_NAMES and call.func.id not in unit.facts.env
    return isinstance(call.func, ir.Attr) and call.func.attr in _PREPARING_METHODS


def works_on(unit: UnitContext, body: tuple[ir.Stmt, ...], outputs: frozenset[int]) -> bool:
    """The statements take up the outputs of some forwards that ran before, with their graph, and run no model."""
    first, last = body[0].o, unit.end_of(body[-1].o)
    outputs = frozenset(o for o in outputs if not any(is_lazy(outer) for outer in unit.ancestors(o)))
    if not outputs or min(outputs) > last:
        return False
    if any(first <= call.o <= last and _may_run_model(unit, call) for call in unit.all(ir.Call)):
        return False
    values = unit.facts.values
    return any(
        first <= name.o <= last
        and (value := values.get(name.o)) is not None
        and not value.model
        and value.graph & outputs
        for name in unit.all(ir.Name)
    )


def _may_run_model(unit: UnitContext, call: ir.Call) -> bool:
    """Something on the way to what is called is a model, or is called like one."""
    expr: ir.Expr = call.func
    while isinstance(expr, (ir.Attr, ir.Sub)):
        expr = expr.value
        value = unit.facts.values.get(expr.o)
        if value is not None and value.model and value.kind != "self":
            return True
        if isinstance(expr, ir.Attr) and model_by_name(expr.attr):
            return True
    return False
