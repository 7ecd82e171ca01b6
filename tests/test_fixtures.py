"""The example projects: what is reported for them, and that they really do what their comments say.

Every line of a fixture that must be reported says so itself (``# expect: NGL101``).
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from expectations import code_cells, expected

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
FILES = sorted(
    path.relative_to(FIXTURES).as_posix()
    for path in FIXTURES.rglob("*")
    if path.suffix in (".py", ".ipynb") and "__pycache__" not in path.parts
)

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


# --- what is reported ----------------------------------------------------------------------------------------------


def check(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "nograd_lint", "check", "--output-format", "json", "--no-cache", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def by_default() -> list[dict[str, Any]]:
    return check("fixtures")


def reported(diagnostics: list[dict[str, Any]], file: str) -> set[tuple[str, int | None, int]]:
    return {
        (found["code"], found["cell"], found["location"]["row"])
        for found in diagnostics
        if found["filename"] == f"fixtures/{file}"
    }


def wanted(file: str) -> set[tuple[str, int | None, int]]:
    path = FIXTURES / file
    if path.suffix == ".ipynb":
        return {(code, cell, row) for cell, source in code_cells(path) for code, row in expected(source)}
    return {(code, None, row) for code, row in expected(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("file", FILES)
def test_reported_by_default(file: str, by_default: list[dict[str, Any]]) -> None:
    assert reported(by_default, file) == wanted(file)


def test_a_fixture_alone_is_judged_like_all_together(by_default: list[dict[str, Any]]) -> None:
    alone = check("fixtures/project_wide/report.py", "fixtures/wasteful")
    for file in ("project_wide/report.py", "wasteful/evaluate.py", "wasteful/predict.py", "wasteful/throughput.py"):
        assert reported(alone, file) == reported(by_default, file)


def test_every_fixture_is_described() -> None:
    described = set(re.findall(r"^\| `(\w+)/`", (FIXTURES / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert described == {path.name for path in FIXTURES.iterdir() if path.is_dir()}


# --- what happens when they run ------------------------------------------------------------------------------------


def run(script: str, *, module: str = "torch") -> list[str]:
    """The lines that a script of the fixtures prints."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    return python([str(Path("fixtures") / script)])


def python(arguments: list[str], cwd: Path = ROOT) -> list[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def outcomes(lines: list[str]) -> dict[str, str]:
    """``name: what happened``, line for line."""
    return dict(line.split(": ", 1) for line in lines if ": " in line)


NO_GRAD_FN = "element 0 of tensors does not require grad and does not have a grad_fn"


def test_wasteful_prints_consistent_metrics() -> None:
    lines = run("wasteful/main.py")
    values = {line.split()[0]: [float(word) for word in line.split()[1:]] for line in lines[:4]}
    assert lines[4] == "confusion matrix (rows: truth, columns: predicted)"
    confusion = [[int(word) for word in line.split()] for line in lines[5:9]]
    total, classes = sum(map(sum, confusion)), range(4)
    hits = [confusion[i][i] for i in classes]
    assert total == 2560
    assert values["accuracy"] == [pytest.approx(sum(hits) / total, abs=1e-4)]
    assert values["precision"] == [pytest.approx(hits[i] / sum(row[i] for row in confusion), abs=1e-4) for i in classes]
    assert values["recall"] == [pytest.approx(hits[i] / sum(confusion[i]), abs=1e-4) for i in classes]
    assert values["accuracy"][0] > 0.8
    assert lines[9].startswith("truth")
    assert lines[10].startswith("predicted")


MEASURE = """
import contextlib, io, json, sys
import torch
from data import CLASSES, make_loader
from evaluate import evaluate, print_metrics
from model import StripeNet

held, curve = {}, []


class Saved:
    # What autograd keeps for backward: the handle lives as long as the node of the graph.
    def __init__(self, tensor):
        self.tensor = tensor if tensor.is_leaf else tensor.detach()
        storage = tensor.untyped_storage()
        self.key = storage.data_ptr()
        count, size = held.get(self.key, (0, storage.nbytes()))
        held[self.key] = (count + 1, size)

    def __del__(self):
        count, size = held.pop(self.key)
        if count > 1:
            held[self.key] = (count - 1, size)


class Watched:
    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        for batch in self.loader:
            yield batch
            curve.append(sum(size for _, size in held.values()))


guard = torch.no_grad() if sys.argv[1] == "guarded" else contextlib.nullcontext()
torch.manual_seed(0)
model = StripeNet()
printed = io.StringIO()
with guard, torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
    metrics = evaluate(model, Watched(make_loader(20 * 128, 128, seed=2)), CLASSES)
with contextlib.redirect_stdout(printed):
    print_metrics(metrics)
print(json.dumps({"curve": curve, "printed": printed.getvalue()}))
"""


@needs_torch
def test_wasteful_evaluation_grows_batch_by_batch_and_a_guard_changes_no_metric() -> None:
    as_is, guarded = (
        json.loads(python(["-c", MEASURE, mode], cwd=FIXTURES / "wasteful")[0]) for mode in ("as-is", "guarded")
    )
    assert guarded["printed"] == as_is["printed"]
    assert guarded["curve"] == [0] * 20
    curve = as_is["curve"]
    steps = [after - before for before, after in itertools.pairwise(curve)]
    assert min(steps) > 4 * 2**20  # every batch adds what its forward saved
    assert max(steps) - min(steps) < 0.01 * max(steps)  # the same each time
    assert 100 * 2**20 < curve[-1] < 300 * 2**20


def test_wasteful_throughput_runs() -> None:
    assert run("wasteful/throughput.py")[0].startswith("1024 pictures")


def test_validation_in_training_learns() -> None:
    lines = run("validation_in_training/main.py")
    accuracies = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("fit epoch")]
    assert len(accuracies) == 3
    assert accuracies[-1] > 0.8


