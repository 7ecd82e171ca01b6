"""The data that every part of nograd-lint shares: diagnostics, evidence, edits and fixes.

All of it is frozen plain data, so that it crosses processes, the cache, LSP and SARIF unchanged. Rows and columns are
1-based, ends are exclusive, and columns count code points.
"""

from __future__ import annotations

import enum

import msgspec


class Severity(str, enum.Enum):
    """What happens if the code is shipped as it is."""

    ERROR = "error"  # wrong, dies, or learns nothing
    WARNING = "warning"  # waste
    INFO = "info"  # could be better

    @property
    def rank(self) -> int:
        return ("info", "warning", "error").index(self.value)


class Confidence(str, enum.Enum):
    """How sure the analysis is that the diagnostic is true."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        return ("low", "medium", "high").index(self.value)


class Applicability(str, enum.Enum):
    """Whether a fix keeps the program's meaning."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    DISPLAY = "display"


class Position(msgspec.Struct, frozen=True, order=True):
    row: int
    column: int


class Span(msgspec.Struct, frozen=True, order=True):
    start: Position
    end: Position


class Evidence(msgspec.Struct, frozen=True):
    """A place with a short text saying what it contributes to the diagnosis."""

    message: str
    filename: str
    span: Span


class Edit(msgspec.Struct, frozen=True):
    """Replace the text of ``span`` by ``content`` (an insertion where the span is empty)."""

    content: str
    span: Span


class Fix(msgspec.Struct, frozen=True):
    applicability: Applicability
    message: str
    edits: tuple[Edit, ...]


class Diagnostic(msgspec.Struct, frozen=True):
    """One thing to report.

    ``filename`` is relative to the project root with ``/``; front ends turn it into what their users expect. Spans are
    rows and columns of the file or, for a notebook, of the one module made of its code cells; ``cell`` is then the
    1-based number of the cell and a front end maps rows through the source file's cell map.
    """

    code: str
    name: str
    message: str
    severity: Severity
    confidence: Confidence
    filename: str
    function: str
    span: Span
    region: Span
    evidence: tuple[Evidence, ...] = ()
    fix: Fix | None = None
    cell: int | None = None
    fingerprint: str = ""


class Problem(msgspec.Struct, frozen=True):
    """Something that kept nograd-lint from doing its work on a file: unreadable, internal error, …"""

    filename: str
    message: str
    internal: bool = False


class Suppressed(msgspec.Struct, frozen=True):
    """A diagnostic that is not reported, and why: ``inline`` (a comment), ``config`` or ``baseline``."""

    diagnostic: Diagnostic
    by: str
    reason: str = ""


class FileResult(msgspec.Struct, frozen=True):
    """What one run found in one file, sorted by place."""

    filename: str
    diagnostics: tuple[Diagnostic, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    problems: tuple[Problem, ...] = ()
