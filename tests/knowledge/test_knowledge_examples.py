"""Every framework has an example: a sample of code, and what must be known of the names in it.

``examples/<stem>.md`` holds two fenced blocks. A line of ``lookups`` is a method of ``Knowledge``, its arguments, and
after ``->`` what the answer must say: ``none``, a plain value, or attributes of the entry (nothing: any entry will do).
The knowledge is loaded for the import roots of the sample alone, so the framework must be recognised by them.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from nograd_lint.knowledge import Entry, frameworks, load

EXAMPLES = Path(__file__).parent / "examples"


def blocks(stem: str) -> tuple[str, list[str]]:
    found = re.fullmatch(
        r"```python\n(.*?)```\n```lookups\n(.*?)```\n", (EXAMPLES / f"{stem}.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None, f"{stem}.md must hold a python and a lookups block"
    return found[1], found[2].splitlines()


def import_roots(code: str) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").partition(".")[0])
    return roots


def shown(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


@pytest.mark.parametrize("stem", sorted(frameworks()))
def test_example_of_framework(stem: str) -> None:
    code, lookups = blocks(stem)
    knowledge = load(roots=import_roots(code))
    words = set(re.findall(r"\w+", code))
    in_sample = False
    for line in lookups:
        question, _, expected = (part.strip() for part in line.partition("->"))
        method, *arguments = question.split()
        in_sample |= arguments[-1].rpartition(".")[2] in words
        answer = getattr(knowledge, method)(*arguments)
        if expected == "none" or not isinstance(answer, Entry):
            assert expected, f"{line}: nothing is known of it"
            assert shown(answer) == expected, line
            continue
        for pair in expected.split():
            key, _, value = pair.partition("=")
            assert shown(getattr(answer, key)) == value, line
    assert in_sample, "the lookups must be about the sample"


def test_every_example_belongs_to_a_framework() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.md")} == set(frameworks())


def test_a_framework_is_not_known_where_nobody_imports_it() -> None:
    assert load(roots={"torch"}).guarded("transformers.GenerationMixin.generate") is None
    assert load(roots={"transformers"}).guarded("transformers.GenerationMixin.generate") is not None
