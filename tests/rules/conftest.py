"""Running rules over small projects."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence, Diagnostic
from nograd_lint.engine import Engine
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Selection, Settings

Lint: TypeAlias = Callable[..., tuple[Diagnostic, ...]]
MARK = re.compile(r"# (NGL\d{3}(?:, NGL\d{3})*)(?: (high|medium|low))?$")


@pytest.fixture
def lint(tmp_path: Path) -> Lint:
    """Lints a project given as ``{filename: source}``; every rule is on, and every confidence is shown."""
    rules = {code: (rule.name, rule.default) for code, rule in all_rules().items()}

    def checked(filename: str, resolver: Resolver) -> tuple[Diagnostic, ...]:
        engine = Engine(Settings(), tmp_path, resolver=resolver, use_cache=False)
        (result,) = engine.check([tmp_path / filename])
        assert not result.problems
        return result.diagnostics

    def run(files: dict[str, str], filename: str, target_torch: str | None = None) -> tuple[Diagnostic, ...]:
        for name, source in {"pyproject.toml": "", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        overrides = {"target_torch": target_torch}
        everything = {**overrides, "min_confidence": Confidence.LOW}
        selection = Selection(select=("ALL",))
        found = checked(filename, Resolver(rules, isolated=True, selection=selection, overrides=everything))
        # By default less is looked at, and nothing of what is shown then is lost by that.
        shown = [d for d in found if rules[d.code][1] and d.confidence is not Confidence.LOW]
        assert list(checked(filename, Resolver(rules, isolated=True, overrides=overrides))) == shown
        return found

    return run


def marked(source: str, family: str) -> set[tuple[str, int, str]]:
    """What the comments at the ends of lines ask for: ``# NGL201 medium``; high where nothing else is said."""
    return {
        (code, row, match[2] or "high")
        for row, line in enumerate(source.splitlines(), start=1)
        if (match := MARK.search(line))
        for code in match[1].split(", ")
        if code.startswith(family)
    }


def found(diagnostics: tuple[Diagnostic, ...], family: str) -> set[tuple[str, int, str]]:
    return {(d.code, d.span.start.row, d.confidence.value) for d in diagnostics if d.code.startswith(family)}


def source_of(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")
