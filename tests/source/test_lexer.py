from __future__ import annotations

import io
import sysconfig
import tokenize
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nograd_lint.source.lexer import lex

STDLIB = Path(sysconfig.get_paths()["stdlib"])
MODULES = ("argparse", "ast", "asyncio/base_events", "dataclasses", "inspect", "json/decoder", "tokenize", "turtle")


def by_tokenize(data: bytes) -> tuple[list[int], list[tuple[int, int]]]:
    """Offsets of comments, and of the first token and the end of each logical line."""
    rows = data.split(b"\n")
    starts = list(accumulate((len(row) + 1 for row in rows), initial=0))
    comments, lines = [], []
    first: int | None = None
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        row, column = token.start
        offset = starts[row - 1] + len(rows[row - 1].decode()[:column].encode()) if row else 0
        if token.type == tokenize.COMMENT:
            comments.append(offset)
        elif token.type == tokenize.NEWLINE and first is not None:
            lines.append((first, starts[row] - 1))
            first = None
        elif first is None and token.string.strip() and token.type not in (tokenize.ENCODING, tokenize.INDENT):
            first = offset
    return comments, lines


@pytest.mark.parametrize("module", MODULES)
def test_agrees_with_tokenize(module: str) -> None:
    data = (STDLIB / f"{module}.py").read_bytes()
    lexed = lex(data)
    comments, lines = by_tokenize(data)
    assert [comment.start for comment in lexed.comments] == comments
    assert [(line.start, line.end) for line in lexed.lines] == lines


@pytest.mark.parametrize(
    "code",
    [
        'x = f"{d["#"]}"  # c\n',
        "x = f'{a:{b}}' # c\n",
        'x = f"{{#}} {a} {b"  # c\n',
        'x = rb"\\"#"  # c\n',
        'x = """#\n#"""  # c\n',
        "x = (  # c\n)\n",
        "x = '#' \\\n  '#'  # c\n",
        "é = 'ü'  # c\n",
        "x = 'unterminated # no comment\ny = 1  # c\n",
    ],
)
def test_one_comment(code: str) -> None:
    data = code.encode()
    assert [data[c.start : c.end].split()[:2] for c in lex(data).comments] == [[b"#", b"c"]]


def test_comments_know_their_logical_line() -> None:
    data = b"# above\nf(\n    # inside\n    1,\n)  # behind\n# above the end\n"
    lexed = lex(data)
    assert [(c.line, c.alone) for c in lexed.comments] == [(0, True), (0, False), (0, False), (1, True)]
    assert len(lexed.lines) == 1


@pytest.mark.parametrize("opened", ["f(1, [", "x = {", "f(g(1)"])
@pytest.mark.parametrize(
    "following", ["def g():\n    pass\n", "    return 1\n", "import os\n", "async  def f(): ...\n"]
)
def test_an_unclosed_bracket_ends_at_the_next_statement(opened: str, following: str) -> None:
    lexed = lex(f"{opened}\n{following}z = 1\n".encode())
    assert lexed.lines[0].end == len(opened)
    assert len(lexed.lines) >= 3


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="\"'()[]{}#\\\nfrb x=\t,:", max_size=200).map(str.encode))
def test_every_input_has_ordered_lines_that_end_at_line_ends(data: bytes) -> None:
    lexed = lex(data)
    position = 0
    for line in lexed.lines:
        assert position <= line.start < line.end
        assert line.end == len(data) or data[line.end] == ord("\n")
        position = line.end + 1
    assert all(data[comment.start] == ord("#") for comment in lexed.comments)
    assert all(b"\n" not in data[comment.start : comment.end] for comment in lexed.comments)
