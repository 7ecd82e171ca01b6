"""The engine behind the server. Everything here runs in the one thread that analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import FileResult, Problem
from nograd_lint.engine import Engine
from nograd_lint.lsp.options import Options
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Selection
from nograd_lint.source.discovery import CONFIG_FILES, discover
from nograd_lint.source.files import SourceFile, load
from nograd_lint.source.ignores import Excluder

Contents = Mapping[Path, bytes]


class Checked(NamedTuple):
    """What is known of one file: its source (None where it is not linted), results, figures, and the project's root."""

    path: Path
    source: SourceFile | None
    result: FileResult
    root: Path
    measured: Mapping[str, Mapping[str, Any]]


class Workspace:
    """Lints files and open documents; an engine per project."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._contents: dict[Path, bytes] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was read from configuration files."""
        self._engines: dict[Path, Engine] = {}
        self._resolver_: Resolver | None = None
        self._measured: dict[Path, tuple[int, dict[str, dict[str, Any]]]] = {}

    def configure(self, options: Options) -> None:
        self.options = options
        self.reset()

    @property
    def _resolver(self) -> Resolver:
        if self._resolver_ is None:
            options = self.options
            overrides = {"min_confidence": options.min_confidence} if options.min_confidence is not None else {}
            self._resolver_ = Resolver(
                {code: (rule.name, rule.default) for code, rule in all_rules().items()},
                config=Path(options.config_file) if options.config_file else None,
                overrides=overrides,
                selection=Selection(
                    select=options.select,
                    ignore=options.ignore,
                    extend_select=options.extend_select,
                    extend_ignore=options.extend_ignore,
                ),
            )
        return self._resolver_

    def _engine(self, path: Path) -> Engine:
        root = self._resolver.root(path).path
        if root not in self._engines:
            engine = Engine(self._resolver.nearest(root).settings, root, resolver=self._resolver)
            self._engines[root] = engine
            for opened, content in self._contents.items():
                engine.update(opened, content)
        return self._engines[root]

    # --- changes ------------------------------------------------------------------------------------------------------

    def sync(self, contents: Contents) -> None:
        """Take over what is open; it stands for what is on disk."""
        before, self._contents = self._contents, dict(contents)
        for path in before.keys() | contents.keys():
            if before.get(path) != contents.get(path):
                self._update(path)

    def _update(self, path: Path) -> None:
        for engine in self._engines.values():
            engine.update(path, self._contents.get(path))

    def files_changed(self, paths: Iterable[Path]) -> None:
        """Files were changed, made or removed on disk."""
        if any(path.name in CONFIG_FILES or path.name.startswith(("setup.", "requirements")) for path in paths):
            self.reset()
        for path in paths:
            self._update(path)

    def saved(self) -> None:
        """A file was saved, and others may have been, for clients that do not watch files."""
        for engine in self._engines.values():
            engine.look()
        self._configuration_changed()

    def _configuration_changed(self) -> None:
        directories = {up for path in self._contents for up in path.parents}
        stamps: dict[Path, tuple[int, int]] = {}
        for directory in directories:
            for name in CONFIG_FILES:
                with suppress(OSError):
                    status = (directory / name).stat()
                    stamps[directory / name] = (status.st_mtime_ns, status.st_size)
        changed = bool(self._stamps) and stamps != self._stamps
        self._stamps = stamps
        if changed:
            self.reset()

    def keep(self) -> None:
        """Remember what is known, for the next start."""
        for engine in self._engines.values():
            engine.keep()

    # --- linting ------------------------------------------------------------------------------------------------------

    def check(self, path: Path) -> Checked:
        """Lint one file. Raises ConfigError or BaselineError where the configuration cannot be used."""
        [checked] = self.check_all([path])
        return checked

    def check_all(self, paths: Sequence[Path]) -> list[Checked]:
        """Lint files; an excluded one has no diagnostics."""
        groups: dict[Path, list[Path]] = {}
        for path in paths:
            if self._is_linted(path):
                groups.setdefault(self._resolver.root(path).path, []).append(path)
        found: dict[Path, Checked] = {}
        for members in groups.values():
            engine = self._engine(members[0])
            for path, result in zip(members, engine.check(members), strict=True):
                found[path] = self._checked(engine, path, result)
        return [found.get(path) or Checked(path, None, FileResult(str(path)), path.parent, {}) for path in paths]

    def _is_linted(self, path: Path) -> bool:
        configuration = self._resolver.nearest(path.parent)
        settings = configuration.settings
        if path.suffix not in (".py", ".ipynb") and not settings.markdown:
            return False
        excluder = Excluder((*settings.exclude, *settings.extend_exclude), str(configuration.base))
        return self.options.enable and not excluder.excludes_any_parent(str(path))

    def _checked(self, engine: Engine, path: Path, result: FileResult) -> Checked:
        settings = self._resolver.configuration(path).settings
        source = load(path, result.filename, self._contents.get(path), markdown=settings.markdown)
        if isinstance(source, Problem):
            return Checked(path, None, result, engine.root, {})
        return Checked(path, source, result, engine.root, self._figures(engine))

    def _figures(self, engine: Engine) -> dict[str, dict[str, Any]]:
        """What confirm measured in the project, read again when it is there anew."""
        from nograd_lint.confirm import store

        directory = Path(engine.settings.cache_dir) if engine.settings.cache_dir else None
        try:
            changed = store.place(engine.root, directory).stat().st_mtime_ns
        except OSError:
            return {}
        known = self._measured.get(engine.root)
        if known is None or known[0] != changed:
            known = self._measured[engine.root] = (changed, store.load(engine.root, directory))
        return known[1]

    def fix_all(self, path: Path) -> bytes | None:
        """The content of a file with every safe fix applied; None where there is nothing to fix."""
        from nograd_lint.fixes.apply import apply_fixes

        engine = self._engine(path)
        results = engine.check([path])
        report = apply_fixes(engine, results, contents=self._contents, write=False)
        return next((file.after for file in report.files if file.path == path), None)

    # --- the project --------------------------------------------------------------------------------------------------

    def files(self, directory: Path) -> list[Path]:
        """The files of a folder, by its configuration."""

        def nested(inner: Path) -> tuple[Any, Path]:
            configuration = self._resolver.nearest(inner)
            return configuration.settings, configuration.base

        settings, base = nested(directory)
        return discover([directory], settings, base, nested).files


Job = Callable[[Workspace], Any]
