"""Every verdict with its reason, from made-up runs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from made_up import NOTHING, REGION, TRAIN, WORKS, counts, quiet, run, sample, trained

from nograd_lint.confirm.judge import growth, judge, main_source
from nograd_lint.confirm.plan import Region
from nograd_lint.confirm.results import RegionData, RunResult


def told(region: Region, a: RunResult, b: RunResult | None, again: RunResult | None = None) -> str:
    verdict = judge(region, a, b, again, 1e-4, alone=True)
    assert verdict.why
    return f"{verdict.verdict} {verdict.reason}"


B = run("B", region=quiet())
GUARD = [
    ("equal", run(), B, "confirmed bit_identical"),
    ("close", run(), run("B", region=quiet(value=1.00001)), "confirmed within_tolerance"),
    ("other results", run(), run("B", region=quiet(value=2.0)), "refuted fix_changes_results"),
    ("other output", run(stdout="a"), run("B", region=quiet(), stdout="b"), "refuted fix_changes_results"),
    ("guarded caller", run(region={"modes": {"disabled": 1}}), B, "refuted already_off"),
    ("inference mode outside", run(region={"modes": {"inference": 1}}), B, "refuted already_off"),
    ("some calls guarded", run(region={"modes": {"enabled": 1, "disabled": 4}}), B, "confirmed bit_identical"),
    ("nothing saved", run(region=quiet()), B, "refuted nothing_saved"),
    ("tensors stashed out of sight", run(region={"samples": [sample(saved_total=0, held={"profiler": 9000})]}), B,
     "confirmed bit_identical"),
    ("graph used", run(region={"read": 3}), B, "refuted graph_used"),
    ("fails with the guard", run(), run("B", exception="RuntimeError: x"), "refuted fix_unsafe"),
    ("another exit code", run(), run("B", code=1), "refuted fix_unsafe"),
    ("not called", run(calls=0), None, "not_reached None"),
    ("no torch", run(calls=0, torch=None), None, "not_reached None"),
    ("fails before", run(calls=0, exception="ValueError: x", code=1), None, "error program_fails"),
    ("fails after", run(exception="ValueError: x", code=1), None, "error program_fails"),
    ("killed by a signal", run(code=-11), None, "error program_fails"),
    ("does not start", run(calls=0, started=False, code=1), None, "error program_fails"),
    ("graph used until the time limit", run(stopped="timeout", region={"read": 3}), None, "refuted graph_used"),
    ("time limit", run(stopped="timeout"), None, "error timeout"),
    ("memory limit", run(stopped="memory"), None, "error memory_limit"),
    ("compiled", run(region={"compiled": True}), None, "error not_measurable"),
    ("threads", run(region={"other_threads": 2, "samples": [sample(saved_total=0, packs=0, module_calls=0)]}), B,
     "error not_measurable"),
    ("its own hooks", run(region={"samples": [sample(saved_total=0, packs=0, own_hooks=True)]}), B,
     "error not_measurable"),
    ("transforms", run(exception="RuntimeError: saved tensor hooks ..."), None, "error not_measurable"),
    ("run B goes elsewhere", run(), run("B", calls=0), "error b_not_reached"),
    ("run B hangs", run(), run("B", stopped="timeout"), "error b_not_reached"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "verdict"), [row[1:] for row in GUARD], ids=[row[0] for row in GUARD])
def test_guards(a: RunResult, b: RunResult | None, verdict: str) -> None:
    assert told(REGION, a, b) == verdict


def test_what_cannot_be_reproduced_is_no_change() -> None:
    a, again = run(), run("A2", region={"samples": [sample(value=1.4)]})
    assert told(REGION, a, run("B", region=quiet(value=1.2)), again) == "confirmed within_noise"


def test_a_problem_of_the_region_comes_first() -> None:
    assert told(msgspec.structs.replace(REGION, problem="yield"), run(), B) == "error not_measurable"


def test_output_that_differs_is_blamed_on_a_lone_guard_only() -> None:
    a, b = run(stdout="a"), run("B", region=quiet(), stdout="b")
    assert judge(REGION, a, b, None, 1e-4, alone=False).verdict == "confirmed"


def test_a_failure_that_may_be_why_the_region_is_not_reached_is_told() -> None:
    assert judge(REGION, run(calls=0, code=2), None, None, 1e-4, alone=True).why.endswith(
        "exit code 2, which may be why"
    )


def test_the_fast_path_is_named() -> None:
    a = run(region={"samples": [sample(sites=[["m.py", 3, "layers.0 (TransformerEncoderLayer)", 9]])]})
    assert "fast path" in judge(REGION, a, run("B", region=quiet(value=2.0)), None, 1e-4, alone=True).why


TRAINING = [
    ("raises", trained(errors=["backward: element 0 of tensors does not require grad"]), "confirmed backward_raises"),
    ("no gradient", trained(NOTHING), "confirmed no_gradient"),
    ("no gradient in the step after", trained(None, NOTHING), "confirmed no_gradient"),
    ("works", trained(WORKS), "refuted gradients_flow"),
    ("works in the step after", trained(None, WORKS), "refuted gradients_flow"),
    ("the region's own steps count", trained(NOTHING, WORKS), "confirmed no_gradient"),
    ("by hand", trained(manual=4), "refuted gradients_flow"),
    ("a gradient and no step", trained(counts(backward=1)), "refuted gradients_flow"),
    ("neither", trained(), "not_reached None"),
]


@pytest.mark.parametrize(("data", "verdict"), [row[1:] for row in TRAINING], ids=[row[0] for row in TRAINING])
def test_training(data: dict[str, Any], verdict: str) -> None:
    assert told(TRAIN, run(region=data), None) == verdict


def test_what_gradients_would_do_is_told() -> None:
    why = judge(TRAIN, run(region=trained(NOTHING)), run("B", region=trained(WORKS)), None, 1e-4, alone=True).why
    assert why.endswith("with gradients enabled 6 of 6 get one and 6 change")


def test_growth() -> None:
    calls = [sample(call=n, kept=max(0, n - 2) * 10, after_call=[5, 9, 13, 17]) for n in (1, 2, 3, 4)]
    assert growth(RegionData(samples=calls)) == (10.0, 4.0)
    assert growth(RegionData(samples=calls[:3])) == (10.0, 4.0)
    assert growth(RegionData(samples=calls[:2])) == (None, 4.0)  # a variable may hold what the first call returned


def test_the_device_that_allocates_most_tells_the_story() -> None:
    assert main_source(RegionData(samples=[sample(peak={"profiler": 10, "cuda": 900})])) == "cuda"
    assert main_source(RegionData(samples=[sample(peak={"profiler": 10, "cuda": 0})])) == "profiler"
