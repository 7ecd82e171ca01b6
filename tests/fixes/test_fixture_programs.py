"""The example projects run with real torch, are fixed, and run again.

Evaluation gives the same results, and autograd saves nothing in it any more; training that learnt nothing learns.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from fix_helpers import Line, line_key

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Diagnostic
from nograd_lint.engine import Engine
from nograd_lint.fixes.apply import FixReport, apply_fixes
from nograd_lint.rules._base import Kind
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIXTURES = ROOT / "fixtures"
NO_GRAD_FN = "element 0 of tensors does not require grad and does not have a grad_fn"
# Nothing in them can be fixed, or (hugging_face_like) they load checkpoints.
LEFT_OUT = {"correct", "switch_at_import", "hugging_face_like"}

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


class Ran(NamedTuple):
    lines: list[str]
    saved: Counter[Line]  # bytes, under each line of the project

    @property
    def outcomes(self) -> dict[str, str]:
        """``name: what happened``, line for line."""
        return dict(line.split(": ", 1) for line in self.lines if ": " in line)


class Both(NamedTuple):
    before: Ran
    after: Ran
    report: FixReport
    regions: dict[str, set[Line]]  # of each fixed diagnostic of a rule about evaluation: the lines of its region


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Both]:
    def both(name: str, script: str = "main.py") -> Both:
        project = tmp_path / name
        shutil.copytree(FIXTURES / name, project, ignore=shutil.ignore_patterns("__pycache__"))
        before = program(project, script)
        resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
        engine = Engine(Settings(), project, resolver=resolver, use_cache=False)
        files = sorted(path for path in project.rglob("*") if path.suffix in (".py", ".ipynb"))
        found = engine.check(files)
        regions = {d.fingerprint: set(lines(project, d)) for result in found for d in result.diagnostics if measured(d)}
        report = apply_fixes(engine, found, unsafe=True)
        assert not report.reverted
        fixed = {d.fingerprint for file in report.files for d in file.fixed}
        after = program(project, script)
        return Both(before, after, report, {k: v for k, v in regions.items() if k in fixed})

    return both


def measured(diagnostic: Diagnostic) -> bool:
    return all_rules()[diagnostic.code].kind is Kind.GUARD and diagnostic.cell is None


def lines(project: Path, diagnostic: Diagnostic) -> Iterator[Line]:
    source = (project / diagnostic.filename).read_text(encoding="utf-8").splitlines()
    function = diagnostic.function.rpartition(".")[2]
    for row in range(diagnostic.region.start.row, diagnostic.region.end.row + 1):
        yield line_key(diagnostic.filename, function, source[row - 1])


def program(project: Path, script: str) -> Ran:
    path = project / script
    if path.suffix == ".ipynb":
        cells = [c["source"] for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        path = path.with_suffix(".run")
        path.write_text("\n".join(re.sub(r"(?m)^[%!].*", "", "".join(cell)) for cell in cells), encoding="utf-8")
    account = project / "account.json"
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, HERE / "accounted.py", path, account],
        cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = Counter({(file, function, text): size for file, function, text, size in json.loads(account.read_text())})
    return Ran(done.stdout.splitlines(), saved)


def nothing_saved(both: Both) -> None:
    """Every region that was fixed had autograd save something, and has no more."""
    assert both.regions
    for region in both.regions.values():
        assert sum(both.before.saved[line] for line in region) > 0, region
        assert sum(both.after.saved[line] for line in region) == 0, region


def test_every_fixture_has_its_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    tested = set(re.findall(r'\brun\("(\w+)"', text))
    assert tested | LEFT_OUT == {path.name for path in FIXTURES.iterdir() if path.is_dir()}
    assert not tested & LEFT_OUT


def test_wasteful(run: Callable[..., Both]) -> None:
    both = run("wasteful")
    assert both.after.lines == both.before.lines  # accuracy, precision, recall, the confusion matrix, the predictions
    assert both.report.count == 3
    both.regions.pop(
        next(k for k, region in both.regions.items() if any(file == "throughput.py" for file, *_ in region))
    )
    nothing_saved(both)


def test_wasteful_throughput(run: Callable[..., Both]) -> None:
    both = run("wasteful", "throughput.py")
    (before,), (after,) = both.before.lines, both.after.lines
    assert before.split(",")[0] == after.split(",")[0] == "1024 pictures"
    assert sum(both.before.saved.values()) > 0
    assert sum(both.after.saved.values()) == 0


def test_validation_in_training(run: Callable[..., Both]) -> None:
    both = run("validation_in_training")
    assert both.after.lines == both.before.lines  # losses and accuracies of training and validation alike
    assert both.report.count == 4
    shared = [
        k for k, region in both.regions.items() if any("fit_by_phase" in line or "run_epoch" in line for line in region)
    ]
    assert len(shared) == 2
    for fingerprint in shared:
        region = both.regions.pop(fingerprint)
        # Training runs the same lines, and still needs what it saves there.
        before, after = (sum(ran.saved[line] for line in region) for ran in (both.before, both.after))
        assert 0 < after < before
    calls = {
        line: size for line, size in both.before.saved.items() if line[2] == "val_loss = run_epoch(model, val_loader)"
    }
    assert calls
    assert not any(both.after.saved[line] for line in calls)
    nothing_saved(both)


def test_training_off_learns(run: Callable[..., Both]) -> None:
    both = run("training_off")
    assert len(both.after.outcomes) == 6
    for name, outcome in both.after.outcomes.items():
        first, last = map(float, re.findall(r"\d+\.\d+", outcome))
        assert outcome.startswith("ran;"), name
        assert last < 0.8 * first, name
    # One that was right already shows what all the others now do.
    assert set(both.after.outcomes.values()) == {both.before.outcomes["train"]}


def test_frozen_backbone_is_trained(run: Callable[..., Both]) -> None:
    both = run("frozen_backbone")
    changed = {name: outcome.startswith("backbone changed") for name, outcome in both.after.outcomes.items()}
    # What is detached in so many words is reported, but left to the author.
    assert changed == {
        "GuardedBackbone": True,
        "DetachedBackbone": False,
        "GuardedEncoder": True,
        "FrozenOnPurpose": False,
        "Plain": True,
    }


def test_leaking_generator_no_longer_leaks(run: Callable[..., Both]) -> None:
    both = run("leaking_generator")
    assert both.before.outcomes["guarded around yield"] == NO_GRAD_FN
    assert both.after.outcomes == {
        "guarded by decorator": "8 steps",
        "guarded around yield": "8 steps",
        "gradients on after two of them ran side by side": "True",
    }


def test_async_service(run: Callable[..., Both]) -> None:
    assert run("async_service").after.outcomes == {
        "classify agrees": "True",
        "embed tracks gradients": "False",
        "gradients on after overlapping requests": "True",
    }


def test_idle_guards_work(run: Callable[..., Both]) -> None:
    both = run("idle_guards")
    assert set(both.after.outcomes) == set(both.before.outcomes)
    assert set(both.after.outcomes.values()) == {"not tracked"}
    assert sum(both.before.saved.values()) > 0
    assert sum(both.after.saved.values()) == 0


def test_threads(run: Callable[..., Both]) -> None:
    both = run("threads")
    # The function that runs in the pool is defined elsewhere, and may have other callers.
    assert {name for name, outcome in both.after.outcomes.items() if outcome == "tracked"} == {"in_a_pool"}
    assert {name for name, outcome in both.before.outcomes.items() if outcome == "tracked"} == {
        "in_a_pool", "in_a_thread", "lazily", "mapped"
    }  # fmt: skip


def test_mode_switches(run: Callable[..., Both]) -> None:
    outcomes = run("mode_switches").after.outcomes
    assert outcomes["only_named"] == outcomes["assigned"] == "training mode: False"
    assert outcomes["frozen_by_attribute"] == outcomes["frozen"] == "2 of 4 parameters still trainable"
    assert outcomes["frozen_by_misspelling"] == "0 of 4 parameters still trainable"


def test_project_wide(run: Callable[..., Both]) -> None:
    both = run("project_wide")
    assert both.after.lines[:-1] == both.before.lines[:-1]
    assert both.before.outcomes["retrained"] == NO_GRAD_FN
    # Training goes on now, from where the last report found the model.
    reported = float(next(line for line in both.before.lines if line.startswith("mean error")).split()[-1])
    assert float(both.after.outcomes["retrained"]) < reported
    nothing_saved(both)


def test_notebook(run: Callable[..., Both]) -> None:
    both = run("notebook", "analysis.ipynb")
    assert [line.replace("True", "False") for line in both.before.lines] == both.after.lines
    kept = [line for line in both.before.saved if line[2] == "kept.append(network(batch))"]
    assert kept
    assert not any(both.after.saved[line] for line in kept)


def test_lightning_like(run: Callable[..., Both]) -> None:
    pytest.importorskip("lightning")
    both = run("lightning_like")
    # What the project prints itself; the trainer tells the time.
    printed = [[line for line in ran.lines if line.startswith("at the origin")] for ran in (both.before, both.after)]
    assert printed[0] == printed[1] != []
    assert both.after.lines[-1] == both.before.lines[-1]
    nothing_saved(both)
