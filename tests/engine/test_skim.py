"""An outline from lines is the one from the syntax tree, or there is none."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nograd_lint
from nograd_lint.syntax.skim import skim
from nograd_lint.syntax.tree import outline_of_tree

ROOT = Path(nograd_lint.__file__).parent
LIBRARY = Path(sysconfig.get_path("stdlib"))
OWN = [*ROOT.rglob("*.py"), *(ROOT.parent / "fixtures").rglob("*.py"), *(ROOT.parent / "tests").rglob("*.py")]
FILES = sorted(OWN) + sorted([*LIBRARY.glob("*.py"), *LIBRARY.glob("json/*.py"), *LIBRARY.glob("email/*.py")])


def same(data: bytes) -> bool:
    """Whether there is an outline from lines; it is the same as that of an intact tree."""
    tree = outline_of_tree(data)
    found = skim(data)
    if found is None or tree.broken:
        return False
    assert found == tree
    return True


def test_of_real_files() -> None:
    texts = [path.read_bytes() for path in FILES]
    assert sum(same(text) for text in texts) > 0.9 * len(texts)


PIECES = [
    "import a.b, c as d",
    "from . import e",
    "from ..f.g import (h as i,  # why\n    j,\n)",
    "from k import *",
    "from __future__ import annotations",
    "if x:\n    a = 1\n    b.c = 2\nelif y:\n    d = 3\nelse:\n    e, (f, *g) = 4",
    "try:\n    import m\n    n: int = 1\nexcept E:\n    o = 2\nfinally:\n    p = 3",
    "q = r = 5",
    "s += 1",
    "t[u] = 'v'",
    "w: 'str'",
    "(x, y) = z",
    "a == b",
    "lambda: (c := 1)",
    '"""doc\nclass Z:\n    """',
    "# def comment(): pass",
    "class A(B, metaclass=C, *D):\n    x = 1\n\n    # trailing\n# further out",
    "@d1  # why\n@d2(1,\n    2)\nasync def f(a: int = {1: 2}[1], *b) -> 'x':\n    return a  # end\n    # more",
    "def g(): pass",
    "def h():\n    def inner():\n        from n import o\n        return [\n1,\n]\n    return inner",
    "class E:\n\n    class F:\n        def m(self):\n            '''text\n  def no(): pass\n'''\n",
    "x = (1 +\n2)",
    "for i in j:\n    k = 1\nelse:\n    l = 2",
    "def t[T](a: T) -> T: ...",
    "y = 1; z = 2",
    "if a: b = 1",
    "u = f'{v!r:>{w}}'",
    "raise X from Y",
    "with a as b:\n    c = 1",
    "while x: import y",
    "@property\n\ndef p(self):\n    pass",
    "é = 1",
    "x = 1 \\\n    + 2",
    "def \\\n  odd(): pass",
    "print('it''s', \"a'b\", r'\\')",
    "type X = int",
    "x = yield",
    "m @ n\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from(["\n", "\n\n", "\n    \n"]))
def test_of_pieces(pieces: list[str], between: str) -> None:
    same((between.join(pieces) + "\n").encode())


@pytest.mark.parametrize("piece", [p for p in PIECES if p != "def g(): pass"])
def test_of_pieces_inside_a_function(piece: str) -> None:
    same(("class C:\n    def f(self):\n" + "".join(f"        {line}\n" for line in piece.split("\n"))).encode())
