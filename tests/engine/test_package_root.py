"""A package linted where it was installed, without the files that mark a project, imports itself by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Diagnostic
from nograd_lint.engine import Engine
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings

SCORER = """\
def scores(model, test_loader):
    model.eval()
    return [model(images).argmax(1).tolist() for images, _ in test_loader]
"""
GUARDED = """\
import torch

from kit.scoring import scores


@torch.no_grad()
def labels(model, test_loader):
    return scores(model, test_loader)
"""
PIPELINE = """\
from kit.core import Stage


class Tagger(Stage):
    def _forward(self, images):
        self.model.eval()
        return self.model(images).argmax(1)
"""


def diagnostics(folder: Path, files: dict[str, str], filename: str) -> tuple[Diagnostic, ...]:
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()}, isolated=True)
    (result,) = Engine(Settings(), folder, resolver=resolver, use_cache=False).check([folder / filename])
    assert not result.problems
    return result.diagnostics


@pytest.mark.parametrize("caller", ["from kit.scoring import scores", "from kit import scoring as s"])
def test_callers_by_the_name_of_the_package(tmp_path: Path, caller: str) -> None:
    files = {"kit/__init__.py": "", "kit/scoring.py": SCORER, "kit/labels.py": GUARDED}
    files["kit/labels.py"] = GUARDED.replace("from kit.scoring import scores", caller)
    if caller.endswith(" s"):
        files["kit/labels.py"] = files["kit/labels.py"].replace("return scores(", "return s.scores(")
    assert diagnostics(tmp_path, files, "kit/scoring.py") == ()


def test_another_package_is_no_part_of_it(tmp_path: Path) -> None:
    files = {"kit/__init__.py": "", "kit/scoring.py": SCORER, "kit/labels.py": GUARDED.replace("kit.", "kits.")}
    assert [d.code for d in diagnostics(tmp_path, files, "kit/scoring.py")] == ["NGL101"]


def test_promises_hold_inside_the_framework(tmp_path: Path) -> None:
    base = "class Pipeline:\n    def __call__(self, images):\n        return self._forward(images)\n"
    stage = "from transformers.pipelines.base import Pipeline\n\n\nclass Stage(Pipeline):\n    pass\n"
    files = {
        "transformers/__init__.py": "",
        "transformers/pipelines/__init__.py": "",
        "transformers/pipelines/base.py": base,
        "transformers/core.py": stage,
        "transformers/tagging.py": PIPELINE.replace("kit.", "transformers."),
    }
    assert diagnostics(tmp_path, files, "transformers/tagging.py") == ()
    files["transformers/core.py"] = "class Stage:\n    pass\n"
    assert [d.code for d in diagnostics(tmp_path, files, "transformers/tagging.py")] == ["NGL101"]
