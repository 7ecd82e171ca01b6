"""From the facts of a file to its diagnostics: candidates, rules, places, fixes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence, Diagnostic, Evidence, Fix, Position, Problem, Span
from nograd_lint.fingerprint import with_fingerprints
from nograd_lint.frames import roomy
from nograd_lint.project.file import MODULE
from nograd_lint.rules._context import UnitContext
from nograd_lint.syntax.search import Patterns

if TYPE_CHECKING:
    from nograd_lint.linter import Linter
    from nograd_lint.project.file import File
    from nograd_lint.rules._base import Finding, Place, Rule
    from nograd_lint.source.files import SourceFile


@roomy
def judge(
    linter: Linter, name: str, source: SourceFile, shown: str, *, thorough: bool
) -> tuple[tuple[Diagnostic, ...], tuple[Problem, ...]]:
    """Every diagnostic of a file, and what went wrong.

    Unless ``thorough``, those of low confidence, and of rules that are off by default, may be missing.
    """
    file = linter.world.project.file(name)
    if file is None or file.screened_out:
        return (), ()
    return _Judge(linter, file, source, shown, thorough).run()


@roomy
def silence(linter: Linter, name: str, row: int) -> list[tuple[str, tuple[Evidence, ...]]]:
    """Why the analysis is silent about a row of a file: reasons, each with the places that it rests on."""
    from nograd_lint.rules._silence import silences

    found = silences(linter.world, name, row)
    return [(one.message, tuple(evidence(linter, n.message, n.place) for n in one.notes)) for one in found]


def evidence(linter: Linter, message: str, place: Place) -> Evidence:
    """A place of the analysis as one of a file."""
    file = linter.world.project.file(place.path)
    assert file is not None
    span = _shift(_spans(file.text(place.unit))[place.node], file.row(place.unit))
    shown = os.path.relpath(linter.paths[place.path], linter.engine.root).replace(os.sep, "/")
    return Evidence(message, shown, span)


class _Judge:
    def __init__(self, linter: Linter, file: File, source: SourceFile, shown: str, thorough: bool) -> None:
        self.linter = linter
        self.world = linter.world
        self.rules = linter.engine.rules
        self.file = file
        self.source = source
        self.shown = shown
        self.thorough = thorough
        self.problems: list[Problem] = []

    def run(self) -> tuple[tuple[Diagnostic, ...], tuple[Problem, ...]]:
        found = with_fingerprints(self.source, self.file.path, self._all())
        return found, tuple(self.problems)

    def _all(self) -> Iterator[Diagnostic]:
        from nograd_lint.analysis.candidates import candidates, settled

        file, source = self.file, self.source
        units = candidates(self.world, file)
        if not self.thorough:
            words = _guarded(tuple(self.rules.values()))
            units = [unit for unit in units if not settled(self.world, file, unit, words)]
        target = _version(self.linter.settings.target_torch)
        for unit in units:
            file.unit(unit)
            try:
                facts = self.world.facts(file.path, unit)
            except Exception as error:
                self._problem(unit, error)
                continue
            if facts is not None:
                yield from self._unit(UnitContext(self.world, facts, target, low=self.thorough))
        rejected = next((file.rejected[unit] for unit in units if unit in file.rejected), None)
        if source.broken:
            broken = source.broken[0]
            rejected = (broken.message, broken.row, 1)
        if rejected is not None:
            yield self._unparsable(*rejected)

    def _unit(self, context: UnitContext) -> Iterator[Diagnostic]:
        unit = context.unit
        for rule in self.rules.values():
            if rule.check is None:
                continue
            try:
                for finding in rule.check(context):
                    if not self.file.judged(unit):
                        if unit not in self.file.rejected:
                            raise RuntimeError("the parsers disagree")
                        return
                    yield self._diagnostic(rule, context, finding)
            except Exception as error:
                self._problem(f"{rule.code} at {unit}", error)

    def _problem(self, where: str, error: Exception) -> None:
        self.problems.append(Problem(self.shown, f"internal error in {where}: {_explain(error)}", internal=True))

    def _unparsable(self, message: str, row: int, column: int) -> Diagnostic:
        rule = self.rules["NGL902"]
        row = min(row, max(self.source.rows, 1))
        span = Span(Position(row, column), Position(row, column))
        return Diagnostic(
            rule.code, rule.name, f"can't be parsed: {' '.join(message.split())}", rule.severity, Confidence.HIGH,
            self.shown, MODULE, span, span, cell=self._cell(row),
        )  # fmt: skip

    def _diagnostic(self, rule: Rule, context: UnitContext, finding: Finding) -> Diagnostic:
        unit = context.unit
        offset = self.file.row(unit)
        positions = _spans(self.file.text(unit))
        span = _shift(positions[finding.node], offset)
        first, last = finding.region or (context.parent_statement.get(finding.node, finding.node),) * 2
        region = Span(_shift(positions[first], offset).start, _shift(positions[last], offset).end)
        notes = tuple(evidence(self.linter, note.message, note.place) for note in finding.notes)
        function = (finding.function or context.enclosing.get(finding.node) or unit).partition("#")[0]
        return Diagnostic(
            rule.code,
            rule.name,
            finding.message,
            finding.severity or rule.severity,
            finding.confidence,
            self.shown,
            function,
            span,
            region,
            notes,
            self._fix(finding, positions, offset),
            self._cell(span.start.row),
        )

    def _fix(self, finding: Finding, positions: Sequence[Span], offset: int) -> Fix | None:
        from nograd_lint.fixes.build import fix_for

        if finding.fix is None:
            return None
        return fix_for(self.source, [_shift(span, offset) for span in positions], finding.fix)

    def _cell(self, row: int) -> int | None:
        cell = self.source.cell_at(row) if self.source.cells else None
        return cell.number if cell is not None else None


@cache
def _guarded(rules: tuple[Rule, ...]) -> Patterns:
    """What makes a function that is guarded from end to end worth a look."""
    return Patterns(pattern.encode() for rule in rules for pattern in rule.guarded)


def _spans(text: str) -> Sequence[Span]:
    from nograd_lint.syntax.lower import spans  # libcst is loaded where there is something to report

    return spans(text)


def _shift(span: Span, rows: int) -> Span:
    return Span(Position(span.start.row + rows, span.start.column), Position(span.end.row + rows, span.end.column))


def _version(text: str | None) -> tuple[int, ...] | None:
    return tuple(int(part) for part in text.split(".")) if text else None


def _explain(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" ({Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno})" if frame is not None else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
