"""NGL3xx: guards that do nothing, and guards that do. All confidences count here."""

from __future__ import annotations

import pytest
from conftest import Lint, found, marked, source_of

CASES = {
    "a guard above a coroutine that only waits": """
        import torch

        @torch.no_grad()  # NGL303 low
        async def predict(queue, request):
            return await queue.put(request)
        """,
    "a guard above a coroutine that computes something": """
        import torch

        @torch.no_grad()  # NGL303 medium
        async def distance(queue):
            a, b = await queue.get()
            return torch.cdist(a, b)
        """,
    "a nested coroutine": """
        import torch

        def serve(app, model):
            model.eval()

            @app.post("/predict")
            @torch.inference_mode()  # NGL303
            async def predict(request):
                return model(await request.tensor())

            return predict
        """,
    "a guard above a class, and one in it": """
        import torch
        from torch import nn

        @torch.inference_mode  # NGL308
        class Scorer(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(2, 2)

            @torch.no_grad()
            def score(self, x):
                return self.layer(x)
        """,
    "a guard two decorators above": """
        import functools

        import torch

        class Probe:
            @torch.no_grad()  # NGL309
            @functools.lru_cache
            @staticmethod
            def width(model, x):
                return model(x).shape[1]

            @property
            @torch.no_grad()
            def device(self):
                return torch.device("cpu")

            @torch.no_grad()  # NGL309
            @functools.cached_property
            def size(self):
                return self.model(self.sample).shape
        """,
    "a context manager that nobody uses": """
        import contextlib

        import torch

        @contextlib.contextmanager
        @torch.no_grad()
        def averaged(model):
            yield model
        """,
    "a truth that decides": """
        import contextlib

        import torch

        def run(model, x, amp, off):
            with (off and torch.no_grad()) or contextlib.nullcontext():
                model(x)
            with amp and torch.autocast("cuda") or contextlib.nullcontext():
                model(x)
            with get_context() or torch.no_grad():
                model(x)
        """,
    "three of them": """
        import torch

        def run(model, x):
            with torch.no_grad() and torch.autocast("cuda") and torch.device("cuda"):  # NGL307
                return model(x)
        """,
    "one branch is not called": """
        import contextlib

        import torch

        def run(model, x, off):
            with torch.no_grad if off else contextlib.nullcontext():  # NGL302
                return model(x)
        """,
    "a stack is given a class": """
        import contextlib

        import torch

        def run(model, x):
            with contextlib.ExitStack() as stack:
                stack.enter_context(torch.no_grad)  # NGL302
                return model(x)
        """,
    "a decorator with a value": """
        import torch

        @torch.no_grad(True)  # NGL302
        def run(model, x):
            return model(x)
        """,
    "a result that is kept": """
        import torch

        def mode():
            guard = torch.inference_mode()
            guard.__enter__()
            return guard
        """,
    "a block that does tensor work": """
        import torch

        def predict(model, images, mean, std):
            model.eval()
            with torch.no_grad():
                images = (images - mean) / std
            return model(images).argmax(1).tolist()
        """,
    "a block that works on other things": """
        import torch

        def predict(model, images, path):
            model.eval()
            with torch.no_grad():
                table = torch.load(path)
            return model(images).argmax(1).tolist()
        """,
    "work on the outputs afterwards": """
        import torch

        def predict(model, images):
            model.eval()
            outputs = model(images)
            with torch.no_grad():  # NGL304
                labels = outputs.argmax(1)
            return labels.tolist()
        """,
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES.keys())
def test_guards(source: str, lint: Lint) -> None:
    text = source_of(source)
    assert found(lint({"example.py": text}, "example.py"), "NGL3") == marked(text, "NGL3")


DECORATED = """
import torch


@torch.no_grad{mark}
def predict(model, x):
    model.eval()
    return model(x).argmax(1).tolist()
"""


@pytest.mark.parametrize(("target", "mark"), [("1.13", "  # NGL302"), ("2.0", "  # NGL302"), ("2.1", ""), (None, "")])
def test_a_decorator_without_a_call_needs_a_new_pytorch(target: str | None, mark: str, lint: Lint) -> None:
    text = DECORATED.format(mark=mark)
    diagnostics = lint({"example.py": text}, "example.py", target)
    assert found(diagnostics, "NGL") == marked(text, "NGL")


@pytest.mark.parametrize(
    "below",
    ["async def predict(model, x):", "@staticmethod\ndef predict(model, x):", "\ndef predict(model, x):", "class A:"],
)
def test_no_at_sign_where_it_would_be_another_mistake(below: str, lint: Lint) -> None:
    text = f"import torch\n\n\ntorch.no_grad()\n{below}\n    pass\n"
    (diagnostic,) = lint({"example.py": text}, "example.py")
    assert diagnostic.code == "NGL301"
    assert diagnostic.fix is None
