from __future__ import annotations

import ast
import codecs
import io
import os
import tokenize
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nograd_lint.diagnostics import Edit, Position, Problem, Span
from nograd_lint.source.decoding import SourceError
from nograd_lint.source.files import SourceFile, display_name, from_text, load

PATH = Path("m.py")
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
# Everything but line ends, null bytes and surrogates: form feeds and what str.splitlines takes for line ends, too.
WORDS = st.text(
    alphabet=st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"])
    | st.sampled_from("\f\v\x1c\x85\u2028é😀\t "),
    max_size=12,
)
TEXTS = st.lists(st.tuples(WORDS, LINE_ENDS), max_size=8).flatmap(
    lambda rows: WORDS.map(lambda last: "".join(a + b for a, b in rows) + last)
)


def source(raw: bytes) -> SourceFile:
    loaded = load(PATH, "m.py", raw)
    assert isinstance(loaded, SourceFile), loaded
    return loaded


def problem(raw: bytes) -> str:
    loaded = load(PATH, "m.py", raw)
    assert isinstance(loaded, Problem)
    assert loaded.filename == "m.py"
    assert "\n" not in loaded.message
    return loaded.message


def edit(start: tuple[int, int], end: tuple[int, int], content: str) -> Edit:
    return Edit(content, Span(Position(*start), Position(*end)))


# --- encodings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "encoding", "text"),
    [
        (b"", "utf-8", ""),
        ("x = 'é'\n".encode(), "utf-8", "x = 'é'\n"),
        (codecs.BOM_UTF8 + "é = 1".encode(), "utf-8", "é = 1"),
        (codecs.BOM_UTF8 + b"# coding: utf-8\n", "utf-8", "# coding: utf-8\n"),
        ("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"), "iso8859-1", "# -*- coding: latin-1 -*-\nx = 'é'\n"),
        ("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n'€'".encode("cp1252"), "cp1252", None),
        ("# a\r# coding: cp1252\r'€'".encode("cp1252"), "cp1252", None),
        ("# coding: shift_jis\n'日本'".encode("shift_jis"), "shift_jis", None),
        # Only a comment, only in the first two rows, and only where the first one holds no code.
        (b"coding = 'latin-1'\n", "utf-8", None),
        (b"x = 1\n# coding: latin-1\n", "utf-8", None),
        (b"\n\n# coding: latin-1\n", "utf-8", None),
        (b"# about encoding\n# coding: latin-1\n", "iso8859-1", None),
    ],
)
def test_encodings(raw: bytes, encoding: str, text: str | None) -> None:
    file = source(raw)
    assert file.encoding == encoding
    assert file.text == (raw.decode(encoding) if text is None else text)
    assert file.analysis == file.text.replace("\r", "\n").encode()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("x = 1\n".encode("utf-16"), "UTF-16"),
        ("x = 1\n".encode("utf-32"), "UTF-32"),
        ("x = 1\n".encode("utf-16-le"), "null bytes"),
        (b"x = 1\n\ny = '\xe9'\n", "byte 0xe9 in row 3"),
        (b"\xff", "byte 0xff in row 1"),
        (b"# coding: no-such\n", "unknown encoding: no-such"),
        (b"# coding: rot13\n", "none that Python source can have"),
        (b"# coding: utf-16\n", "none that Python source can have"),
        (b"# coding: hex\n", "none that Python source can have"),
        (b"# coding: ascii\n'\xe9'\n", "cannot be decoded as ascii: byte 0xe9 in row 2"),
        (codecs.BOM_UTF8 + b"# coding: latin-1\n", "byte order mark"),
        (b"x = '\0'\n", "null bytes"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, reason: str) -> None:
    assert reason in problem(raw)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"# coding: latin-1", b"# -*- coding: cp1252 -*-", b"#", b"", b"x = 1", b" \t# coding=utf8"]),
        max_size=4,
    ).map(b"\n".join)
)
def test_declared_encodings_are_those_of_tokenize(raw: bytes) -> None:
    expected, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    assert codecs.lookup(source(raw).encoding) == codecs.lookup(expected)


# --- places -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(TEXTS)
def test_rows_and_columns_are_the_same_in_text_and_analysis(text: str) -> None:
    file = source(text.encode())
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(rows) > 1 and rows[-1] == "":
        rows.pop()  # the end of a text that ends with a line end is a place, but no row to look at
    assert [file.row(number) for number in range(1, len(rows) + 1)] == rows
    assert file.analysis.decode() == text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for number, row in enumerate(rows, 1):
        for column in range(1, len(row) + 1):
            place = Position(number, column)
            offset = file.offset(place)
            assert file.position(offset) == place
            assert file.analysis[offset:].decode()[0] == file.text[file.index(place)] == row[column - 1]


@settings(deadline=None)
@given(TEXTS, st.integers(0, 100))
def test_offsets_survive_the_way_to_positions_and_back(text: str, index: int) -> None:
    file = source(text.encode())
    offset = len(file.analysis.decode()[:index].encode())
    assert file.offset(file.position(offset)) == offset


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_rows_are_those_of_python(newline: str) -> None:
    code = newline.join(["# é", "\f", 's = """', "\u2028 ü", '"""; x = "é\\', '"; here = 1', ""])
    file = source(code.encode())
    [name] = [node for node in ast.walk(ast.parse(code.encode())) if isinstance(node, ast.Name) and node.id == "here"]
    place = file.position(file.analysis.index(b"here"))
    assert (place.row, place.column) == (name.lineno, name.col_offset + 1) == (6, 4)
    assert file.slice(Span(place, Position(place.row, place.column + 4))) == "here"


