"""What one unit needs to know of others: summaries of callees, attributes of classes, grad mode at entry from callers.

Every answer is a function of the project's text and of a depth: a question of depth *n* asks only questions of depth
*n - 1*. So recursion and cycles end, and no answer depends on the order in which things were asked. Where the depth
runs out the answer is "unknown", and that is counted. Attributes of classes and values of globals lie below 0.

Most units call nothing that lies too deep: their answer is the same at many depths, and computed once. A frame notes
for which depths that holds, and on which questions about the project an answer rests (see :class:`Project`).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from nograd_lint.analysis.calls import bind
from nograd_lint.analysis.facts import CallSite, Facts, Summary
from nograd_lint.analysis.interp import Interp
from nograd_lint.analysis.values import UNKNOWN, Mode, Val, guard_by_name, join
from nograd_lint.project.file import MODULE, Use
from nograd_lint.project.graph import Graph, Node
from nograd_lint.project.index import Project, Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.knowledge import Hook, Knowledge

T = TypeVar("T")

DEPTH = 3  # levels of callees looked into
_DEEPEST = -6  # below 0: levels of classes and globals whose attributes and values are looked into
_ANY = 1_000_000
_MOST_VALUES = 100_000  # values in facts that are kept: some 40 MB
# Formatters put a long value between parentheses, on lines of its own.
_VALUE = rb"(?:[ \t]*\((?:[^\n]*\n){1,3}?)?"
# A module of the project without parameters: it makes no parts, or is a loss (by name) whose parts have none.
_MAKES_PARTS = re.compile(
    rb"Parameter\(|\bnn\.[A-Z]|self\.\w+[ \t]*(?::[^=\n]+)?=" + _VALUE + rb"[^\n]*"
    rb"(?:\b(?!\w*Tensor\()[A-Z]\w*\(|build_|create_|from_pretrained|[Mm]odel|[Nn]et\b|encoder|decoder)"
)
_WITHOUT_PARAMETERS = re.compile(r"loss|criterion|metric|penalty|transform|augment|normali[sz]e", re.IGNORECASE)
_HAS_PARAMETERS = re.compile(
    rb"Parameter\(|Linear|Conv|Embedding|(?:LSTM|GRU|RNN)|from_pretrained|[Mm]odel|[Nn]et\w*\(|[Ee]ncoder|VGG|vgg|"
    rb"discriminator"
)
_FACTORY = re.compile(r"(?!__init__$)_*(?:make|build|create|get|load|new|init|from|construct|prepare|setup)(?:_|$)")
_FACTORY_FLOOR = -3
_PLAIN_GUARD = re.compile(r"\b(?:no_grad|inference_mode)\(\)$")
_CHANGES_MODE = re.compile(rb"enable_grad|set_grad_enabled|inference_mode\((?!\))|\bself[ \t]*=")
CALLER_DEPTH = 4  # levels of callers looked up
_MANY = 24  # more candidate callers than this are cut off, and counted
_DISTINCT = 3  # a method that more files define says nothing about the class of an unknown receiver
_MAKES = re.compile(
    rb"self\.\w+[ \t]*(?::[^=\n]+)?=(?!=)" + _VALUE + rb"[^\n]*"
    rb"(?:\b[A-Z]\w*\(|from_pretrained|load|build|create|make|get_|compile|prepare)"
)


class Way(msgspec.Struct, frozen=True):
    """One way into a function: the grad mode there and the call sites on the way, outermost first."""

    mode: Mode
    steps: tuple[tuple[str, str, int, str], ...]  # (path, unit, ordinal of the call, phase)
    unseen: bool = False  # it starts at a private function, or a ``forward``, whose callers can't be seen


class _Places(msgspec.Struct, frozen=True):
    """Units (path, name) in which something of a function's name is called; ``cut``: files with more than that."""

    units: tuple[tuple[str, str], ...]
    targets: set[Symbol]
    distinct: bool
    cut: int


class Entry(msgspec.Struct, frozen=True):
    """All ways into a function that the project shows."""

    ways: tuple[Way, ...] = ()
    complete: bool = True  # False where callers were cut off or can't be told apart

    @property
    def modes(self) -> frozenset[Mode]:
        return frozenset(w.mode for w in self.ways)


class _Answer(Generic[T]):
    """An answer, and the depths of the question at which it is the same."""

    __slots__ = ("high", "low", "value")

    def __init__(self, value: T, low: int, high: int) -> None:
        self.value = value
        self.low = low
        self.high = high


