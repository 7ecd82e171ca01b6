"""Workflow commands that GitHub Actions turns into annotations of a pull request."""

from __future__ import annotations

from nograd_lint.diagnostics import Diagnostic, Severity
from nograd_lint.report.run import Run

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(run: Run) -> str:
    lines = [_annotation(run, diagnostic) for diagnostic in run.diagnostics]
    for problem in run.all_problems:
        file = f"file={_property(run.path(problem.filename))}," if problem.filename else ""
        lines.append(f"::error {file}title=nograd-lint::{_data(problem.message)}")
    return "".join(line + "\n" for line in lines)


def _annotation(run: Run, diagnostic: Diagnostic) -> str:
    span = run.source(diagnostic.filename).in_file(diagnostic.span)
    where = run.shown(diagnostic.filename, diagnostic.span)
    # GitHub takes columns only for annotations of one line.
    properties = {"file": where.path, "line": span.start.row, "endLine": span.end.row}
    if span.start.row == span.end.row:
        properties |= {"col": span.start.column, "endColumn": span.end.column}
    properties["title"] = f"{diagnostic.code} {diagnostic.name} ({diagnostic.confidence.value} confidence)"
    message = [diagnostic.message if where.cell is None else f"cell {where.cell}: {diagnostic.message}"]
    message += [f"{run.shown(one.filename, one.span)}: {one.message}" for one in diagnostic.evidence]
    if diagnostic.fix is not None:
        message.append(f"Fix ({diagnostic.fix.applicability.value}): {diagnostic.fix.message}")
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{COMMANDS[diagnostic.severity]} {listed}::{_data(chr(10).join(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
