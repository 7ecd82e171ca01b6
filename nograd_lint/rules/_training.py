"""The questions behind NGL201, NGL202 and NGL205: is this a step of training, and did its loss lose its graph?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.facts import Backward
from nograd_lint.analysis.values import Mode
from nograd_lint.diagnostics import Applicability
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.rules._base import Action, FixPlan, RemoveDecorator, Unwrap
from nograd_lint.rules._carry import Carry, Kind, carry
from nograd_lint.rules._flow import conditions, reaching
from nograd_lint.rules._guards import decorators
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nograd_lint.project.summaries import World
    from nograd_lint.rules._context import UnitContext

_ENGINES = re.compile(r"accelerator|engine|fabric|booster|^self$|strategy|manager", re.IGNORECASE)
_GRAPH_TEST = frozenset(("requires_grad", "grad_fn", "is_grad_enabled"))
_RAISES = re.compile(r"raises|assertRaises\w*|suppress|assert_raises\w*")
_FLAG = re.compile(r"train|grad|optim|backward|phase|mode|eval|update|learn|is_test|split|stage", re.IGNORECASE)
_LOSS = re.compile(r"loss|criterion", re.IGNORECASE)
_DEPTH = 4


def trains_between(unit: UnitContext, first: int, last: int) -> bool:
    """A backward or an optimizer's step lies between two ordinals."""
    facts = unit.facts
    nodes = (*(abs(n + 1) if n < 0 else n for n in facts.backwards), *facts.steps)
    return any(first <= node <= last for node in nodes)


def expects_error(unit: UnitContext, node: int) -> bool:
    """The code wants, or at least survives, the error: ``pytest.raises``, ``try``/``except``."""
    for outer in unit.ancestors(node):
        if isinstance(outer, ir.With):
            for item in outer.items:
                if isinstance(item.expr, ir.Call) and _RAISES.fullmatch(_last(item.expr.func)):
                    return True
        elif isinstance(outer, ir.Try) and outer.handlers and outer.body:
            if outer.body[0].o <= node <= unit.end_of(outer.body[-1].o):
                return True
    return False


def _last(expr: ir.Expr) -> str:
    if isinstance(expr, ir.Attr):
        return expr.attr
    return expr.id if isinstance(expr, ir.Name) else ""


def asks_for_graph(unit: UnitContext, node: int) -> bool:
    """The node is reached only where a test found a graph, or gradients on."""
    return any(_mentions(outer.test, _GRAPH_TEST) for outer, _ in conditions(unit, node))


def _mentions(test: ir.Expr, names: frozenset[str]) -> bool:
    for node in ir.walk(test):
        if isinstance(node, ir.Attr) and node.attr in names:
            return True
        if isinstance(node, ir.Name) and node.id in names:
            return True
    return False


# --- what backward walks ----------------------------------------------------------------------------------------------


def differentiated(unit: UnitContext, backward: Backward) -> ir.Expr | None:
    """The expression whose graph a backward walks, None where that is not to be seen."""
    call = unit.by_ordinal.get(backward.node)
    if not isinstance(call, ir.Call) or backward.what == "inside":
        return None
    func = call.func
    name = unit.resolve(func)
    if name in ("torch.autograd.grad", "torch.autograd.backward"):
        return call.args[0] if call.args else call.keyword("outputs") or call.keyword("tensors")
    if isinstance(func, ir.Attr) and func.attr == "backward" and name is None:
        spelled = _last(func.value)
        if call.args and (_ENGINES.search(spelled) or _is_model(unit, func.value)):
            return call.args[0]
        return func.value
    if isinstance(func, ir.Attr) and func.attr == "manual_backward" and call.args:
        return call.args[0]
    return _handed_to_helper(unit, call)


def _is_model(unit: UnitContext, expr: ir.Expr) -> bool:
    value = unit.facts.values.get(expr.o)
    return value is not None and value.model > 0 and not value.graph


def _handed_to_helper(unit: UnitContext, call: ir.Call) -> ir.Expr | None:
    """The argument on which a function of the project calls backward."""
    site = unit.facts.calls.get(call.o)
    if site is None or site.target is None:
        return None
    summary = unit.world.summary(site.target, 2)
    if summary is None or len(summary.backward_params) != 1:
        return None
    (index,) = summary.backward_params
    if index in summary.graph_of_its_own:
        return None
    params = unit.world.parameters(site.target)
    if index >= len(params):
        return None
    name = params[index][0]
    given = call.keyword(name)
    bound = len(site.args) - len(call.args)  # 1 where the receiver is the first argument
    if given is None and 0 <= index - bound < len(call.args):
        given = call.args[index - bound]
    return given


