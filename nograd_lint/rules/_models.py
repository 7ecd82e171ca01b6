"""How sure it is that an expression is a module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Confidence
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

# Names that are hardly ever given to anything but a module.
_TELLING = re.compile(
    r"_*(?:model|net|network|generator|discriminator|unet|vae|backbone|classifier|encoder|decoder|teacher|student|critic|"
    r"\w+_(?:model|net|network|encoder|decoder|backbone)|net_?[dg])\d*",
    re.IGNORECASE,
)


def how_sure(unit: UnitContext, expr: ir.Expr) -> Confidence | None:
    """HIGH where the value is known to be a module, MEDIUM by a telling name, LOW by a vague one, None otherwise."""
    value = unit.facts.values.get(expr.o)
    if value is not None and value.kind == "self":
        return Confidence.HIGH if unit.facts.is_module_class else None
    if value is not None and (value.graph and not value.model):
        made = any(token >= 0 for token in value.graph)
        if made:
            return None
    if value is not None and value.model == 3:
        return Confidence.HIGH
    if isinstance(expr, ir.Sub):  # a layer of a sequence
        return Confidence.MEDIUM if how_sure(unit, expr.value) in (Confidence.HIGH, Confidence.MEDIUM) else None
    name = ir.dotted(expr)
    telling = name is not None and _TELLING.fullmatch(name.rpartition(".")[2]) is not None
    if value is not None and value.model == 2:
        return Confidence.HIGH if telling else Confidence.MEDIUM
    if telling and (value is None or not value.kind or value.model):
        return Confidence.MEDIUM
    if value is not None and value.model:
        return Confidence.LOW
    return None
