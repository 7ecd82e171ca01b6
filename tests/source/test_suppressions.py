from __future__ import annotations

import io
import tokenize
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nograd_lint.diagnostics import Confidence, Diagnostic, Position, Severity, Span
from nograd_lint.source.files import SourceFile
from nograd_lint.source.suppressions import add, apply, matter, read, unused

NAMES = {"NGL101": "tracked-evaluation", "NGL104": "graph-kept-across-batches", "NGL303": "guard-on-coroutine"}


def source(text: str | bytes) -> SourceFile:
    return SourceFile(Path("m.py"), "m.py", text.encode() if isinstance(text, str) else text)


def at(row: int, code: str = "NGL101", column: int = 1, region: int | None = None) -> Diagnostic:
    place = Position(row, column)
    start = Position(region or row, 1)
    return Diagnostic(
        code=code,
        name=NAMES[code],
        message="",
        severity=Severity.WARNING,
        confidence=Confidence.HIGH,
        filename="m.py",
        function="f",
        span=Span(place, place),
        region=Span(start, place),
    )


def suppressed_rows(text: str, code: str = "NGL101") -> list[int]:
    """The rows of which a diagnostic is suppressed."""
    pragmas = read(source(text))
    rows = range(1, text.count("\n") + 2)
    return [row for row in rows if apply(pragmas, [at(row, code)]).suppressed]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a\nb  # nograd: ignore[NGL101] it is so\nc\n", [2]),
        ("a\nb  # nograd: ignore[tracked-evaluation]\nc\n", [2]),
        ("a\nb  # nograd: ignore[NGL999, ngl101]\nc\n", [2]),
        ("a\nb  # nograd: ignore[NGL104]\nc\n", []),
        ("a\nb  # nograd: ignore[NGL1]\nc\n", []),
        ("a\nb  # nograd: ignore\nc\n", [2]),
        ("a\nb  # nograd: ignroe[NGL101]\nc\n", []),
        ("a\nb  #nograd:ignore[NGL101]\nc\n", [2]),
        ("a\nb  # type: ignore  # nograd: ignore[NGL101]  # noqa: E501\nc\n", [2]),
        # The whole logical line, wherever in it the comment stands.
        ("f(\n  1,  # nograd: ignore[NGL101]\n  2,\n)\nc\n", [1, 2, 3, 4]),
        ("f(\n  1,\n  # nograd: ignore[NGL101]\n)\nc\n", [1, 2, 3, 4]),
        ("x = '''\n\n'''  # nograd: ignore[NGL101]\nc\n", [1, 2, 3]),
        ("x = 1 + \\\n  2  # nograd: ignore[NGL101]\nc\n", [1, 2]),
        # Alone in its row: the next logical line.
        ("a\n# nograd: ignore[NGL101]\nb(\n)\nc\n", [3, 4]),
        ("a\n# nograd: ignore[NGL101]\n\n# more\nb\nc\n", [5]),
        ("a\n# nograd: ignore[NGL101]\n", [2]),
        # The header of a function, in whichever row of it.
        ("# nograd: ignore[NGL101]\n@a\n@b(\n)\nasync def f(\n  x,\n):\n    y\n", [2, 3, 4, 5, 6, 7]),
        ("@a\n# nograd: ignore[NGL101]\n@b\ndef f():\n    y\n", [1, 2, 3, 4]),
        ("@a\n@b\ndef f():  # nograd: ignore[NGL101]\n    y\n", [1, 2, 3]),
        ("@a\nclass C:  # nograd: ignore[NGL101]\n    y\n", [1, 2]),
        ("@a  # nograd: ignore[NGL101]\nx\n", [1, 2]),
        ("def g(): pass\ndef f(): return m(x)  # nograd: ignore[NGL101]\n", [2]),
        # The file.
        ("a\nb  # nograd: file-ignore[NGL101] generated\nc", [1, 2, 3]),
        ("a\n# nograd: file-ignore\nc", [1, 2, 3]),
        ("# flake8: noqa\nb\n", [1, 2, 3]),
        ("# flake8: noqa: NGL101\nb\n", [1, 2, 3]),
        ("# flake8: noqa: E501\nb\n", []),
        ("a  # flake8: noqa\nb\n", []),
        # As flake8 reads its own.
        ("a  # noqa\nb\n", [1]),
        ("a  # NOQA:NGL101\nb\n", [1]),
        ("a  # noqa: E501, NGL101 because\nb\n", [1]),
        ("a  # noqa: E501 NGL1\nb\n", [1]),
        ("a  # noqa: E501\nb\n", []),
        ("a  # noqa: why not\nb\n", [1]),
        ("a  # noqa-like\nb\n", []),
        ("f(\n  1,  # noqa\n)\nb\n", [1, 2, 3]),
        ("# noqa: NGL101\nb\n", [1]),
        ("@a\ndef f():  # noqa: NGL101\n    y\n", [2]),
        # Not in strings.
        ("a = '# nograd: ignore[NGL101]'\nb = '''\n# noqa\n'''\n", []),
        ("a = f'{x} # noqa'\n", []),
        # Broken code.
        ("f(a  # nograd: ignore[NGL101]\ndef g():\n    b\n", [1]),
        ("x = 'abc  # noqa\ny  # nograd: ignore[NGL101]\nz )\n", [2]),
    ],
)
def test_what_a_comment_covers(text: str, rows: list[int]) -> None:
    assert suppressed_rows(text) == rows


