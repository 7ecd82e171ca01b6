from __future__ import annotations

from pathlib import Path

import pytest

from nograd_lint.config import Resolver
from nograd_lint.confirm.store import save
from nograd_lint.engine import Engine
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings

EVALUATE = """\
import torch


def evaluate(model, test_loader):
    model.eval()
    correct = torch.zeros(1)
    for x, y in test_loader:
        output = model(x)
        correct += (output.argmax(1) == y).sum().item()
    return correct
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one thing to report: NGL101 in row 8, column 18."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    (tmp_path / "clean.py").write_text("import torch\n\nx = torch.ones(3)\n")
    return tmp_path


def measure(project: Path) -> None:
    """Leave what confirm would about the diagnostic of ``evaluate.py``."""
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
    [result] = Engine(Settings(), project, resolver=resolver, use_cache=False).check([project / "evaluate.py"])
    [diagnostic] = result.diagnostics
    measured = {
        "fingerprint": diagnostic.fingerprint, "verdict": "confirmed", "reason": "bit_identical",
        "filename": "evaluate.py", "function": "evaluate", "saved": {"A": 5 * 2**20, "B": 0},
        "peak": {"A": 6 * 2**20, "B": 2**20}, "held": {"A": 0, "B": 0, "growth_per_call": None}, "time": None,
        "outputs": "equal",
    }  # fmt: skip
    document = {"results": [measured], "torch": "2.13.0", "device": "cpu", "date": "2026-01-01T00:00:00+00:00"}
    save(project, document, project)
