"""NGL201, NGL202, NGL205: what is training, and what only looks like it. All confidences count here."""

from __future__ import annotations

import pytest
from conftest import Lint, found, marked, source_of

HEAD = "import torch\nimport torch.nn.functional as F\nfrom torch.autograd import Variable\n\n\n"

CASES = {
    "an error that is expected": """
        import pytest

        def test_no_graph(model, x, y):
            with torch.no_grad():
                loss = F.mse_loss(model(x), y)
            with pytest.raises(RuntimeError):
                loss.backward()
        """,
    "an error that is caught": """
        def probe(model, x, y):
            with torch.no_grad():
                loss = F.mse_loss(model(x), y)
            try:
                loss.backward()
            except RuntimeError:
                print("no graph")
        """,
    "a backward that asks for a graph first": """
        @torch.no_grad()
        def step(model, optimizer, x, y):
            loss = F.mse_loss(model(x), y)
            if loss.requires_grad:
                loss.backward()
            if torch.is_grad_enabled():
                loss.backward()
        """,
    "an element of what was computed outside keeps its graph": """
        def train(model, optimizer, x, labels):
            outputs = model(x, labels=labels)
            with torch.no_grad():
                loss = outputs["loss"].squeeze().to("cuda")
            loss.backward()
        """,
    "an operation under the guard does not": """
        def train(model, optimizer, x, labels):
            outputs = model(x, labels=labels)
            with torch.no_grad():
                loss = outputs["loss"] * 2
            loss.backward()  # NGL201
        """,
    "the gradient that backward starts from may come from anywhere": """
        def backprop(model, x, wanted):
            scores = model(x)
            with torch.no_grad():
                gradient = F.softmax(scores, dim=1) - wanted
            scores.backward(gradient)
        """,
    "an engine's backward": """
        def train(engine, model, batches, labels):
            for x in batches:
                with torch.no_grad():
                    loss = F.cross_entropy(model(x), labels)
                engine.backward(loss)  # NGL201
        """,
    "a helper that calls backward on what it is given": """
        def update(optimizer, loss):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        def train(model, optimizer, x, labels):
            with torch.no_grad():
                loss = F.cross_entropy(model(x), labels)
            update(optimizer, loss)  # NGL201
        """,
    "a function of another library may enable gradients itself": """
        from elsewhere import compute_loss

        @torch.no_grad()
        def step(model, optimizer, x):
            loss = compute_loss(model, x)
            loss.backward()
        """,
    "so may the model": """
        class Energy(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(3, 1)

            def forward(self, x):
                with torch.enable_grad():
                    return self.layer(x)

        def forces(x):
            model = Energy()
            with torch.no_grad():
                energy = model(x)
            energy.backward()
        """,
    "a mode that depends on a value": """
        def run(model, optimizer, x, labels, train):
            with torch.set_grad_enabled(train):
                loss = F.cross_entropy(model(x), labels)
            if train:
                loss.backward()
        """,
    "one of two ways has a graph": """
        def step(model, x, labels, old):
            if old:
                with torch.no_grad():
                    loss = F.cross_entropy(model(x), labels)
            else:
                loss = F.cross_entropy(model(x), labels)
            loss.backward()
        """,
    "a sum that grows outside the guard": """
        def step(model, batches, labels):
            loss = 0
            for x in batches:
                with torch.no_grad():
                    weight = model(x).mean()
                loss = loss + weight * F.cross_entropy(model(x), labels)
            loss.backward()
        """,
    "what a framework generates has no graph": """
        from transformers import AutoModelForCausalLM

        def tune(name, inputs, labels):
            model = AutoModelForCausalLM.from_pretrained(name)
            outputs = model.generate(**inputs)
            loss = F.cross_entropy(outputs.float(), labels)
            loss.requires_grad = True  # NGL205
            loss.backward()
        """,
    "a flag decides whether the callee trains": """
        def run_epoch(model, batches, labels, optimizer=None):
            for x in batches:
                loss = F.cross_entropy(model(x), labels)
                if optimizer is not None:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

        @torch.no_grad()
        def evaluate(model, batches, labels):
            model.eval()
            run_epoch(model, batches, labels)
        """,
    "the callee returns before it trains": """
        def step(model, batch, labels, train=True):
            loss = F.cross_entropy(model(batch), labels)
            if not train:
                return loss.item()
            loss.backward()
            return loss.item()

        @torch.no_grad()
        def evaluate(model, batches, labels):
            model.eval()
            return [step(model, batch, labels, train=False) for batch in batches]
        """,
    "both branches train": """
        def step(model, optimizer, scaler, x, labels):
            loss = F.cross_entropy(model(x), labels)
            if scaler is not None:
                scaler.scale(loss).backward()
            else:
                loss.backward()
            optimizer.step()

        @torch.no_grad()  # NGL202
        def fit(model, optimizer, scaler, batches, labels):
            for x in batches:
                step(model, optimizer, scaler, x, labels)
        """,
    "a function that is only made": """
        def trainer(model, optimizer, labels):
            def step(x):
                loss = F.cross_entropy(model(x), labels)
                loss.backward()
                optimizer.step()

            return step

        @torch.no_grad()
        def prepare(model, optimizer, labels):
            return trainer(model, optimizer, labels)
        """,
    "a loss function that gives back a leaf": """
        def dice_loss(prediction, target):
            score = (prediction * target).sum() / (prediction + target).sum()
            return Variable(1 - score, requires_grad=True)  # NGL205 medium

        class Criterion(torch.nn.Module):
            def forward(self, prediction, target):
                loss = (prediction - target).abs().sum()
                loss = torch.tensor(loss, requires_grad=True)  # NGL205 medium
                return loss
        """,
    "a leaf that starts a sum": """
        def total_loss(terms):
            loss = torch.tensor(0.0, requires_grad=True)
            for term in terms:
                loss = loss + term
            return loss
        """,
    "where nothing is known of the graph": """
        from elsewhere import score

        def step(optimizer, x):
            loss = score(x)
            loss.requires_grad_()  # NGL205 low
            loss.backward()
            optimizer.step()
        """,
    "a line that changes nothing": """
        def step(model, optimizer, x, y):
            loss = F.mse_loss(model(x), y)
            loss = loss.requires_grad_(True)
            loss.backward()
            optimizer.step()
        """,
    "the gradient of an input": """
        def saliency(model, x):
            x = Variable(x, requires_grad=True)
            model(x).max().backward()
            return x.grad
        """,
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES.keys())
def test_training(source: str, lint: Lint) -> None:
    text = HEAD + source_of(source)
    assert found(lint({"example.py": text}, "example.py"), "NGL20") == marked(text, "NGL20")


