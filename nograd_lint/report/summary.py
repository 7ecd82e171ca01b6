"""The lines that the reports for people share: head of a diagnostic, closing summary, statistics."""

from __future__ import annotations

from collections import Counter

from nograd_lint.diagnostics import Applicability, Diagnostic, Severity
from nograd_lint.report.json import dumps
from nograd_lint.report.run import Run, plain

SEVERITY_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def paint(text: str, color: bool, fg: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """``text`` with terminal colours if ``color``."""
    if not color:
        return text
    import click

    return click.style(text, fg=fg, bold=bold or None, dim=dim or None)


def headline(diagnostic: Diagnostic, where: str, color: bool) -> str:
    """``path:row:column: CODE name severity [confidence] message``"""
    severity_color = SEVERITY_COLORS[diagnostic.severity]
    return (
        f"{paint(where, color, bold=True)}: {paint(diagnostic.code, color, severity_color, bold=True)} "
        f"{diagnostic.name} {paint(diagnostic.severity.value, color, severity_color)} "
        f"{paint(f'[{diagnostic.confidence.value}]', color, dim=True)} {plain(diagnostic.message)}"
    )


def fix_mark(diagnostic: Diagnostic, color: bool) -> str:
    """``[*]`` after what ``--fix`` would repair."""
    if diagnostic.fix is None or diagnostic.fix.applicability is not Applicability.SAFE:
        return ""
    return " " + paint("[*]", color, "cyan")


def summary(run: Run) -> list[str]:
    """What was found, in a line; empty where the user wants quiet."""
    if run.style.quiet:
        return []
    total = len(run.diagnostics)
    fixed = f"Fixed {count(run.fixed, 'diagnostic')}. " if run.fixed else ""
    if not total:
        if not run.results:
            return [] if run.all_problems else [_color_summary(run, "No Python files to check.")]
        none = f"{fixed}None left" if fixed else "No diagnostics"
        text = f"{none} in {count(len(run.results), 'file')}"
        return [_color_summary(run, text + _hidden(run) + ".")]
    kinds = [(run.count(severity), severity.value) for severity in Severity]
    by_severity = ", ".join(count(number, "info", "infos") if kind == "info" else count(number, kind)
                            for number, kind in kinds if number)  # fmt: skip
    files = sum(bool(result.diagnostics) for result in run.results)
    found = f"{fixed}Left: " if fixed else "Found "
    text = f"{found}{count(total, 'diagnostic')} ({by_severity}) in {count(files, 'file')}{_fixable(run)}"
    return [_color_summary(run, text + _hidden(run) + ".")]


def _fixable(run: Run) -> str:
    safe = sum(1 for _ in run.fixes(Applicability.SAFE))
    unsafe = sum(1 for _ in run.fixes(Applicability.UNSAFE))
    if safe and unsafe:
        return f"; {safe} fixable with --fix, {unsafe} more with --unsafe-fixes"
    if unsafe:
        return f"; {unsafe} fixable with --fix --unsafe-fixes"
    return f"; {safe} fixable with --fix" if safe else ""


def _hidden(run: Run) -> str:
    number = sum(len(result.suppressed) for result in run.results)
    return f"; {number} suppressed" if number else ""


def _color_summary(run: Run, text: str) -> str:
    return paint(text, run.style.color, None if run.diagnostics else "green", bold=True)


def count(number: int, singular: str, plural: str | None = None) -> str:
    """``1 file``, ``2 files``"""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def statistics(run: Run, output_format: str) -> str:
    """How often each rule was reported, most frequent first; as JSON for the JSON formats."""
    numbers = Counter((diagnostic.code, diagnostic.name) for diagnostic in run.diagnostics)
    fixable = Counter(
        diagnostic.code
        for diagnostic in run.diagnostics
        if diagnostic.fix is not None and diagnostic.fix.applicability is Applicability.SAFE
    )
    rows = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    if output_format in {"json", "json-lines"}:
        return dumps(
            [
                {"code": code, "name": name, "count": number, "fixable": fixable[code]}
                for (code, name), number in rows
            ]
        )  # fmt: skip
    width = max((len(str(number)) for _, number in rows), default=0)
    lines = []
    for (code, name), number in rows:
        mark = "[*]" if fixable[code] == number else "[-]" if fixable[code] else "[ ]"
        lines.append(f"{number:>{width}}  {paint(code, run.style.color, bold=True)}  {mark} {name}")
    if any(fixable.values()):
        lines.append("[*] fixable with --fix, [-] some are")
    return "".join(line + "\n" for line in [*lines, *summary(run)])
