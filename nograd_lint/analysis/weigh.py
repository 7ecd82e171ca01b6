"""How sure it is that a forward is evaluation whose gradient nobody wants: evidence for, evidence against."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.facts import Facts, Forward
from nograd_lint.analysis.values import Mode, evaluation_by_name, evaluation_class, split_of, trains_by_name, words
from nograd_lint.analysis.why import Why
from nograd_lint.diagnostics import Confidence
from nograd_lint.project.file import MODULE
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir
from nograd_lint.syntax.ir import walk

if TYPE_CHECKING:
    from nograd_lint.project.summaries import World

_DETACHED = ("item", "detach", "argmax", "compare", "numpy", "print", "metric", "consumed", "shape", "discarded", "fed")
_ESCAPES = ("return", "yield", "attr", "stored")
_TENSOR_USE = ("item", "detach", "argmax", "consumed", "moved", "fed")  # what only a tensor can be used for
_OTHERS = ("tensorflow", "keras", "tf_keras", "jax", "flax", "haiku", "mxnet", "paddle", "tinygrad", "mlx")
_OURS = ("torch", "pytorch_lightning", "lightning", "transformers", "diffusers", "accelerate", "timm")
_TORCH = re.compile(rb"torch|lightning|transformers|diffusers|accelerate|monai|timm|fairseq|allennlp|fastai")


_TRAINS = re.compile(rb"backward\(|optimizer\.step|training_step|autograd\.grad")
# Makes, copies or shows an object.
_DUNDER = re.compile(r"\.__(?:[gs]etstate|reduce\w*|(?:deep)?copy|enter|exit|del|repr|new)__$")
_SETTING_UP = frozenset(("init", "initialize", "setup"))
_DERIVATIVES = frozenset("residual residuals gradient gradients hessian jacobian forces".split())
_FEW_FILES = 150
SHARED = "training runs the same statements"


class Candidate(msgspec.Struct, frozen=True):
    """A forward that may be a tracked evaluation, and what speaks for it."""

    forward: Forward
    confidence: Confidence
    notes: tuple[tuple[str, int], ...]
    why_unsafe: str


def weigh(world: World, facts: Facts, forward: Forward) -> Candidate | Why:
    """The evidence about one forward, or why it surely is no tracked evaluation."""
    if not forward.tracked:
        return Why.OFF
    if forward.frozen:
        return Why.FROZEN
    if forward.leaf_input or _turned_on_for_an_input(facts, forward):
        return Why.INPUT
    if forward.fallback:
        return Why.RETRIED
    if not forward.level:
        return Why.UNSURE
    if forward.level < 3 and world.imports_any(facts.path, _OTHERS) and not world.imports_any(facts.path, _OURS):
        return Why.OTHER_LIBRARY
    case = _Case(world, facts, forward)
    if "module" in case.sinks:
        return Why.UNSURE
    if "backward" in case.sinks:
        return case.shared_with_training() or Why.BACKWARD
    if forward.phases == {"train"} or case.trains_here:
        return Why.TRAINING
    confidence = case.confidence
    if confidence is not Confidence.LOW:
        confidence = min(confidence, case.ceiling, key=lambda c: c.rank)
    why = "its result, which carries the graph, goes to callers" if case.escapes else ""
    return Candidate(forward, confidence, tuple(case.notes), why)


def _turned_on_for_an_input(facts: Facts, forward: Forward) -> bool:
    """It stands in a block that turns gradients on, and in which a tensor is made to require one."""
    for mode, guard in forward.modes:
        block = facts.by_ordinal.get(guard) if mode is Mode.ENABLED and guard is not None else None
        if not isinstance(block, ir.With):
            return False
        calls = [node for node in walk(block.body) if isinstance(node, ir.Call)]
        if not any(isinstance(c.func, ir.Attr) and c.func.attr == "requires_grad_" and not _says_no(c) for c in calls):
            return False
    return bool(forward.modes)


def _says_no(call: ir.Call) -> bool:
    return any(isinstance(value, ir.Const) and value.value is False for value in call.args)


def evident(forward: Forward) -> bool:
    """The function itself says that this is evaluation, by more than its name."""
    return forward.phases == {"eval"} or any(loop.split == "eval" for loop in forward.loops)


class _Case:
    """One forward and the questions that are asked about it."""

    def __init__(self, world: World, facts: Facts, forward: Forward) -> None:
        self.world = world
        self.facts = facts
        self.forward = forward
        self.sinks = facts.sinks.get(forward.node, {})

    # --- evidence -----------------------------------------------------------------------------------------------------

    @cached_property
    def in_eval(self) -> bool:
        """The model is in eval mode, here or in the function that is called, or a framework calls for evaluation."""
        forward = self.forward
        if forward.phases == {"eval"} or self.hooked:
            return True
        if forward.target is None:
            return False
        callee = self.world.facts(forward.target.path, forward.target.name)
        return callee is not None and any(evident(f) for f in callee.forwards.values())

    @property
    def hooked(self) -> bool:
        return self.facts.hook is not None and bool(self.facts.hook.evaluate)

    @cached_property
    def evaluation_loop(self) -> int | None:
        return next((loop.node for loop in self.forward.loops if loop.split == "eval"), None)

    @cached_property
    def wrapper(self) -> bool:
        return (
            not self.in_eval
            and not self.facts.is_module_class
            and _eval_elsewhere(self.world, self.facts, self.forward)
        )

    @property
    def strong(self) -> bool:
        """More than names and the use of the outputs says that this is evaluation."""
        return self.in_eval or self.evaluation_loop is not None or self.wrapper

    @cached_property
    def detached(self) -> list[str]:
        return [k for k in _DETACHED if k in self.sinks]

    @cached_property
    def escapes(self) -> bool:
        """The graph goes where others may use it."""
        return any(k in self.sinks for k in _ESCAPES)

    @cached_property
    def unused(self) -> bool:
        """Everything that becomes of the output is in sight, and none of it can be differentiated."""
        if self.escapes or "store" in self.sinks:
            return False
        return "passed" not in self.sinks or bool({"detach", "item"} & set(self.sinks))

    @cached_property
    def by_name(self) -> int:
        facts = self.facts
        if self.test or facts.unit == MODULE:
            return 0
        level = max(evaluation_by_name(self.forward.function), evaluation_by_name(facts.unit))
        if level < 2 and facts.cls is not None and not facts.is_module_class:
            if any(evaluation_class(c.name) for c in self.world.project.ancestors(facts.cls)):
                return 2
        return level

    @cached_property
    def evaluation_input(self) -> bool:
        return self.evaluation_loop is None and _evaluation_input(self.facts, self.forward)

    @cached_property
    def test(self) -> bool:
        return _is_test(self.facts)

    @property
    def trains_here(self) -> bool:
        """It stands in a training loop, or in a function that trains and says nothing of evaluation."""
        if self.in_eval:
            return False
        splits = {loop.split for loop in self.forward.loops}
        if "train" in splits:
            return True
        if not (self.facts.backwards or self.facts.steps) or self.evaluation_loop is not None:
            return False
        apart = not self.forward.loops and not {"detach", "consumed"} & set(self.sinks)
        return not (self.unused and (self.evaluation_input or self.facts.unit == MODULE or apart))

    @cached_property
    def points(self) -> int:
        points = 3 * self.in_eval + 2 * (self.evaluation_loop is not None) + 2 * self.wrapper
        points += self.by_name + self.evaluation_input
        if self.unused and any(k in self.sinks for k in (*_TENSOR_USE, "shape")):
            return points + 3
        if not self.escapes and (self.detached or (self.unused and self.by_name)):
            return points + 2
        return points + bool(self.detached)

    @property
    def notes(self) -> list[tuple[str, int]]:
        notes: list[tuple[str, int]] = []
        if self.hooked:
            notes.append((str(self.facts.hook.why), 0))
        switch = _switch_note(self.facts, self.forward)
        if self.in_eval and switch is not None:
            notes.append((f"`{switch[0]}` is put in eval mode", switch[1]))
        if self.evaluation_loop is not None:
            notes.append(("goes over evaluation data", self.evaluation_loop))
        if self.wrapper:
            notes.append((f"`{self.forward.receiver}` is put in eval mode elsewhere", self.forward.node))
        if self.detached:
            notes.append((_SINK_TEXT[self.detached[0]], self.sinks[self.detached[0]][0]))
        return notes

    # --- confidence ---------------------------------------------------------------------------------------------------

    @property
    def confidence(self) -> Confidence:
        if self.points >= 5:
            return Confidence.HIGH
        answers = self.escapes and self.by_name == 2 and self._answers
        return Confidence.MEDIUM if self.points >= 3 or answers else Confidence.LOW

    @property
    def ceiling(self) -> Confidence:
        """What the doubts leave of the confidence."""
        if any(self._doubts()):
            return Confidence.LOW
        sure = self.strong and not self.escapes and (self.forward.level > 1 or self.hooked)
        return Confidence.HIGH if sure else Confidence.MEDIUM

    def _doubts(self) -> Iterator[bool]:
        yield from self._doubts_of_use()
        yield from self._doubts_of_model()
        yield from self._doubts_of_function()

    def _doubts_of_use(self) -> Iterator[bool]:
        function, sinks = self.forward.function.rpartition(".")[2], self.sinks
        # A plain ``.numpy()`` raises where gradients are on: in working code they are off.
        yield "numpy" in sinks and not ("detach" in sinks and self.strong)
        yield self.escapes and not self._answers
        yield "loss" in words(function) and (self.escapes or ("detach" not in sinks and not self.strong))
        # What a loss is computed of, only whoever trains knows.
        yield self.forward.target is None and not self.strong and "loss" in words(self.forward.name.rpartition(".")[2])
        yield not self.strong and not self.escapes and not self.unused and not (self.by_name == 2 and self.detached)

    def _doubts_of_model(self) -> Iterator[bool]:
        forward, sinks = self.forward, self.sinks
        # What only its name says to be a model must at least give tensors.
        yield forward.level == 1 and not self.hooked and not (self.points >= 3 and set(_TENSOR_USE) & set(sinks))
        yield forward.level == 1 and self.escapes and not self.strong
        yield forward.level < 3 and not self._mentions_torch
        yield forward.indirect and not self._surely_tensor
        if forward.revealed and not self.strong:
            yield not ("moved" in sinks or "exported" in sinks or self.by_name)
            yield self.facts.is_module_class or bool(self.facts.backwards or self.facts.steps)
        # A helper runs it; that its caller evaluates, something must say.
        if forward.target is not None:
            yield not self.strong and not self.by_name and not {"item", "detach", "argmax", "moved"} & set(sinks)
            yield trains_by_name(forward.target.name)
            yield set(sinks) == {"inside"} and self._left_to_callee
        elif set(sinks) == {"discarded"} and not self.strong:  # for its effect: ``model.encode_names(table)``
            yield forward.name.rpartition(".")[2] not in (forward.receiver.rpartition(".")[2], "forward")
        yield forward.level < 3 and self._runs_no_model
        # A test has other cares, and a small model; one that was trained elsewhere is not small.
        if self.test:
            yield not (self.strong and forward.pretrained)
        if forward.function.rpartition(".")[2].startswith("test_"):
            yield set(self.detached) <= {"compare", "shape"} and not forward.pretrained

    def _doubts_of_function(self) -> Iterator[bool]:
        forward, facts = self.forward, self.facts
        unit = words(facts.unit.rpartition(".")[2])
        yield _DUNDER.search(facts.unit) is not None
        yield bool(_DERIVATIVES & {*unit, *words(forward.name.rpartition(".")[2])})
        yield trains_by_name(forward.function) and not self._apart_from_training
        if not self.strong:
            yield unit[-1:] == ["forward"]
            yield bool(_SETTING_UP & set(unit)) and not facts.unit.endswith("__init__")
            # A module that runs its parts: whether that is evaluation, only its callers know.
            yield facts.is_module_class and not self._itself and not (self._leaves_torch or self._gives_no_graph)
            yield facts.is_module_class and "forward" in (*unit, forward.function.rpartition(".")[2])
            yield forward.name == f"super().{facts.unit.rpartition('.')[2]}"  # what it extends is called as it is
        yield _differentiates_itself(self.world, facts)
        if not self.strong:
            yield facts.cls is not None and self._in_forward  # last: who calls it costs most to find

    @property
    def _answers(self) -> bool:
        """Outputs that carry their graph to callers, and are answers for use all the same."""
        own = not self.facts.is_module_class and self.by_name == 2
        if self.in_eval:
            return self.by_name == 2 or not self.facts.is_module_class
        if self.strong and self.points >= 5:
            return True
        if self.evaluation_loop is not None:
            return own
        return own and self._never_trains

    @property
    def _surely_tensor(self) -> bool:
        if not self.unused:
            return False
        return "detach" in self.sinks or bool(
            (self.by_name or self.strong) and {"moved", "item", "argmax"} & set(self.sinks)
        )

    @property
    def _apart_from_training(self) -> bool:
        if self.in_eval or self.evaluation_loop is not None:
            return True
        return self.unused and (self.evaluation_input or bool({"moved", "exported"} & set(self.sinks)))

    @property
    def _leaves_torch(self) -> bool:
        """All that becomes of the output is detached, and taken elsewhere, and not in the module's own forward."""
        if not self.unused or "detach" not in self.sinks:
            return False
        return (bool({"moved", "exported"} & set(self.sinks)) or self.by_name == 2) and not self._in_forward

    @property
    def _itself(self) -> bool:
        """The module calls itself."""
        return self.forward.name in ("self", "self.forward", "self.__call__")

    @property
    def _gives_no_graph(self) -> bool:
        """A method of a module for users, evaluation by its name, that gives nobody a graph."""
        public = not self.facts.unit.rpartition(".")[2].startswith("_")
        used = bool({"item", "argmax", "detach"} & set(self.sinks))
        return public and self.by_name == 2 and self.unused and used and not self._in_forward

    @property
    def _left_to_callee(self) -> bool:
        """Nothing comes out of the function that is called: only there, or by what is said here, is it evaluation."""
        forward, target = self.forward, self.forward.target
        if forward.phases == {"eval"} or self.evaluation_loop is not None or self.wrapper or target is None:
            return False
        return self.in_eval or not (self.by_name or evaluation_by_name(target.name))

    @cached_property
    def _runs_no_model(self) -> bool:
        """It is a method of something unknown, and most methods of that name in the project run no model tracked."""
        facts, nodes = self.facts, [self.forward.node]
        target = self.forward.target
        if target is not None:
            callee = self.world.facts(target.path, target.name, 1)
            if callee is None:
                return False
            facts = callee
            nodes = [f.node for f in callee.forwards.values() if f.tracked and not f.frozen]
        calls = [facts.by_ordinal.get(node) for node in nodes if facts.forwards[node].target is None]
        if not calls or len(calls) < len(nodes):
            return False
        for call in calls:
            if not isinstance(call, ir.Call) or not isinstance(call.func, ir.Attr):
                return False
            receiver = facts.values.get(call.func.value.o)
            if receiver is None or receiver.cls is not None or not self.world.runs_no_model(call.func.attr):
                return False
        return True

    @cached_property
    def _in_forward(self) -> bool:
        """A part of a ``forward``: whoever runs that knows in which grad mode."""
        return self.world.called_in(Symbol("function", self.facts.path, self.facts.unit), "forward")

    @cached_property
    def _mentions_torch(self) -> bool:
        file = self.world.project.file(self.facts.path)
        return file is None or _TORCH.search(file.data) is not None

    @cached_property
    def _never_trains(self) -> bool:
        file = self.world.project.file(self.facts.path)
        return file is not None and _TRAINS.search(file.data) is None

    # --- one routine for both -----------------------------------------------------------------------------------------

    def shared_with_training(self) -> Candidate | None:
        """A forward that training and evaluation share, where only training walks the graph."""
        backwards = self.sinks["backward"]
        if self.forward.phases != {"mixed"} or not _backward_in_a_branch(self.facts, self.forward, backwards):
            return None
        switches = [n for n, (_, to, _) in sorted(self.facts.evals.items()) if to in ("mixed", "eval")]
        notes = (
            ("training and evaluation share this code", switches[0] if switches else self.forward.node),
            ("only training walks the graph", backwards[0]),
        )
        return Candidate(self.forward, Confidence.MEDIUM, notes, SHARED)


