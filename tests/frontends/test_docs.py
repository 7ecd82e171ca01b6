"""The documentation: generated pages are as they would be written, its commands run, and the site builds."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md"]  # README.md: tests/test_readme.py

BLOCK = re.compile(r"(?:^<!-- in: (\w+) -->\n)?^( *)```([\w-]*)[^\n]*\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:nograd-lint [a-z]|python [\w/]+\.py|(?:pip|npm|mkdocs|editors/check/run\.sh) )[^`]*)`")
# Where a command stands in a block of another language.
EMBEDDED = re.compile(r"(?:^|script: )(nograd-lint [a-z].*)$", re.MULTILINE)

# What is not run here, by a pattern for the whole of it, and why.
NOT_RUN = {
    r"nograd-lint confirm": "the name of a command, not a use of it",
    r"nograd-lint .*\b(KEY|CODE|FILE:LINE)": "a pattern, not a command",
    r"nograd-lint server": "answers an editor until that ends: tests/frontends/test_lsp.py and test_editors.py",
    r"pip install .*": "needs a package index: .ci/run installs from a fresh clone",
    r"python3 -m venv .*": "needs a package index: .ci/run does it",
    r"\.venv/bin/python -m pytest .*|\.ci/run": "is, or runs, this",
    r"python benchmarks/.*": "downloads packages, or is long; tests/robustness runs a part of it",
    r"nograd-lint .*--executor dask.*": "needs a cluster: tests/scan/test_cluster.py starts one",
    r"nograd-lint scan sources\.parquet .*": "needs such a file: tests/scan/test_scan.py makes one",
    r"dask .*": "serves until it is stopped; tests/scan/test_cluster.py runs both",
    r"npm .*|editors/check/run\.sh .*": "needs npm's registry and a browser",
    r"mkdocs serve": "serves until it is stopped; the site is built below",
    r"python docs/generate\.py": "writes into the tree; what it would write is compared below",
}
SPARKLINE = r"[▁▂▃▄▅▆▇█]+"


class Shown(NamedTuple):
    """A command as a page shows it: the fixture to run it in, and the output below it."""

    page: str
    fixture: str
    command: str
    output: str


def shown() -> Iterator[Shown]:
    for page in PAGES:
        text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
        for fixture, indent, language, body in BLOCK.findall(text):
            body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
            if language == "console":
                for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                    command, _, output = part.partition("\n")
                    yield Shown(name, fixture or "wasteful", command, output)
            elif language in ("sh", ""):
                for line in body.splitlines():
                    yield Shown(name, fixture or "wasteful", line.partition("  #")[0].strip(), "")
            else:
                for command in EMBEDDED.findall(body):
                    yield Shown(name, fixture or "wasteful", command, "")
        for command in INLINE.findall(re.sub(BLOCK, "", text)):
            yield Shown(name, "wasteful", command, "")


COMMANDS = list(dict.fromkeys(shown()))


def not_run(command: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


@pytest.mark.parametrize("one", [c for c in COMMANDS if not_run(c.command) is None], ids=lambda one: one.command)
def test_commands_run(one: Shown, tmp_path: Path) -> None:
    """In a copy of the fixture: nothing may be a usage error, and the output is as it is shown."""
    if " confirm " in one.command and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    if " scan " in one.command:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    project = tmp_path / one.fixture
    ignored = shutil.ignore_patterns("__pycache__", ".nograd_lint_cache")
    shutil.copytree(ROOT / "fixtures" / one.fixture, project, ignore=ignored)
    if " repositories" in one.command:
        shutil.copytree(ROOT / "fixtures" / one.fixture, project / "repositories" / one.fixture, ignore=ignored)
    if ".ipynb" in one.command:
        shutil.copy(ROOT / "fixtures/notebook/analysis.ipynb", project)
    words = [sys.executable if word == "python" else word for word in shlex.split(one.command, comments=True)]
    command = [sys.executable, "-m", "nograd_lint", *words[1:]] if words[0] == "nograd-lint" else words
    here = ROOT if words[0] != "nograd-lint" else project
    done = subprocess.run(
        command, cwd=here, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    if one.output:
        figures = rf"\d[\d.]*(?: [KMG]?i?B)?|{SPARKLINE}" if " confirm " in one.command else "(?!)"
        said, printed = (re.sub(figures, "0", text).rstrip() for text in (one.output, done.stdout))
        assert said == printed


def test_what_is_not_run_is_said_to_be() -> None:
    assert len(COMMANDS) > 20
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, one.command) for one in COMMANDS), f"no page shows {pattern!r}"


def test_generated_pages_are_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "", "run `python docs/generate.py`"
    assert done.returncode == 0, done.stderr


def test_images_and_links_are_there() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed")
def test_the_site_builds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/rules/NGL101/index.html").is_file()
