"""A file, or a function in it that is worth looking at, can't be parsed.

## What it does
Reports one place for each file in which the parser gave up. The other functions of the file are judged all the same.

## Why is this bad?
Python can't run the file, or it is written for a version that is not known yet; what stands at that place is not checked.

## Examples
```python
import torch


def predict(model, x):
    with torch.no_grad(:
        return model(x)
```

## Fix safety
There is no fix.

## Known problems
A file without anything of interest is not parsed, and so never reported; nor, by default, is a function that a guard decorates
and whose text gives no rule a reason to look into it.

## References
- https://libcst.readthedocs.io/
"""

from __future__ import annotations

from nograd_lint.diagnostics import Severity
from nograd_lint.rules._base import Rule

RULE = Rule(code="NGL902", name="unparsable-file", severity=Severity.ERROR)
