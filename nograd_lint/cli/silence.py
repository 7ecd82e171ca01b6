"""``--explain-silence PATH[:CELL]:LINE``: why nothing is reported for a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.baseline import BaselineError
from nograd_lint.cli import Failure
from nograd_lint.cli.output import write
from nograd_lint.diagnostics import Confidence, Diagnostic, FileResult
from nograd_lint.report.run import plain, shown_path
from nograd_lint.settings import ConfigError
from nograd_lint.source.discovery import discover

if TYPE_CHECKING:
    from pathlib import Path

    from nograd_lint.cli.session import Session
    from nograd_lint.report.run import Run


def explain(session: Session, path: str, cell: int | None, line: int) -> int:
    """Compare what is reported with what would be, were every rule on at every confidence; then ask the analysis."""
    from nograd_lint.cli.session import Session

    file = session.cwd / path
    if not file.is_file():
        raise Failure(f"{path}: file not found")
    usual = Session([path], session.options)
    everything = Session(
        [path], {**session.options, "select": ("ALL",), "ignore": (), "extend_ignore": (), "min_confidence": "low"}
    )
    try:
        [reported], [found] = usual.engine.check([file]), everything.engine.check([file])
    except (BaselineError, ConfigError) as error:
        raise Failure(str(error)) from None
    run = usual.run([reported])
    row = run.source(reported.filename).row_in_file(cell, line)
    if row is None:
        raise Failure(f"{path}: a place in a notebook is PATH:CELL:LINE" if cell is None else f"{path}: no such cell")
    lines = [*_excluded(usual, file), *_reasons(usual, file, reported, found, row)]
    problems = [problem.message for problem in reported.problems]
    if not any(_about(diagnostic, row) for diagnostic in found.diagnostics) and not problems:
        lines += _analysis(usual, run, file, row)
    if not lines and not problems:
        lines = ["no rule finds anything there, with every rule on and at every confidence"]
    place = f"{shown_path(file, session.cwd)}:{'' if cell is None else f'cell {cell}:'}{line}"
    write("".join(f"{place}: {text}\n" for text in [*problems, *lines]))
    return 2 if problems else 0


def _analysis(session: Session, run: Run, file: Path, row: int) -> Iterator[str]:
    """What the analysis itself says, with its evidence below."""
    for message, evidence in session.engine.silence(file, row):
        places = [f"\n    {plain(str(run.shown(one.filename, one.span)))}  {one.message}" for one in evidence]
        yield "".join([message, *places])


def _excluded(session: Session, file: Path) -> Iterator[str]:
    settings, _ = session.nested(session.root)
    if file not in discover([session.root], settings, session.root, session.nested).files:
        yield "the file is excluded, or ignored by git: it is linted only if it is named"


def _reasons(session: Session, file: Path, reported: FileResult, found: FileResult, row: int) -> Iterator[str]:
    enabled = session.resolver.enabled(file)
    lowest = session.resolver.configuration(file).settings.min_confidence
    here = [diagnostic for diagnostic in reported.diagnostics if _about(diagnostic, row)]
    for diagnostic in here:
        yield f"{_what(diagnostic)} is reported"
    for one in reported.suppressed:
        if _about(one.diagnostic, row):
            how = {"inline": "by a comment", "baseline": "by the baseline", "config": "by the configuration"}
            reason = f" ({one.reason})" if one.reason else ""
            yield f"{_what(one.diagnostic)} is suppressed {how.get(one.by, one.by)}{reason}"
    known = {_key(diagnostic) for diagnostic in (*here, *(one.diagnostic for one in reported.suppressed))}
    for diagnostic in found.diagnostics:
        if not _about(diagnostic, row) or _key(diagnostic) in known:
            continue
        if diagnostic.code not in enabled:
            yield f"{_what(diagnostic)} is off here"
        elif diagnostic.confidence.rank < lowest.rank:
            yield f"{_what(diagnostic)} is below --min-confidence {lowest.value}"


def _about(diagnostic: Diagnostic, row: int) -> bool:
    first = min(diagnostic.span.start.row, diagnostic.region.start.row)
    return first <= row <= max(diagnostic.span.end.row, diagnostic.region.end.row)


def _key(diagnostic: Diagnostic) -> tuple[object, ...]:
    return diagnostic.code, diagnostic.span


def _what(diagnostic: Diagnostic) -> str:
    confidence: Confidence = diagnostic.confidence
    return f"{diagnostic.code} {diagnostic.name} [{confidence.value}]"
