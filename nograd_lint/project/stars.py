"""``from module import *``: which names a file may have from others, however many there are on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec


class Bindings(msgspec.Struct, frozen=True, array_like=True):
    """What a file binds at its top level, and the modules (dotted, with leading dots) that it imports ``*`` from."""

    names: frozenset[str]
    stars: tuple[str, ...]


_BINDINGS = msgspec.msgpack.Decoder(Bindings)


class Stars:
    """The files that are reached by star imports, and the names that they offer.

    Args:
        read: gives the bindings of a file.
        module: gives the file that a module means in a file.
        inside: gives the names of the modules in the package whose ``__init__`` a file is.
    """

    def __init__(
        self,
        read: Callable[[str], Bindings],
        module: Callable[[str, str], str | None],
        inside: Callable[[str], Iterable[str]],
    ) -> None:
        self._read = read
        self._module = module
        self._inside = inside
        self.bindings: dict[str, Bindings] = {}
        self.kept: dict[str, msgspec.Raw] = {}  # more of them, from an earlier run
        self.rebound: set[str] | None = None  # names that may be offered elsewhere since the last change; None: any
        self._reached: dict[str, tuple[str, ...]] = {}
        self._offers: dict[str, tuple[frozenset[str], bool]] = {}

    def offering(self, path: str, name: str) -> tuple[str, ...]:
        """What a file imports ``*`` from that may bind a name: files, in the order of the imports."""
        found = []
        for spelled in self._of(path).stars:
            target = self._module(spelled, path)
            if target is not None and target != path:
                names, outside = self._all(target)
                if outside or name in names:
                    found.append(target)
        return tuple(found)

    def outside(self, path: str) -> tuple[str, ...]:
        """The modules outside of the project that a file imports ``*`` from."""
        stars = self._of(path).stars
        return tuple(s for s in stars if not s.startswith(".") and self._module(s, path) is None)

    def reach_any(self, path: str, files: Collection[str]) -> bool:
        """Whether one of some files is a file, or reached from it."""
        return any(one in files for one in self._reach(path))

    def forget(self, files: Iterable[str], *, same: bool) -> None:
        """Some files hold something else; unless ``same``, others are new, or gone."""
        before = {path: self._known(path) for path in files}
        for path in before:
            self.bindings.pop(path, None)
            self.kept.pop(path, None)
        names: set[str] | None = set() if same else None
        for path, known in before.items():
            if known is None or names is None:
                continue
            new = self._of(path)
            names = names | (known.names ^ new.names) if known.stars == new.stars else None
        if names is None or names:
            self._reached.clear()
            self._offers.clear()
        self.rebound = names

    def _known(self, path: str) -> Bindings | None:
        found = self.bindings.get(path)
        if found is None and path in self.kept:
            found = self.bindings[path] = _BINDINGS.decode(self.kept[path])
        return found

    def _of(self, path: str) -> Bindings:
        found = self._known(path)
        if found is None:
            found = self.bindings[path] = self._read(path)
        return found

    def _reach(self, path: str) -> tuple[str, ...]:
        if path not in self._reached:
            found = {path: None}
            queue = [path]
            for current in queue:
                for spelled in self._of(current).stars:
                    target = self._module(spelled, current)
                    if target is not None and target not in found:
                        found[target] = None
                        queue.append(target)
            self._reached[path] = tuple(found)
        return self._reached[path]

    def _all(self, path: str) -> tuple[frozenset[str], bool]:
        """Every name that is bound in a file or one reached from it; whether there may be others from outside."""
        if path not in self._offers:
            names: set[str] = set()
            outside = False
            for current in self._reach(path):
                names.update(self._of(current).names, self._inside(current))
                outside = outside or bool(self.outside(current))
            self._offers[path] = frozenset(names), outside
        return self._offers[path]
