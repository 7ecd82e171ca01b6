"""What calls of things outside the project do, as far as the knowledge files say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis._run import WRAPPERS, Run, prepared, split_of_args, union, with_indices
from nograd_lint.analysis.values import (
    NOTHING,
    UNKNOWN,
    Mode,
    Val,
    tensor,
)
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.knowledge.tables import Model
_INDEXING = frozenset(("max", "min", "topk", "sort", "median", "mode", "kthvalue"))


class Externals(Run):
    """The part of the interpreter that knows what lies outside the project."""

    def _external(self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val:
        graph = union(args, keywords)
        last = name.rpartition(".")[2]
        known = self.knowledge
        guard = self.world.guard_mode(name)
        if guard is not None:
            return self._make_guard(name, guard, args, keywords)
        if name in ("functools.partial", "functools.partialmethod") and args:
            return Val("partial", data=(args[0], args[1:], keywords))
        if name in ("torch.enable_grad", "torch.no_grad"):
            return Val("guard", data=Mode.DISABLED, name=name)
        demand = known.demand(name)
        if demand is not None and demand.kind != "trains":
            return self._demanding(node, name, args, keywords)
        if name.startswith("numpy."):
            self.sink(graph, "numpy", node.o)
            return UNKNOWN
        if known.guarded(name) is not None:
            return UNKNOWN
        if name in (
            "torch.tensor",
            "torch.as_tensor",
            "torch.autograd.Variable",
            "torch.randn",
            "torch.rand",
            "torch.zeros",
            "torch.ones",
        ):
            on = any(k == "requires_grad" and v.kind == "const" and v.data is True for k, v in keywords)
            keep = graph if name.endswith("Variable") else NOTHING
            if on:
                return Val("leaf", graph=keep, name=name)
            if name.endswith("Variable") and args:
                return args[0]
            return UNKNOWN
        if name in ("torch.nn.Parameter", "torch.nn.parameter.Parameter"):
            return Val("leaf", name=name)
        model = known.model_factory(name)
        if model is not None:
            return self._made_model(model, name)
        wrapped = self._wrapped(name, args, keywords)
        if wrapped is not None:
            return wrapped
        returned = known.returned_class(name)
        if returned is not None and not known.is_module_class(returned):
            return Val(cls=Symbol("external", "", returned), name=name, graph=graph)
        if known.is_module_class(name):
            if self.world.is_parameterless(name):
                return Val("loss", name=name)
            return Val(cls=Symbol("external", "", name), model=3, name=name)
        if known.is_optimizer(name):
            return Val("optimizer", name=name)
        if known.is_loader(name) or last == "DataLoader":
            return Val("loader", data=split_of_args(node))
        if known.detached(name) is not None:
            self.sink(graph, "argmax", node.o)
            return UNKNOWN
        if name.startswith("torch."):
            if (
                last in _INDEXING
                and (len(node.args) > 1 or node.keywords or last in ("topk", "sort"))
                and not (len(args) > 1 and args[1].graph)
            ):
                return with_indices(graph)
            if last in ("save", "save_image"):
                self.sink(graph, "print", node.o)
                return UNKNOWN
            self._run_callbacks(args, keywords)
            return tensor(graph)
        if name.startswith(
            (
                "matplotlib",
                "cv2",
                "PIL",
                "sklearn",
                "scipy",
                "json",
                "pickle",
                "logging",
                "wandb",
                "builtins",
                "math",
                "random",
                "pandas",
            )
        ):
            self.sink(graph, "print", node.o)
            return UNKNOWN
        return self._unknown_call(node, name, args, keywords)

    def _wrapped(self, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val | None:
        """The model that a call gives back wrapped, moved, compiled or frozen."""
        wrapper = self.knowledge.wrapper(name)
        if wrapper is None:
            return args[0] if name.rpartition(".")[2] in WRAPPERS and args and args[0].model else None
        if wrapper.each:
            return args[0] if len(args) == 1 else prepared(args)
        at = wrapper.argument
        value = args[at] if at is not None and at < len(args) else None
        value = next((v for k, v in keywords if k == wrapper.keyword), value)
        if value is None or not (value.model or value.kind == "func"):
            return None
        if wrapper.frozen:
            value = msgspec.structs.replace(value, frozen=True)
        return value

    def _made_model(self, model: Model, name: str) -> Val:
        cls = Symbol("external", "", model.returns) if model.returns else None
        made = Val(cls=cls, model=3, frozen=model.frozen, name=name, evaluating=model.eval_mode)
        if model.position is None:
            return made
        return Val("container", items=tuple(made if i == model.position else UNKNOWN for i in range(3)))

    def _make_guard(self, name: str, mode: Mode, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val:
        first = args[0] if args else next((v for k, v in keywords if k in ("mode", "enabled")), None)
        if name in ("torch.set_grad_enabled", "torch._C._set_grad_enabled"):
            mode = Mode.DYNAMIC
            if first is not None and first.kind == "const" and isinstance(first.data, bool):
                mode = Mode.ENABLED if first.data else Mode.DISABLED
        elif name == "torch.inference_mode" and first is not None:
            if first.kind == "const" and isinstance(first.data, bool):
                mode = Mode.INFERENCE if first.data else Mode.ENABLED
            elif first.kind == "func" or (first.symbol is not None and first.symbol.kind == "function"):
                return self._under_guard(mode, first)
            else:
                mode = Mode.DYNAMIC
        elif name in ("torch.no_grad", "torch.enable_grad") and first is not None:
            return self._under_guard(mode, first)  # a function, whatever was meant
        return Val("guard", data=mode, name=name)

    def _under_guard(self, mode: Mode, function: Val) -> Val:
        if function.kind == "func":
            inner, _ = function.data
            if inner.o in self.nested:
                self.guarded_functions[inner.o] = mode
            return msgspec.structs.replace(function, data=(inner, mode))
        return Val("guarded", data=(mode, function), name=function.name)

    def _demanding(self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val:
        for value in (*args, *(v for _, v in keywords)):
            if value.kind == "func":
                before = set(self.facts.forwards)
                function, mode = value.data
                result = self.inline(function, value.name, (), (), mode)
                made = frozenset(self.facts.forwards) - before | result.graph
                self.sink(frozenset(made), "backward", node.o)
            elif value.graph:
                self._backward(node, value, name)
            elif value.model:
                self.sink(frozenset((node.o,)), "backward", node.o)
        return tensor(union(args, keywords)) if name.endswith(".grad") else UNKNOWN
