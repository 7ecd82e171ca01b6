"""``--watch``: lint again whenever a file changes, by looking at times and sizes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nograd_lint.cli import Failure, complain
from nograd_lint.source.discovery import CONFIG_FILES

if TYPE_CHECKING:
    from nograd_lint.cli.session import Session

INTERVAL = 0.5  # seconds

State = dict[Path, tuple[int, int]]


def watch(session: Session, lint: Callable[[], int]) -> int:
    """Lint until interrupted; the exit code is that of the last time."""
    gc.enable()
    code = 0
    files: list[Path] = []
    try:
        while True:
            click.clear()
            seen = state(session, files)
            try:
                session.refresh()
                code = lint()
            except Failure as error:  # a configuration in the middle of an edit, say
                complain(error.format_message())
                code = error.exit_code
            if not session.options["quiet"]:
                click.echo("Watching for changes; Ctrl-C ends.", err=True)
            pause = INTERVAL
            while True:
                time.sleep(pause)
                start = time.monotonic()
                if state(session, files) != seen:
                    break
                pause = max(INTERVAL, 10 * (time.monotonic() - start))  # a large tree costs a tenth of a core at most
    except KeyboardInterrupt:
        return code


def state(session: Session, files: list[Path]) -> State:
    """Time and size of each file that could change the result; ``files`` are those that were there last."""
    with suppress(Failure):
        files[:] = session.files()
    found: State = {}
    for path in [*files, *_configurations(session.root, files)]:
        try:
            status = path.stat()
        except OSError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found


def _configurations(root: Path, files: list[Path]) -> set[Path]:
    """Where a configuration is, or could come to be."""
    directories = {root, *root.parents, *(path.parent for path in files)}
    return {directory / name for directory in directories for name in CONFIG_FILES}
