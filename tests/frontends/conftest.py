from __future__ import annotations

from pathlib import Path

import pytest

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
