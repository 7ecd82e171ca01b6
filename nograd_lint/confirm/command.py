"""What the user wants run, and how to run it with probes: COMMAND, taken apart."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

_PYTHON = re.compile(r"(python|pypy)(\d+(\.\d+)*)?t?(\.exe)?\Z")
_LAUNCHERS = frozenset(
    [
        "torchrun",
        "accelerate",
        "deepspeed",
        "horovodrun",
        "mpirun",
        "mpiexec",
        "srun",
        "torchx",
        "ray",
        "fairseq-hydra-train",
    ]
)
_LAUNCHER_MODULES = ("torch.distributed", "accelerate", "deepspeed", "horovod", "torchx", "mpi4py")
# Options of the interpreter that take a value of their own.
_WITH_VALUE = frozenset(("-W", "-X", "--check-hash-based-pycs"))
BOOT = Path(__file__).with_name("boot.py")


class CommandError(Exception):
    """A command that cannot be run with probes; ``str()`` says why and what to do."""


class Command(msgspec.Struct, frozen=True):
    """``words``, the program's interpreter with its options, and what that is to run."""

    words: tuple[str, ...]
    interpreter: tuple[str, ...]
    kind: str  # script, module, code, notebook, factories
    value: Any
    argv: tuple[str, ...] = ()

    def child(self) -> dict[str, Any]:
        """The part that the child process acts on."""
        return {"kind": self.kind, "value": self.value, "argv": list(self.argv)}

    @property
    def is_pytest(self) -> bool:
        return self.value == "pytest" or Path(str(self.value)).name in ("pytest", "py.test")


def parse(words: Sequence[str]) -> Command:
    """Take a command line apart; it must run one Python program in one process."""
    if not words:
        raise CommandError("no command to run; put it after `--`, as in:  nograd-lint confirm -- python eval.py")
    _refuse_launchers(words)
    for number, word in enumerate(words):
        if _PYTHON.match(Path(word).name):
            return _python(words, number)
    return _without_python(words)


def factories(targets: Sequence[str], python: str | None = None) -> Command:
    """A command that calls what the factories of the configuration return."""
    interpreter = python or _default_python()
    return Command((interpreter, *targets), (interpreter,), "factories", list(targets))


def _refuse_launchers(words: Sequence[str]) -> None:
    for before, word in zip(("", *words), words, strict=False):
        name = Path(word).name
        module = before == "-m" and any(word == m or word.startswith(m + ".") for m in _LAUNCHER_MODULES)
        if (name in _LAUNCHERS and not word.endswith(".py")) or module:
            raise CommandError(
                f"{name if not module else 'python -m ' + word} starts several processes, whose figures would mix; "
                "run one process of the program itself, as in:  nograd-lint confirm -- python train.py"
            )
        if before == "-m" or word.endswith(".py"):
            return  # what follows belongs to the program


def _python(words: Sequence[str], number: int) -> Command:
    interpreter = list(words[: number + 1])
    rest = list(words[number + 1 :])
    while rest:
        word = rest.pop(0)
        if word == "-m" and rest:
            return Command(tuple(words), tuple(interpreter), "module", rest[0], tuple(rest[1:]))
        if word == "-c" and rest:
            return Command(tuple(words), tuple(interpreter), "code", rest[0], tuple(rest[1:]))
        if word == "-":
            break
        if word.startswith("-"):
            interpreter.append(word)
            if word in _WITH_VALUE and rest:
                interpreter.append(rest.pop(0))
            continue
        return Command(tuple(words), tuple(interpreter), _kind(word), word, tuple(rest))
    raise CommandError("the command starts Python without a program; name a script, -m MODULE or -c CODE")


def _without_python(words: Sequence[str]) -> Command:
    for number, word in enumerate(words):
        if word.endswith((".py", ".pyw", ".ipynb")) and Path(word).exists():
            # Wrappers such as `uv run` or `time` stay in front.
            interpreter = (*words[:number], "python" if number else _interpreter_of(word) or _default_python())
            return Command(tuple(words), interpreter, _kind(word), word, tuple(words[number + 1 :]))
    program = shutil.which(words[0])
    interpreter_of_program = _interpreter_of(program) if program else None
    if program is not None and interpreter_of_program is not None:
        return Command(tuple(words), (interpreter_of_program,), "script", program, tuple(words[1:]))
    raise CommandError(
        f"cannot tell which Python program `{' '.join(words)}` runs; "
        "say it as  python SCRIPT,  python -m MODULE,  pytest  or  NOTEBOOK.ipynb"
    )


def _kind(word: str) -> str:
    return "notebook" if word.endswith(".ipynb") else "script"


def _interpreter_of(path: str) -> str | None:
    """The Python that a script's first line names."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            first = file.readline(512)
            second = file.readline(512)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = os.fsdecode(first[2:]).split()
    if words and words[0] == "/bin/sh" and b"exec" in second:  # how installers write paths that are too long
        words = os.fsdecode(second).replace("'''exec'", "").replace('"', " ").split()
    if words and Path(words[0]).name == "env":
        words = words[1:]
    if words and _PYTHON.match(Path(words[0]).name):
        return shutil.which(words[0])
    return None


def _default_python() -> str:
    found = shutil.which("python") or shutil.which("python3")
    if found is None:
        raise CommandError("there is no `python` on the search path; name the interpreter in the command")
    return found
