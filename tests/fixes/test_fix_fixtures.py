"""The example projects, fixed: what is said of fixes holds for all of them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from fix_helpers import without_guards

from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Problem
from nograd_lint.engine import Engine
from nograd_lint.fixes.apply import FixReport, apply_fixes
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings
from nograd_lint.source.files import SourceFile, load

FIXTURES = Path(__file__).parents[2] / "fixtures"
PROJECTS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())
# Rules whose fixes put a guard around what is there, or widen one, and do nothing else.
ADD_A_GUARD = {"NGL101", "NGL102", "NGL103", "NGL104", "NGL105"}


@pytest.fixture(scope="module")
def reports() -> dict[str, FixReport]:
    return {}


def fixed(name: str, reports: dict[str, FixReport]) -> tuple[Engine, FixReport]:
    root = FIXTURES / name
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()})
    engine = Engine(Settings(), root, resolver=resolver, use_cache=False)
    if name not in reports:
        files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".ipynb"))
        reports[name] = apply_fixes(engine, engine.check(files), unsafe=True, write=False)
    return engine, reports[name]


def source(path: Path, data: bytes) -> SourceFile:
    found = load(path, path.name, data)
    assert not isinstance(found, Problem)
    return found


@pytest.mark.parametrize("name", PROJECTS)
def test_fixed_files_parse_and_the_diagnostics_are_gone(name: str, reports: dict[str, FixReport]) -> None:
    engine, report = fixed(name, reports)
    left = Counter((d.filename, d.code, d.function) for result in report.results for d in result.diagnostics)
    paths = [engine.root / result.filename for result in report.results]
    before = Counter((d.filename, d.code, d.function) for result in engine.check(paths) for d in result.diagnostics)
    for file in report.files:
        new = source(file.path, file.after)
        ast.parse(new.analysis)
        assert not new.broken
        for key, count in Counter((d.filename, d.code, d.function) for d in file.fixed).items():
            assert left[key] <= before[key] - count


@pytest.mark.parametrize("name", PROJECTS)
def test_guards_are_all_that_is_added(name: str, reports: dict[str, FixReport]) -> None:
    _, report = fixed(name, reports)
    for file in report.files:
        if {d.code for d in file.fixed} <= ADD_A_GUARD:
            old, new = source(file.path, file.before), source(file.path, file.after)
            assert without_guards(new.analysis.decode()) == without_guards(old.analysis.decode())
            # Comments are there as before, too.
            assert words(old) - words(new) == Counter()
            assert words(new) - words(old) <= Counter(("import", "torch"))


def words(file: SourceFile) -> Counter[str]:
    text = re.sub(
        r"with torch\.(?:no_grad\(\)|set_grad_enabled\(.*\)):$|@torch\.no_grad\(\)$", "", file.text, flags=re.MULTILINE
    )
    return Counter(text.split())


@pytest.mark.parametrize("name", PROJECTS)
def test_fixing_again_changes_nothing(name: str, reports: dict[str, FixReport]) -> None:
    engine, report = fixed(name, reports)
    after = {file.path: file.after for file in report.files}
    files = [engine.root / result.filename for result in report.results]
    again = apply_fixes(engine, engine.check(files, contents=after), unsafe=True, contents=after)
    assert again.files == ()
