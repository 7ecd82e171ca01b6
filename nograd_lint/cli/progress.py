"""A progress bar on stderr, for runs that take long enough to make somebody wonder."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress
    from typing_extensions import Self

DELAY = 1.0  # seconds
_PAUSE = 0.1  # seconds between two looks of the bar


class Progress:
    """Called with (done, in all). Shows nothing before :data:`DELAY` has passed, nor off a terminal.

    No thread draws it: a process with several threads can't be forked safely.
    """

    def __init__(self, *, enabled: bool, title: str = "Linting", unit: str = "files") -> None:
        self._words = title, unit
        self._enabled = enabled and sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._due = time.monotonic() + DELAY
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._enabled = False
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        if not self._enabled or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _PAUSE
        if self._bar is None:
            self._bar = _bar(*self._words)
            self._bar.add_task(self._words[0], total=total)
            self._bar.start()
        [task] = self._bar.task_ids
        self._bar.update(task, completed=done, total=total, refresh=True)


def _bar(title: str, unit: str) -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
