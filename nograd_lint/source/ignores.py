"""Which paths are left out: `exclude` patterns and git's ignore files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pathspec import GitIgnoreSpec, RegexPattern

_PLAIN = re.compile(r"[\w.+-]+")


class Excluder:
    """`.gitignore` patterns of the configuration, relative to its directory."""

    def __init__(self, patterns: Iterable[str], base: str) -> None:
        patterns = list(patterns)
        self.base = base.rstrip(os.sep) + os.sep
        # Most patterns are the name of a directory.
        self._names = frozenset(p for p in patterns if _PLAIN.fullmatch(p))
        rest = [p for p in patterns if p not in self._names]
        self._spec = GitIgnoreSpec.from_lines(rest) if rest else None

    def excludes(self, path: str, name: str, is_dir: bool) -> bool:
        """Whether a path is left out by itself; its parents are asked about before."""
        if name in self._names:
            return True
        if self._spec is None:
            return False
        path = path[len(self.base) :] if path.startswith(self.base) else path.lstrip(os.sep)
        return self._spec.match_file(path.replace(os.sep, "/") + "/" * is_dir)

    def excludes_any_parent(self, path: str) -> bool:
        """Whether a path named on the command line is left out, by itself or with a directory above it."""
        inside = path.startswith(self.base)
        parts = Path(path[len(self.base) :] if inside else path.lstrip(os.sep)).parts
        current = self.base.rstrip(os.sep) if inside else ""
        for number, name in enumerate(parts, 1):
            current = f"{current}{os.sep}{name}"
            if self.excludes(current, name, number < len(parts)):
                return True
        return False


class _Level(NamedTuple):
    prefix: str  # the directory of the ignore file, with a separator at its end
    patterns: tuple[RegexPattern, ...]  # the last, which decides, first


class GitIgnores:
    """The ignore files that hold in a directory, the nearest first."""

    def __init__(self, levels: tuple[_Level, ...] = ()) -> None:
        self._levels = levels

    @classmethod
    def above(cls, directory: str) -> GitIgnores:
        """What the repository of ``directory`` says about it, apart from its own ignore file."""
        here = Path(directory)
        top = next((parent for parent in (here, *here.parents) if (parent / ".git").exists()), None)
        if top is None:
            return cls()
        ignores = cls()._with(top, _exclude_file(top / ".git"))
        for parent in reversed(here.parents):
            if parent.is_relative_to(top):
                ignores = ignores.entering(str(parent))
        # Who names an ignored directory wants what is in it.
        inside = [parent for parent in (here, *here.parents) if parent != top and parent.is_relative_to(top)]
        return cls() if any(ignores.ignores(str(parent), True) for parent in inside) else ignores

    def entering(self, directory: str) -> GitIgnores:
        """With the ignore file of a directory below."""
        return self._with(Path(directory), Path(directory, ".gitignore"))

    def _with(self, directory: Path, file: Path) -> GitIgnores:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return self
        patterns = _patterns(text.splitlines())
        if not patterns:
            return self
        return GitIgnores((_Level(str(directory).rstrip(os.sep) + os.sep, patterns), *self._levels))

    def ignores(self, path: str, is_dir: bool) -> bool:
        """Whether a path is ignored by itself; its parents are asked about before."""
        for level in self._levels:
            relative = path[len(level.prefix) :].replace(os.sep, "/") + "/" * is_dir
            for pattern in level.patterns:
                if _matches(pattern, relative):
                    return bool(pattern.include)
        return False


def _patterns(lines: Iterable[str]) -> tuple[RegexPattern, ...]:
    """The patterns of an ignore file, the last first; like git, without those that mean nothing."""
    found: list[RegexPattern] = []
    for line in lines:
        if line.rstrip().endswith("/**"):
            line = line.rstrip() + "/*"  # the same, but what it matches is told apart from what lies below that
        with suppress(ValueError):
            patterns = GitIgnoreSpec.from_lines([line]).patterns
            found += [p for p in patterns if isinstance(p, RegexPattern) and p.include is not None]
    return tuple(reversed(found))


def _matches(pattern: RegexPattern, path: str) -> bool:
    """Whether a pattern matches a path, and not only a directory above it, as pathspec's patterns do, too."""
    result = pattern.match_file(path)
    if result is None:
        return False
    end_of_directory = result.match.re.groupindex.get("ps_d")
    return end_of_directory is None or result.match.end(end_of_directory) in (-1, len(path))


def _exclude_file(git: Path) -> Path:
    """``info/exclude`` of a repository; in a linked work tree or submodule, ``.git`` is a file that says where."""
    try:
        if git.is_file():
            git = git.parent / git.read_text(encoding="utf-8", errors="replace").partition("gitdir:")[2].strip()
            git = git / (git / "commondir").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        pass  # a submodule has no commondir
    return git / "info" / "exclude"
