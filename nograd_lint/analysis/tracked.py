"""The question behind NGL101 to NGL104: which forwards are evaluation, tracked, and asked for no gradient?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.facts import Facts, Forward, walk
from nograd_lint.analysis.values import Mode, evaluation_by_name, evaluation_class, split_of, words
from nograd_lint.diagnostics import Confidence
from nograd_lint.project.index import MODULE, Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.project.summaries import Entry, World

_DETACHED = ("item", "detach", "argmax", "compare", "numpy", "print", "metric", "consumed", "shape", "discarded", "fed")
_ESCAPES = ("return", "yield", "attr", "stored")
_TENSOR_USE = ("item", "detach", "argmax", "consumed", "moved", "fed")  # what only a tensor can be used for
_LOOSE = ("passed", "append", "accumulate", "store")
_OTHERS = ("tensorflow", "keras", "tf_keras", "jax", "flax", "haiku", "mxnet", "paddle", "tinygrad", "mlx")
_OURS = ("torch", "pytorch_lightning", "lightning", "transformers", "diffusers", "accelerate", "timm")
_TORCH = re.compile(rb"torch|lightning|transformers|diffusers|accelerate|monai|timm|fairseq|allennlp|fastai")


class Tracked(msgspec.Struct, frozen=True):
    """A run of statements that evaluates with gradient tracking on."""

    code: str
    forwards: tuple[int, ...]  # ordinals, in order
    confidence: Confidence
    function: str
    region: tuple[int, int]
    notes: tuple[tuple[str, int], ...]  # evidence within the unit: text, ordinal
    kept: tuple[tuple[int, str], ...]
    whole: Symbol | None  # set where the whole function is evaluation, so that a decorator fits
    safe: bool  # no gradient demand can come from anywhere
    why_unsafe: str
    ways: tuple[tuple[str, str, int, str], ...] = ()  # a way in with gradients on


class _Candidate(msgspec.Struct):
    forward: Forward
    points: int
    notes: list[tuple[str, int]]
    escapes: bool
    confidence: Confidence
    why_unsafe: str


def tracked(world: World, facts: Facts) -> list[Tracked]:
    """All tracked evaluations of a unit, best evidence first decides the confidence."""
    # Recursion: a function in the making is not reported by its callees.
    return world.memo(("tracked", facts.path, facts.unit), lambda: _find(world, facts), [])


def _find(world: World, facts: Facts) -> list[Tracked]:
    if not facts.forwards:
        return []
    symbol = Symbol("function", facts.path, facts.unit)
    last = facts.unit.rpartition(".")[2].partition("#")[0]
    if facts.is_module_class and last in ("forward", "__call__") and not facts.evals:
        return []
    if world.switched_off(facts.path) is not None:
        return []
    hook = facts.hook
    if hook is not None and (Mode(hook.mode).off or hook.demand):
        return []
    candidates = []
    for forward in sorted(facts.forwards.values(), key=lambda f: f.node):
        candidate = _weigh(world, facts, forward)
        if candidate is not None:
            candidates.append(candidate)
    if not candidates:
        return []  # before anybody looks for callers, which costs most
    entry = world.entry(symbol) if facts.unit != MODULE else None
    if entry is not None and entry.ways and any(w.mode.off or w.mode is Mode.DYNAMIC for w in entry.ways):
        # Where some callers hold the guard, the others are reported at their calls.
        return []
    if facts.unit != MODULE and _gradients_wanted_by_callers(world, symbol):
        return []
    if facts.unit != MODULE and _callers_know_better(world, facts, symbol):
        return []
    return _group(facts, candidates, entry)


def _evident(facts: Facts, forward: Forward) -> bool:
    """The function itself says that this is evaluation, by more than its name."""
    return forward.phases == {"eval"} or any(loop.split == "eval" for loop in forward.loops)


def _callers_know_better(world: World, facts: Facts, symbol: Symbol) -> bool:
    """A private helper that only evaluations in sight call is reported there, where the guard belongs."""
    if not facts.unit.rpartition(".")[2].startswith("_") or any(_evident(facts, f) for f in facts.forwards.values()):
        return False
    sites, complete = world.callers(symbol)
    if not sites or not complete:
        return False
    for path, unit, site in sites:
        caller = world.facts(path, unit)
        forward = caller.forwards.get(site.node) if caller is not None else None
        if caller is None or forward is None or not _evident(caller, forward):
            return False
    return True


def _left_to_callers(world: World, facts: Facts, forward: Forward, target: Facts) -> bool:
    return _evident(facts, forward) and _callers_know_better(world, target, Symbol("function", target.path, target.unit))


def _gradients_wanted_by_callers(world: World, symbol: Symbol) -> bool:
    for path, unit, site in world.callers(symbol)[0]:
        facts = world.facts(path, unit, 1)
        if facts is not None and any(n != site.node for n in facts.sinks.get(site.node, {}).get("backward", ())):
            return True
    return False


def _weigh(world: World, facts: Facts, forward: Forward) -> _Candidate | None:
    if not forward.tracked or forward.frozen or forward.leaf_input or forward.fallback or not forward.level:
        return None
    if forward.level < 3 and world.imports_any(facts.path, _OTHERS) and not world.imports_any(facts.path, _OURS):
        return None  # a model of another library
    sinks = facts.sinks.get(forward.node, {})
    shared = "backward" in sinks and forward.phases == {"mixed"} and _backward_in_a_branch(facts, forward, sinks["backward"])
    if "backward" in sinks and not shared:
        return None
    if forward.phases == {"train"}:
        return None
    if forward.target is not None:
        target = world.facts(forward.target.path, forward.target.name)
        if target is not None and target is not facts and not _left_to_callers(world, facts, forward, target):
            if any(t.confidence is not Confidence.LOW for t in tracked(world, target)):
                return None  # reported at its own forward
    notes: list[tuple[str, int]] = []
    points = 0
    if shared:
        switches = [n for n, (_, to, _) in sorted(facts.evals.items()) if to in ("mixed", "eval")]
        notes = [("training and evaluation share this code", switches[0] if switches else forward.node)]
        notes.append(("only training walks the graph", sinks["backward"][0]))
        return _Candidate(forward, 4, notes, False, Confidence.MEDIUM, "training runs the same statements")
    switch = _switch_note(facts, forward)
    in_eval = forward.phases == {"eval"}
    if forward.target is not None and not in_eval:
        callee = world.facts(forward.target.path, forward.target.name)
        in_eval = callee is not None and any(_evident(callee, f) for f in callee.forwards.values())
    if facts.hook is not None and facts.hook.evaluate:
        in_eval = True
        notes.append((f"{facts.hook.why}", 0))
    if in_eval:
        points += 3
        if switch is not None:
            notes.append((f"`{switch[0]}` is put in eval mode", switch[1]))
    split = {loop.split for loop in forward.loops} - {""}
    if "train" in split and not in_eval:
        return None
    evaluation_loop = next((loop for loop in forward.loops if loop.split == "eval"), None)
    if evaluation_loop is not None:
        points += 2
        notes.append(("goes over evaluation data", evaluation_loop.node))
    detached = [k for k in _DETACHED if k in sinks]
    escapes = any(k in sinks for k in _ESCAPES)
    # Everything that becomes of the output is in sight, and none of it can be differentiated.
    unused = not escapes and "store" not in sinks and ("passed" not in sinks or bool({"detach", "item"} & set(sinks)))
    eval_input = evaluation_loop is None and _evaluation_input(facts, forward)
    trains = bool(facts.backwards or facts.steps)
    if trains and not in_eval and evaluation_loop is None and not (
        unused and (eval_input or facts.unit == MODULE or not (forward.loops or {"detach", "consumed"} & set(sinks)))
    ):
        return None
    test = _is_test(facts)
    by_name = 0 if test else max(evaluation_by_name(forward.function), evaluation_by_name(facts.unit))
    if not test and facts.cls is not None and not facts.is_module_class and by_name < 2:
        if any(evaluation_class(c.name) for c in world.project.ancestors(facts.cls)):
            by_name = 2
    if facts.unit == MODULE:
        by_name = 0
    points += by_name
    if eval_input:
        points += 1
    wrapper = not in_eval and _eval_elsewhere(world, facts, forward)
    if wrapper:
        points += 2
        notes.append((f"`{forward.receiver}` is put in eval mode elsewhere", forward.node))
    if unused and any(k in sinks for k in _TENSOR_USE + ("shape",)):
        points += 3
    elif not escapes and (detached or unused and by_name):
        points += 2
    elif detached:
        points += 1
    if detached:
        notes.append((_SINK_TEXT[detached[0]], sinks[detached[0]][0]))
    strong = in_eval or evaluation_loop is not None or wrapper
    if points >= 5:
        confidence = Confidence.HIGH
    elif points >= 3:
        confidence = Confidence.MEDIUM
    else:
        confidence = Confidence.LOW
    if not strong:
        if escapes:
            # Somebody else gets the graph. A predictor's answers are for use, a module's outputs may be trained on.
            api = by_name == 2 and not facts.is_module_class and _never_trains(world, facts)
            confidence = Confidence.MEDIUM if api else Confidence.LOW
        elif not unused:
            if by_name < 2 or not detached:
                confidence = Confidence.LOW
            elif confidence is Confidence.HIGH:
                confidence = Confidence.MEDIUM
        elif confidence is Confidence.HIGH:
            confidence = Confidence.MEDIUM
    elif escapes and not in_eval and points < 5:
        api = by_name == 2 and not facts.is_module_class and (evaluation_loop is not None or _never_trains(world, facts))
        confidence = Confidence.MEDIUM if api else Confidence.LOW
    elif escapes and facts.is_module_class and by_name < 2:
        confidence = Confidence.LOW  # a module in eval mode whose outputs may still be differentiated
    if escapes and confidence is Confidence.HIGH:
        confidence = Confidence.MEDIUM
    if forward.level == 1 and not (facts.hook is not None and facts.hook.evaluate):
        used = any(k in sinks for k in _TENSOR_USE)
        if not (used and points >= 3):
            confidence = Confidence.LOW
        elif confidence is Confidence.HIGH:
            confidence = Confidence.MEDIUM
    file = world.project.file(facts.path)
    if file is not None and _TORCH.search(file.data) is None and forward.level < 3:
        confidence = Confidence.LOW
    if forward.indirect and not (unused and ("detach" in sinks or (by_name or strong) and set(sinks) & {"moved", "item"})):
        confidence = Confidence.LOW
    if _differentiates_itself(world, facts):
        confidence = Confidence.LOW
    if facts.is_module_class and not strong and forward.name != "self" and forward.name.startswith(("self.", "super()")):
        # A module that runs its parts: whether that is evaluation, only its callers know.
        confidence = Confidence.LOW
    if forward.function.rpartition(".")[2].startswith("test_") and set(detached) <= {"compare", "shape"}:
        confidence = Confidence.LOW  # a test that looks at shapes
    if test and not strong:
        confidence = Confidence.LOW  # a test has other cares; what it tests may well guard itself
    if "numpy" in sinks:
        # A plain ``.numpy()`` raises where gradients are on: in working code they are off.
        confidence = Confidence.LOW
    if escapes and "loss" in words(forward.function.rpartition(".")[2]):
        confidence = Confidence.LOW
    why = "its result, which carries the graph, goes to callers" if escapes else ""
    return _Candidate(forward, points, notes, escapes, confidence, why)


def _differentiates_itself(world: World, facts: Facts) -> bool:
    """Modules of the package take gradients in their own ``forward`` (forces, scores): a guard would break them."""
    top = facts.path.partition("/")[0]

    def find() -> bool:
        for path in world.project.files_calling("grad"):
            if path.partition("/")[0] != top:
                continue
            file = world.project.file(path)
            for unit in file.places("grad") if file is not None else ():
                if file is not None and unit.endswith(".forward") and b"autograd" in file.unit_bytes(unit) + file.data[:4000]:
                    return True
        return False

    return world.memo(("differentiates itself", top), find, False)


def _never_trains(world: World, facts: Facts) -> bool:
    file = world.project.file(facts.path)
    return file is not None and re.search(rb"backward\(|optimizer\.step|training_step|autograd\.grad", file.data) is None


def _evaluation_input(facts: Facts, forward: Forward) -> bool:
    """The forward's arguments are named for evaluation data."""
    node = next((n for n in walk(facts.body.body) if n.o == forward.node), None)
    if not isinstance(node, ir.Call):
        return False
    names = [ir.dotted(a) for a in node.args]
    return any(n is not None and split_of(n) == "eval" for n in names)


