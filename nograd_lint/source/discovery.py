"""The files to lint among the paths that were named."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from nograd_lint.diagnostics import Problem
from nograd_lint.settings import Settings
from nograd_lint.source.files import MARKDOWN_SUFFIXES, display_name, os_reason
from nograd_lint.source.ignores import Excluder, GitIgnores

CONFIG_FILES = ("pyproject.toml", "nograd-lint.toml")

# The settings that hold in a directory, and the directory that their patterns are relative to.
Nested = Callable[[Path], tuple[Settings, Path]]


class Found(NamedTuple):
    """Absolute paths, in order and each file once, and what could not be looked at."""

    files: list[Path]
    problems: list[Problem]


def discover(
    paths: Iterable[str | os.PathLike[str]], settings: Settings, root: Path, nested: Nested | None = None
) -> Found:
    """The files to lint below ``paths``.

    Directories are searched for Python files and notebooks; what is excluded or ignored by git is left out, and so are
    virtual environments and links to directories. A file that is named itself is taken as Python whatever its name,
    and excluded only with ``force_exclude``. ``nested`` is asked where a directory holds a configuration of its own.
    """
    search = _Search(settings, root, nested)
    for path in paths:
        search.path(Path(os.path.normpath(Path.cwd() / path)))
    return Found([Path(path) for path in search.found.values()], search.problems)


class _Rules(NamedTuple):
    excluder: Excluder
    respect_gitignore: bool
    suffixes: tuple[str, ...]


def _rules(settings: Settings, base: Path) -> _Rules:
    markdown = MARKDOWN_SUFFIXES if settings.markdown else ()
    excluder = Excluder((*settings.exclude, *settings.extend_exclude), str(base))
    return _Rules(excluder, settings.respect_gitignore, (".py", ".ipynb", *markdown))


class _Search:
    def __init__(self, settings: Settings, root: Path, nested: Nested | None) -> None:
        self.root = root
        self.force_exclude = settings.force_exclude
        self.rules = _rules(settings, root)
        self.nested = nested
        self.found: dict[str, str] = {}  # the real path of each file, and the path to report it under
        self.problems: list[Problem] = []

    def path(self, path: Path) -> None:
        rules = self.configured(path.parent)
        if self.force_exclude and rules.excluder.excludes_any_parent(str(path)):
            return
        try:
            is_dir = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            self.problem(str(path), error)
            return
        if is_dir:
            rules = self.configured(path)
            ignores = GitIgnores.above(str(path)) if rules.respect_gitignore else GitIgnores()
            self.directory(str(path), str(path.resolve()), rules, ignores)
        elif path.name.endswith(rules.suffixes) or not path.name.endswith((".pyi", *MARKDOWN_SUFFIXES)):
            self.add(str(path), str(path.resolve()))

    def problem(self, path: str, error: OSError) -> None:
        self.problems.append(Problem(display_name(Path(path), self.root), os_reason(error)))

    def configured(self, directory: Path) -> _Rules:
        return _rules(*self.nested(directory)) if self.nested else self.rules

    def add(self, path: str, real: str) -> None:
        if not path.isascii() and path.encode("utf-8", "replace") != os.fsencode(path):
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            self.problems.append(Problem(display_name(Path(shown), self.root), "the name of the file is not UTF-8"))
            return
        # Of several names of a file its own is reported, whichever is met first.
        if real not in self.found or path == real:
            self.found[real] = path

    def directory(self, path: str, real: str, rules: _Rules, ignores: GitIgnores) -> None:
        pending = [(path, real, rules, ignores)]
        while pending:
            below = self.entries(*pending.pop())
            pending += reversed(below)

    def entries(
        self, path: str, real: str, rules: _Rules, ignores: GitIgnores
    ) -> list[tuple[str, str, _Rules, GitIgnores]]:
        """Take the files of a directory; its directories, with what holds in them."""
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            self.problem(path, error)
            return []
        names = {entry.name for entry in entries}
        if "pyvenv.cfg" in names:
            return []
        if self.nested and not names.isdisjoint(CONFIG_FILES):
            rules = self.configured(Path(path))
        if ".gitignore" in names and rules.respect_gitignore:
            ignores = ignores.entering(path)
        below = []
        for entry in entries:
            name = entry.name
            is_dir = entry.is_dir(follow_symlinks=False)
            if not is_dir and not name.endswith(rules.suffixes):
                continue
            if rules.excluder.excludes(entry.path, name, is_dir):
                continue
            if rules.respect_gitignore and ignores.ignores(entry.path, is_dir):
                continue
            if is_dir:
                below.append((entry.path, f"{real}{os.sep}{name}", rules, ignores))
            elif self.is_file(entry):
                self.add(entry.path, str(Path(entry.path).resolve()) if entry.is_symlink() else f"{real}{os.sep}{name}")
        return below

    def is_file(self, entry: os.DirEntry[str]) -> bool:
        """A regular file; a link that leads nowhere or in a circle is none."""
        try:
            return entry.is_file()
        except OSError:
            return False
