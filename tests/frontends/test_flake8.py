"""The flake8 plugin, in the real flake8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nograd_lint.rules import registry

from .conftest import EVALUATE

pytest.importorskip("flake8")

MESSAGE = "NGL101 `evaluate` evaluates `model(...)` with gradient tracking on"


def flake8(cwd: Path, *args: str, stdin: bytes | None = None, code: int = 1) -> str:
    """What flake8 prints; it exits with 1 where it reports something."""
    done = subprocess.run(
        [sys.executable, "-m", "flake8", *args],
        cwd=cwd, input=stdin, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def test_flake8_lists_the_plugin(tmp_path: Path) -> None:
    assert "nograd-lint: " in flake8(tmp_path, "--version", code=0)


def test_it_reports_without_being_selected(project: Path) -> None:
    assert flake8(project) == f"./evaluate.py:8:18: {MESSAGE}\n"


def test_columns_count_code_points(project: Path) -> None:
    (project / "evaluate.py").write_text(EVALUATE.replace("output = model", "_ = '😀ä'; output = model"))
    assert flake8(project, "--select=NGL") == f"./evaluate.py:8:28: {MESSAGE}\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_encodings(project: Path, encoding: str) -> None:
    cookie = "# coding: latin-1\n" if encoding == "latin-1" else "#\n"
    text = cookie + EVALUATE.replace("output = model", "_ = 'ä'; output = model")
    (project / "evaluate.py").write_text(text, encoding=encoding)
    assert flake8(project, "--select=NGL") == f"./evaluate.py:9:27: {MESSAGE}\n"
    assert flake8(project, "--select=NGL", "-", stdin=text.encode(encoding)) == f"stdin:9:27: {MESSAGE}\n"


def test_noqa_is_flake8s_business(project: Path) -> None:
    marked = EVALUATE.replace("model(x)", "model(x)  # noqa: NGL101")
    (project / "evaluate.py").write_text(marked)
    assert flake8(project, code=0) == ""
    assert MESSAGE in flake8(project, "--disable-noqa")
    assert MESSAGE in flake8(project, "--disable-noqa", "-", stdin=marked.encode())


def test_our_own_comments_count_as_well(project: Path) -> None:
    (project / "evaluate.py").write_text(EVALUATE.replace("model(x)", "model(x)  # nograd: ignore[NGL101] a reason"))
    assert flake8(project, code=0) == ""
    assert flake8(project, "--disable-noqa", code=0) == ""


def test_an_unused_suppression_is_not_reported(project: Path) -> None:
    (project / "clean.py").write_text("import torch  # noqa: F401, NGL101\nx = 1  # nograd: ignore[NGL101]\n")
    assert "clean.py" not in flake8(project)


GUARD_IN_GUARD = """\
import torch


def predict(model, x):
    with torch.no_grad():
        with torch.no_grad():
            return model(x)
"""


@pytest.mark.skipif(registry.find("NGL502") is None, reason="NGL502 is not there yet")
def test_rules_that_are_off_have_to_be_asked_for(project: Path) -> None:
    (project / "evaluate.py").write_text(GUARD_IN_GUARD)
    assert "NGL502" in flake8(project, "--extend-select=NGL502")
    assert "NGL502" in flake8(project, "--select=E,NGL")
    assert flake8(project, code=0) == ""
    assert flake8(project, "--ignore=E501", code=0) == ""


def test_flake8_selects_and_ignores(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.nograd-lint]\nignore = ["NGL101"]\n')
    assert MESSAGE in flake8(project)
    assert flake8(project, "--extend-ignore=NGL1", code=0) == ""
    assert flake8(project, "--per-file-ignores=evaluate.py:NGL101", code=0) == ""


def test_options_in_flake8s_configuration(project: Path) -> None:
    (project / "evaluate.py").write_text("def predict(model, x):\n    model.eval()\n    return model(x)\n")
    assert "NGL101" in flake8(project)
    (project / "setup.cfg").write_text("[flake8]\nnograd-min-confidence = high\n")
    assert flake8(project, code=0) == ""
    assert "NGL101" in flake8(project, "--nograd-min-confidence=low")


def test_a_configuration_of_ones_own(project: Path) -> None:
    (project / "other.toml").write_text('min-confidence = "hihg"\n')
    done = flake8(project, "--nograd-config=other.toml")
    assert "other.toml: `min-confidence`: 'hihg' is none of high, medium, low" in done


def test_facts_reach_across_files_that_flake8_does_not_look_at(project: Path) -> None:
    (project / "evaluate.py").write_text(EVALUATE.replace("    model.eval()\n", ""))
    (project / "caller.py").write_text(
        "import torch\n\nfrom evaluate import evaluate\n\n\n@torch.no_grad()\n"
        "def main(model, test_loader):\n    print(evaluate(model, test_loader))\n"
    )
    assert flake8(project, "evaluate.py", code=0) == ""


def test_a_file_that_flake8_cannot_parse_keeps_nobody_else_from_being_linted(project: Path) -> None:
    (project / "broken.py").write_text("def f(:\n")
    out = flake8(project)
    assert "./broken.py:1:8: E999" in out
    assert "NGL902" not in out
    assert MESSAGE in out


def test_workers_report_what_a_single_process_does(project: Path) -> None:
    for number in range(4):
        (project / f"evaluate{number}.py").write_text(EVALUATE)
    alone = flake8(project, "--jobs=1")
    assert alone.count("NGL101") == 5
    assert flake8(project, "--jobs=2") == alone
    for method in ("spawn", "forkserver") if sys.platform != "win32" else ("spawn",):
        script = project / "run_flake8.py"
        script.write_text(
            "import multiprocessing\nfrom flake8.main.cli import main\n\n"
            f"if __name__ == '__main__':\n    multiprocessing.set_start_method('{method}')\n"
            "    raise SystemExit(main(['--jobs=2', '--exclude=run_flake8.py']))\n"
        )
        done = subprocess.run([sys.executable, str(script)], cwd=project, capture_output=True, text=True, check=False)
        assert done.stdout == alone, done.stderr


def test_flake8_as_a_library(project: Path) -> None:
    script = (
        "from flake8.api import legacy\n"
        "report = legacy.get_style_guide(select=['NGL']).check_files(['evaluate.py'])\n"
        "assert report.get_statistics('NGL101') != [], report.total_errors\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True)


def test_torch_is_not_imported(project: Path) -> None:
    (project / "torch.py").write_text("raise RuntimeError('imported')\n")
    environment = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, "-m", "flake8", "evaluate.py"], cwd=project, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert MESSAGE in done.stdout
