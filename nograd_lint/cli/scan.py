"""``nograd-lint scan``: many repositories at once."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nograd_lint.cli import USAGE, Failure, complain
from nograd_lint.cli.check import CHOOSING, JOBS, SPREADING, with_options
from nograd_lint.cli.output import write
from nograd_lint.diagnostics import Severity
from nograd_lint.scan.table import Table

if TYPE_CHECKING:
    from nograd_lint.executors import Pool
    from nograd_lint.scan.repositories import Repositories


def _columns(_ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    from nograd_lint.scan.repositories import COLUMNS

    found = {}
    for value in values:
        role, equals, name = value.partition("=")
        if role not in COLUMNS or not equals or not name:
            raise click.BadParameter(f"{value!r} is not one of {', '.join(COLUMNS)}, =, and a name", param=option)
        found[role] = name
    return found


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--output-file", "-o", type=click.Path(path_type=Path), metavar="FILE", required=True,
    help="Write the diagnostics to this Parquet file.",
)  # fmt: skip
@click.option(
    "--depth", type=click.IntRange(min=1), default=1, metavar="N",
    help="Repositories lie N levels below the directory [1]; 2 for OWNER/NAME.",
)  # fmt: skip
@click.option(
    "--column", "columns", multiple=True, callback=_columns, metavar="COLUMN=NAME",
    help="What the column `repository`, `path` or `source` is called in the Parquet file.",
)  # fmt: skip
@click.option(
    "--fail-on",
    type=click.Choice(["info", "warning", "error"]),
    default="info",
    help="Exit with 1 from this on [info].",
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are diagnostics.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors alone: no summary, no progress.")
@with_options(SPREADING, (JOBS,), CHOOSING)
def scan(
    source: Path,
    output_file: Path,
    depth: int,
    columns: dict[str, str],
    fail_on: str,
    exit_zero: bool,
    quiet: bool,
    executor: str,
    scheduler: str | None,
    jobs: int | None,
    **options: Any,
) -> int:
    """Lint every repository in SOURCE, each as a project of its own, and write a Parquet file of diagnostics.

    SOURCE is a directory of repositories, or a Parquet file with the columns repository, path and source: a row for
    each file, those of a repository together.

    Exit code: 0 nothing found, 1 diagnostics, 2 an error, or a repository or file that could not be linted.
    """
    from nograd_lint.cli.progress import Progress
    from nograd_lint.executors import ExecutorError
    from nograd_lint.scan.repositories import SourceError
    from nograd_lint.scan.run import scan as run

    gc.enable()
    options = _checked(options)
    try:
        repositories = _repositories(source, depth, columns)
        with (
            _table(output_file) as table,
            _pool(executor, scheduler, jobs) as pool,
            Progress(enabled=not quiet, title="Scanning", unit="repositories") as progress,
        ):
            summary = _Summary(Severity(fail_on))
            for name, outcome in run(repositories, options, pool, progress):
                table.add(name, outcome.records)
                summary.add(outcome.files, outcome.records)
                for path, message in outcome.problems:
                    summary.problems.append(f"{name}/{path}: {message}" if path else f"{name}: {message}")
    except (ExecutorError, SourceError) as error:
        raise Failure(str(error)) from None
    return summary.tell(output_file, quiet=quiet, exit_zero=exit_zero)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Options as a worker can use them. What is wrong with them is wrong for every repository: say so once."""
    from nograd_lint.cli.session import Session

    if options["config"] and options["isolated"]:
        raise Failure("--config and --isolated exclude each other")
    if options["config"]:
        options["config"] = options["config"].resolve()
    Session([], {**options, "isolated": not options["config"]})
    return options


def _repositories(source: Path, depth: int, columns: dict[str, str]) -> Repositories:
    from nograd_lint.scan.repositories import SourceError, in_directory, in_parquet

    if not source.exists():
        raise SourceError(f"{source}: no such file or directory")
    if source.is_dir():
        return in_directory(source.resolve(), depth)
    return in_parquet(source, columns)


@contextmanager
def _table(path: Path) -> Iterator[Table]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Table(path) as table:
            yield table
    except OSError as error:
        raise Failure(f"{path}: {(error.strerror or str(error)).lower()}") from None


@contextmanager
def _pool(executor: str, scheduler: str | None, jobs: int | None) -> Iterator[Pool]:
    import os

    if executor == "dask":
        from nograd_lint.cli.cluster import dask

        with dask(scheduler) as cluster:
            yield cluster
    else:
        from nograd_lint.executors import Processes

        with Processes(jobs or os.cpu_count() or 1) as processes:
            yield processes


class _Summary:
    """What is said at the end, on stdout; what could not be linted, on stderr."""

    def __init__(self, fail_on: Severity) -> None:
        self._fail_on = fail_on
        self._repositories = self._files = self._affected = 0
        self._rules: Counter[tuple[str, str]] = Counter()
        self._failing = False
        self.problems: list[str] = []

    def add(self, files: int, records: Sequence[dict[str, Any]]) -> None:
        self._repositories += 1
        self._files += files
        self._affected += bool(records)
        self._rules.update((record["code"], record["name"]) for record in records)
        self._failing = self._failing or any(Severity(r["severity"]).rank >= self._fail_on.rank for r in records)

    def tell(self, output: Path, *, quiet: bool, exit_zero: bool) -> int:
        from nograd_lint.report.run import plain
        from nograd_lint.report.summary import count

        if not quiet:
            lines = [f"{number:>8}  {code} {name}" for (code, name), number in sorted(self._rules.items())]
            lines.append(
                f"Scanned {count(self._files, 'file')} of {count(self._repositories, 'repository', 'repositories')}: "
                f"{count(self._rules.total(), 'diagnostic')} in "
                f"{count(self._affected, 'repository', 'repositories')}; written to {output}."
            )
            write("".join(f"{line}\n" for line in lines))
        for problem in self.problems:
            complain(plain(problem))
        if self.problems:
            return USAGE
        return int(self._failing and not exit_zero)
