"""The documentation of every rule: its headings, and its examples, which are run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Diagnostic, Edit
from nograd_lint.engine import Engine
from nograd_lint.fixes.draft import apply_edits
from nograd_lint.rules._base import Rule
from nograd_lint.rules.registry import all_rules, find
from nograd_lint.settings import Selection, Settings

HEADINGS = [
    "What it does",
    "Why is this bad?",
    "Examples",
    "Fix safety",
    "Known problems",
    "References",
]
FENCE = re.compile(r"^```python (error|fixed|ok)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"[ \t]*# (NGL\d{3})$")
RULES = list(all_rules().values())
CHECKED = [rule for rule in RULES if rule.check is not None]


class Block(NamedTuple):
    rule: Rule
    kind: str
    number: int
    source: str

    @property
    def plain(self) -> str:
        """The source without the marks."""
        return "".join(MARK.sub("", line.rstrip("\n")) + "\n" for line in self.source.splitlines(keepends=True))

    @property
    def marked(self) -> set[int]:
        return {
            row
            for row, line in enumerate(self.source.splitlines(), start=1)
            if (match := MARK.search(line)) and match[1] == self.rule.code
        }


def blocks(rule: Rule) -> Iterator[Block]:
    for number, match in enumerate(FENCE.finditer(rule.doc)):
        yield Block(rule, match[1], number, match[2])


def cases(kind: str) -> list[object]:
    found = [block for rule in CHECKED for block in blocks(rule) if block.kind == kind]
    return [pytest.param(block, id=f"{block.rule.code}:{block.number}") for block in found]


def run(block: Block, tmp_path: Path) -> tuple[Diagnostic, ...]:
    path = tmp_path / "example.py"
    rules = {code: (rule.name, rule.default) for code, rule in all_rules().items()}
    resolver = Resolver(rules, isolated=True, selection=Selection(extend_select=(block.rule.code,)))
    engine = Engine(Settings(), tmp_path, resolver=resolver, use_cache=False)
    path.write_text(block.plain, encoding="utf-8")
    (result,) = engine.check([path], contents={path: block.plain.encode()})
    assert not result.problems
    return result.diagnostics


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_headings(rule: Rule) -> None:
    assert re.findall(r"^## (.+)$", rule.doc, re.MULTILINE) == HEADINGS
    assert rule.summary.endswith(".")
    sections = re.split(r"^## .+$", rule.doc, flags=re.MULTILINE)
    assert all(section.strip() for section in sections)
    assert find(rule.name) is rule


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.code)
def test_examples_are_there(rule: Rule) -> None:
    kinds = [block.kind for block in blocks(rule)]
    assert {"error", "ok"} <= set(kinds)
    assert ("fixed" in kinds) == rule.fixable
    assert rule.doc.count("```") == 2 * len(kinds)


@pytest.mark.parametrize("block", cases("error"))
def test_error(block: Block, tmp_path: Path) -> None:
    found = [diagnostic for diagnostic in run(block, tmp_path) if diagnostic.code == block.rule.code]
    assert block.marked
    assert {diagnostic.span.start.row for diagnostic in found} == block.marked
    assert len(found) == len(block.marked)
    for diagnostic in found:
        assert diagnostic.severity is block.rule.severity
        assert diagnostic.region.start.row <= diagnostic.region.end.row
        assert diagnostic.fix is None or block.rule.fixable


@pytest.mark.parametrize("block", cases("ok"))
def test_ok(block: Block, tmp_path: Path) -> None:
    assert run(block, tmp_path) == ()


@pytest.mark.parametrize("block", cases("fixed"))
def test_fixed(block: Block, tmp_path: Path) -> None:
    before = list(blocks(block.rule))[block.number - 1]
    assert before.kind == "error"
    edits: dict[Edit, None] = {}
    for diagnostic in run(before, tmp_path):
        if diagnostic.code == block.rule.code and diagnostic.fix is not None:
            edits.update(dict.fromkeys(diagnostic.fix.edits))
    assert apply_edits(before.plain, tuple(edits)) == block.source
