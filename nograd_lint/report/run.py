"""What a report is made of: the results of a run, and places as users see them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nograd_lint.diagnostics import Applicability, Diagnostic, FileResult, Fix, Problem, Severity, Span, Suppressed

if TYPE_CHECKING:
    from nograd_lint.report.sources import Source
    from nograd_lint.rules._base import Rule

DOCUMENTATION = "https://nograd-lint.readthedocs.io/en/latest"


def rule_url(code: str) -> str:
    """The documentation page of a rule."""
    return f"{DOCUMENTATION}/rules/{code}/"


class Shown(NamedTuple):
    """A place as users see it: path from the working directory, with ``/``; rows of the cell for a notebook."""

    path: str
    cell: int | None
    span: Span

    def __str__(self) -> str:
        start = self.span.start
        cell = "" if self.cell is None else f"cell {self.cell}:"
        return f"{self.path}:{cell}{start.row}:{start.column}"


@dataclass(frozen=True)
class Style:
    """How a report for people looks."""

    color: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Run:
    """Everything that a report may tell. ``contents`` holds the bytes of files that were not read from disk."""

    results: Sequence[FileResult]
    root: Path
    cwd: Path
    rules: Mapping[str, Rule] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    contents: Mapping[Path, bytes] = field(default_factory=dict)
    measured: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    show_suppressed: bool = False
    fixed: int = 0
    exit_code: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    seconds: float = 0.0
    style: Style = Style()

    @cached_property
    def diagnostics(self) -> list[Diagnostic]:
        return [diagnostic for result in self.results for diagnostic in result.diagnostics]

    @cached_property
    def suppressed(self) -> list[Suppressed]:
        return [one for result in self.results for one in result.suppressed] if self.show_suppressed else []

    @cached_property
    def all_problems(self) -> list[Problem]:
        """Those of the run, then those of its files."""
        return [*self.problems, *(problem for result in self.results for problem in result.problems)]

    def path(self, filename: str) -> str:
        """A file of the project as seen from the working directory, with ``/``."""
        return shown_path(self.root / filename, self.cwd)

    def shown(self, filename: str, span: Span) -> Shown:
        cell, span = self.source(filename).in_cell(span) if filename.endswith(".ipynb") else (None, span)
        return Shown(self.path(filename), cell, span)

    def source(self, filename: str) -> Source:
        """The text of a file of the project; read once, when first asked for."""
        source = self._sources.get(filename)
        if source is None:
            from nograd_lint.report.sources import read

            path = self.root / filename
            source = self._sources[filename] = read(path, filename, self.contents.get(path))
        return source

    @cached_property
    def _sources(self) -> dict[str, Source]:
        return {}

    def count(self, severity: Severity) -> int:
        return sum(diagnostic.severity is severity for diagnostic in self.diagnostics)

    def fixes(self, applicability: Applicability) -> Iterator[Fix]:
        for diagnostic in self.diagnostics:
            if diagnostic.fix is not None and diagnostic.fix.applicability is applicability:
                yield diagnostic.fix


def shown_path(path: Path, cwd: Path) -> str:
    """``path`` relative to ``cwd``, with ``/``; undecodable bytes are replaced so that every format can hold it."""
    try:
        text = os.path.relpath(path, cwd)
    except ValueError:  # another drive
        text = str(path)
    return os.fsencode(text.replace(os.sep, "/")).decode("utf-8", "replace")


def plain(text: str) -> str:
    """``text`` on one line and without control characters, which could drive a terminal."""
    return "".join(_PICTURES.get(c, c) for c in " ".join(text.splitlines()))


_PICTURES = {chr(code): chr(0x2400 + code) for code in range(32)} | {"\x7f": "\u2421", "\x9b": "\ufffd"}
