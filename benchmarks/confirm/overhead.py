"""What a call of a region costs that is only counted.  python benchmarks/confirm/overhead.py"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from nograd_lint.confirm.probe import Probes
from nograd_lint.confirm.state import Run

HERE = Path(__file__).parent
CALLS = 20_000
ALLOWED = 20.0  # microseconds


def cost(enter: bool) -> float:
    """Microseconds per call, above those of the loop."""
    with tempfile.TemporaryDirectory() as directory:
        plan = {
            "run": "A", "samples": 0, "results": str(Path(directory) / "out.jsonl"), "root": directory,
            "guard": "no_grad", "regions": [{"id": 0, "kind": "guard", "enter": enter}],
        }  # fmt: skip
        run = Run(plan)
        probes = Probes(run)
        run.regions[0].calls = 2**20  # no power of two comes up in the loop
        begun = time.process_time()
        for _ in range(CALLS):
            with probes.probe(0, ("x",)):
                pass
        return (time.process_time() - begun) / CALLS * 1e6


def main() -> int:
    result = {name: round(min(cost(enter) for _ in range(5)), 2) for name, enter in (("A", False), ("B", True))}
    print(f"per call: run A {result['A']} us, run B {result['B']} us; allowed {ALLOWED:.0f} us")
    (HERE / "overhead.json").write_text(json.dumps(result) + "\n")
    return int(max(result.values()) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
