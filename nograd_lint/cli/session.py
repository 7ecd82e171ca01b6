"""What the commands that lint have in common: settings, files, the engine, and the run to report."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nograd_lint.baseline import BaselineError
from nograd_lint.cli import Failure
from nograd_lint.cli.output import FOR_PEOPLE, wants_color
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence, FileResult, Problem, Severity
from nograd_lint.engine import Engine
from nograd_lint.report.run import Run, Style
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import ConfigError, Selection, Settings

if TYPE_CHECKING:
    from nograd_lint.executors import Pool

STDIN = "<stdin>"


def _place(path: Path) -> list[tuple[bool, str]]:
    """Where a file comes in the search of a directory: before those further down."""
    return [*((True, part) for part in path.parts[:-1]), (False, path.name)]


class Session:
    """One command: what was asked for, and the engine that answers."""

    def __init__(self, paths: Sequence[str], options: Mapping[str, Any]) -> None:
        self.options = options
        try:
            self.cwd = Path.cwd()
        except OSError:
            raise Failure("the working directory does not exist any more") from None
        self.stdin = list(paths) == ["-"]
        self.paths = [options.get("stdin_filename") or STDIN] if self.stdin else list(paths or ["."])
        self.problems: list[Problem] = []
        self.contents: dict[Path, bytes] = {}
        self.started, self._clock = datetime.now(timezone.utc), time.monotonic()
        self.refresh()

    def refresh(self) -> None:
        """Read the configuration (again)."""
        try:
            self.resolver = self._resolver()
            self.root = self.resolver.root(self._absolute(self.paths[0])).path
            self.settings = self.resolver.nearest(self.root).settings
        except ConfigError as error:
            raise Failure(str(error)) from None
        self.engine = Engine(
            self.settings, self.root, resolver=self.resolver, use_cache=not self.options.get("no_cache", False)
        )

    def _absolute(self, path: str) -> Path:
        return Path(os.path.normpath(self.cwd / path))

    def _resolver(self) -> Resolver:
        options = self.options
        names = ("select", "ignore", "extend_select", "extend_ignore")
        selection = Selection(**{name: options[name] for name in names if options.get(name)})
        config: Path | None = options.get("config")
        if config is not None and not config.is_file():
            raise Failure(f"{config}: no such configuration file")
        return Resolver(
            {code: (rule.name, rule.default) for code, rule in all_rules().items()},
            config=config,
            isolated=options.get("isolated", False),
            overrides=self._overrides(),
            selection=selection,
            top=options.get("top"),
        )

    def _overrides(self) -> dict[str, object]:
        """The settings that the command line gives."""
        options = self.options
        found: dict[str, object] = {}
        for name in ("jobs", "output_format", "per_file_ignores"):
            if options.get(name):
                found[name] = options[name]
        for name in ("force_exclude", "markdown"):
            if options.get(name):
                found[name] = True
        if options.get("ignore_baseline"):
            found["baseline"] = None
        for name in ("cache_dir", "baseline"):
            if options.get(name) is not None:
                found[name] = os.path.abspath(options[name])  # noqa: PTH100 - links stay as they are
        if options.get("min_confidence"):
            found["min_confidence"] = Confidence(options["min_confidence"])
        if options.get("fail_on"):
            found["fail_on"] = Severity(options["fail_on"])
        return found

    @property
    def jobs(self) -> int:
        if self.settings.jobs:
            return self.settings.jobs
        # A container or a scheduler may have given this process some of the CPUs alone.
        return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

    @property
    def output_format(self) -> str:
        return self.settings.output_format

    # --- files ------------------------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """The files to lint; what could not be looked at becomes a problem of the run."""
        from nograd_lint.source.discovery import discover

        self.problems = []
        if self.stdin:
            return self._stdin()
        try:
            found = discover(self.paths, self.nested(self.root)[0], self.root, self.nested)
        except ConfigError as error:
            raise Failure(str(error)) from None
        for problem in found.problems:
            shown = msgspec.structs.replace(problem, message=problem.message + self._hint(problem.filename))
            self.problems.append(shown)
        return sorted(found.files, key=_place)  # whatever order they were named in

    def nested(self, directory: Path) -> tuple[Settings, Path]:
        """The settings of a directory and what ``--exclude`` adds, which is relative to the working directory."""
        configuration = self.resolver.nearest(directory)
        extra: Sequence[str] = self.options.get("exclude", ())
        if not extra:
            return configuration.settings, configuration.base
        here = os.path.relpath(self.cwd, configuration.base).replace(os.sep, "/")
        anchored = [f"/{here}/{p.lstrip('/')}" if "/" in p.rstrip("/") and here != "." else p for p in extra]
        excludes = (*configuration.settings.extend_exclude, *anchored)
        return msgspec.structs.replace(configuration.settings, extend_exclude=excludes), configuration.base

    def _hint(self, filename: str) -> str:
        """A command that was mistyped is looked for as a path."""
        from nograd_lint.cli import COMMANDS
        from nograd_lint.settings import did_you_mean

        first = self.paths[0]
        if len(self.paths) > 1 or "/" in first or "." in first or not filename.endswith(first):
            return ""
        return did_you_mean(first, COMMANDS)

    def _stdin(self) -> list[Path]:
        path = self._absolute(self.paths[0])
        self.contents = {path: sys.stdin.buffer.read()}
        settings, base = self.nested(path.parent)
        if settings.force_exclude:
            from nograd_lint.source.ignores import Excluder

            if Excluder((*settings.exclude, *settings.extend_exclude), str(base)).excludes_any_parent(str(path)):
                return []
        return [path]

    # --- linting ----------------------------------------------------------------------------------------------------

    def lint(self) -> list[FileResult]:
        """Lint everything that was asked for."""
        from nograd_lint.cli.progress import Progress

        self.started, self._clock = datetime.now(timezone.utc), time.monotonic()
        files = self.files()
        try:
            with (
                Progress(enabled=not self.options.get("quiet") and not self.stdin) as progress,
                self._cluster() as pool,
            ):
                return self.engine.check(files, contents=self.contents, progress=progress, jobs=self.jobs, pool=pool)
        except (ConfigError, BaselineError) as error:
            raise Failure(str(error)) from None

    @contextmanager
    def _cluster(self) -> Iterator[Pool | None]:
        """Who does the work, where that is not this machine."""
        if self.options.get("executor") != "dask":
            yield None
            return
        from nograd_lint.cli import complain
        from nograd_lint.cli.cluster import dask

        with dask(self.options["scheduler"]) as pool:
            yield pool
        for reason, count in Counter(pool.lost).items():
            complain(f"{count} pieces of work came back undone, and were done on this machine: {reason}")

    def run(self, results: Sequence[FileResult], *, fixed: int = 0) -> Run:
        """The run to report, with its exit code."""
        options = self.options
        color = self.output_format in FOR_PEOPLE and wants_color(
            options.get("color", "auto"), to_file=options.get("output_file") is not None
        )
        run = Run(
            results,
            root=self.root,
            cwd=self.cwd,
            rules=all_rules(),
            problems=tuple(self.problems),
            contents=self.contents,
            measured=self._measured(),
            show_suppressed=options.get("show_suppressed", False),
            fixed=fixed,
            started=self.started,
            seconds=time.monotonic() - self._clock,
            style=Style(color=color, quiet=options.get("quiet", False)),
        )
        return replace(run, exit_code=self.exit_code(run))

    def _measured(self) -> dict[str, dict[str, Any]]:
        """What ``confirm`` found out about diagnostics, by fingerprint."""
        if self.options.get("no_cache"):
            return {}
        from nograd_lint.confirm.store import load

        return load(self.root, Path(self.settings.cache_dir) if self.settings.cache_dir else None)

    def exit_code(self, run: Run) -> int:
        """2 where something kept the tool from its work, 1 where something counts, else 0."""
        if run.all_problems:
            return 2
        failing = any(diagnostic.severity.rank >= self.settings.fail_on.rank for diagnostic in run.diagnostics)
        return int(failing and not self.options.get("exit_zero", False))
