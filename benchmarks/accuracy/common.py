"""What the scripts of the accuracy benchmark share: where the packages lie, the labels, and the tools."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("NOGRAD_LINT_BENCHMARK_DATA") or HERE.parent / "data")
TREES = DATA / "trees"
TIMEOUT = 1800
FAMILIES = {"1": "missing", "2": "training", "3": "ineffective"}
REDUCED = "reduced"
ECOSYSTEM = HERE / "ecosystem.json"  # figures of the last run over everything


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    kind: str
    file: str
    sha256: str

    @property
    def key(self) -> str:
        return f"{self.name}-{self.version}"


@dataclass(frozen=True)
class Finding:
    """One thing that a tool reports, with the family that it means (None: nothing about grad mode)."""

    path: str
    line: int
    function: str
    code: str
    family: str | None
    confidence: str = ""
    whole_file: bool = False


class ToolError(Exception):
    pass


def packages(file: Path = HERE / "packages.toml") -> list[Package]:
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Package(**entry) for entry in document["package"]]


def labels() -> list[dict[str, Any]]:
    lines = (HERE / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def tree(key: str) -> Path:
    """The folder of a package's sources (or of the reduced examples), a project root of its own."""
    root = TREES / key
    if key == REDUCED:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        for source in sorted((HERE / REDUCED).glob("*.py")):
            shutil.copy(source, root)
    if not root.is_dir():
        raise SystemExit(f"{root} is missing: run {HERE / 'fetch.py'} first")
    (root / ".git").mkdir(exist_ok=True)  # ends the search for the project root here
    return root


@lru_cache(maxsize=8192)
def _functions(path: Path) -> list[tuple[int, int, str]]:
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return []
    found: list[tuple[int, int, str]] = []

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = prefix + child.name
                if not isinstance(child, ast.ClassDef):
                    first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                    found.append((first, child.end_lineno or first, name))
                walk(child, name + ".")
            else:
                walk(child, prefix)

    walk(module, "")
    return found


def enclosing(path: Path, line: int) -> str:
    """The qualified name of the innermost function around a line, decorators included."""
    around = [(last - first, name) for first, last, name in _functions(path) if first <= line <= last]
    return min(around)[1] if around else "<module>"


def _run(arguments: list[str], cwd: Path, ok: Iterable[int] | None = (0, 1)) -> str:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if ok is not None and done.returncode not in ok:
        raise ToolError(f"exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _finding(root: Path, filename: str, line: int, code: str, family: str | None, confidence: str = "") -> Finding:
    path = (root / filename).resolve()
    relative = path.relative_to(root.resolve()).as_posix()
    return Finding(relative, line, enclosing(path, line), code, family, confidence)


def nograd_lint(root: Path, _files: list[str]) -> Iterator[Finding]:
    """The whole package in one run: its project analysis needs the callers anyway."""
    exe = os.environ.get("NGL", "nograd-lint")
    # exit 2: some file could not be read or parsed; what was found is printed all the same
    out = _run([exe, "check", "--output-format", "json", "--no-cache", "--isolated", "."], root, ok=(0, 1, 2))
    if not out.strip():
        raise ToolError("no output")
    for d in json.loads(out):
        code = d["code"]
        family = FAMILIES.get(code[3:4]) if code.startswith("NGL") else None
        yield _finding(root, d["filename"], d["location"]["row"], code, family, d["confidence"])


def torch_preflight(root: Path, files: list[str]) -> Iterator[Finding]:
    exe = os.environ.get("TPF", "torch-preflight")
    out = _run([exe, "check", "--format", "json", "-j", "1", *files], root, ok=None)
    for d in json.loads(out or "{}").get("diagnostics", []):
        yield _finding(root, d["path"], d["line"], d["code"], "missing" if d["code"] == "TG002" else None)


def hotpath(root: Path, files: list[str]) -> Iterator[Finding]:
    """It speaks of files ("calls eval() but does not use no_grad"), at line 1: that counts for every place in them."""
    exe = os.environ.get("HPF", "hotpath")
    for file in files:
        try:
            document = json.loads(_run([exe, "analyze", "--format", "json", file], root, ok=None))
        except ValueError:
            continue  # it prints nothing for files that it cannot read
        for entry in document.get("files", []):
            for d in entry["findings"]:
                about_guards = "no_grad" in d["message"] or "no_grad" in d["title"]
                found = _finding(root, entry["path"], d["line"], d["rule_id"], "missing" if about_guards else None)
                yield replace(found, whole_file=about_guards and d["line"] == 1)


def torchfix(root: Path, files: list[str]) -> Iterator[Finding]:
    """TorchFix has no rule of the three families (its nearest is TOR002, a misspelt requires_grad)."""
    exe = os.environ.get("TFX", "torchfix")
    out = _run([exe, "--select", "ALL", *files], root, ok=None)
    for filename, line, code in re.findall(r"^(.+?):(\d+):\d+: (TOR\d+)", out, re.MULTILINE):
        yield _finding(root, filename, int(line), code, None)


Tool = Callable[[Path, list[str]], Iterator[Finding]]
TOOLS: dict[str, Tool] = {
    "nograd-lint": nograd_lint,
    "torch-preflight": torch_preflight,
    "hotpath-ai": hotpath,
    "TorchFix": torchfix,
}
EXECUTABLES = {"nograd-lint": "NGL", "torch-preflight": "TPF", "hotpath-ai": "HPF", "TorchFix": "TFX"}
DEFAULT_NAMES = {"NGL": "nograd-lint", "TPF": "torch-preflight", "HPF": "hotpath", "TFX": "torchfix"}


def executable(tool: str) -> str | None:
    variable = EXECUTABLES[tool]
    return shutil.which(os.environ.get(variable, DEFAULT_NAMES[variable]))


def version(tool: str) -> str:
    """The installed version, asked of the Python that runs the tool."""
    found = executable(tool)
    if found is None:
        return "?"
    if tool == "nograd-lint":  # may be a wrapper around a checkout
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.split()
        return said[-1] if said else "?"
    python = Path(found).parent / "python"
    code = f"import importlib.metadata as m; print(m.version({tool!r}))"
    done = subprocess.run(
        [str(python if python.exists() else sys.executable), "-c", code], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "?"
