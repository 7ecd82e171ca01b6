"""The files of a project, and every lookup that reaches beyond one unit.

Answers depend on the set of files and their contents alone, never on the order of questions.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from functools import cached_property

import msgspec

from nograd_lint.syntax import ir
from nograd_lint.syntax.outline import Definition, Outline, module_text, outline, unit_text

MODULE = "<module>"

# A file without any of these words holds nothing to report and nothing that changes grad mode.
SCREEN = re.compile(
    rb"torch|_grad\b|inference_mode|\.eval\(|\.backward\(|lightning|transformers|diffusers|accelerate|requires_?grad|volatile"
)
_CALLED = re.compile(rb"([A-Za-z_]\w*)[ \t]*\(")
_DEFINED = re.compile(rb"^[ \t]+(?:async[ \t]+)?def[ \t]+(\w+)", re.M)
_HINT = re.compile(
    rb"((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)\.(eval|train|parameters|named_parameters|load_state_dict|zero_grad|"
    rb"named_modules|modules|state_dict)[ \t]*\("
)


class Symbol(msgspec.Struct, frozen=True, order=True):
    """What a name stands for: ``function``, ``class``, ``global`` or ``module`` of the project, or ``external``."""

    kind: str
    path: str  # file relative to the root; empty for an external name
    name: str  # qualified name in the file, or the canonical dotted name of an external


class File:
    """One file of the project, outlined when first asked about."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.data = data
        self._units: dict[str, ir.Unit | None] = {}
        self.rejected: tuple[str, int, int] | None = None  # what libcst said about the first unit that it rejects

    @cached_property
    def outline(self) -> Outline:
        return outline(self.data)

    @cached_property
    def screened_out(self) -> bool:
        return SCREEN.search(self.data) is None

    @cached_property
    def called(self) -> frozenset[bytes]:
        """Every name that is called in the file."""
        return frozenset(_CALLED.findall(self.data))

    @cached_property
    def methods(self) -> frozenset[bytes]:
        """Every name that is defined as a method, or as a nested function."""
        return frozenset(_DEFINED.findall(self.data))

    @cached_property
    def units(self) -> dict[str, Definition]:
        """Functions that are units of their own, by name; further ones of the same name carry ``#2``, ``#3``, …"""
        result: dict[str, Definition] = {}
        definitions = self.outline.definitions
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

    @cached_property
    def classes(self) -> dict[str, Definition]:
        return {d.qualname: d for d in self.outline.definitions if d.kind == "class"}

    @cached_property
    def imports(self) -> dict[str, ir.Alias]:
        """Names that imports bind anywhere at module level, later ones winning only over nothing."""
        result: dict[str, ir.Alias] = {}
        for item in self.outline.imports:
            if item.scope < 0 or self.outline.definitions[item.scope].kind == "class":
                name = bound_name(item.alias)
                if name != "*":
                    result.setdefault(name, item.alias)
        return result

    @cached_property
    def stars(self) -> tuple[ir.Alias, ...]:
        return tuple(i.alias for i in self.outline.imports if i.alias.name == "*")

    @cached_property
    def hints(self) -> dict[str, dict[str, list[int]]]:
        """``{"self.net": {"eval": [offsets]}}``: what is called on a dotted name anywhere in the file."""
        result: dict[str, dict[str, list[int]]] = {}
        for m in _HINT.finditer(self.data):
            result.setdefault(m[1].decode(), {}).setdefault(m[2].decode(), []).append(m.start())
        return result

    def hinted(self, name: str, start: int = 0, end: int | None = None) -> frozenset[str]:
        """The method names called on ``name`` between two offsets."""
        found = self.hints.get(name)
        if not found:
            return frozenset()
        stop = len(self.data) if end is None else end
        return frozenset(k for k, at in found.items() if any(start <= o < stop for o in at))

    def text(self, unit: str) -> str:
        if unit == MODULE:
            return module_text(self.data, self.outline)
        return unit_text(self.data, self.units[unit])

    def row(self, unit: str) -> int:
        """0-based row at which the unit's text starts."""
        return 0 if unit == MODULE else self.units[unit].row

    def unit(self, name: str) -> ir.Unit | None:
        """The facts of a unit, None where there is none or libcst rejects it."""
        if name not in self._units:
            self._units[name] = self._lower(name)
        return self._units[name]

    def _lower(self, name: str) -> ir.Unit | None:
        from nograd_lint.syntax.lower import UnparsableError, lower

        if name != MODULE and name not in self.units:
            return None
        try:
            return lower(self.text(name))
        except UnparsableError as error:
            if self.rejected is None:
                self.rejected = (error.message, error.row + self.row(name), error.column)
            return None