class _Frame:
    """What the answer in the making rests on. ``open``: unfinished answers that it had to do without."""

    __slots__ = ("high", "low", "nodes", "open", "uses")

    def __init__(self) -> None:
        self.low, self.high = -_ANY, _ANY
        self.uses: set[Use] = set()
        self.nodes: set[Node] = set()
        self.open: set[Node] = set()


class World:
    """The project as the analysis of a unit sees it.

    Attributes:
        declared: dotted names of the project's own functions and classes about which the configuration says something.
        graph: every answer that was given so far → the questions about the project and the other answers it rests on.
    """

    def __init__(self, project: Project, knowledge: Knowledge, declared: frozenset[str] = frozenset()) -> None:
        self.project = project
        self.knowledge = knowledge
        self.declared = declared
        self.graph = Graph()
        self._answers: dict[Node, list[_Answer[Any]]] = {}
        self._recent: OrderedDict[Node, int] = OrderedDict()  # facts that are kept, and how many values each holds
        self._weight = 0
        self._making: dict[Node, list[int]] = {}
        self._frame = _Frame()
        self.cut = 0

    # --- answers and what they rest on --------------------------------------------------------------------------------

    def memo(self, node: Node, compute: Callable[[], T], unfinished: T) -> T:
        """An answer that is kept, with what it rests on; ``unfinished`` where it is needed to make itself."""
        return self._at(node, 0, compute, unfinished).value

    def record(self, node: Node, compute: Callable[[], T]) -> T:
        """Compute something and note what it rests on."""
        self._answers.pop(node, None)
        return self._at(node, 0, compute, None).value  # type: ignore[return-value]

    def forget(self, nodes: Iterable[Node]) -> None:
        """Drop answers."""
        for node in nodes:
            self._answers.pop(node, None)
            self.graph.remove(node)
            self._weight -= self._recent.pop(node, 0)

    def _at(self, node: Node, depth: int, compute: Callable[[], T], unfinished: T) -> _Answer[T]:
        frame = self._frame
        frame.nodes.add(node)
        for known in self._answers.get(node, ()):
            if known.low <= depth <= known.high:
                return known
        making = self._making.setdefault(node, [])
        if depth in making:
            frame.open.add((node, depth))
            return _Answer(unfinished, depth, depth)
        outer_uses = self.project.uses
        own = self._frame = _Frame()
        self.project.uses = own.uses
        making.append(depth)
        try:
            value = compute()
        finally:
            making.pop()
            self._frame, self.project.uses = frame, outer_uses
        answer = _Answer(value, max(own.low, -_ANY), own.high)
        own.open.discard((node, depth))
        if own.open:
            # It did without something that is only being made: true here, but not for whoever asks next.
            frame.open |= own.open
            frame.nodes |= own.nodes
            outer_uses |= own.uses
            return answer
        self._answers.setdefault(node, []).append(answer)
        self.graph.add(node, own.uses, own.nodes)
        return answer

    def _limit(self, low: int, high: int) -> None:
        """The answer in the making is the same for these depths of its own question only."""
        frame = self._frame
        frame.low = max(frame.low, low)
        frame.high = min(frame.high, high)

    # --- units --------------------------------------------------------------------------------------------------------

    def facts(self, path: str, unit: str, depth: int = DEPTH) -> Facts | None:
        return self._facts(path, unit, depth).value

    def _facts(self, path: str, unit: str, depth: int) -> _Answer[Facts | None]:
        node = ("facts", path, unit)
        found = self._at(node, depth, lambda: self._run(path, unit, depth), None)
        if node in self._recent:
            self._recent.move_to_end(node)
        return found

    def _run(self, path: str, unit: str, depth: int) -> Facts | None:
        file = self.project.file(path)
        body = file.unit(unit) if file is not None else None
        if body is None:
            return None
        interp = Interp(self, path, unit, body, depth)
        facts = interp.run()
        if interp.revealed:
            facts = Interp(self, path, unit, body, depth, frozenset(interp.revealed)).run()
        node = ("facts", path, unit)
        self._recent[node] = self._recent.get(node, 0) + len(facts.values)
        self._weight += len(facts.values)
        while self._weight > _MOST_VALUES and len(self._recent) > 1:
            # They can be had again; what most ask for are the summaries, which stay.
            oldest, weight = self._recent.popitem(last=False)
            self._weight -= weight
            self._answers.pop(oldest, None)
        return facts

    def _summarised(self, path: str, unit: str, depth: int) -> _Answer[Summary | None]:
        node = ("summary", path, unit)

        def find() -> Summary | None:
            found = self._facts(path, unit, depth)
            self._limit(found.low, found.high)
            return found.value.summary if found.value is not None else None

        return self._at(node, depth, find, None)

    def summary(self, symbol: Symbol, depth: int) -> Summary | None:
        """What a function does, for a caller whose own depth is ``depth + 1``."""
        if symbol.kind != "function":
            return None
        # What a constructor calls to make its parts is looked into even there.
        floor = _FACTORY_FLOOR if _FACTORY.match(symbol.name.rpartition(".")[2]) else 0
        if depth < floor:
            self._limit(-_ANY, floor)
            return None
        found = self._summarised(symbol.path, symbol.name, depth)
        self._limit(max(found.low, floor) + 1, found.high + 1)
        return found.value

    def _below(self, found: _Answer[Any]) -> None:
        """An answer at ``min(depth, 0) - 1`` was used at ``depth``."""
        self._limit(found.low + 1, _ANY if found.high >= -1 else found.high + 1)

    def parameters(self, symbol: Symbol) -> tuple[tuple[str, str], ...]:
        file = self.project.file(symbol.path)
        body = file.unit(symbol.name) if file is not None else None
        root = body.root if body is not None else None
        if root is None:
            return ()
        return tuple((p.name, p.kind) for p in root.params)

    def is_static(self, symbol: Symbol) -> bool:
        file = self.project.file(symbol.path)
        return file is not None and symbol.name in file.units and "staticmethod" in file.units[symbol.name].decorators

    def is_abstract(self, symbol: Symbol) -> bool:
        """A method that is left to subclasses."""
        file = self.project.file(symbol.path)
        body = file.unit(symbol.name) if file is not None else None
        root = body.root if body is not None else None
        return root is not None and all(
            (isinstance(s, ir.ExprStmt) and isinstance(s.value, ir.Const))
            or (isinstance(s, ir.Simple) and s.kind in ("raise", "pass"))
            for s in root.body
        )

    def own_entry(self, symbol: Symbol) -> Mode | None:
        """The grad mode that a function's own decorators put it in, judged by their text."""
        file = self.project.file(symbol.path)
        if file is None or symbol.name not in file.units:
            return None
        for text in file.units[symbol.name].decorators:
            name = re.sub(r"\(.*", "", text, flags=re.DOTALL).strip()
            found = self.project.resolve(symbol.path, name)
            if found is not None and found.kind == "external":
                mode = self.guard_mode(found.name)
                if mode is not None:
                    return mode
            if guard_by_name(name):
                return Mode.DISABLED
        return None

    # --- classes ------------------------------------------------------------------------------------------------------

    def is_module(self, cls: Symbol) -> bool:
        """Whether a class is an ``nn.Module``."""
        return any(a.kind == "external" and self.knowledge.is_module_class(a.name) for a in self.project.ancestors(cls))

    def parameterless(self, cls: Symbol) -> bool:
        """A module of the project that makes no parameters and no sub-modules of its own, such as a loss."""
        file = self.project.file(cls.path)
        if file is None or cls.name not in file.classes:
            return False
        for base in self.project.ancestors(cls)[1:]:
            if (
                base.kind == "external"
                and not self.is_parameterless(base.name)
                and base.name not in ("torch.nn.Module", "torch.nn.modules.module.Module", "abc.ABC")
            ):
                return False
        text = file.class_body(cls.name)
        if _MAKES_PARTS.search(text) is None:
            return True
        name = cls.name.rpartition(".")[2]
        return _WITHOUT_PARAMETERS.search(name) is not None and _HAS_PARAMETERS.search(text) is None

    def is_a(self, cls: Symbol, kind: str) -> bool:
        for base in self.project.ancestors(cls):
            if base.kind == "external":
                if kind == "optimizer" and self.knowledge.is_optimizer(base.name):
                    return True
                if kind == "dataset" and (self.knowledge.is_loader(base.name) or base.name.endswith("Dataset")):
                    return True
        return False

    def guard_class(self, cls: Symbol) -> Mode | None:
        """The grad mode that a class of the project sets as a context manager."""
        enter = self.project.method(cls, "__enter__")
        if enter is None:
            for base in self.project.ancestors(cls):
                if base.kind == "external" and (mode := self.guard_mode(base.name)) is not None:
                    return mode
            return None
        facts = self.facts(enter.path, enter.name, 1)
        if facts is None or not facts.switches:
            return None
        modes = {m for m, _ in facts.exit_modes}
        mode = next(iter(modes)) if len(modes) == 1 else Mode.DYNAMIC
        return None if mode is Mode.ENTRY else mode

    def hook(self, cls: Symbol, method: str) -> Hook | None:
        """The framework's promise about a method of a class of the project."""
        for base in self.project.ancestors(cls):
            found = self.knowledge.hook(self.public_name(base), method)
            if found is not None and base != cls:
                return found
        return None

    def public_name(self, symbol: Symbol) -> str:
        """The dotted name by which others know a symbol: inside a framework's own tree its promises hold, too."""
        if symbol.kind == "external":
            return symbol.name
        module = symbol.path.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")
        parts = (self.project.package, "" if module == "__init__" else module, symbol.name)
        return ".".join(part for part in parts if part)

    def promised(self, cls: Symbol, method: str) -> str | None:
        """Why calling a method disables gradients inside a framework, None where it does not."""
        if cls.kind == "class" and self.project.method(cls, method) is not None:
            return None
        for base in (cls,) if cls.kind == "external" else self.project.ancestors(cls):
            if (found := self.knowledge.guarded_method(self.public_name(base), method)) is not None:
                return found.why
        return None

    def guard_mode(self, name: str) -> Mode | None:
        """The grad mode that an external guard sets, None where it is none."""
        found = self.knowledge.guard(name)
        if found is None or found.mode == "unchanged":
            return None
        return Mode(found.mode)

    def is_parameterless(self, name: str) -> bool:
        found = self.knowledge.module_class(name)
        return (found is not None and found.parameterless) or self.knowledge.is_loss(name)

    def attribute(self, cls: Symbol, attr: str, depth: int) -> Val | None:
        """What ``instance.attr`` is for an instance of a class of the project."""
        if cls.kind != "class":
            return None
        method = self.project.method(cls, attr)
        if method is not None:
            file = self.project.file(method.path)
            decorators = file.units[method.name].decorators if file is not None else ()
            if any(d.endswith("property") for d in decorators):
                return self._property(method, depth)
            return Val("bound", symbol=method)
        for ancestor in self.project.ancestors(cls):
            if ancestor.kind == "class":
                found = self._class_attributes(ancestor, min(depth, 0) - 1)
                self._below(found)
                if (value := found.value.get(attr)) is not None:
                    return value
                typed = self._constructor_parameter(ancestor, attr)
                if typed is not None:
                    return typed
                alias = self._class_alias(ancestor, attr)
                if alias is not None:
                    return alias
        return None

    def _constructor_parameter(self, cls: Symbol, attr: str) -> Val | None:
        """What ``__init__`` says of a parameter that bears the attribute's name (it may be registered by a helper)."""
        file = self.project.file(cls.path)
        if file is None or f"{cls.name}.__init__" not in file.units:
            return None
        if attr not in file.annotated_parameters(f"{cls.name}.__init__"):
            return None
        body = file.unit(f"{cls.name}.__init__")
        root = body.root if body is not None else None
        for param in root.params if root is not None else ():
            if param.name == attr and param.annotation is not None:
                return self.annotated(cls.path, param.annotation)
        return None

    def _property(self, method: Symbol, depth: int) -> Val:
        if depth <= 0:
            self._limit(-_ANY, 0)
            return UNKNOWN
        self._limit(1, _ANY)
        facts = self.facts(method.path, method.name, 0)
        return facts.summary.returns.with_graph(frozenset()) if facts is not None else UNKNOWN

    def _class_alias(self, cls: Symbol, attr: str) -> Val | None:
        """``decode = decode_function`` in a class body."""
        file = self.project.file(cls.path)
        name = file.class_aliases(cls.name).get(attr) if file is not None else None
        symbol = self.project.resolve(cls.path, name) if name is not None else None
        return Val("bound", symbol=symbol) if symbol is not None and symbol.kind == "function" else None

    def _class_attributes(self, cls: Symbol, depth: int) -> _Answer[dict[str, Val]]:
        """Attributes that the methods of a class assign to ``self``."""
        if depth < _DEEPEST:
            self.cut += 1
            return _Answer({}, -_ANY, depth)
        return self._at(("attributes", cls.path, cls.name), depth, lambda: self._find_attributes(cls, depth), {})

    def _find_attributes(self, cls: Symbol, depth: int) -> dict[str, Val]:
        result: dict[str, Val] = {}
        file = self.project.file(cls.path)
        if file is None or cls.name not in file.classes:
            return result
        definition = file.classes[cls.name]
        for name, unit in file.units.items():
            if not (definition.start <= unit.start < definition.end and name.startswith(f"{cls.name}.")):
                continue
            if unit.name != "__init__" and not _MAKES.search(file.unit_bytes(name)):
                continue
            found = self._facts(cls.path, name, depth)
            self._limit(found.low, found.high)
            if found.value is None:
                continue
            for dotted, value in found.value.env.items():
                if dotted.startswith("self.") and dotted.count(".") == 1:
                    plain = _detached(value)
                    if plain.kind == "const" and plain.data is None:
                        continue  # made later
                    attr = dotted[5:]
                    result[attr] = join((result[attr], plain)) if attr in result else plain
        for attr in file.hinted_attributes(cls.name):
            old = result.get(attr, UNKNOWN)
            if old.kind in ("", "tensor") and old.symbol is None:
                result[attr] = msgspec.structs.replace(old, kind="", model=3)
        return result

    def annotated(self, path: str, annotation: ir.Expr) -> Val | None:
        """What an annotation says about a value."""
        if isinstance(annotation, ir.Const) and annotation.kind == "str":
            name: str | None = str(annotation.value)
            if re.fullmatch(r"[\w.]+", name or "") is None:
                return None
        elif isinstance(annotation, ir.Bin) and annotation.op == "|":
            return self.annotated(path, annotation.left) or self.annotated(path, annotation.right)
        elif isinstance(annotation, ir.Sub):
            if (ir.dotted(annotation.value) or "").rpartition(".")[2] in ("Optional", "Union", "Annotated"):
                for index in annotation.index:
                    items = index.items if isinstance(index, ir.Seq) else (index,)
                    for item in items:
                        if (found := self.annotated(path, item)) is not None:
                            return found
            return None
        else:
            name = ir.dotted(annotation)
        if not name:
            return None
        symbol = self.project.resolve(path, name)
        if symbol is None:
            return None
        if symbol.kind == "external":
            if self.knowledge.is_module_class(symbol.name):
                return Val(model=3, cls=symbol)
            if self.knowledge.is_optimizer(symbol.name):
                return Val("optimizer")
            if self.knowledge.is_loader(symbol.name):
                return Val("loader", data="")
            return None
        if symbol.kind == "class":
            if self.is_module(symbol):
                return Val(model=3, cls=symbol)
            return Val(cls=symbol)
        return None

    # --- names --------------------------------------------------------------------------------------------------------

    def rebound(self, path: str, unit: str) -> Mode | None:
        """``f = torch.no_grad()(f)``: the grad mode that a function is put in behind its definition."""
        file = self.project.file(path)
        if file is None or unit == MODULE:
            return None
        for wrapper in file.rebinding(unit.rpartition(".")[2].partition("#")[0]):
            symbol = self.project.resolve(path, wrapper)
            if symbol is not None and symbol.kind == "external" and (mode := self.guard_mode(symbol.name)) is not None:
                return mode
        return None

    def switched_off(self, path: str) -> str | None:
        """The module, imported by a file (or the file itself), that turns gradients off for the whole process."""
        switchers = self.project.switchers()
        if not switchers:
            return None
        seen = {path}
        queue = [(path, 0)]
        while queue:
            current, depth = queue.pop(0)
            if current in switchers:
                return current
            file = self.project.file(current)
            if file is None or depth >= 5:
                continue
            for item in file.outline.imports:
                alias = item.alias
                if item.scope >= 0:
                    continue
                names = (
                    [alias.module] if alias.name is None else [alias.module, f"{alias.module}.{alias.name}".lstrip(".")]
                )
                for name in names:
                    target = self.project.module(name, current, alias.level)
                    if target is not None and target not in seen:
                        seen.add(target)
                        queue.append((target, depth + 1))
        return None

    def member(self, symbol: Symbol, attr: str) -> Symbol | None:
        if symbol.kind == "external":
            return Symbol("external", "", self.knowledge.canonical(f"{symbol.name}.{attr}"))
        if symbol.kind == "module":
            return self.project.resolve(symbol.path, attr)
        if symbol.kind == "class":
            return self.project.resolve(symbol.path, f"{symbol.name}.{attr}")
        return None

    def global_value(self, symbol: Symbol, depth: int) -> Val:
        """The value of a module-level name of the project."""
        inner = min(depth, 0) - 1
        if inner < _DEEPEST:
            self.cut += 1
            self._limit(-_ANY, depth)
            return Val(name=symbol.name)
        nothing: dict[str, Val] = {}
        found = self._at(("globals", symbol.path), inner, lambda: self._find_globals(symbol.path, inner), nothing)
        self._below(found)
        return found.value.get(symbol.name) or Val(name=symbol.name)

    def _find_globals(self, path: str, depth: int) -> dict[str, Val]:
        found = self._facts(path, MODULE, depth)
        self._limit(found.low, found.high)
        return {k: _detached(v) for k, v in found.value.env.items()} if found.value is not None else {}

    def imports_any(self, path: str, roots: tuple[str, ...]) -> bool:
        file = self.project.file(path)
        return file is not None and any(
            i.alias.module.partition(".")[0] in roots for i in file.outline.imports if not i.alias.level
        )

    def demand_method(self, name: str) -> bool:
        return name in ("manual_backward", "backward_and_step") or name.endswith("_backward")

    # --- callers ------------------------------------------------------------------------------------------------------

    def callers(self, symbol: Symbol) -> tuple[tuple[tuple[str, str, CallSite], ...], bool]:
        """Call sites of a function in the project (path, unit, site), and whether these are surely all in sight."""
        nobody: tuple[tuple[tuple[str, str, CallSite], ...], bool] = ((), False)
        return self.memo(("callers", *symbol.key), lambda: self._find_callers(symbol), nobody)

    def _find_callers(self, symbol: Symbol) -> tuple[tuple[tuple[str, str, CallSite], ...], bool]:
        _, is_method, name = symbol.name.partition("#")[0].rpartition(".")
        found: list[tuple[str, str, CallSite]] = []
        places = self._places(symbol)
        if places is None:
            return (), False
        complete = not places.cut
        self.cut += places.cut
        targets = places.targets
        aliases: set[str] = set()
        for path, unit in places.units:
            facts = self.facts(path, unit, 1)
            if facts is None:
                continue
            aliases |= _aliases(facts, targets)
            for site in facts.calls.values():
                if site.target in targets:
                    found.append((path, unit, site))
                elif any(_gives(value, targets) for value in (*site.args, *(v for _, v in site.keywords))):
                    handed_on = self._handed_on(site, targets)
                    if handed_on is None:
                        complete = False
                        # Whoever it is may call it elsewhere, where a guard that is held here does not hold.
                        modes = {(Mode.DYNAMIC if m.off else m, guard) for m, guard in site.modes}
                        handed_on = msgspec.structs.replace(site, modes=modes)
                    found.append((path, unit, handed_on))
                elif site.target is None and site.method == name and is_method and places.distinct:
                    receiver = site.args[0] if site.args else UNKNOWN
                    if receiver.cls is None and not (path == symbol.path and unit == symbol.name):
                        found.append((path, unit, site))
        if not found and is_method:
            found += self._calls_of_kin(symbol, places)
        if not found and is_method and not places.distinct and not name.startswith("_"):
            namesakes = list(self._calls_by_name(name))
            guarded = [entry for entry in namesakes if all(mode.off for mode, _ in entry[2].modes)]
            if 2 * len(guarded) >= len(namesakes):
                found += guarded  # any of them may be meant
        for alias in sorted(aliases - {name}):
            found += self._calls_by_name(alias)
        return tuple(found), complete

    def called_in(self, symbol: Symbol, name: str) -> bool:
        """Whether a function of some name (``forward``) calls a function, by what :meth:`callers` goes by."""
        places = self._places(symbol)
        if places is None or not any(unit.rpartition(".")[2] == name for _, unit in places.units):
            return False  # who else calls it costs far more to find
        return any(unit.rpartition(".")[2] == name for _, unit, _ in self.callers(symbol)[0])

    def _places(self, symbol: Symbol) -> _Places | None:
        """Where something of a function's name is called or handed on; None where its callers can't be looked for."""
        head, _, name = symbol.name.partition("#")[0].rpartition(".")
        targets = {symbol}
        cls = Symbol("class", symbol.path, head) if head else None
        if cls is not None:
            for ancestor in self.project.ancestors(cls)[1:]:
                if ancestor.kind == "class":
                    targets.add(Symbol("function", ancestor.path, f"{ancestor.name}.{name}"))
            if name in ("__init__", "__call__", "forward"):
                return None
        # A method is called by its own class, by its bases, and by who knows the class.
        near = {t.path for t in targets}
        cls_name = head.rpartition(".")[2]
        distinct = cls is not None and self.project.files_defining(name) <= _DISTINCT
        anywhere = distinct and not name.startswith("_")
        calling = self.project.files_calling(name)
        units: list[tuple[str, str]] = []
        cut = 0
        for path in calling if symbol.path in calling else (symbol.path, *calling):
            file = self.project.file(path)
            if file is None or not (path in near or anywhere or file.mentions(cls_name)):
                continue
            inside = file.places(name)
            room = _MANY - len(units)
            units += [(path, unit) for unit in inside[:room]]
            cut += len(inside) > room
        return _Places(tuple(units), targets, distinct, cut)

    def _calls_of_kin(self, symbol: Symbol, places: _Places) -> Iterator[tuple[str, str, CallSite]]:
        """Calls of the same method of another class with the same base: what is called there may be either of them."""
        name = symbol.name.rpartition(".")[2]
        shared = {t for t in places.targets - {symbol} if self._defines(t)}
        for path, unit in places.units if shared else ():
            facts = self.facts(path, unit, 1)
            if facts is None or unit.rpartition(".")[2] == name:  # it calls what it overrides
                continue
            for site in facts.calls.values():
                if site.target is not None and site.target.name.endswith(f".{name}"):
                    cls = Symbol("class", site.target.path, site.target.name.rpartition(".")[0])
                    bases = {Symbol("function", a.path, f"{a.name}.{name}") for a in self.project.ancestors(cls)}
                    if not shared.isdisjoint(bases):
                        yield path, unit, site

    def _defines(self, symbol: Symbol) -> bool:
        file = self.project.file(symbol.path)
        return file is not None and symbol.name in file.units

    def called_under_guard(self, symbol: Symbol, depth: int = CALLER_DEPTH) -> bool:
        """Whether a method in sight, under a guard of its own, surely calls a method of its class, itself or by others.

        The text says so: nobody is looked into, as for :meth:`entry`, which costs far more.
        """
        node = ("called under guard", *symbol.key, depth)
        return self.memo(node, lambda: self._is_called_under_guard(symbol, depth), False)

    def _is_called_under_guard(self, symbol: Symbol, depth: int) -> bool:
        places = self._places(symbol)
        name = symbol.name.rpartition(".")[2]
        for path, unit in places.units if places is not None else ():
            cls = Symbol("class", path, unit.rpartition(".")[0])
            if not cls.name or self.project.method(cls, name) != symbol:
                continue
            guarded, calls = self._sure_calls(path, unit)
            if name in calls and (guarded or self._passes_on(cls, Symbol("function", path, unit), depth)):
                return True
        return False

    def _passes_on(self, cls: Symbol, caller: Symbol, depth: int) -> bool:
        """Whether a method surely runs in the mode of a caller that holds a guard."""
        if depth <= 0 or self.hook(cls, caller.name.rpartition(".")[2]) is not None:
            return False
        return self.called_under_guard(caller, depth - 1)

    def _sure_calls(self, path: str, unit: str) -> tuple[bool, frozenset[str]]:
        """Whether a method is decorated with a guard, and what it calls on ``self`` without changing grad mode."""
        nothing: tuple[bool, frozenset[str]] = False, frozenset()
        return self.memo(("sure calls", path, unit), lambda: self._find_sure_calls(path, unit), nothing)

    def _find_sure_calls(self, path: str, unit: str) -> tuple[bool, frozenset[str]]:
        nothing: tuple[bool, frozenset[str]] = False, frozenset()
        file = self.project.file(path)
        if file is None or unit not in file.units or _CHANGES_MODE.search(file.unit_bytes(unit)):
            return nothing
        decorators = file.units[unit].decorators
        body = file.unit(unit)
        root = body.root if body is not None else None
        if root is None or root.is_async or root.is_generator or not root.params or root.params[0].name != "self":
            return nothing
        nodes = ir.walk(root.body)
        if any(isinstance(node, (ir.Def, ir.Lambda, ir.Class)) for node in nodes):
            return nothing  # what is in there may run later
        if self.rebound(path, unit) is not None or not all(self._is_off_or_neutral(path, text) for text in decorators):
            return nothing
        calls = (node.func for node in nodes if isinstance(node, ir.Call))
        names = frozenset(f.attr for f in calls if isinstance(f, ir.Attr) and ir.dotted(f.value) == "self")
        return any(_PLAIN_GUARD.search(text) for text in decorators), names

    def guarded_by_decorator(self, path: str, unit: str) -> bool:
        """Whether the body of a function, no generator, surely runs with gradients off, as its decorators say."""
        file = self.project.file(path)
        definition = file.units.get(unit) if file is not None else None
        return (
            definition is not None
            and not definition.is_async
            and any(_PLAIN_GUARD.search(text) for text in definition.decorators)
            and self.rebound(path, unit) is None
            and all(self._is_off_or_neutral(path, text) for text in definition.decorators)
        )

    def _is_off_or_neutral(self, path: str, decorator: str) -> bool:
        """A decorator that turns gradients off, or does nothing about them."""
        name = re.sub(r"\(.*", "", decorator, flags=re.DOTALL).strip()
        symbol = self.project.resolve(path, name)
        if symbol is None:
            return not guard_by_name(name)
        if symbol.kind == "external":
            mode = self.guard_mode(symbol.name)
            return mode is None or (mode.off and decorator.endswith("()"))
        summary = self.summary(symbol, 0)
        return summary is not None and summary.decorates is None and summary.guard is None

    def _calls_by_name(self, alias: str) -> Iterable[tuple[str, str, CallSite]]:
        """Calls of something that is only known by the name of the method."""
        for path in self.project.files_calling(alias)[:_MANY]:
            file = self.project.file(path)
            for unit in file.places(alias)[:_MANY] if file is not None else ():
                facts = self.facts(path, unit, 1)
                for site in facts.calls.values() if facts is not None else ():
                    if site.target is None and site.method == alias:
                        yield path, unit, site

    def _handed_on(self, site: CallSite, targets: set[Symbol]) -> CallSite | None:
        """A call that is given the function, as a call of it in the mode in which the callee runs its parameter."""
        if site.target is None:
            return None
        summary = self.summary(site.target, 0)
        if summary is None:
            return None
        bound = bind(self.parameters(site.target), site.args, site.keywords)
        modes: set[tuple[Mode, int | None]] = set()
        for i, inner in summary.param_calls:
            if i in bound and bound[i].symbol in targets:
                for mode in inner:
                    modes |= {(outer if mode is Mode.ENTRY else mode, guard) for outer, guard in site.modes}
        if not modes:
            return None
        return msgspec.structs.replace(site, modes=modes)

    def entry(self, symbol: Symbol, depth: int = CALLER_DEPTH) -> Entry:
        """The grad modes in which the project enters a function, each with a witness."""
        return self.memo(("entry", *symbol.key, depth), lambda: self._find_entry(symbol, depth), Entry())

    def _find_entry(self, symbol: Symbol, depth: int) -> Entry:
        sites, complete = self.callers(symbol)
        ways: dict[tuple[Mode, str], Way] = {}
        for path, unit, site in sites:
            phase = next(iter(site.phases)) if len(site.phases) == 1 else "mixed"
            step = (path, unit, site.node, phase)
            for mode, _ in sorted(site.modes, key=str):
                if mode is not Mode.ENTRY:
                    ways.setdefault((mode, f"{path}:{unit}"), Way(mode, (step,)))
                    continue
                caller = Symbol("function", path, unit)
                if unit == MODULE:
                    ways.setdefault((Mode.ENABLED, f"{path}:{unit}"), Way(Mode.ENABLED, (step,)))
                    continue
                facts = self.facts(path, unit, 1)
                hook = facts.hook if facts is not None else None
                if hook is not None:
                    promised = Mode(hook.mode)
                    ways.setdefault((promised, f"{path}:{unit}"), Way(promised, (step,)))
                    continue
                if depth <= 0 or caller == symbol:
                    if caller != symbol:
                        complete = False
                        self.cut += 1
                    continue
                outer = self.entry(caller, depth - 1)
                complete = complete and outer.complete
                if not outer.ways:
                    # Somebody must call a private function; who it is can't be seen.
                    module = facts is not None and facts.is_module_class
                    unseen = _is_private(unit) or (module and unit.rpartition(".")[2] in ("forward", "__call__"))
                    mode = Mode.DYNAMIC if unseen else Mode.ENTRY
                    ways.setdefault((mode, f"{path}:{unit}"), Way(mode, (step,), unseen))
                for way in outer.ways:
                    ways.setdefault((way.mode, f"{path}:{unit}"), Way(way.mode, (*way.steps, step), way.unseen))
        return Entry(tuple(ways.values()), complete)


def _gives(value: Val, targets: set[Symbol]) -> bool:
    """Whether a value is one of some functions, or a list that holds one."""
    return value.symbol in targets or any(item.symbol in targets for item in value.items or ())


def _aliases(facts: Facts, targets: set[Symbol]) -> set[str]:
    """Attributes that one of the functions is assigned to: ``self.explore = self.explore_once``."""
    found = set()
    for node in facts.nodes:
        if isinstance(node, ir.Assign) and isinstance(node.value, (ir.Attr, ir.Name)):
            if facts.values.get(node.value.o, UNKNOWN).symbol in targets:
                found |= {target.attr for target in node.targets if isinstance(target, ir.Attr)}
    return found


def _is_private(unit: str) -> bool:
    name = unit.rpartition(".")[2]
    return name.startswith("_") and not name.startswith("__")


def _detached(value: Val) -> Val:
    items = tuple(_detached(v) for v in value.items) if value.items is not None else None
    if not value.graph and items is None and not value.name and not value.evaluating and value.origin < 0:
        return value
    return msgspec.structs.replace(value, graph=frozenset(), items=items, name="", evaluating=False, origin=-1)
