from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import msgspec
import pytest

from nograd_lint.diagnostics import Applicability, Diagnostic, FileResult, Fix, Problem
from nograd_lint.report import render
from nograd_lint.report.run import Run, Style
from nograd_lint.report.summary import statistics
from nograd_lint.report.text import size

from .samples import TRACKED, span

EXPECTED = """\
pkg/evaluate.py:8:24: NGL101 tracked-evaluation warning [high] `evaluate` runs `model` with gradient tracking on
  |
7 |     for x, _ in loader:
8 |         outputs.append("模型", model(x))  # a tab, and characters two columns wide
  |                                ^^^^^^^^
  = pkg/evaluate.py:5:5  the model is put in evaluation mode                  | model.eval()
  = pkg/guarded.py:2:5   called with gradients on: models[0](x), 100 % of it  | y = model(x)
  = fix (--fix): put `@torch.no_grad()` above `evaluate`

pkg/guarded.py:1:6: NGL302 guard-not-called error [medium] `torch.no_grad` is not called
  |
1 | with torch.no_grad:
  |      ^^^^^^^^^^^^^
  = fix (--fix --unsafe-fixes): call it

pkg/study.ipynb:cell 3:2:5: NGL103 tracked-inference-script info [low] this cell runs `model` with gradient tracking on
  |
1 | y = 2
2 | p = model(x)
  |     ^^^^^^^^
  = pkg/study.ipynb:cell 2:1:1  the model is put in evaluation mode  | model.eval()
  = fix (--fix): guard it

Found 3 diagnostics (1 error, 1 warning, 1 info) in 3 files; \
2 fixable with --fix, 1 more with --unsafe-fixes; 1 suppressed.
"""


def one_line(project: Path, line: str, **changes: object) -> list[str]:
    """The report of one diagnostic about a file of one line."""
    (project / "one.py").write_text(line, encoding="utf-8")
    diagnostic = msgspec.structs.replace(TRACKED, filename="one.py", evidence=(), fix=None, **changes)
    return render(Run([FileResult("one.py", (diagnostic,))], root=project, cwd=project), "text").splitlines()


def test_place_excerpt_evidence_and_fix(run: Run) -> None:
    assert render(run, "text") == EXPECTED


def test_colours_change_nothing_but_the_colours(run: Run) -> None:
    colored = render(replace(run, style=Style(color=True)), "text")
    assert "\x1b[" in colored
    assert click.unstyle(colored) == EXPECTED


def test_paths_are_relative_to_the_working_directory(run: Run, project: Path) -> None:
    below = replace(run, cwd=project / "pkg")
    assert render(below, "concise").startswith("evaluate.py:8:24: ")
    beside = replace(run, cwd=project / "elsewhere")
    assert render(beside, "concise").startswith("../pkg/evaluate.py:8:24: ")


def test_concise_is_a_line_each(run: Run) -> None:
    lines = render(run, "concise").splitlines()
    assert [line.partition(" ")[0] for line in lines[:2]] == ["pkg/evaluate.py:8:24:", "pkg/guarded.py:1:6:"]
    assert lines[0].endswith(" [*]")  # --fix repairs it
    assert not lines[1].endswith(" [*]")  # the fix is unsafe
    assert len(lines) == 4


def test_suppressed_ones_on_request(run: Run) -> None:
    shown = render(replace(run, show_suppressed=True), "text")
    assert "pkg/guarded.py:2:9: NGL101" in shown
    assert "  = suppressed (inline): by design\n" in shown
    assert "(suppressed, inline: by design)\n" in render(replace(run, show_suppressed=True), "concise")


def test_measured_costs_are_told(run: Run) -> None:
    figures = {"verdict": "confirmed", "reason": "bit_identical", "saved": {"A": 5242880, "B": 0}, "held": None}
    measured = replace(run, measured={TRACKED.fingerprint: figures})
    assert "  = measured: confirmed (bit_identical), saved for backward 5.0 MiB -> 0 B\n" in render(measured, "text")