def test_training_off_does_not_learn() -> None:
    found = outcomes(run("training_off/main.py"))
    for name in ("train_decorated", "train_forward_in_block", "train_under_callers_guard"):
        assert found[name].startswith(NO_GRAD_FN)
    for name in ("train_silenced", "train_rewrapped"):
        assert found[name].startswith("ran;")
    for name, outcome in found.items():
        before, after = re.findall(r"\d+\.\d+", outcome)
        assert (before == after) == (name != "train"), name


def test_frozen_backbone_stays_as_it_was() -> None:
    found = outcomes(run("frozen_backbone/main.py"))
    assert found.pop("Plain") == "backbone changed, head changed"
    assert set(found) == {"GuardedBackbone", "DetachedBackbone", "GuardedEncoder", "FrozenOnPurpose"}
    assert set(found.values()) == {"backbone unchanged, head changed"}


def test_leaking_generator_leaks() -> None:
    assert outcomes(run("leaking_generator/main.py")) == {
        "guarded by decorator": "8 steps",
        "guarded around yield": NO_GRAD_FN,
        "gradients on after two of them ran side by side": "False",
    }


def test_async_service_leaves_gradients_off() -> None:
    assert outcomes(run("async_service/main.py")) == {
        "classify agrees": "True",
        "embed tracks gradients": "True",
        "gradients on after overlapping requests": "False",
    }


def test_idle_guards_do_nothing() -> None:
    found = outcomes(run("idle_guards/main.py"))
    assert found.pop("guarded") == "not tracked"
    refused = {name for name, outcome in found.items() if outcome.startswith(("TypeError", "AttributeError"))}
    assert refused == {"not_called", "given_the_model", "above_staticmethod"}
    assert {outcome for name, outcome in found.items() if name not in refused} == {"tracked"}
    assert len(found) == 12


def test_correct_project_tracks_nothing_in_evaluation_and_learns_in_training() -> None:
    found = outcomes(run("correct/main.py"))
    assert "tracked" not in found.values()
    assert list(found.values()).count("not tracked") == 12
    assert float(found["in_a_block"].split()[1]) > 0.9
    assert found["gradients on"] == found["gradient of the head"] == found["closure"] == "True"
    assert found["average tracked"] == "False"


def test_threads_and_lazy_values_escape_the_guard() -> None:
    assert outcomes(run("threads/main.py")) == {
        "in_a_pool": "tracked",
        "in_a_thread": "tracked",
        "lazily": "tracked",
        "mapped": "tracked",
        "in_a_pool_guarded": "not tracked",
        "at_once": "not tracked",
    }


def test_project_wide_trains_with_gradients_on_only() -> None:
    lines = run("project_wide/main.py")
    losses = [float(value) for value in re.findall(r"loss (\d+\.\d+)", "\n".join(lines))]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert lines[-1] == f"retrained: {NO_GRAD_FN}"


def test_switch_at_import_stops_training() -> None:
    assert run("switch_at_import/main.py") == ["gradients on: False", NO_GRAD_FN]


def test_mode_switches_miss() -> None:
    found = outcomes(run("mode_switches/main.py"))
    assert found["stuck"] == "training mode at the end: False"
    assert found["only_named"] == found["assigned"] == "training mode: True"
    assert found["frozen_by_attribute"] == found["frozen_by_misspelling"] == "4 of 4 parameters still trainable"
    assert found["frozen"] == "2 of 4 parameters still trainable"


def test_lightning_like_runs() -> None:
    assert run("lightning_like/main.py", module="lightning")


@needs_torch
def test_notebook_runs() -> None:
    source = "\n".join(cell for _, cell in code_cells(FIXTURES / "notebook" / "analysis.ipynb"))
    lines = python(["-c", source])
    assert lines[1].endswith("tracked: True")
    assert lines[2] == "tracked: False"
