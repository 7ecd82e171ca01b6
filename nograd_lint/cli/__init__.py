"""The command line. Importing it must stay cheap: each command imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

import nograd_lint

# command -> (module, attribute, one line of help); a module is imported when its command is used.
COMMANDS = {
    "check": ("nograd_lint.cli.check", "check", "Lint files and directories (the default command)."),
    "rule": ("nograd_lint.cli.rule", "rule", "Explain a rule, or all of them."),
    "config": ("nograd_lint.cli.config", "config", "Show the configuration that holds here, or explain a key."),
    "baseline": ("nograd_lint.cli.baseline", "baseline", "Remember today's diagnostics, so that only new ones count."),
    "confirm": ("nograd_lint.confirm.cli", "confirm", "Run your program and measure what the diagnostics cost."),
    "scan": ("nograd_lint.cli.scan", "scan", "Lint many repositories, and write a Parquet file."),
    "clean": ("nograd_lint.cli.clean", "clean", "Remove the cache."),
    "server": ("nograd_lint.cli.server", "server", "Run the language server for editors."),
}
# What an optional command needs: module -> extra.
EXTRAS = {
    "pygls": "lsp", "lsprotocol": "lsp", "psutil": "confirm", "pyarrow": "scan", "dask": "dask", "distributed": "dask",
}  # fmt: skip

USAGE, INTERRUPTED = 2, 130


class Failure(click.ClickException):
    """An error of the user's, told in one line; ends the run with exit code 2."""

    exit_code = USAGE


def needs(what: str, error: ModuleNotFoundError) -> Failure:
    """Which extra is missing for what was asked."""
    package = _package(error)
    return Failure(
        f"`{what}` needs the package {package}: install it with  pip install 'nograd-lint[{EXTRAS[package]}]'"
    )


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


class _Commands(click.Group):
    """Commands imported on use; without a command, ``check`` is meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if _package(error) in EXTRAS:
                raise needs(cmd_name, error) from None
            if error.name == module or module.startswith(f"{error.name}."):
                raise Failure(f"`{cmd_name}` is not part of this installation") from None
            raise
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in COMMANDS and args[0] not in {"-h", "--help", "-V", "--version"}:
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
    epilog="`nograd-lint PATH` is short for `nograd-lint check PATH`.",
)
@click.version_option(
    nograd_lint.__version__, "-V", "--version", prog_name="nograd-lint", message="%(prog)s %(version)s"
)
@click.pass_context
def app(ctx: click.Context) -> None:
    """Find PyTorch grad-mode mistakes.

    Evaluation that tracks gradients, training that does not, guards that do nothing.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code: 0 clean, 1 diagnostics, 2 error."""
    gc.disable()  # most commands are over before cycles matter; those that live on turn it on again
    code = run(args)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(code)  # taking apart what is known of a large project takes as long as reading its files


def run(args: list[str] | None = None) -> int:
    """Run the command line; every error becomes one line on stderr."""
    try:
        result: Any = app.main(args, prog_name="nograd-lint", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see `{context.command_path} --help`" if context is not None else ""
        complain(" ".join(error.format_message().split()).rstrip(".") + hint)
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        from nograd_lint.cli.output import discard_stdout

        discard_stdout()
        return 0
    except Exception as error:
        if os.environ.get("NOGRAD_LINT_DEBUG"):
            raise
        complain(f"internal error: {_explain(error)}; set NOGRAD_LINT_DEBUG=1 for the traceback")
        return USAGE


def complain(message: str) -> None:
    """One line on stderr, in the tool's name."""
    prefix = click.style("nograd-lint:", fg="red", bold=True)
    try:
        click.echo(f"{prefix} {message}", err=True, color=_stderr_color())
    except OSError:  # stderr is closed: nobody to tell
        return


def _stderr_color() -> bool | None:
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _explain(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
