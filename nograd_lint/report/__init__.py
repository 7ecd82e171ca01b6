"""Reports: one module per output format, each with ``render(run: Run) -> str``.

Front ends call :func:`render`; the module of a format is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nograd_lint.report.run import Run

FORMATS = ("text", "concise", "json", "json-lines", "sarif", "github", "gitlab", "junit")


def render(run: Run, output_format: str) -> str:
    """The report of ``run`` in one of :data:`FORMATS`, ending in a newline unless it is empty."""
    module = import_module(f"nograd_lint.report.{output_format.replace('-', '_')}")
    report: str = module.render(run)
    return report
