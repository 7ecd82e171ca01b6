"""The documentation of a rule, as Markdown and as plain text, from the docstring of its module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nograd_lint.report.run import rule_url

if TYPE_CHECKING:
    from nograd_lint.rules._base import Rule

_FENCE = re.compile(r"^(\s*```)python (error|fixed|ok)\b.*$", re.MULTILINE)
_CAPTIONS = {"error": "Reported:", "fixed": "After the fix:", "ok": "Not reported:"}


def facts(rule: Rule) -> str:
    """Severity, default and fix of a rule in a line."""
    on = "on by default" if rule.default else "off by default"
    fix = "has a fix" if rule.fixable else "no fix"
    measurable = {"guard": "confirm measures it", "train": "confirm checks it", "-": "confirm can't measure it"}
    return f"{rule.severity.value} · {on} · {fix} · {measurable[rule.kind.value]}"


def markdown(rule: Rule, *, heading: bool = True) -> str:
    """The documentation of a rule as a page of Markdown."""
    body = _FENCE.sub(lambda fence: f"{_CAPTIONS[fence[2]]}\n\n{fence[1]}python", rule.doc.strip())
    if not heading:
        return body
    return f"# {rule.name} ({rule.code})\n\n{facts(rule)}\n\n{body}\n"


def section(rule: Rule, title: str) -> str:
    """The text below one heading; empty where the rule has no such section."""
    match = re.search(rf"^## {re.escape(title)}\s*\n(.*?)(?=^## |\Z)", rule.doc, re.MULTILINE | re.DOTALL)
    return match[1].strip() if match else ""


def text(rule: Rule, *, color: bool = False) -> str:
    """The documentation of a rule for a terminal."""
    from nograd_lint.report.summary import SEVERITY_COLORS, paint

    lines = [
        f"{paint(rule.code, color, SEVERITY_COLORS[rule.severity], bold=True)} {paint(rule.name, color, bold=True)}",
        facts(rule),
        rule_url(rule.code),
        "",
    ]
    in_code = False
    for line in rule.doc.strip().splitlines():
        fence = re.match(r"\s*```(?:python (error|fixed|ok))?", line)
        if fence:
            in_code = not in_code
            if fence[1]:
                _paragraph(lines)
                lines += [paint(_CAPTIONS[fence[1]], color, dim=True), ""]
            elif not in_code:
                lines.append("")
        elif in_code:
            lines.append(f"    {line}".rstrip())
        elif line.startswith("#"):
            _paragraph(lines)
            title = line.lstrip("# ")
            lines.append(paint(title, color, bold=True) if color else title.upper())
        elif line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip() + "\n"


def _paragraph(lines: list[str]) -> None:
    """Have a blank line before what comes next."""
    if lines and lines[-1]:
        lines.append("")
