"""The examples of ``examples.md``: code as it is written, and as it reads once it is fixed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nograd_lint.config import Resolver
from nograd_lint.engine import Engine
from nograd_lint.fixes.apply import apply_fixes
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings

TEXT = (Path(__file__).parent / "examples.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^## ([^\n]+)\n\n```python before\n(.*?)```\n\n```python after\n(.*?)```$", TEXT, re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(("before", "after"), [pytest.param(b, a, id=title) for title, b, a in EXAMPLES])
def test_fixed(before: str, after: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    path = tmp_path / "example.py"
    path.write_text(before)
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
    engine = Engine(Settings(), tmp_path, resolver=resolver, use_cache=False)
    report = apply_fixes(engine, engine.check([path]), unsafe=True)
    assert path.read_text() == after
    assert report.reverted == ()
    assert [d for result in report.results for d in result.diagnostics] == []


def test_all_examples_are_read() -> None:
    assert len(EXAMPLES) == TEXT.count("\n## ") > 0
