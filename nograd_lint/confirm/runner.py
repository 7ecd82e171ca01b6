"""Run the program once, in a process group of its own, and leave nothing of it behind."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil

from nograd_lint.confirm.command import BOOT, Command
from nograd_lint.confirm.results import RunResult, read

MARK = "NOGRAD_LINT_CONFIRM"  # in the environment of the program and of all that it starts
POLL = 0.1
OUTPUT = 16 * 2**20  # bytes of output that are kept to be compared
TREE = 20_000  # files that are looked at for changes
SKIPPED = frozenset((".git", ".hg", ".svn", "__pycache__", "node_modules", ".nograd_lint_cache", "site-packages"))


class Limits(msgspec.Struct, frozen=True):
    """Seconds per run, and bytes of resident memory of the program and its children together."""

    seconds: float
    memory: int


class Place(msgspec.Struct, frozen=True):
    """Where a run happens: working directory, the tree that is watched for written files, a place for our files."""

    cwd: Path
    tree: Path
    scratch: Path


def default_memory_limit() -> int:
    """What is available now, less a tenth: better the program ends than the machine."""
    return int(psutil.virtual_memory().available * 0.9)


def environment(scratch: Path, token: str, *, pytest: bool, seeded: bool) -> dict[str, str]:
    """The user's environment, with as little changed as possible."""
    env = dict(os.environ)
    env[MARK] = token
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["KINETO_LOG_LEVEL"] = "99"  # the profiler talks otherwise
    if seeded:
        env["PYTHONHASHSEED"] = "0"
        env.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if pytest:
        cache = scratch / "pytest_cache"
        env["PYTEST_ADDOPTS"] = f"{env.get('PYTEST_ADDOPTS', '')} -o cache_dir='{cache}'".strip()
    return env


def run(
    plan: dict[str, Any],
    command: Command,
    place: Place,
    limits: Limits,
    *,
    echo: bool = False,
    tick: Callable[[float], None] | None = None,
) -> RunResult:
    """Run the program under ``plan``. With ``echo`` what it prints goes to our stderr as it comes."""
    name: str = plan["run"]
    token = secrets.token_hex(8)
    results = place.scratch / f"{name}-{token}.jsonl"
    plan_file = place.scratch / f"{name}-{token}.json"
    plan_file.write_text(json.dumps({**plan, "results": str(results), "command": command.child()}), "utf-8")
    before = _modified(place.tree)
    result = RunResult(name)
    begun = time.monotonic()
    env = environment(place.scratch, token, pytest=command.is_pytest, seeded=plan.get("seed") is not None)
    argv = [*command.interpreter, str(BOOT), str(plan_file)]
    try:
        process = subprocess.Popen(
            argv, cwd=place.cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        result.stderr = f"cannot start {command.interpreter[0]}: {error.strerror or error}"
        result.code = 127
        return result
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [_Reader(process.stdout, echo=echo), _Reader(process.stderr, echo=echo)]
    tree = _Tree(process.pid, token)
    try:
        result.stopped = _wait(process, tree, limits, begun, tick)
    finally:
        if process.poll() is None:
            tree.end()
            process.wait()
        result.left_over = tree.end_rest()
        for reader in readers:
            reader.join(5)
    result.code = process.returncode
    result.seconds = time.monotonic() - begun
    result.max_rss = tree.max_rss
    result.stdout, result.stderr = (reader.text() for reader in readers)
    result.written = _changes(before, _modified(place.tree))
    read(results, result)
    return result


def _wait(
    process: subprocess.Popen[bytes],
    tree: _Tree,
    limits: Limits,
    begun: float,
    tick: Callable[[float], None] | None,
) -> str | None:
    """Until the program ends; why it was stopped if it did not end by itself."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
            return None
        elapsed = time.monotonic() - begun
        if tick is not None:
            tick(elapsed)
        if elapsed > limits.seconds:
            return "timeout"
        if tree.look() > limits.memory:
            return "memory"


class _Tree:
    """The program and everything that it started, as far as it was seen."""

    def __init__(self, pid: int, token: str) -> None:
        self.pid = pid
        self.max_rss = 0
        self._token = token
        self._seen: dict[int, psutil.Process] = {}

    def look(self) -> int:
        """Remember the processes that there are now; their memory."""
        memory = 0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in [root, *root.children(recursive=True)]:
                self._seen[process.pid] = process
        for process in list(self._seen.values()):
            with contextlib.suppress(psutil.Error):
                memory += process.memory_info().rss
        self.max_rss = max(self.max_rss, memory)
        return memory

    def end(self) -> None:
        """End the whole tree: asked first, then forced."""
        self.look()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(OSError):
                os.killpg(self.pid, number)
            for process in self._seen.values():
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
            if not psutil.wait_procs(list(self._seen.values()), timeout=3)[1]:
                return

    def end_rest(self) -> list[str]:
        """End what the program left running, in whatever session; what it was."""
        rest = {pid: p for pid, p in self._seen.items() if p.is_running() and _alive(p)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get(MARK) == self._token and _alive(process):
                    rest[process.pid] = process
        names = []
        for process in rest.values():
            with contextlib.suppress(psutil.Error):
                names.append(" ".join(process.cmdline()) or process.name())
                process.kill()
        psutil.wait_procs(list(rest.values()), timeout=3)
        return names


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


class _Reader(threading.Thread):
    """Takes what a pipe delivers: keeps the beginning, and passes it on where asked."""

    def __init__(self, pipe: IO[bytes], *, echo: bool) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._echo = echo
        self._parts: list[bytes] = []
        self._size = 0
        self.start()

    def run(self) -> None:
        descriptor = self._pipe.fileno()
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := os.read(descriptor, 65536):
            if self._size < OUTPUT:
                self._parts.append(data)
                self._size += len(data)
            if self._echo:
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(decoder.decode(data))
                    sys.stderr.flush()

    def text(self) -> str:
        return b"".join(self._parts).decode("utf-8", "replace")


def _modified(tree: Path) -> dict[str, int]:
    """When the files below ``tree`` were written last."""
    found: dict[str, int] = {}
    todo = [str(tree)]
    while todo and len(found) < TREE:
        with contextlib.suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in SKIPPED and not (Path(entry.path) / "pyvenv.cfg").exists():
                            todo.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found[entry.path] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found


def _changes(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    return sorted(path for path, when in after.items() if before.get(path) != when)
