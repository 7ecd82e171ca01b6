"""``--explain-silence PATH:LINE``: why nothing is reported for a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.cli import Failure
from nograd_lint.cli.output import write
from nograd_lint.diagnostics import Confidence, Diagnostic, FileResult
from nograd_lint.report.run import shown_path
from nograd_lint.source.discovery import discover

if TYPE_CHECKING:
    from pathlib import Path

    from nograd_lint.cli.session import Session


def explain(session: Session, path: str, line: int) -> int:
    """Compare what is reported with what would be, were every rule on at every confidence."""
    from nograd_lint.cli.session import Session

    file = session.cwd / path
    if not file.is_file():
        raise Failure(f"{path}: file not found")
    usual = Session([path], session.options)
    everything = Session(
        [path], {**session.options, "select": ("ALL",), "ignore": (), "extend_ignore": (), "min_confidence": "low"}
    )
    [reported], [found] = usual.engine.check([file]), everything.engine.check([file])
    lines = [*_excluded(usual, file), *_reasons(usual, file, reported, found, line)]
    problems = [problem.message for problem in reported.problems]
    if not lines and not problems:
        lines = ["no rule finds anything there, with every rule on and at every confidence"]
    place = f"{shown_path(file, session.cwd)}:{line}"
    write("".join(f"{place}: {text}\n" for text in [*problems, *lines]))
    return 2 if problems else 0


def _excluded(session: Session, file: Path) -> Iterator[str]:
    settings, _ = session.nested(session.root)
    if file not in discover([session.root], settings, session.root, session.nested).files:
        yield "the file is excluded, or ignored by git: it is linted only if it is named"


def _reasons(session: Session, file: Path, reported: FileResult, found: FileResult, line: int) -> Iterator[str]:
    enabled = session.resolver.enabled(file)
    lowest = session.resolver.configuration(file).settings.min_confidence
    here = [diagnostic for diagnostic in reported.diagnostics if _about(diagnostic, line)]
    for diagnostic in here:
        yield f"{_what(diagnostic)} is reported"
    for one in reported.suppressed:
        if _about(one.diagnostic, line):
            how = {"inline": "by a comment", "baseline": "by the baseline", "config": "by the configuration"}
            reason = f" ({one.reason})" if one.reason else ""
            yield f"{_what(one.diagnostic)} is suppressed {how.get(one.by, one.by)}{reason}"
    known = {_key(diagnostic) for diagnostic in (*here, *(one.diagnostic for one in reported.suppressed))}
    for diagnostic in found.diagnostics:
        if not _about(diagnostic, line) or _key(diagnostic) in known:
            continue
        if diagnostic.code not in enabled:
            yield f"{_what(diagnostic)} is off here"
        elif diagnostic.confidence.rank < lowest.rank:
            yield f"{_what(diagnostic)} is below --min-confidence {lowest.value}"


def _about(diagnostic: Diagnostic, line: int) -> bool:
    first = min(diagnostic.span.start.row, diagnostic.region.start.row)
    return first <= line <= max(diagnostic.span.end.row, diagnostic.region.end.row)


def _key(diagnostic: Diagnostic) -> tuple[object, ...]:
    return diagnostic.code, diagnostic.span


def _what(diagnostic: Diagnostic) -> str:
    confidence: Confidence = diagnostic.confidence
    return f"{diagnostic.code} {diagnostic.name} [{confidence.value}]"
