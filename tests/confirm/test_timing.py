"""What may be said about times, from made-up times."""

from __future__ import annotations

import random

import pytest

from nograd_lint.confirm.timing import _Timed, interval, judge_times, ratio


def pairs(true: float, count: int, seed: int, noise: float = 0.05) -> list[tuple[float, float]]:
    """Call times with what a busy machine adds: spikes, and a mood that lasts over several calls."""
    source = random.Random(seed)
    mood, found = 1.0, []
    for _ in range(count):
        if source.random() < 0.1:
            mood = source.uniform(1.0, 1.3)
        a, b = (mood * (1 + abs(source.gauss(0, noise))) * (5 if source.random() < 0.03 else 1) for _ in "ab")
        found.append((a * true, b))
    return found


class Model:
    pass


class Loss:
    pass


def test_the_time_is_that_of_the_modules_where_it_goes() -> None:
    timed = _Timed(30)
    timed.pairs_of(Loss()).extend([(0.001, 0.001)] * 20)
    timed.pairs_of(Model()).extend([(0.1, 0.08)] * 10)
    assert timed.pairs == [(0.1, 0.08)] * 10


def test_the_same_code_is_not_faster_than_itself() -> None:
    claims = [judge_times(pairs(1.0, 64, seed), "cpu")["claim"] for seed in range(40)]
    assert claims.count("faster") + claims.count("slower") <= 2


def test_a_true_difference_is_found_with_its_direction() -> None:
    assert [judge_times(pairs(1.25, 64, seed), "cpu")["claim"] for seed in range(20)].count("faster") >= 17
    assert [judge_times(pairs(0.8, 64, seed), "cpu")["claim"] for seed in range(20)].count("slower") >= 17


def test_a_difference_below_the_dead_band_is_none() -> None:
    quiet = [(1.01, 1.0)] * 64
    found = judge_times(quiet, "cpu")
    assert (found["claim"], found["ratio"], found["ci"]) == ("no measurable difference", 1.01, [1.01, 1.01])


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_few_pairs_say_nothing(count: int) -> None:
    assert judge_times(pairs(2.0, count, 0), "cpu") == {
        "pairs": count, "unit": "cpu", "ratio": None, "ci": None, "claim": "not timed",
    }  # fmt: skip


def test_the_interval_holds_the_ratio_and_is_reproducible() -> None:
    measured = pairs(1.1, 40, 3)
    low, high = interval(measured)
    assert low <= ratio(measured) <= high
    assert (low, high) == interval(measured)
