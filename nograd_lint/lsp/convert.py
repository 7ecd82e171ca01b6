"""Diagnostics as the protocol has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lsprotocol import types

from nograd_lint.diagnostics import Diagnostic, Evidence, Position, Problem, Severity, Span
from nograd_lint.lsp.documents import Part, Target, uri_of
from nograd_lint.lsp.positions import Text
from nograd_lint.lsp.workspace import Checked
from nograd_lint.report.run import rule_url
from nograd_lint.source.files import SourceFile, load

SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.INFO: types.DiagnosticSeverity.Information,
}
# The place of such a diagnostic is code that does nothing.
_WITHOUT_EFFECT = {"NGL301", "NGL502", "NGL901"}
SOURCE = "nograd-lint"


class Place(NamedTuple):
    uri: str
    range: types.Range


class Converter:
    """Places of one result in the documents of its client.

    ``targets`` are all open documents by path: evidence may lie in any of them.
    """

    def __init__(self, checked: Checked, target: Target | None, targets: dict[Path, Target], encoding: str) -> None:
        self.checked = checked
        self.target = target
        self.targets = targets
        self.encoding = encoding

    # --- places -------------------------------------------------------------------------------------------------------

    def place(self, span: Span) -> Place | None:
        """Where a span of the file is; None where no document shows it."""
        if self.target is not None:
            return place_in(self.target, self.checked.source, span)
        if self.checked.source is None:
            return None
        return _on_disk(self.checked.path, self.checked.source, span, self.encoding)

    def _elsewhere(self, evidence: Evidence) -> Place | None:
        path = Path(self.checked.root, evidence.filename)
        target = self.targets.get(path)
        if path == self.checked.path:
            return self.place(evidence.span)
        source = load(path, evidence.filename, target.content if target else None)
        if isinstance(source, Problem):
            return None
        if target is not None:
            return place_in(target, source, evidence.span)
        return _on_disk(path, source, evidence.span, self.encoding)

    # --- diagnostics --------------------------------------------------------------------------------------------------

    def by_document(self) -> dict[str, list[types.Diagnostic]]:
        """The diagnostics of each document that the file consists of, an empty list where there are none."""
        found: dict[str, list[types.Diagnostic]] = {}
        if self.target is not None:
            found = {part.uri: [] for part in self.target.parts.values()}
        else:
            found = {uri_of(self.checked.path): []}
        for diagnostic in self.checked.result.diagnostics:
            place = self.place(diagnostic.span)
            if place is not None:
                found.setdefault(place.uri, []).append(self.diagnostic(diagnostic, place.range))
        return found

    def diagnostic(self, diagnostic: Diagnostic, range_: types.Range) -> types.Diagnostic:
        tags = [types.DiagnosticTag.Unnecessary] if diagnostic.code in _WITHOUT_EFFECT else None
        related = [
            types.DiagnosticRelatedInformation(types.Location(place.uri, place.range), evidence.message)
            for evidence in diagnostic.evidence
            if (place := self._elsewhere(evidence)) is not None
        ]
        return types.Diagnostic(
            range=range_,
            message=diagnostic.message,
            severity=SEVERITIES[diagnostic.severity],
            code=diagnostic.code,
            code_description=types.CodeDescription(rule_url(diagnostic.code)),
            source=SOURCE,
            tags=tags,
            related_information=related or None,
            data={"fingerprint": diagnostic.fingerprint},
        )

    # --- and back -----------------------------------------------------------------------------------------------------

    def overlapping(self, uri: str, range_: types.Range) -> Sequence[tuple[Diagnostic, Place]]:
        """The diagnostics of a document that a range touches."""
        found = []
        for diagnostic in self.checked.result.diagnostics:
            place = self.place(diagnostic.span)
            if place is not None and place.uri == uri and _touch(place.range, range_):
                found.append((diagnostic, place))
        return found


def place_in(target: Target, source: SourceFile | None, span: Span) -> Place | None:
    """A span of the file in the document that shows it, which for a notebook is a cell."""
    if not target.is_notebook:
        [part] = target.parts.values()
        return Place(part.uri, part.text.range(span))
    cell = source.cell_at(span.start.row) if source is not None else None
    part_of_cell: Part | None = target.parts.get(cell.number) if cell is not None else None
    if cell is None or part_of_cell is None:
        return None
    before = cell.first_row - 1
    last = min(span.end.row - before, cell.rows)
    column = span.end.column if span.end.row - before == last else len(part_of_cell.text.row(last - 1)) + 1
    within = Span(Position(span.start.row - before, span.start.column), Position(last, column))
    return Place(part_of_cell.uri, part_of_cell.text.range(within))


def _on_disk(path: Path, source: SourceFile, span: Span, encoding: str) -> Place | None:
    if source.cells:  # no client knows the cells of a notebook that is not open
        start = types.Position(0, 0)
        return Place(uri_of(path), types.Range(start, start))
    return Place(uri_of(path), _text(source.text, encoding).range(span))


@lru_cache(maxsize=16)
def _text(text: str, encoding: str) -> Text:
    return Text(text, encoding)


def _touch(a: types.Range, b: types.Range) -> bool:
    def key(position: types.Position) -> tuple[int, int]:
        return position.line, position.character

    return key(a.start) <= key(b.end) and key(b.start) <= key(a.end)
