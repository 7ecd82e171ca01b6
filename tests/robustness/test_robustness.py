"""Odd and broken code never crashes the linter: the fast part of ``benchmarks/robustness.py``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import robustness
from robustness import Survival, Tally, lint, mutate, splice, stress, survival

ROOT = Path(__file__).resolve().parent.parent.parent
FIXTURES = sorted(p for p in (ROOT / "fixtures").rglob("*.py") if "__pycache__" not in p.parts)
EVALUATION = (
    "import torch\n\ndef evaluate(model, loader):\n    model.eval()\n    for x in loader:\n        y = model(x)\n"
)

HEAD = b"import torch\n"
EVAL = b"import torch\ndef evaluate(model, x):\n    model.eval()\n"

NASTY = {
    "empty": b"",
    "blank": b"\n\n\n",
    "comment only": b"# torch",
    "no newline at the end": HEAD + b"with torch.no_grad: pass",
    "null byte": HEAD + b"\x00\ndef evaluate(model):\n    model.eval()\n",
    "form feeds": HEAD + b"\x0cdef evaluate(model, x):\n\x0c    model.eval()\n\x0c    return model(x).argmax()\n",
    "carriage returns": b"import torch\rdef evaluate(model, x):\r    model.eval()\r    return model(x).argmax()\r",
    "mixed newlines": b"import torch\r\ndef evaluate(model, x):\n    model.eval()\r    return model(x).argmax()\r\n",
    "line separators in strings": 'import torch\nx = "\u2028\x85\x1c"\ntorch.no_grad()\n'.encode(),
    "byte order mark": b"\xef\xbb\xbfimport torch\ntorch.no_grad()\n",
    "latin-1 without a declaration": HEAD + b"name = '\xe9'\ntorch.no_grad()\n",
    "declared latin-1": b"# coding: latin-1\nimport torch\nname = '\xe9'\ntorch.no_grad()\n",
    "unknown encoding": b"# coding: nonsense\nimport torch\ntorch.no_grad()\n",
    "encoding that is none of text": b"# coding: rot13\nimport torch\n",
    "utf-16": "import torch\ntorch.no_grad()\n".encode("utf-16"),
    "only the definition": HEAD + b"def evaluate(model):",
    "definition without a name": HEAD + b"def (model):\n    model.eval()\n    return model(1).item()\n",
    "class without a body": HEAD + b"class Net(torch.nn.Module):\ndef evaluate(model):\n    model.eval()\n",
    "decorator alone": HEAD + b"@torch.no_grad()\n",
    "decorator above an assignment": HEAD + b"@torch.no_grad()\nx = 1\n",
    "with without items": HEAD + b"def evaluate(model):\n    with :\n        model.eval()\n",
    "open bracket": EVAL + b"    return model(x.argmax(\n",
    "open string": b'import torch\ndef evaluate(model, x):\n    """\n    return model(x).argmax()\n',
    "tabs and spaces": HEAD + b"def evaluate(model, x):\n\tmodel.eval()\n        return model(x).argmax()\n",
    "dedent to nowhere": HEAD + b"def evaluate(model, x):\n        model.eval()\n    return model(x).argmax()\n",
    "Python 2": EVAL + b"    print model(x).argmax()\n    exec 'x'\n",
    "Python 3.12 f-string": EVAL + b"    print(f\"{model(x)['a'].item()!r:{'>'}10}\")\n",
    "type parameters": HEAD
    + b"type X[T] = T\ndef evaluate[T](model: T, x):\n    model.eval()\n    return model(x).argmax()\n",
    "match": EVAL + b"    match model(x):\n        case [a, *_] if a.item(): return a\n",
    "exception groups": HEAD + b"try:\n    torch.no_grad()\nexcept* ValueError:\n    pass\n",
    "template string": HEAD + b"x = t'{torch.no_grad()}'\n",
    "names outside of ASCII": HEAD
    + "def évaluer(modèle, x):\n    modèle.eval()\n    return modèle(x).item()\n".encode(),
    "own parameter as base": HEAD + b"class A(A): pass\nclass B(C): pass\nclass C(B): pass\nB().eval()\n",
    "imports itself": b"from nasty import *\nfrom . import nasty\nimport nasty.nasty as torch\ntorch.no_grad()\n",
    "calls itself": HEAD + b"def evaluate(model):\n    model.eval()\n    return evaluate(model(evaluate)).item()\n",
    "names bound to themselves": HEAD + b"a = a\na.b = a\na = a.b.c = a(a)\na.eval()\na(a).backward()\n",
    "everything on one line": b"import torch; m.eval(); y = m(x); torch.no_grad(); y.item()",
    "starred": HEAD
    + b"def evaluate(*model, **x):\n    model.eval()\n    *a, (b, *c) = model(*x, **x)\n    return a, b.item()\n",
    "lambda": HEAD + b"f = lambda m, *a, k=(lambda: m.eval()), **b: (y := m(a)).item()\n",
    "comprehensions": HEAD + b"m.eval()\nx = [{m(a): (m(b) async for b in c) for c in d} for d in (yield)]\nx.item()\n",
    "conditional import": b"try:\n    import torch\nexcept ImportError:\n    torch = 0\nelse:\n    torch.no_grad()\n",
}
DEEP = {
    "brackets": EVALUATION + "        z = " + "(" * 2000 + "y" + ")" * 2000 + "\n",
    "sum": EVALUATION + "        z = " + " + ".join(["y"] * 3000) + "\n",
    "attributes": EVALUATION + "        z = y" + ".item" * 2000 + "()\n",
    "calls": EVALUATION + "        z = y" + ".sum()" * 1000 + "\n",
    "blocks": EVALUATION + "".join("    " * (n + 2) + "if y:\n" for n in range(90)) + "    " * 92 + "y.item()\n",
    "functions": "import torch\n" + "".join("    " * n + "def f(m):\n" for n in range(90)) + "    " * 90 + "m.eval()\n",
    "elif": EVALUATION + "        if y: pass\n" + "        elif y.item(): pass\n" * 1000,
    "one long row": EVALUATION + "        z = [" + "y.item(), " * 20000 + "]\n",
}


