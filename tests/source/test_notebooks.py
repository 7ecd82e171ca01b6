from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nograd_lint.diagnostics import Edit, Position, Problem, Span
from nograd_lint.source.cells import CellFile
from nograd_lint.source.decoding import SourceError
from nograd_lint.source.files import BrokenCell, Cell, SourceFile, load
from nograd_lint.source.magics import neutralise

PATH = Path("n.ipynb")
PYTHON = {"kernelspec": {"name": "python3", "language": "python"}, "language_info": {"name": "python"}}


def code(source: object, **fields: object) -> dict[str, object]:
    return {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": source, **fields}


def document(*cells: object, **fields: object) -> dict[str, object]:
    return {"cells": list(cells), "metadata": PYTHON, "nbformat": 4, "nbformat_minor": 5, **fields}


def notebook(data: object) -> SourceFile:
    raw = data if isinstance(data, bytes) else json.dumps(data, indent=1).encode()
    loaded = load(PATH, "n.ipynb", raw)
    assert isinstance(loaded, SourceFile), loaded
    return loaded


def edit(start: tuple[int, int], end: tuple[int, int], content: str) -> Edit:
    return Edit(content, Span(Position(*start), Position(*end)))


# --- reading ----------------------------------------------------------------------------------------------------------


def test_code_cells_are_one_module() -> None:
    file = notebook(
        document(
            {"cell_type": "markdown", "metadata": {}, "source": ["# torch"]},
            code(["import torch\n", "x = 'é'"]),
            code([]),
            {"cell_type": "raw", "metadata": {}, "source": "raw"},
            code("y = x\n"),
        )
    )
    assert file.text == "import torch\nx = 'é'\n\ny = x\n\n"
    assert file.analysis == file.text.encode()
    assert file.cells == (Cell(2, 1, 2), Cell(3, 3, 1), Cell(5, 4, 2))
    assert [cell.number for row in range(1, 6) if (cell := file.cell_at(row))] == [2, 2, 3, 5, 5]
    assert file.broken == ()
    assert b"torch" in file.screen


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "ir", "language": "R"}},
        {"language_info": {"name": "julia"}},
        {"kernelspec": {"language": "python"}, "language_info": {"name": "scala"}},
    ],
)
def test_other_languages_are_left_alone(metadata: object) -> None:
    file = notebook(document(code("x <- 1"), metadata=metadata))
    assert (file.cells, file.analysis, file.broken) == ((), b"", ())


def test_a_cell_in_another_language_is_left_alone() -> None:
    sql = {"vscode": {"languageId": "sql"}}
    file = notebook(document(code("select *", metadata=sql), code("x = 1"), metadata={}))
    assert file.text == "x = 1\n"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Expecting"),
        (b"[]", "not a JSON object"),
        (b'{"cells": [', "not valid JSON"),
        (b'{"cells": []} x', "not valid JSON: Extra data (row 1, column 15)"),
        (b'{"cells": [{"cell_type": "code" "source": ""}]}', "not valid JSON: Expecting ',' delimiter"),
        (b'{"cells": {}}', "cells are no list"),
        (b'{"cells": [1]}', "cell 1 is not an object"),
        (b'{"cells": [{"cell_type": "code", "source": [1]}]}', "the source of cell 1 is no text"),
        (b'{"nbformat": 3, "worksheets": []}', "notebook format 3 is too old"),
        (b'{"nbformat": 4}', "it has no cells"),
        (b'{"metadata": ' + b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{", "not UTF-8"),
        (b"<<<<<<< HEAD\n{}", "not valid JSON: Expecting value"),
    ],
)
def test_broken_notebooks_say_why(raw: bytes, reason: str) -> None:
    loaded = load(PATH, "n.ipynb", raw)
    assert isinstance(loaded, Problem)
    assert reason in loaded.message
    assert "\n" not in loaded.message


def test_odd_but_valid_notebooks() -> None:
    raw = '\ufeff{"metadata": {}, "cells": [{"source": "x\\r\\ny", "cell_type": "code", "outputs": [NaN]}]}'
    file = notebook(raw.encode())
    assert file.text == "x\ny\n"
    assert file.edited([edit((2, 1), (2, 2), "z")]) == raw.replace("\\ny", "\\nz").encode()
    assert notebook(document(code("x = '\ud800'"))).analysis == b"x = '?'\n"


