"""May the timing be believed?  python benchmarks/confirm/times.py [SERIES]

A/A: the same code against itself, at most one claim in twenty series. A/B: a model whose forward is at least 1.2 times
faster without gradients, at least seventeen claims in twenty. Every series is what ``confirm`` measures and judges: its
own timer, alternating call by call on one thread, and its own estimator.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nograd_lint.confirm.state import Run
from nograd_lint.confirm.timing import Timer, judge_times, ratio

HERE = Path(__file__).parent
CALLS = 128


class Recurrence(nn.Module):
    """Many small operations: what gradients cost is the book-keeping."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.rand(8)), nn.Parameter(torch.rand(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(60):
            x = x * self.a + self.b
        return x


def series(model: nn.Module, x: torch.Tensor, guard: Any, calls: int = CALLS) -> list[tuple[float, float]]:
    """The pairs of one region that calls the model so many times."""
    with tempfile.TemporaryDirectory() as directory:
        plan = {
            "run": "timing", "samples": 3, "results": str(Path(directory) / "out.jsonl"), "root": directory,
            "regions": [{"id": 0, "kind": "guard", "enter": False}], "time": {"regions": {"0": calls}},
        }  # fmt: skip
        run = Run(plan)
        timer = Timer(run, guard)
        timer.enter(run.regions[0])
        for _ in range(calls):
            model(x)
        pairs = list(timer.pairs(0))
        timer.leave(run.regions[0])
    return pairs


def main() -> int:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    model, x = Recurrence().eval(), torch.randn(8)
    true = ratio(series(model, x, torch.no_grad, 2000))
    print(f"true ratio, from 2000 calls: {true:.3f}")
    result: dict[str, Any] = {"true_ratio": round(true, 3), "calls": CALLS}
    for name, guard in (("A/A", contextlib.nullcontext), ("A/B", torch.no_grad)):
        judged = [judge_times(series(model, x, guard), "cpu") for _ in range(count)]
        claims = [one["claim"] for one in judged if one["claim"] in ("faster", "slower")]
        result[name] = {"series": count, "claims": len(claims), "ratios": [one["ratio"] for one in judged]}
        print(f"{name}: {len(claims)} claims in {count} series; ratios {sorted(result[name]['ratios'])}")
    (HERE / "times.json").write_text(json.dumps(result, indent=1) + "\n")
    good = true >= 1.2 and result["A/A"]["claims"] <= count / 20 and result["A/B"]["claims"] >= 0.85 * count
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
