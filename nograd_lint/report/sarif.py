"""SARIF 2.1.0, with all that GitHub code scanning reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nograd_lint
from nograd_lint.diagnostics import Confidence, Diagnostic, Problem, Severity, Span, Suppressed
from nograd_lint.report import rule_docs
from nograd_lint.report.json import dumps
from nograd_lint.report.run import DOCUMENTATION, Run, rule_url
from nograd_lint.rules._base import Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
BASE = "%SRCROOT%"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
PROBLEM_SEVERITIES = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "recommendation"}
RANKS = {Confidence.HIGH: 90.0, Confidence.MEDIUM: 60.0, Confidence.LOW: 20.0}
DESCRIPTION_LIMIT = 1024  # GitHub's


def render(run: Run) -> str:
    found = [*run.diagnostics, *(one.diagnostic for one in run.suppressed)]
    codes = sorted({*run.rules, *(one.code for one in found)})
    index = {code: number for number, code in enumerate(codes)}
    results = [_result(run, diagnostic, index) for diagnostic in run.diagnostics]
    results += [_result(run, one.diagnostic, index, one) for one in run.suppressed]
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "nograd-lint",
                        "version": nograd_lint.__version__,
                        "semanticVersion": nograd_lint.__version__,
                        "informationUri": f"{DOCUMENTATION}/",
                        "rules": [_descriptor(run, code) for code in codes],
                    }
                },
                "originalUriBaseIds": {BASE: {"uri": run.cwd.as_uri().rstrip("/") + "/"}},
                "columnKind": "unicodeCodePoints",
                "invocations": [_invocation(run)],
                "results": results,
            }
        ],
    }
    return dumps(log)


# --- the tool -----------------------------------------------------------------------------------------------------


def _descriptor(run: Run, code: str) -> dict[str, Any]:
    rule = run.rules.get(code)
    found = [one for one in [*run.diagnostics, *(one.diagnostic for one in run.suppressed)] if one.code == code]
    # GitHub knows a precision of rules only: that of the least certain diagnostic keeps the promise for all of them.
    precision = min((one.confidence for one in found), key=lambda one: one.rank, default=Confidence.HIGH)
    if rule is None:
        rule = Rule(code=code, name=found[0].name, severity=found[0].severity)
    summary = rule.summary or rule.name
    description = rule_docs.section(rule, "What it does") or summary
    return {
        "id": code,
        "name": rule.name,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": _cut(description)},
        "help": {
            "text": rule_docs.text(rule),
            "markdown": rule_docs.markdown(rule),
        },
        "helpUri": rule_url(code),
        "defaultConfiguration": {"level": LEVELS[rule.severity], "enabled": rule.default},
        "properties": {
            "precision": precision.value,
            "problem.severity": PROBLEM_SEVERITIES[rule.severity],
            "tags": ["pytorch", "grad-mode"],
        },
    }


def _cut(text: str) -> str:
    return text if len(text) <= DESCRIPTION_LIMIT else text[: DESCRIPTION_LIMIT - 1] + "…"


def _invocation(run: Run) -> dict[str, Any]:
    problems = run.all_problems
    start = run.started.astimezone(timezone.utc)
    return {
        "executionSuccessful": run.exit_code != 2,
        "exitCode": run.exit_code,
        "startTimeUtc": _utc(start),
        "endTimeUtc": _utc(start + timedelta(seconds=run.seconds)),
        "workingDirectory": {"uri": run.cwd.as_uri()},
        "toolExecutionNotifications": [_notification(run, problem) for problem in problems],
    }


def _utc(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def _notification(run: Run, problem: Problem) -> dict[str, Any]:
    notification: dict[str, Any] = {"level": "error", "message": {"text": problem.message}}
    if problem.filename:
        notification["locations"] = [{"physicalLocation": {"artifactLocation": _artifact(run, problem.filename)}}]
    return notification


# --- results ------------------------------------------------------------------------------------------------------


def _result(
    run: Run, diagnostic: Diagnostic, index: Mapping[str, int], suppressed: Suppressed | None = None
) -> dict[str, Any]:
    cell = run.shown(diagnostic.filename, diagnostic.span).cell
    text = _text(diagnostic.message if cell is None else f"cell {cell}: {diagnostic.message}")
    if diagnostic.evidence:
        # GitHub shows related locations only where the message links to them.
        links = [f"- [{_link_text(one.message)}]({number})" for number, one in enumerate(diagnostic.evidence, 1)]
        text += "\n\nEvidence:\n" + "\n".join(links)
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": index[diagnostic.code],
        "level": LEVELS[diagnostic.severity],
        "rank": RANKS[diagnostic.confidence],
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    **_physical(run, diagnostic.filename, diagnostic.span),
                    "contextRegion": _region(run, diagnostic.filename, _around(diagnostic)),
                },
                "logicalLocations": [{"fullyQualifiedName": diagnostic.function, "kind": _kind(diagnostic.function)}],
            }
        ],
        "properties": {"confidence": diagnostic.confidence.value},
    }
    if diagnostic.fingerprint:
        # The second is the only one that GitHub reads.
        result["partialFingerprints"] = {
            "nogradLint/v1": diagnostic.fingerprint,
            "primaryLocationLineHash": diagnostic.fingerprint,
        }
    if diagnostic.evidence:
        result["relatedLocations"] = [
            {
                "id": number,
                "physicalLocation": _physical(run, one.filename, one.span),
                "message": {"text": _text(one.message)},
            }
            for number, one in enumerate(diagnostic.evidence, 1)
        ]
    if diagnostic.fix is not None and cell is None:  # edits of a notebook's code are no edits of the file
        result["fixes"] = [_fix(run, diagnostic)]
    if suppressed is not None:
        kind = "inSource" if suppressed.by == "inline" else "external"
        why = suppressed.reason or suppressed.by
        result["suppressions"] = [{"kind": kind, "status": "accepted", "justification": why}]
    if diagnostic.fingerprint in run.measured:
        result["properties"]["measured"] = run.measured[diagnostic.fingerprint]
    return result


def _kind(function: str) -> str:
    return "module" if function == "<module>" else "function"


def _around(diagnostic: Diagnostic) -> Span:
    """The region, widened so that it holds the diagnostic, as a context region has to."""
    return Span(
        min(diagnostic.region.start, diagnostic.span.start),
        max(diagnostic.region.end, diagnostic.span.end),
    )


def _fix(run: Run, diagnostic: Diagnostic) -> dict[str, Any]:
    assert diagnostic.fix is not None
    return {
        "description": {"text": diagnostic.fix.message},
        "artifactChanges": [
            {
                "artifactLocation": _artifact(run, diagnostic.filename),
                "replacements": [
                    {
                        "deletedRegion": _region(run, diagnostic.filename, edit.span),
                        "insertedContent": {"text": edit.content},
                    }
                    for edit in diagnostic.fix.edits
                ],
            }
        ],
        "properties": {"applicability": diagnostic.fix.applicability.value},
    }


def _physical(run: Run, filename: str, span: Span) -> dict[str, Any]:
    return {"artifactLocation": _artifact(run, filename), "region": _region(run, filename, span)}


def _artifact(run: Run, filename: str) -> dict[str, str]:
    path = run.path(filename)
    if path.startswith("../") or Path(path).is_absolute():
        return {"uri": (run.root / filename).resolve().as_uri()}
    return {"uri": quote(path), "uriBaseId": BASE}


def _region(run: Run, filename: str, span: Span) -> dict[str, int]:
    span = run.source(filename).in_file(span)
    return {
        "startLine": span.start.row,
        "startColumn": span.start.column,
        "endLine": span.end.row,
        "endColumn": span.end.column,
    }


def _text(text: str) -> str:
    """``text`` in which nothing reads as an embedded link: ``models[0](x)`` is code here."""
    return text.replace("](", "] (")


def _link_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
