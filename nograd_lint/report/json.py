"""JSON: a list of diagnostics, as documented in the output reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nograd_lint.diagnostics import Diagnostic, Position
from nograd_lint.report.run import Run, Shown, rule_url


def render(run: Run) -> str:
    return dumps(records(run))


def records(run: Run) -> list[dict[str, Any]]:
    """One mapping per diagnostic. Suppressed ones are there only if the run shows them, and say so."""
    found = [record(run, diagnostic) for diagnostic in run.diagnostics]
    hidden = [
        {**record(run, one.diagnostic), "suppressed": {"by": one.by, "reason": one.reason}} for one in run.suppressed
    ]
    return found + hidden


def dumps(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def record(run: Run, diagnostic: Diagnostic) -> dict[str, Any]:
    where = run.shown(diagnostic.filename, diagnostic.span)
    region = run.shown(diagnostic.filename, diagnostic.region)
    return {
        "code": diagnostic.code,
        "name": diagnostic.name,
        "message": diagnostic.message,
        "severity": diagnostic.severity.value,
        "confidence": diagnostic.confidence.value,
        "filename": where.path,
        "function": diagnostic.function,
        **_location(where),
        "region": _location(region),
        "cell": where.cell,
        "evidence": [
            {"message": evidence.message, "filename": place.path, **_location(place), **_cell(place)}
            for evidence in diagnostic.evidence
            for place in [run.shown(evidence.filename, evidence.span)]
        ],
        "fix": _fix(run, diagnostic),
        "url": rule_url(diagnostic.code),
        "fingerprint": diagnostic.fingerprint,
        "measured": run.measured.get(diagnostic.fingerprint),
    }


def _fix(run: Run, diagnostic: Diagnostic) -> dict[str, Any] | None:
    if diagnostic.fix is None:
        return None
    return {
        "applicability": diagnostic.fix.applicability.value,
        "message": diagnostic.fix.message,
        "edits": [
            {"content": edit.content, **_location(place), **_cell(place)}
            for edit in diagnostic.fix.edits
            for place in [run.shown(diagnostic.filename, edit.span)]
        ],
    }


def _location(place: Shown) -> Mapping[str, Any]:
    return {"location": _position(place.span.start), "end_location": _position(place.span.end)}


def _position(position: Position) -> dict[str, int]:
    return {"row": position.row, "column": position.column}


def _cell(place: Shown) -> dict[str, int]:
    """Evidence and edits may lie in another cell than the diagnostic: in a notebook they name theirs."""
    return {} if place.cell is None else {"cell": place.cell}
