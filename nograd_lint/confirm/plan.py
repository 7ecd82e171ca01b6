"""From diagnostics to regions: which statements get a probe, or why they cannot."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nograd_lint.confirm.instrument import blocks, own_nodes, start
from nograd_lint.diagnostics import Diagnostic, Problem, Span
from nograd_lint.rules._base import Kind
from nograd_lint.source.files import SourceFile, load


class Region(msgspec.Struct, frozen=True):
    """A diagnostic and the statements that are measured for it: from the start of the first to that of the last.

    Places are (line, UTF-8 column), as in :mod:`ast`. ``problem`` says why the region cannot be measured.
    """

    id: int
    diagnostic: Diagnostic
    kind: Kind
    path: Path
    first: tuple[int, int] = (0, 0)
    last: tuple[int, int] = (0, 0)
    rows: tuple[int, int] = (0, 0)
    problem: str | None = None


class RegionError(Exception):
    """A region that cannot be measured; ``str()`` says why."""


def plan(diagnostics: Sequence[Diagnostic], kinds: dict[str, Kind], root: Path) -> list[Region]:
    """A region per diagnostic, in their order."""
    sources: dict[Path, SourceFile | Problem] = {}
    trees: dict[Path, ast.Module | str] = {}
    regions = []
    for number, diagnostic in enumerate(diagnostics):
        path = Path(os.path.normpath(root / diagnostic.filename))
        kind = kinds.get(diagnostic.code, Kind.NONE)
        region = Region(number, diagnostic, kind, path)
        if path not in sources:
            sources[path] = load(path, diagnostic.filename)
            trees[path] = _parse(sources[path])
        try:
            regions.append(_placed(region, sources[path], trees[path]))
        except RegionError as error:
            regions.append(msgspec.structs.replace(region, problem=str(error)))
    return regions


def _parse(source: SourceFile | Problem) -> ast.Module | str:
    if isinstance(source, Problem):
        return source.message
    try:
        return ast.parse(source.analysis)
    except (SyntaxError, ValueError) as error:
        return f"this Python cannot parse the file: {error}"


def _placed(region: Region, source: SourceFile | Problem, tree: ast.Module | str) -> Region:
    if region.kind is Kind.NONE:
        raise RegionError(f"what {region.diagnostic.code} is about does not show in a measurement")
    if isinstance(tree, str):
        raise RegionError(tree)
    assert not isinstance(source, Problem)
    statements = statements_of(tree, source, region.diagnostic.region, region.kind)
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in own_nodes(statements)):
        raise RegionError("the region holds a `yield`: a guard around it would act on the consumer, too")
    if any(isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)) for node in own_nodes(statements)):
        raise RegionError("the region holds an `await`: a guard around it would act on other coroutines, too")
    return msgspec.structs.replace(
        region,
        first=start(statements[0]),
        last=start(statements[-1]),
        rows=(_top(statements[0])[0], statements[-1].end_lineno or statements[-1].lineno),
    )


def statements_of(tree: ast.Module, source: SourceFile, span: Span, kind: Kind) -> list[ast.stmt]:
    """The statements of one block that a region covers; of a function its body."""
    begin, end = _byte_place(source, source.offset(span.start)), _byte_place(source, source.offset(span.end))
    found: list[ast.stmt] = []
    for block in blocks(tree):  # inner blocks come after outer ones, so the last match is the innermost
        holds_begin = any(_top(s) <= begin < _end(s) for s in block)
        holds_end = any(_top(s) < end <= _end(s) for s in block)
        if holds_begin and holds_end:
            found = [s for s in block if _end(s) > begin and _top(s) < end]
    if not found:
        raise RegionError("no statements were found at the region's place")
    while len(found) == 1:
        [only] = found
        if isinstance(only, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
            # What the fix takes away must not come between the probe and the statements.
            kind is Kind.TRAIN and isinstance(only, (ast.With, ast.AsyncWith))
        ):
            found = list(only.body)
        else:
            break
    if isinstance(found[0], ast.ClassDef) and len(found) == 1:
        raise RegionError("the region is a class")
    while found and (is_docstring(found[0]) or _is_future(found[0])):
        found = found[1:]
    if not found:
        raise RegionError("the region holds no statements that do something")
    return found


def _byte_place(source: SourceFile, offset: int) -> tuple[int, int]:
    data = source.analysis
    row = data.count(b"\n", 0, offset) + 1
    return row, offset - (data.rfind(b"\n", 0, offset) + 1)


def _top(node: ast.stmt) -> tuple[int, int]:
    """Where a statement begins, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([start(node), *((d.lineno, max(0, d.col_offset - 1)) for d in decorators)])


def _end(node: ast.stmt) -> tuple[int, int]:
    return (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
