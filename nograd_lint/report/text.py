"""The report for people: what, where, why, how sure, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nograd_lint.diagnostics import Applicability, Diagnostic, Span, Suppressed
from nograd_lint.report.run import Run, Shown, plain
from nograd_lint.report.summary import SEVERITY_COLORS, headline, paint, summary

WIDTH = 120  # of an excerpt; longer lines are cut around what is marked
EVIDENCE_WIDTH = 60
TAB = 4


def render(run: Run) -> str:
    blocks = [_block(run, diagnostic) for diagnostic in run.diagnostics]
    blocks += [_block(run, one.diagnostic, one) for one in run.suppressed]
    closing = "".join(line + "\n" for line in summary(run))
    return "\n".join([*blocks, closing] if closing else blocks)


def _block(run: Run, diagnostic: Diagnostic, suppressed: Suppressed | None = None) -> str:
    color = run.style.color
    where = run.shown(diagnostic.filename, diagnostic.span)
    lines = [headline(diagnostic, plain(str(where)), color)]
    excerpt, gutter = _excerpt(run, diagnostic, where)
    lines += excerpt
    bar = paint(" " * gutter + " = ", color, "blue")
    lines += [bar + text for text in _evidence(run, diagnostic)]
    if diagnostic.fingerprint in run.measured:
        figures = measured_line(run.measured[diagnostic.fingerprint])
        lines.append(f"{bar}{paint('measured', color, bold=True)}: {figures}")
    if diagnostic.fix is not None:
        how = {
            Applicability.SAFE: "--fix",
            Applicability.UNSAFE: "--fix --unsafe-fixes",
            Applicability.DISPLAY: "by hand",
        }[diagnostic.fix.applicability]
        lines.append(f"{bar}{paint('fix', color, 'cyan', bold=True)} ({how}): {plain(diagnostic.fix.message)}")
    if suppressed is not None:
        reason = f": {plain(suppressed.reason)}" if suppressed.reason else ""
        lines.append(f"{bar}suppressed ({suppressed.by}){reason}")
    return "".join(line.rstrip() + "\n" for line in lines)


def _excerpt(run: Run, diagnostic: Diagnostic, where: Shown) -> tuple[list[str], int]:
    """The marked line below the line before it, and the width of the line numbers."""
    color = run.style.color
    source, row = run.source(diagnostic.filename), diagnostic.span.start.row
    if not source.row(row).strip():
        return [], 1
    shown_row = where.span.start.row
    gutter = len(str(shown_row))
    rule = paint(" " * gutter + " |", color, "blue")
    lines = [rule]
    if shown_row > 1 and source.row(row - 1).strip():
        before, _, _ = _window(source.row(row - 1), 0, 0)
        lines.append(paint(f"{shown_row - 1:>{gutter}} | ", color, "blue") + before)
    marked = source.row(row)
    text, start, width = _window(marked, diagnostic.span.start.column - 1, _end(diagnostic.span, marked))
    lines.append(paint(f"{shown_row} | ", color, "blue") + text)
    caret = paint("^" * width, color, SEVERITY_COLORS[diagnostic.severity], bold=True)
    lines.append(f"{rule} {' ' * start}{caret}")
    return lines, gutter


def _end(span: Span, line: str) -> int:
    return span.end.column - 1 if span.end.row == span.start.row else len(line.rstrip())


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    """``line`` as printed, cut to :data:`WIDTH`, with the cell where the mark starts and the mark's width."""
    left, middle, right = (_printed(part) for part in (line[:start], line[start:end], line[end:].rstrip()))
    if _cells(left) > WIDTH // 2 and _cells(left + middle + right) > WIDTH:
        left = "…" + left[-WIDTH // 4 :]
    before, width = _cells(left), max(_cells(middle), 1)
    text = left + middle + right
    if _cells(text) > WIDTH:
        text = text[: WIDTH - 1] + "…"
        width = max(min(width, WIDTH - before), 1)
    return text, before, width


def _printed(text: str) -> str:
    return plain(text.replace("\t", " " * TAB).rstrip("\r\n"))


def _cells(text: str) -> int:
    """Columns of a terminal, where an ideograph takes two and a combining mark none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _evidence(run: Run, diagnostic: Diagnostic) -> list[str]:
    color = run.style.color
    rows = []
    for one in diagnostic.evidence:
        text = _printed(run.source(one.filename).row(one.span.start.row).strip())
        if len(text) > EVIDENCE_WIDTH:
            text = text[: EVIDENCE_WIDTH - 1] + "…"
        rows.append((plain(str(run.shown(one.filename, one.span))), plain(one.message), text))
    place_width = max((_cells(place) for place, _, _ in rows), default=0)
    message_width = min(max((_cells(message) for _, message, _ in rows), default=0), WIDTH // 2)
    return [
        f"{_pad(place, place_width)}  {_pad(message, message_width)}  {paint(text and f'| {text}', color, dim=True)}"
        for place, message, text in rows
    ]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def measured_line(measured: Mapping[str, Any]) -> str:
    """What confirm found out about a diagnostic, in a line."""
    parts = [f"{measured.get('verdict', '')} ({measured.get('reason', '')})"]
    for key, what in (("saved", "saved for backward"), ("peak", "peak"), ("held", "still held")):
        figures = measured.get(key)
        if figures and figures.get("A") is not None and figures.get("B") is not None:
            parts.append(f"{what} {size(figures['A'])} -> {size(figures['B'])}")
    if measured.get("stale"):
        parts.append("the code has changed since")
    return ", ".join(parts)


def size(number: float) -> str:
    """Bytes as people read them: ``5.0 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
