"""Fixes applied to files by the engine that found the diagnostics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Applicability, Diagnostic, Edit, FileResult, Fix, Position, Span
from nograd_lint.engine import Engine
from nograd_lint.fixes.apply import FixReport, apply_fixes, unified_diff
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings

EVALUATE = """\
import torch


def evaluate(model, test_loader):
    model.eval()
    correct = 0
    for x, y in test_loader:
        correct += (model(x).argmax(1) == y).sum().item()
    return correct
"""
FIXED = EVALUATE.replace("def evaluate", "@torch.no_grad()\ndef evaluate")
DISCARDED = """\
import torch


def score(net: torch.nn.Module, x):
    net.eval()
    torch.no_grad()
    return net(x).argmax(1).tolist()
"""
NOT_CALLED = """\
import torch


def score_all(net: torch.nn.Module, x):
    with torch.no_grad:
        return net(x).argmax(1).tolist()
"""


Change = Callable[[Diagnostic], Fix | None]


class Changed(Engine):
    def __init__(self, change: Change, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.change = change

    def check(self, *args: Any, **options: Any) -> list[FileResult]:
        return [
            msgspec.structs.replace(result, diagnostics=tuple(map(self._changed, result.diagnostics)))
            for result in super().check(*args, **options)
        ]

    def _changed(self, diagnostic: Diagnostic) -> Diagnostic:
        return msgspec.structs.replace(diagnostic, fix=self.change(diagnostic) or diagnostic.fix)


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pyproject.toml").write_text("[project]\nname = 'x'\n")

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def engine(self, change: Change | None = None) -> Engine:
        """An engine; one whose rules propose other fixes where ``change`` gives some."""
        resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
        if change is None:
            return Engine(Settings(), self.root, resolver=resolver, use_cache=False)
        return Changed(change, Settings(), self.root, resolver=resolver, use_cache=False)

    def fix(self, *names: str, unsafe: bool = False, write: bool = True, change: Change | None = None) -> FixReport:
        engine = self.engine(change)
        return apply_fixes(engine, engine.check([self.root / name for name in names]), unsafe=unsafe, write=write)

    def text(self, name: str) -> str:
        return (self.root / name).read_bytes().decode()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def replacing(row: int, old: str, new: str, column: int = 1) -> Fix:
    start, end = Position(row, column), Position(row, column + len(old))
    return Fix(Applicability.SAFE, "a fix of the test", (Edit(new, Span(start, end)),))


def codes(report: FixReport) -> list[str]:
    return [diagnostic.code for result in report.results for diagnostic in result.diagnostics]


# --- what is applied --------------------------------------------------------------------------------------------------


def test_safe_fixes_alone(project: Project) -> None:
    project.write("a.py", EVALUATE)
    project.write("b.py", DISCARDED)
    report = project.fix("a.py", "b.py")
    assert (project.text("a.py"), project.text("b.py")) == (FIXED, DISCARDED)
    assert [(file.filename, [d.code for d in file.fixed]) for file in report.files] == [("a.py", ["NGL101"])]
    assert (codes(report), report.count, report.reverted, report.problems) == (["NGL301"], 1, (), ())


def test_unsafe_fixes_too(project: Project) -> None:
    project.write("b.py", DISCARDED)
    report = project.fix("b.py", unsafe=True)
    assert project.text("b.py") == DISCARDED.replace(
        "    torch.no_grad()\n    return", "    with torch.no_grad():\n        return"
    )
    assert (codes(report), report.count) == ([], 1)
    assert project.fix("b.py", unsafe=True).files == ()


@pytest.mark.parametrize(
    ("setting", "applied"),
    [
        ("extend-safe-fixes = ['discarded-guard']", ["NGL101", "NGL301"]),
        ("extend-unsafe-fixes = ['NGL1']", []),
        ("unfixable = ['ALL']", []),
        ("fixable = ['NGL3']", []),
        ("fixable = ['NGL3']\nextend-safe-fixes = ['NGL3']", ["NGL301"]),
    ],
)
def test_what_the_configuration_says(project: Project, setting: str, applied: list[str]) -> None:
    project.write("pyproject.toml", f"[tool.nograd-lint]\n{setting}\n")
    project.write("a.py", EVALUATE + DISCARDED.partition("\n")[2])
    report = project.fix("a.py", write=False)
    assert [d.code for file in report.files for d in file.fixed] == applied
    assert project.text("a.py") == EVALUATE + DISCARDED.partition("\n")[2]


def test_what_is_shown_is_what_the_configuration_allows(project: Project) -> None:
    project.write("a.py", EVALUATE + DISCARDED.partition("\n")[2])
    shown: list[tuple[str, str, bool]] = []
    # One cache throughout: a result that was kept under other settings must not come back.
    for setting in ("", "unfixable = ['NGL101']", "extend-safe-fixes = ['NGL301']", "extend-unsafe-fixes = ['NGL1']"):
        project.write("pyproject.toml", f"[tool.nograd-lint]\n{setting}\n")
        resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
        [result] = Engine(Settings(), project.root, resolver=resolver).check([project.root / "a.py"])
        for found in result.diagnostics:
            fix = found.fix
            how = "none" if fix is None else fix.applicability.value
            shown.append((found.code, how, fix is not None and fix.message.endswith(f"; {how} by configuration")))
    assert shown == [
        ("NGL101", "safe", False),
        ("NGL301", "unsafe", False),
        ("NGL101", "none", False),
        ("NGL301", "unsafe", False),
        ("NGL101", "safe", False),
        ("NGL301", "safe", True),
        ("NGL101", "unsafe", True),
        ("NGL301", "unsafe", False),
    ]


def test_an_error_may_give_way_to_a_warning(project: Project) -> None:
    text = """\
