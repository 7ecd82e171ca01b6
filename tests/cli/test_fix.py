"""``--fix``, ``--diff`` and what is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from nograd_lint.confirm import store

from .conftest import EVALUATE, Cli, Stdin

FIXED = EVALUATE.replace("def evaluate", "@torch.no_grad()\ndef evaluate")
UNSAFE = "import torch\n\n\ndef evaluate(model, x):\n    model.eval()\n    return model(x)\n"
DIFF = """\
--- pkg/evaluate.py
+++ pkg/evaluate.py
@@ -1,6 +1,7 @@
 import torch
|
|
+@torch.no_grad()
 def evaluate(model, test_loader):
     model.eval()
     correct = 0
""".replace("|", " ")


def test_fix(project: Path, cli: Cli) -> None:
    assert cli("check", "--fix") == (0, "Fixed 1 diagnostic. None left in 2 files.\n", "")
    assert (project / "pkg/evaluate.py").read_text() == FIXED
    assert cli("check", "--fix") == (0, "No diagnostics in 2 files.\n", "")


def test_unsafe_fixes_are_made_on_request(project: Path, cli: Cli) -> None:
    (project / "pkg/unsafe.py").write_text(UNSAFE)
    code, out, _ = cli("check", "--fix")
    assert code == 1
    assert out.startswith("pkg/unsafe.py:6:12: NGL101 ")
    assert "Fixed 1 diagnostic. Left: 1 diagnostic (1 warning) in 1 file; 1 fixable with --fix --unsafe-fixes" in out
    assert (project / "pkg/unsafe.py").read_text() == UNSAFE
    assert cli("check", "--fix", "--unsafe-fixes").code == 0
    assert "@torch.no_grad()\n" in (project / "pkg/unsafe.py").read_text()


def test_show_fixes(project: Path, cli: Cli) -> None:
    code, out, _ = cli("check", "--fix", "--show-fixes")
    assert code == 0
    assert out.startswith("pkg/evaluate.py:8:18: fixed NGL101 tracked-evaluation: ")
    (project / "pkg/evaluate.py").write_text(EVALUATE)
    code, out, err = cli("check", "--fix", "--show-fixes", "--output-format", "json")
    assert (code, json.loads(out)) == (0, [])
    assert err.startswith("pkg/evaluate.py:8:18: fixed NGL101 ")


def test_diff_changes_nothing(project: Path, cli: Cli) -> None:
    code, out, err = cli("check", "--diff")
    assert (code, out, err) == (1, DIFF, "Would fix 1 diagnostic in 1 file.\n")
    assert cli("check", "--fix", "--diff") == (code, out, err)
    assert (project / "pkg/evaluate.py").read_text() == EVALUATE
    assert cli("check", "--diff", "-q").err == ""
    assert cli("check", "--diff", "pkg/clean.py") == (0, "", "Nothing to fix.\n")
    assert cli("check", "--diff", "--exit-zero").code == 0


def test_diff_in_colour_and_to_a_file(project: Path, cli: Cli) -> None:
    out = cli("check", "--diff", "--color", "always").out
    assert "\x1b[32m+@torch.no_grad()\x1b[0m\n" in out
    assert click.unstyle(out) == DIFF
    assert cli("check", "--diff", "--output-file", "fix.patch").out == ""
    assert (project / "fix.patch").read_text() == DIFF


def test_fix_of_stdin_goes_to_stdout(project: Path, cli: Cli, stdin: Stdin) -> None:
    stdin(EVALUATE)
    code, out, err = cli("check", "-", "--fix", "--stdin-filename", "pkg/evaluate.py")
    assert (code, out, err) == (0, FIXED, "Fixed 1 diagnostic. None left in 1 file.\n")
    assert (project / "pkg/evaluate.py").read_text() == EVALUATE
    stdin(UNSAFE)
    code, out, err = cli("check", "-", "--fix", "--stdin-filename", "pkg/evaluate.py")
    assert (code, out) == (1, UNSAFE)
    assert err.startswith("pkg/evaluate.py:6:12: NGL101 ")
    stdin(EVALUATE)
    assert cli("check", "-", "--diff", "--stdin-filename", "pkg/evaluate.py").out == DIFF


def test_line_ends_survive_on_their_way_through_stdout(project: Path, cli: Cli, stdin: Stdin) -> None:
    stdin(EVALUATE.replace("\n", "\r\n"))
    assert cli("check", "-", "--fix").out == FIXED.replace("\n", "\r\n")


def test_a_file_that_cannot_be_written_gives_2(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nograd_lint.source.write.write_atomically", refuse)
    code, out, err = cli("check", "--fix")
    assert code == 2
    assert out.startswith("pkg/evaluate.py:8:18: NGL101 ")  # as it was
    assert err == "nograd-lint: pkg/evaluate.py: could not be written: permission denied\n"


def test_what_was_measured_is_told(project: Path, cli: Cli) -> None:
    [found] = json.loads(cli("check", "--output-format", "json").out)
    assert found["measured"] is None
    figures = {"saved": {"A": 5242880, "B": 0}, "peak": None, "held": None, "time": None, "outputs": None}
    result = {**found, **figures, "verdict": "confirmed", "reason": "bit_identical"}
    document = {"results": [result], "torch": "2.13.0", "device": "cpu", "date": "2026-11-22"}
    store.save(project, document, project)
    measured = json.loads(cli("check", "--output-format", "json").out)[0]["measured"]
    assert (measured["verdict"], measured["saved"], measured["stale"]) == ("confirmed", {"A": 5242880, "B": 0}, False)
    line = "  = measured: confirmed (bit_identical), saved for backward 5.0 MiB -> 0 B"
    assert f"{line}\n" in cli("check").out
    text = EVALUATE.replace("correct = 0", "correct = 1")
    (project / "pkg/evaluate.py").write_text(text)
    assert f"{line}, the code has changed since\n" in cli("check").out
