"""Real processes that fix a directory and come to harm meanwhile: every file stays whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")

FILES = 25
BEFORE = """\
import torch


def evaluate(model, test_loader):
    model.eval()
    return [model(x).argmax(1).tolist() for x, _ in test_loader]
"""
AFTER = BEFORE.replace("def evaluate", "@torch.no_grad()\ndef evaluate")
COMMAND = (sys.executable, "-m", "nograd_lint", "check", "--no-cache", "--fix", "--quiet", ".")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    for number in range(FILES):
        (tmp_path / f"m{number:02}.py").write_text(BEFORE)
    return tmp_path


def contents(directory: Path) -> list[str]:
    return [path.read_text() for path in sorted(directory.glob("*.py"))]


def test_killed_at_any_time(directory: Path) -> None:
    chance = random.Random(1)
    unfinished = 0
    for _ in range(6):
        for path in directory.glob("*.py"):
            path.write_text(BEFORE)
        with subprocess.Popen(COMMAND, cwd=directory, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and AFTER not in contents(directory):
                time.sleep(0.001)
            time.sleep(chance.random() * 0.01)
            process.send_signal(signal.SIGKILL)
        found = contents(directory)
        assert len(found) == FILES
        assert set(found) <= {BEFORE, AFTER}
        unfinished += BEFORE in found
    assert unfinished  # else the process was never killed between two files
    # What was left half done is finished by the next run.
    assert subprocess.run(COMMAND, cwd=directory, check=False).returncode == 0
    assert set(contents(directory)) == {AFTER}


def test_a_full_disk(directory: Path) -> None:
    import resource

    comment = "# padding\n" * 100
    (directory / "m07.py").write_text(comment + BEFORE)

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    run = subprocess.run(
        COMMAND, cwd=directory, capture_output=True, text=True, check=False, preexec_fn=little_room
    )  # fmt: skip
    found = contents(directory)
    assert found.pop(7) == comment + BEFORE
    assert set(found) == {AFTER}
    assert "m07.py: could not be written: file too large" in run.stderr
    assert run.returncode == 2
    assert run.stdout.startswith("m07.py:")  # what could not be fixed is still reported
    assert not list(directory.glob(".nograd-*"))


def test_a_file_that_cannot_be_replaced(directory: Path) -> None:
    locked = directory / "m03.py"
    subprocess.run(("chattr", "+i", locked), check=False, capture_output=True)
    try:
        if _writable(locked):
            pytest.skip("needs a file that nobody may write")
        run = subprocess.run(COMMAND, cwd=directory, capture_output=True, text=True, check=False)
        found = contents(directory)
        assert (found.pop(3), set(found)) == (BEFORE, {AFTER})
        assert (run.returncode, "m03.py: could not be written" in run.stderr) == (2, True)
    finally:
        subprocess.run(("chattr", "-i", locked), check=False, capture_output=True)


def _writable(path: Path) -> bool:
    try:
        with path.open("r+b"):
            return True
    except OSError:
        return False
