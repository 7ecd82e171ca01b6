"""A Dask cluster gives what this machine gives, also when a worker is killed midway; the real thing, on two workers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nograd_lint import cli, executors
from tests.scan.conftest import DEADLINE, Run, many

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask,scan]'")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


class Cluster:
    """A scheduler and workers, each a process of its own; nobody starts a worker again that dies."""

    def __init__(self, folder: Path, workers: int) -> None:
        file = folder / "scheduler.json"
        self.processes = [self._start("dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))]
        for number in range(workers):
            self.processes.append(
                self._start(
                    "dask_worker", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "1", "--no-dashboard",
                    "--name", f"w{number}", "--local-directory", str(folder),
                )
            )  # fmt: skip
        self.client = distributed.Client(scheduler_file=str(file), timeout=DEADLINE, set_as_default=False)
        self.client.wait_for_workers(workers, timeout=DEADLINE)
        self.address: str = self.client.scheduler.address

    @staticmethod
    def _start(program: str, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", "--host", "127.0.0.1", *args],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill_one_midway(self, work: str) -> None:
        """Wait until some work is done and more of it is under way, then kill who does it."""

        def look(dask_scheduler: Any) -> str | None:
            done = any(p.name == work and "compute" in p.all_durations for p in dask_scheduler.task_prefixes.values())
            busy = [w.name for w in dask_scheduler.workers.values() if any(work in t.key for t in w.processing)]
            return busy[0] if done and busy else None

        end = time.monotonic() + DEADLINE
        while (victim := self.client.run_on_scheduler(look)) is None:
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)
        process = self.processes[1 + int(victim[1:])]
        process.kill()
        assert process.wait(DEADLINE) == -signal.SIGKILL

    def close(self) -> None:
        self.client.close()
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"), 2)
    yield started
    started.close()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line and do not wait for it."""
    processes = []

    def start(*args: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nograd_lint", *map(str, args)],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_killed_worker_changes_nothing_about_a_check(
    tmp_path: Path, run: Run, begin: Callable[..., subprocess.Popen[str]], cluster: Cluster
) -> None:
    many(tmp_path / "project", 24)
    (tmp_path / "project" / "pyproject.toml").write_text('[project]\nname = "x"\n')
    many(tmp_path / "project" / "inner", 3)  # a project of its own
    (tmp_path / "project" / "inner" / "setup.py").write_text("")
    (tmp_path / "project" / "secret.py").write_bytes(b"import torch\n\xff\n")  # undecodable: said as ever
    check = ("check", "--output-format", "json", "project")
    local = run(*check, "--no-cache")
    assert (local.returncode, local.stdout.count('"fingerprint"') > 200) == (2, True)
    process = begin(*check, "--executor", "dask", "--scheduler", cluster.address)
    cluster.kill_one_midway("judge")
    out, err = process.communicate(timeout=DEADLINE)
    assert (out, err, process.returncode) == (local.stdout, local.stderr, local.returncode)
    warm = run(*check)  # what the workers found out is kept here
    assert (warm.stdout, warm.stderr, warm.returncode) == (local.stdout, local.stderr, local.returncode)


def test_a_killed_worker_changes_nothing_about_a_scan(
    tmp_path: Path, run: Run, begin: Callable[..., subprocess.Popen[str]], cluster: Cluster
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install '.[dask,scan]'")
    for number in range(8):
        many(tmp_path / "corpus" / f"r{number}", 3)
    local = run("scan", "corpus", "-o", "local.parquet", "--jobs", "2")
    process = begin("scan", "corpus", "-o", "dask.parquet", "--executor", "dask", "--scheduler", cluster.address)
    cluster.kill_one_midway("lint")
    out, err = process.communicate(timeout=DEADLINE)
    assert (out.replace("dask.", "local."), err, process.returncode) == (local.stdout, "", 1)
    assert (tmp_path / "dask.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("nowhere", "nowhere is no address of a Dask scheduler, such as tcp://host:8786\n"),
        ("tcp://127.0.0.1:9", "no Dask scheduler at tcp://127.0.0.1:9: "),
    ],
)
def test_a_cluster_that_is_not_there(
    scheduler: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executors, "_CONNECT", 1)
    (tmp_path / "a.py").write_text("import torch\n")
    assert cli.run(["check", "--no-cache", "--executor", "dask", "--scheduler", scheduler, str(tmp_path)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"nograd-lint: {message}")


def test_workers_that_differ_are_refused(tmp_path: Path, run: Run, cluster: Cluster) -> None:
    """A worker that holds another nograd-lint, as far as it can tell."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "a.py").write_text("import torch\n")

    def age() -> None:
        from nograd_lint import linter

        linter._SIGNATURE[:] = [b"another version"]

    # The scheduler is looked at first.
    for run_there, who in (
        (cluster.client.run, "worker at tcp://"),
        (cluster.client.run_on_scheduler, "scheduler has"),
    ):
        run_there(age)
        done = run("check", "--no-cache", "--executor", "dask", "--scheduler", cluster.address, ".")
        assert done.returncode == 2
        assert done.stderr.startswith(f"nograd-lint: the {who}")
        assert "another version of nograd-lint" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_cluster_without_the_linter_is_refused(tmp_path: Path, run: Run, cluster: Cluster) -> None:
    (tmp_path / "a.py").write_text("import torch\n")

    def lose() -> None:
        import sys

        sys.modules["nograd_lint.linter"] = None  # type: ignore[assignment]

    cluster.client.run(lose)
    done = run("check", "--no-cache", "--executor", "dask", "--scheduler", cluster.address, ".")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("nograd-lint: the worker at tcp://")
    assert "has no nograd-lint: install it there, too" in done.stderr
