"""NGL204, 206, 208, 209 and 4xx: what is meant that way, and what is not. All confidences count here."""

from __future__ import annotations

import pytest
from conftest import Lint, found, marked, source_of

LEAKS = {
    "made a context manager later": """
        import contextlib
        import torch

        def _evaluating(model):
            model.eval()
            with torch.no_grad():
                yield model

        evaluating = contextlib.contextmanager(_evaluating)
        """,
    "a hook of pytest": """
        import torch

        def pytest_runtest_call(item):
            with torch.no_grad():
                yield
        """,
    "a nested function yields": """
        import torch

        def loader(batches):
            with torch.no_grad():
                def items():
                    for batch in batches:
                        yield batch
                return list(items())
        """,
    "nobody in sight": """
        import torch

        def scores(model, batches):
            with torch.no_grad():
                for x in batches:
                    yield model(x)  # NGL204 low
        """,
    "used up at once": """
        import torch

        def scores(model, batches):
            with torch.no_grad():
                for x in batches:
                    yield model(x)  # NGL204 low

        def train(teacher, student, batches):
            for wanted in list(scores(teacher, batches)):
                (student(wanted) - wanted).square().sum().backward()
        """,
    "gradients are on at the yield": """
        import torch

        def batches(model, data):
            with torch.no_grad():
                for x in data:
                    scores = model(x)
                    with torch.enable_grad():
                        yield scores
        """,
    "a generator of coroutines": """
        import torch

        async def stream(model, queue):
            with torch.no_grad():
                while True:
                    x = await queue.get()  # NGL209
                    yield model(x)  # NGL204 low
        """,
    "a test with one coroutine": """
        import torch

        async def test_predict(model, queue):
            with torch.no_grad():
                x = await queue.get()  # NGL209 medium
                model(x)
        """,
    "a coroutine made under a guard": """
        import torch

        async def predict(model, queue):
            with torch.no_grad():
                async def inner():
                    return await queue.get()
                scores = model(1)
            return scores, await inner()
        """,
    "a closure of something else": """
        import torch

        class Cache:
            @torch.no_grad()
            def fill(self, closure):
                return closure()
        """,
    "an optimizer by its looks": """
        import torch
        from elsewhere import Base

        class Descent(Base):
            @torch.no_grad()
            def step(self, closure=None):
                loss = closure()  # NGL208 medium
                for group in self.param_groups:
                    pass
                return loss
        """,
}


@pytest.mark.parametrize("source", LEAKS.values(), ids=LEAKS.keys())
def test_leaks(source: str, lint: Lint) -> None:
    text = source_of(source)
    assert found(lint({"example.py": text}, "example.py"), "NGL20") == marked(text, "NGL20")


MODES = {
    "a tensor, for somebody asked": """
        import torch

        def reset(model):
            if torch.is_tensor(model):
                model.requires_grad = False
        """,
    "a module with a flag of its own": """
        from torch import nn

        class Features(nn.Module):
            def __init__(self, requires_grad=True):
                super().__init__()
                self.requires_grad = requires_grad
                self.layer = nn.Linear(2, 2)

        def make():
            features = Features()
            features.requires_grad = False
            return features
        """,
    "a weight": """
        from torch import nn

        def freeze(model: nn.Module):
            model.head.weight.requires_grad = False
            model.scale.requires_grad = False
        """,
    "the value of a flag": """
        from torch import nn

        def freeze(on):
            model = nn.Linear(2, 2)
            model.requires_grad = not on  # NGL404
            return model
        """,
    "an option that is called so": """
        import torch

        def parse(args):
            args.require_grad = False
            return args
        """,
    "a property that happens to be called eval": """
        import torch

        def show(report):
            report.eval
            report.train = False
        """,
    "a mode that comes back by itself": """
        import torch.nn.functional as F

        def evaluate(model, batches):
            was = model.training
            model.eval()
            total = sum(model(x).sum().item() for x in batches)
            if was:
                model.train()
            return total

        def fit(model, optimizer, batches, labels):
            model.train()
            for _ in range(10):
                loss = F.cross_entropy(model(batches[0]), labels)
                loss.backward()
                optimizer.step()
                print(evaluate(model, batches))
        """,
    "a model that is trained in eval mode on purpose": """
        import torch.nn.functional as F

        def fit(model, optimizer, batches, labels):
            for x in batches:
                model.eval()
                loss = F.cross_entropy(model(x), labels)
                loss.backward()
                optimizer.step()
        """,
    "another model is evaluated": """
        import torch
        import torch.nn.functional as F

        def fit(model, average, optimizer, batches, labels):
            model.train()
            for x in batches:
                loss = F.cross_entropy(model(x), labels)
                loss.backward()
                optimizer.step()
                average.eval()
                with torch.no_grad():
                    print(average(x).argmax(1).tolist())
        """,
}