def troubles(tally: Tally) -> list[str]:
    return [*tally.crashes, *tally.differences]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "nasty.py"
    file.write_bytes(NASTY[name])
    assert troubles(stress([file], tmp_path)) == []


@pytest.mark.parametrize("name", DEEP)
def test_deeply_nested_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "deep.py"
    file.write_text(DEEP[name], encoding="utf-8")
    assert troubles(stress([file], tmp_path)) == []


def test_deliberately_bad_files_of_cpython() -> None:
    try:
        folder, files = robustness.library_tests()
    except ImportError:
        pytest.skip("this Python comes without its tests")
    bad = [f for f in files if "bad" in f.name or f.parent.name in ("tokenizedata", "encoded_modules")]
    assert bad
    tally = stress(bad, folder.parent)
    assert troubles(tally) == []


def test_generated_programs(tmp_path: Path) -> None:
    pytest.importorskip("hypothesmith")
    file = tmp_path / "generated.py"
    crashes: list[str] = []

    def use(program: str) -> None:
        crashes.extend(troubles(stress([file], tmp_path, {file: splice(program).encode("utf-8", "surrogatepass")})))

    robustness.generated(12, use)
    assert crashes == []


def test_mutated_files(tmp_path: Path) -> None:
    draw = random.Random(1)
    for path in draw.sample(FIXTURES, 12):
        mutant = mutate(path.read_bytes(), draw)
        assert mutant is not None
        file = tmp_path / path.name
        assert troubles(stress([file], tmp_path, {file: mutant[0]})) == [], mutant[0].decode()


def test_broken_code_hides_no_more_than_itself() -> None:
    """One function is broken in ways that each swallow what follows; what is found in the others stays."""
    path = ROOT / "fixtures" / "validation_in_training" / "main.py"
    data = path.read_bytes()
    before = b"class Broken:\n    def at_all(self, model):\n        return model(self)\n\n\n"
    position = data.index(b"def ")
    mutants = []
    for old, new in (
        (b"(self, model)", b"(self, model"),
        (b"model(self)", b'model("'),
        (b"at_all(", b"("),
        (b":\n", b"\n"),
    ):
        assert old in before
        text = data[:position] + before.replace(old, new, 1) + data[position:]
        mutants.append((text, data[:position].count(b"\n") + 1))
    tally = Survival()
    survival(path, data[:position] + before + data[position:], mutants, tally)
    assert tally.before > len(mutants)
    assert tally.lost == []
    assert tally.broken == len(mutants)


def test_names_are_compared_as_python_compares_them(tmp_path: Path) -> None:
    """The micro sign and the Greek letter are one name, in definitions, at calls and in what is reported."""
    file = tmp_path / "names.py"
    text = "import torch\ndef é\u00b5(model, loader):\n    model.eval()\n    return [model(x).item() for x in loader]\n"
    file.write_text(f"{text}with torch.no_grad():\n    é\u03bc(1, 2)\n", encoding="utf-8")
    (result,) = lint([file], tmp_path)
    assert result.diagnostics == ()
    file.write_text(f"{text}é\u03bc(1, 2)\n", encoding="utf-8")
    (result,) = lint([file], tmp_path)
    assert [d.function for d in result.diagnostics] == ["é\u03bc"]


def test_the_screens_are_really_off(tmp_path: Path) -> None:
    """The unscreened runs judge what an ordinary run would not even parse."""
    file = tmp_path / "plain.py"
    file.write_text("def add(a, b):\n    return (a +\n\n\ndef sub(a, b):\n    return a - b\n", encoding="utf-8")
    (result,) = lint([file], tmp_path)
    assert result.diagnostics == ()
    with robustness.unscreened():
        (result,) = lint([file], tmp_path)
    assert [d.code for d in result.diagnostics] == ["NGL902"]
