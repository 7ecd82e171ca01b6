from __future__ import annotations

import ast
import shutil
import subprocess
import sysconfig
import warnings
from itertools import accumulate
from pathlib import Path

import msgspec
import pytest

from nograd_lint.baseline import Baseline, BaselineError, Entry, apply, build, prune, read, show, write
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import (
    Confidence,
    Diagnostic,
    FileResult,
    Position,
    Problem,
    Severity,
    Span,
    Suppressed,
)
from nograd_lint.engine import Engine
from nograd_lint.fingerprint import statement_tokens, with_fingerprints
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings
from nograd_lint.source.files import SourceFile

FIXTURES = Path(__file__).parent.parent / "fixtures"


def diagnostic(row: int, code: str = "NGL101", filename: str = "a.py", function: str = "f") -> Diagnostic:
    span = Span(Position(row, 1), Position(row, 2))
    return Diagnostic(code, "name", f"message {row}", Severity.WARNING, Confidence.HIGH, filename, function, span, span)


def fingerprints(text: str, *found: Diagnostic, name: str = "a.py") -> list[str]:
    source = SourceFile(Path("a.py"), "a.py", text.encode())
    return [d.fingerprint for d in with_fingerprints(source, name, found)]


# --- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("y = m( x,z )", "y = m(\n    x,\n    z,\n)"),
        ("y = m(x)[ 0,: ]", "y = m(x)[0, :]  # remark"),
        ("y = m(x) + \\\n  b", "y = m(x) + b"),
        ("y = a.b(x).c(z)", "y = (\n    a.b(x)\n    .c(z)\n)"),
        ("return (m(x))", "return m(x)"),
        ("for (a, b) in m(x): pass", "for a, b in m(x):\n    pass"),
        ("for a, in x: m(a)", "for (a,) in x:\n    m(a)"),
        ("a, = m(x),", "(a,) = (m(x),)"),
        ("a = m(x); b = 1", "a = m(x)"),
        ("if not(a): m(x)", "if not a:\n    m(x)"),
        ("with a as b, c: m(x)", "with (\n    a as b,\n    c,\n):\n    m(x)"),
        ("if (y := m(x)): pass", "if y := m(x):\n    pass"),
        ("y = m('a', U\"b\", F'{x}', '\"')", 'y = m("a", "b", f"{x}", \'"\')'),
        ("y = m('it\\'s')", 'y = m("it\'s")'),
        ("y = m(f'{ x[\"k\"] }')", "y = m(f\"{x['k']}\")"),
        ("y = m('a' f'{b}' '{')", 'y = m(f"a{b}{{")'),
        ("y = m(0XFF, 1E5, 2., .5, 10L)", "y = m(0xff, 1e5, 2.0, 0.5, 10l)"),
        ("x[lambda: 1 : m(y)]", "x[lambda: 1 : m(y)]"),
        ("y = lambda: m(x)", "y = lambda: m( x )"),
        ("print(* a, ** b)", "print(*a, **b)"),
        ("@ a . b ( c )", "@a.b(c)"),
    ],
)
def test_formatting_does_not_change_a_fingerprint(before: str, after: str) -> None:
    assert fingerprints(before, diagnostic(1)) == fingerprints("\n\n" + after, diagnostic(3))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("y = m(x)", "y = m(z)"),
        ("y = m(x)", "y = m(x, 1)"),
        ("y = m(x)", "y = n(x)"),
        ("y = m(x - 1)", "y = m(x + 1)"),
        ("y = m('a')", "y = m('b')"),
        ("y = m(a, b)", "y = m(a.b)"),
        ("for a in m(x): pass", "for b in m(x): pass"),
        ("y = lambda: m(x)", "y = lambda: m(z)"),
    ],
)
def test_another_statement_has_another_fingerprint(before: str, after: str) -> None:
    assert fingerprints(before, diagnostic(1)) != fingerprints(after, diagnostic(1))


