from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from nograd_lint.cli import run

EVALUATE = """\
import torch


def evaluate(model, test_loader):
    model.eval()
    correct = 0
    for x, y in test_loader:
        output = model(x)
        correct += (output.argmax(1) == y).sum().item()
    return correct
"""
CLEAN = "import torch\n\nx = torch.ones(3)\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Result]
Stdin = Callable[[str], None]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "NOGRAD_LINT_OUTPUT_FORMAT", "NOGRAD_LINT_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a project with one thing to report."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/evaluate.py").write_text(EVALUATE)
    (tmp_path / "pkg/clean.py").write_text(CLEAN)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """Run the command line in this process."""

    def invoke(*args: str) -> Result:
        code = run(list(args))
        out, err = capfdbinary.readouterr()
        return Result(code, out.decode(), err.decode())

    return invoke


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    """Give the next run something to read."""

    def feed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return feed
