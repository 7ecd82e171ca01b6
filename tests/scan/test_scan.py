"""``nograd-lint scan``: every repository as ``check`` sees it, from a directory or a Parquet file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from nograd_lint import cli
from tests.scan.conftest import DEADLINE, Run, many

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install '.[scan]'")

import pyarrow as pa
import pyarrow.parquet as pq

from nograd_lint.scan import run as running

Row = dict[str, Any]
Scan = Callable[..., "tuple[int, list[Row], str]"]


@pytest.fixture
def scan(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Scan:
    """Scan in this process; exit code, rows, and what was said on stderr."""

    def start(source: Path, *args: str) -> tuple[int, list[Row], str]:
        output = tmp_path / "out.parquet"
        output.unlink(missing_ok=True)
        code = cli.run(["scan", str(source), "--output-file", str(output), "--jobs", "2", *args])
        rows = pq.read_table(output).to_pylist() if output.exists() else []
        return code, rows, capfd.readouterr().err

    return start


def sources(corpus: Path, target: Path, **columns: str) -> Path:
    """The corpus as a Parquet file."""
    rows = [
        {"repository": repository.name, "path": file.relative_to(repository).as_posix(), "source": file.read_text()}
        for repository in sorted(corpus.iterdir())
        for file in sorted(repository.rglob("*"))
        if file.is_file()
    ]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.rename_columns([columns.get(name, name) for name in table.column_names]), target)
    return target


def plain(value: Any) -> Any:
    """A record without the fields that it does not have."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None and k not in ("repository", "measured")}
    return [plain(item) for item in value] if isinstance(value, list) else value


# --- the same as check ------------------------------------------------------------------------------------------------


def test_each_repository_as_check_sees_it(corpus: Path, scan: Scan, run: Run) -> None:
    code, rows, said = scan(corpus)
    assert (code, said) == (1, "")
    for repository in sorted(corpus.iterdir()):
        (repository / ".git").mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "nograd_lint", "check", "--no-cache", "--output-format", "json"],
            cwd=repository, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert plain([row for row in rows if row["repository"] == repository.name]) == plain(json.loads(done.stdout))
    assert [row["repository"] for row in rows] == sorted(row["repository"] for row in rows)
    assert {"wasteful", "unmarked", "notebook"} <= {row["repository"] for row in rows}
    assert not list(corpus.rglob(".nograd_lint_cache"))


def test_a_parquet_file_of_sources_is_as_good_as_a_directory(corpus: Path, scan: Scan, tmp_path: Path) -> None:
    directory = scan(corpus)
    assert scan(sources(corpus, tmp_path / "sources.parquet")) == directory
    other = sources(corpus, tmp_path / "other.parquet", repository="repo_name", source="code")
    assert scan(other, "--column", "repository=repo_name", "--column", "source=code") == directory