def test_what_a_fingerprint_is_made_of() -> None:
    found = [
        diagnostic(1),
        diagnostic(2),
        diagnostic(1, code="NGL104"),
        diagnostic(1, function="g"),
    ]
    assert len(set(fingerprints("m(x)\nm(x)\n", *found))) == 4
    assert not set(fingerprints("m(x)\nm(x)\n", *found)) & set(fingerprints("m(x)\nm(x)\n", *found, name="b.py"))
    assert all(len(fingerprint) == 16 for fingerprint in fingerprints("m(x)\nm(x)\n", *found))


def test_equal_statements_are_counted_in_order() -> None:
    text = "m(x)\nn(x)\nm(x)\nm(x)\n"
    first, other, second, third = fingerprints(text, diagnostic(4), diagnostic(3), diagnostic(1), diagnostic(2))
    assert len({first, other, second, third}) == 4
    # With one of them gone, the rest are the first ones again.
    assert fingerprints("n(x)\nm(x)\nm(x)\n", diagnostic(2), diagnostic(3)) == [first, second]


def test_the_body_of_a_compound_statement_does_not_count() -> None:
    one = fingerprints("for x in y:\n    m(x)\n    a = 1\n", diagnostic(1))
    assert one == fingerprints("for x in y:\n    m(x)\n    b = 2\n", diagnostic(1))


def test_broken_code_has_fingerprints_as_well() -> None:
    assert len(set(fingerprints("m((\n'''\n", diagnostic(1), diagnostic(2), diagnostic(9)))) == 3


MODULES = ("argparse", "colorsys", "difflib", "json/decoder", "statistics", "tokenize", "turtle")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("line_length", [60, 130])
def test_a_formatter_keeps_every_statement(module: str, line_length: int) -> None:
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts")) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    raw = (Path(sysconfig.get_path("stdlib")) / f"{module}.py").read_bytes()
    command = [
        ruff,
        "format",
        "--isolated",
        "--line-length",
        str(line_length),
        "--config",
        "format.quote-style='single'",
    ]
    formatted = subprocess.run([*command, "-"], input=raw, capture_output=True, check=True).stdout
    assert formatted != raw
    assert _statements(formatted) == _statements(raw)


