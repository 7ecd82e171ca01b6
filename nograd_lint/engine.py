"""The pipeline from files to diagnostics: the one entry point of every front end.

screen → outline → libcst of candidate units → facts → summaries → rules → suppressions → baseline
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nograd_lint.config import Resolver, Root
from nograd_lint.diagnostics import Diagnostic, Evidence, FileResult, Fix, Position, Problem, Span
from nograd_lint.project.index import MODULE, Project
from nograd_lint.settings import Settings

if TYPE_CHECKING:
    from nograd_lint.knowledge import Knowledge
    from nograd_lint.project.index import File
    from nograd_lint.project.summaries import World
    from nograd_lint.rules._base import Finding, Place, Rule
    from nograd_lint.source.files import SourceFile


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
        """Lint files (absolute paths); ``contents`` stand for what is on disk. Results are in the order of ``files``."""
        groups: dict[Root, list[Path]] = {}
        for file in files:
            groups.setdefault(self.resolver.root(file), []).append(file)
        results: dict[Path, FileResult] = {}
        done = 0
        for root, members in groups.items():
            linter = _Linter(self, root, dict(contents or {}), members)
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
        from nograd_lint.source.files import load

        engine = self.engine
        shown = os.path.relpath(path, engine.root).replace(os.sep, "/")
        source = load(path, shown, self.contents.get(path), markdown=self.settings.markdown)
        if isinstance(source, Problem):
            return FileResult(shown, problems=(source,))
        file = self.world.project.file(self.names[path])
        if file is None or file.screened_out:
            return FileResult(shown)
        configuration = engine.resolver.configuration(path)
        enabled = engine.resolver.enabled(path)
        found: list[Diagnostic] = []
        problems: list[Problem] = []
        for diagnostic in self._judge(file, source, shown, problems):
            if diagnostic.code in enabled and diagnostic.confidence.rank >= configuration.settings.min_confidence.rank:
                found.append(diagnostic)
        found.sort(key=lambda d: (d.span, d.code))
        return FileResult(shown, tuple(found), (), tuple(problems))

    def _judge(self, file: File, source: SourceFile, shown: str, problems: list[Problem]) -> Iterable[Diagnostic]:
        from nograd_lint.analysis.candidates import candidates
        from nograd_lint.rules._context import UnitContext

        target = _version(self.settings.target_torch)
        for unit in candidates(file):
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
                        yield self._diagnostic(rule, context, finding, file, source, shown)
                except Exception as error:
                    problems.append(
                        Problem(shown, f"internal error in {rule.code} at {unit}: {_explain(error)}", internal=True)
                    )
        if file.rejected is not None:
            message, row, column = file.rejected
            rule = self.engine.rules["NGL902"]
            span = Span(Position(row, column), Position(row, column))
            from nograd_lint.diagnostics import Confidence

            yield Diagnostic(
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
            self._fix(finding, positions, offset, source, rule),
            _cell(source, span.start.row),
        )

    def _evidence(self, message: str, place: Place) -> Evidence:
        from nograd_lint.syntax.lower import spans

        file = self.world.project.file(place.path)
        assert file is not None
        span = _shift(spans(file.text(place.unit))[place.node], file.row(place.unit))
        shown = os.path.relpath(self.paths[place.path], self.engine.root).replace(os.sep, "/")
        return Evidence(message, shown, span)

    def _fix(
        self, finding: Finding, positions: Sequence[Span], offset: int, source: SourceFile, rule: Rule
    ) -> Fix | None:
        from nograd_lint.fixes.build import fix_for

        if finding.fix is None:
            return None
        return fix_for(source, [_shift(span, offset) for span in positions], finding.fix)


def _shift(span: Span, rows: int) -> Span:
    return Span(
        Position(span.start.row + rows, span.start.column), Position(span.end.row + rows, span.end.column)
    )


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
