"""One line per diagnostic, for grep and for editors that read compiler output."""

from __future__ import annotations

from nograd_lint.report.run import Run, plain
from nograd_lint.report.summary import fix_mark, headline, summary


def render(run: Run) -> str:
    lines = []
    for diagnostic in run.diagnostics:
        where = run.shown(diagnostic.filename, diagnostic.span)
        lines.append(headline(diagnostic, plain(str(where)), run.style.color) + fix_mark(diagnostic, run.style.color))
    for one in run.suppressed:
        where = run.shown(one.diagnostic.filename, one.diagnostic.span)
        reason = f": {plain(one.reason)}" if one.reason else ""
        lines.append(headline(one.diagnostic, plain(str(where)), run.style.color) + f" (suppressed, {one.by}{reason})")
    return "".join(line + "\n" for line in [*lines, *summary(run)])
