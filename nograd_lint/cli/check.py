"""``nograd-lint check``: its options, and what happens with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nograd_lint.cli import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from nograd_lint.cli.session import Session
    from nograd_lint.report.run import Run

FORMATS = ("text", "concise", "json", "json-lines", "sarif", "github", "gitlab", "junit")


def _split(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Options that may be repeated and hold several values between commas."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _per_file(_ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    ignores: dict[str, tuple[str, ...]] = {}
    for value in values:
        pattern, colon, codes = value.rpartition(":")
        selectors = tuple(filter(None, (code.strip() for code in codes.split(","))))
        if not colon or not pattern or not selectors:
            raise click.BadParameter(f"{value!r} is not PATTERN:CODE[,CODE...]", param=option)
        ignores[pattern] = (*ignores.get(pattern, ()), *selectors)
    return ignores


_PLACE = re.compile(r"(.+?)(?:(?<=\.ipynb):(?:cell )?([1-9]\d*))?:([1-9]\d*)", re.DOTALL)


def _place(_ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, int | None, int] | None:
    if value is None:
        return None
    match = _PLACE.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not PATH:LINE, or PATH:CELL:LINE for a notebook", param=option)
    path, cell, line = match.groups()
    return path, int(cell) if cell else None, int(line)


def _several(*names: str, help: str) -> Callable[[Any], Any]:  # noqa: A002
    return click.option(*names, multiple=True, callback=_split, metavar="SELECTORS", help=help)


# Options that say what is linted and how, shared by the commands that lint.
CHOOSING = (
    _several("--select", help="Turn on these rules alone: codes, beginnings of codes, names, or ALL."),
    _several("--ignore", help="Turn these rules off."),
    _several("--extend-select", help="Turn on these rules, too."),
    _several("--extend-ignore", help="Turn these rules off, too."),
    click.option(
        "--per-file-ignores", multiple=True, callback=_per_file, metavar="PATTERN:SELECTORS",
        help="Turn rules off in some files.",
    ),
    click.option(
        "--min-confidence", type=click.Choice(["high", "medium", "low"]),
        help="Report from this confidence on [medium].",
    ),
    click.option(
        "--exclude", multiple=True, callback=_split, metavar="PATTERNS",
        help="Leave these files and directories out, beside the configured ones.",
    ),
    click.option("--markdown", is_flag=True, help="Lint the fenced Python blocks of Markdown files, too."),
    click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Use this configuration file."),
    click.option("--isolated", is_flag=True, help="Use no configuration file."),
)  # fmt: skip

JOBS = click.option("--jobs", "-j", type=click.IntRange(min=1), metavar="N", help="Worker processes [number of CPUs].")

LINTING = (
    *CHOOSING,
    click.option("--force-exclude", is_flag=True, help="Leave excluded files out even if they are named."),
    click.option("--no-cache", is_flag=True, help="Neither read nor write the cache."),
    click.option("--cache-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where to keep the cache."),
    JOBS,
    click.option("--stdin-filename", metavar="PATH", help="What to take stdin (the path -) for."),
)  # fmt: skip

PRINTING = (
    click.option(
        "--output-format", type=click.Choice(FORMATS), envvar="NOGRAD_LINT_OUTPUT_FORMAT", help="Format [text]."
    ),
    click.option(
        "--output-file", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write the report to it."
    ),
    click.option("--statistics", is_flag=True, help="Count the diagnostics of each rule instead of listing them."),
    click.option("--show-suppressed", is_flag=True, help="List suppressed diagnostics, too, and why they are."),
    click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours [auto]."),
    click.option("--quiet", "-q", is_flag=True, help="Print diagnostics and errors alone: no summary, no progress."),
)

ACTING = (
    click.option("--fix", is_flag=True, help="Apply the safe fixes."),
    click.option("--unsafe-fixes", is_flag=True, help="With --fix or --diff: the unsafe ones, too."),
    click.option("--diff", is_flag=True, help="Print what --fix would change, and change nothing."),
    click.option("--show-fixes", is_flag=True, help="With --fix: list what was fixed."),
    click.option("--fail-on", type=click.Choice(["info", "warning", "error"]), help="Exit with 1 from this on [info]."),
    click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are diagnostics."),
    click.option("--watch", "-w", is_flag=True, help="Lint again whenever a file changes."),
    click.option("--baseline", type=click.Path(path_type=Path), metavar="FILE", help="Leave out what is listed there."),
    click.option("--add-suppressions", is_flag=True, help="Add a suppression comment for every diagnostic."),
    click.option("--reason", default="", metavar="TEXT", help="With --add-suppressions: why."),
    click.option(
        "--explain-silence", callback=_place, metavar="PATH:LINE", help="Say why nothing is reported for a line."
    ),
)

# Options that say who does the work.
SPREADING = (
    click.option(
        "--executor", type=click.Choice(["processes", "dask"]), default="processes",
        help="Where to work: processes of this machine, or a Dask cluster [processes].",
    ),
    click.option(
        "--scheduler", envvar="DASK_SCHEDULER_ADDRESS", metavar="ADDRESS",
        help="With --executor dask: the scheduler, such as tcp://host:8786.",
    ),
)  # fmt: skip


def with_options(*groups: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    """Decorate a command with the options of some groups, in order."""

    def decorate(function: Any) -> Any:
        for option in reversed([option for group in groups for option in group]):
            function = option(function)
        return function

    return decorate


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATHS]...")
@with_options(ACTING, PRINTING, LINTING, SPREADING)
def check(paths: tuple[str, ...], **options: Any) -> int:
    """Lint files and directories (default: the working directory; - for stdin).

    Exit code: 0 nothing found, 1 diagnostics, 2 an error of usage, configuration or the tool itself.
    """
    _check_combination(paths, options)
    from nograd_lint.cli.session import Session

    session = Session(paths, options)
    if options["explain_silence"] is not None:
        from nograd_lint.cli.silence import explain

        return explain(session, *options["explain_silence"])
    if options["watch"]:
        from nograd_lint.cli.watch import watch

        return watch(session, lambda: _once(session))
    return _once(session)


def _check_combination(paths: tuple[str, ...], options: dict[str, Any]) -> None:
    """Refuse what cannot be meant."""
    stdin = "-" in paths
    if stdin and len(paths) > 1:
        raise Failure("- (stdin) cannot be linted together with other paths")
    if options["stdin_filename"] and not stdin:
        raise Failure("--stdin-filename needs the path - for stdin")
    if options["config"] and options["isolated"]:
        raise Failure("--config and --isolated exclude each other")
    if options["show_fixes"] and not (options["fix"] or options["diff"]):
        raise Failure("--show-fixes needs --fix or --diff")
    if options["reason"] and not options["add_suppressions"]:
        raise Failure("--reason needs --add-suppressions")
    acts = [name for name in ("fix", "diff", "add_suppressions", "explain_silence") if options[name]]
    if options["fix"] and options["diff"]:
        acts.remove("fix")  # as in other linters: the diff of what would be fixed
    if len(acts) > 1:
        raise Failure(" and ".join("--" + name.replace("_", "-") for name in acts) + " exclude each other")
    if options["watch"] and (stdin or options["diff"] or options["add_suppressions"] or options["explain_silence"]):
        raise Failure("--watch works with neither stdin nor --diff, --add-suppressions or --explain-silence")
    if options["watch"] and options["executor"] == "dask":
        raise Failure("--watch works on this machine alone, not with --executor dask")
    if stdin and options["add_suppressions"]:
        raise Failure("--add-suppressions needs files, not stdin")


def _once(session: Session) -> int:
    options = session.options
    results = session.lint()
    if options["add_suppressions"]:
        from nograd_lint.cli.suppress import add_suppressions

        return add_suppressions(session, results, options["reason"])
    if options["fix"] or options["diff"]:
        from nograd_lint.cli.fixing import fix

        return fix(session, results)
    run = session.run(results)
    report(session, run)
    return run.exit_code


def report(session: Session, run: Run, *, err: bool = False) -> None:
    """Write the report where the user wants it, then what went wrong, where everybody looks."""
    from nograd_lint.cli.output import FOR_PEOPLE, write, write_file
    from nograd_lint.report import render
    from nograd_lint.report.summary import statistics

    chosen, statistics_only = session.output_format, session.options["statistics"]
    text = statistics(run, chosen) if statistics_only else render(run, chosen)
    target: Path | None = session.options["output_file"]
    if target is not None:
        write_file(target, text.encode("utf-8", "replace"))
    else:
        write(text, color=run.style.color, machine=chosen not in FOR_PEOPLE, err=err)
    complain_about(run)


def complain_about(run: Run) -> None:
    """What kept the tool from its work, a line each, on stderr."""
    from nograd_lint.cli import complain
    from nograd_lint.report.run import plain

    for problem in run.all_problems:
        where = plain(run.path(problem.filename)) + ": " if problem.filename else ""
        complain(where + plain(problem.message))
