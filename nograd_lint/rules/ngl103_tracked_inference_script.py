"""Inference at module level, in `__main__` or in a notebook cell runs with gradient tracking on.

## What it does
Reports evaluation and inference code that stands at module level, under `if __name__ == "__main__"` or in a notebook.

## Why is this bad?
In a script and above all in a notebook the output stays bound to a name, and with it the graph and every activation.

## Examples
```python error
import torch

model = torch.jit.load("model.pt")
model.eval()
batch = torch.load("batch.pt")
output = model(batch)  # NGL103
print(output.argmax(1))
```
```python fixed
import torch

model = torch.jit.load("model.pt")
model.eval()
batch = torch.load("batch.pt")
with torch.no_grad():
    output = model(batch)
print(output.argmax(1))
```
```python ok
import torch

model = torch.jit.load("model.pt")
model.eval()
with torch.inference_mode():
    print(model(torch.load("batch.pt")).argmax(1))
```

## Fix safety
Safe where nothing can ask for a gradient of what is computed: no output that carries the graph leaves the region. Unsafe where
outputs go to callers that are not in sight.

## Known problems
Whether a call runs a model is judged by where the object comes from, what is called on it, and its name; a model that arrives
through a container or a registry may be missed.

## References
- https://pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Severity
from nograd_lint.rules._base import Finding, Kind, Rule
from nograd_lint.rules._tracked import findings

if TYPE_CHECKING:
    from nograd_lint.rules._context import UnitContext

RULE = Rule(code="NGL103", name="tracked-inference-script", severity=Severity.WARNING, kind=Kind.GUARD, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    return findings(unit, RULE.code, "{function} runs {model} for inference with gradient tracking on")
