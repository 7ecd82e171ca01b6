"""The files of a project, and every lookup that reaches beyond one unit.

Answers depend on the set of files and their contents alone, never on the order of questions.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from posixpath import dirname, join

import msgspec

from nograd_lint.project.file import MOST_UNITS, File, Store, Use, digest
from nograd_lint.project.marks import Marks
from nograd_lint.project.names import NameIndex
from nograd_lint.project.stars import Bindings, Stars
from nograd_lint.syntax import ir

ABOUT_PATHS = frozenset(("paths", "package", "module", "exists", "below"))
ABOUT_NAMES = frozenset(("callers", "definers", "switchers", "wakers"))


class Symbol(msgspec.Struct, frozen=True, order=True):
    """What a name stands for: ``function``, ``class``, ``global`` or ``module`` of the project, or ``external``."""

    kind: str
    path: str  # file relative to the root; empty for an external name
    name: str  # qualified name in the file, or the canonical dotted name of an external

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.path, self.name


class Project:
    """All files below a root.

    ``uses`` takes up every question that is asked about the project: a kind, mostly a path, and what was asked. Equal
    answers to the same questions give equal results; that is what the cache and the editor's engine rest on.

    Args:
        files: paths relative to the root, with ``/``.
        read: gives the analysed UTF-8 text of a file, None where it can't be had.
        canonical: maps a dotted external name to its canonical spelling.
        store: keeps outlines and units between runs.
        name: of the root's folder: a package imports itself by it.
    """

    def __init__(
        self,
        files: Iterable[str],
        read: Callable[[str], bytes | None],
        canonical: Callable[[str], str] = lambda dotted: dotted,
        store: Store | None = None,
        name: str = "",
    ) -> None:
        self._paths = frozenset(files)
        self._name = name
        self.store = store
        self.uses: set[Use] = set()
        self.index: NameIndex | None = None
        self.known_marks: Marks | None = None
        self._calling: dict[str, tuple[str, ...]] = {}
        self._lowered: deque[tuple[File, str]] = deque()
        self.twins: dict[str, ir.Unit] = {}  # by text, asked for last last: libraries copy their functions
        self.lowered = 0  # lines that libcst parsed
        self._read = read
        self._canonical = canonical
        self._files: dict[str, File | None] = {}
        self._modules: dict[tuple[str, str], str | None] = {}
        self._resolved: dict[tuple[str, str], tuple[Symbol | None, set[Use]]] = {}
        self._ancestors: dict[Symbol, tuple[tuple[Symbol, ...], set[Use]]] = {}
        self._methods: dict[tuple[Symbol, str], tuple[Symbol | None, set[Use]]] = {}
        self._directories = frozenset(_parents(self._paths))
        self._modules_inside: dict[str, list[str]] | None = None
        self.stars = Stars(self._bindings, lambda spelled, origin: self._at(dirname(origin), spelled), self._inside)

    def keep(self, file: File, unit: str) -> None:
        """A unit was lowered; those that were lowered longest ago go."""
        self._lowered.append((file, unit))
        if len(self._lowered) > MOST_UNITS:
            old, name = self._lowered.popleft()
            old.drop(name)

    # --- files and modules ----------------------------------------------------------------------------------------

    @property
    def paths(self) -> frozenset[str]:
        """Every file. Whoever reads it depends on which files there are."""
        self.uses.add(("paths",))
        return self._paths

    @property
    def package(self) -> str:
        """The name of the package that the root itself is, empty where it is none."""
        return self._name if self.exists("__init__.py") else ""

    def file(self, path: str) -> File | None:
        found = self._file(path)
        if found is None:
            self.uses.add(("data", path))
        return found

    def _file(self, path: str) -> File | None:
        if path not in self._files:
            data = self._read(path) if path in self._paths else None
            self._files[path] = None if data is None else File(path, data, self)
        return self._files[path]

    def module(self, dotted: str, origin: str, level: int = 0) -> str | None:
        """The file that ``import dotted`` means in the file ``origin`` (a package means its ``__init__``)."""
        return self._module(dirname(origin), f"{'.' * level}{dotted}")

    def _module(self, directory: str, spelled: str) -> str | None:
        self.uses.add(("module", directory, spelled))
        return self._at(directory, spelled)

    def _at(self, directory: str, spelled: str) -> str | None:
        key = (directory, spelled)
        if key not in self._modules:
            dotted = spelled.lstrip(".")
            self._modules[key] = self._find_module(dotted, directory, len(spelled) - len(dotted))
        return self._modules[key]

    def _find_module(self, dotted: str, directory: str, level: int) -> str | None:
        tail = dotted.replace(".", "/")
        if level:
            base = directory
            for _ in range(level - 1):
                base = dirname(base)
            return self._module_at(join(base, tail) if tail else base)
        while True:
            for folder in (directory, join(directory, "src")):
                found = self._module_at(join(folder, tail) if folder else tail)
                if found is not None:
                    return found
            if not directory:
                break
            directory = dirname(directory)
        own, _, inner = dotted.partition(".")  # a package imports itself by its name
        return self._module_at(inner.replace(".", "/")) if own == self._name and "__init__.py" in self._paths else None

    def _module_at(self, path: str) -> str | None:
        for candidate in (f"{path}.py", f"{path}/__init__.py" if path else "__init__.py"):
            if candidate in self._paths:
                return candidate
        return None

    def exists(self, path: str) -> bool:
        self.uses.add(("exists", path))
        return path in self._paths

    def files_below(self, folder: str) -> int:
        """How many files lie below a folder."""
        self.uses.add(("below", folder))
        return self._count(folder)

    def _count(self, folder: str) -> int:
        return sum(path.startswith(f"{folder}/") for path in self._paths)

    def is_package(self, path: str) -> bool:
        self.uses.add(("package", path))
        return path in self._directories

    # --- names ----------------------------------------------------------------------------------------------------

    def resolve(self, path: str, dotted: str, local: dict[str, ir.Alias] | None = None) -> Symbol | None:
        """What a dotted name means at module level of a file (``local``: imports of the function), None if unknown."""
        if local:
            head, _, rest = dotted.partition(".")
            if head in local:
                return self._imported(path, local[head], rest, 0)
        key = (path, dotted)
        if key not in self._resolved:
            outer, self.uses = self.uses, set()
            self._resolved[key] = (self._member(path, dotted, 0), self.uses)
            self.uses = outer
        found, uses = self._resolved[key]
        self.uses |= uses
        return found

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
        if head in file.globals:
            return Symbol("global", path, dotted)
        for target in self._offering(path, head):
            found = self._member(target, dotted, depth + 1)
            if found is not None:
                return found
        if path.endswith("__init__.py"):
            sub = self._module(dirname(path), f".{head}")
            if sub is not None:
                return Symbol("module", sub, "") if not rest else self._member(sub, rest, depth + 1)
        for module in self.stars.outside(path):  # ``from torch import *``
            name = self._canonical(f"{module}.{dotted}")
            if name != f"{module}.{dotted}" or module.partition(".")[0] == "torch":
                return Symbol("external", "", name)
        return None

    def _offering(self, path: str, name: str) -> tuple[str, ...]:
        """The files that a file imports ``*`` from and that may bind a name."""
        self.uses.add(("star", path, name))
        return self.stars.offering(path, name)

    def _bindings(self, path: str) -> Bindings:
        file = self._file(path)
        return file.bindings if file is not None else Bindings(frozenset(), ())

    def _inside(self, path: str) -> Iterable[str]:
        if not path.endswith("__init__.py"):
            return ()
        if self._modules_inside is None:
            self._modules_inside = {}
            for one in self._paths:
                folder, _, name = one.rpartition("/")
                if name == "__init__.py":
                    folder, _, name = folder.rpartition("/")
                self._modules_inside.setdefault(folder, []).append(name.removesuffix(".py"))
        return self._modules_inside.get(dirname(path), ())

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
            name = re.sub(r"\s+|\[.*\]|\(.*\)", "", text, flags=re.DOTALL)
            found = self.resolve(cls.path, name) if name else None
            if found is not None and found != cls:
                result.append(found)
        return tuple(result)

    def ancestors(self, cls: Symbol) -> tuple[Symbol, ...]:
        """The class and its bases, nearest first; external ones end a branch."""
        if cls not in self._ancestors:
            outer, self.uses = self.uses, set()
            self._ancestors[cls] = (self._find_ancestors(cls), self.uses)
            self.uses = outer
        found, uses = self._ancestors[cls]
        self.uses |= uses
        return found

    def _find_ancestors(self, cls: Symbol) -> tuple[Symbol, ...]:
        result: dict[Symbol, None] = {cls: None}
        queue = [cls]
        while queue and len(result) < 64:
            for base in self.bases(queue.pop(0)):
                if base not in result:
                    result[base] = None
                    queue.append(base)
        return tuple(result)

    def method(self, cls: Symbol, name: str) -> Symbol | None:
        """The method of a class, or of the nearest base that has it."""
        key = (cls, name)
        if key not in self._methods:
            outer, self.uses = self.uses, set()
            self._methods[key] = (self._find_method(cls, name), self.uses)
            self.uses = outer
        found, uses = self._methods[key]
        self.uses |= uses
        return found

    def _find_method(self, cls: Symbol, name: str) -> Symbol | None:
        for ancestor in self.ancestors(cls):
            if ancestor.kind == "class":
                file = self.file(ancestor.path)
                qualified = f"{ancestor.name}.{name}"
                if file is not None and qualified in file.units:
                    return Symbol("function", ancestor.path, qualified)
        return None

    # --- the inverted index ---------------------------------------------------------------------------------------

    @property
    def names(self) -> NameIndex:
        """Made of all files when it is first needed."""
        if self.index is None:
            files = ((path, self._file(path)) for path in sorted(self._paths))
            self.index = NameIndex.of((path, file.names) for path, file in files if file is not None)
        return self.index

    def files_defining(self, method: str) -> tuple[str, ...]:
        """Files in which something of this name is defined as a method, sorted."""
        self.uses.add(("definers", method))
        return self.names.defining(method)

    def files_calling(self, name: str) -> tuple[str, ...]:
        """Files in which something of this name is called, sorted."""
        self.uses.add(("callers", name))
        if name not in self._calling:
            self._calling[name] = self.names.calling(name)
        return self._calling[name]

    @property
    def marks(self) -> Marks:
        """Made of all files when it is first needed."""
        if self.known_marks is None:
            files = ((path, self._file(path)) for path in self._paths)
            self.known_marks = Marks({p: mark for p, file in files if file is not None and (mark := file.mark)})
        return self.known_marks

    def switchers(self) -> frozenset[str]:
        """Files whose module level turns gradients off."""
        self.uses.add(("switchers",))
        return self.marks.switchers

    def wakers(self) -> frozenset[bytes]:
        """Names of functions that turn gradients on, or need them: see :class:`Mark`."""
        self.uses.add(("wakers",))
        return self.marks.wakers

    # --- changes --------------------------------------------------------------------------------------------------

    def answer(self, use: Use) -> bytes:
        """A digest of the answer to a question that was noted in ``uses``, as far as it rests on files or their set."""
        kind = use[0]
        if kind in ABOUT_NAMES:
            return b""  # :meth:`change` says which of these have a new answer
        if kind == "paths":
            return digest(repr(sorted(self._paths)).encode())
        if kind == "package":
            return b"%d" % (use[1] in self._directories)
        if kind == "exists":
            return b"%d" % (use[1] in self._paths)
        if kind == "below":
            return b"%d" % self._count(use[1])
        if kind == "module":
            return (self._at(use[1], use[2]) or "").encode("utf-8", "replace")
        if kind == "star":
            return repr((self.stars.offering(use[1], use[2]), self.stars.outside(use[1]))).encode()
        file = self._file(use[1])
        return b"-" if file is None else file.answer(use)

    def concerns(self, use: Use, changed: set[str], *, same: bool) -> bool:
        """Whether the answer to a question may change with some files; ``same``: there are the same files as before."""
        kind = use[0]
        if kind in ABOUT_NAMES:
            return True
        if kind in ABOUT_PATHS:
            return not same
        if kind == "star":
            return not same or self.stars.reach_any(use[1], changed)
        return use[1] in changed

    def change(
        self, paths: Iterable[str], changed: Iterable[str], answers: Mapping[Use, bytes], *, same: bool
    ) -> set[Use]:
        """Some files have a new content, or are new, or gone; ``paths`` are all files there are now.

        Returns the questions among ``answers`` that have another answer now.
        """
        touched = set(changed)
        self._paths = frozenset(paths)
        before = {path: self._files.pop(path, None) for path in touched}
        self._resolved.clear()
        self._ancestors.clear()
        self._methods.clear()
        self._calling.clear()
        if not same:
            self._modules.clear()
            self._modules_inside = None
            self._directories = frozenset(_parents(self._paths))
        self.stars.forget(touched, same=same)
        new = {path: self._file(path) for path in touched}
        called: set[str] = set()
        defined: set[str] = set()
        if self.index is not None:
            names = {path: file.names if file is not None else None for path, file in new.items()}
            called, defined = self.index.replace(names, {p: f.names for p, f in before.items() if f is not None})
        switched = woken = True
        if self.known_marks is not None:
            marks = {path: file.mark if file is not None else None for path, file in new.items()}
            switched, woken = self.known_marks.replace(marks)
        stale = set()
        for use, old in answers.items():
            kind = use[0]
            if kind in ("callers", "definers"):
                differs = self.index is None or use[1] in (called if kind == "callers" else defined)
            elif kind == "switchers":
                differs = switched
            elif kind == "wakers":
                differs = woken
            elif kind in ABOUT_PATHS:
                differs = not same and self.answer(use) != old
            elif kind == "star":
                differs = self.answer(use) != old
            else:
                differs = use[1] in touched and self.answer(use) != old
            if differs:
                stale.add(use)
        return stale


def _parents(paths: Iterable[str]) -> Iterable[str]:
    for path in paths:
        while path:
            path = dirname(path)
            yield path