def _statements(data: bytes) -> list[bytes]:
    """The tokens of every statement but docstrings."""
    starts = list(accumulate((len(row) + 1 for row in data.split(b"\n")), initial=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(data)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    nodes = [n for n in nodes if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return [statement_tokens(data, starts[node.lineno - 1] + node.col_offset) for node in nodes]


# --- baselines --------------------------------------------------------------------------------------------------------


def result(filename: str, *marks: str, suppressed: tuple[Suppressed, ...] = ()) -> FileResult:
    found = [
        msgspec.structs.replace(diagnostic(row, filename=filename), fingerprint=mark)
        for row, mark in enumerate(marks, 1)
    ]
    return FileResult(filename, tuple(found), suppressed)


def marks(results: list[FileResult]) -> list[list[str]]:
    return [[d.fingerprint for d in result.diagnostics] for result in results]


def test_only_new_diagnostics_are_left(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write(path, build([result("a.py", "1", "2"), result("b.py", "3")]))
    applied = apply(read(path), [result("a.py", "1", "4", "2"), result("b.py"), result("c.py", "5")])
    assert marks(applied) == [["4"], [], ["5"]]
    assert [(s.by, s.diagnostic.fingerprint) for s in applied[0].suppressed] == [("baseline", "1"), ("baseline", "2")]
    # Writing it again with itself applied keeps what it knew.
    again = build(applied)
    assert [entry.fingerprint for entry in again.diagnostics] == ["1", "2", "4", "5"]


def test_suppressed_diagnostics_are_no_part_of_it() -> None:
    inline = Suppressed(msgspec.structs.replace(diagnostic(1), fingerprint="x"), "inline")
    assert build([result("a.py", suppressed=(inline,))]) == Baseline()


def test_it_is_written_for_review(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write(path, build([result("b.py", "9"), result("a.py", "2", "1")]))
    assert path.read_text() == (
        '{\n  "version": 1,\n  "diagnostics": [\n'
        '    {"filename":"a.py","function":"f","code":"NGL101","fingerprint":"1","message":"message 2"},\n'
        '    {"filename":"a.py","function":"f","code":"NGL101","fingerprint":"2","message":"message 1"},\n'
        '    {"filename":"b.py","function":"f","code":"NGL101","fingerprint":"9","message":"message 1"}\n  ]\n}\n'
    )
    write(path, Baseline())
    assert read(path) == Baseline()


def test_prune(tmp_path: Path) -> None:
    (tmp_path / "there.py").write_text("")
    (tmp_path / "broken.py").write_text("")
    names = ["linted.py", "linted.py", "linted.py", "there.py", "gone.py", "broken.py"]
    entries = tuple(Entry(name, "f", "NGL101", str(number)) for number, name in enumerate(names))
    suppressed = Suppressed(msgspec.structs.replace(diagnostic(1), fingerprint="1"), "baseline")
    results = [
        result("linted.py", "0", "new", suppressed=(suppressed,)),
        FileResult("broken.py", problems=(Problem("broken.py", "cannot be decoded"),)),
    ]
    kept, gone = prune(Baseline(diagnostics=entries), results, tmp_path)
    assert [entry.fingerprint for entry in kept.diagnostics] == ["0", "1", "3", "5"]
    assert [entry.fingerprint for entry in gone] == ["2", "4"]


def test_show() -> None:
    entries = (
        Entry("a.py", "f", "NGL104", "1"),
        Entry("b.py", "f", "NGL101", "2"),
        Entry("b.py", "g", "NGL101", "3"),
    )
    summary = show(Baseline(diagnostics=entries))
    assert summary.total == 3
    assert summary.by_code == (("NGL101", 2), ("NGL104", 1))
    assert summary.by_file == (("b.py", 2), ("a.py", 1))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not valid JSON"),
        (b'{"version": 1, "diagnostics": [', "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "not a baseline"),
        (b'{"version": 1, "diagnostics": [{"code": "NGL101"}]}', "not a baseline: Object missing required field"),
        (b'{"version": 2, "diagnostics": []}', "version 2 is not known"),
    ],
)
def test_a_damaged_baseline_is_an_error_in_one_line(tmp_path: Path, raw: bytes, reason: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(raw)
    with pytest.raises(BaselineError) as error:
        read(path)
    assert str(error.value).startswith(f"{path.as_posix()}: {reason}")
    assert "\n" not in str(error.value)


def test_baselines_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="file not found"):
        read(tmp_path / "gone.json")
    with pytest.raises(BaselineError, match="file not found"):
        write(tmp_path / "no" / "directory.json", Baseline())


# --- a whole project --------------------------------------------------------------------------------------------------


def engine(root: Path, **settings: object) -> Engine:
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()}, overrides=settings)
    return Engine(msgspec.structs.replace(Settings(), **settings), root, resolver=resolver, use_cache=False)


def python_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def test_a_file_has_the_fingerprints_of_its_own_project(tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(FIXTURES / "wasteful", tmp_path / name)
    together = engine(tmp_path).check(python_files(tmp_path))
    alone = engine(tmp_path / "two").check(python_files(tmp_path / "two"))
    assert len(marks(alone)) > 1
    assert marks(together) == marks(alone) * 2
    # A baseline knows which of the projects it was written for.
    known = build(together[: len(together) // 2])
    assert [bool(found) for found in marks(apply(known, together))] == [False] * len(alone) + list(
        map(bool, marks(alone))
    )


def test_a_baseline_outlives_a_formatter(tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts")) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    shutil.copytree(FIXTURES, tmp_path / "fixtures", ignore=shutil.ignore_patterns("__pycache__"))
    files = python_files(tmp_path)
    everything = engine(tmp_path, select=("ALL",), min_confidence=Confidence.LOW)
    results = everything.check(files)
    write(tmp_path / "baseline.json", build(results))
    style = ("--isolated", "--line-length", "60", "--config", "format.quote-style='single'")
    subprocess.run([ruff, "format", *style, tmp_path], capture_output=True, check=True)
    formatted = everything.check(files)
    places = [[[d.region for d in result.diagnostics] for result in found] for found in (results, formatted)]
    assert places[0] != places[1]
    assert sum(map(len, marks(results))) > 50
    assert [d for result in apply(read(tmp_path / "baseline.json"), formatted) for d in result.diagnostics] == []
