"""The documentation: generated pages are as they would be written, its commands run, and the site builds."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in [*DOCS.glob("*.md"), ROOT / "README.md"])


def commands(page: Path) -> list[str]:
    """The commands of the blocks that show a console."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line.strip()[2:] for block in blocks for line in block.splitlines() if line.strip().startswith("$ ")]


COMMANDS = [
    pytest.param(command, id=f"{page.name}: {command}")
    for page in PAGES
    for command in commands(page)
    if command.startswith("nograd-lint ") and " confirm " not in command  # confirm has tests with torch of its own
]


def test_generated_pages_are_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "", "run `python docs/generate.py`"
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(command: str, tmp_path: Path) -> None:
    """In a copy of the wasteful fixture with the notebook: nothing may be a usage error."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "fixtures/wasteful", project, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "fixtures/notebook/analysis.ipynb", project)
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", "nograd_lint", *words[1:]], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr


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
