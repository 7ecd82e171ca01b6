"""Results of two runs: equal, close, reproducible or not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nograd_lint.confirm.compare import compare, compare_output, leaves


def array(*values: float, dtype: str = "float32") -> dict[str, Any]:
    return {"k": "array", "d": dtype, "s": [len(values)], "h": repr(values), "v": list(values)}


def number(value: float) -> dict[str, Any]:
    return {"k": "number", "v": value}


def exact(value: Any) -> dict[str, Any]:
    return {"k": "exact", "type": type(value).__name__, "v": value}


TABLE = [
    ("identical", array(1.0, 2.0), array(1.0, 2.0), None, "bit_identical"),
    ("the last bits", array(1.0, 2.0), array(1.0, 2.0000001), None, "within_tolerance"),
    ("too far", array(1.0, 2.0), array(1.0, 2.1), None, "changed"),
    ("half precision has a wider tolerance", array(1.0, dtype="bfloat16"), array(1.005, dtype="bfloat16"), None,
     "within_tolerance"),
    ("relative to the largest value", array(1000.0, 0.0), array(1000.0, 0.05), None, "within_tolerance"),
    ("a new NaN", array(1.0, 2.0), array(1.0, math.nan), None, "changed"),
    ("the same NaN", number(math.nan), number(math.nan), None, "bit_identical"),
    ("another shape", array(1.0), array(1.0, 1.0), None, "changed"),
    ("another type", array(1.0), array(1.0, dtype="float64"), None, "changed"),
    ("whole numbers are exact", exact(3), exact(4), None, "changed"),
    ("missing", array(1.0), {"k": "missing"}, None, "changed"),
    ("objects of one type", {"k": "opaque", "type": "Net"}, {"k": "opaque", "type": "Net"}, None, "bit_identical"),
    ("reproducible, so it counts", array(1.0), array(2.0), array(1.0), "changed"),
    ("nothing is reproducible", array(1.0), array(1.2), array(1.1), "within_noise"),
    ("nothing is, and far beyond the noise", array(1.0), array(9.0), array(1.1), "changed"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "again", "state"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_one_value(a: Any, b: Any, again: Any, state: str) -> None:
    assert compare({"x": a}, {"x": b}, None if again is None else {"x": again}, 1e-4).state == state


def test_noise_of_one_value_excuses_no_other() -> None:
    a = {"noisy": array(1.0, 5.0), "steady": number(1.0)}
    b = {"noisy": array(3.0, 7.0), "steady": number(1.5)}
    again = {"noisy": array(2.0, 6.0), "steady": number(1.0)}
    found = compare(a, b, again, 1e-4)
    assert (found.state, found.where, found.compared, found.left_out) == ("changed", "steady", 1, 1)


def test_within_an_array_only_what_is_reproducible_counts() -> None:
    again = array(1.0, 2.0, 3.0, 9.0)
    assert compare({"x": array(1.0, 2.0, 3.0, 4.0)}, {"x": array(1.0, 2.0, 3.0, 5.0)}, {"x": again}, 1e-4).state == (
        "within_tolerance"
    )
    assert compare({"x": array(1.0, 2.0, 3.0, 4.0)}, {"x": array(1.0, 2.0, 8.0, 5.0)}, {"x": again}, 1e-4).state == (
        "changed"
    )


def test_nothing_to_compare() -> None:
    assert compare({}, {}, None, 1e-4).state == "none"


def test_leaves_name_their_place() -> None:
    digest = {"k": "map", "n": 1, "v": {"a": {"k": "list", "n": 1, "v": [number(1.0)]}}}
    assert [name for name, _ in leaves("x", digest)] == ["x", "x['a']", "x['a'][0]"]


@pytest.mark.parametrize(
    ("a", "b", "again", "same"),
    [
        ("loss 1\n", "loss 1\n", None, True),
        ("loss 1\n", "loss 2\n", None, False),
        ("loss 1\nin 3 s\n", "loss 1\nin 4 s\n", "loss 1\nin 5 s\n", True),
        ("loss 1\nin 3 s\n", "loss 2\nin 4 s\n", "loss 1\nin 5 s\n", False),
        ("a\n", "a\nb\n", None, False),
        ("a\n", "a\nb\n", "a\nc\n", None),
        ("tensor([1.], grad_fn=<AddBackward0>)\n", "tensor([1.])\n", None, True),
        ("=== 1 passed in 0.05s ===\n", "==== 1 passed in 11.15s (0:00:11) ====\n", None, True),
        ("<Net at 0x7f1265735da0>\n", "<Net at 0x7f1265735db0>\n", None, True),
    ],
)
def test_output(a: str, b: str, again: str | None, same: bool | None) -> None:
    assert compare_output(a, b, again).same is same