import torch


async def validate(model: torch.nn.Module, val_loader, queue, loss_fn):
    model.eval()
    total = 0
    for x, y in val_loader:
        total += loss_fn(model(await queue.put(x)), y)
    return float(total)
"""
    project.write("a.py", text)
    report = project.fix("a.py", unsafe=True)
    # No guard can be held across the await, so the graph is still recorded; but it is no longer kept.
    assert project.text("a.py") == text.replace(", y)\n    return", ", y).detach()\n    return")
    assert ([d.code for file in report.files for d in file.fixed], codes(report)) == (["NGL104"], ["NGL101"])
    assert report.reverted == ()


def test_suppressed_diagnostics_are_left_alone(project: Project) -> None:
    text = EVALUATE.replace(".item()\n", ".item()  # nograd: ignore[NGL101] on purpose\n")
    project.write("a.py", text)
    assert project.fix("a.py").files == ()


def test_fixes_in_each_others_way_come_one_after_the_other(project: Project) -> None:
    text = """\
import torch

net = torch.load("net.pt")
torch.no_grad()
with torch.no_grad:
    print(net(torch.ones(3)).argmax(1))
"""
    project.write("a.py", text)
    report = project.fix("a.py", unsafe=True)
    assert codes(report) == []
    assert [[d.code for d in file.fixed] for file in report.files] == [["NGL301", "NGL302"]]
    assert project.text("a.py").endswith(
        """\
with torch.no_grad():
    with torch.no_grad():
        print(net(torch.ones(3)).argmax(1))
