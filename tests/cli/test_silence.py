"""``--explain-silence``: which guard, which caller, which promise, which cut-off keeps a line silent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

Explain = Callable[[dict[str, str], str, str], list[str]]
FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Explain:
    """Ask about the line of a project that holds a text; the answer without the place in front."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')

    def ask(files: dict[str, str], file: str, text: str) -> list[str]:
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        row = next(n for n, line in enumerate(files[file].splitlines(), 1) if text in line)
        code, out, err = cli("check", "--explain-silence", f"{file}:{row}", "--no-cache")
        assert (code, err) == (0, "")
        first, *more = out.splitlines()
        assert first.startswith(f"{file}:{row}: ")
        return [first.removeprefix(f"{file}:{row}: "), *(line.strip() for line in more)]

    return ask


HELPER = """\
import torch


def validate(model, val_loader):
    model.eval()
    right = 0
    for x, y in val_loader:
        right += (model(x).argmax(1) == y).sum().item()
    return right
"""


def test_the_guard(explain: Explain) -> None:
    text = HELPER.replace("    right = 0\n", "    torch.set_grad_enabled(False)\n    right = 0\n")
    assert explain({"a.py": text}, "a.py", "model(x)") == [
        "`model(...)`: gradients are off there",
        "a.py:6:5  gradients are turned off here",
    ]
    text = HELPER.replace("def validate", "@torch.inference_mode()\ndef validate")
    assert explain({"a.py": text}, "a.py", "def validate")[1] == "a.py:4:2  gradients are turned off here"


def test_a_guard_that_depends_on_a_value(explain: Explain) -> None:
    text = HELPER.replace("    right = 0\n", "    torch.set_grad_enabled(model.training)\n    right = 0\n")
    assert explain({"a.py": text}, "a.py", "model(x)") == [
        "`model(...)`: whether gradients are on there depends on a value",
        "a.py:6:5  gradients are turned on or off here",
    ]


def test_the_path_from_the_guard_down(explain: Explain) -> None:
    files = {
        "helper.py": HELPER,
        "training.py": "from helper import validate\n\n\ndef fit(model, loader):\n    return validate(model, loader)\n",
        "main.py": "import torch\nfrom training import fit\n\n\ndef main(model, loader):\n"
        "    with torch.no_grad():\n        print(fit(model, loader))\n",
    }
    assert explain(files, "helper.py", "model(x)") == [
        "`model(...)`: every caller turns gradients off",
        "main.py:6:5  gradients are turned off here",
        "main.py:7:15  `main` calls `fit`",
        "training.py:5:12  `main` -> `fit` -> `validate`, with gradients off",
    ]


def test_some_callers_hold_the_guard(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "project_wide", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    assert cli("check", "--explain-silence", "metrics.py:22", "--no-cache").out.splitlines() == [
        "metrics.py:22: `model(...)`: some callers turn gradients off: those that do not are reported at their calls",
        "    validate.py:10:2  gradients are turned off here",
        "    validate.py:12:61  `validate` -> `worst_error`, with gradients off",
        "    main.py:29:5  the module calls `main`",
        "    main.py:21:21  `main` calls `report`",
        "    report.py:14:13  the module -> `main` -> `report` -> `worst_error`, with gradients on",
    ]
    reported = cli("check", "--explain-silence", "report.py:14", "--no-cache").out
    assert reported.startswith("report.py:14: NGL101 tracked-evaluation [")
    assert reported.endswith("] is reported\n")


def test_callers_that_cannot_be_told(explain: Explain) -> None:
    files = {
        "helper.py": HELPER,
        "main.py": "from helper import validate\nfrom elsewhere import run\n\n\ndef _work(model, loader):\n"
        "    return validate(model, loader)\n",
    }
    assert explain(files, "helper.py", "model(x)") == [
        "`model(...)`: whether gradients are on depends on a caller that can't be told",
        "main.py:6:12  who calls `_work` can't be told",
        "main.py:6:12  `_work` -> `validate`, with gradients on or off",
    ]


def test_a_function_that_is_handed_on(explain: Explain) -> None:
    text = HELPER + "\n\ndef schedule(job):\n    QUEUE.append(job)\n"
    text += "\n\ndef main():\n    with torch.no_grad():\n        schedule(validate)\n"
    assert explain({"a.py": text}, "a.py", "model(x)") == [
        "`model(...)`: whether gradients are on depends on a caller that can't be told; not all could be followed",
        "a.py:17:5  gradients are turned off here",
        "a.py:18:9  it is handed on here, and may run where that does not hold",
        "a.py:18:9  `main` -> `validate`, with gradients on or off",
    ]


@pytest.mark.parametrize(
    "call",
    ["schedule(validate)", "pool.submit(validate, net)", "Trainer(callbacks=[validate])", "run(\n    validate,\n)"],
)
def test_a_function_that_is_handed_on_in_another_file(call: str, explain: Explain) -> None:
    """Nobody calls it by its name; whoever has it may call it where the guard does not hold."""
    lines = [f"        {line}\n" for line in call.splitlines()]
    files = {
        "helper.py": HELPER,
        "main.py": "import torch\nfrom helper import other, validate\nfrom somewhere import Trainer, pool, run\n\n\n"
        "def main(net):\n    with torch.no_grad():\n" + "".join(lines),
    }
    first, *places = explain(files, "helper.py", "model(x)")
    assert first.startswith("`model(...)`: whether gradients are on depends on a caller that can't be told; not all")
    assert [place.partition("  ")[2] for place in places] == [
        "gradients are turned off here",
        "it is handed on here, and may run where that does not hold",
        "`main` -> `validate`, with gradients on or off",
    ]


def test_more_callers_than_are_followed(explain: Explain) -> None:
    files = {"helper.py": HELPER}
    for n in range(30):
        files[f"user{n:02}.py"] = (
            "import torch\nfrom helper import validate\n\n\n@torch.no_grad()\ndef use(model, loader):\n"
            "    return validate(model, loader)\n"
        )
    first, *places = explain(files, "helper.py", "model(x)")
    assert first == (
        "`model(...)`: every caller turns gradients off; not all could be followed (5 of 24 ways in are shown)"
    )
    assert len(places) == 10


def test_a_callers_backward(explain: Explain) -> None:
    text = "import torch\n\n\ndef predict(model, x):\n    model.eval()\n    return model(x)\n\n\n"
    text += "def attack(model, x):\n    loss = predict(model, x).sum()\n    loss.backward()\n    return x.grad\n"
    assert explain({"a.py": text}, "a.py", "model(x)") == [
        "`model(...)`: a caller runs backward on what it returns",
        "a.py:11:5  `attack` runs backward on it",
    ]


def test_training(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES / "project_wide")
    assert cli("check", "--explain-silence", "train.py:13", "--no-cache").out.splitlines() == [
        "train.py:13: `model(...)`: a backward walks its graph",
        "    train.py:15:9  backward",
    ]
    assert "nothing shows that gradients are off where `backward` needs them" in (
        cli("check", "--explain-silence", "train.py:15", "--no-cache").out
    )


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("lightning_like/module.py:27", "the Trainer runs validation_step with gradients off"),
        ("hugging_face_like/classify.py:34", "GenerationMixin.generate is decorated with torch.no_grad"),
    ],
)
def test_promises_of_frameworks(cli: Cli, monkeypatch: pytest.MonkeyPatch, place: str, why: str) -> None:
    monkeypatch.chdir(FIXTURES)
    assert why in cli("check", "--explain-silence", place, "--no-cache").out


