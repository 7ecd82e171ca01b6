"""``nograd-lint baseline``: remember today's diagnostics, so that only new ones count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nograd_lint.cli import Failure
from nograd_lint.cli.check import LINTING, with_options

if TYPE_CHECKING:
    from nograd_lint.baseline import Baseline
    from nograd_lint.cli.session import Session
    from nograd_lint.diagnostics import FileResult

DEFAULT = "nograd-lint-baseline.json"

_FILE = click.option(
    "--baseline",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"The baseline [as configured, else {DEFAULT} in the project's root].",
)
_QUIET = click.option("--quiet", "-q", is_flag=True, help="Print errors alone.")
_PATHS = click.argument("paths", nargs=-1, metavar="[PATHS]...")


@click.group(invoke_without_command=True, no_args_is_help=False)
@click.pass_context
def baseline(ctx: click.Context) -> None:
    """Remember today's diagnostics, so that only new ones count."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@baseline.command()
@_PATHS
@_FILE
@_QUIET
@with_options(LINTING)
def write(paths: tuple[str, ...], file: Path | None, quiet: bool, **options: Any) -> int:
    """Write what is found to the baseline.

    Linted is what lies below PATHS (default: the project). What the baseline holds about other files stays
    in it.
    """
    from nograd_lint import baseline as known

    session, target, configured = _session(paths, file, quiet, options)
    results = session.lint()
    built = known.build(results)
    if target.exists():
        linted = {result.filename for result in results}
        others = tuple(entry for entry in _read(target).diagnostics if entry.filename not in linted)
        built = known.Baseline(diagnostics=tuple(sorted((*others, *built.diagnostics))))
    _write(target, built)
    hint = "" if configured else f'; set `baseline = "{_shown(target, session.root)}"` in the configuration to use it'
    return _done(session, results, f"Wrote {_count(built)} to {_shown(target, session.cwd)}{hint}.")


@baseline.command()
@_PATHS
@_FILE
@_QUIET
@with_options(LINTING)
def prune(paths: tuple[str, ...], file: Path | None, quiet: bool, **options: Any) -> int:
    """Take out of the baseline what no longer occurs."""
    from nograd_lint import baseline as known

    # What another choice of rules or a higher confidence hides has not gone.
    everything = {**options, "select": ("ALL",), "ignore": (), "extend_ignore": (), "min_confidence": "low"}
    session, target, _ = _session(paths, file, quiet, everything)
    old = _read(target)
    results = session.lint()
    kept, gone = known.prune(old, results, session.root)
    if gone:
        _write(target, kept)
    return _done(
        session, results, f"Took {len(gone)} out of {_shown(target, session.cwd)}, {len(kept.diagnostics)} remain."
    )


@baseline.command()
@_FILE
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format.")
def show(file: Path | None, output_format: str) -> int:
    """Show how many of each rule are in the baseline, and where."""
    import msgspec

    from nograd_lint import baseline as known
    from nograd_lint.cli import output
    from nograd_lint.report.json import dumps
    from nograd_lint.rules.registry import all_rules

    session, target, _ = _session((), file, False, {})
    content = _read(target)
    if output_format == "json":
        output.write(dumps(msgspec.to_builtins(content)), machine=True)
        return 0
    summary = known.show(content)
    rules = all_rules()
    lines = [f"{_shown(target, session.cwd)}: {_count(content)}"]
    for title, rows in (("by rule", summary.by_code), ("by file", summary.by_file)):
        if rows:
            lines += ["", title]
        for key, number in rows:
            name = f" {rules[key].name}" if key in rules else ""
            lines.append(f"{number:>6}  {key}{name}")
    output.write("\n".join(lines) + "\n")
    return 0


def _session(
    paths: Sequence[str], file: Path | None, quiet: bool, options: dict[str, Any]
) -> tuple[Session, Path, bool]:
    """A session that finds what the baseline knows, too; the baseline's file; whether it is a configured one."""
    from nograd_lint.cli.session import Session

    session = Session(paths, {**options, "quiet": quiet})
    if session.stdin:
        raise Failure("a baseline is about files, not stdin")
    configured = session.settings.baseline
    target = file if file is not None else Path(configured) if configured else session.root / DEFAULT
    session.options = {**session.options, "ignore_baseline": True}
    session.refresh()
    if not paths:
        session.paths = [str(session.root)]
    return session, session.cwd / target, configured is not None


def _read(target: Path) -> Baseline:
    from nograd_lint import baseline as known

    try:
        return known.read(target)
    except known.BaselineError as error:
        raise Failure(str(error)) from None


def _write(target: Path, content: Baseline) -> None:
    from nograd_lint import baseline as known

    try:
        known.write(target, content)
    except known.BaselineError as error:
        raise Failure(str(error)) from None


def _shown(path: Path, base: Path) -> str:
    from nograd_lint.report.run import shown_path

    return shown_path(path, base)


def _count(content: Baseline) -> str:
    from nograd_lint.report.summary import count

    return count(len(content.diagnostics), "diagnostic")


def _done(session: Session, results: Sequence[FileResult], text: str) -> int:
    from nograd_lint.cli import output
    from nograd_lint.cli.check import complain_about

    if not session.options["quiet"]:
        output.write(text + "\n")
    run = session.run(results)
    complain_about(run)
    return 2 if run.all_problems else 0
