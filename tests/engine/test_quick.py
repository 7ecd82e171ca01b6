"""Python's own parser gives the same facts as libcst, ordinals included."""

from __future__ import annotations

from pathlib import Path

import pytest

import nograd_lint
from nograd_lint.syntax.lower import lower
from nograd_lint.syntax.outline import module_text, outline, unit_text
from nograd_lint.syntax.quick import quick

ROOT = Path(nograd_lint.__file__).parent
FILES = sorted([*ROOT.rglob("*.py"), *(ROOT.parent / "fixtures").rglob("*.py"), *(ROOT.parent / "tests").glob("*.py")])


@pytest.mark.parametrize("path", FILES[::4], ids=lambda p: p.relative_to(ROOT.parent).as_posix())
def test_same_facts_of_every_unit(path: Path) -> None:
    data = path.read_bytes()
    found = outline(data)
    functions = [d for d in found.definitions if d.kind == "function"]
    for text in [module_text(data, found), *(unit_text(data, d) for d in functions)]:
        assert quick(text) == lower(text)


@pytest.mark.parametrize(
    "text",
    [
        "a and b and c or (d and (e and f))",
        "f(a, *b, c=1, *d, **e, g=2)",
        "x = 'a' \"b\" f'{c}' 'd' f'{e:>{w}}'",
        "x = 'a\\n' '\\u00e9' r'\\n'",
        "x = 'tensor' 'board'\nb'a' b'b'",
        "del a, b\ndel (a, b)\ndel a[0]",
        "a[1, 2:3, ...] = b[(1, 2)] = c[()] = d[e,]",
        "with (open(a) as b, c):\n    pass",
        "def f(a, /, b: int = 1, *c: str, d=2, e, **g) -> int:\n    yield from a\n    x = lambda *p, q=1: (yield)",
        "async def f():\n    async with a as b:\n        return [x async for x in await b if x]",
        "match x:\n    case {'a': [1, *rest], **kw} if rest:\n        pass\n    case C(a=b) | D(b) as c:\n        pass",
        "try:\n    pass\nexcept (A, B) as e:\n    raise C from e\nelse:\n    pass\nfinally:\n    x: int = -1",
        "if a:\n    pass\nelif (b := 0x_ff):\n    pass\nelse:\n    if c: d; e",
        "x = 10 ** 30, 1e400, 1_0.5j, not a < b <= c is not d not in e",
        "print({**a, 'b': c}, {*d}, {k: v for k, v in e}, (*f, g))",
        "global a, b\nfrom . import x as y\nfrom ..p.q import *\nimport a.b, c.d as e",
        "@a.b(c)\nclass D(E, *F, metaclass=G, **H):\n    'doc'\n    x: int",
        "    def indented(self):\n        return self\n",
        "x = '\\ud800' + 'é' * 300",
        "µ: ﬁ = ª.ª(ª=µ)\nimport µ.ª as ª\ndef µ(ª): global ﬁ\ntry: pass\nexcept ª as ª: pass\nclass ª(µ=ª): pass",
        "for a, (b, *c) in d: break\nelse: continue\nwhile 1: a @= b; a //= c",
    ],
)
def test_same_facts_of_rare_syntax(text: str) -> None:
    found = quick(text)
    assert found is not None
    assert found == lower(text)


@pytest.mark.parametrize("text", ["def f(:", "print 'a'", "x = (", "\x00"])
def test_leaves_what_python_rejects_to_libcst(text: str) -> None:
    assert quick(text) is None
