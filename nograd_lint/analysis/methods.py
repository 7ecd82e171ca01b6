"""What calls of methods do: of models, of tensors, of anything."""

from __future__ import annotations

import re

import msgspec

from nograd_lint.analysis._run import NO_FORWARD, PRINTING, Run, prepared, split_of_args, union, with_indices
from nograd_lint.analysis.facts import Site
from nograd_lint.analysis.tensors import METHODS
from nograd_lint.analysis.values import (
    NOTHING,
    UNKNOWN,
    Mode,
    Val,
    guard_by_name,
    loader_by_name,
    optimizer_by_name,
    split_of,
    tensor,
)
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir

# Methods of tensors whose result carries no graph, with the sink that they are.
_DETACHING = {
    "item": "item", "tolist": "item", "detach": "detach", "detach_": "detach", "argmax": "argmax", "argmin": "argmax",
    "argsort": "argmax", "numpy": "numpy", "eq": "compare", "ne": "compare", "gt": "compare", "lt": "compare",
    "ge": "compare", "le": "compare", "equal": "compare", "allclose": "compare", "bool": "compare",
    "nonzero": "compare",
    "long": "argmax", "int": "argmax", "byte": "argmax", "isnan": "compare", "isinf": "compare", "isfinite": "compare",
    "multinomial": "argmax",
}  # fmt: skip
_OF_DATA = frozenset(("cpu", "numpy", "tolist", "item", "squeeze", "cuda"))
_PLAIN_METHODS = frozenset(
    "size dim numel ndimension stride element_size get_device is_contiguous type nelement storage_offset data_ptr "
    "register_hook retain_grad requires_grad_ zero_".split()
)
# Methods of tensors that take only the type or the shape of their argument.
_LIKE = frozenset(("type_as", "view_as", "reshape_as", "expand_as", "resize_as_", "new_tensor"))
_TUPLE_METHODS = frozenset(("max", "min", "topk", "sort", "median", "mode", "kthvalue"))
# Methods that give the module back.
CHAINING = frozenset(
    "to cuda cpu eval train half float double bfloat16 type requires_grad_ apply share_memory xpu npu mps "
    "to_empty".split()
)
NOT_FORWARD = frozenset(
    "parameters named_parameters buffers named_buffers children named_children modules named_modules state_dict "
    "load_state_dict zero_grad register_buffer register_parameter register_forward_hook register_forward_pre_hook "
    "register_full_backward_hook register_backward_hook register_module add_module get_submodule "
    "get_parameter extra_repr "
    "compile save save_pretrained push_to_hub from_pretrained load load_weights load_model save_model "
    "resize_token_embeddings "
    "tie_weights init_weights freeze unfreeze set_mode train_mode eval_mode get_input_embeddings "
    "num_parameters count_params "
    "gradient_checkpointing_enable enable_input_require_grads reset_parameters reset info summary print_network fit "
    "configure_optimizers setup set_input get_current_visuals get_current_losses update_learning_rate "
    "setup_optimizer dim no_sync get keys items values append extend pop".split()
)
_FORWARDISH = re.compile(
    r"forward\w*|encode\w*|decode\w*|inference\w*|infer\w*|extract_features?|features|get_\w*features?|"
    r"get_\w*embeddings?|"
    r"embed\w*|log_prob|log_likelihood|synthes\w+|sample\w*|p_sample\w*|transcribe|translate|"
    r"reconstruct\w*|generate\w*|"
    r"predict\w*|simple_test\w*|compute_loss|calc_loss|loss|score|get_loss|act|evaluate_actions|"
    r"get_action\w*|get_value|"
    r"test_step|validation_step|val_step|eval_step|__call__|__wrapped__|netG|netD|single_forward|module|"
    r"recognize|detect\w*|"
    r"chat|render\w*|get_logits|classify|logits|project|quantize|apply_model|get_learned_conditioning",
)
_GUARDED_GENERATE = frozenset(("generate", "greedy_search", "beam_search", "group_beam_search"))
# Library methods of these names mostly guard themselves; of a class that is out of sight nobody knows.
_OWN_GUARD = frozenset(
    "predict generate transcribe translate recognize chat synthesize detect evaluate infer test".split()
)
_METRIC = re.compile(
    r"metric|meter|acc|score|iou|evaluator|logger|writer|confusion|recorder|stats|tracker|auc|map|logs?\b|"
    r"board|wandb|bar|hist|result|f1|recall|precision",
    re.IGNORECASE,
)
_FREEZING = frozenset(("freeze", "freeze_parameters", "freeze_params", "freeze_all", "freeze_weights", "disable_grad"))
_MUTATING = frozenset(
    (
        "append",
        "extend",
        "add",
        "insert",
        "appendleft",
        "put",
        "update",
        "setdefault",
        "push",
        "put_nowait",
        "extendleft",
        "add_batch",
        "process",
    )
)


