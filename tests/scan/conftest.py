from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
DEADLINE = 120.0  # seconds until a test gives up; no measure of speed

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command line in a process of its own."""

    def start(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nograd_lint", *map(str, args)],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=DEADLINE,
        )  # fmt: skip

    return start


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A directory of repositories: every example project, and one without anything that says where it begins."""
    directory = tmp_path / "corpus"
    ignored = shutil.ignore_patterns("__pycache__", ".nograd_lint_cache")
    shutil.copytree(FIXTURES, directory, ignore=ignored)
    (directory / "README.md").unlink()
    shutil.copytree(directory / "wasteful", directory / "unmarked")
    (directory / "unmarked" / "pyproject.toml").unlink()
    return directory


def many(directory: Path, count: int) -> None:
    """Files that take a while to judge."""
    text = (FIXTURES / "wasteful" / "evaluate.py").read_text(encoding="utf-8")
    directory.mkdir(parents=True)
    for number in range(count):
        parts = (text.replace("def ", f"def n{number}_{i}_") for i in range(8))
        (directory / f"more_{number:02}.py").write_text("\n\n".join(parts), encoding="utf-8")
