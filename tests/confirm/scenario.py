"""Programs with a marked region, and the verdict that they must get."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from nograd_lint.confirm.command import parse
from nograd_lint.confirm.plan import plan
from nograd_lint.confirm.runner import Limits
from nograd_lint.confirm.session import Confirmation, Finding, Options, Outcome
from nograd_lint.diagnostics import Confidence, Diagnostic, Fix, Position, Severity, Span
from nograd_lint.rules._base import Kind

HERE = Path(__file__).parent / "scenarios"
KINDS = {"NGL101": Kind.GUARD, "NGL202": Kind.TRAIN}


def regions_in(text: str) -> list[Span]:
    """The regions between ``# begin`` and ``# end``."""
    spans, begin = [], None
    for row, line in enumerate(text.splitlines(), 1):
        if re.search(r"\S.*# begin(, end)?$", line):
            begin = Position(row, len(line) - len(line.lstrip()) + 1)
        if re.search(r"# (begin, )?end$", line):
            code = line.split("#")[0].rstrip()
            assert begin is not None
            spans.append(Span(begin, Position(row, len(code) + 1)))
            begin = None
    return spans


def diagnostic(filename: str, span: Span, code: str = "NGL101", fix: Fix | None = None) -> Diagnostic:
    return Diagnostic(
        code, "name", "message", Severity.WARNING, Confidence.HIGH, filename, "f", span, span, fix=fix,
        fingerprint=f"{code}-{filename}-{span.start.row}",
    )  # fmt: skip


def confirm(
    root: Path, diagnostics: list[Diagnostic], words: list[str], timeout: float = 120, **options: Any
) -> Outcome:
    """Confirm with the interpreter that runs the tests."""
    regions = plan(diagnostics, KINDS, root)
    command = parse([sys.executable if word == "python" else word for word in words])
    options.setdefault("time", False)
    return Confirmation(regions, root, command, Options(**options), Limits(timeout, 8 * 2**30)).confirm()


def confirm_text(
    directory: Path, text: str, code: str = "NGL101", args: tuple[str, ...] = (), **options: Any
) -> Outcome:
    """Confirm the marked regions of a program."""
    (directory / "program.py").write_text(text, "utf-8")
    diagnostics = [diagnostic("program.py", span, code) for span in regions_in(text)]
    return confirm(directory, diagnostics, ["python", "program.py", *args], **options)


class Scenario(msgspec.Struct):
    name: str
    text: str

    def says(self, key: str) -> str | None:
        match = re.search(rf"^# {key}\b:?(.*)$", self.text, re.MULTILINE)
        return match[1].strip() if match else None

    @property
    def slow(self) -> bool:
        return self.says("slow") is not None

    def run(self, directory: Path) -> tuple[Finding, Outcome]:
        options: dict[str, Any] = {}
        for part in filter(None, (self.says("options") or "").split(",")):
            key, _, value = part.partition("=")
            options[key.strip()] = value.strip().strip('"')
        code = "NGL202" if self.says("kind") == "train" else "NGL101"
        name, _, value = (self.says("env") or "").partition("=")
        before = dict(os.environ)
        if name:
            os.environ[name] = value
        try:
            outcome = confirm_text(directory, self.text, code, timeout=float(self.says("timeout") or 120), **options)
        finally:
            os.environ.clear()
            os.environ.update(before)
        [finding] = outcome.findings
        return finding, outcome


def scenarios() -> list[Scenario]:
    return [Scenario(path.stem, path.read_text("utf-8")) for path in sorted(HERE.glob("s*.py"))]