def test_the_start_of_the_region_counts_as_well() -> None:
    pragmas = read(source("for x in y:  # nograd: ignore[NGL101]\n    a\n    m(x)\n"))
    assert apply(pragmas, [at(3, region=1)]).suppressed
    assert apply(pragmas, [at(3, region=2)]).kept
    header = read(source("def f():  # nograd: ignore[NGL101]\n    m(x)\n"))
    assert apply(header, [at(2, region=1)]).kept


def test_reasons_are_kept() -> None:
    text = "a  # nograd: ignore[NGL101] see #12, it trains  # noqa: E501\nb  # nograd: ignore[NGL104] - no\n"
    first, second = apply(read(source(text)), [at(1), at(2, "NGL104")]).suppressed
    assert (first.by, first.reason) == ("inline", "see #12, it trains")
    assert second.reason == "no"


def test_notebooks_and_other_encodings() -> None:
    text = "# coding: latin-1\r\nx = 'é'; y  # nograd: ignore[NGL101] é\r\n"
    [pragma] = read(source(text.encode("latin-1")))
    assert pragma.span == Span(Position(2, 13), Position(2, 39))


# --- unused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "after"),
    [
        ("a  # nograd: ignore[NGL101]\n", "nothing to suppress here by NGL101", "a\n"),
        (
            "a  # nograd: ignore[NGL104, NGL999] é\n",
            "nothing to suppress here by NGL999",
            "a  # nograd: ignore[NGL104] é\n",
        ),
        ("a\t# x  # nograd: ignore\n", "this comment suppresses nothing", "a\t# x\n"),
        ("a  # nograd: ignore[NGL101]  # type: ignore\n", "nothing to suppress here by NGL101", "a  # type: ignore\n"),
        ("b\n    # nograd: ignore[NGL101] why\na\n", "nothing to suppress here by NGL101", "b\na\n"),
        ("a  # nograd: foo\n", "this comment suppresses nothing: expected", "a\n"),
        ("a  # noqa: E501,NGL101,NGL303\n", "nothing to suppress here by NGL101, NGL303", "a  # noqa: E501\n"),
        ("a  # noqa: NGL101 for a reason\n", "nothing to suppress here by NGL101", "a\n"),
        ("# nograd: file-ignore[NGL101]\r\na\r\n", "nothing to suppress here by NGL101", "a\r\n"),
        ("a\n# nograd: file-ignore[NGL303]", "nothing to suppress here by NGL303", "a\n"),
    ],
)
def test_unused_comments_are_found_and_removed(text: str, message: str, after: str) -> None:
    file = source(text)
    [found] = unused(read(file), [at(row, "NGL104") for row in range(1, 4)] if "NGL104" in text else [])
    assert found.message.startswith(message)
    assert file.edited(found.edits()).decode() == after


@pytest.mark.parametrize(
    "text",
    [
        "a  # noqa\n",
        "a  # noqa: E501\n",
        "a  # nograd: ignore[NGL101]\n",
        "a  # nograd: ignore[NGL901]\n",
        "# flake8: noqa\na",
    ],
)
def test_used_and_foreign_comments_are_not_unused(text: str) -> None:
    assert unused(read(source(text)), [at(1)]) == []


