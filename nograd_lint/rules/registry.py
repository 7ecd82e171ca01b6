"""All rules, found by walking this package."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

import nograd_lint.rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nograd_lint.rules._base import Rule


@cache
def all_rules() -> Mapping[str, Rule]:
    """Every rule by its code, in order."""
    rules: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(nograd_lint.rules.__path__):
        if not info.name.startswith("ngl"):
            continue
        module = import_module(f"nograd_lint.rules.{info.name}")
        rule: Rule = msgspec.structs.replace(
            module.RULE, doc=module.__doc__ or "", check=getattr(module, "check", None)
        )
        if rule.code in rules:
            raise RuntimeError(f"two rules share the code {rule.code}")
        rules[rule.code] = rule
    return MappingProxyType(dict(sorted(rules.items())))


def find(code_or_name: str) -> Rule | None:
    """A rule by its code (any case) or name."""
    wanted = code_or_name.strip()
    rules = all_rules()
    if wanted.upper() in rules:
        return rules[wanted.upper()]
    return next((rule for rule in rules.values() if rule.name == wanted.lower()), None)