def test_the_way_from_the_guard_to_the_backward_is_shown(lint: Lint) -> None:
    text = HEAD + source_of(
        """
        def train_step(model, optimizer, x, labels):
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()


        def epoch(model, optimizer, batches, labels):
            for x in batches:
                train_step(model, optimizer, x, labels)


        def main(model, optimizer, batches, labels):
            with torch.no_grad():
                epoch(model, optimizer, batches, labels)
        """
    )
    (diagnostic,) = (d for d in lint({"example.py": text}, "example.py") if d.code == "NGL202")
    assert diagnostic.function == "main"
    assert [evidence.span.start.row for evidence in diagnostic.evidence] == [19, 14, 8]


def test_a_training_loop_of_another_file(lint: Lint) -> None:
    training = HEAD + source_of(
        """
        def fit(model, optimizer, batches, labels):
            for x in batches:
                loss = F.cross_entropy(model(x), labels)
                loss.backward()
                optimizer.step()
        """
    )
    script = source_of(
        """
        import torch
        from training import fit


        def run(model, optimizer, batches, labels):
            with torch.inference_mode():  # NGL202
                fit(model, optimizer, batches, labels)
        """
    )
    diagnostics = lint({"training.py": training, "run.py": script}, "run.py")
    assert found(diagnostics, "NGL2") == marked(script, "NGL2")
    assert {e.filename for d in diagnostics for e in d.evidence if d.code == "NGL202"} == {"run.py", "training.py"}
