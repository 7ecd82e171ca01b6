"""The GitHub Action: its steps, run one after the other as a runner does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NO_NETWORK = ("No matching distribution", "Could not find a version", "Failed to establish", "NewConnectionError")


def run(project: Path, temporary: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    yaml = pytest.importorskip("yaml")
    action: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {name: one["default"] for name, one in action["inputs"].items()} | inputs
    environment = temporary / "environment"
    environment.touch()

    def expand(text: str) -> str:
        text = text.replace("${{ github.action_path }}", str(ROOT))
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: values[match[1]], text)

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in action["runs"]["steps"]:
        exported = dict(line.split("=", 1) for line in environment.read_text().splitlines())
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=project,
            env={
                **os.environ, **exported, **{key: expand(value) for key, value in step["env"].items()},
                "PATH": path, "RUNNER_TEMP": str(temporary), "GITHUB_ENV": str(environment),
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            break
    if any(hint in done.stderr for hint in NO_NETWORK):
        pytest.skip("pip cannot install the package's requirements here")
    return done


def test_annotations_and_code_scanning(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    temporary = tmp_path_factory.mktemp("runner")
    done = run(project, temporary)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("::warning file=evaluate.py,line=8,endLine=8,col=18,")

    options = {"output-format": "sarif", "output-file": "nograd.sarif", "args": "--exit-zero --select NGL1"}
    done = run(project, temporary, paths="evaluate.py clean.py", **options)
    assert done.returncode == 0, done.stderr
    [results] = json.loads((project / "nograd.sarif").read_text())["runs"]
    assert [one["ruleId"] for one in results["results"]] == ["NGL101"]
