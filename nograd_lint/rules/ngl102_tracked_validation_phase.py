"""A validation phase inside a training function runs the model with gradient tracking on.

## What it does
Reports the validation part of a function that also trains where it runs the model under gradient tracking, and
one branch of a routine that training and validation share.

## Why is this bad?
The validation batches keep all their activations alive beside the optimizer's state: the largest memory use of the whole
program is often here, and it is for nothing.

## Examples
```python error
import torch


def fit(model, optimizer, train_loader, val_loader, loss_fn):
    for epoch in range(10):
        model.train()
        for x, y in train_loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        total = 0.0
        for x, y in val_loader:
            total += loss_fn(model(x), y).item()  # NGL102
        print(total)
```
```python fixed
import torch


def fit(model, optimizer, train_loader, val_loader, loss_fn):
    for epoch in range(10):
        model.train()
        for x, y in train_loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        total = 0.0
        with torch.no_grad():
            for x, y in val_loader:
                total += loss_fn(model(x), y).item()
        print(total)
```
```python error
import torch.nn.functional as F


def run(model, loaders, optimizer):
    for phase in ("train", "val"):
        model.train(phase == "train")
        for x, y in loaders[phase]:
            loss = F.cross_entropy(model(x), y)  # NGL102
            if phase == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
```
```python fixed
import torch
import torch.nn.functional as F


def run(model, loaders, optimizer):
    for phase in ("train", "val"):
        model.train(phase == "train")
        for x, y in loaders[phase]:
            with torch.set_grad_enabled(phase == "train"):
                loss = F.cross_entropy(model(x), y)
            if phase == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
```
```python ok
import torch


def fit(model, optimizer, train_loader, loss_fn):
    model.train()
    for x, y in train_loader:
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
```

## Fix safety
Safe where nothing can ask for a gradient of what is computed: no output that carries the graph leaves the region. Unsafe where
outputs go to callers that are not in sight, and in a routine that training shares: there gradients are switched by the
condition that `backward` stands under.

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

RULE = Rule(code="NGL102", name="tracked-validation-phase", severity=Severity.WARNING, kind=Kind.GUARD, fixable=True)


def check(unit: UnitContext) -> Iterator[Finding]:
    return findings(unit, RULE.code, "the validation phase of {function} runs {model} with gradient tracking on")
