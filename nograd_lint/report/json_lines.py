"""JSON lines: one diagnostic a line, each as in :mod:`nograd_lint.report.json`."""

from __future__ import annotations

import msgspec

from nograd_lint.report.json import records
from nograd_lint.report.run import Run


def render(run: Run) -> str:
    return "".join(msgspec.json.encode(record).decode() + "\n" for record in records(run))
