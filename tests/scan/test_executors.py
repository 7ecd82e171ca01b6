"""The map over files runs on any executor; what stands against it is told in one line."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nograd_lint import remote
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence, FileResult
from nograd_lint.engine import Engine
from nograd_lint.executors import ExecutorError, Pool, Processes
from nograd_lint.rules.registry import all_rules
from nograd_lint.scan.work import lint
from nograd_lint.settings import Selection, Settings
from tests.engine import edits
from tests.scan.conftest import Run


def check(root: Path, pool: Pool | None = None, *, use_cache: bool = False) -> list[FileResult]:
    resolver = Resolver(
        {code: (rule.name, rule.default) for code, rule in all_rules().items()},
        overrides={"min_confidence": Confidence.LOW},
        selection=Selection(select=("ALL",)),
    )
    return Engine(Settings(), root, resolver=resolver, use_cache=use_cache).check(sorted(root.rglob("*.py")), pool=pool)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, Processes])
def test_any_executor_gives_the_results_of_this_process(
    kind: type[Executor | Processes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_WORTH_IT", 1)
    edits.project(tmp_path)
    (tmp_path / "wasteful" / "pyproject.toml").write_text("[tool.nograd-lint]\nignore = ['NGL103']\n")
    here = check(tmp_path)
    with Processes(2) if kind is Processes else Pool(kind(2), 2) as pool:  # type: ignore[call-arg, arg-type]
        assert check(tmp_path, pool) == here
        assert check(tmp_path, pool, use_cache=True) == here
        assert not pool.lost
    assert check(tmp_path, use_cache=True) == here


class Dropping(Executor):
    """It takes work, and does none of it."""

    def submit(self, function: object, /, *args: object, **kwargs: object) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_what_an_executor_does_not_do_is_done_here(tmp_path: Path) -> None:
    edits.project(tmp_path)
    with Pool(Dropping(), 1) as pool:
        assert check(tmp_path, pool) == check(tmp_path)
        assert pool.lost == ["the work was cancelled"]


def test_another_version_and_what_a_worker_does_not_see(tmp_path: Path) -> None:
    from nograd_lint.linter import signature

    with pytest.raises(ExecutorError, match="another version of nograd-lint"):
        lint(b"another", str(tmp_path), {}, 1, 1)
    with pytest.raises(ExecutorError, match=r"does not see .*nowhere"):
        lint(signature(), str(tmp_path / "nowhere"), {}, 1, 1)


@pytest.mark.parametrize(
    ("package", "extra", "arguments"),
    [
        ("pyarrow", "scan", ["scan", ".", "-o", "x.parquet"]),
        ("dask", "dask", ["check", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:1", "."]),
    ],
)
def test_an_extra_that_is_missing(package: str, extra: str, arguments: list[str], tmp_path: Path) -> None:
    script = f"import sys\nsys.modules[{package!r}] = None\nfrom nograd_lint.cli import main\nmain({arguments!r})"
    (tmp_path / "a.py").write_text("import torch\n")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith(f"needs the package {package}: install it with pip install 'nograd-lint[{extra}]'\n")
    assert done.stderr.count("\n") == 1


def test_a_cluster_needs_an_address(run: Run) -> None:
    done = run("check", "--executor", "dask", ".")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--scheduler" in done.stderr