def test_a_large_repository_is_the_work_of_several(
    corpus: Path, scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scan(corpus)
    monkeypatch.setattr(running, "_PART", 2_000)
    assert scan(corpus) == whole
    assert scan(sources(corpus, tmp_path / "sources.parquet")) == whole


def test_repositories_of_owners(corpus: Path, scan: Scan) -> None:
    (corpus / "owner").mkdir()
    for name in ("wasteful", "correct"):
        (corpus / name).rename(corpus / "owner" / name)
    _, rows, _ = scan(corpus, "--depth", "2")
    assert {row["repository"] for row in rows} == {"owner/wasteful"}


def test_options_and_exit_codes(corpus: Path, scan: Scan) -> None:
    code, rows, _ = scan(corpus, "--select", "NGL104", "--fail-on", "error", "--isolated")
    assert (code, {row["code"] for row in rows}) == (1, {"NGL104"})
    code, rows, _ = scan(corpus, "--select", "NGL101", "--fail-on", "error")
    assert (code, {row["code"] for row in rows}) == (0, {"NGL101"})
    assert scan(corpus, "--exit-zero")[0] == 0
    assert scan(corpus, "--select", "NGL902")[:2] == (0, [])


# --- lost workers -----------------------------------------------------------------------------------------------------


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = [p for p in psutil.Process(process.pid).children() if p.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def kill(doomed: list[psutil.Process]) -> None:
    for one in doomed:
        one.kill()
    assert not psutil.wait_procs(doomed, DEADLINE)[1]


def start(tmp_path: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nograd_lint", "scan", *args],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def reader(fifo: Path) -> int:
    """Wait until somebody reads a pipe; the end to write to."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_lost_worker_is_replaced_and_what_kills_workers_is_named(tmp_path: Path, scan: Scan, corpus: Path) -> None:
    """A repository whose requirements are a pipe keeps its worker waiting, as long as it takes to kill that."""
    _, expected, _ = scan(corpus)
    fifo = corpus / "unmarked" / "requirements.txt"
    os.mkfifo(fifo)
    process = start(tmp_path, "corpus", "-o", "out.parquet", "--jobs", "2")
    writer = reader(fifo)
    kill(workers(process))
    os.close(writer)
    os.close(reader(fifo))  # tried again, and this time there is nothing in the way
    _, said = process.communicate(timeout=DEADLINE)
    assert (process.returncode, said) == (1, "")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected

    process = start(tmp_path, "corpus", "-o", "out.parquet", "--jobs", "2")
    for _ in range(3):
        writer = reader(fifo)
        kill(workers(process))
        os.close(writer)
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert said == "nograd-lint: unmarked: every worker that worked on it died; it may need more memory\n"
    left = [row for row in expected if row["repository"] != "unmarked"]
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == left


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    many(tmp_path / "corpus" / "r", 30)
    many(tmp_path / "corpus" / "s", 30)
    process = start(tmp_path, "corpus", "-o", "out.parquet", "--jobs", "2")
    end = time.monotonic() + DEADLINE
    while len(children := workers(process)) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=DEADLINE)
    assert (process.returncode, said.strip()) == (130, "nograd-lint: interrupted")
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


# --- what is wrong ----------------------------------------------------------------------------------------------------


def test_a_repository_that_can_not_be_linted_does_not_stop_the_others(scan: Scan, corpus: Path) -> None:
    _, expected, _ = scan(corpus)
    (corpus / "correct" / "nograd-lint.toml").write_text("colour = 1\n")
    (corpus / "wasteful" / "binary.py").write_bytes(b"import torch\n\xff\n")
    code, rows, said = scan(corpus)
    assert (code, rows) == (2, expected)
    first, second = said.splitlines()
    assert first.startswith("nograd-lint: correct: nograd-lint.toml: unknown key `colour`")
    assert second.startswith("nograd-lint: wasteful/binary.py: ")


def write(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_rows_that_are_no_files(scan: Scan, tmp_path: Path) -> None:
    text = "import torch\n"
    bad = ["../up.py", "/abs.py", "C:/drive.py", "a/../../b.py", "", None]
    rows = [{"repository": "r", "path": path, "source": text} for path in (*bad, "a.py", "a.py", "a.py/b.py")]
    file = write(tmp_path / "in.parquet", [*rows, {"repository": "r", "path": "none.py", "source": None}])
    code, found, said = scan(file)
    assert (code, found) == (2, [])
    assert said.count("no path inside of the repository") == len(bad)
    assert "r/a.py: occurs twice" in said
    assert "r/none.py: without source" in said
    assert "r/a.py/b.py: " in said
    assert said.count("\n") == len(bad) + 3
    assert not (tmp_path / "up.py").exists()


def one(**row: Any) -> list[Row]:
    return [{"repository": "r", "path": "a.py", "source": "import torch\n", **row}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"repo": "r", "path": "a.py", "source": ""}], "no column `repository` (there are repo, path, source)"),
        (one(source=1), "the column `source` holds int64 where text is expected"),
        ([*one(), *one(repository="s"), *one(path="b.py")],
         "the rows of the repository r do not stand together (from row 1, and again from row 3): sort the file by"),
    ],
)  # fmt: skip
def test_a_parquet_file_that_is_not_of_sources(rows: list[Row], message: str, tmp_path: Path, scan: Scan) -> None:
    code, _, said = scan(write(tmp_path / "in.parquet", rows))
    assert (code, said.count("\n")) == (2, 1)
    assert f"in.parquet: {message}" in said


def test_other_mistakes_are_one_line(tmp_path: Path, scan: Scan) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.parquet").write_text("no Parquet")
    (tmp_path / "some" / "r").mkdir(parents=True)
    some = tmp_path / "some"
    for source, args, message in (
        (tmp_path / "nowhere", (), "no such file or directory"),
        (tmp_path / "empty", (), "holds no directories that could be repositories"),
        (tmp_path / "text.parquet", (), "no Parquet file that can be read"),
        (some, ("--select", "NGL999"), "NGL999"),
        (some, ("--config", "nowhere.toml"), "no such configuration file"),
        (some, ("--config", "nowhere.toml", "--isolated"), "exclude each other"),
        (some, ("--column", "name=x"), "is not one of repository, path, source"),
        (some, ("--output-file", str(tmp_path / "text.parquet" / "out")), "text.parquet"),
        (some, ("--executor", "dask"), "--scheduler"),
    ):
        code, _, said = scan(source, *args)
        assert (code, said.count("\n")) == (2, 1), said
        assert message in said
