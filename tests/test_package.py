"""What is shipped, how it starts, and what it must not import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import nograd_lint
from nograd_lint.rules.registry import all_rules

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(nograd_lint.__file__).parent

# Runs the command line with imports of torch forbidden, then says which of the modules named first were imported.
WATCHED = """
import sys
from importlib.abc import MetaPathFinder

class Forbidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            sys.exit("torch was imported")

sys.meta_path.insert(0, Forbidden())
from nograd_lint.cli import run
watched, sys.argv[1:] = sys.argv[1].split(","), sys.argv[2:]
try:
    code = run()
except SystemExit as stop:
    code = stop.code
print(*sorted(set(watched) & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def start(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


# --- what is imported ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--no-cache", "--jobs", "1", "--select", "ALL", "fixtures"),
        ("check", "--no-cache", "--diff", "fixtures/wasteful"),
        ("check", "--no-cache", "--explain-silence", "fixtures/correct/evaluate.py:10"),
    ],
)
def test_linting_never_imports_torch(arguments: tuple[str, ...]) -> None:
    done = start("-c", WATCHED, "torch,libcst", *arguments)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr.splitlines()[-1] == "libcst"  # it did lint


def test_the_hook_notices_torch() -> None:
    done = start("-c", WATCHED.replace("from nograd_lint.cli import run", "import torch"), "torch", "--version")
    assert done.stderr.strip() == "torch was imported"


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("config", "select")])
def test_starting_is_light(arguments: tuple[str, ...]) -> None:
    heavy = "libcst,tree_sitter,rich,torch,pygls,asyncio,multiprocessing"
    done = start("-c", WATCHED, heavy, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


def test_a_clean_run_without_torch_code_parses_nothing(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("def evaluate(model):\n    return model(1)\n", encoding="utf-8")
    done = start("-c", WATCHED, "libcst,rich,torch", "check", "--no-cache", "--jobs", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (0, "")


# --- how it starts -------------------------------------------------------------------------------------------------


def test_version() -> None:
    done = start("-m", "nograd_lint", "--version")
    assert (done.returncode, done.stdout.split()[-1]) == (0, nograd_lint.__version__)


def test_python_dash_m_lints() -> None:
    done = start("-m", "nograd_lint", "check", "--no-cache", "--output-format", "concise", "fixtures/wasteful")
    assert done.returncode == 1
    assert "NGL104" in done.stdout


# --- what is shipped -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the wheel that is built from the checkout."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    done = start("-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_wheel_holds_the_package_and_nothing_else(wheel: dict[str, bytes]) -> None:
    shipped = {name for name in wheel if ".dist-info/" not in name}
    there = {
        f"nograd_lint/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".nograd_lint_cache" not in path.parts
    }
    assert shipped == there
    assert "nograd_lint/py.typed" in shipped
    assert "nograd_lint/knowledge/torch.toml" in shipped
    assert {
        f"nograd_lint/rules/{code.lower()}_{rule.name.replace('-', '_')}.py" for code, rule in all_rules().items()
    } <= shipped


def test_wheel_declares_its_entry_points_and_licence(wheel: dict[str, bytes]) -> None:
    (about,) = (name.partition("/")[0] for name in wheel if name.endswith(".dist-info/METADATA"))
    entries = wheel[f"{about}/entry_points.txt"].decode()
    assert "nograd-lint = nograd_lint.cli:main" in entries
    assert "NGL = nograd_lint.flake8_plugin:Plugin" in entries
    assert f"{about}/licenses/LICENSE" in wheel
    metadata = wheel[f"{about}/METADATA"].decode()
    assert f"Version: {nograd_lint.__version__}" in metadata
    needed = re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert "libcst" in needed
    assert "torch" not in needed


def test_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(nograd_lint.__version__)}\b", text, re.MULTILINE)
