"""Confirm on a CUDA device: the allocator's figures and event timings.  python benchmarks/confirm/cuda.py OUT.json

Needs torch with CUDA and this repository, nothing else: it starts the child side of ``confirm`` itself and judges with
the tool's own code. What it leaves out: limits on memory and time, and watching for left-over processes.

Three parts: five models (saved bytes, peaks of the allocator, event timings), the wasteful example's own evaluation,
and the scenarios of the tests that make sense on a device, with the verdicts that they must get.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from nograd_lint.confirm.judge import figures, growth, judge, main_source  # noqa: E402
from nograd_lint.confirm.metrics import computed  # noqa: E402
from nograd_lint.confirm.results import RunResult, read  # noqa: E402
from nograd_lint.confirm.timing import judge_times  # noqa: E402

SCENARIOS = REPOSITORY / "tests" / "confirm" / "scenarios"
ON_DEVICE = "s01 s02 s03 s04 s05 s06 s07 s11 s12 s13 s14 s15 s18 s19 s21 s22 s23 s26 s27".split()
DEVICE = os.environ.get("NOGRAD_LINT_DEVICE", "cuda")

MODEL = """import sys
sys.path.insert(0, {models!r})
import torch
from models import make

model, x = make({name!r})
model, x = model.to({device!r}), x.to({device!r})
for _ in range(2):
    model(x)  # warm up: libraries allocate workspaces at their first use


def evaluate(batches):
    for _ in range(batches):
        y = model(x)  # begin, end


evaluate(3)
"""
WASTEFUL = """import sys
sys.path.insert(0, {fixture!r})
import torch
from data import CLASSES, make_loader
from evaluate import evaluate
from model import StripeNet

model = StripeNet().to({device!r})
loader = [(x.to({device!r}), y.to({device!r})) for x, y in make_loader(count=20 * 128, batch_size=128, seed=2)]
evaluate(model, loader, CLASSES)
"""
# Runs a scenario with all its tensors on the device; its file keeps its name, and so its probes.
PRELUDE = """import runpy, sys
import torch
torch.set_default_device({device!r})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def marked(path: Path) -> tuple[list[int], list[int]]:
    """The starts of the first and the last statement between ``# begin`` and ``# end``."""
    first: list[int] = []
    last: list[int] = []
    for row, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        here = [row, len(line) - len(line.lstrip())]
        if line.endswith(("# begin", "# begin, end")):
            first = here
        if first and here[1] == first[1] and line.strip():
            last = here
        if line.endswith(("# end", "# begin, end")):
            break
    return first, last


