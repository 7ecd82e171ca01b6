"""What calls do: models are run, guards made, outputs detached, losses walked backward."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from nograd_lint.analysis.facts import OWN, Backward, CallSite, Facts, Forward, Site, Summary, Switch
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
    optimizer_by_name,
    split_of,
    tensor,
)
from nograd_lint.project.index import MODULE, Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Loop
    from nograd_lint.analysis.interp import State
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.knowledge.tables import Model
    from nograd_lint.project.index import File, Project
    from nograd_lint.project.summaries import World

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
_PRINTING = re.compile(
    r"(?:^|\.)(?:print|pprint|info|debug|warning|warn|error|log|write|add_scalars?|add_image\w*|add_histogram|"
    r"imshow|imsave|imwrite|plot|scatter|hist|save_image|savefig|dump|dumps|save|set_postfix\w*|"
    r"set_description\w*|savez?|tqdm|show|display|report|log_metrics?|log_image\w*|log_dict|writerow)$"
)
# Not the model itself: what is computed from its outputs.
_NO_FORWARD = re.compile(
    r".*(?:loss|criterion|metric|accuracy|iou|psnr|ssim|grad|perturb|attack|adversar|truth|label|cost|token).*|"
    r"acc|dice|norm|mean|sum|crit|step|reset|sample|get|pop|next|(?:to|from|load|read|fetch|next|get_batch|collate)(?:_.*)?|"
    r".*(?:weights?|params?|parameters?|bias(?:es)?|coef\w*)",
    re.IGNORECASE,
)
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
        "id",
        "isinstance",
        "type",
        "range",
        "hasattr",
        "callable",
        "format",
    )
)
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
_FREEZING = frozenset(("freeze", "freeze_parameters", "freeze_params", "freeze_all", "freeze_weights", "disable_grad"))
_WRAPPERS = frozenset(
    "DataParallel DistributedDataParallel DDP FullyShardedDataParallel FSDP compile script deepcopy copy "
    "prepare convert "
    "DistributedDataParallelCPU convert_sync_batchnorm to_device trace_module optimize BetterTransformer unwrap_model "
    "prepare_model setup_module get_peft_model ModelEMA ModelEma ModelEmaV2 AveragedModel fuse unwrap "
    "de_parallel".split()
)
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
_INDEXING = frozenset(("max", "min", "topk", "sort", "median", "mode", "kthvalue"))


class Calls:
    """The part of the interpreter that knows calls."""

    if TYPE_CHECKING:
        world: World
        project: Project
        knowledge: Knowledge
        path: str
        unit: str
        depth: int
        facts: Facts
        file: File
        state: State
        stmts: list[int]
        loops: list[Loop]
        known_forwards: frozenset[int]
        revealed: set[int]
        has_origins: bool
        functions: list[str]
        returned: list[list[Val]]
        inlining: list[int]
        ran: set[int]
        nested: dict[int, Any]
        guarded_functions: dict[int, Mode]

        def expr(self, node: ir.Expr) -> Val: ...
        def enrich(self, value: Val, name: str) -> Val: ...
        def attribute(self, base: Val, attr: str, name: str) -> Val: ...
        def sink(self, graph: frozenset[int], kind: str, node: int) -> None: ...
        def keep(self, graph: frozenset[int], target: ir.Expr, kind: str, node: int) -> None: ...
        def _is_local(self, name: str | None) -> bool: ...
        def site(self, node: int, receiver: str = "") -> dict[str, Any]: ...
        def block(self, stmts: Any) -> None: ...
        def assign(self, target: ir.Expr, value: Val, source: ir.Expr | None) -> None: ...

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
        graph = _union(args, keywords)
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
        if any(_is_function(value) for value in (*args, *(v for _, v in keywords))):
            self._record_call(node, None, "", args, keywords)  # who is given one may call it
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
        graph = _union(args, keywords)
        last = name.rpartition(".")[2]
        if guard_by_name(last) and not any(v.graph for v in args):
            return Val("guard", data=Mode.DISABLED, name=name)
        if last in _NUMBERS:
            kind = "print" if last in ("str", "repr", "format") else "shape" if last == "len" else "item"
            self.sink(graph, kind, node.o)
            return NUMBER
        if last in _ITERATING:
            return self._iterated(args)
        if last in ("max", "min", "sum", "abs"):
            return tensor(graph)
        if _PRINTING.search(name):
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
        if last in _WRAPPERS and args and args[0].model:
            return args[0] if len(args) == 1 or last != "prepare" else _prepared(args)
        self._run_callbacks(args, keywords)
        if loader_by_name(last) and not graph:
            return Val("loader", data=split_of(last) or _split_of_args(node))
        return self._unseen(node, name, args, keywords)

    def _unseen(self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val:
        """The result of something that nobody can look into: a forward if it is detached later on."""
        graph = _union(args, keywords)
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
        ):
            return tensor(graph)
        self.has_origins = True
        return Val(graph=graph, origin=node.o)

    def _is_no_forward(self, node: ir.Call, name: str) -> bool:
        """A tensor's own method, a constructor, something of the standard library, or a loss."""
        head, _, last = name.rpartition(".")
        if last[:1].isupper() or _NO_FORWARD.fullmatch(last):
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
        for value in (*args, *(v for _, v in keywords)):
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
            return tensor(_union(args, keywords))
        params = self.world.parameters(symbol)
        bound = bind(params, args, keywords)
        if summary.guard is not None:
            return Val("guard", data=summary.guard, name=name)
        if summary.decorates is not None and args:
            return self._under_guard(summary.decorates, args[0])
        own = NOTHING
        makes = makes_by_name(symbol.name)
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
                    self.state.env[put] = msgspec.structs.replace(bound[i], model=3)
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
        unseen = returns.origin >= 0 or any(item.origin >= 0 for item in returns.items or ())
        if receiver is not None and receiver.model >= 2 and not level and not summary.guarded_forward:
            unseen = unseen or (returns.kind in ("", "tensor") and summary.entry is None)  # it may use its parameters
        if unseen and not any(t >= 0 for t in graph) and not _NO_FORWARD.fullmatch(symbol.name.rpartition(".")[2]):
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
            kind, data = "loader", split_of(last) or _split_of_args(node)
        return Val(kind, cls=symbol, data=data, name=name, graph=_union(args, keywords))

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
        inputs = _union(args, keywords)
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

    # --- methods ------------------------------------------------------------------------------------------------------

    def _method_call(self, node: ir.Call, func: ir.Attr, name: str) -> Val:
        m = func.attr
        receiver = self.expr(func.value)
        if self.has_origins:
            self._reveal(func, receiver)
        self.facts.values[func.o] = receiver
        args = tuple(self.expr(a) for a in node.args)
        keywords = tuple((k, self.expr(v)) for k, v in node.keywords)
        graph = _union(args, keywords)
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
            return _with_indices(receiver.graph)
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
        return tensor(_union(args, keywords))

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
        inner = self.attribute(receiver, m, name) if receiver.kind != "self" else UNKNOWN
        if inner.model and inner.kind != "bound":
            return self._forward(node, msgspec.structs.replace(inner, name=name), args, keywords, name)
        hinted = self.enrich(Val(name=name), name) if name else UNKNOWN
        if hinted.model:
            return self._forward(node, hinted, args, keywords, name)
        if receiver.kind == "self":
            if m == "forward" or m == "__call__":
                return self._forward(node, receiver, args, keywords, name)
            if _METRIC.search(m) or _PRINTING.search(m):
                self.sink(_union(args, keywords), "metric", node.o)
                return tensor(_union(args, keywords))
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
        if receiver.model >= 2 and args and not self.state.mode.off and not _NO_FORWARD.fullmatch(m):
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
                self.state.env[spelled] = msgspec.structs.replace(
                    old, kind=old.kind or "container", graph=old.graph | graph
                )
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
        if _PRINTING.search(name or m):
            self.sink(graph, "print", node.o)
            return UNKNOWN
        if receiver.kind in ("loader", "batch"):
            return Val("batch", data=receiver.data, graph=receiver.graph) if m != "size" else UNKNOWN
        if receiver.kind == "container" or receiver.graph:
            return tensor(receiver.graph | graph)
        if guard_by_name(m):
            return Val("guard", data=Mode.DISABLED, name=name)
        if m in ("prepare", "setup", "setup_module", "unwrap_model") and any(v.model for v in args):
            return args[0] if len(args) == 1 else _prepared(args)
        if loader_by_name(m):
            return Val("loader", data=split_of(m) or _split_of_args(node))
        return self._unseen(node, name or m, args, keywords)

    # --- externals ----------------------------------------------------------------------------------------------------

    def _external(self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> Val:
        graph = _union(args, keywords)
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
            return Val("loader", data=_split_of_args(node))
        if known.detached(name) is not None:
            self.sink(graph, "argmax", node.o)
            return UNKNOWN
        if name.startswith("torch."):
            if (
                last in _INDEXING
                and (len(node.args) > 1 or node.keywords or last in ("topk", "sort"))
                and not (len(args) > 1 and args[1].graph)
            ):
                return _with_indices(graph)
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
            return args[0] if name.rpartition(".")[2] in _WRAPPERS and args and args[0].model else None
        if wrapper.each:
            return args[0] if len(args) == 1 else _prepared(args)
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
        return tensor(_union(args, keywords)) if name.endswith(".grad") else UNKNOWN

    # --- backward, switches, guards -----------------------------------------------------------------------------------

    def _backward_method(self, node: ir.Call, receiver: Val, args: tuple[Val, ...]) -> Val:
        value = receiver
        if not receiver.graph and args:
            value = args[0]
        self._backward(node, value, "backward")
        for arg in args:
            self.sink(arg.graph, "backward", node.o)
        return UNKNOWN

    def _backward(self, node: ir.Call, value: Val, what: str) -> None:
        graph = value.graph
        self.sink(graph, "backward", node.o)
        known = self.facts.backwards.get(node.o)
        if known is None:
            self.facts.backwards[node.o] = Backward(**self.site(node.o), graph=graph, what=what, value=value)
        else:
            known.graph |= graph
            known.modes |= {(self.state.mode, self.state.guard)}

    def _switch(self, node: ir.Call, to: Mode, how: str) -> None:
        self.facts.switches.setdefault(node.o, Switch(**self.site(node.o), to=to, how=how))
        self.state.mode, self.state.guard = to, self.stmts[-1] if self.stmts else node.o

    def requires_grad(self, expr: ir.Expr, value: Val, on: bool, attribute: bool = False) -> None:
        """``x.requires_grad = on`` or ``x.requires_grad_(on)``; as an attribute of a module the first does nothing."""
        name = ir.dotted(expr)
        if value.kind == "param":
            owner = value.name
            if not on and owner:
                self._freeze(owner, True)
            return
        if value.model:
            owner = name or value.name  # ``teacher.eval().requires_grad_(False)``
            if owner and not attribute:
                self._freeze(owner, not on)
            return
        if name is not None and on:
            self.state.env[name] = Val("leaf", graph=value.graph, name=name)

    def _freeze(self, name: str, frozen: bool) -> None:
        value = self.state.env.get(name)
        if value is None:
            value = self.enrich(Val(name=name, model=2), name)
        if not self._in_filter():
            self.state.env[name] = msgspec.structs.replace(value, frozen=frozen, model=value.model or 2)

    def _in_filter(self) -> bool:
        """Freezing under an ``if`` inside the loop freezes only some of the parameters."""
        if not self.loops:
            return False
        loop = self.loops[-1].node
        after = self.stmts[self.stmts.index(loop) + 1 :] if loop in self.stmts else []
        return len(after) > 1

    def entered(self, value: Val) -> Mode | None:
        """The grad mode that entering a value as a context sets; None where it is no guard."""
        if value.kind == "guard":
            mode = value.data
            return mode if isinstance(mode, Mode) else Mode.DYNAMIC
        if value.cls is not None and value.cls.kind == "class":
            return self.world.guard_class(value.cls)
        return None

    def guard_of_decorator(self, decorator: ir.Expr) -> Mode | None:
        """The mode that a decorator puts its function in, None where it is no guard."""
        value = self.expr(decorator)
        if value.kind == "guard":
            return value.data if isinstance(value.data, Mode) else None
        symbol = value.symbol
        if symbol is not None and symbol.kind == "external":
            mode = self.world.guard_mode(symbol.name)
            if mode is not None and not isinstance(decorator, ir.Call):
                return None if symbol.name == "torch.set_grad_enabled" else mode
        if symbol is not None and symbol.kind == "function":
            summary = self.world.summary(symbol, self.depth - 1)
            if summary is not None:
                return summary.decorates or summary.guard
        if value.kind == "guarded":
            return None
        name = ir.dotted(decorator.func if isinstance(decorator, ir.Call) else decorator)
        if name is not None and guard_by_name(name):
            return Mode.DISABLED
        return None

    def _with_mode(self, mode: Mode, node: ir.Call, run: Any) -> Val:
        saved = (self.state.mode, self.state.guard)
        self.state.mode, self.state.guard = self.state.mode.under(mode), node.o
        result: Val = run()
        self.state.mode, self.state.guard = saved
        return result

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
            return tensor(_union(args, keywords))
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

    # --- the summary --------------------------------------------------------------------------------------------------

    def _summarise(self, root: ir.Def | None) -> Summary:
        facts = self.facts
        if root is None or self.unit == MODULE:
            return Summary()
        forward = guarded = enabled = 0
        own: set[int] = set()
        for node, found in facts.forwards.items():
            if found.frozen or found.fallback:
                continue
            for mode, _ in found.modes:
                if mode.off:
                    guarded = max(guarded, found.level)
                elif mode is Mode.ENABLED:
                    enabled = max(enabled, found.level)
                    own.add(node)
                elif mode is Mode.DYNAMIC:  # on request, as its callers wish
                    guarded = max(guarded, found.level)
                elif mode is Mode.ENTRY:
                    forward = max(forward, found.level)
                    own.add(node)
        if facts.entry is not None and facts.entry[0].off:
            guarded, forward, own = max(guarded, forward), 0, set()
        called: set[int] = set()
        for i, param in enumerate(root.params):
            value = facts.env.get(param.name)
            if any(
                f.receiver == param.name or f.receiver.startswith(param.name + ".")
                for n, f in facts.forwards.items()
                if n in own
            ):
                called.add(i)
            del value
        if own and not any(
            facts.forwards[n].receiver.partition(".")[0] not in {p.name for p in root.params} - {"self"} for n in own
        ):
            # Every model that it runs comes from its caller: whether that is a model, the caller knows better.
            forward = min(forward, 2)
        backward_params = {-1 - t for t, sinks in facts.sinks.items() if t < 0 and t != OWN and "backward" in sinks}
        escapes = {
            -1 - t for t, sinks in facts.sinks.items() if t < 0 and t != OWN and ("attr" in sinks or "stored" in sinks)
        }
        detaches = {
            -1 - t: tuple(k for k in ("detach", "moved", "exported") if k in sinks)
            for t, sinks in facts.sinks.items()
            if t < 0 and t != OWN and "detach" in sinks
        }
        backward = any("backward" in facts.sinks.get(n, {}) for n in own)
        returns = join(_abstract(v, own, root, facts) for v in self.returned[0])
        if root.is_generator and returns.kind == "guard":
            returns = UNKNOWN
        guard = self._as_context_manager(root)
        leaves = None
        if facts.switches and guard is None:
            modes = {m for m, _ in facts.exit_modes}
            if len(modes) == 1 and (mode := next(iter(modes))) is not Mode.ENTRY and facts.entry is None:
                leaves = mode
        evals = set()
        names = {p.name: i for i, p in enumerate(root.params)}
        manager = _is_context_manager(root)
        for spelled, to, _ in facts.evals.values():
            if to == "eval" and spelled in names and (manager or self._last_switch(spelled) == "eval"):
                evals.add(names[spelled])
        return Summary(
            returns=returns,
            forward=forward,
            guarded_forward=guarded,
            enabled_forward=enabled,
            backward=backward,
            backward_params=frozenset(backward_params),
            graph_of_its_own=frozenset(i for i in backward_params if self._has_own_graph(-1 - i)),
            called_params=frozenset(called),
            guard=guard,
            decorates=self._as_decorator(root),
            leaves=leaves,
            evals=frozenset(evals),
            trains=bool(facts.steps) or bool(facts.backwards),
            entry=facts.entry[0] if facts.entry else None,
            detaches=tuple(sorted(detaches.items())),
            escapes=frozenset(escapes),
            param_calls=tuple((i, tuple(sorted(m))) for i, m in sorted(facts.param_calls.items())),
        )

    def _has_own_graph(self, token: int) -> bool:
        walked = [b for b in self.facts.backwards.values() if token in b.graph]
        return any(b.inner or any(t >= 0 for t in b.graph) for b in walked)

    def _last_switch(self, spelled: str) -> str:
        last = ""
        for name, to, _ in self.facts.evals.values():
            if name == spelled:
                last = to
        return last

    def _as_context_manager(self, root: ir.Def) -> Mode | None:
        """A generator under ``contextmanager`` that yields in a grad mode of its own; or a function that "
        "makes a guard."""
        if _is_context_manager(root):
            modes = self.yield_modes()
            if len(modes) == 1:
                mode = next(iter(modes))
                return None if mode is Mode.ENTRY else mode
            return Mode.DYNAMIC if any(m is not Mode.ENTRY for m in modes) else None
        guards = [v for v in self.returned[0] if v.kind == "guard"]
        if guards and not root.is_generator:
            return join(guards).data if len(guards) == len(self.returned[0]) else Mode.DYNAMIC
        return None

    def yield_modes(self) -> set[Mode]:
        from nograd_lint.syntax.ir import walk

        modes: set[Mode] = set()
        root = self.facts.body.root
        if root is None:
            return modes
        for node in walk(root.body):
            if isinstance(node, (ir.ExprStmt, ir.Assign)) and isinstance(node.value, ir.Yield):
                modes |= self.facts.stmt_modes.get(node.o, set())
        return modes

    def _as_decorator(self, root: ir.Def) -> Mode | None:
        """A function that takes a function and gives back one that runs it under a guard."""
        if not root.params:
            return None
        found: set[Mode] = set()
        for value in self.returned[0]:
            if value.kind == "guarded":
                found.add(value.data[0])
            elif value.kind == "func":
                function, mode = value.data
                if mode is not None:
                    found.add(mode)
                    continue
                found |= self._modes_of_calls_in(function, {p.name for p in root.params})
        if len(found) == 1:
            return next(iter(found))
        return Mode.DYNAMIC if found else None

    def _modes_of_calls_in(self, function: ir.Def | ir.Lambda, names: set[str]) -> set[Mode]:
        """Modes in which a wrapper calls what it wraps; a wrapper inside the wrapper counts."""
        from nograd_lint.syntax.ir import walk

        found: set[Mode] = set()
        if isinstance(function, ir.Lambda):
            return found
        names = names | {p.name for p in function.params if p.kind == "positional"}
        for stmt in walk(function.body):
            if isinstance(stmt, ir.With):
                for node in walk(stmt.body):
                    if isinstance(node, ir.Call) and isinstance(node.func, ir.Name) and node.func.id in names:
                        for (with_node, _), guard in self.facts.guards.items():
                            if with_node == stmt.o and guard.mode is not Mode.ENTRY:
                                found.add(guard.mode)
            elif isinstance(stmt, ir.Return) and isinstance(stmt.value, ir.Call):
                value = self.facts.values.get(stmt.value.func.o)
                if value is not None and value.kind == "guarded":
                    found.add(value.data[0])
        return found


def _is_context_manager(root: ir.Def) -> bool:
    names = {(ir.dotted(d.func if isinstance(d, ir.Call) else d) or "").rpartition(".")[2] for d in root.decorators}
    return root.is_generator and bool(names & {"contextmanager", "asynccontextmanager"})


def _is_function(value: Val) -> bool:
    """A function of the project, or a list that holds one."""
    return any(v.symbol is not None and v.symbol.kind == "function" for v in (value, *(value.items or ())))


def _union(args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> frozenset[int]:
    graph = NOTHING
    for value in args:
        if value.graph and not value.model:
            graph |= value.graph
    for _, value in keywords:
        if value.graph and not value.model:
            graph |= value.graph
    return graph


def _with_indices(graph: frozenset[int]) -> Val:
    """Values and indices, as ``max`` and ``topk`` along a dimension give them."""
    return Val("container", graph=graph, items=(tensor(graph), Val("detached", data=graph)))


def _prepared(args: tuple[Val, ...]) -> Val:
    return Val("container", items=args, graph=NOTHING)


def _split_of_args(node: ir.Call) -> str:
    """``DataLoader(test_set)``, ``load(split="val")``, ``get_loader(train=False)``."""
    found = set()
    for arg in node.args:
        name = ir.dotted(arg)
        if name is not None:
            found.add(split_of(name))
        elif isinstance(arg, ir.Const) and arg.kind == "str":
            found.add(split_of(str(arg.value)))
        elif isinstance(arg, ir.Call):
            found.add(_split_of_args(arg))
    for key, value in node.keywords:
        if isinstance(value, ir.Const) and value.kind == "str" and key in ("split", "mode", "phase", "subset", "stage"):
            found.add(split_of(str(value.value)))
        if isinstance(value, ir.Const) and value.kind == "bool" and key in ("train", "is_train", "training"):
            found.add("train" if value.value else "eval")
    found -= {""}
    return found.pop() if len(found) == 1 else ""


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


def _abstract(value: Val, own: set[int], root: ir.Def, facts: Facts) -> Val:
    """A returned value as callers see it."""
    for i, param in enumerate(root.params):
        if value.name == param.name and value.graph == {-1 - i} and not value.kind and (i > 0 or facts.cls is None):
            return Val("param_value", data=i, graph=frozenset((-1 - i,)))
    graph = frozenset(t for t in value.graph if t < 0)
    if any(t in own for t in value.graph):
        graph |= {OWN}
    items = None
    if value.items is not None:
        items = tuple(msgspec.structs.replace(_abstract(v, own, root, facts), items=None) for v in value.items)
    if value.kind == "detached":
        return UNKNOWN
    if value.kind in ("func", "guarded", "partial", "bound", "self", "super"):
        if value.kind == "self":
            return Val(cls=value.cls, model=value.model)
        return Val(graph=graph)
    return msgspec.structs.replace(value, graph=graph, items=items)
