"""The flake8 plugin: ``NGL`` codes among flake8's own.

What shapes the analysis comes from nograd-lint's configuration; which codes are reported where, and ``# noqa``, are
flake8's business. The files of a run are linted together, once, before flake8 starts its workers: what is reported for
one file depends on others.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import nograd_lint

if TYPE_CHECKING:
    import argparse
    import ast

    from flake8.options.manager import OptionManager

    from nograd_lint.diagnostics import Diagnostic, FileResult
    from nograd_lint.engine import Engine

Report = tuple[int, int, str, type[Any]]

# flake8 reports what it cannot parse itself, and knows of more reasons for a suppression comment than we do.
_LEFT_OUT = ("NGL901", "NGL902")
# Where workers that were not forked find what their parent found.
_RESULTS = "NOGRAD_LINT_FLAKE8_RESULTS"


class Plugin:
    """One file, as flake8 asks about it."""

    name = "nograd-lint"
    version = nograd_lint.__version__
    _session: ClassVar[_Session | None] = None

    def __init__(self, tree: ast.AST, filename: str, lines: Sequence[str]) -> None:  # noqa: ARG002 - flake8 asks for it
        self.filename = filename
        self.lines = lines

    def run(self) -> Iterator[Report]:
        if self._session is None:
            return
        for row, column, text in self._session.reports(self.filename, self.lines):
            yield row, column, text, type(self)

    @classmethod
    def add_options(cls, option_manager: OptionManager) -> None:
        option_manager.add_option(
            "--nograd-min-confidence",
            choices=["high", "medium", "low"],
            parse_from_config=True,
            help="Report NGL diagnostics from this confidence on (default: as nograd-lint is configured).",
        )
        option_manager.add_option(
            "--nograd-config",
            metavar="FILE",
            normalize_paths=True,
            parse_from_config=True,
            help="nograd-lint's configuration file (default: the nearest).",
        )
        option_manager.add_option(
            "--nograd-no-cache", action="store_true", parse_from_config=True, help="Lint without nograd-lint's cache."
        )

    @classmethod
    def parse_options(cls, option_manager: OptionManager, options: argparse.Namespace, args: object) -> None:  # noqa: ARG003
        from nograd_lint.baseline import BaselineError
        from nograd_lint.settings import ConfigError

        try:
            cls._session = _Session(options)
            cls._session.prepare()
        except (BaselineError, ConfigError) as error:
            from flake8.exceptions import ExecutionError

            raise ExecutionError(f"nograd-lint: {error}") from None


class _Session:
    """One run of flake8."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cwd = Path.cwd()
        self.results: dict[str, list[tuple[int, int, str]]] = {}
        self.engine = self._engine()

    def _engine(self) -> Engine:
        from nograd_lint.config import Resolver
        from nograd_lint.diagnostics import Confidence
        from nograd_lint.engine import Engine
        from nograd_lint.rules.registry import all_rules
        from nograd_lint.settings import ConfigError

        options = self.options
        rules = all_rules()
        # A rule that is off by default needs to be asked for: `ignore` would replace flake8's list of such codes.
        asked = (*(options.select or ()), *(options.extend_select or ()))
        on = [code for code, rule in rules.items() if rule.default or code.startswith(asked)]
        # What is never reported here need not be looked for: unused suppressions are the dearest of all.
        overrides: dict[str, object] = {
            "select": tuple(on), "ignore": _LEFT_OUT, "extend_select": (), "extend_ignore": (), "per_file_ignores": {}
        }  # fmt: skip
        if options.nograd_min_confidence:
            overrides["min_confidence"] = Confidence(options.nograd_min_confidence)
        config = Path(options.nograd_config) if options.nograd_config else None
        if config is not None and not config.is_file():
            raise ConfigError(options.nograd_config, "no such configuration file")
        known = {code: (rule.name, rule.default) for code, rule in rules.items()}
        resolver = Resolver(known, config=config, overrides=overrides)
        root = resolver.root(self._path((options.filenames or ["."])[0])).path
        settings = resolver.nearest(root).settings
        return Engine(settings, root, resolver=resolver, use_cache=not options.nograd_no_cache)

    def _path(self, filename: str) -> Path:
        if filename == "-":
            filename = self.options.stdin_display_name
        return Path(os.path.normpath(self.cwd / filename))

    def prepare(self) -> None:
        """Lint every file that flake8 is going to look at, or take over what the parent process found."""
        import msgspec

        if multiprocessing.parent_process() is not None and (file := os.environ.get(_RESULTS)):
            self.results = msgspec.json.decode(Path(file).read_bytes(), type=dict[str, list[tuple[int, int, str]]])
            return
        from flake8.discover_files import expand_paths

        options = self.options
        paths = expand_paths(
            paths=options.filenames,
            stdin_display_name=options.stdin_display_name,
            filename_patterns=options.filename,
            exclude=(*options.exclude, *options.extend_exclude),
        )
        files = {path: self._path(path) for path in paths if path != "-"}
        readable = [path for path in dict.fromkeys(files.values()) if path.is_file()]
        # All that is made here stays: there is no garbage in it to look for, now or in the midst of flake8's own work.
        gc.disable()
        results = self.engine.check(readable)
        gc.freeze()
        gc.enable()
        found = {path: self._reports(path, result) for path, result in zip(readable, results, strict=True)}
        self.results = {name: found[path] for name, path in files.items() if path in found}
        if multiprocessing.get_start_method() != "fork" and len(files) > 1:
            _leave(msgspec.json.encode(self.results))

    def reports(self, filename: str, lines: Sequence[str]) -> list[tuple[int, int, str]]:
        """Row (from 1), column (from 0) and text of everything to report for a file."""
        if filename not in self.results:  # standard input, or a file that was named through flake8's Python interface
            path, content = self._path(filename), _encoded("".join(lines))
            [result] = self.engine.check([path], contents={path: content})
            self.results[filename] = self._reports(path, result, content)
        return self.results[filename]

    def _reports(self, path: Path, result: FileResult, content: bytes | None = None) -> list[tuple[int, int, str]]:
        for problem in result.problems:
            if problem.internal:
                print(f"nograd-lint: {result.filename}: {problem.message}", file=sys.stderr)
        found = list(result.diagnostics)
        if self.options.disable_noqa and result.suppressed:
            found += self._without_noqa(path, result, content)
        return [
            (diagnostic.span.start.row, diagnostic.span.start.column - 1, f"{diagnostic.code} {diagnostic.message}")
            for diagnostic in found
        ]

    def _without_noqa(self, path: Path, result: FileResult, content: bytes | None) -> list[Diagnostic]:
        """The diagnostics that nothing but a ``noqa`` suppresses."""
        from nograd_lint.diagnostics import Problem
        from nograd_lint.source import suppressions
        from nograd_lint.source.files import load

        source = load(path, result.filename, content)
        if isinstance(source, Problem):
            return []
        own = [pragma for pragma in suppressions.read(source) if pragma.kind not in ("noqa", "file-noqa")]
        return [
            one.diagnostic
            for one in result.suppressed
            if one.by == "inline" and not any(pragma.covers(one.diagnostic) for pragma in own)
        ]


def _encoded(text: str) -> bytes:
    """The bytes that Python would read as ``text``, which may declare an encoding."""
    from nograd_lint.source.decoding import SourceError, declared_encoding

    raw = text.encode("utf-8", "replace")
    try:
        return text.encode(declared_encoding(raw), "replace")
    except SourceError:
        return raw


def _leave(results: bytes) -> None:
    """Put results where workers that do not share this process's memory find them, until it ends."""
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="nograd-lint-", suffix=".json", delete=False) as file:
        file.write(results)
    os.environ[_RESULTS] = file.name
    atexit.register(Path(file.name).unlink, missing_ok=True)
