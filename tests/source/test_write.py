from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nograd_lint.source.write import write_atomically

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def test_new_content_with_the_old_permissions(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(b"old")
    path.chmod(0o754)
    link = tmp_path / "link.py"
    link.symlink_to(path)
    write_atomically(link, b"new\r\n")
    assert (path.read_bytes(), link.is_symlink(), path.stat().st_mode & 0o777) == (b"new\r\n", True, 0o754)
    write_atomically(tmp_path / "created.py", b"")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["created.py", "link.py", "m.py"]


@needs_posix
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_bytes(b"old")
    program = (
        "import resource, sys; from pathlib import Path; from nograd_lint.source.write import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomically(Path(sys.argv[1]), b'x' * 100_000)\n"
        "except OSError as error: print('refused')"
    )
    output = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert output.stdout == "refused\n"
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("m.py", b"old")]


@needs_posix
def test_killed_at_any_time_the_file_is_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    versions = {b"a" * 300_000, b"b" * 300_000}
    path.write_bytes(b"a" * 300_000)
    program = (
        "import sys; from pathlib import Path; from nograd_lint.source.write import write_atomically\n"
        "print(flush=True)\n"
        "while True:\n"
        "    for version in (b'b', b'a'): write_atomically(Path(sys.argv[1]), version * 300_000)"
    )
    for attempt in range(5):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 + attempt * 0.007)
            process.send_signal(signal.SIGKILL)
        assert path.read_bytes() in versions