def run(
    name: str, program: Path, argv: list[str], target: Path, place: tuple[list[int], list[int]], kind: str, **more: Any
) -> RunResult:
    """One run of the program under the child side."""
    with tempfile.TemporaryDirectory() as directory:
        results, plan_file = Path(directory) / "results.jsonl", Path(directory) / "plan.json"
        plan = {
            "run": name, "root": str(target.parent), "samples": 3, "guard": more.pop("guard", "no_grad"), "seed": 0,
            "deterministic": True, "regions": [{"id": 0, "kind": kind, "enter": name == "B"}],
            "files": {str(target): {"regions": [{"id": 0, "first": place[0], "last": place[1]}]}},
            "results": str(results), "command": {"kind": "script", "value": str(program), "argv": argv}, **more,
        }  # fmt: skip
        plan_file.write_text(json.dumps(plan))
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "KINETO_LOG_LEVEL": "99", "PYTHONHASHSEED": "0"}
        env.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        boot = REPOSITORY / "nograd_lint" / "confirm" / "boot.py"
        begun = time.monotonic()
        process = subprocess.run(
            [sys.executable, str(boot), str(plan_file)], env=env, cwd=directory, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        result = RunResult(name, code=process.returncode, stdout=process.stdout, stderr=process.stderr)
        result.seconds = time.monotonic() - begun
        read(results, result)
    return result


def confirm(
    program: Path,
    argv: list[str],
    target: Path,
    place: tuple[list[int], list[int]],
    kind: str = "guard",
    guard: str = "no_grad",
    timed: bool = True,
) -> dict[str, Any]:
    """What the tool does for one region: runs A and B, a second A where they differ, and the timing run."""
    region: Any = SimpleNamespace(id=0, kind=SimpleNamespace(value=kind), problem=None)

    def one(name: str, **more: Any) -> RunResult:
        return run(name, program, argv, target, place, kind, guard=guard, **more)

    a, b = one("A"), one("B")
    again = None
    verdict = judge(region, a, b, None, 1e-4, alone=True)
    if verdict.reason == "fix_changes_results":
        again = one("A2")
        verdict = judge(region, a, b, again, 1e-4, alone=True)
    data, other = a.region(0), b.region(0)
    source = main_source(data)
    found: dict[str, Any] = {
        "verdict": verdict.verdict, "reason": verdict.reason, "why": verdict.why, "source": source,
        "A": figures(data, source), "B": figures(other, source), "growth": growth(data), "calls": data.calls,
        "per_call": [sample["saved_total"] for sample in data.full],
        "metrics": [(m.name, m.a, m.same) for m in computed(data.full, other.full)],
        "seconds": [round(a.seconds, 1), round(b.seconds, 1)],
    }  # fmt: skip
    if verdict.verdict == "error" or a.torch is None:
        found["stderr"] = a.stderr[-1500:]
    if timed and verdict.verdict == "confirmed" and kind == "guard":
        calls = sum(sample["module_calls"] for sample in data.full)
        first = data.full[0]["first_call"] if data.full else None
        plan: dict[str, Any] = {"regions": {"0": calls}}
        if first is not None:
            plan["estimates"] = {"0": {"inputs": first["inputs"], "sizes": [2 * first["inputs"][0][0][0]]}}
            found["first_call"] = {"inputs": first["inputs"], "saved": first.get("saved")}
        timing = one("timing", time=plan, threads=1)
        found["time"] = judge_times(timing.region(0).pairs, timing.region(0).unit)
        found["estimate"] = timing.region(0).estimate
    return found


def main() -> int:
    import torch

    out = Path(sys.argv[1] if len(sys.argv) > 1 else "cuda.json")
    if DEVICE == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here")
        return 2
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE
    result: dict[str, Any] = {"device": name, "torch": torch.__version__, "models": {}, "scenarios": {}}
    wrong = []

    def keep() -> None:
        out.write_text(json.dumps(result, indent=1, default=str) + "\n")

    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        for model in ("mlp", "cnn", "gpt", "lstm", "encoder"):
            program = here / f"{model}.py"
            program.write_text(MODEL.format(models=str(Path(__file__).parent), name=model, device=DEVICE))
            found = result["models"][model] = confirm(program, [], program, marked(program))
            tell(model, found)
            keep()
        fixture = REPOSITORY / "fixtures" / "wasteful"
        program = here / "wasteful.py"
        program.write_text(WASTEFUL.format(fixture=str(fixture), device=DEVICE))
        target = fixture / "evaluate.py"
        rows = [row for row, text in enumerate(target.read_text().splitlines(), 1) if "for pictures" in text]
        found = result["wasteful"] = confirm(program, [], target, ([rows[0], 4], [rows[0], 4]))
        tell("wasteful", found)
        keep()
        prelude = here / "prelude.py"
        prelude.write_text(PRELUDE.format(device=DEVICE))
        paths = [path for path in sorted(SCENARIOS.glob("s*.py")) if path.name[:3] in ON_DEVICE]
        with ThreadPoolExecutor(4) as pool:  # nothing is timed here
            for path, found in zip(paths, pool.map(lambda p: scenario(p, prelude), paths), strict=True):
                result["scenarios"][path.stem] = found
                told = f"{found['verdict']} {found['reason'] or ''}".strip()
                # Results need not be bit-identical on a device where they are on a CPU.
                if told.split()[0] != found["expected"].split()[0]:
                    wrong.append(path.stem)
                print(f"{path.stem:28} {told:32} expected {found['expected']}", flush=True)
                keep()
    result["wrong"] = wrong
    keep()
    print(f"written to {out}; verdicts that differ: {wrong or 'none'}")
    return int(bool(wrong))


def scenario(path: Path, prelude: Path) -> dict[str, Any]:
    text = path.read_text("utf-8")
    says = {line[2:].partition(":")[0]: line.partition(":")[2].strip() for line in text.splitlines()[:8]}
    kind = "train" if says.get("kind") == "train" else "guard"
    guard = "inference_mode" if "inference_mode" in says.get("options", "") else "no_grad"
    program, argv, target = prelude, [str(path)], path
    if path.stem.startswith("s01"):
        # The fast path is not taken under a default device, which is a torch-function mode.
        device = f", device={DEVICE!r})"
        for old in ("torch.randn(4, 10, 32)", "torch.zeros(4, 10, dtype=torch.bool)"):
            text = text.replace(old, old[:-1] + device)
        program, argv = prelude.with_name(path.name), []
        program.write_text(text.replace(".eval()", f".eval().to({DEVICE!r})"))
        target = program
    found = confirm(program, argv, target, marked(target), kind, guard, timed=False)
    return {**found, "expected": says["verdict"]}


def tell(name: str, found: dict[str, Any]) -> None:
    a, b, timing = found["A"], found["B"], found.get("time") or {}
    memory = "  ".join(f"{key} {a[key]} -> {b[key]}" for key in ("saved", "peak", "held"))
    times = " ".join(str(timing.get(key)) for key in ("ratio", "ci", "claim", "pairs", "unit"))
    print(f"{name:9} {found['verdict']} {found['reason']}  [{found['source']}]  {memory}  time {times}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