# --- magics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("x = 1", "x = 1"),
        ("%matplotlib inline\nx = 1\n", "pass\nx = 1\n"),
        ("!pip install 'x\nimport x", "pass\nimport x"),
        ("if a:\n    !ls\n    %time f()", "if a:\n    pass\n    pass"),
        ("!cmd \\\n  --flag \\\n  x\ny = 1", "pass\n\n\ny = 1"),
        ("files = !ls *.pt\ny", "files = _\ny"),
        ("t = %timeit -o f(x)", "t = _"),
        ("a, b = !two", "a, b = _"),
        ("x = y != 3\nz %= 2\nw = a % b", "x = y != 3\nz %= 2\nw = a % b"),
        ("model?\nmodel.forward??\n?print\nx", "pass\npass\npass\nx"),
        ("x = 'why?'  # really?\ny = 1 # %", "x = 'why?'  # really?\ny = 1 # %"),
        ("f(a\n  % b)\n", "f(a\n  % b)\n"),
        ("s = '''\n%not magic\n!nor this\n'''\n", "s = '''\n%not magic\n!nor this\n'''\n"),
        ("x = 1 \\\n  % 2", "x = 1 \\\n  % 2"),
        ("%%time\nx = f()\n", "\nx = f()\n"),
        ("\n%%capture out\n%%time\nx = f()", "\n\n\nx = f()"),
        ("%%bash\nls\nfor x in *; do echo; done", "\n\n"),
        ("%%html\n<a>", "\n"),
        ("%%writefile model.py\nimport torch", "\n"),
        ("/f x\n,f a b\n;f a b", "pass\npass\npass"),
        ("pip install torch 'x\nuv = pip\nif a:\n  pip  install -U x\n", "pass\nuv = pip\nif a:\n  pass\n"),
        ("%%time", ""),
        ("!", "pass"),
        ("", ""),
    ],
)
def test_magics(cell: str, expected: str) -> None:
    assert neutralise(cell.encode()) == expected.encode()


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["%time f()", "!ls \\", "x = (", ")", "x = !a", "y?", "'''", "x = 1", "%%time", "%%sql", " ", "#%"]
        )
        | st.text(alphabet="%!?=\\'\"(){} abé\t", max_size=10),
        max_size=8,
    ).map("\n".join)
)
def test_rows_stay(cell: str) -> None:
    result = neutralise(cell.encode())
    assert result.count(b"\n") == cell.count("\n")
    # Whatever is not neutralised stands where it stood.
    for before, after in zip(cell.encode().split(b"\n"), result.split(b"\n"), strict=True):
        assert after == before or not after.strip() or after.endswith((b"pass", b"= _", b"=_"))


@pytest.mark.parametrize(
    ("source", "row"), [("f(", 4), ("s = '''\n", 4), ("for x in y:\n", 4), ("x = 1\nx = = 2", 5), ("x = '\0'", 4)]
)
def test_a_broken_cell_does_not_break_the_others(source: str, row: int) -> None:
    file = notebook(document(code("a = 1"), code("b = 2\nb"), code(source), code("c = 3")))
    assert file.analysis == b"a = 1\nb = 2\nb\n" + b"\n" * (source.count("\n") + 1) + b"c = 3\n"
    [broken] = file.broken
    assert (broken.number, file.text.splitlines()[-1]) == (3, "c = 3")
    assert broken.row in (row, row + 1)
    assert isinstance(broken, BrokenCell)
    assert "\n" not in broken.message


def test_what_only_notebooks_may_do_is_not_broken() -> None:
    file = notebook(document(code("await f()\nasync with a as b:\n    pass"), code("%md\n## Title\nSome text.")))
    assert file.broken == ()
    assert file.analysis == b"await f()\nasync with a as b:\n    pass\n\n\n\n"


def test_cells_from_an_editor() -> None:
    file = CellFile(PATH, "n.ipynb", b"", [(1, "x = 1\r\n"), (4, "%pip\ny")])
    assert file.analysis == b"x = 1\n\npass\ny\n"
    assert file.cells == (Cell(1, 1, 2), Cell(4, 3, 2))


