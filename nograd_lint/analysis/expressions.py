"""The value of every kind of expression."""

from __future__ import annotations

from typing import Any

import msgspec

from nograd_lint.analysis.bindings import Bindings
from nograd_lint.analysis.values import (
    NOTHING,
    NUMBER,
    UNKNOWN,
    Val,
    join,
    loader_by_name,
    model_by_name,
    split_of,
    tensor,
)
from nograd_lint.project.file import MODULE
from nograd_lint.syntax import ir

_SURE_HINTS = frozenset(("eval", "parameters", "named_parameters", "named_modules"))
_PLAIN_ATTRIBUTES = frozenset(
    "shape size dtype device ndim requires_grad grad is_leaf names layout itemsize nbytes is_cuda grad_fn".split()
)


class Expressions(Bindings):
    """The part of the interpreter that knows expressions."""

    def expr(self, node: ir.Expr) -> Val:
        kind = node.__class__
        value: Val = _EXPRESSIONS[kind](self, node)
        if self.has_origins and kind in _COMPUTED and value.origin < 0 and value.kind in ("", "tensor"):
            origin = -1 if value.model or value.symbol is not None or value.cls is not None else self._origin_of(node)
            if origin >= 0 and not _made(value.graph):
                value = msgspec.structs.replace(value, origin=origin)
        self.facts.values[node.o] = value
        return value

    def _origin_of(self, node: ir.Expr) -> int:
        """The origin of what a tensor is computed from."""
        sources: tuple[ir.Expr, ...] = ()
        if isinstance(node, (ir.Attr, ir.Sub)):
            sources = (node.value,)
        elif isinstance(node, ir.Call):
            function = self.facts.values.get(node.func.o, UNKNOWN).symbol
            if function is not None and function.kind == "external" and function.name.startswith("torch."):
                sources = node.args[:1]
            elif function is None and isinstance(node.func, ir.Attr):
                sources = (node.func.value,)
        elif isinstance(node, ir.Bin):
            sources = (node.left, node.right)
        elif isinstance(node, ir.Unary):
            sources = (node.operand,)
        return max((self.facts.values.get(s.o, UNKNOWN).origin for s in sources), default=-1)

    def _name(self, node: ir.Name) -> Val:
        value = self.state.env.get(node.id)
        if value is None or (node.id in self.globals_declared and value is UNKNOWN):
            value = self._global(node.id)
            if value.symbol is not None:
                self.facts.symbols[node.o] = value.symbol
        return self.enrich(value, node.id)

    def _global(self, name: str) -> Val:
        symbol = self.project.resolve(self.path, name, self.locals)
        if symbol is None:
            return Val(name=name)
        if symbol.kind == "global":
            return self.world.global_value(symbol, self.depth) if self.unit != MODULE else Val(name=name)
        if symbol.kind == "external":
            return Val(symbol=symbol, name=name)
        return Val(symbol=symbol, name=name)

    def enrich(self, value: Val, name: str) -> Val:
        """Add what the name, and the methods called on it elsewhere, say about a value."""
        if (
            value.kind not in ("", "tensor")
            or value.symbol is not None
            or value.model >= 2
            or value.name.endswith("[]")
        ):
            return value
        if value.cls is not None and value.cls.kind == "class" and not value.model:
            return value  # a class of the project that is no module
        if name.startswith("self."):
            start, end = self.class_extent
        elif name.partition(".")[0] in self.state.env or self.unit == MODULE:
            start, end = self.extent
        else:
            start, end = 0, self.file.size
        said = self.said.get((name, start, end))
        if said is None:
            said = self.said[name, start, end] = self.file.hinted(name, start, end), model_by_name(name)
        hints, by_name = said
        level = value.model
        if not (hints or by_name or level):
            return value
        made = bool(value.graph) and _made(value.graph)
        if hints & _SURE_HINTS:
            level = 3 if "eval" in hints or by_name else 2
        elif made:
            return value
        elif "train" in hints and by_name:
            level = 3
        elif by_name:
            level = max(level, 2 if hints else 1)
        if not level:
            return value
        if made:
            self.sink(value.graph, "module", 0)  # what was called made it
            return Val(cls=value.cls, model=level, name=name)
        return msgspec.structs.replace(value, kind="", model=level, name=name)

    def _attr(self, node: ir.Attr) -> Val:
        name = ir.dotted(node)
        if name is not None and name in self.state.env:
            self.expr(node.value)
            return self.enrich(self.state.env[name], name)
        base = self.expr(node.value)
        value = self.attribute(base, node.attr, name or "")
        if value.symbol is not None:
            self.facts.symbols[node.o] = value.symbol
        if base.graph and node.attr == "data":
            self.sink(base.graph, "detach", node.o)
            return Val("detached", data=base.graph)
        if base.graph and node.attr in _PLAIN_ATTRIBUTES:
            self.sink(base.graph, "shape", node.o)
        return self.enrich(value, name) if name is not None else value

    def attribute(self, base: Val, attr: str, name: str) -> Val:
        symbol = base.symbol
        if symbol is not None:
            found = self.world.member(symbol, attr)
            if found is not None:
                if found.kind == "global":
                    return self.world.global_value(found, self.depth)
                return Val(
                    symbol=found,
                    name=name,
                    kind="bound" if symbol.kind == "class" and found.kind == "function" else "",
                    data=None,
                )
            return Val(name=name)
        if base.cls is not None:
            value = self.world.attribute(base.cls, attr, self.depth)
            if value is not None:
                if value.kind == "bound":
                    return msgspec.structs.replace(value, data=base, name=name)
                return msgspec.structs.replace(value, name=name, frozen=value.frozen or base.frozen)
        if attr == "data" or attr in _PLAIN_ATTRIBUTES:
            return UNKNOWN
        if base.model and attr == "module":  # what DataParallel and the like wrap
            return base
        if base.model and base.kind != "self":
            by_name = model_by_name(f".{attr}")
            return Val(model=min(base.model, 2) if by_name else 0, name=name, frozen=base.frozen, data=None)
        if base.kind in ("loader", "batch"):
            return Val("batch", data=base.data, graph=base.graph) if base.kind == "batch" else Val(name=name)
        if base.kind == "leaf":
            return UNKNOWN
        return Val(name=name, graph=base.graph)

    def _const(self, node: ir.Const) -> Val:
        return Val("const", data=node.value) if node.kind in ("bool", "none") else NUMBER

    def _sub(self, node: ir.Sub) -> Val:
        base = self.expr(node.value)
        for index in node.index:
            self.expr(index)
        if base.items is not None and len(node.index) == 1:
            at = node.index[0]
            if (
                isinstance(at, ir.Const)
                and isinstance(at.value, int)
                and -len(base.items) <= at.value < len(base.items)
            ):
                item = base.items[at.value]
                if item.kind == "detached":
                    self.sink(item.data, "argmax", node.o)
                return item
        if base.kind in ("batch", "loader"):
            return Val("batch", data=base.data, graph=base.graph)
        name = ir.dotted(node.value) or base.name
        if base.symbol is None and not base.graph:
            split = ""
            for index in node.index:
                if isinstance(index, ir.Const) and index.kind == "str":
                    split = split or split_of(str(index.value))
            if name and loader_by_name(name):
                return Val("loader", data=split or split_of(name))
            return self.enrich(Val(model=min(base.model, 2)), f"{name}[]") if base.model else UNKNOWN
        return tensor(base.graph)

    def _slice(self, node: ir.Slice) -> Val:
        for part in node.parts:
            if part is not None:
                self.expr(part)
        return UNKNOWN

    def _bin(self, node: ir.Bin) -> Val:
        left, right = self.expr(node.left), self.expr(node.right)
        graph = left.graph | right.graph
        if graph:
            return tensor(graph)
        return left if left == right else UNKNOWN

    def _bool(self, node: ir.Bool) -> Val:
        values = [self.expr(v) for v in node.values]
        if any(v.kind == "guard" for v in values):
            # ``a and b`` enters only its last operand, ``a or b`` only its first.
            return values[-1] if node.op == "and" else values[0]
        return join(values)

    def _unary(self, node: ir.Unary) -> Val:
        value = self.expr(node.operand)
        if node.op == "not":
            self.sink(value.graph, "compare", node.o)
            return Val("const", data=not value.data) if value.kind == "const" else UNKNOWN
        return tensor(value.graph)

    def _compare(self, node: ir.Compare) -> Val:
        for expr in (node.left, *node.rights):
            self.sink(self.expr(expr).graph, "compare", node.o)
        return UNKNOWN

    def _ifexp(self, node: ir.IfExp) -> Val:
        self.expr(node.test)
        body, orelse = self.expr(node.body), self.expr(node.orelse)
        for value in (body, orelse):  # ``torch.no_grad if c else nullcontext``, to be called
            if (
                value.symbol is not None
                and value.symbol.kind == "external"
                and self.world.guard_mode(value.symbol.name)
            ):
                return Val("maybe guard", name=value.name)
        return join((body, orelse))

    def _lambda(self, node: ir.Lambda) -> Val:
        name = f"{self.functions[-1]}.<lambda>" if self.functions[-1] != MODULE else "<lambda>"
        self.nested[node.o] = (node, self.state.copy(), self.functions[-1])
        self.facts.functions[node.o] = name
        return Val("func", data=(node, None), name=name)

    def _comp(self, node: ir.Comp) -> Val:
        saved = self.state.env
        self.state.env = dict(saved)
        loops = len(self.loops)
        for generator in node.generators:
            iterable = self.expr(generator.iter)
            self.loops.append(self.loop(node.o, generator.iter, iterable))
            self.assign(generator.target, self.element(iterable, generator.iter), None)
            for test in generator.ifs:
                self.expr(test)
        value = self.expr(node.elt)
        if node.value is not None:
            value = self.expr(node.value)
        if node.kind != "generator" and any(loop.data for loop in self.loops[loops:]):
            for token in value.graph:
                forward = self.facts.forwards.get(token)
                if forward is not None and any(loop.node == node.o for loop in forward.loops):
                    self.facts.kept.setdefault(token, [(node.o, "the comprehension")])
        del self.loops[loops:]
        self.state.env = saved
        if value.kind in ("loader", "batch") or value.model:
            return msgspec.structs.replace(value, name="")
        return Val("container", graph=value.graph) if value.graph else UNKNOWN

    def _seq(self, node: ir.Seq) -> Val:
        items = tuple(self.expr(item) for item in node.items)
        graph = NOTHING.union(*(i.graph for i in items)) if items else NOTHING
        if any(isinstance(item, ir.Star) for item in node.items) or not items:
            return Val("container", graph=graph)
        if node.kind == "tuple" or len(items) <= 4:
            return Val("container", graph=graph, items=items)
        return Val("container", graph=graph)

    def _dict(self, node: ir.Dict) -> Val:
        graph = NOTHING
        values = []
        for key in node.keys:
            if key is not None:
                self.expr(key)
        for item in node.values:
            value = self.expr(item)
            values.append(value)
            graph |= value.graph
        if values and all(v.model for v in values):
            return join(values)
        return Val("container", graph=graph)

    def _star(self, node: ir.Star) -> Val:
        return self.expr(node.value)

    def _await(self, node: ir.Await) -> Val:
        return self.expr(node.value)

    def _yield(self, node: ir.Yield) -> Val:
        if node.value is not None:
            value = self.expr(node.value)
            self.sink(value.graph, "yield", node.o)
            self.returned[-1].append(tensor(value.graph))
        return UNKNOWN

    def _walrus(self, node: ir.Walrus) -> Val:
        value = self.expr(node.value)
        self.assign(node.target, value, node.value)
        return value

    def _fstr(self, node: ir.FStr) -> Val:
        for item in node.values:
            self.sink(self.expr(item).graph, "print", node.o)
        return Val("const", data="")


_COMPUTED = frozenset((ir.Attr, ir.Sub, ir.Call, ir.Bin, ir.Unary))


def _made(graph: frozenset[int]) -> bool:
    """Whether some forward of the unit is in a graph, not only what the unit was given."""
    return any(token >= 0 for token in graph)


_EXPRESSIONS: dict[type, Any] = {
    ir.Name: Expressions._name,
    ir.Attr: Expressions._attr,
    ir.Call: Expressions.call,
    ir.Const: Expressions._const,
    ir.Sub: Expressions._sub,
    ir.Slice: Expressions._slice,
    ir.Bin: Expressions._bin,
    ir.Bool: Expressions._bool,
    ir.Unary: Expressions._unary,
    ir.Compare: Expressions._compare,
    ir.IfExp: Expressions._ifexp,
    ir.Lambda: Expressions._lambda,
    ir.Comp: Expressions._comp,
    ir.Seq: Expressions._seq,
    ir.Dict: Expressions._dict,
    ir.Star: Expressions._star,
    ir.Await: Expressions._await,
    ir.Yield: Expressions._yield,
    ir.Walrus: Expressions._walrus,
    ir.FStr: Expressions._fstr,
}
