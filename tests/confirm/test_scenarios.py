"""Whole programs, run with real torch: the verdict, its reason, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from scenario import Scenario, scenarios

from nograd_lint.confirm.judge import growth


@pytest.mark.torch
@pytest.mark.parametrize(
    "scenario", [pytest.param(s, id=s.name, marks=[pytest.mark.slow] if s.slow else []) for s in scenarios()]
)
def test_scenario(scenario: Scenario, place: Path) -> None:
    finding, outcome = scenario.run(place)
    verdict = finding.verdict
    told = f"{verdict.verdict} {verdict.reason or ''}".strip()
    assert told == scenario.says("verdict"), verdict.why
    assert (scenario.says("why") or "") in verdict.why
    a = outcome.runs.get("A")
    data = a.region(finding.region.id) if a is not None else None
    if (calls := scenario.says("calls")) is not None:
        assert data is not None
        assert data.calls == int(calls)
    if (grows := scenario.says("grows")) is not None:
        assert data is not None
        assert growth(data)[0] == int(grows)
    if (code := scenario.says("code")) is not None:
        assert {run.code for run in outcome.runs.values()} == {int(code)}
    if (note := scenario.says("note")) is not None:
        assert any(note in told for told in verdict.notes)
        assert not [p for p in psutil.process_iter(["cmdline"]) if note in " ".join(p.info["cmdline"] or [])]
    assert sorted(path.name for path in place.rglob("*")) == ["program.py"]
