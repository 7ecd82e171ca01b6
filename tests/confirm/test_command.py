"""What a command line runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nograd_lint.confirm.command import CommandError, factories, parse

PYTHON = Path(sys.executable).name


@pytest.mark.parametrize(
    ("words", "interpreter", "kind", "value", "argv"),
    [
        ("python eval.py --batch 3", "python", "script", "eval.py", "--batch 3"),
        ("python3.12 -u -W ignore -X dev eval.py -m x", "python3.12 -u -W ignore -X dev", "script", "eval.py", "-m x"),
        ("python -m pytest tests -x", "python", "module", "pytest", "tests -x"),
        ("python -c pass a", "python", "code", "pass", "a"),
        ("uv run python eval.py", "uv run python", "script", "eval.py", ""),
        ("/usr/bin/python3 nb.ipynb", "/usr/bin/python3", "notebook", "nb.ipynb", ""),
    ],
)
def test_python(words: str, interpreter: str, kind: str, value: str, argv: str) -> None:
    command = parse(words.split())
    assert " ".join(command.interpreter) == interpreter
    assert (command.kind, command.value, " ".join(command.argv)) == (kind, value, argv)


@pytest.mark.parametrize(
    "words",
    [
        "torchrun --nproc-per-node 2 train.py",
        "accelerate launch train.py",
        "python -m torch.distributed.run train.py",
        "mpirun -n 2 python train.py",
        "deepspeed train.py",
    ],
)
def test_launchers_are_refused(words: str) -> None:
    with pytest.raises(CommandError, match="several processes"):
        parse(words.split())


def test_a_programs_own_arguments_are_no_launchers() -> None:
    assert parse(["python", "eval.py", "accelerate", "-m", "torch.distributed.run"]).argv[0] == "accelerate"
    assert parse(["python", "-m", "mypkg", "accelerate"]).value == "mypkg"


def test_a_script_by_its_first_line(place: Path) -> None:
    script = place / "evaluate"
    script.write_text(f"#!{sys.executable}\nprint(1)\n")
    script.chmod(0o755)
    command = parse([str(script), "--fast"])
    assert command.interpreter == (sys.executable,)
    assert (command.kind, command.value, command.argv) == ("script", str(script), ("--fast",))


def test_pytest_by_its_own_name() -> None:
    command = parse([str(Path(sys.executable).with_name("pytest")), "-q"])
    assert command.is_pytest
    assert Path(command.interpreter[0]).name.startswith("python")


def test_files_by_their_suffix(place: Path) -> None:
    (place / "eval.py").write_text("")
    assert parse(["eval.py", "a"]).kind == "script"
    assert parse(["uv", "run", "eval.py"]).interpreter == ("uv", "run", "python")


@pytest.mark.parametrize("words", [[], ["make", "eval"], ["python"], ["python", "-"], ["no-such-program"]])
def test_what_runs_no_python_program_is_refused(words: list[str]) -> None:
    with pytest.raises(CommandError):
        parse(words)


def test_factories() -> None:
    assert factories(["a:b", "c:d"], sys.executable).child() == {
        "kind": "factories", "value": ["a:b", "c:d"], "argv": [],
    }  # fmt: skip
