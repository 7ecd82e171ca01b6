"""Fixes in notebooks and Markdown, where the parsers do not see what stands in the file."""

from __future__ import annotations

import json
from pathlib import Path

from fix_helpers import ordinal, plan

from nograd_lint.diagnostics import Problem
from nograd_lint.fixes.build import fix_for
from nograd_lint.rules._base import Action, Delete, Wrap
from nograd_lint.source.files import SourceFile, load
from nograd_lint.syntax.lower import spans


def opened(name: str, text: str) -> SourceFile:
    source = load(Path(name), name, text.encode(), markdown=True)
    assert not isinstance(source, Problem)
    return source


def notebook(*cells: str) -> SourceFile:
    found = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    return opened("n.ipynb", json.dumps({"cells": found, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def wrap(source: SourceFile, first: str, last: str) -> Action:
    text = source.analysis.decode()
    return Wrap(ordinal(text, first), ordinal(text, last))


def fixed(source: SourceFile, action: Action) -> str | None:
    fix = fix_for(source, spans(source.analysis.decode()), plan(action))
    return None if fix is None else source.edited(fix.edits).decode()


def cells(source: SourceFile, action: Action) -> list[str] | None:
    result = fixed(source, action)
    return None if result is None else [cell["source"] for cell in json.loads(result)["cells"]]


def test_a_run_of_statements_in_one_cell() -> None:
    source = notebook("import torch\n!ls", "%time\na = 1\nb = model(a)  # b\n", "c = 2")
    assert cells(source, wrap(source, "b =", "b =")) == [
        "import torch\n!ls",
        "%time\na = 1\nwith torch.no_grad():\n    b = model(a)  # b\n",
        "c = 2",
    ]


def test_the_import_goes_to_the_cell_of_the_imports() -> None:
    source = notebook("import numpy as np", "from model import model", "model(1)")
    assert cells(source, wrap(source, "model(1)", "model(1)")) == [
        "import numpy as np\nimport torch",
        "from model import model",
        "with torch.no_grad():\n    model(1)",
    ]


def test_no_block_reaches_over_cells() -> None:
    source = notebook("import torch", "a = model(1)", "b = model(2)")
    assert fixed(source, wrap(source, "a =", "b =")) is None


def test_no_magic_is_taken_for_the_python_that_stands_for_it() -> None:
    source = notebook("import torch", "a = model(1)\n%matplotlib inline\nb = model(2)")
    assert cells(source, wrap(source, "a =", "b =")) == [
        "import torch",
        "with torch.no_grad():\n    a = model(1)\n    %matplotlib inline\n    b = model(2)",
    ]
    text = source.analysis.decode()
    assert fixed(source, Delete(ordinal(text, "pass"))) is None


def test_prose_is_not_code() -> None:
    text = "# Title\n\n```python\nimport torch\na = model(1)\n```\n\nprose\n\n```python\nb = model(2)\n```\n"
    source = opened("a.md", text)
    assert fixed(source, wrap(source, "a =", "a =")) == text.replace("a =", "with torch.no_grad():\n    a =")
    assert fixed(source, wrap(source, "a =", "b =")) is None
