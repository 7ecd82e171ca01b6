"""The inverted index: in which files something of a name is called, and in which it is defined as a method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

Names = tuple[frozenset[bytes], frozenset[bytes]]  # called, defined


class NameIndex(msgspec.Struct, array_like=True):
    """Files are numbers into ``paths``; one that is gone leaves None there."""

    paths: list[str | None]
    called: dict[str, list[int]]
    defined: dict[str, list[int]]

    @classmethod
    def of(cls, files: Iterable[tuple[str, Names]]) -> NameIndex:
        index = cls([], {}, {})
        for path, names in files:
            index._add(path, names)
        return index

    def calling(self, name: str) -> tuple[str, ...]:
        """The files that call something of this name, sorted."""
        return self._sorted(self.called, name)

    def defining(self, name: str) -> tuple[str, ...]:
        """The files that define a method of this name, sorted."""
        return self._sorted(self.defined, name)

    def _sorted(self, table: Mapping[str, list[int]], name: str) -> tuple[str, ...]:
        found = [self.paths[i] for i in table.get(name, ())]
        return tuple(sorted(path for path in found if path is not None))

    def replace(self, new: Mapping[str, Names | None], old: Mapping[str, Names]) -> tuple[set[str], set[str]]:
        """Put in what some files hold now (None: the file is gone); which names are called or defined elsewhere now.

        ``old`` is what is known of what they held: the rest is looked for.
        """
        numbers = {path: i for i, path in enumerate(self.paths) if path in new}
        changed = []
        for table, which in ((self.called, 0), (self.defined, 1)):
            now = {(_text(n), path) for path, names in new.items() if names is not None for n in names[which]}
            before = {(_text(n), path) for path, known in old.items() if path in numbers for n in known[which]}
            gone = {number for path, number in numbers.items() if path not in old}
            if gone:
                before |= {(n, str(self.paths[i])) for n, files in table.items() for i in files if i in gone}
            changed.append({name for name, _ in now ^ before})
            for name, path in before:
                table[name].remove(numbers[path])
        for path, names in new.items():
            if path in numbers:
                self.paths[numbers[path]] = None
            if names is not None:
                self._add(path, names)
        return changed[0], changed[1]

    def _add(self, path: str, names: Names) -> None:
        number = len(self.paths)
        self.paths.append(path)
        for table, words in ((self.called, names[0]), (self.defined, names[1])):
            for word in words:
                table.setdefault(_text(word), []).append(number)


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")
