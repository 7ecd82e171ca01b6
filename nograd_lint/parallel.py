"""Judging the files of a project in several processes, with the results of one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Problem

if TYPE_CHECKING:
    from nograd_lint.linter import Linter

_WORTH_IT = 600_000  # bytes of source to judge per process: less is done sooner than a process starts


def judge(linter: Linter, members: Sequence[Path], jobs: int) -> None:
    """Judge those files of which nothing is known yet, so that the linter knows of them."""
    work = [linter.names[path] for path in dict.fromkeys(members) if linter.known(path) is None]
    work = linter.unjudged(work)
    sizes = {name: max(linter.files[name][0][0], 0) for name in work}
    jobs = min(jobs, os.cpu_count() or 1, sum(sizes.values()) // _WORTH_IT)
    if jobs < 2 or not _can_fork():
        return
    linter.world.project.names  # noqa: B018 - made once, before there are several processes
    _run(linter, _shares(sorted(work), sizes, jobs))


def _can_fork() -> bool:
    """Forking shares what is known already; with threads about, or where there is no fork, one process does it all."""
    return (
        "fork" in multiprocessing.get_all_start_methods()
        and os.name == "posix"
        and os.uname().sysname != "Darwin"
        and threading.active_count() == 1
        and not multiprocessing.current_process().daemon
    )


def _shares(names: Sequence[str], sizes: dict[str, int], jobs: int) -> list[list[str]]:
    """Neighbouring files stay together: they use the same others."""
    shares: list[list[str]] = [[] for _ in range(jobs)]
    total, done = sum(sizes.values()), 0
    for name in names:
        shares[min(jobs - 1, done * jobs // total)].append(name)
        done += sizes[name]
    return [share for share in shares if share]


def _run(linter: Linter, shares: list[list[str]]) -> None:
    context = multiprocessing.get_context("fork")
    processes = []
    waiting: list[Connection] = []
    try:
        for share in shares:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(linter, share, theirs), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            waiting.append(ours)
        while waiting:
            for connection in wait(waiting):
                assert isinstance(connection, Connection)
                try:
                    data = connection.recv_bytes()
                except EOFError:
                    data = b""  # it died: its files are judged here
                waiting.remove(connection)
                connection.close()
                if data:
                    linter.take(data)
        for process in processes:
            process.join()
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()


def _work(linter: Linter, share: list[str], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    for name in share:
        shown = os.path.relpath(linter.paths[name], linter.engine.root).replace(os.sep, "/")
        source = linter.source(name, shown)
        if not isinstance(source, Problem):
            linter.judge(name, source, shown)
    connection.send_bytes(linter.give(share))
    connection.close()
    os._exit(0)  # nothing here is anybody else's to clean up
