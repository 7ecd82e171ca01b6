"""The command itself, with the real engine, over an example project."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from nograd_lint.cachedir import NAME
from nograd_lint.confirm import store

FIXTURES = Path(__file__).parents[2] / "fixtures"
PROGRAM = """import torch
from torch import nn

model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))


def evaluate(model, loader):
    model.eval()
    hits = 0
    for x, y in loader:
        hits += (model(x).argmax(dim=1) == y).sum().item()
    return hits


print("hits", evaluate(model, [(torch.randn(16, 32), torch.zeros(16))] * 3))
"""


def nograd_lint(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nograd_lint", *words], cwd=root, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "example"\nversion = "0"\n')
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


@pytest.mark.torch
def test_a_diagnostic_is_confirmed_and_remembered(project: Path) -> None:
    result = nograd_lint(
        project, "confirm", "--yes", "--no-time", "--json", "out.json", "--html", "out.html", "--", sys.executable,
        "program.py",
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert "program.py:10" in result.stdout
    assert "CONFIRMED  results are bit-identical" in result.stdout
    assert "\nhits " in result.stderr  # what the program itself prints
    assert "runs your program two to four times" in result.stderr
    content = json.loads((project / "out.json").read_text())
    schema = json.loads(files("nograd_lint.confirm").joinpath("schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(content)
    [entry] = content["results"]
    assert entry["fix"]["equals_run_b"] is True
    assert entry["saved_total"] == {"A": 3 * 16 * 64 * 4, "B": 0}
    assert [(metric["name"], metric["same"]) for metric in content["metrics"]] == [("hits", True)]
    assert (project / "out.html").read_text().startswith("<!DOCTYPE html>")
    measured = store.load(project)
    assert list(measured) == [entry["fingerprint"]]
    assert measured[entry["fingerprint"]]["saved"] == {"A": entry["saved"]["A"], "B": 0}


@pytest.mark.torch
def test_json_to_stdout_and_nothing_else(project: Path) -> None:
    words = (
        "confirm",
        "program.py:10",
        "--yes",
        "--no-time",
        "--no-cache",
        "--json",
        "-",
        "--",
        sys.executable,
        "program.py",
    )
    result = nograd_lint(project, *words)
    assert json.loads(result.stdout)["results"][0]["verdict"] == "confirmed"
    assert not (project / NAME).exists()


@pytest.mark.torch
def test_entry_points_of_the_configuration(project: Path) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write('[[tool.nograd-lint.confirm.target]]\nfactory = "entry:make"\nfile = "program.py"\n')
    (project / "entry.py").write_text("def make():\n    import program\n    return lambda: None\n")
    result = nograd_lint(project, "confirm", "--yes", "--no-time", "--python", sys.executable)
    assert result.returncode == 1, result.stderr
    assert "CONFIRMED" in result.stdout


def test_nothing_to_confirm(project: Path) -> None:
    (project / "program.py").write_text("print(1)\n")
    result = nograd_lint(project, "confirm", "--yes", "--", sys.executable, "program.py")
    assert (result.returncode, result.stdout) == (0, "")
    assert "Nothing to confirm" in result.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "no command to run"),
        (("--", "torchrun", "program.py"), "several processes"),
        (("--", "make"), "cannot tell which Python program"),
        (("program.py:1", "--", "python", "program.py"), "there is no diagnostic at program.py:1"),
        (("NGL999", "--", "python", "program.py"), "there is no rule NGL999"),
        (("nowhere.py", "--", "python", "program.py"), "nowhere.py"),
        (("--mem-limit", "much", "--", "python", "program.py"), "no amount of memory"),
    ],
)
def test_usage_errors(project: Path, words: tuple[str, ...], why: str) -> None:
    result = nograd_lint(project, "confirm", "--yes", *words)
    assert result.returncode == 2
    assert why in result.stderr


def test_codes_choose_diagnostics(project: Path) -> None:
    result = nograd_lint(project, "confirm", "NGL2", "--yes", "--", sys.executable, "program.py")
    assert (result.returncode, "Nothing to confirm" in result.stderr) == (0, True)


@pytest.mark.torch
@pytest.mark.slow
def test_the_wasteful_example(tmp_path: Path) -> None:
    project = tmp_path / "wasteful"
    shutil.copytree(FIXTURES / "wasteful", project)
    result = nograd_lint(project, "confirm", "--yes", "--json", "out.json", "--", sys.executable, "main.py")
    assert result.returncode == 1, result.stderr
    content = json.loads((project / "out.json").read_text())
    by_file = {entry["filename"]: entry for entry in content["results"]}
    evaluation = by_file["evaluate.py"]
    assert evaluation["verdict"] == "confirmed"
    # 20 batches of 128: four activations of 16 x 16 x 16, the pooled ones, the loss, its targets' logits.
    per_batch = 128 * (4 * 16 * 16 * 16 + 64) * 4
    assert evaluation["saved"]["A"] >= 20 * per_batch
    assert evaluation["saved"]["B"] == 0
    assert [metric["name"] for metric in content["metrics"]][:4] == ["loss", "accuracy", "precision", "recall"]
    assert all(metric["same"] for metric in content["metrics"])
    assert by_file["throughput.py"]["verdict"] == "not_reached"
