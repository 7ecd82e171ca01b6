"""Where reports go: the terminal, a pipe, or a file; with colours or without."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from nograd_lint.cli import Failure

FOR_PEOPLE = {"text", "concise"}


def wants_color(choice: str, *, to_file: bool = False) -> bool:
    """Whether to colour stdout: as asked, else by NO_COLOR and FORCE_COLOR, else on a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return not to_file
    return not to_file and sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def write(text: str, *, color: bool = False, machine: bool = False, err: bool = False) -> None:
    """Print a report. Formats for machines are UTF-8 whatever the locale says."""
    if machine:
        write_bytes(text.encode("utf-8", "replace"), err=err)
        return
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # closed before we were started
        return
    # An excerpt may hold what the terminal's encoding lacks.
    encoding = stream.encoding or "utf-8"
    with _reporting():
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err, nl=False, color=color)
        stream.flush()


def write_bytes(data: bytes, *, err: bool = False) -> None:
    """Print bytes as they are."""
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    with _reporting():
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()  # else the interpreter's last flush fails again
        raise Failure(f"cannot write the report: {(error.strerror or str(error)).lower()}") from None


def discard_stdout() -> None:
    """Nobody reads stdout any more: give what is still buffered somewhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_file(path: Path, content: bytes) -> None:
    """Write all of a file or nothing: a reader never sees half of it, and an error leaves the old one."""
    from nograd_lint.source.files import os_reason
    from nograd_lint.source.write import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent == Path("/dev") or (path.exists() and not path.is_file()):
            with path.open("ab") as device:  # /dev/stderr may be a file to which somebody else writes, too
                device.write(content)
        else:
            write_atomically(path, content)
    except OSError as error:
        raise Failure(f"{path}: {os_reason(error)}") from None
