"""The cases of ``tests/cases``: one small project for each fact about grad mode. See the README there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from expectations import BARE, expected

from nograd_lint.config import Resolver
from nograd_lint.engine import Engine
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings

CASES = Path(__file__).parent / "cases"
HEADING = re.compile(r"^## (.+)$")


class Case(NamedTuple):
    file: str
    heading: str
    row: int  # of the block's first line in its file
    source: str


def read(path: Path) -> Iterator[Case]:
    heading, start = "", 0
    block: list[str] | None = None
    for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if block is None:
            if match := HEADING.match(line):
                heading = match[1]
            elif line.startswith("```"):
                assert line == "```python", f"{path.name}:{row}: unexpected {line}"
                block, start = [], row + 1
        elif line == "```":
            yield Case(path.name, heading, start, "\n".join(block) + "\n")
            block = None
        else:
            block.append(line)
    assert block is None, f"{path.name}: a block has no end"


ALL = [case for path in sorted(CASES.glob("*.md")) if path.name != "README.md" for case in read(path)]


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.file}:{case.row}") for case in ALL])
def test_case(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "case.py"
    file.write_text(case.source, encoding="utf-8")
    rules = {code: (rule.name, rule.default) for code, rule in all_rules().items()}
    resolver = Resolver(rules, isolated=True)
    (result,) = Engine(Settings(), tmp_path, resolver=resolver, use_cache=False).check([file])
    assert not result.problems
    found = {(diagnostic.code, diagnostic.span.start.row) for diagnostic in result.diagnostics}
    assert found == expected(case.source, BARE), f"{case.heading}\n{numbered(case)}"


def numbered(case: Case) -> str:
    return "\n".join(f"{row:3d} {line}" for row, line in enumerate(case.source.splitlines(), start=1))