"""
    )


# --- files as they are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (EVALUATE.replace("\n", "\r\n").encode(), FIXED.replace("\n", "\r\n").encode()),
        (b"\xef\xbb\xbf" + EVALUATE.encode(), b"\xef\xbb\xbf" + FIXED.encode()),
        (
            ("# coding: latin-1\n" + EVALUATE + "# \xe9\n").encode("latin-1"),
            ("# coding: latin-1\n" + FIXED + "# \xe9\n").encode("latin-1"),
        ),
        (EVALUATE.replace("    ", "\t").encode(), FIXED.replace("    ", "\t").encode()),
        (EVALUATE.rstrip("\n").encode(), FIXED.rstrip("\n").encode()),
    ],
    ids=["CRLF", "BOM", "latin-1", "tabs", "no newline at the end"],
)
def test_bytes_outside_the_edits_stay(project: Project, before: bytes, after: bytes) -> None:
    path = project.write("a.py", before)
    path.chmod(0o751)
    project.fix("a.py")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (after, 0o751)


def test_a_notebook_keeps_its_json(project: Project) -> None:
    def code(*source: str, **more: object) -> dict[str, object]:
        return {"cell_type": "code", "execution_count": 3, "metadata": {"b": 1, "a": 2}, **more, "source": source}

    output = {"name": "stdout", "output_type": "stream", "text": ["1\n"]}
    cells = [
        code("import torch\n", "net = torch.load('net.pt')\n", "net.eval()", outputs=[output]),
        {"cell_type": "markdown", "metadata": {}, "source": "prose"},
        code("%time\n", "scores = net(torch.ones(3)).argmax(1)\n", "print(scores.tolist())", outputs=[]),
    ]
    before = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=3)
    project.write("n.ipynb", before)
    report = project.fix("n.ipynb", unsafe=True)
    assert (report.count, codes(report)) == (1, [])
    old = '            "scores = net(torch.ones(3)).argmax(1)\\n",\n'
    new = '            "with torch.no_grad():\\n",\n            "    scores = net(torch.ones(3)).argmax(1)\\n",\n'
    assert old in before
    assert project.text("n.ipynb") == before.replace(old, new)


def test_a_broken_file_is_not_touched(project: Project) -> None:
    text = EVALUATE + "\n\ndef broken(:\n"
    project.write("a.py", text)
    assert "NGL101" in codes(project.fix("a.py"))
    assert project.text("a.py") == text


def test_what_stands_for_a_file_is_not_written(project: Project) -> None:
    path = project.write("a.py", "old")
    engine = project.engine()
    contents = {path: EVALUATE.encode()}
    report = apply_fixes(engine, engine.check([path], contents=contents), contents=contents)
    assert ([file.after for file in report.files], path.read_text()) == ([FIXED.encode()], "old")


def test_a_file_that_somebody_else_changed_meanwhile(project: Project) -> None:
    path = project.write("a.py", EVALUATE)

    class Slow(Engine):
        """Somebody saves the file while it is being fixed."""

        def check(self, *args: Any, **options: Any) -> list[FileResult]:
            path.write_text(EVALUATE + "# saved\n")
            return super().check(*args, **options)

    results = project.engine().check([path])
    report = apply_fixes(Slow(Settings(), project.root, use_cache=False), results)
    assert path.read_text() == EVALUATE + "# saved\n"
    assert report.files == ()
    assert [(p.filename, p.message) for p in report.problems] == [
        ("a.py", "could not be written: changed while it was being fixed")
    ]
    assert codes(report) == ["NGL101"]


# --- fixes that are no good -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fix", "reason"),
    [
        (replacing(5, "", "    # useless\n"), "it would leave the diagnostic"),
        (replacing(5, "", "    (\n"), "the result could not be parsed"),
        (
            replacing(4, "def evaluate", "@torch.no_grad()\n@staticmethod\ndef evaluate"),
            "it would add NGL309 (guard-decorator-order) in row 4",
        ),
    ],
)  # fmt: skip
def test_a_fix_that_does_no_good_is_undone(project: Project, fix: Fix, reason: str) -> None:
    project.write("a.py", EVALUATE)
    report = project.fix("a.py", change=lambda _: fix)
    assert [(r.diagnostic.code, r.diagnostic.span.start.row, r.reason) for r in report.reverted] == [
        ("NGL101", 8, reason)
    ]
    assert (project.text("a.py"), report.files, report.count, codes(report)) == (EVALUATE, (), 0, ["NGL101"])


def test_a_fix_that_the_encoding_cannot_hold(project: Project) -> None:
    text = "# coding: latin-1\n" + EVALUATE
    project.write("a.py", text)
    report = project.fix("a.py", change=lambda _: replacing(6, "", "    # \N{SNOWMAN}\n"))
    assert [one.reason for one in report.reverted] == ["'\N{SNOWMAN}' cannot be written as iso8859-1"]
    assert project.text("a.py") == text


def test_good_fixes_beside_bad_ones(project: Project) -> None:
    text = EVALUATE + "".join(NOT_CALLED.partition("\n")[2].replace("score_all", f"score{i}") for i in range(5))
    project.write("a.py", text)
    project.write("b.py", EVALUATE)

    def change(diagnostic: Diagnostic) -> Fix | None:
        row = diagnostic.span.start.row
        return replacing(row, "", "    # useless\n") if diagnostic.function == "score2" else None

    report = project.fix("a.py", "b.py", change=change)
    assert project.text("b.py") == FIXED
    assert project.text("a.py").count("with torch.no_grad():") == 4
    assert project.text("a.py").count("@torch.no_grad()\ndef evaluate") == 1
    assert [(r.diagnostic.function, r.reason) for r in report.reverted] == [("score2", "it would leave the diagnostic")]
    assert codes(report) == ["NGL302"]
    assert report.count == 6


def test_harm_done_to_another_file(project: Project) -> None:
    project.write("evaluate.py", EVALUATE)
    caller = """\
import torch
from evaluate import evaluate


def main(net: torch.nn.Module, test_loader):
    with torch.no_grad():
        print(evaluate(net, test_loader))
    net.eval
"""
    project.write("main.py", caller)
    results = project.engine().check([project.root / "evaluate.py", project.root / "main.py"])
    assert [d.code for result in results for d in result.diagnostics] == ["NGL403"]
    harmful = Fix(
        Applicability.SAFE,
        "call it and drop the guard",
        (
            Edit("if True:", Span(Position(6, 5), Position(6, 26))),
            Edit("()", Span(Position(8, 13), Position(8, 13))),
        ),
    )
    report = project.fix("evaluate.py", "main.py", change=lambda _: harmful)
    assert [r.reason for r in report.reverted] == ["it would add NGL101 (tracked-evaluation) in row 8 of evaluate.py"]
    assert project.text("main.py") == caller


# --- diffs ------------------------------------------------------------------------------------------------------------


def test_the_diff_is_a_patch(project: Project) -> None:
    project.write("a.py", EVALUATE.replace("\n", "\r\n").rstrip())
    report = project.fix("a.py", write=False)
    assert unified_diff(report.files, lambda file: "dir/" + file.filename) == (
        b"--- dir/a.py\n+++ dir/a.py\n@@ -1,6 +1,7 @@\n import torch\r\n \r\n \r\n+@torch.no_grad()\r\n"
        b" def evaluate(model, test_loader):\r\n     model.eval()\r\n     correct = 0\r\n"
    )


def test_the_diff_tells_of_a_missing_newline(project: Project) -> None:
    project.write("a.py", DISCARDED.rstrip())
    report = project.fix("a.py", unsafe=True, write=False)
    assert unified_diff(report.files, lambda file: file.filename).endswith(
        b"-    torch.no_grad()\n-    return net(x).argmax(1).tolist()\n\\ No newline at end of file\n"
        b"+    with torch.no_grad():\n+        return net(x).argmax(1).tolist()\n\\ No newline at end of file\n"
    )