# --- edits ------------------------------------------------------------------------------------------------------------

SOURCES = st.text(alphabet=st.sampled_from('ab \n\n"\\\t/é😀\u2028\x1b'), max_size=30)


def lines(text: str) -> list[str]:
    return [line + "\n" * (number < text.count("\n")) for number, line in enumerate(text.split("\n"))][
        : None if not text.endswith("\n") and text else -1
    ]


@settings(deadline=None)
@given(
    sources=st.lists(SOURCES, min_size=1, max_size=4),
    as_lists=st.booleans(),
    indent=st.sampled_from([None, 1, 2, "\t"]),
    escape=st.booleans(),
    separators=st.sampled_from([None, (",", ":")]),
    end=st.sampled_from(["", "\n"]),
    data=st.data(),
)
def test_only_the_edited_lines_of_the_json_change(
    sources: list[str], as_lists: bool, indent: Any, escape: bool, separators: Any, end: str, data: st.DataObject
) -> None:
    def dumped(texts: list[str]) -> bytes:
        cells = [code(lines(text) if as_lists else text, outputs=["é"]) for text in texts]
        return (json.dumps(document(*cells), indent=indent, ensure_ascii=escape, separators=separators) + end).encode()

    file = notebook(dumped(sources))
    edits, expected = [], list(sources)
    for index, cell in enumerate(file.cells):
        text = sources[index]
        cuts = sorted(
            data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=4).filter(lambda c: len(c) % 2 == 0))
        )
        spans = list(zip(cuts[::2], cuts[1::2], strict=True))
        if len(spans) == 2 and spans[0][1] == spans[1][0]:
            spans.pop()
        for start, stop in reversed(spans):
            content = data.draw(SOURCES)
            # Whole rows to the end of a cell are a case of their own, below.
            expected[index] = expected[index][:start] + content + expected[index][stop:]
            places = []
            for offset in (start, stop):
                before = text[:offset]
                row = cell.first_row + before.count("\n")
                places.append(Position(row, len(before.rpartition("\n")[2]) + 1))
            edits.append(Edit(content, Span(*places)))
    result = file.edited(edits)
    if as_lists and any(not a and b for a, b in zip(sources, expected, strict=True)):
        assert json.loads(result) == json.loads(dumped(expected))  # the layout of an empty list says little
    else:
        assert result == dumped(expected)


def test_irregular_json_keeps_its_layout() -> None:
    raw = rb"""{ "cells" :[
  {"source": ["a = \u0031\n" ,"b",  " = 2\n",
     "c\/d"  ] , "cell_type":"code","outputs":[ {"text": "a = 1\n"} ]}],
 "metadata":{} }

"""
    file = notebook(raw)
    assert file.text == "a = 1\nb = 2\nc/d\n"
    edited = file.edited([edit((3, 1), (3, 2), "x"), edit((1, 1), (1, 2), "é")])
    assert edited == raw.replace(rb'"c\/', rb'"x\/').replace(rb'["a', b'["\\u00e9')
    edited = file.edited([edit((2, 1), (2, 1), "with g:\n    ")])
    assert edited == raw.replace(b'"b",  " = 2\\n"', b'"with g:\\n" ,"    b = 2\\n"')


def test_whole_rows_to_the_end_of_a_cell() -> None:
    file = notebook(document(code(["a\n", "b"]), code("c")))
    for content, source in [("x\n", ["a\n", "x"]), ("x\ny\n", ["a\n", "x\n", "y"]), ("", ["a"])]:
        edited = json.loads(file.edited([edit((2, 1), (3, 1), content)]))
        assert [cell["source"] for cell in edited["cells"]] == [source, "c"]


def test_an_edit_stays_in_its_cell() -> None:
    file = notebook(document(code("a"), code("b")))
    with pytest.raises(SourceError, match="from one cell into another"):
        file.edited([edit((1, 1), (2, 2), "x")])


def test_magics_are_kept_in_edited_cells() -> None:
    raw = json.dumps(document(code(["%time f()\n", "x = 1\n", "!ls"])), indent=1).encode()
    assert notebook(raw).edited([edit((2, 5), (2, 6), "2")]) == raw.replace(b"x = 1", b"x = 2")
