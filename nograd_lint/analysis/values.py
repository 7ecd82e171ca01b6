"""What the analysis knows of a value: a model, a loader, a guard, a tensor that carries the graph of a forward, …"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from nograd_lint.project.index import Symbol


class Mode(str, enum.Enum):
    """Grad mode at a place. ENTRY is whatever the unit's caller has."""

    ENTRY = "entry"
    ENABLED = "enabled"
    DISABLED = "disabled"
    INFERENCE = "inference"
    DYNAMIC = "dynamic"

    @property
    def off(self) -> bool:
        return self in (Mode.DISABLED, Mode.INFERENCE)

    def under(self, guard: Mode) -> Mode:
        """The mode inside a guard that is entered in this mode."""
        if guard is Mode.DISABLED:
            return Mode.INFERENCE if self is Mode.INFERENCE else Mode.DISABLED
        if guard is Mode.ENABLED and self is Mode.INFERENCE:
            return Mode.INFERENCE
        return guard


NOTHING: frozenset[int] = frozenset()


class Val(msgspec.Struct, frozen=True, gc=False):
    """An abstract value.

    Attributes:
        kind: "", model-free kinds such as loader, batch, optimizer, loss, guard, const, func, bound,
            leaf, number, self.
        symbol: what the value is, for a function, class or external name.
        cls: the class that it is an instance of.
        model: how sure it is a module with parameters: 0 no, 1 by its name alone, 2 likely, 3 surely.
        frozen: none of its parameters requires a gradient.
        graph: forwards (ordinals >= 0) and parameters (-1 - index) whose graph the value may carry.
        data: guard: its :class:`Mode`; detached: the graph that the tensor had; loader, batch: "eval", "train" or "";
            const: the literal; func: its facts; bound: the receiver.
        items: elements of a tuple.
        name: spelling, for messages and hints.
        evaluating: a model that was made in eval mode.
        origin: the call, of something that nobody can look into, which the value comes from; -1 for none.
    """

    kind: str = ""
    symbol: Symbol | None = None
    cls: Symbol | None = None
    model: int = 0
    frozen: bool = False
    graph: frozenset[int] = NOTHING
    data: Any = None
    items: tuple[Val, ...] | None = None
    name: str = ""
    evaluating: bool = False
    origin: int = -1

    def with_graph(self, graph: frozenset[int]) -> Val:
        return self if graph == self.graph else msgspec.structs.replace(self, graph=graph)


UNKNOWN = Val()
NUMBER = Val(kind="number")


def tensor(graph: frozenset[int]) -> Val:
    return Val(kind="tensor", graph=graph) if graph else UNKNOWN


def join(values: Iterable[Val]) -> Val:
    """The value that is one of several."""
    first: Val | None = None
    for value in values:
        if first is None or first is value or first == value:
            first = value
            continue
        items = None
        if first.items is not None and value.items is not None and len(first.items) == len(value.items):
            items = tuple(join(pair) for pair in zip(first.items, value.items, strict=True))
        kind, data = first.kind, first.data
        if "guard" in (first.kind, value.kind):
            kind = "guard"
            same = first.kind == value.kind and first.data == value.data
            data = first.data if same else Mode.DYNAMIC
        elif first.kind != value.kind:
            kind, data = (value.kind, value.data) if not first.kind else (first.kind, first.data)
            if first.kind and value.kind:
                kind, data = "", None
        elif data != value.data:
            kind, data = (kind, "") if kind in ("loader", "batch") else ("", None)
        first = Val(
            kind,
            first.symbol if first.symbol == value.symbol else None,
            first.cls if first.cls == value.cls else first.cls or value.cls,
            max(first.model, value.model),
            first.frozen and value.frozen,
            first.graph | value.graph,
            data,
            items,
            first.name or value.name,
            origin=first.origin if first.origin >= 0 else value.origin,
        )
    return first if first is not None else UNKNOWN


# --- what names suggest ---------------------------------------------------------------------------------------------

_kept = lru_cache(maxsize=20_000)  # projects say the same names again and again

_LIKELY_MODEL = re.compile(
    r"_*(?:model|models|net|network|nets|generator|discriminator|net[_]?[a-z]{1,2}|unet|vae|encoder|decoder|backbone|"
    r"classifier|policy|actor|critic|transformer|text_encoder|image_encoder|vision_tower|bert|gpt|llm|lm|student|"
    r"teacher|detector|segmentor|module|predictor|regressor|autoencoder|vocoder|"
    r"\w+_(?:model|net|network|encoder|decoder|nets|backbone|classifier|policy)|model_\w+|net_\w+)\d*",
    re.IGNORECASE,
)
CLASS_NAME = re.compile(r"_*[A-Z][A-Z0-9]*[a-z]\w*")
# Classes, paths and the like, of models.
_ABOUT_MODEL = re.compile(
    r"_(?:class|cls|type|name|path|dir|file|config|cfg|args|kwargs|id|builder|factory|spec|info)$", re.IGNORECASE
)
_MAYBE_MODEL = re.compile(
    r"[A-Z]{1,2}|[a-z]*(?:net|model|former)\d*|ema|learner|agent|module|head|fc\d*|embedding", re.IGNORECASE
)