def _backward_in_a_branch(facts: Facts, forward: Forward, backwards: list[int]) -> bool:
    """Every backward stands under a condition that the forward does not stand under."""
    branches = {n.o for n in walk(facts.body.body) if isinstance(n, ir.If)}
    for node in backwards:
        site = facts.backwards.get(node)
        if site is None or not any(s in branches and s not in forward.stmts for s in site.stmts):
            return False
    return True


_SINK_TEXT = {
    "item": "only a number is taken from the output",
    "detach": "the output is detached",
    "argmax": "only indices are taken from the output",
    "compare": "the output is only compared",
    "numpy": "the output becomes a NumPy array",
    "print": "the output is only printed, logged or saved",
    "metric": "the output goes to a metric",
    "consumed": "the output is used up by a function that gives no graph back",
    "inside": "the outputs stay inside the function that is called",
    "shape": "only the shape of the output is used",
    "discarded": "the output is not used at all",
    "fed": "the output only feeds a guarded forward",
}


def _switch_note(facts: Facts, forward: Forward) -> tuple[str, int] | None:
    found = None
    for node, (spelled, to, _) in sorted(facts.evals.items()):
        if to == "eval" and node < forward.node:
            found = (spelled, node)
    return found


def _is_test(facts: Facts) -> bool:
    name = facts.unit.rpartition(".")[2]
    base = facts.path.rpartition("/")[2]
    return name.startswith("test") and (
        base.startswith("test_") or base.endswith("_test.py") or "tests/" in facts.path or "test/" in facts.path
    )


