"""A guard that does nothing explains the tracked forwards that it was meant for: they are not reported once more."""

from __future__ import annotations

import re
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
    if file is None or definition is None or definition.start == 0:
        return False
    end = definition.start - 1
    return _ABOVE.match(file.data[file.data.rfind(b"\n", 0, end) + 1 : end]) is not None