class Lost(msgspec.Struct, frozen=True):
    """A backward on a value that has no graph."""

    backward: Backward
    value: ir.Expr
    carry: Carry


def lost(unit: UnitContext) -> list[Lost]:
    """Every backward of the unit on a value that was computed with gradients off."""
    memo: list[Lost] | None = unit.__dict__.get("_lost")
    if memo is None:
        memo = unit.__dict__["_lost"] = list(_find_lost(unit))
    return memo


def _find_lost(unit: UnitContext) -> list[Lost]:
    if not _any_off(unit):
        return []
    result = []
    for node, backward in sorted(unit.facts.backwards.items()):
        if node < 0:
            continue
        value = differentiated(unit, backward)
        if value is None or expects_error(unit, node) or asks_for_graph(unit, node):
            continue
        found = carry(unit, value)
        if found.kind is Kind.OFF:
            result.append(Lost(backward, value, found))
    return result


def _any_off(unit: UnitContext) -> bool:
    return any(m.off for modes in unit.facts.stmt_modes.values() for m in modes)


# --- what a function trains, entered as it is -------------------------------------------------------------------------


class Step(msgspec.Struct, frozen=True):
    """A place on the way to a step of training: in which unit, which node, and what happens there."""

    path: str
    unit: str
    node: int
    text: str


def trains(world: World, symbol: Symbol, depth: int = _DEPTH) -> tuple[Step, ...]:
    """The way to a backward that a function always takes in the grad mode that it is entered in, if there is one.

    Counted is only a backward on a loss that is computed in that grad mode too, and that no flag can switch off.
    """
    nothing: tuple[Step, ...] = ()
    return world.memo(("trains", *symbol.key, depth), lambda: _trains(world, symbol, depth), nothing)


def _trains(world: World, symbol: Symbol, depth: int) -> tuple[Step, ...]:
    from nograd_lint.rules._context import UnitContext

    if depth <= 0 or symbol.kind != "function":
        return ()
    summary = world.summary(symbol, 2)
    if summary is None or not (summary.trains or summary.backward):
        return ()
    facts = world.facts(symbol.path, symbol.name)
    if facts is None or facts.entry is not None:
        return ()
    hook = facts.hook
    if hook is not None and Mode(hook.mode) is Mode.ENABLED:
        return ()
    unit = UnitContext(world, facts)
    for node, backward in sorted(facts.backwards.items()):
        if node < 0 or {m for m, _ in backward.modes} != {Mode.ENTRY} or not always(unit, node):
            continue
        value = differentiated(unit, backward)
        if value is not None and (found := carry(unit, value)).kind is Kind.MAYBE and found.made:
            spelled = "backward" if backward.what == "backward" else backward.what
            return (Step(symbol.path, symbol.name, node, f"`{_short(symbol)}` calls `{spelled}` on what it computes"),)
    for node, site in sorted(facts.calls.items()):
        if site.target is None or site.target == symbol or {m for m, _ in site.modes} != {Mode.ENTRY}:
            continue
        if not always(unit, node):
            continue
        rest = trains(world, site.target, depth - 1)
        if rest:
            return (Step(symbol.path, symbol.name, node, f"`{_short(symbol)}` calls `{_short(site.target)}`"), *rest)
    return ()


def _short(symbol: Symbol) -> str:
    return symbol.name.partition("#")[0] if symbol.name != MODULE else "the script"


def always(unit: UnitContext, node: int) -> bool:
    """No flag decides whether a node is reached: neither an ``if`` around it nor an early return before it."""
    if unit.enclosing.get(node) != unit.unit:
        return False  # in a nested function, that somebody may or may not call
    for outer, in_body in conditions(unit, node):
        other = outer.orelse if in_body else outer.body
        if _mentions(outer.test, _GRAPH_TEST):
            return False
        if not any(isinstance(n, ir.Call) and _last(n.func) in ("backward", "step") for n in ir.walk(other)):
            if _is_flag(outer.test):
                return False
    current = unit.parent_statement.get(node)
    while current is not None and current in unit.place:
        block, index = unit.place[current]
        for stmt in block[:index]:
            if isinstance(stmt, ir.If) and _leaves(stmt) and _is_flag(stmt.test):
                return False
        parent = unit.parents.get(current)
        current = parent.o if parent is not None and not isinstance(parent, ir.Def) else None
    return not expects_error(unit, node)