def test_places_beyond_the_end_are_the_end() -> None:
    file = source("é\nab".encode())
    assert file.offset(Position(1, 99)) == 2
    assert file.offset(Position(9, 1)) == len(file.analysis)
    assert file.index(Position(1, 99)) == 1
    assert file.index(Position(9, 1)) == 4
    assert file.row(9) == ""


# --- edits ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    text=TEXTS,
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252"]),
    cuts=st.lists(st.integers(0, 60), min_size=2, max_size=6).filter(lambda cuts: len(cuts) % 2 == 0),
    content=WORDS,
)
def test_a_file_equals_itself_outside_the_edits(text: str, encoding: str, cuts: list[int], content: str) -> None:
    cookie = "" if encoding.startswith("utf-8") else f"# coding: {encoding}\r\n"
    text = cookie + text.encode(encoding, "ignore").decode(encoding)
    content = content.encode(encoding, "ignore").decode(encoding)
    file = source(text.encode(encoding))
    places = sorted({file.index(file.position(min(cut, len(file.analysis)))) for cut in cuts})
    pairs = list(zip(places[::2], places[1::2], strict=False))
    at = {file.index(file.position(o)): file.position(o) for o in range(len(file.analysis) + 1)}
    edits = [Edit(content, Span(at[start], at[end])) for start, end in pairs if start in at and end in at]
    expected = file.text
    for item in reversed(edits):
        expected = expected[: file.index(item.span.start)] + content + expected[file.index(item.span.end) :]
    bom = codecs.BOM_UTF8 if file.raw.startswith(codecs.BOM_UTF8) else b""
    assert file.edited(edits[::-1]) == bom + expected.encode(file.encoding)
    assert file.edited([]) == file.raw


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_new_rows_end_as_the_old_ones(newline: str) -> None:
    file = source(f"a{newline}b{newline}".encode())
    assert file.newline == newline
    assert file.edited([edit((2, 1), (2, 1), "x\ny\r\n")]) == newline.join(["a", "x", "y", "b", ""]).encode()


def test_tabs_and_mixed_line_ends_stay() -> None:
    raw = b"if x:\r\n\ty = 1\n\tz = '\xc3\xa9'\r\n"
    assert source(raw).edited([edit((2, 2), (2, 3), "q")]) == raw.replace(b"\ty", b"\tq")


def test_the_same_insertion_twice_is_made_once() -> None:
    file = source(b"a\n")
    assert file.edited([edit((1, 1), (1, 1), "x"), edit((1, 1), (1, 1), "x")]) == b"xa\n"


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(SourceError, match="overlap"):
        source(b"abcdef\n").edited([edit((1, 1), (1, 4), "x"), edit((1, 3), (1, 5), "y")])


def test_what_the_encoding_cannot_hold_is_refused() -> None:
    with pytest.raises(SourceError, match=r"'→' cannot be written as iso8859-1"):
        source(b"# coding: latin-1\n\n").edited([edit((2, 1), (2, 1), "# →")])


def test_an_encoding_with_several_spellings_is_not_rewritten() -> None:
    file = source(b"# coding: utf-7\nx = '+AGE-'\n")  # an 'a' in disguise
    with pytest.raises(SourceError, match="cannot be written back as utf-7"):
        file.edited([edit((2, 1), (2, 2), "y")])


# --- reading ----------------------------------------------------------------------------------------------------------


def test_text_from_elsewhere_does_not_mind_its_declaration() -> None:
    file = from_text(PATH, "m.py", "# coding: latin-1\nx = '→'\n")
    assert isinstance(file, SourceFile)
    assert file.text.endswith("'→'\n")
    assert isinstance(from_text(PATH, "m.py", "\0"), Problem)


def as_nobody(work: Callable[[], object]) -> object:
    """What ``work`` returns where it may not read everything, as root may."""
    if os.geteuid() != 0:
        return work()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.setuid(65534)
        os.write(writer, str(work()).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    return os.read(reader, 10_000).decode()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("x = 1\n")
    path.chmod(0)
    assert "permission denied" in str(as_nobody(lambda: load(path, "m.py")))


def test_files_that_are_none(tmp_path: Path) -> None:
    assert load(tmp_path / "gone.py", "gone.py") == Problem("gone.py", "file not found")
    loop = tmp_path / "loop.py"
    loop.symlink_to(loop)
    assert load(loop, "loop.py") == Problem("loop.py", "too many levels of symbolic links")
    assert load(tmp_path, "dir.py") == Problem("dir.py", "is a directory")


def test_display_names(tmp_path: Path) -> None:
    assert display_name(tmp_path / "a" / "b.py", tmp_path) == "a/b.py"
    assert display_name(Path("/elsewhere/b.py"), tmp_path) == "/elsewhere/b.py"
