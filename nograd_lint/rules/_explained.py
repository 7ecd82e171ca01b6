"""A guard that does nothing explains the tracked forwards that it was meant for: they are not reported once more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

_ABOVE = re.compile(rb"^[ \t]*[\w.]*(?:no_grad|inference_mode)[ \t]*(?:\([ \t]*\))?[ \t]*(?:#.*)?$")


def explained(unit: UnitContext, node: int) -> bool:
    """Whether a node lies in the region of a diagnostic about a guard without effect (NGL3xx)."""
    regions: tuple[tuple[int, int], ...] | None = unit.__dict__.get("_explained")
    if regions is None:
        regions = unit.__dict__["_explained"] = tuple(_regions(unit))
    return any(first <= node <= last for first, last in regions)


def _regions(unit: UnitContext) -> list[tuple[int, int]]:
    from nograd_lint.rules.registry import all_rules

    result = []
    if unit.root is not None and _lacks_at_sign(unit):
        result.append((unit.root.o, unit.end_of(unit.root.o)))
    for code, rule in all_rules().items():
        if not code.startswith("NGL3") or rule.check is None:
            continue
        for finding in rule.check(unit):
            if finding.confidence is not Confidence.LOW:
                first, last = finding.region or (unit.parent_statement[finding.node],) * 2
                result.append((first, unit.end_of(last)))
    return result


def _lacks_at_sign(unit: UnitContext) -> bool:
    """The line above the function is a guard without its ``@`` (NGL301, reported where that line stands)."""
    file = unit.world.project.file(unit.path)
    definition = file.units.get(unit.unit) if file is not None else None
    if file is None or definition is None:
        return False
    found = line_above(file.data[: definition.start].split(b"\n")[:-1])
    return found is not None and _ABOVE.match(found[0]) is not None


def line_above(lines: Sequence[bytes]) -> tuple[bytes, bool] | None:
    """Of the lines above a function the one that belongs to it, and whether it stands directly above.

    Formatters put blank lines between a function and a statement above it; the statement still belongs to the function
    where a blank line sets it off from what precedes it.
    """
    last = len(lines) - 1
    while last >= 0 and not lines[last].strip():
        last -= 1
    if last < 0:
        return None
    direct = last == len(lines) - 1
    before = last - 1
    while before >= 0 and lines[before].lstrip().startswith(b"#"):
        before -= 1
    return (lines[last], direct) if direct or before < 0 or not lines[before].strip() else None
