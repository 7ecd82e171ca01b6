"""A small project and what could be reported about it."""

from __future__ import annotations

import msgspec

from nograd_lint.diagnostics import (
    Applicability,
    Confidence,
    Diagnostic,
    Edit,
    Evidence,
    Fix,
    Position,
    Severity,
    Span,
)
from nograd_lint.rules._base import Kind, Rule

EVALUATE = """\
import torch


def evaluate(model, loader):
    model.eval()
    outputs = []
    for x, _ in loader:
\t\toutputs.append("模型", model(x))  # a tab, and characters two columns wide
    return outputs
"""
GUARDED = "with torch.no_grad:\n    y = model(x)\n"
CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": ['# a "model"\n', "text"]},
    {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": ["model.eval()\n", "x = 1"],
    },
    {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": ["y = 2\n", "p = model(x)"],
    },
]


def span(row: int, column: int, end_row: int, end_column: int) -> Span:
    return Span(Position(row, column), Position(end_row, end_column))


TRACKED = Diagnostic(
    code="NGL101",
    name="tracked-evaluation",
    message="`evaluate` runs `model` with gradient tracking on",
    severity=Severity.WARNING,
    confidence=Confidence.HIGH,
    filename="pkg/evaluate.py",
    function="evaluate",
    span=span(8, 24, 8, 32),
    region=span(7, 5, 8, 33),
    evidence=(
        Evidence("the model is put in evaluation mode", "pkg/evaluate.py", span(5, 5, 5, 17)),
        Evidence("called with gradients on: models[0](x), 100 % of it", "pkg/guarded.py", span(2, 5, 2, 17)),
    ),
    fix=Fix(
        Applicability.SAFE,
        "put `@torch.no_grad()` above `evaluate`",
        (Edit("@torch.no_grad()\n", span(4, 1, 4, 1)),),
    ),
    fingerprint="0123456789abcdef",
)
NOT_CALLED = Diagnostic(
    code="NGL302",
    name="guard-not-called",
    message="`torch.no_grad` is not called",
    severity=Severity.ERROR,
    confidence=Confidence.MEDIUM,
    filename="pkg/guarded.py",
    function="<module>",
    span=span(1, 6, 1, 19),
    region=span(1, 1, 2, 17),
    fix=Fix(Applicability.UNSAFE, "call it", (Edit("()", span(1, 19, 1, 19)),)),
    fingerprint="fedcba9876543210",
)
IN_NOTEBOOK = Diagnostic(
    code="NGL103",
    name="tracked-inference-script",
    message="this cell runs `model` with gradient tracking on",
    severity=Severity.INFO,
    confidence=Confidence.LOW,
    filename="pkg/study.ipynb",
    function="<module>",
    span=span(4, 5, 4, 13),  # of the module made of the code cells
    region=span(4, 1, 4, 13),
    evidence=(Evidence("the model is put in evaluation mode", "pkg/study.ipynb", span(1, 1, 1, 13)),),
    fix=Fix(Applicability.SAFE, "guard it", (Edit("with torch.no_grad():\n    p = model(x)", span(4, 1, 4, 13)),)),
    cell=3,
    fingerprint="00112233",
)
RULE = Rule(
    code="NGL101",
    name="tracked-evaluation",
    severity=Severity.WARNING,
    kind=Kind.GUARD,
    fixable=True,
    doc="""An evaluation runs with gradient tracking on.

## What it does
Finds evaluations that keep a graph.

## Why is this bad?
Memory.

## Examples
```python error
y = model(x)  # NGL101
```
```python fixed
with torch.no_grad():
    y = model(x)
```
```python ok
loss.backward()
```
""",
)
ELSEWHERE = msgspec.structs.replace(
    TRACKED, filename="pkg/guarded.py", span=span(2, 9, 2, 17), evidence=(), fix=None, fingerprint="ffff"
)