def _eval_elsewhere(world: World, facts: Facts, forward: Forward) -> bool:
    """The model is put in eval mode by another method of the class, or at module level, and never back."""
    receiver = forward.receiver
    file = world.project.file(facts.path)
    if file is None or not receiver:
        return False
    if receiver.startswith("self.") and facts.cls is not None:
        definition = file.classes.get(facts.cls.name)
        if definition is None:
            return False
        parts = receiver.split(".")
        for n in range(2, len(parts) + 1):
            hints = file.hinted(".".join(parts[:n]), definition.start, definition.end)
            if "eval" in hints:
                return "train" not in hints
        return False
    head = receiver.partition(".")[0]
    if facts.unit != MODULE and head in file.outline.globals:
        hints = file.hinted(head)
        return "eval" in hints and "train" not in hints
    return False


def _group(facts: Facts, candidates: list[_Candidate], entry: Entry | None) -> list[Tracked]:
    if not candidates:
        return []
    training = sorted([b.node for b in facts.backwards.values()] + list(facts.steps))
    groups: dict[tuple[str, int], list[_Candidate]] = {}
    for candidate in candidates:
        forward = candidate.forward
        top = _top_statement(facts, forward, training)
        key = (forward.function, top if training else -1)
        groups.setdefault(key, []).append(candidate)
    result = []
    for (function, top), members in groups.items():
        sure = [m for m in members if m.confidence is not Confidence.LOW] or members
        first = sure[0]
        best = max(sure, key=lambda m: m.confidence.rank)
        kept = tuple(k for m in sure for k in facts.kept.get(m.forward.node, ()))
        tops = [_top_statement(facts, m.forward, training) for m in sure]
        region = (min(tops), max(tops)) if not training else (top, top)
        if facts.unit == MODULE:
            code = "NGL103"
        elif training or any(m.why_unsafe.startswith("training") for m in sure):
            code = "NGL102"
        else:
            code = "NGL101"
        if kept:
            code = "NGL104"
        notes: dict[tuple[str, int], None] = {}
        for m in sure:
            for note in m.notes:
                notes.setdefault(note)
        root = facts.body.root
        whole = None
        if root is not None and not training and function == facts.unit and not root.is_async and not root.is_generator:
            whole = Symbol("function", facts.path, facts.unit)
        unsafe = next((m.why_unsafe for m in sure if m.why_unsafe), "")
        way = next((w.steps for w in entry.ways), ()) if entry is not None else ()
        result.append(
            Tracked(
                code,
                tuple(m.forward.node for m in sure),
                best.confidence,
                function,
                region,
                tuple(notes),
                kept,
                whole,
                not unsafe and first.confidence is Confidence.HIGH,
                unsafe,
                way,
            )
        )
    return sorted(result, key=lambda t: t.forwards[0])


def _top_statement(facts: Facts, forward: Forward, training: list[int]) -> int:
    """The outermost statement around a forward that holds no training."""
    for stmt in forward.stmts:
        if not any(stmt <= t for t in training) or not _holds(facts, stmt, training):
            return stmt
    return forward.stmt


def _holds(facts: Facts, stmt: int, nodes: list[int]) -> bool:
    cache: dict[int, int] = facts.__dict__.setdefault("_extents", {})
    if not cache:
        for node in walk(facts.body.body):
            if isinstance(node, (ir.For, ir.While, ir.If, ir.With, ir.Try, ir.Def, ir.Class, ir.Match)):
                cache[node.o] = max(n.o for n in walk(node))
    last = cache.get(stmt, stmt)
    return any(stmt <= n <= last for n in nodes)


__all__ = ["Tracked", "tracked"]