def _package(world: World, path: str) -> str | None:
    """The outermost package that a file belongs to, None for a script."""
    parts = path.split("/")[:-1]
    for n in range(1, len(parts) + 1):
        top = "/".join(parts[:n])
        if world.project.exists(f"{top}/__init__.py"):
            return top
    return None


def _differentiates_itself(world: World, facts: Facts) -> bool:
    """Modules of the package take gradients in their own ``forward`` (forces, scores): a guard would break them."""
    top = _package(world, facts.path)
    if top is None:
        return False

    def find() -> bool:
        if world.project.files_below(top) > _FEW_FILES:
            return False  # a library of models of all kinds
        for path in world.project.files_calling("grad"):
            if not path.startswith(f"{top}/"):
                continue
            file = world.project.file(path)
            for unit in file.places("grad") if file is not None else ():
                if (
                    file is not None
                    and unit.endswith(".forward")
                    and b"autograd" in file.unit_bytes(unit) + file.data[:4000]
                ):
                    return True
        return False

    return world.memo(("differentiates itself", top), find, False)


def _evaluation_input(facts: Facts, forward: Forward) -> bool:
    """The forward's arguments are named for evaluation data."""
    node = facts.by_ordinal.get(forward.node)
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
    """A function of a test-suite, or a helper in one of its classes or files."""
    *folders, base = facts.path.split("/")
    named = base.startswith("test_") or base.endswith("_test.py") or base == "conftest.py"
    inside = bool({"tests", "test", "testing"} & set(folders))
    if not named and not inside:
        return False
    if named and inside:
        return True
    owner, _, name = facts.unit.rpartition(".")
    return name.startswith("test") or "Test" in owner or base == "conftest.py" or "tests" in folders


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