def _is_flag(test: ir.Expr) -> bool:
    """A test on something that the caller or the object decides; one on values at hand is none."""
    for node in ir.walk(test):
        if isinstance(node, ir.Attr) and (_FLAG.search(node.attr) or ir.dotted(node.value) == "self"):
            return True
        if isinstance(node, ir.Name) and _FLAG.search(node.id):
            return True
    return not any(isinstance(node, ir.Call | ir.Bin | ir.Compare) for node in ir.walk(test))


def _leaves(stmt: ir.If) -> bool:
    return any(isinstance(s, ir.Return) for s in (*stmt.body, *stmt.orelse))


# --- leaves that hide the error ---------------------------------------------------------------------------------------


class Hidden(msgspec.Struct, frozen=True):
    """A statement that makes a leaf of a loss, and the backward (or the return) that meets the leaf.

    ``rebinds``: the statement gives the name a new value. ``carry`` is that of the value before.
    """

    stmt: ir.Stmt
    end: int
    carry: Carry
    rebinds: bool
    returned: bool = False


class _Leaf(msgspec.Struct, frozen=True):
    stmt: ir.Stmt
    value: ir.Expr  # what the leaf is made of
    copies: bool  # it is a leaf even where the value has a graph


def hidden(unit: UnitContext) -> list[Hidden]:
    """Every backward of the unit that ends at a leaf made of its loss, and every such leaf that is returned."""
    memo: list[Hidden] | None = unit.__dict__.get("_hidden")
    if memo is None:
        memo = unit.__dict__["_hidden"] = list(_find_hidden(unit))
    return memo


def _find_hidden(unit: UnitContext) -> Iterator[Hidden]:
    statements: tuple[ir.Stmt, ...] = (*unit.all(ir.Assign), *unit.all(ir.ExprStmt))
    switched = [(stmt, target) for stmt in statements if (target := _switched_on(stmt)) is not None]
    made = {stmt.o: leaf for stmt in unit.all(ir.Assign) if (leaf := _leaf_of(unit, stmt, stmt.value)) is not None}
    if switched or made:
        for node, backward in sorted(unit.facts.backwards.items()):
            value = differentiated(unit, backward) if node >= 0 else None
            if value is not None and not expects_error(unit, node):
                yield from _ends_at_leaf(unit, node, _root(value), made, switched)
    for stmt in unit.all(ir.Return):
        if stmt.value is not None:
            yield from _returns_leaf(unit, stmt, made)


def _ends_at_leaf(
    unit: UnitContext, node: int, root: ir.Expr, made: dict[int, _Leaf], switched: list[tuple[ir.Stmt, ir.Expr]]
) -> Iterator[Hidden]:
    name = ir.dotted(root)
    found = reaching(unit, name, root.o) if name is not None else None
    if found is None or found.entry or not found.definitions:
        return
    origins = {d.stmt for d in found.definitions}
    if origins <= made.keys():
        leaf = made[min(origins)]
        before = carry(unit, leaf.value)
        if _loses(unit, leaf.value, before, copies=leaf.copies):
            yield Hidden(leaf.stmt, node, before, rebinds=True)
        return
    for switch, target in switched:
        if ir.dotted(target) == name and switch.o < node:
            if {d.stmt for d in reaching(unit, name or "", target.o).definitions} == origins:
                before = carry(unit, target)
                if _loses(unit, target, before, copies=False):
                    yield Hidden(switch, node, before, rebinds=False)
                    return


def _loses(unit: UnitContext, value: ir.Expr, before: Carry, *, copies: bool) -> bool:
    """Whether making a leaf of a value loses, or hides the loss of, a graph; what is not known of it may have one."""
    if before.kind is Kind.PLAIN:
        return bool(before.cut)
    if before.kind is Kind.MAYBE and not copies:
        known = unit.facts.values.get(value.o)
        forwards = [unit.facts.forwards.get(token) for token in known.graph] if known is not None else []
        return not any(f is not None and f.tracked and (f.level == 3 or not f.indirect) for f in forwards)
    return True


def _returns_leaf(unit: UnitContext, stmt: ir.Return, made: dict[int, _Leaf]) -> Iterator[Hidden]:
    """A function that computes a loss and gives back a copy of it without its graph."""
    assert stmt.value is not None
    leaf = _leaf_of(unit, stmt, stmt.value)
    name = ir.dotted(stmt.value) or ""
    if leaf is None:
        definitions = reaching(unit, name, stmt.value.o).definitions if name else ()
        if not definitions or not {d.stmt for d in definitions} <= made.keys():
            return
        leaf = made[definitions[0].stmt]
    if leaf.copies and any(_LOSS.search(n) for n in (name, *unit.enclosing[stmt.o].split(".")[-2:])):
        before = carry(unit, leaf.value)
        if before.kind is not Kind.PLAIN and (before.made or before.off or before.cut):
            yield Hidden(leaf.stmt, stmt.o, before, rebinds=leaf.stmt is not stmt, returned=True)


