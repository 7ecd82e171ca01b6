"""The README keeps its word: its commands run, its output is real, its list of rules is that of the linter.

``UPDATE_README=1 pytest tests/test_readme.py`` writes the rules and the sample output into it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nograd_lint.rules._base import Kind
from nograd_lint.rules.registry import all_rules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (?P<kind>\w+)(?:: (?P<argument>[^>]*?))? -->\n(?P<body>.*?)<!-- end -->\n", re.DOTALL)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(nograd-lint [a-z][^`]*)`")

# For these a fresh environment and a network are needed (.ci/run executes them), or they don't end by themselves.
ELSEWHERE = ("python3 -m venv", "nograd-lint server")
CONFIRM = "nograd-lint confirm -- python main.py"


def block(kind: str) -> re.Match[str]:
    (found,) = (match for match in BLOCK.finditer(TEXT) if match["kind"] == kind)
    return found


def must_be(kind: str, body: str) -> None:
    """The block in the README is this; or becomes it."""
    found = block(kind)
    if os.environ.get("UPDATE_README"):
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(found[0], found[0].replace(found["body"], body)), encoding="utf-8")
    else:
        assert found["body"] == body


def run(command: str, cwd: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command, comments=True)
    assert words[0] == "nograd-lint"
    words = [sys.executable if word == "python" else word for word in words]
    return subprocess.run(
        [sys.executable, "-m", "nograd_lint", words[1], *more, *words[2:]],
        cwd=cwd, env={**os.environ, "PYTHONUTF8": "1"}, capture_output=True, text=True, check=False, timeout=300,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the wasteful example."""
    ignored = shutil.ignore_patterns("__pycache__", ".nograd_lint_cache")
    return Path(shutil.copytree(ROOT / "fixtures" / "wasteful", tmp_path / "wasteful", ignore=ignored))


# --- what is in it -------------------------------------------------------------------------------------------------


def test_sample_output_is_real() -> None:
    done = run(block("output")["argument"] or "", ROOT, "--no-cache")
    assert done.returncode == 1
    must_be("output", f"```text\n{done.stdout.rstrip()}\n```\n")


def test_rules_are_those_of_the_linter() -> None:
    confirm = {Kind.GUARD: "cost", Kind.TRAIN: "learning", Kind.NONE: ""}
    rows = [
        f"| {rule.code} | {rule.name} | {rule.severity.value}{'' if rule.default else ', off'} | {rule.summary} | "
        f"{'yes' if rule.fixable else ''} | {confirm[rule.kind]} |\n"
        for rule in all_rules().values()
    ]
    head = "| code | name | severity | what | fix | confirm measures |\n|---|---|---|---|---|---|\n"
    must_be("rules", head + "".join(rows))


def test_changelog_and_readme_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{page}: {target}"


# --- what it tells people to do ------------------------------------------------------------------------------------


def commands() -> list[str]:
    lines = [line for language, body in FENCE.findall(TEXT) if language == "sh" for line in body.splitlines()]
    return list(dict.fromkeys([*(line.partition("  #")[0].strip() for line in lines), *INLINE.findall(TEXT)]))


@pytest.mark.parametrize("command", [c for c in commands() if not c.startswith(ELSEWHERE) and c != CONFIRM])
def test_command(command: str, project: Path) -> None:
    done = run(command, project)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout


def test_commands_that_are_not_run_here_are_the_known_ones() -> None:
    left = [c for c in commands() if c.startswith(ELSEWHERE)]
    assert [c.partition(" && ")[2].rpartition(" && ")[2] for c in left if c.startswith("python3")] == [
        ".venv/bin/nograd-lint check fixtures/wasteful",
        ".venv/bin/python -m pytest -n 2",
    ]
    assert CONFIRM in commands()
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_confirm_and_its_figures(project: Path, tmp_path: Path) -> None:
    """The table of what the wasteful evaluation costs: memory, and metrics that stay the same."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    file = tmp_path / "confirm.json"
    done = run(CONFIRM, project, "--yes", "--no-time", "--json", str(file))
    assert done.returncode == 1, done.stderr
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    (result,) = (r for r in results if r["code"] == "NGL104")
    assert result["verdict"] == "confirmed"
    rows = {cells[0]: cells[1:] for cells in table(block("confirm")["body"])}
    for row, figure in (("held for backward", "saved"), ("peak of the evaluation", "peak")):
        said = [mebibytes(cell) for cell in rows[row][:2]]
        measured = [result[figure][side] / 2**20 for side in "AB"]
        assert said == pytest.approx(measured, rel=0.1, abs=1), row
    for name in ("accuracy", "precision", "recall", "confusion matrix"):
        assert re.search(rf"^ +{name}\b.*\| equal$", done.stdout, re.MULTILINE), name
        assert rows[name][1] == "equal"


def table(body: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")]


def mebibytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"B": 2**-20, "KiB": 2**-10, "MiB": 1}[unit]


def test_configuration_is_understood(project: Path) -> None:
    (body,) = (body for language, body in FENCE.findall(TEXT) if language == "toml")
    assert list(tomllib.loads(body)["tool"]) == ["nograd-lint"]
    (project / "pyproject.toml").write_text(body, encoding="utf-8")
    done = run("nograd-lint config min-confidence", project)
    assert (done.returncode, done.stderr) == (0, "")


def test_suppression_comment_suppresses(project: Path) -> None:
    (body,) = (body for language, body in FENCE.findall(TEXT) if language == "python")
    comment = body[body.index("#") :].strip()
    file = project / "predict.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"# expect: NGL101", comment, text), encoding="utf-8")
    done = run("nograd-lint check predict.py", project)
    assert (done.returncode, done.stderr) == (0, "")
