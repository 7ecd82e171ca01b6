"""``nograd-lint confirm``: run the user's program and measure what the diagnostics cost."""

from __future__ import annotations

import gc
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nograd_lint.cli import Failure
from nograd_lint.cli.check import LINTING, with_options

if TYPE_CHECKING:
    from nograd_lint.cli.session import Session
    from nograd_lint.confirm.command import Command
    from nograd_lint.confirm.plan import Region
    from nograd_lint.confirm.session import Options
    from nograd_lint.diagnostics import Diagnostic

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_COMMAND = "nograd_lint.confirm.command"


class _Split(click.Command):
    """Everything after the first ``--`` is the command to run, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND"]


def _bytes(_ctx: click.Context, option: click.Parameter, value: str | None) -> int:
    if value is None:
        return 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", value.strip(), re.IGNORECASE)
    if match is None:
        raise click.BadParameter(f"{value!r} is no amount of memory such as 8G", param=option)
    return int(float(match[1]) * _UNITS[match[2].lower()])


@click.command(cls=_Split)
@click.argument("targets", nargs=-1, metavar="[PATHS | CODES | FILE:LINE]...")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before running the program.")
@click.option("--json", "json_file", metavar="FILE", help="Write the result as JSON (- for stdout).")
@click.option("--html", "html_file", type=click.Path(path_type=Path), metavar="FILE", help="Write an HTML page.")
@click.option(
    "--fix", "guard", type=click.Choice(["no_grad", "inference_mode"]), default="no_grad", help="Guard [no_grad]."
)
@click.option("--run-patch", is_flag=True, help="Run the fix itself instead of entering the guard from outside.")
@click.option("--samples", type=click.IntRange(min=1), default=3, help="Calls measured in full per region [3].")
@click.option("--timeout", type=click.FloatRange(min=1), default=600.0, help="Seconds per run [600].")
@click.option("--mem-limit", callback=_bytes, metavar="SIZE", help="Memory per run [what is free, less a tenth].")
@click.option("--tol", type=click.FloatRange(min=0), default=1e-4, help="Relative tolerance of results [1e-4].")
@click.option("--no-time", is_flag=True, help="Skip the timing run.")
@click.option("--batch", "batches", type=click.IntRange(min=1), multiple=True, help="Estimate for this batch size.")
@click.option("--no-seed", is_flag=True, help="Leave random seeds and deterministic algorithms alone.")
@click.option("--python", metavar="PATH", help="Interpreter for the configured entry points [python].")
@click.option("--cwd-copy", is_flag=True, help="Run in a copy of the project.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours [auto].")
@with_options(LINTING)
@click.pass_context
def confirm(ctx: click.Context, /, targets: tuple[str, ...], **options: Any) -> int:
    """Run a program and measure what its diagnostics cost.

    The program after `--` runs three to five times: as it is, with the guard in place, and once for the time. It needs
    no change. Without a COMMAND, the entry points of the configuration are run (confirm.target).

    Exit code: 0 nothing confirmed, 1 something confirmed, 2 an error of usage or of the tool, or only errors to tell.
    """
    from nograd_lint.cli.session import Session
    from nograd_lint.confirm.session import Options

    gc.enable()
    paths, codes, lines = _targets(targets)
    session = Session(paths, options)
    chosen = Options(
        guard=options["guard"],
        samples=options["samples"],
        timeout=options["timeout"],
        memory=options["mem_limit"],
        tolerance=options["tol"],
        time=not options["no_time"],
        seed=None if options["no_seed"] else 0,
        run_patch=options["run_patch"],
        cwd_copy=options["cwd_copy"],
        batches=tuple(options["batches"]),
    )
    diagnostics = _diagnostics(session, codes, lines)
    command, diagnostics = _command(ctx.meta.get(_COMMAND, ()), session, diagnostics, options["python"])
    regions = _regions(session, diagnostics, chosen_by_hand=bool(codes or lines))
    if not regions:
        click.echo("Nothing to confirm: no diagnostic here can be measured.", err=True)
        return 0
    _ask(regions, command, chosen, options["yes"])
    return _confirm(session, regions, command, chosen, options)


def _targets(targets: Sequence[str]) -> tuple[list[str], list[str], list[tuple[str, int]]]:
    """Paths, rule selectors and places, told apart by what they look like."""
    from nograd_lint.rules.registry import all_rules, find

    paths: list[str] = []
    codes: list[str] = []
    lines: list[tuple[str, int]] = []
    for target in targets:
        place = re.fullmatch(r"(.+):(\d+)", target)
        if place and not Path(target).exists():
            lines.append((place[1], int(place[2])))
            paths.append(place[1])
        elif not Path(target).exists() and (find(target) or re.fullmatch(r"NGL\d{0,3}", target)):
            if not find(target) and not any(code.startswith(target) for code in all_rules()):
                raise Failure(f"there is no rule {target}")
            codes.append(target)
        else:
            paths.append(target)
    return list(dict.fromkeys(paths)), codes, lines


def _diagnostics(session: Session, codes: list[str], lines: list[tuple[str, int]]) -> list[Diagnostic]:
    from nograd_lint.rules.registry import find

    results = session.lint()
    for result in results:
        for problem in result.problems:
            click.echo(f"{problem.filename}: {problem.message}", err=True)
    for problem in session.problems:
        raise Failure(f"{problem.filename}: {problem.message}")
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    if codes:
        named = {rule.code for code in codes if (rule := find(code)) is not None}
        found = [d for d in found if d.code in named or any(d.code.startswith(code) for code in codes)]
    if lines:
        places = [(session._absolute(path), row) for path, row in lines]
        found = [d for d in found if any(session.root / d.filename == p and _touches(d, row) for p, row in places)]
        if not found:
            raise Failure("there is no diagnostic at " + ", ".join(f"{path}:{row}" for path, row in lines))
    return found


def _touches(diagnostic: Diagnostic, row: int) -> bool:
    region, span = diagnostic.region, diagnostic.span
    return region.start.row <= row <= region.end.row or span.start.row <= row <= span.end.row


def _command(
    words: Sequence[str], session: Session, diagnostics: list[Diagnostic], python: str | None
) -> tuple[Command, list[Diagnostic]]:
    """What to run; without a command the configured entry points, and then only what they are for."""
    from nograd_lint.confirm.command import CommandError, factories, parse
    from nograd_lint.rules.registry import find

    try:
        if words or not session.settings.confirm.target:
            return parse(words), diagnostics
        targets = []
        wanted: list[Diagnostic] = []
        for target in session.settings.confirm.target:
            rule = find(target.code) if target.code is not None else None
            code = rule.code if rule is not None else target.code
            matching = [
                d
                for d in diagnostics
                if (target.diagnostic is None or d.fingerprint.startswith(target.diagnostic))
                and (code is None or d.code == code)
                and (target.file is None or d.filename == target.file)
            ]
            if matching:
                targets.append(target.factory)
                wanted += [d for d in matching if d not in wanted]
        return factories(list(dict.fromkeys(targets)), python), wanted
    except CommandError as error:
        raise Failure(str(error)) from None


def _regions(session: Session, diagnostics: list[Diagnostic], *, chosen_by_hand: bool) -> list[Region]:
    """The regions to measure; what no measurement can show is only told about where it was asked for by name."""
    from nograd_lint.confirm.plan import plan
    from nograd_lint.rules._base import Kind

    kinds = {code: rule.kind for code, rule in session.engine.rules.items()}
    kept = [d for d in diagnostics if chosen_by_hand or kinds[d.code] is not Kind.NONE]
    if len(kept) < len(diagnostics):
        left = sorted({d.code for d in diagnostics} - {d.code for d in kept})
        click.echo(f"Not measurable by a run, and left out: {', '.join(left)}.", err=True)
    return plan(kept, kinds, session.root)


def _ask(regions: Sequence[Region], command: Command, options: Options, yes: bool) -> None:
    """Say what will be run, and how often; on a terminal, ask."""
    runs = "three to five times" if options.time else "two to four times"
    measurable = sum(region.problem is None for region in regions)
    places = f"{measurable} place" + ("" if measurable == 1 else "s")
    click.echo(f"This runs your program {runs}, to measure {places}:", err=True)
    click.echo(f"    {' '.join(command.words)}", err=True)
    where = "in a copy of the project" if options.cwd_copy else "here, with all that it does to files and services"
    click.echo(f"It runs {where}; each run may take {options.timeout:g} s.", err=True)
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Go on?", default=True, abort=True, err=True)


def _confirm(
    session: Session, regions: Sequence[Region], command: Command, options: Options, given: dict[str, Any]
) -> int:
    from nograd_lint.cli.output import wants_color
    from nograd_lint.confirm import store, text
    from nograd_lint.confirm.document import document
    from nograd_lint.confirm.runner import Limits, default_memory_limit
    from nograd_lint.confirm.session import Confirmation, exit_code

    def tell(name: str, why: str) -> None:
        click.echo(f"run {name}: {why}", err=True)

    limits = Limits(options.timeout, options.memory or default_memory_limit())
    outcome = Confirmation(regions, session.root, command, options, limits, tell).confirm()
    result = document(outcome, command.words, session.root, session.cwd, options)
    for path in _written(result):
        click.echo(f"the program wrote {path}; later runs saw it (--cwd-copy gives each run a fresh copy)", err=True)
    cache_dir = session.settings.cache_dir
    if not session.options.get("no_cache"):
        store.save(session.root, result, session.cwd, Path(cache_dir) if cache_dir else None)
    if given["json_file"] != "-":
        color = wants_color(given["color"], to_file=False)
        click.echo(text.render(result, color=color), nl=False, color=color)
    _write(result, given)
    return exit_code(outcome.findings)


def _write(result: dict[str, Any], given: dict[str, Any]) -> None:
    data = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    try:
        if given["json_file"] == "-":
            click.echo(data, nl=False)
        elif given["json_file"]:
            Path(given["json_file"]).write_text(data, "utf-8")
        if given["html_file"]:
            from nograd_lint.confirm.page import render

            given["html_file"].write_text(render(result), "utf-8")
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {(error.strerror or str(error)).lower()}") from None


def _written(result: dict[str, Any]) -> list[str]:
    paths = [path for run in result["runs"].values() for path in run["written"]]
    unique = sorted(set(paths))
    return unique[:5] + ([f"and {len(unique) - 5} more files"] if len(unique) > 5 else [])
