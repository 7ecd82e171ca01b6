"""One file, the same diagnostics through every front end: command line, stdin, flake8, language server, notebook."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("flake8")
pytest.importorskip("pytest_lsp")

from lsprotocol import types
from pytest_lsp import client_capabilities

from nograd_lint import cli

from .lsp_client import WAIT, editor

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="the client uses asyncio.timeout")

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
FILES = sorted(path for path in FIXTURES.rglob("*.py") if "__pycache__" not in path.parts)


class Seen(NamedTuple):
    """What every front end can tell of a diagnostic."""

    code: str
    row: int
    column: int
    message: str


def is_broken(path: Path) -> bool:
    try:
        ast.parse(path.read_bytes())
    except SyntaxError:
        return True
    return False


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.stdout.decode()


def seen(records: Iterable[dict[str, Any]]) -> list[Seen]:
    return sorted(Seen(r["code"], r["location"]["row"], r["location"]["column"], r["message"]) for r in records)


def project_of(path: Path) -> Path:
    return FIXTURES / path.relative_to(FIXTURES).parts[0]


@cache
def whole_run() -> dict[str, list[Seen]]:
    """The diagnostics of all fixtures together."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in json.loads(run("nograd_lint", "check", "--output-format=json", ".", cwd=FIXTURES)):
        found.setdefault(record["filename"], []).append(record)
    return {filename: seen(records) for filename, records in found.items()}


def expected(path: Path) -> list[Seen]:
    return whole_run().get(path.relative_to(FIXTURES).as_posix(), [])


def test_fixtures_have_something_to_report() -> None:
    assert len(whole_run()) > 10


def test_flake8() -> None:
    """All files in one run of flake8, which stops at broken ones by itself."""
    line = re.compile(
        r"^\./(?P<file>[^:]+):(?P<row>\d+):(?P<column>\d+): (?P<code>NGL\d+) (?P<message>.*)$", re.MULTILINE
    )
    found: dict[str, list[Seen]] = {}
    for one in line.finditer(run("flake8", "--isolated", ".", cwd=FIXTURES)):
        shown = Seen(one["code"], int(one["row"]), int(one["column"]), one["message"])
        found.setdefault(one["file"], []).append(shown)
    for path in FILES:
        if not is_broken(path):
            # flake8 reports a thing that is found twice at one place once.
            assert sorted(set(found.get(path.relative_to(FIXTURES).as_posix(), []))) == sorted(set(expected(path)))


def is_imported(path: Path) -> bool:
    """Whether another file of the project imports it, which it could not if it were a notebook."""
    statement = re.compile(rf"^\s*(?:from|import)\s+{path.stem}\b", re.MULTILINE)
    return any(statement.search(other.read_text(encoding="utf-8")) for other in project_of(path).rglob("*.py"))


BOOKS = [path for path in FILES if not is_broken(path) and not is_imported(path)]


def pushed(diagnostics: Iterable[types.Diagnostic]) -> list[Seen]:
    return sorted(
        Seen(str(d.code), d.range.start.line + 1, d.range.start.character + 1, d.message) for d in diagnostics
    )


def test_language_server() -> None:
    """All files opened by a client that is told, and those that nobody imports again as notebooks of one cell."""

    async def drive() -> None:
        capabilities = client_capabilities("visual_studio_code@1.65.2")
        sync = types.NotebookDocumentSyncClientCapabilities()
        capabilities.notebook_document = types.NotebookDocumentClientCapabilities(sync)
        async with editor(FIXTURES, capabilities) as at, asyncio.timeout(10 * WAIT):
            uris = {path: at.open(path.relative_to(FIXTURES).as_posix()) for path in FILES}
            for path, uri in uris.items():
                await at.until(uri, lambda found, path=path: pushed(found) == expected(path))
            for path in BOOKS:
                cell = f"vscode-notebook-cell:{path.with_suffix('.ipynb').as_posix()}#W0"
                item = types.TextDocumentItem(cell, "python", 1, path.read_text(encoding="utf-8"))
                book = types.NotebookDocument(
                    uri=path.with_suffix(".ipynb").as_uri(),
                    notebook_type="jupyter-notebook",
                    version=1,
                    cells=[types.NotebookCell(types.NotebookCellKind.Code, cell)],
                )
                at.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(book, [item]))
                await at.until(cell, lambda found, path=path: pushed(found) == expected(path))

    asyncio.run(drive())


def check(capture: pytest.CaptureFixture[bytes], cwd: Path, *args: str) -> list[dict[str, Any]]:
    with contextlib.chdir(cwd):
        assert cli.run(["check", "--output-format=json", *args]) in (0, 1)
    records: list[dict[str, Any]] = json.loads(capture.readouterr().out)
    return records


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FIXTURES).as_posix())
def test_alone_and_on_stdin(
    path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(path)
    name = path.relative_to(project).as_posix()
    assert seen(check(capfdbinary, project, name)) == expected(path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    assert seen(check(capfdbinary, project, "--stdin-filename", name, "-")) == expected(path)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.relative_to(FIXTURES).as_posix())
def test_as_a_notebook_of_one_cell(path: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """In a copy of the project, where the notebook has taken the place of the file."""
    project = tmp_path / project_of(path).name
    shutil.copytree(project_of(path), project, ignore=shutil.ignore_patterns("__pycache__", ".nograd_lint_cache"))
    file = project / path.relative_to(project_of(path))
    code = file.read_text(encoding="utf-8")
    file.unlink()
    cell = {"cell_type": "code", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
    book = file.with_suffix(".ipynb")
    book.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    records = check(capfdbinary, book.parent, book.name)
    assert all(record["cell"] == 1 for record in records)
    assert seen(records) == expected(path)
