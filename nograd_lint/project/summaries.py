"""What one unit needs to know of others: summaries of callees, attributes of classes, grad mode at entry from callers.

Every answer is a function of the project's text and of a depth: a question of depth *n* asks only questions of depth
*n - 1*. So recursion and cycles end, and no answer depends on the order in which things were asked. Where the depth runs
out the answer is "unknown", and that is counted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from nograd_lint.analysis.calls import bind
from nograd_lint.analysis.facts import CallSite, Facts, Summary
from nograd_lint.analysis.interp import Interp
from nograd_lint.analysis.values import UNKNOWN, Mode, Val, guard_by_name, join
from nograd_lint.project.index import MODULE, Project, Symbol
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.knowledge import Hook, Knowledge

DEPTH = 3  # levels of callees looked into
CALLER_DEPTH = 4  # levels of callers looked up
_MANY = 24  # more candidate callers than this are cut off, and counted
_DISTINCT = 3  # a method that more files define says nothing about the class of an unknown receiver
_MAKES = re.compile(rb"self\.\w+[ \t]*(?::[^=\n]+)?=(?!=)[^\n]*(?:\b[A-Z]\w*\(|from_pretrained|load|build|create|make|get_|compile|prepare)")
_ALIAS = re.compile(rb"^[ \t]+(\w+)[ \t]*=[ \t]*([A-Za-z_][\w.]*)[ \t]*(?:#.*)?$", re.M)
_SWITCH_OFF = re.compile(rb"^(?:\w+\.)*set_grad_enabled\([ \t]*(?:mode[ \t]*=[ \t]*)?False", re.M)


class Way(msgspec.Struct, frozen=True):
    """One way into a function: the grad mode there and the call sites on the way, outermost first."""

    mode: Mode
    steps: tuple[tuple[str, str, int, str], ...]  # (path, unit, ordinal of the call, phase)


class Entry(msgspec.Struct, frozen=True):
    """All ways into a function that the project shows."""

    ways: tuple[Way, ...] = ()
    complete: bool = True  # False where callers were cut off or can't be told apart

    @property
    def modes(self) -> frozenset[Mode]:
        return frozenset(w.mode for w in self.ways)


class World:
    """The project as the analysis of a unit sees it."""

    def __init__(self, project: Project, knowledge: Knowledge) -> None:
        self.project = project
        self.knowledge = knowledge
        self._facts: dict[tuple[str, str, int], Facts | None] = {}
        self._modules: dict[Symbol, bool] = {}
        self._attributes: dict[tuple[Symbol, int], dict[str, Val]] = {}
        self._globals: dict[tuple[str, int], dict[str, Val]] = {}
        self._callers: dict[Symbol, tuple[tuple[tuple[str, str, CallSite], ...], bool]] = {}
        self._entries: dict[tuple[Symbol, int], Entry] = {}
        self._running: set[tuple[str, str]] = set()
        self.cut = 0

    # --- units --------------------------------------------------------------------------------------------------------

    def facts(self, path: str, unit: str, depth: int = DEPTH) -> Facts | None:
        key = (path, unit, depth)
        if key not in self._facts:
            file = self.project.file(path)
            body = file.unit(unit) if file is not None else None
            self._facts[key] = None if body is None else Interp(self, path, unit, body, depth).run()
        return self._facts[key]

    def summary(self, symbol: Symbol, depth: int) -> Summary | None:
        if depth < 0 or symbol.kind != "function":
            return None
        facts = self.facts(symbol.path, symbol.name, depth)
        return facts.summary if facts is not None else None

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

    def own_entry(self, symbol: Symbol) -> Mode | None:
        """The grad mode that a function's own decorators put it in, judged by their text."""
        file = self.project.file(symbol.path)
        if file is None or symbol.name not in file.units:
            return None
        for text in file.units[symbol.name].decorators:
            name = re.sub(r"\(.*", "", text, flags=re.S).strip()
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
        if cls not in self._modules:
            self._modules[cls] = any(
                a.kind == "external" and self.knowledge.is_module_class(a.name) for a in self.project.ancestors(cls)
            )
        return self._modules[cls]

    def parameterless(self, cls: Symbol) -> bool:
        """A module of the project that makes no parameters and no sub-modules of its own, such as a loss."""
        file = self.project.file(cls.path)
        if file is None or cls.name not in file.classes:
            return False
        for base in self.project.ancestors(cls)[1:]:
            if base.kind == "external" and not self.is_parameterless(base.name) and base.name not in (
                "torch.nn.Module", "torch.nn.modules.module.Module", "abc.ABC"
            ):
                return False
        definition = file.classes[cls.name]
        text = file.data[definition.body : definition.end]
        if re.search(rb"Parameter\(|register_buffer|\bnn\.[A-Z]|self\.\w+[ \t]*(?::[^=\n]+)?=[^\n]*(?:\b[A-Z]\w*\(|build_|create_|from_pretrained|[Mm]odel|[Nn]et\b|encoder|decoder)", text):
            name = cls.name.rpartition(".")[2]
            return re.search(r"loss|criterion|metric|penalty|transform|augment|normali[sz]e", name, re.I) is not None and (
                re.search(rb"Parameter\(|Linear|Conv|Embedding|(?:LSTM|GRU|RNN)|from_pretrained|[Mm]odel|[Nn]et\w*\(|[Ee]ncoder|VGG|vgg|discriminator", text) is None
            )
        return True

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
        return f"{module}.{symbol.name}"

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
        return found is not None and found.parameterless or self.knowledge.is_loss(name)

    def attribute(self, cls: Symbol, attr: str, depth: int) -> Val | None:
        """What ``instance.attr`` is for an instance of a class of the project."""
        if cls.kind != "class":
            return None
        method = self.project.method(cls, attr)
        if method is not None:
            file = self.project.file(method.path)
            decorators = file.units[method.name].decorators if file is not None else ()
            if any(d.endswith("property") for d in decorators):
                summary = self.summary(method, min(depth, 1) - 1)
                return summary.returns.with_graph(frozenset()) if summary is not None else UNKNOWN
            return Val("bound", symbol=method)
        for ancestor in self.project.ancestors(cls):
            if ancestor.kind == "class":
                value = self._class_attributes(ancestor).get(attr)
                if value is not None:
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
        definition = file.units[f"{cls.name}.__init__"]
        if re.search(rb"\b%b[ \t]*:" % attr.encode(), file.data[definition.start : definition.body]) is None:
            return None
        body = file.unit(f"{cls.name}.__init__")
        root = body.root if body is not None else None
        for param in root.params if root is not None else ():
            if param.name == attr and param.annotation is not None:
                return self.annotated(cls.path, param.annotation)
        return None

    def _class_alias(self, cls: Symbol, attr: str) -> Val | None:
        """``decode = decode_function`` in a class body."""
        file = self.project.file(cls.path)
        if file is None or cls.name not in file.classes:
            return None
        definition = file.classes[cls.name]
        for match in _ALIAS.finditer(file.data, definition.body, definition.end):
            if match[1] == attr.encode() and match.start() > definition.start:
                symbol = self.project.resolve(cls.path, match[2].decode())
                if symbol is not None and symbol.kind == "function":
                    return Val("bound", symbol=symbol)
        return None

    def _class_attributes(self, cls: Symbol) -> dict[str, Val]:
        """Attributes that the methods of a class assign to ``self``."""
        key = (cls, 0)
        if key in self._attributes:
            return self._attributes[key]
        self._attributes[key] = {}  # a method that asks for attributes of its own class while they are made sees none
        result: dict[str, Val] = {}
        file = self.project.file(cls.path)
        if file is None or cls.name not in file.classes:
            return result
        definition = file.classes[cls.name]
        for name, unit in file.units.items():
            if not (definition.start <= unit.start < definition.end and name.startswith(f"{cls.name}.")):
                continue
            if unit.name != "__init__" and not _MAKES.search(file.data, unit.start, unit.end):
                continue
            facts = self.facts(cls.path, name, 0)
            if facts is None:
                continue
            for dotted, value in facts.env.items():
                if dotted.startswith("self.") and dotted.count(".") == 1:
                    plain = _detached(value)
                    if plain.kind == "const" and plain.data is None:
                        continue  # made later
                    attr = dotted[5:]
                    result[attr] = join((result[attr], plain)) if attr in result else plain
        for dotted in file.hints:
            if dotted.startswith("self.") and dotted.count(".") == 1:
                attr = dotted[5:]
                hints = file.hinted(dotted, definition.start, definition.end)
                old = result.get(attr, UNKNOWN)
                if "eval" in hints and not old.kind and old.symbol is None:
                    result[attr] = msgspec.structs.replace(old, model=3)
        self._attributes[key] = result
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
        name = unit.rpartition(".")[2].partition("#")[0]
        if file is None or unit == MODULE or b"grad" not in file.data and b"inference_mode" not in file.data:
            return None
        pattern = rb"^[ \t]*%b[ \t]*=[ \t]*([\w.]+)(?:\([^()\n]*\))?\([ \t]*%b[ \t]*\)" % (name.encode(), name.encode())
        for match in re.finditer(pattern, file.data, re.M):
            symbol = self.project.resolve(path, match[1].decode())
            if symbol is not None and symbol.kind == "external" and (mode := self.guard_mode(symbol.name)) is not None:
                return mode
        return None

    def switched_off(self, path: str) -> str | None:
        """The module, imported by a file (or the file itself), that turns gradients off for the whole process."""
        if not self._switchers:
            return None
        seen = {path}
        queue = [(path, 0)]
        while queue:
            current, depth = queue.pop(0)
            if current in self._switchers:
                return current
            file = self.project.file(current)
            if file is None or depth >= 5:
                continue
            for item in file.outline.imports:
                alias = item.alias
                if item.scope >= 0:
                    continue
                names = [alias.module] if alias.name is None else [alias.module, f"{alias.module}.{alias.name}".lstrip(".")]
                for name in names:
                    target = self.project.module(name, current, alias.level)
                    if target is not None and target not in seen:
                        seen.add(target)
                        queue.append((target, depth + 1))
        return None

    @cached_property
    def _switchers(self) -> frozenset[str]:
        found = set()
        for path in self.project.paths:
            file = self.project.file(path)
            if file is not None and _SWITCH_OFF.search(file.data) is not None:
                found.add(path)
        return frozenset(found)

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
        key = (symbol.path, 0)
        if key not in self._globals:
            self._globals[key] = {}
            facts = self.facts(symbol.path, MODULE, 0)
            if facts is not None:
                self._globals[key] = {k: _detached(v) for k, v in facts.env.items()}
        value = self._globals[key].get(symbol.name)
        return value if value is not None else Val(name=symbol.name)

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
        if symbol not in self._callers:
            self._callers[symbol] = self._find_callers(symbol)
        return self._callers[symbol]

    def _find_callers(self, symbol: Symbol) -> tuple[tuple[tuple[str, str, CallSite], ...], bool]:
        head, _, name = symbol.name.partition("#")[0].rpartition(".")
        targets = {symbol}
        cls = Symbol("class", symbol.path, head) if head else None
        called = name
        if cls is not None:
            for ancestor in self.project.ancestors(cls)[1:]:
                if ancestor.kind == "class":
                    targets.add(Symbol("function", ancestor.path, f"{ancestor.name}.{name}"))
            if name in ("__init__", "__call__", "forward"):
                return (), False
        found: list[tuple[str, str, CallSite]] = []
        complete = True
        private = name.startswith("_") and cls is not None
        near = {t.path for t in targets}  # a method is called by its own class, by its bases, and by who knows the class
        cls_name = head.rpartition(".")[2].encode()
        distinct = cls is not None and self.project.files_defining(name) <= _DISTINCT
        places = 0
        word = re.escape(called.encode())
        handed = rb"[(=,][ \t]*(?:[A-Za-z_]\w*\.)*" + word + rb"[ \t]*[,)]"
        pattern = re.compile(rb"\b" + word + rb"[ \t]*\(|" + handed)
        nearby = [symbol.path] if symbol.path not in self.project.files_calling(called) else []
        for path in [*nearby, *self.project.files_calling(called)]:
            file = self.project.file(path)
            if file is None or path not in near and not (distinct and not private) and cls_name not in file.data:
                continue
            units = sorted((d.start, d.end, unit) for unit, d in file.units.items())
            starts = [u[0] for u in units]
            wanted: dict[str, None] = {}
            for match in pattern.finditer(file.data):
                at = bisect_right(starts, match.start()) - 1
                inside = at >= 0 and match.start() < units[at][1]
                line = file.data[file.data.rfind(b"\n", 0, match.start()) + 1 : match.start()]
                if re.search(rb"\b(?:def|class)\s+$", line):
                    continue
                wanted[units[at][2] if inside else MODULE] = None
            for unit in wanted:
                places += 1
                if places > _MANY:
                    complete = False
                    self.cut += 1
                    break
                facts = self.facts(path, unit, 1)
                if facts is None:
                    continue
                for site in facts.calls.values():
                    if site.target in targets:
                        found.append((path, unit, site))
                    elif any(v.symbol in targets for v in site.args) or any(v.symbol in targets for _, v in site.keywords):
                        handed_on = self._handed_on(site, targets)
                        if handed_on is None:
                            complete = False
                        else:
                            found.append((path, unit, handed_on))
                    elif site.target is None and site.method == name and cls is not None and distinct:
                        receiver = site.args[0] if site.args else UNKNOWN
                        if receiver.cls is None and not (path == symbol.path and unit == symbol.name):
                            found.append((path, unit, site))
        return tuple(found), complete

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
        key = (symbol, depth)
        if key not in self._entries:
            self._entries[key] = self._find_entry(symbol, depth)
        return self._entries[key]

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
                    mode = Mode.DYNAMIC if _is_private(unit) else Mode.ENTRY
                    ways.setdefault((mode, f"{path}:{unit}"), Way(mode, (step,)))
                for way in outer.ways:
                    ways.setdefault((way.mode, f"{path}:{unit}"), Way(way.mode, (*way.steps, step)))
        return Entry(tuple(ways.values()), complete)


def _is_private(unit: str) -> bool:
    name = unit.rpartition(".")[2]
    return name.startswith("_") and not name.startswith("__")


def _detached(value: Val) -> Val:
    items = tuple(_detached(v) for v in value.items) if value.items is not None else None
    if not value.graph and items is None and not value.name and not value.evaluating:
        return value
    return msgspec.structs.replace(value, graph=frozenset(), items=items, name="", evaluating=False)
