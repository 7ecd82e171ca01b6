"""Functions under a guard from end to end: what there is to find in them is found by default, whoever they call."""

from __future__ import annotations

import pytest

from tests.rules.conftest import Lint, found, marked, source_of

HELPERS = """
    import contextlib

    import torch


    @contextlib.contextmanager
    def live():
        with torch.enable_grad():
            yield


    def step(model, x, optimizer):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()


    def steps(model, loader, optimizer):
        for x in loader:
            step(model, x, optimizer)


    async def answer(model, x):
        return model(x)
"""

CASES = {
    "trains": """
        import torch

        from helpers import step


        @torch.no_grad()  # NGL202
        def evaluate(model, x, optimizer):
            model.eval()
            step(model, x, optimizer)
    """,
    "trains further down": """
        import torch

        from helpers import steps


        @torch.inference_mode()  # NGL202 medium
        def evaluate(model, loader, optimizer):
            steps(model, loader, optimizer)
    """,
    "turns gradients on": """
        import torch

        from helpers import live


        @torch.no_grad()
        def evaluate(model: torch.nn.Module, loader):
            model.eval()
            hits = 0
            for x, y in loader:
                with live():
                    hits += (model(x).argmax(1) == y).sum().item()  # NGL101
            return hits
    """,
    "coroutine": """
        import torch

        from helpers import answer

        net = torch.nn.Linear(2, 2)


        @torch.no_grad()
        def serve(x):
            return answer(net, x)  # NGL306 medium
    """,
    "is a coroutine itself": """
        import torch


        @torch.no_grad()  # NGL303
        async def serve(model: torch.nn.Module, x):
            return model(x).argmax(1)
    """,
    "thread": """
        import threading

        import torch


        @torch.no_grad()
        def serve(model: torch.nn.Module, x):
            thread = threading.Thread(target=model, args=(x,))  # NGL305
            thread.start()
    """,
    "lazy": """
        import torch


        @torch.no_grad()
        def scores(model: torch.nn.Module, loader):
            return (
                model(x)  # NGL306
                for x in loader
            )
    """,
    "nothing": """
        import torch


        @torch.no_grad()
        def evaluate(model: torch.nn.Module, loader):
            model.eval()
            return sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    """,
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_under_a_guard(lint: Lint, name: str) -> None:
    source = source_of(CASES[name])
    diagnostics = lint({"helpers.py": source_of(HELPERS), "case.py": source}, "case.py")
    shown = tuple(d for d in diagnostics if not d.code.startswith(("NGL4", "NGL5")))
    assert found(shown, "NGL") == marked(source, "NGL")