class Methods(Run):
    """The part of the interpreter that knows calls of methods."""

    def _method_call(self, node: ir.Call, func: ir.Attr, name: str) -> Val:
        m = func.attr
        receiver = self.expr(func.value)
        if self.has_origins:
            self._reveal(func, receiver)
        self.facts.values[func.o] = receiver
        args = tuple(self.expr(a) for a in node.args)
        keywords = tuple((k, self.expr(v)) for k, v in node.keywords)
        graph = union(args, keywords)
        spelled = ir.dotted(func.value) or receiver.name
        known = self.state.env.get(name) if name else None
        if known is not None and (known.kind or known.model or known.symbol is not None):
            return self.apply(node, known, args, keywords, name)
        if receiver.kind == "guard":
            return self._guard_method(node, receiver, m)
        if receiver.kind == "detached" and m in METHODS:
            if m in ("numpy", "tolist", "item", "cpu"):
                self.sink(receiver.data, "moved" if m == "cpu" else "exported", node.o)
            return receiver
        if m in _LIKE and receiver.kind in ("", "tensor") and receiver.cls is None and not receiver.model:
            return tensor(receiver.graph if m != "new_tensor" else NOTHING)
        if m == "enter_context" and args:
            mode = self.entered(args[0])
            if mode is not None:
                self.state.mode, self.state.guard = self.state.mode.under(mode), self.stmts[-1]
                return UNKNOWN
            return args[0]
        if m == "push" and args and args[0].kind == "guard":
            self._switch(node, args[0].data, "push")
            return UNKNOWN
        if m in ("eval", "train") and self._is_mode_switch(node, receiver):
            return self._eval_or_train(node, receiver, spelled, m)
        if m in _FREEZING and receiver.model and not node.args and receiver.kind != "self":
            self._freeze(spelled or receiver.name, True)
            return msgspec.structs.replace(receiver, frozen=True)
        if m == "backward":
            return self._backward_method(node, receiver, args)
        if m == "step" and (receiver.kind == "optimizer" or optimizer_by_name(spelled) or "scaler" in spelled.lower()):
            self.facts.steps.setdefault(node.o, Site(**self.site(node.o)))
            self._run_callbacks(args, keywords)
            return UNKNOWN
        if m == "requires_grad_":
            on = not (node.args and isinstance(node.args[0], ir.Const) and node.args[0].value is False) and not any(
                isinstance(v, ir.Const) and v.value is False for _, v in node.keywords
            )
            self.requires_grad(func.value, receiver, on)
            if receiver.model:
                return msgspec.structs.replace(receiver, frozen=not on)
            return Val("leaf", graph=receiver.graph) if on else self.expr(func.value)
        if receiver.symbol is not None and receiver.symbol.kind in ("external", "class", "module", "function"):
            member = self.attribute(receiver, m, name)
            if member.symbol is not None:
                return self.apply(node, member, args, keywords, name)
        if receiver.graph and not receiver.model:
            found = self._tensor_method(node, receiver, m, graph)
            if found is not None:
                return found
        if receiver.kind == "super" and receiver.cls is not None:
            return self._super_call(node, receiver.cls, m, args, keywords)
        if receiver.cls is not None:
            promised = self.world.promised(receiver.cls, m)
            if promised is not None:
                return UNKNOWN
            if receiver.cls.kind == "external" and self.knowledge.forward_method(receiver.cls.name, m) is not None:
                return self._forward(node, msgspec.structs.replace(receiver, model=3), args, keywords, name)
            attribute = self.world.attribute(receiver.cls, m, self.depth)
            if attribute is not None and attribute != UNKNOWN:
                value = msgspec.structs.replace(attribute, data=receiver) if attribute.kind == "bound" else attribute
                if not value.name:
                    value = msgspec.structs.replace(value, name=name)
                if value.model and value.kind != "bound":
                    value = msgspec.structs.replace(value, frozen=value.frozen or receiver.frozen, name=name)
                return self.apply(node, value, args, keywords, name)
        if receiver.model or receiver.kind == "self":
            return self._model_method(node, receiver, m, args, keywords, name)
        if receiver.kind == "optimizer":
            self._run_callbacks(args, keywords)
            return UNKNOWN
        return self._other_method(node, func, receiver, m, args, keywords, name, graph)

    def _reveal(self, func: ir.Attr, receiver: Val) -> None:
        """``x.detach()``, ``x.data.cpu()``: there must be a graph, so a model was run where the value comes from."""
        origin = -1
        if func.attr in ("detach", "detach_"):
            origin = receiver.origin
        elif isinstance(func.value, ir.Attr) and func.value.attr == "data" and func.attr in _OF_DATA:
            origin = self.facts.values.get(func.value.value.o, UNKNOWN).origin
        if origin >= 0:
            self.revealed.add(origin)

    def _is_mode_switch(self, node: ir.Call, receiver: Val) -> bool:
        if node.func.attr == "eval":  # type: ignore[union-attr]
            return not node.args and not node.keywords
        if len(node.args) > 1 or any(k != "mode" for k, _ in node.keywords):
            return False
        plain = not node.args or isinstance(node.args[0], (ir.Const, ir.Name, ir.Attr, ir.Unary, ir.Compare, ir.Bool))
        return plain and bool(receiver.model)

    def _eval_or_train(self, node: ir.Call, receiver: Val, spelled: str, m: str) -> Val:
        to = m
        value = node.args[0] if node.args else next((v for _, v in node.keywords), None)
        if m == "train" and value is not None:
            to = ("train" if value.value else "eval") if isinstance(value, ir.Const) else "mixed"
        self._mode_switch(node, spelled or receiver.name, to)
        if receiver.model < 3 and receiver.kind != "self":
            return msgspec.structs.replace(receiver, model=3 if m == "eval" else max(receiver.model, 2))
        return receiver

    def _mode_switch(self, node: ir.Call, spelled: str, to: str) -> None:
        if not spelled:
            return
        self.state.phases[spelled] = to
        if spelled == "self":
            for key in list(self.state.phases):
                self.state.phases[key] = to
        self.facts.evals.setdefault(node.o, (spelled, to, Site(**self.site(node.o))))

    def _guard_method(self, node: ir.Call, receiver: Val, m: str) -> Val:
        if m == "__enter__":
            self._switch(node, receiver.data, "__enter__")
        elif m == "__exit__":
            self._switch(node, Mode.ENTRY, "__exit__")
        elif m == "clone":
            return receiver
        return UNKNOWN

    def _tensor_method(self, node: ir.Call, receiver: Val, m: str, graph: frozenset[int]) -> Val | None:
        if m == "astype":  # of an array: in working code its graph was cut before
            self.sink(receiver.graph, "numpy", node.o)
            return UNKNOWN
        if m == "cpu":
            self.sink(receiver.graph, "moved", node.o)
        if m in _DETACHING:
            kind = _DETACHING[m]
            forced = any(k == "force" for k, _ in node.keywords)
            kind = "detach" if forced else kind
            self.sink(receiver.graph, kind, node.o)
            return Val("detached", data=receiver.graph) if kind == "detach" and not forced else UNKNOWN
        if m in _PLAIN_METHODS:
            self.sink(receiver.graph, "shape", node.o)
            return UNKNOWN
        if m in _TUPLE_METHODS and (node.args or node.keywords or m in ("topk", "sort")):
            return with_indices(receiver.graph)
        if m in _MUTATING or m in ("items", "values", "keys", "get", "pop") or receiver.kind == "container":
            return None
        if not receiver.kind and m not in METHODS and not any(t >= 0 for t in receiver.graph):
            return None  # a method of a parameter that is no tensor
        if receiver.kind in ("tensor", "leaf") or receiver.graph:
            if _METRIC.search(receiver.name) and graph:
                return None
            return tensor(receiver.graph | graph)
        return None

    def _super_call(
        self, node: ir.Call, cls: Symbol, m: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]
    ) -> Val:
        for base in self.project.ancestors(cls)[1:]:
            if base.kind == "class":
                found = self.project.file(base.path)
                if found is not None and f"{base.name}.{m}" in found.units:
                    me = Val("self", cls=cls, model=3 if self.facts.is_module_class else 0, name="self")
                    return self._project_call(
                        node, Symbol("function", base.path, f"{base.name}.{m}"), (me, *args), keywords, f"super().{m}"
                    )
        promised = self.world.promised(cls, m)
        if promised is not None:
            return UNKNOWN
        if m == "forward" and self.facts.is_module_class:
            return self._forward(node, Val("self", cls=None, model=3, name="self"), args, keywords, "super().forward")
        return tensor(union(args, keywords))

    def _model_method(
        self, node: ir.Call, receiver: Val, m: str, args: tuple[Val, ...],
        keywords: tuple[tuple[str, Val], ...], name: str,
    ) -> Val:  # fmt: skip
        if m in CHAINING:
            return receiver
        if m in ("parameters", "named_parameters"):
            return Val("params", name=receiver.name, data=receiver)
        if m in ("modules", "children", "named_modules", "named_children"):
            return Val(model=receiver.model, name=receiver.name)
        self._record_call(node, None, m, (receiver, *args), keywords)
        self._run_callbacks(args, keywords)
        if m in NOT_FORWARD or m.startswith(("load_", "save_", "set_", "log_", "register_", "configure_", "init_")):
            return UNKNOWN
        if not node.args and not node.keywords and (m.startswith("get_") or m.endswith("state_dict")):
            return UNKNOWN  # a part of it
        inner = self.attribute(receiver, m, name) if receiver.kind != "self" else UNKNOWN
        if inner.model and inner.kind != "bound":
            return self._forward(node, msgspec.structs.replace(inner, name=name), args, keywords, name)
        hinted = self.enrich(Val(name=name), name) if name else UNKNOWN
        if hinted.model:
            return self._forward(node, hinted, args, keywords, name)
        if receiver.kind == "self":
            if m == "forward" or m == "__call__":
                return self._forward(node, receiver, args, keywords, name)
            if _METRIC.search(m) or PRINTING.search(m):
                self.sink(union(args, keywords), "metric", node.o)
                return tensor(union(args, keywords))
            return self._unseen(node, name, args, keywords)
        if guard_by_name(m):
            return UNKNOWN
        if m in _OWN_GUARD:
            receiver = msgspec.structs.replace(receiver, model=1)
        if (
            m in _GUARDED_GENERATE
            and (receiver.cls is None)
            and self.world.imports_any(self.path, ("transformers", "peft", "optimum"))
        ):
            return UNKNOWN
        if _FORWARDISH.fullmatch(m):
            level = receiver.model if m == "forward" else min(receiver.model, 2)
            if m in (
                "loss",
                "score",
                "module",
                "features",
                "project",
                "detect",
                "act",
                "sample",
                "generate",
                "predict",
            ):
                level = min(level, 2)
            weak = msgspec.structs.replace(receiver, model=level, cls=None)
            result = self._forward(node, weak, args, keywords, name)
            if level == 1 and m != "forward" and node.o in self.facts.forwards:
                self.facts.forwards[node.o].indirect = True
            return result
        if receiver.model >= 2 and args and not self.state.mode.off and not NO_FORWARD.fullmatch(m):
            return self._some_method(node, receiver, args, keywords, name)
        return self._unseen(node, name, args, keywords)

    def _some_method(
        self, node: ir.Call, receiver: Val, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
    ) -> Val:
        """A method of a model that says nothing of itself: the use of its result will tell whether it is a tensor."""
        receiver = msgspec.structs.replace(receiver, kind="", model=1, cls=None)
        result = self._forward(node, receiver, args, keywords, name)
        if node.o in self.facts.forwards:
            self.facts.forwards[node.o].indirect = True
        return result

    def _other_method(
        self, node: ir.Call, func: ir.Attr, receiver: Val, m: str, args: tuple[Val, ...],
        keywords: tuple[tuple[str, Val], ...], name: str, graph: frozenset[int],
    ) -> Val:  # fmt: skip
        spelled = ir.dotted(func.value) or ""
        hinted = self.enrich(Val(name=name), name) if name and m not in NOT_FORWARD else UNKNOWN
        if hinted.model and (hinted.model > 1 or not any(t >= 0 for t in receiver.graph)):
            return self._forward(node, hinted, args, keywords, name)
        if m == "forward" and args and receiver.kind in ("", "tensor"):
            return self._forward(node, Val(model=2, name=spelled), args, keywords, name)
        if m in _MUTATING and spelled:
            if (
                receiver.kind != "container"
                and _METRIC.search(spelled.rpartition(".")[2])
                and m not in ("append", "extend")
            ):
                self.sink(graph, "metric", node.o)
                return UNKNOWN
            if graph:
                self.keep(graph, func.value, "append", node.o)
                old = self.state.env.get(spelled, UNKNOWN)
                if "." in spelled or (self.facts.body.root is not None and not self._is_local(spelled)):
                    self.sink(graph, "attr", node.o)
                self.put(spelled, msgspec.structs.replace(old, kind=old.kind or "container", graph=old.graph | graph))
            return UNKNOWN
        if m == "scale" and graph:  # scaler.scale(loss)
            return tensor(graph)
        if m in ("submit", "map", "start", "apply_async", "run_in_executor", "starmap"):
            self._record_call(node, None, m, args, keywords)
            self._run_callbacks(args, keywords)
            return UNKNOWN
        found = self.world.demand_method(m)
        if found and graph:
            for value in args:
                if value.graph:
                    self._backward(node, value, m)
            return UNKNOWN
        self._record_call(node, None, m, (receiver, *args), keywords)
        self._run_callbacks(args, keywords)
        if _METRIC.search(spelled.rpartition(".")[2]) or _METRIC.search(m):
            self.sink(graph, "metric", node.o)
            return tensor(graph)
        if PRINTING.search(name or m):
            self.sink(graph, "print", node.o)
            return UNKNOWN
        if receiver.kind in ("loader", "batch"):
            return Val("batch", data=receiver.data, graph=receiver.graph) if m != "size" else UNKNOWN
        if receiver.kind == "container" or receiver.graph:
            return tensor(receiver.graph | graph)
        if guard_by_name(m):
            return Val("guard", data=Mode.DISABLED, name=name)
        if m in ("prepare", "setup", "setup_module", "unwrap_model") and any(v.model for v in args):
            return args[0] if len(args) == 1 else prepared(args)
        if loader_by_name(m):
            return Val("loader", data=split_of(m) or split_of_args(node))
        return self._unseen(node, name or m, args, keywords)
