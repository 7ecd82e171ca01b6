"""NGL203: whose gradients a switch turns off that is left off."""

from __future__ import annotations

import pytest
from conftest import Lint, found, marked, source_of

SWITCH = """
    import torch

    torch.set_grad_enabled(False)  # NGL203 {confidence}

    CLASSES = 4


    def label(model, x):
        return model(x).argmax(1)
    """
SILENT = SWITCH.replace("  # NGL203 {confidence}", "")
TRAINING = """
    import torch.nn.functional as F
    {imports}


    def train(model, optimizer, x, y):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    """


def check(lint: Lint, files: dict[str, str], filename: str) -> None:
    texts = {name: source_of(text) for name, text in files.items()}
    assert found(lint(texts, filename), "NGL203") == marked(texts[filename], "NGL203")


def test_a_module_that_training_code_imports(lint: Lint) -> None:
    files = {
        "serving.py": SWITCH.format(confidence="high"),
        "train.py": TRAINING.format(imports="from serving import CLASSES"),
    }
    check(lint, files, "serving.py")


def test_a_module_that_other_code_imports(lint: Lint) -> None:
    files = {"serving.py": SWITCH.format(confidence="medium"), "app.py": "import serving\n\nprint(serving.CLASSES)\n"}
    check(lint, files, "serving.py")


def test_a_module_of_a_package_that_nobody_imports_yet(lint: Lint) -> None:
    files = {"package/__init__.py": "", "package/serving.py": SWITCH.format(confidence="medium")}
    check(lint, files, "package/serving.py")


def test_a_file_beside_training_code_that_does_not_import_it(lint: Lint) -> None:
    files = {"serving.py": SILENT, "train.py": TRAINING.format(imports="")}
    check(lint, files, "serving.py")


def test_tests_may_do_as_they_like(lint: Lint) -> None:
    files = {"tests/test_model.py": SWITCH.format(confidence="low"), "app.py": "from tests.test_model import label\n"}
    check(lint, files, "tests/test_model.py")


CASES = {
    "a constructor in a script that only predicts": """
        import torch

        class Predictor:
            def __init__(self, path):
                torch.set_grad_enabled(False)
                self.model = torch.load(path).eval()

        if __name__ == "__main__":
            print(Predictor("model.pt"))
        """,
    "a script that says when it wants gradients": """
        import torch

        def evaluate(model, x):
            torch.set_grad_enabled(False)
            return model(x)

        def train(model, x):
            torch.set_grad_enabled(True)
            model(x).sum().backward()
        """,
    "a switch for one kind of run": """
        import torch

        def main(args, model, x):
            if args.test:
                torch.set_grad_enabled(False)
                print(model(x))
            else:
                model(x).sum().backward()

        if __name__ == "__main__":
            main(None, None, None)
        """,
    "a function that is there to switch": """
        import torch

        def disable_gradients():
            torch.set_grad_enabled(False)
            torch.backends.cudnn.benchmark = True
        """,
    "a class with a counterpart": """
        import torch

        class Session:
            def start(self):
                torch.set_grad_enabled(False)
                self.started = True

            def stop(self):
                torch.set_grad_enabled(True)
                self.started = False
        """,
    "a decorator that restores the mode": """
        import torch

        @torch.no_grad()
        def predict(model, x):
            torch.set_grad_enabled(False)
            return model(x)
        """,
    "phases that each set their mode": """
        import torch

        def fit(model, loaders, optimizer):
            for phase in ("train", "val"):
                if phase == "train":
                    torch.set_grad_enabled(True)
                else:
                    torch.set_grad_enabled(False)
                for x in loaders[phase]:
                    loss = model(x).sum()
                    if phase == "train":
                        loss.backward()
        """,
    "one branch restores, the other returns": """
        import torch

        def predict(model, x, wanted):
            before = torch.is_grad_enabled()
            torch.set_grad_enabled(False)
            if wanted:
                scores = model(x)
                torch.set_grad_enabled(before)
                return scores
            torch.set_grad_enabled(before)
            return None
        """,
    "a method of a library": """
        import torch

        class Engine:
            def load(self, path):
                try:
                    torch.set_grad_enabled(False)  # NGL203 medium
                    self.model = torch.load(path)
                except OSError:
                    self.model = None
        """,
}


@pytest.mark.parametrize("source", CASES.values(), ids=CASES.keys())
def test_switches(source: str, lint: Lint) -> None:
    check(lint, {"example.py": source}, "example.py")
