"""Are the reported peaks the allocator's own?  python benchmarks/confirm/peaks.py

Each model runs twice: under ``confirm``, and in a process whose allocator is counted by a preloaded library (Linux and
gcc only). The peaks must agree within 1 %.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
PROGRAM = """import sys
sys.path.insert(0, {here!r})
from models import make

model, x = make({name!r})
model(x)
y = model(x)
y = None
y = model(x)
"""
TOLERANCE = 0.01


def truth(name: str, guard: str) -> int:
    """Runs with the preloaded library: the peak of one forward above what there was before."""
    import torch
    from models import make

    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    for function in (library.shim_current, library.shim_peak):
        function.restype = ctypes.c_longlong
    model, x = make(name)
    with torch.no_grad() if guard == "no_grad" else torch.enable_grad():
        model(x)
        base = library.shim_current()
        library.shim_reset()
        y = model(x)
        peak = library.shim_peak() - base
    del y
    return int(peak)


def confirmed(name: str) -> tuple[int, int]:
    """The peaks that confirm reports for the last line of the program."""
    from nograd_lint.confirm.command import parse
    from nograd_lint.confirm.judge import figures
    from nograd_lint.confirm.plan import plan
    from nograd_lint.confirm.runner import Limits
    from nograd_lint.confirm.session import Confirmation, Options
    from nograd_lint.diagnostics import Confidence, Diagnostic, Position, Severity, Span
    from nograd_lint.rules._base import Kind

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        text = PROGRAM.format(here=str(HERE), name=name)
        (root / "program.py").write_text(text)
        row = len(text.splitlines())
        span = Span(Position(row, 1), Position(row, 13))
        found = Diagnostic("NGL103", "", "", Severity.WARNING, Confidence.HIGH, "program.py", "<module>", span, span)
        regions = plan([found], {"NGL103": Kind.GUARD}, root)
        command = parse([sys.executable, str(root / "program.py")])
        options = Options(time=False, tolerance=1e-3)
        outcome = Confirmation(regions, root, command, options, Limits(300, 2**40)).confirm()
    [finding] = outcome.findings
    assert finding.verdict.verdict == "confirmed", finding.verdict
    assert finding.b is not None
    a, b = (figures(run.region(0), "profiler")["peak"] for run in (outcome.runs["A"], finding.b))
    return a, b


def main() -> int:
    from models import MODELS

    if len(sys.argv) > 1:
        print(truth(*sys.argv[1:]))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / "shim.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(HERE / "shim.c"), "-ldl"], check=True)
        env = {**os.environ, "LD_PRELOAD": str(library)}
        rows = []
        for name in MODELS:
            for guard, peak in zip(("none", "no_grad"), confirmed(name), strict=True):
                argv = [sys.executable, __file__, name, guard]
                counted = int(subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout)
                rows.append({"model": name, "guard": guard, "confirm": peak, "allocator": counted})
                apart = peak / counted - 1
                print(f"{name:8} {guard:8} confirm {peak:>11,}  allocator {counted:>11,}  {apart:+.2%}", flush=True)
    (HERE / "peaks.json").write_text(json.dumps(rows, indent=1) + "\n")
    worst = max(abs(row["confirm"] / row["allocator"] - 1) for row in rows)
    print(f"worst {worst:.2%}, allowed {TOLERANCE:.0%}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
