"""What is kept between runs: where, for whom, and what happens when it can't be."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nograd_lint import cachedir, linter, parallel
from nograd_lint.config import Resolver
from nograd_lint.engine import Engine
from nograd_lint.project import cache
from nograd_lint.rules.registry import all_rules
from tests.engine import edits
from tests.engine.test_incremental import engine, files, shown

COMMAND = [sys.executable, "-m", "nograd_lint", "check", "--output-format", "json", "--min-confidence", "low"]
DEADLINE = 60.0  # seconds until a test gives up; no measure of speed
GUARDED = """\
import torch
from own import quiet


def evaluate(model, test_loader):
    model.eval()
    with quiet():
        for x, y in test_loader:
            print((model(x).argmax(1) == y).sum().item())
"""


def run(root: Path, *arguments: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run([*COMMAND, *arguments], cwd=root, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def configured(root: Path) -> list[str]:
    """The codes that an engine with a cache reports by the configuration there is."""
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
    one = Engine(resolver.nearest(root).settings, root, resolver=resolver)
    return [d.code for result in one.check(files(root)) for d in result.diagnostics]


def test_a_foreign_database_is_made_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edits.project(tmp_path)
    cold = engine(tmp_path, use_cache=True).check(files(tmp_path))
    path = tmp_path / cachedir.NAME / cache.NAME
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE part (of TEXT)")
    other.close()
    assert engine(tmp_path, use_cache=True).check(files(tmp_path)) == cold
    assert str(path) in capfd.readouterr().err
    assert engine(tmp_path, use_cache=True).check(files(tmp_path)) == cold
    assert capfd.readouterr().err == ""


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    edits.project(tmp_path / "project")
    foreign = tmp_path / "data" / cache.NAME
    foreign.parent.mkdir()
    foreign.write_bytes(b"of great value")
    _, _, notice = run(tmp_path / "project", "--cache-dir", str(foreign.parent))
    assert foreign.read_bytes() == b"of great value"
    assert str(foreign).encode() in notice
    assert list(foreign.parent.iterdir()) == [foreign]


def test_blobs_that_mean_nothing_cost_only_time(tmp_path: Path) -> None:
    edits.project(tmp_path)
    cold = engine(tmp_path, use_cache=True).check(files(tmp_path))
    with sqlite3.connect(tmp_path / cachedir.NAME / cache.NAME) as database:
        database.execute("UPDATE part SET value = x'c1'")
        database.execute("UPDATE state SET value = x'c1'")
    database.close()
    assert engine(tmp_path, use_cache=True).check(files(tmp_path)) == cold


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    edits.project(tmp_path)
    expected = run(tmp_path, "--no-cache")
    assert not (tmp_path / cachedir.NAME).exists()
    (tmp_path / cachedir.NAME).write_text("not a directory")
    assert run(tmp_path) == expected


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_tree_that_is_read_only_is_cached_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    root = tmp_path / "project"
    edits.project(root)
    expected = run(root, "--no-cache")
    root.chmod(0o555)
    try:
        assert run(root) == expected == run(root)
    finally:
        root.chmod(0o755)
    assert list((tmp_path / "caches").rglob(cache.NAME))


def test_clean_knows_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    root = tmp_path / "project"
    edits.project(root)
    places = list(cachedir.candidates(root))
    for place in places:
        cachedir.prepare(place)
    subprocess.run([sys.executable, "-m", "nograd_lint", "clean"], cwd=root, check=True, capture_output=True)
    assert [place.exists() for place in places] == [False, False]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
def test_a_full_disk_costs_only_the_cache(tmp_path: Path) -> None:
    edits.project(tmp_path)
    expected = run(tmp_path, "--no-cache")

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, check=False, preexec_fn=little_room)
    assert (done.returncode, done.stdout, done.stderr) == expected
    assert run(tmp_path) == expected


def test_several_runs_at_once(tmp_path: Path) -> None:
    edits.project(tmp_path)
    expected = run(tmp_path, "--no-cache")
    runs = [subprocess.Popen(COMMAND, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    found = [(*process.communicate(timeout=DEADLINE), process.returncode) for process in runs]
    assert {(code, out, err) for out, err, code in found} == {expected}
    assert run(tmp_path) == expected


def test_its_size_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LARGEST", 300_000)
    edits.project(tmp_path)
    path = tmp_path / "wasteful" / "evaluate.py"
    text = path.read_text()
    sizes = []
    for number in range(12):
        path.write_text("\n\n".join(text.replace("def ", f"def n{number}_{i}_") for i in range(25)))
        warm = shown(engine(tmp_path, use_cache=True).check([path]))
        sizes.append((tmp_path / cachedir.NAME / cache.NAME).stat().st_size)
    assert warm == shown(engine(tmp_path).check([path]))
    assert max(sizes) < 2_000_000
    assert max(sizes[6:]) <= max(sizes[:6]) + 300_000


def test_what_is_configured_counts(tmp_path: Path) -> None:
    (tmp_path / "evaluate.py").write_text(GUARDED)
    configuration, knowledge = tmp_path / "nograd-lint.toml", tmp_path / "own.toml"
    says = 'name = "own"\nmodules = ["own"]\n\n[[guard]]\nnames = ["own.quiet"]\nmode = "{}"\nwhy = "so"\n'
    configuration.write_text("")
    assert configured(tmp_path) == ["NGL101"]
    configuration.write_text('knowledge = ["own.toml"]\n')
    knowledge.write_text(says.format("disabled"))
    assert configured(tmp_path) == []
    knowledge.write_text(says.format("enabled"))
    assert configured(tmp_path) == ["NGL101"]
    configuration.write_text('ignore = ["NGL101"]\n')
    assert configured(tmp_path) == []
    configuration.write_text("")
    assert configured(tmp_path) == ["NGL101"]


def test_times_that_changed_alone_are_learnt(tmp_path: Path) -> None:
    edits.project(tmp_path)
    first = engine(tmp_path, use_cache=True).check(files(tmp_path))
    for path in files(tmp_path):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    for _ in range(2):
        warm = engine(tmp_path, use_cache=True)
        assert warm.check(files(tmp_path)) == first
        [one] = warm._linters.values()
        assert one._world is None
    assert not one._changed
    assert one.files["validate.py"][0][1] == 1_600_000_000 * 10**9


def test_what_stdin_stands_for_leaves_a_cache_behind(tmp_path: Path) -> None:
    edits.project(tmp_path)
    cold = engine(tmp_path).check(files(tmp_path))
    path = tmp_path / "wasteful" / "model.py"
    engine(tmp_path, use_cache=True).check([path], contents={path: b"class Other:\n    pass\n"})
    assert (tmp_path / cachedir.NAME / cache.NAME).exists()
    assert engine(tmp_path, use_cache=True).check(files(tmp_path)) == cold


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="one process does it all")
def test_files_of_a_process_that_dies_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edits.project(tmp_path)
    expected = engine(tmp_path).check(files(tmp_path))
    parent = os.getpid()
    judge, died = linter.Linter.judge, tmp_path / "died"

    def deadly(self: linter.Linter, name: str, *rest: object) -> object:
        if name == "wasteful/evaluate.py" and os.getpid() != parent:
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return judge(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(parallel, "_WORTH_IT", 1)
    monkeypatch.setattr(linter.Linter, "judge", deadly)
    assert engine(tmp_path).check(files(tmp_path), jobs=2) == expected
    assert died.exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="one process does it all")
def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    edits.project(tmp_path)
    text = (tmp_path / "wasteful" / "evaluate.py").read_text()
    for number in range(300):
        function = text.replace("def ", f"def n{number}_")
        (tmp_path / f"part_{number}.py").write_text(
            "\n\n".join(function.replace("def ", f"def n{i}_") for i in range(9))
        )
    process = subprocess.Popen(
        [*COMMAND, "--jobs", "3"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    watched = psutil.Process(process.pid)
    end = time.monotonic() + DEADLINE
    while len(children := watched.children()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells them all
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert said.strip() == b"nograd-lint: interrupted"
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_the_order_of_paths_does_not_matter(tmp_path: Path) -> None:
    edits.project(tmp_path)
    names = [str(path.relative_to(tmp_path)) for path in files(tmp_path)]
    assert run(tmp_path, *names) == run(tmp_path, *names[::-1]) == run(tmp_path, "--jobs", "2", "--no-cache", ".")
