"""The pre-commit hooks, run by the real pre-commit in git repositories made here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import EVALUATE

pytest.importorskip("pre_commit")
if shutil.which("git") is None:
    pytest.skip("git is missing", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
NO_NETWORK = ("No matching distribution", "Could not find a version", "Failed to establish", "NewConnectionError")

Environment = Mapping[str, str]


def git(cwd: Path, *args: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *identity, *args], cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Environment]:
    """A repository of this package as it is in the working tree, and where pre-commit keeps what it installs."""
    repo = tmp_path_factory.mktemp("hooks")
    tracked = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in tracked:
        if name.startswith(("nograd_lint/", "pyproject", "README", "LICENSE", ".pre-commit-hooks")):
            source = ROOT / name
            if source.is_file():
                (repo / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, repo / name)
    git(repo, "init", "-q")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "hooks")
    home = str(tmp_path_factory.mktemp("home"))
    return repo, {**os.environ, "PRE_COMMIT_HOME": home, "PRE_COMMIT_COLOR": "never"}


@pytest.fixture
def repository(project: Path, hooks: tuple[Path, Environment]) -> Path:
    """The project as a git repository with all three hooks configured and installed."""
    repo, environment = hooks
    ids = ("nograd-lint", "nograd-lint-fix", "nograd-lint-project")
    config = {
        "repos": [
            {
                "repo": str(repo),
                "rev": git(repo, "rev-parse", "HEAD").strip(),
                "hooks": [{"id": one, **({} if one == "nograd-lint" else {"stages": ["manual"]})} for one in ids],
            }
        ]
    }
    (project / ".pre-commit-config.yaml").write_text(json.dumps(config))  # JSON is YAML
    git(project, "init", "-q")
    git(project, "add", "-A")
    done = pre_commit(project, environment, "install", "--install-hooks")
    if done.returncode and any(hint in done.stdout + done.stderr for hint in NO_NETWORK):
        pytest.skip("pip cannot install the package's requirements here")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def pre_commit(cwd: Path, environment: Environment, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", *args],
        cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_a_commit_is_stopped_until_the_file_is_clean(repository: Path, hooks: tuple[Path, Environment]) -> None:
    _, environment = hooks
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        git(repository, "commit", "-qm", "first")
    assert "evaluate.py:8:18: NGL101" in stopped.value.stderr

    done = pre_commit(repository, environment, "run", "--hook-stage=manual", "nograd-lint-fix")
    assert done.returncode == 1
    assert "files were modified by this hook" in done.stdout
    assert (repository / "evaluate.py").read_text() == EVALUATE.replace("def ev", "@torch.no_grad()\ndef ev")

    git(repository, "add", "evaluate.py")
    git(repository, "commit", "-qm", "first")


def test_changed_files_get_the_diagnostics_of_a_whole_run(repository: Path, hooks: tuple[Path, Environment]) -> None:
    """A caller that was not changed guards the function, so that it is silent here, too."""
    _, environment = hooks
    (repository / "main.py").write_text(
        "import torch\n\nfrom evaluate import evaluate\n\n\n@torch.no_grad()\n"
        "def main(model, test_loader):\n    print(evaluate(model, test_loader))\n"
    )
    (repository / "evaluate.py").write_text(EVALUATE.replace("    model.eval()\n", ""))
    git(repository, "add", "-A")
    done = pre_commit(repository, environment, "run", "nograd-lint", "--files", "evaluate.py")
    assert done.returncode == 0, done.stdout


def test_notebooks_and_excluded_files(repository: Path, hooks: tuple[Path, Environment]) -> None:
    _, environment = hooks
    cell = {"cell_type": "code", "source": EVALUATE, "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (repository / "book.ipynb").write_text(json.dumps(notebook))
    (repository / "pyproject.toml").write_text('[tool.nograd-lint]\nextend-exclude = ["evaluate.py"]\n')
    git(repository, "add", "-A")
    done = pre_commit(repository, environment, "run", "nograd-lint")
    assert done.returncode == 1
    assert "book.ipynb:cell 1:8:18: NGL101" in done.stdout
    assert "evaluate.py:8" not in done.stdout


def test_the_whole_project(repository: Path, hooks: tuple[Path, Environment]) -> None:
    _, environment = hooks
    done = pre_commit(
        repository, environment, "run", "--hook-stage=manual", "nograd-lint-project", "--files", "clean.py"
    )
    assert "evaluate.py:8:18: NGL101" in done.stdout


def test_all_fixtures_get_the_diagnostics_of_a_run_of_ones_own(tmp_path: Path, hooks: tuple[Path, Environment]) -> None:
    """The real hook, on a repository that holds every fixture; its format is that of the command line."""
    repo, environment = hooks
    fixtures = tmp_path / "fixtures"
    ignored = shutil.ignore_patterns("__pycache__", ".nograd_lint_cache", ".venv")
    shutil.copytree(ROOT / "fixtures", fixtures, ignore=ignored)
    hook = {"id": "nograd-lint", "args": ["--output-format", "concise", "--quiet"]}
    config = {"repos": [{"repo": str(repo), "rev": git(repo, "rev-parse", "HEAD").strip(), "hooks": [hook]}]}
    (fixtures / ".pre-commit-config.yaml").write_text(json.dumps(config))
    git(fixtures, "init", "-q")
    git(fixtures, "add", "-A")
    done = pre_commit(fixtures, environment, "run", "--all-files")
    if any(hint in done.stdout + done.stderr for hint in NO_NETWORK):
        pytest.skip("pip cannot install the package's requirements here")
    command = [sys.executable, "-m", "nograd_lint", "check", "--output-format", "concise", "--quiet", "."]
    alone = subprocess.run(command, cwd=fixtures, capture_output=True, text=True, encoding="utf-8", check=False)
    assert len(alone.stdout.splitlines()) > 20
    assert [line for line in done.stdout.splitlines() if ": NGL" in line] == alone.stdout.splitlines()