def test_files_that_need_not_be_read() -> None:
    assert not matter(b"x = 1  # noqa\n")
    assert matter(b"x = 1  # noqa: NGL101\n")
    assert matter(b"# nograd: ignore\n")


# --- adding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "row", "after"),
    [
        ("y = m(x)\n", 1, "y = m(x)  # nograd: ignore[NGL101] why\n"),
        ("y = m(x)", 1, "y = m(x)  # nograd: ignore[NGL101] why"),
        ("y = m(x)  # hm \n", 1, "y = m(x)  # hm  # nograd: ignore[NGL101] why \n"),
        ("y = m(\n  x\n)\n", 2, "y = m(\n  x\n)  # nograd: ignore[NGL101] why\n"),
        ("y = m('''\na\n''')\n", 2, "y = m('''\na\n''')  # nograd: ignore[NGL101] why\n"),
        ("y = 1 + \\\r\n  m(x)\r\n", 1, "y = 1 + \\\r\n  m(x)  # nograd: ignore[NGL101] why\r\n"),
        ("if a:\n\ty = '" + "é" * 99 + "'\n", 2, "if a:\n\t# nograd: ignore[NGL101] why\n\ty = '" + "é" * 99 + "'\n"),
        ("y  # nograd: ignore[NGL104] old\n", 1, "y  # nograd: ignore[NGL104, NGL101] old\n"),
        ("y = m('''\n", 1, "# nograd: ignore[NGL101] why\ny = m('''\n"),
        ("y = m(x) \\\n", 1, "# nograd: ignore[NGL101] why\ny = m(x) \\\n"),
        ("@a\ndef f(\n  x,\n): pass\n", 1, "@a  # nograd: ignore[NGL101] why\ndef f(\n  x,\n): pass\n"),
    ],
)
def test_comments_are_added_where_they_fit(text: str, row: int, after: str) -> None:
    file = source(text)
    edits = add(file, [at(row)], "why")
    assert file.edited(edits).decode() == after


def test_the_diagnostics_of_a_line_share_a_comment() -> None:
    file = source("a(\n  b,\n)\nc\n")
    edits = add(file, [at(2, "NGL104"), at(1), at(3), at(4)], "two\n  rows ")
    expected = "a(\n  b,\n)  # nograd: ignore[NGL101, NGL104] two rows\nc  # nograd: ignore[NGL101] two rows\n"
    assert file.edited(edits).decode() == expected


PIECES = [
    "x = 1",
    "# remark",
    "",
    "y = m(\n    x,\n)",
    "s = '''\n# noqa\n'''",
    "z = a + \\\n    b  # type: ignore",
    "@deco\n@torch.no_grad()\ndef f(\n    x,\n):\n    return m(x)",
    "async def g(): pass",
    "if x:  # why\n\tpass\nelse:\n\tq = f'{x}#{y!r:>{w}}'",
    "long = '" + "é" * 90 + "'",
    "class C:\n    # remark\n    a = [  # one\n        1,\n    ]",
]


@settings(deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    newline=st.sampled_from(["\n", "\r\n"]),
    rows=st.sets(st.integers(1, 30), min_size=1, max_size=5),
)
def test_added_comments_suppress_and_change_no_code(pieces: list[str], newline: str, rows: set[int]) -> None:
    text = newline.join("\n".join(pieces).split("\n")) + newline
    file = source(text)
    tokens = [token for token in _tokens(text) if token.type != tokenize.COMMENT]
    starts = {row for token in tokens if token.string.strip() for row in range(token.start[0], token.end[0] + 1)}
    marked = [at(row) for row in sorted(rows & starts)]
    edited = source(file.edited(add(file, marked)))
    assert [t.string for t in _tokens(edited.text) if t.type not in _LAYOUT] == [
        t.string for t in tokens if t.type not in _LAYOUT
    ]
    # The rows below an added comment of its own moved down by one.
    shifted = []
    for diagnostic in marked:
        above = sum(
            edit.content.endswith("\n") and edit.span.start.row <= diagnostic.span.start.row
            for edit in add(file, marked)
        )
        shifted.append(at(diagnostic.span.start.row + above))
    pragmas = read(edited)
    assert apply(pragmas, shifted).kept == ()
    assert unused(pragmas, shifted) == []
    # And all of them can be removed again.
    removed = edited.edited([edit for found in unused(pragmas, []) for edit in found.edits()])
    assert removed == text.encode()


_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE)


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))