def bound_name(alias: ir.Alias) -> str:
    if alias.asname:
        return alias.asname
    if alias.name is not None:
        return alias.name
    return alias.module.partition(".")[0]


class Project:
    """All files below a root.

    Args:
        files: paths relative to the root, with ``/``.
        read: gives the analysed UTF-8 text of a file, None where it can't be had.
        canonical: maps a dotted external name to its canonical spelling.
    """

    def __init__(
        self,
        files: Iterable[str],
        read: Callable[[str], bytes | None],
        canonical: Callable[[str], str] = lambda dotted: dotted,
    ) -> None:
        self.paths = frozenset(files)
        self._read = read
        self._canonical = canonical
        self._files: dict[str, File | None] = {}
        self._modules: dict[tuple[str, str], str | None] = {}
        self._directories = frozenset(_parents(self.paths))

    # --- files and modules ----------------------------------------------------------------------------------------

    def file(self, path: str) -> File | None:
        if path not in self._files:
            data = self._read(path) if path in self.paths else None
            self._files[path] = None if data is None else File(path, data)
        return self._files[path]

    def module(self, dotted: str, origin: str, level: int = 0) -> str | None:
        """The file that ``import dotted`` means in the file ``origin`` (a package means its ``__init__``)."""
        key = (posixpath.dirname(origin), f"{'.' * level}{dotted}")
        if key not in self._modules:
            self._modules[key] = self._find_module(dotted, key[0], level)
        return self._modules[key]

    def _find_module(self, dotted: str, directory: str, level: int) -> str | None:
        tail = dotted.replace(".", "/")
        if level:
            base = directory
            for _ in range(level - 1):
                base = posixpath.dirname(base)
            return self._module_at(posixpath.join(base, tail) if tail else base)
        while True:
            for folder in (directory, posixpath.join(directory, "src")):
                found = self._module_at(posixpath.join(folder, tail) if folder else tail)
                if found is not None:
                    return found
            if not directory:
                return None
            directory = posixpath.dirname(directory)

    def _module_at(self, path: str) -> str | None:
        for candidate in (f"{path}.py", f"{path}/__init__.py" if path else "__init__.py"):
            if candidate in self.paths:
                return candidate
        return None

    def is_package(self, path: str) -> bool:
        return path in self._directories

    # --- names ----------------------------------------------------------------------------------------------------

    def resolve(self, path: str, dotted: str, local: dict[str, ir.Alias] | None = None) -> Symbol | None:
        """What a dotted name means at module level of a file (``local``: imports of the function), None if unknown."""
        head, _, rest = dotted.partition(".")
        if local and head in local:
            return self._imported(path, local[head], rest, 0)
        return self._member(path, dotted, 0)

    def _member(self, path: str, dotted: str, depth: int) -> Symbol | None:
        file = self.file(path)
        if file is None or depth > 8:
            return None
        head, _, rest = dotted.partition(".")
        if head in file.classes:
            return self._class_member(path, head, rest, depth)
        if head in file.units:
            return Symbol("function", path, head) if not rest else None
        if head in file.imports:
            return self._imported(path, file.imports[head], rest, depth + 1)
        if head in file.outline.globals:
            return Symbol("global", path, dotted)
        for alias in file.stars:
            target = self.module(alias.module, path, alias.level)
            if target is not None and target != path:
                found = self._member(target, dotted, depth + 1)
                if found is not None:
                    return found
        if path.endswith("__init__.py"):
            sub = self._module_at(posixpath.join(posixpath.dirname(path), head))
            if sub is not None:
                return Symbol("module", sub, "") if not rest else self._member(sub, rest, depth + 1)
        for alias in file.stars:  # ``from torch import *``
            if self.module(alias.module, path, alias.level) is None and not alias.level:
                name = self._canonical(f"{alias.module}.{dotted}")
                if name != f"{alias.module}.{dotted}" or alias.module.partition(".")[0] == "torch":
                    return Symbol("external", "", name)
        return None

    def _class_member(self, path: str, name: str, rest: str, depth: int) -> Symbol | None:
        if not rest:
            return Symbol("class", path, name)
        file = self.file(path)
        assert file is not None
        head, _, tail = rest.partition(".")
        qualified = f"{name}.{head}"
        if qualified in file.classes:
            return self._class_member(path, qualified, tail, depth)
        if not tail:
            return self.method(Symbol("class", path, name), head)
        return None

    def _imported(self, path: str, alias: ir.Alias, rest: str, depth: int) -> Symbol | None:
        if alias.name is None:
            # ``import a.b.c`` binds a; with ``as`` it binds a.b.c
            full = alias.module if alias.asname else alias.module.partition(".")[0]
            dotted = f"{full}.{rest}" if rest else full
            return self._absolute(path, dotted, depth)
        target = self.module(alias.module, path, alias.level)
        dotted = f"{alias.name}.{rest}" if rest else alias.name
        if target is not None:
            found = self._member(target, dotted, depth + 1)
            if found is not None:
                return found
            sub = self.module(f"{alias.module}.{alias.name}" if alias.module else alias.name, path, alias.level)
            if sub is not None:
                return Symbol("module", sub, "") if not rest else self._member(sub, rest, depth + 1)
            return None
        sub = self.module(f"{alias.module}.{alias.name}" if alias.module else alias.name, path, alias.level)
        if sub is not None:  # a namespace package has no file
            return Symbol("module", sub, "") if not rest else self._member(sub, rest, depth + 1)
        if alias.level:
            return None
        return Symbol("external", "", self._canonical(f"{alias.module}.{dotted}"))

    def _absolute(self, path: str, dotted: str, depth: int) -> Symbol | None:
        parts = dotted.split(".")
        for n in range(len(parts), 0, -1):
            target = self.module(".".join(parts[:n]), path)
            if target is not None:
                rest = ".".join(parts[n:])
                return Symbol("module", target, "") if not rest else self._member(target, rest, depth + 1)
        return Symbol("external", "", self._canonical(dotted))

    # --- classes --------------------------------------------------------------------------------------------------

    def bases(self, cls: Symbol) -> tuple[Symbol, ...]:
        """The direct bases of a project class that can be resolved."""
        file = self.file(cls.path)
        if file is None or cls.name not in file.classes:
            return ()
        result = []
        for text in file.classes[cls.name].bases:
            name = re.sub(r"\s+|\[.*\]|\(.*\)", "", text, flags=re.S)
            found = self.resolve(cls.path, name) if name else None
            if found is not None and found != cls:
                result.append(found)
        return tuple(result)

    def ancestors(self, cls: Symbol) -> tuple[Symbol, ...]:
        """The class and its bases, nearest first; external ones end a branch."""
        result: dict[Symbol, None] = {cls: None}
        queue = [cls]
        while queue and len(result) < 64:
            for base in self.bases(queue.pop(0)):
                if base not in result:
                    result[base] = None
                    queue.append(base)
        return tuple(result)

    def method(self, cls: Symbol, name: str) -> Symbol | None:
        for ancestor in self.ancestors(cls):
            if ancestor.kind == "class":
                file = self.file(ancestor.path)
                qualified = f"{ancestor.name}.{name}"
                if file is not None and qualified in file.units:
                    return Symbol("function", ancestor.path, qualified)
        return None

    # --- the inverted index ---------------------------------------------------------------------------------------

    @cached_property
    def _callers(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for path in sorted(self.paths):
            file = self.file(path)
            if file is not None:
                for name in file.called:
                    found.setdefault(name.decode(), []).append(path)
        return {k: tuple(v) for k, v in found.items()}

    @cached_property
    def _definers(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for path in self.paths:
            file = self.file(path)
            if file is not None:
                for name in file.methods:
                    found[name] = found.get(name, 0) + 1
        return found

    def files_defining(self, method: str) -> int:
        """In how many files something of this name is defined as a method."""
        return self._definers.get(method.encode(), 0)

    def files_calling(self, name: str) -> tuple[str, ...]:
        """Files in which something of this name is called, sorted."""
        return self._callers.get(name, ())


def _parents(paths: Iterable[str]) -> Iterable[str]:
    for path in paths:
        while path:
            path = posixpath.dirname(path)
            yield path