# First words of names of functions that do something to a model: ``load_model`` is none.
_VERBS = frozenset(
    "get load build create make prepare save export init initialize set dispatch wrap train fit compile "
    "convert test eval "
    "evaluate validate run update freeze unfreeze quantize fuse unwrap find list register download upload "
    "push merge check "
    "print count parse select switch call apply reset restore resume define setup configure construct add "
    "remove delete "
    "copy clone log plot show visualize summarize inspect trace script patch shard parallelize deploy serve benchmark "
    "profile is has use read write store fetch import infer predict from to on new num max min name".split()
)


@_kept
def model_by_name(name: str) -> int:
    """1 where a name alone suggests a model, else 0; a plain one that is written as those of classes is none."""
    last = name.rpartition(".")[2]
    if _LIKELY_MODEL.fullmatch(last) is None or _ABOUT_MODEL.search(last) or CLASS_NAME.match(name):
        return 0
    return int(last.lstrip("_").partition("_")[0].lower() not in _VERBS)


_EVAL_WORDS = frozenset(
    "val valid validation validate validating test testing tst eval evaluation evaluate evaluator dev "
    "infer inference predict "
    "prediction holdout heldout gallery query".split()
)
_TRAIN_WORDS = frozenset("train training trn tr".split())


def words(name: str) -> list[str]:
    """``valLoader2`` → val, loader."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


@_kept
def split_of(name: str) -> str:
    """Whether a name speaks of evaluation or of training data."""
    found = words(name.rpartition(".")[2])
    if not found:
        return ""
    for word in found:
        if word in _TRAIN_WORDS or word.startswith("train"):
            return "train"
    for word in found:
        if word in _EVAL_WORDS or (word.endswith("loader") and word[:-6] in _EVAL_WORDS):
            return "eval"
        for stem in ("valid", "test", "eval"):
            if word.startswith(stem) and word[len(stem) :] in (
                "loader",
                "dataloader",
                "set",
                "data",
                "iter",
                "ds",
                "dl",
            ):
                return "eval"
        if word in ("valloader", "valset", "valdata", "valdataloader"):
            return "eval"
    return ""


_LOADERISH = re.compile(
    r"loader|dataset|_dl\b|_iter\b|iterator|data\b|_ds\b|batches|batch|dataset|_set\b|queue|samples", re.IGNORECASE
)


@_kept
def loader_by_name(name: str) -> bool:
    return _LOADERISH.search(name.rpartition(".")[2]) is not None


_EVAL_FUNCTION = frozenset(
    "val valid validation validate test testing eval evaluate evaluation evaluator infer inference predict prediction "
    "predictions predictor demo sample sampling visualize visualise visualization visualisation plot embed embeddings "
    "transcribe translate score scores accuracy metrics metric benchmark export profile summary summarize perplexity "
    "reconstruct synthesize generate render caption representation representations latent latents posterior likelihood "
    "statistics shape query retrieve search answer answers classify run".split()
)
_SURE_EVAL_FUNCTION = frozenset(
    "val valid validation validate test testing eval evaluate evaluation infer inference predict "
    "prediction predictions "
    "transcribe benchmark accuracy".split()
)


@_kept
def evaluation_by_name(function: str) -> int:
    """2 where the last part of a qualified name says evaluation or inference, 1 where it may, else 0."""
    found = words(function.rpartition(".")[2])
    if any(w.startswith("train") or w in ("fit", "loss", "finetune", "optimize", "learn", "backward") for w in found):
        return 0
    if any(w in _SURE_EVAL_FUNCTION for w in found):
        return 2
    return int(any(w in _EVAL_FUNCTION for w in found))


_OPTIMIZER = re.compile(
    r"(?:^|_|\.)(?:optim\w*|opt|optimi[sz]ers?\w*|optimizer_\w+|\w*_optim(?:izer)?|\w*_opt)$", re.IGNORECASE
)


@_kept
def optimizer_by_name(name: str) -> bool:
    return _OPTIMIZER.search(name) is not None


_GUARD_NAME = re.compile(
    r"(?:^|_)(?:no_?grad|inference_mode|disable_grad\w*|without_grad\w*)(?:_|$)|(?:^|\.)nograd", re.IGNORECASE
)


@_kept
def guard_by_name(name: str) -> bool:
    """A wrapper that nobody can look into, but whose name says that it disables gradients."""
    return _GUARD_NAME.search(name.rpartition(".")[2]) is not None


_GETS_MODEL = re.compile(r"get_(?:\w+_)?(?:model|models|net|network|module|encoder|decoder|backbone|classifier|policy)")
_MAKING = frozenset("load create make build setup init initialize restore checkpoint construct prepare".split())


@_kept
def makes_by_name(function: str) -> bool:
    """A function that makes, loads or stores something: a forward in it is its own affair."""
    found = set(words(function.rpartition(".")[2]))
    if _MAKING & found or ("save" in found and not _SURE_EVAL_FUNCTION & found):
        return True
    last = function.rpartition(".")[2].lstrip("_")
    return last.startswith("set_") or last.endswith("state_dict") or _GETS_MODEL.fullmatch(last) is not None


@_kept
def trains_by_name(function: str) -> bool:
    """A function whose name says that it trains."""
    found = words(function.rpartition(".")[2])
    return any(w.startswith("train") or w in ("fit", "learn", "finetune", "optimize", "update") for w in found)


_EVAL_CLASS = frozenset("pipeline predictor inferencer inference evaluator tester validator transcriber reader".split())


def evaluation_class(name: str) -> bool:
    """A class whose name says that it evaluates or predicts."""
    return any(w in _EVAL_CLASS for w in words(name.rpartition(".")[2])[-1:])