def test_a_switch_at_import(explain: Explain) -> None:
    files = {
        "settings.py": "import torch\n\ntorch.set_grad_enabled(False)\n",
        "a.py": HELPER.replace("import torch\n", "import torch\nimport settings\n"),
    }
    assert explain(files, "a.py", "model(x)") == [
        "`model(...)`: gradients are off in the whole process",
        "settings.py:3:1  gradients are turned off here",
    ]


def test_a_function_that_guards_itself(explain: Explain) -> None:
    text = HELPER.replace("def validate", "@torch.no_grad()\ndef validate")
    text += "\n\ndef report(model, val_loader):\n    model.eval()\n    print(validate(model, val_loader))\n"
    assert explain({"a.py": text}, "a.py", "print(validate") == [
        "`validate(...)` runs a model, and turns gradients off itself",
        "a.py:4:2  gradients are turned off here",
    ]


def test_what_is_frozen(explain: Explain) -> None:
    text = HELPER.replace("    right = 0\n", "    model.requires_grad_(False)\n    right = 0\n")
    assert explain({"a.py": text}, "a.py", "model(x)") == ["`model(...)`: no parameter of it requires a gradient"]


def test_what_is_left_to_the_function_that_is_called(explain: Explain) -> None:
    text = HELPER + "\n\ndef evaluate(model, val_loader):\n    model.eval()\n    print(validate(model, val_loader))\n"
    assert explain({"a.py": text}, "a.py", "print(validate") == [
        "`validate(...)`: it is reported where the function that is called runs the model",
        "a.py:8:19  runs the model",
    ]


def test_what_the_screen_leaves_out(explain: Explain) -> None:
    assert explain({"a.py": "def f(x):\n    return g(x)\n"}, "a.py", "g(x)") == [
        "nothing in the file is about PyTorch or gradients: it is not looked at"
    ]
    text = "import torch\n\n\ndef area(model):\n    return model(3)\n"
    assert explain({"a.py": text}, "a.py", "model(3)") == [
        "`area` has no word of guards, evaluation or training: it is not looked at"
    ]


def test_what_is_not_known_to_be_a_model(explain: Explain) -> None:
    text = "import torch\n\n\ndef evaluate(thing, loader):\n    for x in loader:\n        print(thing.work(x).item())\n"
    assert explain({"a.py": text}, "a.py", "thing.work") == ["nothing shows that `thing.work(...)` runs a model"]


def test_a_guard_that_works(explain: Explain) -> None:
    text = "import torch\n\n\ndef evaluate(model, x):\n    with torch.no_grad():\n        return model(x)\n"
    assert explain({"a.py": text}, "a.py", "with torch") == [
        "the guard turns gradients off for what it is around",
        "a.py:6:16  runs under it",
    ]


def test_notebooks(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is that of the report: the cell, and the line in it."""
    monkeypatch.chdir(tmp_path)
    sources = [
        "import torch\nmodel = torch.nn.Linear(2, 2).eval()",
        "with torch.no_grad():\n    print(model(x).argmax())",
    ]
    cells = [
        {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None}
        for text in sources
    ]
    Path("a.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    answer = (
        "a.ipynb:cell 2:2: `model(...)`: gradients are off there\n"
        "    a.ipynb:cell 2:1:1  gradients are turned off here\n"
    )
    assert cli("check", "--explain-silence", "a.ipynb:2:2", "--no-cache").out == answer
    assert cli("check", "--explain-silence", "a.ipynb:cell 2:2", "--no-cache").out == answer
    assert cli("check", "--explain-silence", "a.ipynb:2", "--no-cache")[::2] == (
        2,
        "nograd-lint: a.ipynb: a place in a notebook is PATH:CELL:LINE\n",
    )
    assert cli("check", "--explain-silence", "a.ipynb:7:2", "--no-cache").code == 2
