"""What only a process of its own shows: start-up, pipes, terminals, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "nograd_lint"]
HEAVY = {"libcst", "tree_sitter", "tree_sitter_python", "rich", "pathspec", "msgspec", "nograd_lint.engine", "torch"}
DEADLINE = 60.0  # seconds until a test gives up; no measure of speed


def test_start_up_is_light() -> None:
    script = "import sys\nfrom nograd_lint.cli import run\nassert run(['--version']) == 0\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_linting_never_imports_torch(project: Path) -> None:
    script = "import sys\nfrom nograd_lint.cli import run\nassert run(['check', '-q']) == 1\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.splitlines()[-1].split()


def test_exit_codes_reach_the_shell(project: Path) -> None:
    for args, code in ((["check"], 1), (["check", "pkg/clean.py"], 0), (["check", "--nonsense"], 2)):
        assert subprocess.run([*COMMAND, *args], capture_output=True, check=False).returncode == code


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_a_reader_that_goes_away_ends_the_run_quietly(project: Path, output_format: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "check", "--output-format", output_format], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(DEADLINE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("output_format", ["text", "json"])
def test_a_full_disk_is_one_line(project: Path, output_format: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "check", "--output-format", output_format], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"nograd-lint: cannot write the report: no space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_poor_encoding_of_stdout_stops_nothing(project: Path, encoding: str) -> None:
    source = (project / "pkg/evaluate.py").read_text() + "# modèle 模型\n"
    (project / "pkg/evaluate.py").write_text(source.replace("model(x)\n", "model(x)  # 模型\n"), encoding="utf-8")
    done = subprocess.run(
        [*COMMAND, "check"], capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert done.returncode == 1
    assert rb"model(x)  # \u6a21\u578b" in done.stdout
    done = subprocess.run(
        [*COMMAND, "check", "--output-format", "json"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.stdout.decode("utf-8").startswith("[")


def test_a_filename_that_is_not_utf_8(project: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("other systems refuse such names")
    (project / os.fsdecode(b"pkg/ev\xe9.py")).write_bytes((project / "pkg/evaluate.py").read_bytes())
    for output_format in ("text", "json", "sarif", "junit", "github", "gitlab"):
        done = subprocess.run([*COMMAND, "check", "--output-format", output_format], capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        assert b"NGL101" in done.stdout


# --- terminals ------------------------------------------------------------------------------------------------------


def in_terminal(args: list[str], command: list[str] = COMMAND, **environment: str) -> str:
    """The output of a command whose stdout and stderr are a terminal."""
    pty = pytest.importorskip("pty", reason="needs a terminal")
    ours, theirs = pty.openpty()
    clean = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [*command, *args], stdout=theirs, stderr=theirs, env={**clean, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    os.close(ours)
    process.wait(DEADLINE)
    return output.decode()


def test_colour_on_a_terminal(project: Path) -> None:
    assert "\x1b[33m" in in_terminal(["check"])
    assert "\x1b[" not in in_terminal(["check"], NO_COLOR="1")
    assert "\x1b[" not in in_terminal(["check"], TERM="dumb")
    assert "\x1b[" not in in_terminal(["check", "--output-format", "json"])


PROGRESS = """
import time
from nograd_lint.cli import progress

progress.DELAY = {delay}
with progress.Progress(enabled={enabled}) as report:
    for done in range(4):
        report(done, 4)
        time.sleep(0.3)
"""


@pytest.mark.parametrize(("delay", "enabled", "shown"), [(0.01, True, True), (60.0, True, False), (0.01, False, False)])
def test_a_progress_bar_for_long_runs(project: Path, delay: float, enabled: bool, shown: bool) -> None:
    script = PROGRESS.format(delay=delay, enabled=enabled)
    assert ("Linting" in in_terminal(["-c", script], [sys.executable])) is shown
    piped = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert (piped.stdout, piped.stderr) == (b"", b"")


# --- watching -------------------------------------------------------------------------------------------------------


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_watch_lints_again_when_a_file_changes(project: Path) -> None:
    report, log = project.parent / "report.txt", project.parent / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen([*COMMAND, "check", "--watch", "--output-file", str(report)], stderr=stream)
    try:
        eventually(lambda: log.read_text().count("Watching") == 1)
        assert "NGL101" in report.read_text()
        broken = project / "nograd-lint.toml"
        broken.write_text("select = [\n")
        eventually(lambda: log.read_text().count("Watching") == 2)
        assert "not valid TOML" in log.read_text()
        broken.unlink()
        (project / "pkg/evaluate.py").write_text("x = 1\n")
        eventually(lambda: report.read_text().startswith("No diagnostics"))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