def _root(expr: ir.Expr) -> ir.Expr:
    """``loss`` in ``scaler.scale(loss / steps)``."""
    while True:
        if isinstance(expr, ir.Call) and isinstance(expr.func, ir.Attr) and expr.func.attr == "scale" and expr.args:
            expr = expr.args[0]
        elif isinstance(expr, ir.Bin) and isinstance(expr.right, (ir.Const, ir.Name, ir.Attr)) and expr.op in "*/":
            expr = expr.left
        else:
            return expr


def _is_true(expr: ir.Expr | None) -> bool:
    return isinstance(expr, ir.Const) and expr.value is True


def _switched_on(stmt: ir.Stmt) -> ir.Expr | None:
    """``loss`` in ``loss.requires_grad = True`` and ``loss.requires_grad_()``."""
    if isinstance(stmt, ir.Assign) and _is_true(stmt.value):
        for target in stmt.targets:
            if isinstance(target, ir.Attr) and target.attr == "requires_grad":
                return target.value
    if isinstance(stmt, ir.ExprStmt):
        return _required(stmt.value)
    return None


def _required(expr: ir.Expr | None) -> ir.Expr | None:
    if isinstance(expr, ir.Call) and isinstance(expr.func, ir.Attr) and expr.func.attr == "requires_grad_":
        if not expr.args and not expr.keywords:
            return expr.func.value
        if _is_true(expr.args[0] if expr.args else expr.keyword("requires_grad")):
            return expr.func.value
    return None


def _leaf_of(unit: UnitContext, stmt: ir.Stmt, value: ir.Expr | None) -> _Leaf | None:
    """``Variable(x, requires_grad=True)``, ``torch.tensor(x, requires_grad=True)``, ``x.detach().requires_grad_()``."""
    inner = _required(value)
    if inner is not None:
        return _Leaf(stmt, inner, copies=False)
    if isinstance(value, ir.Call) and value.args and _is_true(value.keyword("requires_grad")):
        name = unit.resolve(value.func)
        if name in ("torch.autograd.variable.Variable", "torch.tensor", "torch.as_tensor"):
            return _Leaf(stmt, value.args[0], copies=True)
    return None


# --- grad mode and where it comes from --------------------------------------------------------------------------------


class Source(msgspec.Struct, frozen=True):
    """What switches gradients off at a place: ``with`` (the statement and its item), ``decorator`` or ``switch``."""

    kind: str
    node: int  # of the guard, decorator or switch
    stmt: ir.Stmt | None = None  # the with statement, or the function that is decorated
    index: int = 0


def source_of(unit: UnitContext, node: int) -> Source | None:
    """The innermost guard of the unit around a node that switches gradients off, None where there is none."""
    for outer in unit.ancestors(node):
        if isinstance(outer, ir.With):
            for index in reversed(range(len(outer.items))):
                guard = unit.facts.guards.get((outer.o, index))
                if guard is not None and guard.mode.off and outer.items[index].expr.o != node:
                    return Source("with", outer.items[index].expr.o, outer, index)
        elif isinstance(outer, ir.Def):
            own = next((d for d in decorators(unit, outer) if d.off), None)
            if own is not None and not outer.is_async:
                return Source("decorator", own.expr.o, outer, own.index)
            if outer is unit.root and unit.facts.entry is not None and unit.facts.entry[0].off:
                expr = unit.facts.entry[1]
                index = next((i for i, d in enumerate(outer.decorators) if d.o == expr), 0)
                return Source("decorator", expr, outer, index)
    switches = [s for s in unit.facts.switches.values() if s.node < node and s.to.off]
    return Source("switch", max(s.node for s in switches)) if switches else None


def unguard(source: Source | None, message: str, reason: str, *more: Action) -> FixPlan | None:
    """A fix that takes a guard away."""
    if source is None or source.stmt is None:
        return None
    action: Action = Unwrap(source.stmt.o, source.index)
    if source.kind == "decorator":
        action = RemoveDecorator(source.stmt.o, source.index)
    return FixPlan(message, Applicability.UNSAFE, (*more, action), reason)


def guarded_region(source: Source | None) -> tuple[int, int] | None:
    """First and last statement that a guard holds."""
    if source is None or source.stmt is None:
        return None
    return source.stmt.o, source.stmt.o
