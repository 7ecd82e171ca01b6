"""``--fix`` and ``--diff``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nograd_lint.cli import complain
from nograd_lint.cli.check import complain_about, report
from nograd_lint.cli.output import FOR_PEOPLE, wants_color, write, write_bytes, write_file
from nograd_lint.diagnostics import FileResult
from nograd_lint.fixes.apply import FixedFile, FixReport, apply_fixes, unified_diff
from nograd_lint.report.run import Run, plain, shown_path
from nograd_lint.report.summary import count

if TYPE_CHECKING:
    from nograd_lint.cli.session import Session

_DIFF_COLORS = {"---": None, "+++": None, "+": "green", "-": "red", "@": "cyan"}


def fix(session: Session, results: Sequence[FileResult]) -> int:
    """Fix what may be fixed and report the rest; with ``--diff`` only say what would be changed."""
    options = session.options
    done = apply_fixes(
        session.engine,
        results,
        unsafe=options["unsafe_fixes"],
        contents=session.contents,
        write=not options["diff"],
        jobs=session.jobs,
    )
    session.problems += done.problems
    if not options["quiet"]:
        for one in done.reverted:
            where = plain(str(session.run(results).shown(one.diagnostic.filename, one.diagnostic.span)))
            complain(f"{where}: {one.diagnostic.code} was not fixed: {plain(one.reason)}")
    if options["diff"]:
        return _diff(session, results, done)
    return _fixed(session, done)


def _diff(session: Session, results: Sequence[FileResult], done: FixReport) -> int:
    patch = unified_diff(done.files, lambda file: shown_path(file.path, session.cwd))
    target: Path | None = session.options["output_file"]
    color = wants_color(session.options["color"], to_file=target is not None)
    if target is not None:
        write_file(target, patch)
    elif color:
        write("".join(map(_colored, patch.decode("utf-8", "replace").split("\n")[:-1])), color=True)
    else:
        write_bytes(patch)
    run = session.run(results)
    complain_about(run)
    if session.options["show_fixes"]:
        write(_listed(session, done.files), err=True)
    if not session.options["quiet"]:
        would = f"Would fix {count(done.count, 'diagnostic')} in {count(len(done.files), 'file')}.\n"
        write(would if done.files else "Nothing to fix.\n", err=True)
    if run.all_problems:
        return 2
    return int(bool(done.files) and not session.options["exit_zero"])


def _colored(line: str) -> str:
    kind = next((kind for kind in _DIFF_COLORS if line.startswith(kind)), " ")
    return click.style(line, fg=_DIFF_COLORS.get(kind), bold=kind in {"---", "+++"} or None) + "\n"


def _fixed(session: Session, done: FixReport) -> int:
    listed = _listed(session, done.files) if session.options["show_fixes"] else ""
    if session.stdin:
        # stdout is for the fixed source, whether or not there was something to fix.
        after = {file.path: file.after for file in done.files}
        session.contents = {path: after.get(path, content) for path, content in session.contents.items()}
        write_bytes(b"".join(session.contents.values()))
    run = session.run(done.results, fixed=done.count)
    if listed:
        write(listed, err=session.stdin or session.output_format not in FOR_PEOPLE)
    report(session, run, err=session.stdin)
    return run.exit_code


def _listed(session: Session, files: Sequence[FixedFile]) -> str:
    """A line for each diagnostic that was fixed, at the place where it was."""
    before = Run((), root=session.root, cwd=session.cwd, contents={file.path: file.before for file in files})
    lines = []
    for file in files:
        for one in file.fixed:
            where = plain(str(before.shown(one.filename, one.span)))
            how = plain(one.fix.message) if one.fix is not None else ""
            lines.append(f"{where}: fixed {one.code} {one.name}: {how}\n")
    return "".join(lines)
