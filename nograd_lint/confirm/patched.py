"""Files with their fixes applied, and where the regions are in them, for runs of the fix itself."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nograd_lint.confirm.instrument import blocks, start
from nograd_lint.confirm.plan import Region, RegionError, statements_of
from nograd_lint.diagnostics import Edit, Position, Problem, Span
from nograd_lint.rules._base import Kind
from nograd_lint.source.decoding import SourceError
from nograd_lint.source.files import SourceFile, from_text, splice

Place = tuple[tuple[int, int], tuple[int, int]]


class PatchedFile(NamedTuple):
    text: str
    places: dict[int, Place]


def patch_files(regions: Sequence[Region], sources: Mapping[Path, SourceFile]) -> dict[Path, PatchedFile] | None:
    """None where the fixes overlap, or a region is not to be found in the result."""
    found = {}
    try:
        for path in {region.path for region in regions}:
            found[path] = _patch(sources[path], [region for region in regions if region.path == path])
    except (SourceError, RegionError, SyntaxError):
        return None
    return found


def _patch(source: SourceFile, regions: Sequence[Region]) -> PatchedFile:
    edits: list[Edit] = [edit for r in regions if r.diagnostic.fix is not None for edit in r.diagnostic.fix.edits]
    replacements = source.replacements(edits)
    text = splice(source.text, replacements)
    new = from_text(source.path, source.filename, text)
    if isinstance(new, Problem):
        raise RegionError(new.message)
    tree = ast.parse(new.analysis)
    places = {}
    for region in regions:
        span = region.diagnostic.region
        # What is inserted right before the region, its guard above all, is inside it then.
        begin = _moved(source.index(span.start), replacements, inclusive=False)
        end = _moved(source.index(span.end), replacements, inclusive=True)
        if begin == end:
            statements = _next(tree, new, begin, region.first[1])
        else:
            statements = statements_of(tree, new, Span(_position(new, begin), _position(new, end)), Kind.GUARD)
        places[region.id] = (start(statements[0]), start(statements[-1]))
    return PatchedFile(new.analysis.decode(), places)


def _next(tree: ast.Module, source: SourceFile, place: int, column: int) -> list[ast.stmt]:
    """What runs right after a region that the fix removes: it stands where the region stood."""
    row = _position(source, place).row
    later = [s for block in blocks(tree) for s in block if s.lineno >= row]
    first = min(later, key=start, default=None)
    if first is None or first.col_offset != column:
        raise RegionError("the fix removes the region, and nothing follows it in its block")
    return [first]


def _moved(place: int, replacements: Sequence[tuple[int, int, str]], *, inclusive: bool) -> int:
    moved = place
    for begin, end, content in replacements:
        if begin < place or (inclusive and begin == place):
            moved += len(content) - (min(end, place) - begin)
    return moved


def _position(source: SourceFile, index: int) -> Position:
    before = source.text[:index].replace("\r\n", "\n").replace("\r", "\n")
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
