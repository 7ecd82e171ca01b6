from __future__ import annotations

import json
from pathlib import Path

import pytest

from nograd_lint.diagnostics import FileResult, Problem, Suppressed
from nograd_lint.report.run import Run

from .samples import CELLS, ELSEWHERE, EVALUATE, GUARDED, IN_NOTEBOOK, NOT_CALLED, RULE, TRACKED


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "evaluate.py").write_text(EVALUATE, encoding="utf-8", newline="")
    (package / "guarded.py").write_text(GUARDED, encoding="utf-8", newline="")
    notebook = {"cells": CELLS, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (package / "study.ipynb").write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """One diagnostic in each file, one suppressed, one file that could not be read."""
    return Run(
        [
            FileResult("pkg/evaluate.py", (TRACKED,)),
            FileResult("pkg/guarded.py", (NOT_CALLED,), (Suppressed(ELSEWHERE, "inline", "by design"),)),
            FileResult("pkg/study.ipynb", (IN_NOTEBOOK,)),
            FileResult("pkg/gone.py", problems=(Problem("pkg/gone.py", "file not found"),)),
        ],
        root=project,
        cwd=project,
        rules={RULE.code: RULE},
    )
