"""The pipeline from files to diagnostics: the one entry point of every front end.

screen → outline → libcst of candidate units → facts → summaries → rules → suppressions → baseline
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nograd_lint.config import Resolver, Root
from nograd_lint.diagnostics import (
    Applicability,
    Confidence,
    Diagnostic,
    Evidence,
    FileResult,
    Fix,
    Position,
    Problem,
    Span,
)
from nograd_lint.project.index import MODULE, Project
from nograd_lint.settings import Settings

if TYPE_CHECKING:
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.project.index import File
    from nograd_lint.project.summaries import World
    from nograd_lint.rules._base import Finding, Place, Rule
    from nograd_lint.rules._context import UnitContext
    from nograd_lint.source.files import SourceFile
    from nograd_lint.source.suppressions import Unused


class Engine:
    """Lints files of one or more projects.

    Args:
        settings: what holds where no configuration file says otherwise.
        root: what filenames in results are relative to.
        resolver: finds roots and configurations; one that reads configuration files where not given.
        use_cache: reuse results of earlier runs.
    """

    def __init__(
        self, settings: Settings, root: Path, *, resolver: Resolver | None = None, use_cache: bool = True
    ) -> None:
        from nograd_lint.rules.registry import all_rules

        self.settings = settings
        self.root = root
        self.rules: Mapping[str, Rule] = all_rules()
        self.resolver = resolver or Resolver({c: (r.name, r.default) for c, r in self.rules.items()})
        self.use_cache = use_cache

    def check(
        self,
        files: Sequence[Path],
        *,
        contents: Mapping[Path, bytes] | None = None,
        progress: Callable[[int, int], None] | None = None,
        jobs: int = 1,  # noqa: ARG002 - one process for now
    ) -> list[FileResult]:
        """Lint files (absolute paths); ``contents`` stand for what is on disk. Results keep the order."""
        with _without_garbage_collection():
            ordered = self._check(files, dict(contents or {}), progress)
        if self.settings.baseline:
            from nograd_lint import baseline

            ordered = baseline.apply(baseline.read(self.root / self.settings.baseline), ordered)
        return ordered

    def _check(
        self,
        files: Sequence[Path],
        contents: dict[Path, bytes],
        progress: Callable[[int, int], None] | None,
    ) -> list[FileResult]:
        groups: dict[Root, list[Path]] = {}
        for file in files:
            groups.setdefault(self.resolver.root(file), []).append(file)
        results: dict[Path, FileResult] = {}
        done = 0
        for root, members in groups.items():
            linter = _Linter(self, root, contents, members)
            for file in members:
                results[file] = linter.check(file)
                done += 1
                if progress is not None:
                    progress(done, len(files))
        return [results[file] for file in files]


class _Linter:
    """The files of one project."""

    def __init__(self, engine: Engine, root: Root, contents: dict[Path, bytes], members: Sequence[Path]) -> None:
        from nograd_lint.knowledge import load
        from nograd_lint.project.summaries import World

        self.engine = engine
        self.root = root
        self.contents = contents
        self.settings = engine.resolver.analysis(root)
        self.sources: dict[str, SourceFile] = {}
        self.names: dict[Path, str] = {}
        paths = [root.alone] if root.alone is not None else self._project_files()
        for path in {*paths, *members}:
            self.names[path] = os.path.relpath(path, root.path).replace(os.sep, "/")
        self.paths = {name: path for path, name in self.names.items()}
        knowledge: Knowledge = load(tuple(root.path / k for k in self.settings.knowledge))
        self.world: World = World(Project(self.paths, self._read, knowledge.canonical), knowledge)

    def _project_files(self) -> list[Path]:
        from nograd_lint.source.discovery import discover

        return discover([self.root.path], self.settings, self.root.path).files

    def _read(self, name: str) -> bytes | None:
        from nograd_lint.source.files import load

        path = self.paths[name]
        source = load(path, name, self.contents.get(path), markdown=self.settings.markdown)
        return None if isinstance(source, Problem) else source.analysis

    def check(self, path: Path) -> FileResult:
        """Everything about one file: what is reported, what is suppressed and by what, what went wrong."""
        from nograd_lint.fingerprint import with_fingerprints
        from nograd_lint.source import suppressions
        from nograd_lint.source.files import load

        engine = self.engine
        shown = os.path.relpath(path, engine.root).replace(os.sep, "/")
        source = load(path, shown, self.contents.get(path), markdown=self.settings.markdown)
        if isinstance(source, Problem):
            return FileResult(shown, problems=(source,))
        file = self.world.project.file(self.names[path])
        problems: list[Problem] = []
        found: Sequence[Diagnostic] = ()
        if file is not None and not file.screened_out:
            found = list(self._judge(file, source, shown, problems))
        if not found and not problems and not suppressions.matter(source.analysis):
            return FileResult(shown)
        found = with_fingerprints(source, found)
        pragmas = suppressions.read(source)
        unused = [self._unused(u, source, shown) for u in suppressions.unused(pragmas, found)]
        least = engine.resolver.configuration(path).settings.min_confidence.rank
        enabled = engine.resolver.enabled(path)
        chosen = [d for d in (*found, *unused) if d.code in enabled and d.confidence.rank >= least]
        outcome = suppressions.apply(pragmas, chosen)
        return FileResult(
            shown, tuple(sorted(outcome.kept, key=lambda d: (d.span, d.code))), outcome.suppressed, tuple(problems)
        )

    def _unused(self, unused: Unused, source: SourceFile, shown: str) -> Diagnostic:
        rule = self.engine.rules["NGL901"]
        span = unused.pragma.span
        fix = Fix(Applicability.SAFE, "Remove the comment", unused.edits())
        return Diagnostic(
            rule.code, rule.name, unused.message, rule.severity, Confidence.HIGH, shown, MODULE, span, span,
            fix=fix, cell=_cell(source, span.start.row),
        )  # fmt: skip

    def _judge(self, file: File, source: SourceFile, shown: str, problems: list[Problem]) -> Iterable[Diagnostic]:
        from nograd_lint.analysis.candidates import candidates
        from nograd_lint.rules._context import UnitContext

        target = _version(self.settings.target_torch)
        units = candidates(file)
        for unit in units:
            try:
                facts = self.world.facts(file.path, unit)
            except Exception as error:
                problems.append(Problem(shown, f"internal error in {unit}: {_explain(error)}", internal=True))
                continue
            if facts is None:
                continue
            context = UnitContext(self.world, facts, target)
            for rule in self.engine.rules.values():
                if rule.check is None:
                    continue
                try:
                    for finding in rule.check(context):
                        if not file.judged(unit):
                            if unit not in file.rejected:
                                raise RuntimeError("the parsers disagree")
                            break
                        yield self._diagnostic(rule, context, finding, file, source, shown)
                except Exception as error:
                    problems.append(
                        Problem(shown, f"internal error in {rule.code} at {unit}: {_explain(error)}", internal=True)
                    )
        rejected = next((file.rejected[unit] for unit in units if unit in file.rejected), None)
        if source.broken:
            broken = source.broken[0]
            rejected = (broken.message, broken.row, 1)
        if rejected is not None:
            yield self._unparsable(rejected, source, shown)

    def _unparsable(self, rejected: tuple[str, int, int], source: SourceFile, shown: str) -> Diagnostic:
        message, row, column = rejected
        rule = self.engine.rules["NGL902"]
        row = min(row, max(source.rows, 1))
        span = Span(Position(row, column), Position(row, column))
        return Diagnostic(
            rule.code, rule.name, f"can't be parsed: {' '.join(message.split())}", rule.severity, Confidence.HIGH,
            shown, MODULE, span, span, cell=_cell(source, row),
        )  # fmt: skip

    def _diagnostic(
        self, rule: Rule, context: UnitContext, finding: Finding, file: File, source: SourceFile, shown: str
    ) -> Diagnostic:
        from nograd_lint.syntax.lower import spans

        unit = context.unit
        offset = file.row(unit)
        positions = spans(file.text(unit))
        span = _shift(positions[finding.node], offset)
        first, last = finding.region or (context.parent_statement.get(finding.node, finding.node),) * 2
        region = Span(_shift(positions[first], offset).start, _shift(positions[last], offset).end)
        evidence = tuple(self._evidence(note.message, note.place) for note in finding.notes)
        function = (finding.function or context.enclosing.get(finding.node) or unit).partition("#")[0]
        return Diagnostic(
            rule.code,
            rule.name,
            finding.message,
            finding.severity or rule.severity,
            finding.confidence,
            shown,
            function,
            span,
            region,
            evidence,
            self._fix(finding, positions, offset, source),
            _cell(source, span.start.row),
        )

    def _evidence(self, message: str, place: Place) -> Evidence:
        from nograd_lint.syntax.lower import spans

        file = self.world.project.file(place.path)
        assert file is not None
        span = _shift(spans(file.text(place.unit))[place.node], file.row(place.unit))
        shown = os.path.relpath(self.paths[place.path], self.engine.root).replace(os.sep, "/")
        return Evidence(message, shown, span)

    def _fix(self, finding: Finding, positions: Sequence[Span], offset: int, source: SourceFile) -> Fix | None:
        from nograd_lint.fixes.build import fix_for

        if finding.fix is None:
            return None
        return fix_for(source, [_shift(span, offset) for span in positions], finding.fix)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Syntax trees hold no cycles, and looking for some takes longer than anything else about them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _shift(span: Span, rows: int) -> Span:
    return Span(Position(span.start.row + rows, span.start.column), Position(span.end.row + rows, span.end.column))


def _cell(source: SourceFile, row: int) -> int | None:
    cell = source.cell_at(row) if source.cells else None
    return cell.number if cell is not None else None


def _version(text: str | None) -> tuple[int, ...] | None:
    return tuple(int(part) for part in text.split(".")) if text else None


def _explain(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" ({Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno})" if frame is not None else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
