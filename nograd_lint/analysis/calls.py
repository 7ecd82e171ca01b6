"""What calls do: models are run, guards made, outputs detached, losses walked backward."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from nograd_lint.analysis._run import NO_FORWARD, PRINTING, WRAPPERS, prepared, split_of_args, union
from nograd_lint.analysis.effects import Effects
from nograd_lint.analysis.externals import Externals
from nograd_lint.analysis.facts import OWN, Backward, CallSite, Forward, Site
from nograd_lint.analysis.methods import Methods
from nograd_lint.analysis.summarise import Summarising
from nograd_lint.analysis.tensors import METHODS
from nograd_lint.analysis.values import (
    NOTHING,
    NUMBER,
    UNKNOWN,
    Mode,
    Val,
    guard_by_name,
    join,
    loader_by_name,
    makes_by_name,
    split_of,
    tensor,
    words,
)
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir

_NUMBERS = frozenset(
    (
        "len",
        "int",
        "float",
        "bool",
        "str",
        "repr",
        "round",
        "hash",
        "range",
        "format",
    )
)
_ASKING = frozenset(("id", "isinstance", "type", "hasattr", "callable"))  # what holds of a module as well
_SIMULATORS = (["env"], ["envs"], ["environment"], ["environments"])
_ITERATING = frozenset(
    (
        "enumerate",
        "tqdm",
        "iter",
        "zip",
        "reversed",
        "list",
        "tuple",
        "islice",
        "cycle",
        "chain",
        "trange",
        "track",
        "prefetch",
        "progress_bar",
        "ProgressBar",
        "auto",
        "notebook",
        "sorted",
        "next",
        "map_dataset",
    )
)


class Calls(Methods, Externals, Effects, Summarising):
    """The part of the interpreter that knows calls."""

    def call(self, node: ir.Call) -> Val:
        func = node.func
        name = ir.dotted(func) or ""
        if isinstance(func, ir.Attr) and not self._names_module(func.value):
            return self._method_call(node, func, name)
        callee = self.expr(func)
        args = tuple(self.expr(a) for a in node.args)
        keywords = tuple((k, self.expr(v)) for k, v in node.keywords)
        owner = self.facts.values[func.value.o].symbol if isinstance(func, ir.Attr) else None
        if owner is not None and owner.kind == "class" and isinstance(func, ir.Attr):  # in a framework's own tree
            made = self.knowledge.model_factory(f"{self.world.public_name(owner)}.{func.attr}")
            if made is not None:
                return msgspec.structs.replace(self._made_model(made, name), cls=owner)
        return self.apply(node, callee, args, keywords, name)

    def _names_module(self, expr: ir.Expr) -> bool:
        """The dotted name of a module or external package, so that ``a.f()`` is a function and not a method."""
        head = ir.dotted(expr)
        if head is None or head.partition(".")[0] in self.state.env:
            return False
        value = self.expr(expr)
        return value.symbol is not None and value.symbol.kind in ("module", "external", "class")

    # --- by what is called --------------------------------------------------------------------------------------------

    def apply(
        self, node: ir.Call, callee: Val, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
    ) -> Val:
        graph = union(args, keywords)
        symbol = callee.symbol
        self._note_parameter_call(callee)
        if self.world.declared and symbol is not None and symbol.kind in ("function", "class"):
            dotted = self.world.public_name(symbol)
            if dotted in self.world.declared:
                return self._external(node, dotted, args, keywords)
        if callee.kind == "func":
            function, mode = callee.data
            return self.inline(function, callee.name, args, keywords, mode)
        if callee.kind == "guard" and args:  # torch.no_grad()(f)
            return self._under_guard(callee.data, args[0])
        if callee.kind == "maybe guard":
            return Val("guard", data=Mode.DYNAMIC, name=name)
        if callee.kind == "guarded":
            mode, inner = callee.data
            return self._with_mode(mode, node, lambda: self.apply(node, inner, args, keywords, name))
        if callee.kind == "partial":
            inner, more, kw = callee.data
            return self.apply(node, inner, (*more, *args), (*kw, *keywords), name)
        if (
            callee.kind == "bound"
            and symbol is not None
            and callee.data is not None
            and not self.world.is_static(symbol)
        ):
            return self._project_call(node, symbol, (callee.data, *args), keywords, name)
        if callee.kind == "bound" and symbol is not None and symbol.kind == "function":
            return self._project_call(node, symbol, args, keywords, name)
        if callee.kind == "self":
            return self._forward(node, callee, args, keywords, "self")
        if symbol is not None:
            if symbol.kind == "function":
                return self._project_call(node, symbol, args, keywords, name)
            if symbol.kind == "class":
                return self._construct(node, symbol, args, keywords)
        for value in (*args, *[v for _, v in keywords]):
            if _is_function(value):
                self._record_call(node, None, "", args, keywords)  # who is given one may call it
                break
        if symbol is not None and symbol.kind == "external":
            return self._external(node, symbol.name, args, keywords)
        if callee.kind == "loss":
            return tensor(graph)
        if callee.model:
            return self._forward(node, callee, args, keywords, callee.name or name)
        return self._unknown_call(node, name, args, keywords)

    def _note_parameter_call(self, callee: Val) -> None:
        """A parameter that is called: whoever hands in a function wants to know in which grad mode it runs."""
        if len(callee.graph) == 1 and callee.symbol is None:
            token = next(iter(callee.graph))
            if token < 0:
                self.facts.param_calls.setdefault(-1 - token, set()).add(self.state.mode)

    def _unknown_call(
        self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]
    ) -> Val:
        graph = union(args, keywords)
        last = name.rpartition(".")[2]
        if guard_by_name(last) and not any(v.graph for v in args):
            return Val("guard", data=Mode.DISABLED, name=name)
        if last in _ASKING:
            return UNKNOWN
        if last in _NUMBERS:
            kind = "print" if last in ("str", "repr", "format") else "shape" if last == "len" else "item"
            self.sink(graph, kind, node.o)
            return NUMBER
        if last in _ITERATING:
            return self._iterated(args)
        if last in ("max", "min", "sum", "abs"):
            return tensor(graph)
        if PRINTING.search(name):
            self.sink(graph, "print", node.o)
            return UNKNOWN
        if last == "super":
            if self.facts.cls is not None:
                return Val("super", cls=self.facts.cls, model=0, name="super()")
            return UNKNOWN
        if last == "getattr" and args:
            second = node.args[1] if len(node.args) > 1 else None
            if isinstance(second, ir.Const) and second.kind == "str":
                return self.attribute(args[0], str(second.value), f"{args[0].name}.{second.value}")
            return UNKNOWN
        if last == "setattr":
            self.sink(graph, "attr", node.o)
            return UNKNOWN
        if last in WRAPPERS and args and args[0].model:
            return args[0] if len(args) == 1 or last != "prepare" else prepared(args)
        self._run_callbacks(args, keywords)
        if loader_by_name(last) and not graph:
            return Val("loader", data=split_of(last) or split_of_args(node))
        return self._unseen(node, name, args, keywords)

    def _unseen(self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val:
        """The result of something that nobody can look into: a forward if it is detached later on."""
        graph = union(args, keywords)
        if node.o in self.known_forwards:
            result = self._forward(node, Val(model=1, name=name), args, keywords, name)
            if node.o in self.facts.forwards:
                self.facts.forwards[node.o].indirect = self.facts.forwards[node.o].revealed = True
            return result
        self.sink(graph, "passed", node.o)
        if (
            self.state.mode.off
            or not (args or keywords)
            or any(t >= 0 for t in graph)
            or self._is_no_forward(node, name)
            or self._converts(node)
        ):
            return tensor(graph)
        self.has_origins = True
        return Val(graph=graph, origin=node.o)

    def _converts(self, node: ir.Call) -> bool:
        """``audio = as_list(audio)``: what is the same thing in another form had its graph before."""
        if not isinstance(node.func, ir.Name) or len(node.args) != 1 or node.keywords:
            return False
        name, stmt = ir.dotted(node.args[0]), self.assigning
        return name is not None and stmt is not None and stmt.value is node and name in map(ir.dotted, stmt.targets)

    def _is_no_forward(self, node: ir.Call, name: str) -> bool:
        """A tensor's own method, a constructor, something of the standard library, or a loss."""
        head, _, last = name.rpartition(".")
        if last[:1].isupper() or NO_FORWARD.fullmatch(last):
            return True
        if words(head.rpartition(".")[2])[-1:] in _SIMULATORS:
            return True
        if isinstance(node.func, ir.Attr):
            owner = self.facts.values.get(node.func.value.o, UNKNOWN).symbol
            if owner is None:
                return node.func.attr in METHODS
        return head.partition(".")[0] in sys.stdlib_module_names

    def _iterated(self, args: tuple[Val, ...]) -> Val:
        if len(args) == 1 and args[0].model:
            return args[0]  # ``list(model.children())``
        loaders = [a for a in args if a.kind in ("loader", "batch")]
        graph = NOTHING.union(*(a.graph for a in args)) if args else NOTHING
        if loaders:
            splits = {a.data for a in loaders} - {"", None}
            return Val("loader", data=splits.pop() if len(splits) == 1 else "", graph=graph)
        return Val("container", graph=graph) if graph else UNKNOWN

    def _run_callbacks(self, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> None:
        """A function handed to somebody is assumed to be called there and then."""
        for value in (*args, *[v for _, v in keywords]):
            if value.kind == "func":
                function, mode = value.data
                self.inline(function, value.name, (), (), mode)

    # --- the project's own functions ----------------------------------------------------------------------------------

    def _project_call(
        self, node: ir.Call, symbol: Symbol, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
    ) -> Val:
        self._record_call(node, symbol, "", args, keywords)
        self._run_callbacks(args, keywords)
        if args and args[0].model >= 2 and len(args) + len(keywords) > 1 and self.world.is_abstract(symbol):
            return self._some_method(node, args[0], args[1:], keywords, name)
        summary = self.world.summary(symbol, self.depth - 1)
        if summary is None:
            self.facts.cut += 1
            if guard_by_name(symbol.name):
                return Val("guard", data=Mode.DISABLED, name=name)
            return tensor(union(args, keywords))
        params = self.world.parameters(symbol)
        bound = bind(params, args, keywords)
        if summary.guard is not None:
            return Val("guard", data=summary.guard, name=name)
        if summary.decorates is not None and args:
            return self._under_guard(summary.decorates, args[0])
        own = NOTHING
        makes = makes_by_name(symbol.name) or (symbol.path, symbol.name) == (self.path, self.unit)  # recursion
        level = 0 if makes else summary.forward
        reasons = [bound[i] for i in summary.called_params if i in bound]
        if reasons and not makes:
            sure = max((v.model for v in reasons if not v.frozen), default=0)
            level = 0 if level < 3 and all(v.frozen for v in reasons) else max(level, sure)
        receiver = args[0] if args and args[0].model else None
        if (level and not self.state.mode.off) or (level and summary.enabled_forward):
            own = frozenset((self._add_forward(node, name, min(level, 3), symbol, receiver, bound),))
        elif level:
            self._add_forward(node, name, min(level, 3), symbol, receiver, bound)
        for i in summary.backward_params:
            if i in bound and bound[i].graph:
                self._backward(node, bound[i], "backward")
                self.facts.backwards[node.o].inner |= i in summary.graph_of_its_own
        if summary.backward:
            self.facts.backwards.setdefault(
                -node.o - 1, Backward(**self.site(node.o), graph=own, what="inside", value=UNKNOWN)
            )
            self.sink(own, "backward", node.o)
        if summary.trains:
            self.facts.steps.setdefault(node.o, Site(**self.site(node.o)))
        for i in summary.escapes:
            if i in bound:
                self.sink(bound[i].graph, "stored", node.o)
        for i in summary.evals:
            if i in bound and (put := bound[i].name):
                self._mode_switch(node, put, "eval")
                if put in self.state.env and bound[i].model:
                    self.put(put, msgspec.structs.replace(bound[i], model=3))
        if summary.leaves is not None:
            self._switch(node, summary.leaves, name)
        returns = summary.returns
        graph = NOTHING
        for token in returns.graph:
            if token == OWN:
                graph |= own
            elif token < 0 and -1 - token in bound:
                graph |= bound[-1 - token].graph
        items = None
        if returns.items is not None:
            items = tuple(self._returned_item(item, own, bound, node) for item in returns.items)
        detaches = dict(summary.detaches)
        self.revealed |= {bound[i].origin for i in detaches if i in bound and bound[i].origin >= 0}
        for i, value in bound.items():
            if (
                value.graph
                and -1 - i not in returns.graph
                and i not in summary.escapes
                and i not in summary.backward_params
            ):
                for kind in detaches.get(i, ("consumed",)):
                    self.sink(value.graph, kind, node.o)
        if not graph:
            self.sink(own, "inside", node.o)
        if returns.kind == "param_value":
            return bound.get(returns.data, UNKNOWN)
        origin = -1
        if summary.guards:
            if items is not None:
                items = tuple(msgspec.structs.replace(item, origin=-1) for item in items)
            return msgspec.structs.replace(returns, graph=graph, items=items, name="", origin=-1)
        unseen = returns.origin >= 0 or any(item.origin >= 0 for item in returns.items or ())
        if receiver is not None and receiver.model >= 2 and not level and not summary.guarded_forward:
            unseen = unseen or returns.kind in ("", "tensor")  # it may use its parameters
        if unseen and not any(t >= 0 for t in graph) and not NO_FORWARD.fullmatch(symbol.name.rpartition(".")[2]):
            if node.o in self.known_forwards:
                return self._unseen(node, name, args, keywords)
            self.has_origins, origin = True, node.o
        return msgspec.structs.replace(
            returns, graph=graph, items=items, name=returns.name if returns.kind == "guard" else "", origin=origin
        )

    def _returned_item(self, item: Val, own: frozenset[int], bound: dict[int, Val], call: ir.Call) -> Val:
        graph = NOTHING
        for token in item.graph:
            if token == OWN:
                graph |= own
            elif token < 0 and -1 - token in bound:
                graph |= bound[-1 - token].graph
        return msgspec.structs.replace(item, graph=graph, items=None, origin=call.o if item.origin >= 0 else -1)

    def _record_call(
        self,
        node: ir.Call,
        symbol: Symbol | None,
        method: str,
        args: tuple[Val, ...],
        keywords: tuple[tuple[str, Val], ...],
    ) -> None:
        known = self.facts.calls.get(node.o)
        site = self.site(node.o)
        if known is None:
            self.facts.calls[node.o] = CallSite(**site, target=symbol, method=method, args=args, keywords=keywords)
        else:
            known.modes |= site["modes"]
            known.phases |= site["phases"]

    def _construct(
        self, node: ir.Call, symbol: Symbol, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]
    ) -> Val:
        guard = self.world.guard_class(symbol)
        if guard is not None:
            return Val("guard", data=guard, name=symbol.name)
        method = self.project.method(symbol, "__init__")
        if method is not None:
            self._record_call(node, method, "", (UNKNOWN, *args), keywords)
            summary = self.world.summary(method, self.depth - 1)
            if summary is not None and summary.leaves is not None:
                self._switch(node, summary.leaves, symbol.name)
        name = ir.dotted(node.func) or symbol.name
        if self.world.is_module(symbol):
            if self.world.parameterless(symbol):
                return Val("loss", cls=symbol, name=name)
            if self._made_frozen(method, keywords):
                return Val(cls=symbol, model=3, frozen=True, name=name)
            inner = [v for v in (*args, *(v for _, v in keywords)) if v.model]
            return Val(cls=symbol, model=3, frozen=bool(inner) and all(v.frozen for v in inner), name=name)
        kind = ""
        data: Any = None
        last = symbol.name.rpartition(".")[2]
        if self.world.is_a(symbol, "optimizer"):
            kind = "optimizer"
        elif self.world.is_a(symbol, "dataset"):
            kind, data = "loader", split_of(last) or split_of_args(node)
        return Val(kind, cls=symbol, data=data, name=name, graph=union(args, keywords))

    def _made_frozen(self, constructor: Symbol | None, keywords: tuple[tuple[str, Val], ...]) -> bool:
        """``Encoder(requires_grad=False)``, or that is the default."""
        for key, value in keywords:
            if key in ("requires_grad", "trainable"):
                return value.kind == "const" and value.data is False
        file = self.project.file(constructor.path) if constructor is not None else None
        body = file.unit(constructor.name) if file is not None and constructor is not None else None
        root = body.root if body is not None else None
        for param in root.params if root is not None else ():
            if param.name in ("requires_grad", "trainable") and isinstance(param.default, ir.Const):
                return param.default.value is False
        return False

    # --- forwards -----------------------------------------------------------------------------------------------------

    def _forward(
        self, node: ir.Call, callee: Val, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
    ) -> Val:
        inputs = union(args, keywords)
        leaf = any(v.kind == "leaf" for v in (*args, *(v for _, v in keywords)))
        target = None
        if callee.cls is not None and callee.cls.kind == "external":
            if self.knowledge.guarded_method(callee.cls.name, "__call__") is not None:
                return UNKNOWN
        if callee.cls is not None:
            target = self.project.method(callee.cls, "forward")
            if target is not None:
                entry = self.world.own_entry(target)
                if entry is not None and entry.off:
                    return UNKNOWN
        if callee.frozen and not leaf:
            inputs_live = frozenset(t for t in inputs if t >= 0)
            return tensor(inputs_live)
        level = callee.model
        if level == 1 and any(v.kind == "batch" for v in (*args, *(v for _, v in keywords))):
            level = 2  # named as a model, and given batches of data
        forward = self._add_forward(node, name, level, None, callee, {})
        self.facts.forwards[forward].leaf_input |= leaf
        if self.state.mode.off:
            self.sink(inputs, "fed", node.o)
            return UNKNOWN
        live = frozenset(t for t in inputs if t >= 0)
        return tensor(live | {forward})

    def _add_forward(
        self, node: ir.Call, name: str, level: int, target: Symbol | None, receiver: Val | None, bound: dict[int, Val]
    ) -> int:
        spelled = receiver.name if receiver is not None else name
        site = self.site(node.o, spelled or name)
        if target is not None and bound:
            for value in bound.values():
                if value.model and value.name:
                    site["phases"] = {self.phase_of(value.name)}  # type: ignore[attr-defined]
                    break
        if receiver is not None and receiver.evaluating and site["phases"] == {""}:
            site["phases"] = {"eval"}
        known = self.facts.forwards.get(node.o)
        if known is None:
            self.spelled[node.o] = tuple(map(ir.dotted, (node.func, *node.args)))
            self.facts.forwards[node.o] = Forward(
                **site, name=name, level=level, target=target, receiver=spelled,
                leaf_input=any(v.kind == "leaf" for v in bound.values()),
            )  # fmt: skip
        else:
            known.modes |= site["modes"]
            known.phases |= site["phases"]
            known.level = max(known.level, level)
        if receiver is not None and receiver.evaluating:
            self.facts.forwards[node.o].pretrained = True
        return node.o

    # --- nested functions ---------------------------------------------------------------------------------------------

    def inline(
        self,
        function: ir.Def | ir.Lambda,
        name: str,
        args: tuple[Val, ...],
        keywords: tuple[tuple[str, Val], ...],
        mode: Mode | None = None,
    ) -> Val:
        """Run a nested function here, in the grad mode of here or of its own guard."""
        if function.o in self.inlining or len(self.inlining) >= 4:
            return tensor(union(args, keywords))
        self.ran.add(function.o)
        self.inlining.append(function.o)
        saved = self.state
        self.state = saved.copy()
        bound = bind(tuple((p.name, p.kind) for p in function.params), args, keywords)
        for i, param in enumerate(function.params):
            self.state.env[param.name] = bound.get(i, Val(name=param.name))
        if mode is not None:
            self.state.mode, self.state.guard = self.state.mode.under(mode), function.o
        self.returned.append([])
        self.functions.append(name or self.functions[-1])
        if isinstance(function, ir.Lambda):
            self.returned[-1].append(self.expr(function.body))
        else:
            self.block(function.body)
        self.functions.pop()
        values = self.returned.pop()
        end = self.state
        self.inlining.pop()
        self.state = saved
        if not end.dead:
            for key in [k for k in end.env if "." in k]:
                saved.env[key] = end.env[key]
        if isinstance(function, ir.Def) and function.is_generator and not values:
            return UNKNOWN
        return join(values)


def _is_function(value: Val) -> bool:
    """A function of the project, or a list that holds one."""
    if value.items is not None and any(v.symbol is not None and v.symbol.kind == "function" for v in value.items):
        return True
    return value.symbol is not None and value.symbol.kind == "function"


def bind(params: Any, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> dict[int, Val]:
    """Arguments by parameter index. ``params`` are (name, kind) pairs."""
    bound: dict[int, Val] = {}
    positions = [i for i, (_, kind) in enumerate(params) if kind == "positional"]
    star = next((i for i, (_, kind) in enumerate(params) if kind == "star"), None)
    star2 = next((i for i, (_, kind) in enumerate(params) if kind == "star2"), None)
    names = {name: i for i, (name, kind) in enumerate(params) if kind in ("positional", "keyword")}
    for n, value in enumerate(args):
        index = positions[n] if n < len(positions) else star
        if index is not None:
            bound[index] = join((bound[index], value)) if index in bound else value
    for key, value in keywords:
        target = names.get(key, star2)
        if target is not None:
            bound[target] = join((bound[target], value)) if target in bound else value
    return bound
