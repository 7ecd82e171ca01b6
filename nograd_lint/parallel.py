"""Judging the files of a project in several processes, with the results of one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Problem

if TYPE_CHECKING:
    from nograd_lint.linter import Linter

_WORTH_IT = 600_000  # bytes of source to judge per process: less is done sooner than a process starts
_PIECES = 8  # per process: the last one to finish keeps the others waiting for one piece at most
_PATIENCE = 0.2  # seconds between two signs of life

Progress = Callable[[int], None]


def judge(linter: Linter, members: Sequence[Path], jobs: int, progress: Progress) -> None:
    """Judge those files of which nothing is known yet, so that the linter knows of them.

    Files whose process does not live to tell are left to whoever asks about them.
    """
    work = [linter.names[path] for path in dict.fromkeys(members) if linter.known(path) is None]
    if len(work) < 2 or not _can_fork():
        return
    work = linter.unjudged(work)
    sizes = {name: max(linter.files[name][0][0], 0) for name in work}
    jobs = min(jobs, len(work), sum(sizes.values()) // _WORTH_IT)
    if jobs >= 2:
        linter.prepare()
        _run(linter, by_size(sorted(work), sizes, min(jobs * _PIECES, 255)), jobs, progress)


def _can_fork() -> bool:
    """Forking shares what is known already; with threads about, or where there is no fork, one process does it all."""
    return (
        "fork" in multiprocessing.get_all_start_methods()
        and os.name == "posix"
        and os.uname().sysname != "Darwin"
        and threading.active_count() == 1
        and not multiprocessing.current_process().daemon
    )


def by_size(names: Sequence[str], sizes: dict[str, int], count: int) -> list[list[str]]:
    """Pieces of about the same size. Neighbouring files stay together: they use the same others."""
    pieces: list[list[str]] = [[] for _ in range(count)]
    total, done = max(sum(sizes.values()), 1), 0
    for name in names:
        pieces[min(count - 1, done * count // total)].append(name)
        done += sizes[name]
    return [piece for piece in pieces if piece]


def _run(linter: Linter, pieces: list[list[str]], jobs: int, progress: Progress) -> None:
    context = multiprocessing.get_context("fork")
    processes: list[ForkProcess] = []
    waiting: list[Connection] = []
    done = 0
    # Whoever is free takes the next number out of this pipe; a process that dies takes no lock with it.
    queue, ticket = os.pipe()
    os.write(ticket, bytes(range(len(pieces))))
    os.close(ticket)
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the children never see it
        try:
            for _ in range(jobs):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(linter, pieces, queue, theirs), daemon=True)
                process.start()
                theirs.close()
                processes.append(process)
                waiting.append(ours)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        while waiting:
            for connection in wait(waiting, _PATIENCE):
                assert isinstance(connection, Connection)
                try:
                    message = connection.recv_bytes()
                except (EOFError, OSError):
                    waiting.remove(connection)
                    connection.close()
                    continue
                if len(message) == 1:
                    done += len(pieces[message[0]])
                else:
                    linter.take(message)
            progress(done)
    finally:
        os.close(queue)
        for process in processes:
            process.kill()
            process.join()


def _work(linter: Linter, pieces: list[list[str]], queue: int, connection: Connection) -> None:
    parent = os.getppid()
    names: list[str] = []
    try:
        while number := os.read(queue, 1):
            for name in pieces[number[0]]:
                if os.getppid() != parent:  # nobody is left to tell
                    os._exit(1)
                shown = os.path.relpath(linter.paths[name], linter.engine.root).replace(os.sep, "/")
                source = linter.source(name, shown)
                if not isinstance(source, Problem):
                    linter.judge(name, source, shown)
                    names.append(name)
            connection.send_bytes(number)
        connection.send_bytes(linter.give(names))
    finally:
        os._exit(0)  # nothing here is anybody else's to clean up, or to complain about
