"""One file of a project, and every question about its text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, TypeAlias

from nograd_lint.project.marks import Mark, marked
from nograd_lint.project.names import Names
from nograd_lint.project.stars import Bindings
from nograd_lint.syntax import ir
from nograd_lint.syntax.outline import Definition, Outline, module_text, outline, unit_text
from nograd_lint.syntax.quick import quick
from nograd_lint.syntax.search import called_names, inner_definitions

if TYPE_CHECKING:
    from nograd_lint.project.index import Project

MODULE = "<module>"
# A file without any of these words holds nothing to report and nothing that changes grad mode.
SCREEN = re.compile(
    rb"torch|_grad\b|inference_mode|\.eval\(|\.backward\(|lightning|transformers|diffusers|accelerate|requires_?grad|volatile"
)
_HINT = re.compile(
    rb"\.(eval(?=[ \t]*\([ \t\r\n]*\))|train|parameters|named_parameters|load_state_dict|zero_grad|named_modules|"
    rb"modules|state_dict)[ \t]*\("
)
_DOTTED_BACKWARDS = re.compile(rb"(?:\w*[A-Za-z_]\.)*\w*[A-Za-z_](?!\w)")
_LONGEST_NAME = 200
MOST_UNITS = 1_000  # kept in memory at a time
_REBINDING = re.compile(rb"\n[ \t]*(\w+)[ \t]*=[ \t]*([\w.]+)(?:\([^()\n]*\))?\([ \t]*\1[ \t]*\)")
_ALIAS = re.compile(rb"\n[ \t]+(\w+)[ \t]*=[ \t]*([A-Za-z_][\w.]*)[ \t]*(?:#.*)?$", re.MULTILINE)
_ANNOTATED = re.compile(rb"\b(\w+)[ \t]*:")
_DEFINING = re.compile(rb"\b(?:def|class)[ \t]+$")
_AFTER = (b"(", b",", b")", b"]", b"\n", b"\r", b"#", b"")
_BEFORE_ALIAS = re.compile(rb"\.\w+[ \t]*=[ \t]*(?:[A-Za-z_]\w*\.)+$")
_BEFORE_ARGUMENT = re.compile(rb"[(\[=,]\s*(?:[A-Za-z_]\w*\.)*$")
_FROM = re.compile(rb"from[ \t]+[\w.]+[ \t]+import\b(?:[ \t]*\([^)]*\)|[^\n\\(]*)")
_IMPORTED = re.compile(rb"\b[a-z_]\w*(?=[ \t]*[,)\n#]|$)")
# A question about the project and what its answer came from: see :class:`Project`.
Use: TypeAlias = tuple[str, ...]


class Store(Protocol):
    """Where outlines and units are kept between runs, by what they were made of."""

    def outline(self, digest: bytes) -> Outline | None: ...
    def keep_outline(self, digest: bytes, value: Outline) -> None: ...
    def unit(self, text: str) -> ir.Unit | None: ...
    def keep_unit(self, text: str, value: ir.Unit) -> None: ...


class File:
    """One file of the project, outlined when first asked about.

    Everything that is asked from outside is noted in ``project.uses``, as narrowly as it was asked: who used one
    function of the file does not depend on the others.
    """

    def __init__(self, path: str, data: bytes, project: Project) -> None:
        self.path = path
        self._data = data
        self._project = project
        self._units: dict[str, ir.Unit | None] = {}
        self._agreed: dict[str, bool] = {}
        self._mentioned: dict[str, bool] = {}
        self._asked: dict[tuple[str, int, int | None], tuple[Use, frozenset[str]]] = {}
        self.rejected: dict[str, tuple[str, int, int]] = {}  # what libcst says about the units that it rejects
        self._use_data: Use = ("data", path)
        self._use_outline: Use = ("outline", path)

    def note(self, *use: str) -> None:
        self._project.uses.add(use)

    @property
    def data(self) -> bytes:
        """The whole text. Whoever reads it depends on all of it: prefer the narrower questions below."""
        self._project.uses.add(self._use_data)
        return self._data

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def outline(self) -> Outline:
        self._project.uses.add(self._use_outline)
        return self._outline

    @cached_property
    def digest(self) -> bytes:
        return digest(self._data)

    @cached_property
    def _outline(self) -> Outline:
        store = self._project.store
        if store is None:
            return outline(self._data)
        found = store.outline(self.digest)
        if found is None:
            found = outline(self._data)
            store.keep_outline(self.digest, found)
        return found

    @cached_property
    def screened_out(self) -> bool:
        return SCREEN.search(self._data) is None

    @property
    def names(self) -> Names:
        """Every name that is called or handed on in the file, and every one of a method or nested function."""
        called = called_names(self._data)
        return called.union(self._handed_on(called)), inner_definitions(self._data)

    def _handed_on(self, called: frozenset[bytes]) -> Iterator[bytes]:
        """Imported names that are given to somebody, and called by nobody here: to look at all names takes long."""
        data = self._data
        imported = {}
        for m in _FROM.finditer(data):
            text = m[0]
            imported.update(dict.fromkeys(_IMPORTED.findall(text, text.index(b"import") + 6), m.end()))
        for name in imported.keys() - called:
            at = data.find(name, imported[name])
            while at >= 0:
                end = at + len(name)
                if data[end : end + 1] in (b",", b")", b"]") and data[max(0, at - 80) : at].rstrip()[-1:] in (
                    b"(", b"[", b"=", b",",
                ):  # fmt: skip
                    yield name
                    break
                at = data.find(name, end)

    @property
    def mark(self) -> Mark | None:
        """What the text says of the file that concerns others."""

        def unit_at(offset: int) -> str:
            unit = self.unit_at(offset)
            return unit if unit != MODULE else ""

        return marked(self._data, unit_at, lambda: {name: (d.start, d.end) for name, d in self._functions.items()})

    @property
    def units(self) -> dict[str, Definition]:
        """Functions that are units of their own, by name; further ones of the same name carry ``#2``, ``#3``, …"""
        self._project.uses.add(self._use_outline)
        return self._functions

    @cached_property
    def _functions(self) -> dict[str, Definition]:
        result: dict[str, Definition] = {}
        definitions = self._outline.definitions
        inside = [False] * len(definitions)  # nested in a function
        for i, definition in enumerate(definitions):
            up = definition.parent
            inside[i] = up >= 0 and (inside[up] or definitions[up].kind == "function")
            if definition.kind == "function" and not inside[i]:
                name, n = definition.qualname, 1
                while name in result:
                    n += 1
                    name = f"{definition.qualname}#{n}"
                result[name] = definition
        return result

    @property
    def classes(self) -> dict[str, Definition]:
        self._project.uses.add(self._use_outline)
        return self._classes

    @cached_property
    def _classes(self) -> dict[str, Definition]:
        return {d.qualname: d for d in self._outline.definitions if d.kind == "class"}

    @property
    def imports(self) -> dict[str, ir.Alias]:
        """Names that imports bind anywhere at module level, later ones winning only over nothing."""
        self._project.uses.add(self._use_outline)
        return self._imports

    @cached_property
    def _imports(self) -> dict[str, ir.Alias]:
        result: dict[str, ir.Alias] = {}
        definitions = self._outline.definitions
        for item in self._outline.imports:
            if item.scope < 0 or definitions[item.scope].kind == "class":
                name = bound_name(item.alias)
                if name != "*":
                    result.setdefault(name, item.alias)
        return result

    @cached_property
    def _globals(self) -> frozenset[str]:
        return frozenset(self._outline.globals)

    @property
    def globals(self) -> frozenset[str]:
        """Names that the module body assigns."""
        self._project.uses.add(self._use_outline)
        return self._globals

    @property
    def bindings(self) -> Bindings:
        """What the module level binds."""
        stars = tuple(f"{'.' * i.alias.level}{i.alias.module}" for i in self._outline.imports if i.alias.name == "*")
        tops = {name for names in (self._classes, self._functions) for name in names if "." not in name}
        return Bindings(self._globals.union(tops, self._imports), stars)

    # --- questions about the text -----------------------------------------------------------------------------------

    @cached_property
    def _hints(self) -> dict[str, dict[str, list[int]]]:
        """``{"self.net": {"eval": [offsets]}}``: what is called on a dotted name anywhere in the file."""
        result: dict[str, dict[str, list[int]]] = {}
        data = self._data
        for m in _HINT.finditer(data):
            end = m.start()
            name = _DOTTED_BACKWARDS.match(data[max(0, end - _LONGEST_NAME) : end][::-1])
            if name is not None:
                dotted = name[0][::-1].decode()
                result.setdefault(dotted, {}).setdefault(m[1].decode(), []).append(end - len(name[0]))
        return result

    @cached_property
    def _scopes(self) -> dict[tuple[int, int], str]:
        scopes = {(0, len(self._data)): ""}
        scopes.update({(d.start, d.end): f"class {name}" for name, d in self._classes.items()})
        scopes.update({(d.start, d.end): name for name, d in self._functions.items()})
        return scopes

    def _extent(self, scope: str) -> tuple[int, int] | None:
        if not scope:
            return 0, len(self._data)
        found = self._classes.get(scope[6:]) if scope.startswith("class ") else self._functions.get(scope)
        return (found.start, found.end) if found is not None else None

    def hinted(self, name: str, start: int = 0, end: int | None = None) -> frozenset[str]:
        """The method names called on ``name`` between two offsets: of the file, or of one of its definitions."""
        key = (name, start, end)
        known = self._asked.get(key)
        if known is None:
            scope = self._scopes.get((start, len(self._data) if end is None else end))
            if scope is None:
                use = self._use_data
            elif scope in self._functions:  # read it as a whole, where its own names are concerned
                use = ("unit", self.path, scope)
            else:
                use = ("hint", self.path, name, scope)
            known = self._asked[key] = use, self._hinted(name, start, end)
        self._project.uses.add(known[0])
        return known[1]

    def _hinted(self, name: str, start: int, end: int | None) -> frozenset[str]:
        found = self._hints.get(name)
        if not found:
            return frozenset()
        stop = len(self._data) if end is None else end
        return frozenset(k for k, at in found.items() if any(start <= o < stop for o in at))

    def hinted_attributes(self, cls: str) -> tuple[str, ...]:
        """Attributes of ``self`` on which something is called in a class, and that something is ``eval``."""
        self.note("hints", self.path, cls)
        return self._hinted_attributes(cls)

    def _hinted_attributes(self, cls: str) -> tuple[str, ...]:
        definition = self._classes.get(cls)
        if definition is None:
            return ()
        return tuple(
            name[5:]
            for name in self._hints
            if name.startswith("self.")
            and name.count(".") == 1
            and "eval" in self._hinted(name, definition.start, definition.end)
        )

    def class_body(self, cls: str) -> bytes:
        """The text of a class, from its body on."""
        self.note("class", self.path, cls)
        return self._class_body(cls)

    def _class_body(self, cls: str) -> bytes:
        definition = self._classes.get(cls)
        return self._data[definition.body : definition.end] if definition is not None else b""

    def unit_bytes(self, unit: str) -> bytes:
        """The text of a function, as bytes."""
        self.note("unit", self.path, unit)
        definition = self._functions[unit]
        return self._data[definition.start : definition.end]

    def body_bytes(self, unit: str) -> bytes:
        """The text of a function below its header, as bytes."""
        self.note("unit", self.path, unit)
        definition = self._functions[unit]
        return self._data[definition.body : definition.end]

    def annotated_parameters(self, unit: str) -> frozenset[str]:
        """Names in the header of a function that a colon follows."""
        self.note("unit", self.path, unit)
        if unit not in self._headers:
            definition = self._functions[unit]
            found = _ANNOTATED.findall(self._data, definition.start, definition.body)
            self._headers[unit] = frozenset(name.decode() for name in found)
        return self._headers[unit]

    @cached_property
    def _headers(self) -> dict[str, frozenset[str]]:
        return {}

    def class_aliases(self, cls: str) -> dict[str, str]:
        """``decode = decode_function`` in the body of a class: attribute → what it is assigned."""
        self.note("class", self.path, cls)
        if cls not in self._aliases:
            self._aliases[cls] = {}
            definition = self._classes.get(cls)
            if definition is not None:
                for m in _ALIAS.finditer(self._data, definition.body, definition.end):
                    self._aliases[cls].setdefault(m[1].decode(), m[2].decode())
        return self._aliases[cls]

    @cached_property
    def _aliases(self) -> dict[str, dict[str, str]]:
        return {}

    def rebinding(self, name: str) -> tuple[str, ...]:
        """The ``wrapper`` of every ``name = wrapper(name)`` and ``name = wrapper(...)(name)``."""
        self.note("rebinding", self.path, name)
        return self._rebinding(name)

    def _rebinding(self, name: str) -> tuple[str, ...]:
        return self._rebindings.get(name, ())

    @cached_property
    def _rebindings(self) -> dict[str, tuple[str, ...]]:
        result: dict[str, tuple[str, ...]] = {}
        if b"grad" in self._data or b"inference_mode" in self._data:
            for m in _REBINDING.finditer(self._data):  # never on the first line: it follows a definition
                name = m[1].decode()
                result[name] = (*result.get(name, ()), m[2].decode())
        return result

    def mentions(self, text: str) -> bool:
        """Whether a text occurs in the file."""
        self.note("mention", self.path, text)
        found = self._mentioned.get(text)
        if found is None:
            found = self._mentioned[text] = text.encode() in self._data
        return found

    def places(self, name: str) -> tuple[str, ...]:
        """Units in which something of this name is called, handed on or kept as an attribute, in the file's order."""
        self.note("places", self.path, name)
        return self._places(name)

    def _places(self, name: str) -> tuple[str, ...]:
        data, word = self._data, name.encode()
        found: dict[str, None] = {}
        at = data.find(word)
        while at >= 0:
            end = at + len(word)
            following = data[end : end + 40].lstrip(b" \t")[:1]
            before = data[at - 1 : at] if at else b""
            if not (before.isalnum() or before == b"_") and following in _AFTER:
                line = data[data.rfind(b"\n", 0, at) + 1 : at]
                if following == b"(":
                    wanted = _DEFINING.search(line) is None
                elif following not in (b",", b")", b"]"):
                    wanted = _BEFORE_ALIAS.search(line) is not None
                else:
                    wanted = _BEFORE_ARGUMENT.search(data[max(0, at - _LONGEST_NAME) : at]) is not None
                if wanted:
                    found[self.unit_at(at)] = None
            at = data.find(word, end)
        return tuple(found)

    @cached_property
    def _sorted(self) -> tuple[list[int], list[tuple[int, str]]]:
        units = sorted((d.start, d.end, name) for name, d in self._functions.items())
        return [u[0] for u in units], [(u[1], u[2]) for u in units]

    def unit_at(self, offset: int) -> str:
        """The unit that a byte belongs to."""
        starts, units = self._sorted
        at = bisect_right(starts, offset) - 1
        return units[at][1] if at >= 0 and offset < units[at][0] else MODULE

    # --- units --------------------------------------------------------------------------------------------------------

    def text(self, unit: str) -> str:
        self.note("unit", self.path, unit)
        return self._text(unit)

    def _text(self, unit: str) -> str:
        if unit == MODULE:
            return module_text(self._data, self._outline)
        return unit_text(self._data, self._functions[unit])

    def row(self, unit: str) -> int:
        """0-based row at which the unit's text starts."""
        self.note("row", self.path, unit)
        return 0 if unit == MODULE else self._functions[unit].row

    def unit(self, name: str) -> ir.Unit | None:
        """The facts of a unit, None where there is none or libcst rejects it."""
        self._project.uses.add(("unit", self.path, name))
        if name not in self._units:
            self._units[name] = self._lower(name)
            self._project.keep(self, name)
        return self._units[name]

    def drop(self, name: str) -> None:
        """Forget the facts of a unit; they can be had again."""
        self._units.pop(name, None)

    def _lower(self, name: str) -> ir.Unit | None:
        if name != MODULE and name not in self._functions:
            return None
        # The same nodes with or without rows.
        text = module_text(self._data, self._outline, rows=False) if name == MODULE else self._text(name)
        twins = self._project.twins
        found = twins.pop(text, None)
        if found is None:
            store = self._project.store
            found = store.unit(text) if store is not None else None
            if found is None:
                found = quick(text) or self._judged(name)
                if store is not None and found is not None:
                    store.keep_unit(text, found)
            if found is None:
                return None
            if len(twins) >= MOST_UNITS:
                del twins[next(iter(twins))]
        twins[text] = found
        return found

    def _judged(self, name: str) -> ir.Unit | None:
        """The facts of a unit from libcst, None where it rejects the unit."""
        from nograd_lint.syntax.lower import UnparsableError, lower

        text = self._text(name)
        self._project.lowered += text.count("\n")
        try:
            return lower(text)
        except UnparsableError as error:
            row = 0 if name == MODULE else self._functions[name].row
            self.rejected[name] = (error.message, error.row + row, error.column)
            return None

    def judged(self, name: str) -> bool:
        """Whether libcst sees in a unit what the quick parser saw: asked before anything is reported about it."""
        if name not in self._agreed:
            self._agreed[name] = self._judged(name) == self.unit(name)
        return self._agreed[name]

    # --- what an answer rests on --------------------------------------------------------------------------------------

    def answer(self, use: Use) -> bytes:
        """A digest of the answer to a question that was noted in ``project.uses``."""
        kind, _, *rest = use
        if kind == "data":
            return self.digest
        if kind == "outline":
            return self._shape
        name = rest[0]
        if kind == "unit":
            known = name == MODULE or name in self._functions
            return digest(self._text(name).encode("utf-8", "replace")) if known else b""
        if kind == "row":
            return b"%d" % self._functions[name].row if name in self._functions else b""
        if kind == "hint":
            extent = self._extent(rest[1])
            return repr(extent and sorted(self._hinted(name, *extent))).encode()
        if kind == "hints":
            return repr(self._hinted_attributes(name)).encode()
        if kind == "class":
            return digest(self._class_body(name))
        if kind == "rebinding":
            return repr(self._rebinding(name)).encode()
        if kind == "mention":
            return b"%d" % (name.encode() in self._data)
        if kind == "places":
            return repr(self._places(name)).encode()
        raise ValueError(kind)

    @cached_property
    def _shape(self) -> bytes:
        """A digest of the outline without the places."""
        found = self._outline
        shape = [(d.kind, d.qualname, d.parent, d.bases, d.decorators, d.is_async) for d in found.definitions]
        imports = [(i.alias.module, i.alias.name, i.alias.asname, i.alias.level, i.scope) for i in found.imports]
        return digest(repr((shape, imports, found.globals, found.broken)).encode())


def digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def bound_name(alias: ir.Alias) -> str:
    if alias.asname:
        return alias.asname
    if alias.name is not None:
        return alias.name
    return alias.module.partition(".")[0]
