"""What is shown beside the code: the text of a rule, and what confirm measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lsprotocol import types

from nograd_lint.diagnostics import Applicability, Diagnostic
from nograd_lint.lsp.convert import Converter, Place
from nograd_lint.lsp.workspace import Checked
from nograd_lint.report import rule_docs
from nograd_lint.report.run import rule_url
from nograd_lint.report.text import measured_line, size
from nograd_lint.rules.registry import all_rules

EXPLAIN = "nograd-lint.explain"


def hover(converter: Converter, uri: str, position: types.Position) -> types.Hover | None:
    """Everything about the diagnostics at a place."""
    found = converter.overlapping(uri, types.Range(position, position))
    if not found:
        return None
    text = "\n\n---\n\n".join(markdown(converter.checked, diagnostic) for diagnostic, _ in found)
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), found[0][1].range)


def markdown(checked: Checked, diagnostic: Diagnostic) -> str:
    """What is to be said beside the message and the evidence, which the client has from the diagnostic."""
    rule = all_rules()[diagnostic.code]
    about = f"{diagnostic.severity.value} · {diagnostic.confidence.value} confidence"
    lines = [f"**[{diagnostic.code}]({rule_url(diagnostic.code)}) {diagnostic.name}** · {about}"]
    if diagnostic.fingerprint in checked.measured:
        lines.append(f"**measured:** {measured_line(checked.measured[diagnostic.fingerprint])}")
    if diagnostic.fix is not None:
        label = "fix" if diagnostic.fix.applicability is Applicability.SAFE else "unsafe fix"
        lines.append(f"**{label}:** {diagnostic.fix.message}")
    lines += [rule_docs.section(rule, title) for title in ("What it does", "Why is this bad?")]
    return "\n\n".join(filter(None, lines))


def lenses(converter: Converter, uri: str) -> list[types.CodeLens]:
    """What was measured, above the code that it was measured in."""
    found = []
    for diagnostic, place in _placed(converter, uri):
        measured = converter.checked.measured.get(diagnostic.fingerprint)
        if measured is not None:
            title = lens_title(measured)
            found.append(
                types.CodeLens(place.range, types.Command(title=title, command=EXPLAIN, arguments=[diagnostic.code]))
            )
    return found


def _placed(converter: Converter, uri: str) -> Iterator[tuple[Diagnostic, Place]]:
    for diagnostic in converter.checked.result.diagnostics:
        place = converter.place(diagnostic.span)
        if place is not None and place.uri == uri:
            yield diagnostic, place


def lens_title(measured: Mapping[str, Any]) -> str:
    """``measured: 5.0 MiB held per call, confirmed``."""
    parts = []
    saved, held = measured.get("saved") or {}, measured.get("held") or {}
    if saved.get("A"):
        parts.append(f"{size(saved['A'])} held per call")
    if (growth := held.get("growth_per_call") or 0) > 0:
        parts.append(f"{size(growth)} more after every call")
    parts.append(str(measured.get("verdict", "")).replace("_", " "))
    if measured.get("stale"):
        parts.append("the code has changed since")
    return "measured: " + ", ".join(parts)