def test_a_file_that_has_gone_is_told_without_excerpt(run: Run, project: Path) -> None:
    (project / "pkg/guarded.py").unlink()
    assert "[medium] `torch.no_grad` is not called\n  = fix (--fix --unsafe" in render(run, "text")


def test_long_lines_are_cut_around_the_mark(project: Path) -> None:
    line = "x = [" + "1, " * 200 + "model(y)" + ", 2" * 200 + "]"
    column = line.index("model") + 1
    _, _, text, caret = one_line(project, line, span=span(1, column, 1, column + 8))[:4]
    assert len(text) < 140
    start, end = caret.index("^"), caret.rindex("^") + 1
    assert text[start:end] == "model(y)"


def test_a_mark_of_several_rows_ends_with_its_first(project: Path) -> None:
    text, caret = one_line(project, "y = model(\n    x,\n)\n", span=span(1, 5, 3, 2))[2:4]
    assert text == "1 | y = model("
    assert caret == "  |     ^^^^^^"


def test_control_characters_cannot_drive_the_terminal(project: Path) -> None:
    lines = one_line(project, 'model("\x1b[2J\x07")', span=span(1, 1, 1, 14), message="runs `\x1b[31m`\nthere")
    assert lines[0].endswith("runs `␛[31m` there")
    assert lines[2] == '1 | model("␛[2J␇")'


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([FileResult("a.py"), FileResult("b.py")], "No diagnostics in 2 files.\n"),
        ([], "No Python files to check.\n"),
    ],
)
def test_nothing_found(results: list[FileResult], expected: str, tmp_path: Path) -> None:
    assert render(Run(results, root=tmp_path, cwd=tmp_path), "text") == expected
    assert render(Run(results, root=tmp_path, cwd=tmp_path, style=Style(quiet=True)), "text") == ""


def test_what_was_fixed_is_in_the_summary(tmp_path: Path) -> None:
    assert render(Run([FileResult("a.py")], root=tmp_path, cwd=tmp_path, fixed=1), "text") == (
        "Fixed 1 diagnostic. None left in 1 file.\n"
    )


def test_what_is_left_after_fixing_is_in_the_summary(run: Run) -> None:
    assert "Fixed 2 diagnostics. Left: 3 diagnostics (1 error, " in render(replace(run, fixed=2), "text")


def test_statistics(run: Run) -> None:
    unfixable = msgspec.structs.replace(TRACKED, fix=None)
    results = [*run.results, FileResult("pkg/evaluate.py", (unfixable,))]
    lines = statistics(replace(run, results=results), "text").splitlines()
    assert lines[:3] == [
        "2  NGL101  [-] tracked-evaluation",
        "1  NGL103  [*] tracked-inference-script",
        "1  NGL302  [ ] guard-not-called",
    ]
    assert msgspec.json.decode(statistics(run, "json"))[0] == {
        "code": "NGL101",
        "name": "tracked-evaluation",
        "count": 1,
        "fixable": 1,
    }


def test_a_fix_to_be_made_by_hand_is_not_promised(run: Run, project: Path) -> None:
    by_hand: Diagnostic = msgspec.structs.replace(TRACKED, fix=Fix(Applicability.DISPLAY, "guard it", ()))
    text = render(replace(run, results=[FileResult("pkg/evaluate.py", (by_hand,))]), "text")
    assert "  = fix (by hand): guard it\n" in text
    assert "fixable" not in text


def test_problems_are_no_diagnostics(project: Path) -> None:
    run = Run([FileResult("a.py", problems=(Problem("a.py", "boom"),))], root=project, cwd=project)
    assert run.all_problems == [Problem("a.py", "boom")]
    assert run.diagnostics == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**20, "5.0 MiB"), (2**41, "2.0 TiB")],
)
def test_sizes(number: int, expected: str) -> None:
    assert size(number) == expected
