"""A suppression comment suppresses nothing.

## What it does
Reports `# nograd: ignore[...]`, `# nograd: file-ignore[...]` and `# noqa: NGL...` where nothing would be reported without
them. A bare `# noqa` is left alone, for it may be there for another tool.

## Why is this bad?
The code has changed since, or the comment never did what it was meant to do. It would hide the next mistake in that line.

## Examples
```python
import torch


@torch.no_grad()
def predict(model, x):
    model.eval()
    return model(x)  # nograd: ignore[NGL101] the caller guards it
```
Nothing is reported there without the comment, so the comment itself is.

## Fix safety
There is no fix: remove the comment.

## Known problems
Not judged where only some rules were selected on the command line, and not in flake8.

## References
- https://docs.astral.sh/ruff/rules/unused-noqa/
"""

from __future__ import annotations

from nograd_lint.diagnostics import Severity
from nograd_lint.rules._base import Rule

RULE = Rule(code="NGL901", name="unused-suppression", severity=Severity.INFO)
