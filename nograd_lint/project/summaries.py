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
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from nograd_lint.analysis.facts import Facts, Summary
from nograd_lint.analysis.interp import Interp
from nograd_lint.analysis.values import UNKNOWN, Mode, Val, guard_by_name, join
from nograd_lint.project.answers import ANY, Answer
from nograd_lint.project.callers import Callers
from nograd_lint.project.file import MODULE
from nograd_lint.project.graph import Node
from nograd_lint.project.index import Project, Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.knowledge import Hook, Knowledge

DEPTH = 3  # levels of callees looked into
_DEEPEST = -3  # below 0: levels of classes and globals whose attributes and values are looked into
_MOST_IMPORTS = 5  # from a file to the one, imported through others, that switches gradients off
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
_MAKES = re.compile(
    rb"self\.\w+[ \t]*(?::[^=\n]+)?=(?!=)" + _VALUE + rb"[^\n]*"
    rb"(?:\b[A-Z]\w*\(|from_pretrained|load|build|create|make|get_|compile|prepare)"
)


class World(Callers):
    """The project as the analysis of a unit sees it.

    Attributes:
        declared: dotted names of the project's own functions and classes about which the configuration says something.
    """

    def __init__(self, project: Project, knowledge: Knowledge, declared: frozenset[str] = frozenset()) -> None:
        super().__init__(project)
        self.knowledge = knowledge
        self.declared = declared
        self._recent: OrderedDict[Node, int] = OrderedDict()  # facts that are kept, and how many values each holds
        self._weight = 0

    def forget(self, nodes: Iterable[Node]) -> None:
        """Drop answers."""
        for node in nodes:
            self._answers.pop(node, None)
            self.graph.remove(node)
            self._weight -= self._recent.pop(node, 0)

    # --- units --------------------------------------------------------------------------------------------------------

    def facts(self, path: str, unit: str, depth: int = DEPTH) -> Facts | None:
        return self._facts(path, unit, depth).value

    def _facts(self, path: str, unit: str, depth: int) -> Answer[Facts | None]:
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

    def _summarised(self, path: str, unit: str, depth: int) -> Answer[Summary | None]:
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
            self._limit(-ANY, floor)
            return None
        found = self._summarised(symbol.path, symbol.name, depth)
        self._limit(max(found.low, floor) + 1, found.high + 1)
        return found.value

    def _below(self, found: Answer[Any]) -> None:
        """An answer at ``min(depth, 0) - 1`` was used at ``depth``."""
        self._limit(found.low + 1, ANY if found.high >= -1 else found.high + 1)

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
            self._limit(-ANY, 0)
            return UNKNOWN
        self._limit(1, ANY)
        facts = self.facts(method.path, method.name, 0)
        return facts.summary.returns.with_graph(frozenset()) if facts is not None else UNKNOWN

    def _class_alias(self, cls: Symbol, attr: str) -> Val | None:
        """``decode = decode_function`` in a class body."""
        file = self.project.file(cls.path)
        name = file.class_aliases(cls.name).get(attr) if file is not None else None
        symbol = self.project.resolve(cls.path, name) if name is not None else None
        return Val("bound", symbol=symbol) if symbol is not None and symbol.kind == "function" else None

    def _class_attributes(self, cls: Symbol, depth: int) -> Answer[dict[str, Val]]:
        """Attributes that the methods of a class assign to ``self``."""
        if depth < _DEEPEST:
            self.cut += 1
            return Answer({}, -ANY, depth)
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
        if not self.project.switchers():
            return None
        found = (self._switched_within(path, distance) for distance in range(_MOST_IMPORTS + 1))
        return next((switcher for switcher in found if switcher is not None), None)

    def _switched_within(self, path: str, distance: int) -> str | None:
        """The module that is at most that many imports away."""

        def find() -> str | None:
            if not distance:
                return path if path in self.project.switchers() else None
            found = (self._switched_within(target, distance - 1) for target in self._imported_files(path))
            return next((switcher for switcher in found if switcher is not None), None)

        return self.memo(("switched off", path, str(distance)), find, None)

    def _imported_files(self, path: str) -> tuple[str, ...]:
        """Files that the module level of a file imports."""

        def find() -> tuple[str, ...]:
            file = self.project.file(path)
            found: dict[str | None, None] = {}
            for item in file.outline.imports if file is not None else ():
                alias = item.alias
                if item.scope >= 0:
                    continue
                found[self.project.module(alias.module, path, alias.level)] = None
                if alias.name is not None:
                    inner = f"{alias.module}.{alias.name}".lstrip(".")
                    found[self.project.module(inner, path, alias.level)] = None
            return tuple(target for target in found if target is not None)

        return self.memo(("imports", path), find, ())

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
            self._limit(-ANY, depth)
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


def _detached(value: Val) -> Val:
    items = tuple(_detached(v) for v in value.items) if value.items is not None else None
    if not value.graph and items is None and not value.name and not value.evaluating and value.origin < 0:
        return value
    return msgspec.structs.replace(value, graph=frozenset(), items=items, name="", evaluating=False, origin=-1)
