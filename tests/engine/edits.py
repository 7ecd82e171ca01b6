"""Random edits of a project: guards come and go, functions are renamed, files appear and vanish."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURES = (
    "project_wide",
    "wasteful",
    "validation_in_training",
    "mode_switches",
    "switch_at_import",
    "leaking_generator",
)

Edit = Callable[[random.Random, str], str]


def project(target: Path, fixtures: Sequence[str] = FIXTURES) -> None:
    """A project made of several fixtures: the modules of one at the top, those of others in packages."""
    for number, name in enumerate(fixtures):
        folder = target if number == 0 else target / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted((ROOT / "fixtures" / name).glob("*.py")):
            shutil.copy(path, folder / path.name)
    (target / "pyproject.toml").write_text('[project]\nname = "edited"\nversion = "1"\n')


def _swap(old: str, new: str) -> Edit:
    def edit(random: random.Random, text: str) -> str:
        places = [m.start() for m in re.finditer(re.escape(old), text)]
        if not places:
            return text
        at = random.choice(places)
        return text[:at] + new + text[at + len(old) :]

    return edit


def _rename(random: random.Random, text: str) -> str:
    names = re.findall(r"(?:def|class) (\w+)", text)
    if not names:
        return text
    name = random.choice(names)
    new = name.removesuffix("_x") if name.endswith("_x") else f"{name}_x"
    count = random.choice((1, 0))  # the definition alone, or all
    return re.sub(rf"\b{name}\b", new, text, count=count)


def _drop_line(random: random.Random, text: str) -> str:
    lines = text.split("\n")
    simple = [i for i, line in enumerate(lines) if re.match(r" +[\w.]+(?: = .*|\(.*\))$", line)]
    if simple:
        i = random.choice(simple)
        lines[i] = re.sub(r"\S.*", "pass", lines[i])
    return "\n".join(lines)


def _comment(random: random.Random, text: str) -> str:
    lines = text.split("\n")
    lines.insert(random.randrange(len(lines)) if random.random() < 0.3 else 0, "# a remark")
    return "\n".join(lines)


def _duplicate(random: random.Random, text: str) -> str:
    found = re.findall(r"(?m)^(?:@.*\n)*def \w+\(.*\n(?:(?: .*)?\n)+", text)
    return text + "\n\n" + random.choice(found) if found else text


EDITS: tuple[Edit, ...] = (
    _swap("with torch.no_grad():", "if True:"),
    _swap("if True:", "with torch.no_grad():"),
    _swap("@torch.no_grad()\n", ""),
    _swap("\ndef ", "\n@torch.no_grad()\ndef "),
    _swap(".eval()", ".train()"),
    _swap(".train()", ".eval()"),
    _swap(".backward()", ".item()"),
    _swap("torch.set_grad_enabled(False)", "torch.set_grad_enabled(True)"),
    _swap("import torch\n", "import torch\n\ntorch.set_grad_enabled(False)\n"),
    _swap("nn.Module", "object"),
    _swap(":\n", ":::\n"),
    _rename,
    _rename,
    _drop_line,
    _comment,
    _duplicate,
)


def mutate(random: random.Random, root: Path) -> None:
    """One edit of one file, or a file more or less."""
    files = sorted(root.rglob("*.py"))
    path = random.choice(files)
    kind = random.random()
    if kind < 0.06 and len(files) > 8:
        path.unlink()
    elif kind < 0.14:
        name = random.choice(("copy.py", path.name, "__init__.py", "validate.py", "model.py"))
        target = random.choice(files).parent / name
        target.write_bytes(path.read_bytes())
    elif kind < 0.2:
        fixture = random.choice(sorted((ROOT / "fixtures" / "project_wide").glob("*.py")))
        shutil.copy(fixture, root / fixture.name)
    else:
        path.write_text(random.choice(EDITS)(random, path.read_text()))
