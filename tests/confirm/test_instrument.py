"""Probes are put around exactly the region, and nothing else changes."""

from __future__ import annotations

import ast
import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from nograd_lint.confirm import instrument
from nograd_lint.confirm.instrument import PROBE, RETURN, Region


class Seen:
    """Stands where the child has its probes, and notes what it is asked."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.names: dict[int, tuple[str, ...]] = {}
        self.returned: list[tuple[int, Any]] = []

    @contextlib.contextmanager
    def probe(self, region: int, names: tuple[str, ...]) -> Iterator[None]:
        self.entered.append(region)
        self.names[region] = names
        yield

    def note(self, region: int, value: Any) -> Any:
        self.returned.append((region, value))
        return value


def run(text: str, *regions: tuple[int, int], **variables: Any) -> tuple[dict[str, Any], Seen]:
    """Run a program with probes around statements, given by the lines on which their first and last begin."""
    tree = ast.parse(text)
    lines = text.splitlines()

    def start(line: int) -> tuple[int, int]:
        return line, len(lines[line - 1]) - len(lines[line - 1].lstrip())

    wanted = [Region(number, start(first), start(last)) for number, (first, last) in enumerate(regions)]
    assert sorted(instrument.instrument(tree, wanted)) == list(range(len(regions)))
    seen = Seen()
    module = {PROBE: seen.probe, RETURN: seen.note, **variables}
    exec(compile(tree, "program.py", "exec"), module)
    return module, seen


def test_a_function_body_returns_what_it_did() -> None:
    module, seen = run("def f(x):\n    y = x + 1\n    if y > 2:\n        return y\n    return 0\n", (2, 5))
    assert [module["f"](2), module["f"](1)] == [3, 0]
    assert seen.entered == [0, 0]
    assert seen.names == {0: ("y",)}
    assert seen.returned == [(0, 3), (0, 0)]


def test_nested_functions_and_lambdas_keep_their_own_returns() -> None:
    text = "def f(x):\n    def g():\n        return x * 2\n    h = lambda: x * 3\n    return g() + h()\n"
    module, seen = run(text, (2, 5))
    assert module["f"](1) == 5
    assert seen.returned == [(0, 5)]


def test_regions_nest_also_where_they_share_a_statement() -> None:
    module, seen = run("def f(x):\n    y = x\n    return y\n", (3, 3), (2, 3), (2, 3))
    assert module["f"](7) == 7
    assert seen.entered == [1, 2, 0]
    assert sorted(seen.returned) == [(0, 7), (1, 7), (2, 7)]


def test_loops_break_and_continue_through_a_probe() -> None:
    text = "seen = []\nfor i in range(9):\n    if i == 1:\n        continue\n    if i == 4:\n        break\n"
    text += "    seen.append(i)\n"
    module, seen = run(text, (3, 7))
    assert module["seen"] == [0, 2, 3]
    assert seen.entered == [0] * 5


def test_names_of_inner_scopes_are_not_the_regions() -> None:
    text = "a, *b = 1, 2\nfor c in []: pass\nd = [e for e in b]\ndef f(): g = 1\nif (h := 3): pass\n"
    _, seen = run(text, (1, 5))
    assert seen.names[0] == ("a", "b", "c", "d", "e", "h")


def test_tracebacks_show_the_lines_of_the_file() -> None:
    text = "def f(x):\n    y = 1\n\n    return y / x\n"
    module, _ = run(text, (2, 4))
    with pytest.raises(ZeroDivisionError) as caught:
        module["f"](0)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].lineno == 4


@pytest.mark.parametrize("block", ["try:\n    x = 1\nfinally:\n    y = 2\n", "match 1:\n  case 1:\n    x = 1\n"])
def test_every_kind_of_block_can_hold_a_region(block: str) -> None:
    line = len(block.splitlines())
    _, seen = run(block, (line, line))
    assert seen.entered == [0]


def test_an_unknown_place_is_told() -> None:
    tree = ast.parse("x = 1\n")
    assert instrument.instrument(tree, [Region(0, (5, 0), (5, 0))]) == []
    assert ast.unparse(tree) == "x = 1"
