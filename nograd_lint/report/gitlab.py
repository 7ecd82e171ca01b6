"""GitLab's Code Quality report: the part of the Code Climate format that it reads."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from nograd_lint.diagnostics import Severity
from nograd_lint.report.json import dumps
from nograd_lint.report.run import Run

SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.INFO: "minor"}


def render(run: Run) -> str:
    issues: list[dict[str, Any]] = []
    for diagnostic in run.diagnostics:
        span = run.source(diagnostic.filename).in_file(diagnostic.span)
        where = run.shown(diagnostic.filename, diagnostic.span)
        cell = "" if where.cell is None else f"cell {where.cell}: "
        issues.append(
            {
                "description": f"{cell}{diagnostic.message}",
                "check_name": f"{diagnostic.code} {diagnostic.name}",
                "fingerprint": _hash(diagnostic.fingerprint or f"{diagnostic.code} {where} {diagnostic.message}"),
                "severity": SEVERITIES[diagnostic.severity],
                "location": {
                    "path": where.path,
                    "positions": {
                        "begin": {"line": span.start.row, "column": span.start.column},
                        "end": {"line": span.end.row, "column": span.end.column},
                    },
                },
            }
        )
    for problem in run.all_problems:
        path = run.path(problem.filename) if problem.filename else "."
        issues.append(
            {
                "description": problem.message,
                "check_name": "nograd-lint",
                "fingerprint": _hash(f"{path} {problem.message}"),
                "severity": "blocker",
                "location": {"path": path, "lines": {"begin": 1}},
            }
        )
    # GitLab drops an issue whose fingerprint it has seen.
    seen: Counter[str] = Counter()
    for issue in issues:
        fingerprint = issue["fingerprint"]
        seen[fingerprint] += 1
        if seen[fingerprint] > 1:
            issue["fingerprint"] = _hash(f"{fingerprint} {seen[fingerprint]}")
    return dumps(issues)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
