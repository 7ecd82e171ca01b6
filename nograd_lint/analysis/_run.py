"""One run over a unit, as the parts of the interpreter see it, and what they share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nograd_lint.analysis.facts import Facts
from nograd_lint.analysis.values import (
    NOTHING,
    Mode,
    Val,
    split_of,
    tensor,
)
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.analysis.facts import Loop
    from nograd_lint.analysis.state import State
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.knowledge.tables import Model
    from nograd_lint.project.file import File
    from nograd_lint.project.index import Project
    from nograd_lint.project.summaries import World
PRINTING = re.compile(
    r"(?:^|\.)(?:print|pprint|info|debug|warning|warn|error|log|write|add_scalars?|add_image\w*|add_histogram|"
    r"imshow|imsave|imwrite|plot|scatter|hist|save_image|savefig|dump|dumps|save|set_postfix\w*|"
    r"set_description\w*|savez?|tqdm|show|display|report|log_metrics?|log_image\w*|log_dict|writerow)$"
)
# Not the model itself: what is computed from its outputs.
NO_FORWARD = re.compile(
    r".*(?:loss|criterion|metric|accuracy|iou|psnr|ssim|grad|perturb|attack|adversar|truth|label|cost|token).*|"
    r"(?:\w+_)?transforms?(?:_\w+)?|acc|dice|norm|mean|sum|crit|step|reset|sample|get|pop|next|(?:to|from|load|read|fetch|next|get_batch|collate)(?:_.*)?|"
    r".*(?:weights?|params?|parameters?|bias(?:es)?|coef\w*)",
    re.IGNORECASE,
)
WRAPPERS = frozenset(
    "DataParallel DistributedDataParallel DDP FullyShardedDataParallel FSDP compile script deepcopy copy "
    "prepare convert "
    "DistributedDataParallelCPU convert_sync_batchnorm to_device trace_module optimize BetterTransformer unwrap_model "
    "prepare_model setup_module get_peft_model ModelEMA ModelEma ModelEmaV2 AveragedModel fuse unwrap "
    "de_parallel".split()
)


class Run:
    """What a run holds, and what its parts ask of each other."""

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
        assigning: ir.Assign | None
        spelled: dict[int, tuple[str | None, ...]]
        loops: list[Loop]
        known_forwards: frozenset[int]
        revealed: set[int]
        has_origins: bool
        functions: list[str]
        locals: dict[str, ir.Alias]
        globals_declared: set[str]
        owners: set[str]
        said: dict[tuple[str, int, int], tuple[frozenset[str], int]]
        early: list[tuple[set[int], set[int]]]
        extent: tuple[int, int]
        class_extent: tuple[int, int]
        returned: list[list[Val]]
        inlining: list[int]
        ran: set[int]
        nested: dict[int, Any]
        guarded_functions: dict[int, Mode]

        def expr(self, node: ir.Expr) -> Val: ...
        def put(self, name: str, value: Val) -> None: ...
        def enrich(self, value: Val, name: str) -> Val: ...
        def attribute(self, base: Val, attr: str, name: str) -> Val: ...
        def sink(self, graph: frozenset[int], kind: str, node: int) -> None: ...
        def keep(self, graph: frozenset[int], target: ir.Expr, kind: str, node: int) -> None: ...
        def _is_local(self, name: str | None) -> bool: ...
        def site(self, node: int, receiver: str = "") -> dict[str, Any]: ...
        def block(self, stmts: Any) -> None: ...
        def assign(self, target: ir.Expr, value: Val, source: ir.Expr | None) -> None: ...
        def _backward(self, node: ir.Call, value: Val, what: str) -> None: ...
        def _backward_method(self, node: ir.Call, receiver: Val, args: tuple[Val, ...]) -> Val: ...
        def _external(
            self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]
        ) -> Val: ...
        def _forward(
            self, node: ir.Call, callee: Val, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
        ) -> Val: ...
        def _freeze(self, name: str, frozen: bool) -> None: ...
        def _made_model(self, model: Model, name: str) -> Val: ...
        def _method_call(self, node: ir.Call, func: ir.Attr, name: str) -> Val: ...
        def _mode_switch(self, node: ir.Call, spelled: str, to: str) -> None: ...
        def _project_call(
            self, node: ir.Call, symbol: Symbol, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
        ) -> Val: ...
        def _record_call(
            self,
            node: ir.Call,
            symbol: Symbol | None,
            method: str,
            args: tuple[Val, ...],
            keywords: tuple[tuple[str, Val], ...],
        ) -> None: ...
        def _run_callbacks(self, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> None: ...
        def _some_method(
            self, node: ir.Call, receiver: Val, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
        ) -> Val: ...
        def _switch(self, node: ir.Call, to: Mode, how: str) -> None: ...
        def _under_guard(self, mode: Mode, function: Val) -> Val: ...
        def _unknown_call(
            self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]
        ) -> Val: ...
        def _unseen(
            self, node: ir.Call, name: str, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]
        ) -> Val: ...
        def _with_mode(self, mode: Mode, node: ir.Call, run: Any) -> Val: ...
        def apply(
            self, node: ir.Call, callee: Val, args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...], name: str
        ) -> Val: ...
        def entered(self, value: Val) -> Mode | None: ...
        def inline(
            self,
            function: ir.Def | ir.Lambda,
            name: str,
            args: tuple[Val, ...],
            keywords: tuple[tuple[str, Val], ...],
            mode: Mode | None = None,
        ) -> Val: ...
        def requires_grad(self, expr: ir.Expr, value: Val, on: bool, attribute: bool = False) -> None: ...


def union(args: tuple[Val, ...], keywords: tuple[tuple[str, Val], ...]) -> frozenset[int]:
    graph = NOTHING
    for value in args:
        if value.graph and not value.model:
            graph |= value.graph
    for _, value in keywords:
        if value.graph and not value.model:
            graph |= value.graph
    return graph


def with_indices(graph: frozenset[int]) -> Val:
    """Values and indices, as ``max`` and ``topk`` along a dimension give them."""
    return Val("container", graph=graph, items=(tensor(graph), Val("detached", data=graph)))


def prepared(args: tuple[Val, ...]) -> Val:
    return Val("container", items=args, graph=NOTHING)


def split_of_args(node: ir.Call) -> str:
    """``DataLoader(test_set)``, ``load(split="val")``, ``get_loader(train=False)``."""
    found = set()
    for arg in node.args:
        name = ir.dotted(arg)
        if name is not None:
            found.add(split_of(name))
        elif isinstance(arg, ir.Const) and arg.kind == "str":
            found.add(split_of(str(arg.value)))
        elif isinstance(arg, ir.Call):
            found.add(split_of_args(arg))
    for key, value in node.keywords:
        if isinstance(value, ir.Const) and value.kind == "str" and key in ("split", "mode", "phase", "subset", "stage"):
            found.add(split_of(str(value.value)))
        if isinstance(value, ir.Const) and value.kind == "bool" and key in ("train", "is_train", "training"):
            found.add("train" if value.value else "eval")
    found -= {""}
    return found.pop() if len(found) == 1 else ""