@pytest.mark.parametrize("source", MODES.values(), ids=MODES.keys())
def test_modes(source: str, lint: Lint) -> None:
    text = source_of(source)
    assert found(lint({"example.py": text}, "example.py"), "NGL40") == marked(text, "NGL40")


PARTS = """
import copy

import torch
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module):
    def __init__(self, still=True):
        super().__init__()
        self.still = still
        {made}
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        {run}
        return self.head(features)


def train(loader):
    model = Classifier()
    optimizer = torch.optim.Adam({given})
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
MADE = "self.encoder = nn.Linear(16, 8)"
GUARDED = "with torch.no_grad(): features = self.encoder(x)"


@pytest.mark.parametrize(
    ("made", "run", "given", "reported"),
    [
        (MADE, GUARDED, "model.parameters()", True),
        (MADE, GUARDED, "filter(lambda p: p.requires_grad, model.parameters())", True),
        (MADE, GUARDED, "[{'params': model.encoder.parameters()}, {'params': model.head.parameters()}]", True),
        (MADE, "features = self.encoder(x).detach()", "model.parameters()", True),
        (MADE, GUARDED, "model.head.parameters()", False),
        (MADE, "features = self.encoder(x)", "model.parameters()", False),
        (MADE, f"{GUARDED} if self.still else self.encoder(x)".replace("with", "if self.still:\n            with", 1)
         .replace(" if self.still else self.encoder(x)", ""), "model.parameters()", False),
        ("self.encoder = nn.Dropout()", GUARDED, "model.parameters()", False),
        ("self.encoder = torch.hub.load('repository', 'model')", GUARDED, "model.parameters()", False),
        ("self.teacher = nn.Linear(16, 8)", GUARDED.replace("encoder", "teacher"), "model.parameters()", False),
        (f"{MADE}; self.encoder.requires_grad_(False)", GUARDED, "model.parameters()", False),
    ],
)  # fmt: skip
def test_parts(made: str, run: str, given: str, reported: bool, lint: Lint) -> None:
    text = PARTS.format(made=made, run=run, given=given)
    codes = [d.code for d in lint({"example.py": text}, "example.py") if d.code == "NGL206"]
    assert codes == ["NGL206"] * reported


TOWER = """
import torch
from torch import nn
from transformers import CLIPVisionModel


class Tower(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.vision = CLIPVisionModel.from_pretrained(name)
        self.vision.requires_grad_(False)

    @torch.no_grad()
    def forward(self, x):
        return self.vision(x).last_hidden_state
"""
UNFREEZE = """
def unlock(model):
    for name, parameter in model.tower.vision.named_parameters():
        if "layers.11" in name:
            parameter.requires_grad = True
"""


@pytest.mark.parametrize(("other", "reported"), [(UNFREEZE, True), ("", False)])
def test_a_part_that_is_unfrozen_elsewhere(other: str, reported: bool, lint: Lint) -> None:
    diagnostics = lint({"tower.py": TOWER, "train.py": other}, "tower.py")
    assert [d.span.start.row for d in diagnostics if d.code == "NGL206"] == [13] * reported


def test_a_part_with_a_flag(lint: Lint) -> None:
    text = TOWER.replace("name):", "name, trainable=False):").replace(
        "requires_grad_(False)", "requires_grad_(trainable)"
    )
    diagnostics = lint({"tower.py": text}, "tower.py")
    assert [d.span.start.row for d in diagnostics if d.code == "NGL206"] == [13]
