"""Nothing crashes, however odd the code; and broken code hides no more than what is broken.

    python benchmarks/robustness.py [--only lib generated mutations survival] [--count 500] [--packages FOLDER]

- ``lib``: CPython's own tests (those of the interpreter that runs this), deliberately bad files among them.
- ``generated``: programs by hypothesmith, their statements spliced into an evaluation and a training function.
- ``mutations``: files of the packages below FOLDER (see ``accuracy/fetch.py``), one token changed in each.
- ``survival``: after such a mutation, which share of the diagnostics in the other functions is still there.

In the first three the screens are off: every unit of every file is parsed and judged by every rule.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import textwrap
import time
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from unittest import mock

from nograd_lint.analysis import candidates
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence, Diagnostic, FileResult
from nograd_lint.engine import Engine
from nograd_lint.project.file import MODULE, File
from nograd_lint.project.summaries import World
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Selection, Settings
from nograd_lint.source.files import load
from nograd_lint.syntax.lower import UnparsableError, lower, spans
from nograd_lint.syntax.outline import module_text, outline, unit_text
from nograd_lint.syntax.quick import quick

DATA = Path(os.environ.get("NOGRAD_LINT_BENCHMARK_DATA") or Path(__file__).resolve().parent / "data")
SPLICED = """\
import torch
from torch import nn


def evaluate(model: nn.Module, test_loader, optimizer=None):
    model.eval()
    outputs = []
    for batch, target in test_loader:
        output = model(batch)
{statements}
        outputs.append(output.argmax(dim=1).tolist())
    return outputs


def train(model: nn.Module, train_loader, optimizer):
    model.train()
    for batch, target in train_loader:
        optimizer.zero_grad()
        with torch.no_grad():
            teacher = model(batch)
{statements}
        loss = model(batch).sum()
        loss.backward()
        optimizer.step()
    evaluate(model, train_loader)
"""


@dataclass
class Tally:
    """What a run over many files came to."""

    files: int = 0
    units: int = 0
    unparsable: int = 0
    diagnostics: int = 0
    crashes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)  # Python's parser and libcst see different facts

    def __str__(self) -> str:
        return (
            f"{self.files} files, {self.units} units, {self.unparsable} files with NGL902, "
            f"{self.diagnostics} diagnostics, {len(self.crashes)} crashes, "
            f"{len(self.differences)} units in which the two parsers differ"
        )


# --- linting without screens ------------------------------------------------------------------------------------------


def every_unit(_: World, file: File) -> list[str]:
    return [*file.units, MODULE]


@contextmanager
def unscreened() -> Iterator[None]:
    """Every file and every unit is a candidate."""
    with mock.patch.object(candidates, "candidates", every_unit), mock.patch.object(File, "screened_out", False):
        yield


def lint(paths: Sequence[Path], root: Path, contents: Mapping[Path, bytes] | None = None) -> list[FileResult]:
    """All rules at all confidences."""
    rules = {code: (rule.name, rule.default) for code, rule in all_rules().items()}
    resolver = Resolver(
        rules,
        isolated=True,
        overrides={"min_confidence": Confidence.LOW},
        selection=Selection(select=("ALL",)),
    )
    return Engine(Settings(), root, resolver=resolver, use_cache=False).check(paths, contents=contents)


def stress(paths: Sequence[Path], root: Path, contents: Mapping[Path, bytes] | None = None) -> Tally:
    """Lint files with the screens off, and compute the spans of all of their units."""
    tally = Tally(len(paths))
    try:
        with unscreened():
            results = lint(paths, root, contents)
    except Exception as error:
        tally.crashes.append(f"{paths[0].name}: {type(error).__name__}: {error}")
        return tally
    for path, result in zip(paths, results, strict=True):
        codes = {d.code for d in result.diagnostics}
        tally.unparsable += "NGL902" in codes
        tally.diagnostics += len(result.diagnostics)
        tally.crashes += [f"{path.name}: {p.message}" for p in result.problems if p.internal]
        source = load(path, path.name, (contents or {}).get(path))
        if not hasattr(source, "analysis"):
            continue  # a problem that the results name
        for text in _texts(source.analysis):
            tally.units += 1
            try:
                if not _agree(text):
                    tally.differences.append(f"{path.name}: the parsers differ: {text[:60]!r}")
            except Exception as error:
                tally.crashes.append(f"{path.name}: positions: {type(error).__name__}: {error}: {text[:60]!r}")
    return tally


def _texts(data: bytes) -> Iterator[str]:
    found = outline(data)
    yield module_text(data, found)
    yield from (unit_text(data, d) for d in found.definitions if d.kind == "function")


def _agree(text: str) -> bool:
    """Whether the two parsers see the same facts where both see any; places have to lie inside the text."""
    fast = quick(text)
    try:
        judged = lower(text)
    except UnparsableError:
        return True
    last = text.count("\n") + 1
    assert all(1 <= span.start.row <= span.end.row <= last for span in spans(text)), "places outside the text"
    return fast is None or fast == judged


# --- CPython's tests --------------------------------------------------------------------------------------------------


def library_tests() -> tuple[Path, list[Path]]:
    """The folder of CPython's tests and the Python files in it."""
    import test  # type: ignore[import-not-found, unused-ignore]

    (folder,) = (Path(p) for p in list(test.__path__)[:1])
    return folder, sorted(folder.rglob("*.py"))


# --- generated programs -----------------------------------------------------------------------------------------------


def splice(program: str) -> str:
    """The statements of a program inside an evaluation and a training function."""
    return SPLICED.format(statements=textwrap.indent(program, " " * 8).rstrip() or "        pass")


def generated(count: int, use: Callable[[str], None]) -> None:
    """Call ``use`` with programs by hypothesmith: half of them from the grammar, half from libcst's nodes."""
    import hypothesis
    import hypothesmith

    def run(strategy: hypothesis.strategies.SearchStrategy[str], number: int) -> None:
        @hypothesis.settings(
            max_examples=number,
            database=None,
            derandomize=True,
            deadline=None,
            phases=(hypothesis.Phase.generate,),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(strategy)
        def each(program: str) -> None:
            use(program)

        each()

    run(hypothesmith.from_node(), count - count // 2)
    run(hypothesmith.from_grammar(), count // 2)


# --- mutations --------------------------------------------------------------------------------------------------------

_OTHERS = ("(", ")", "[", "]", "{", "}", ":", ",", ".", "=", "if", "def", "class", "return", "@", '"', "0", "x", "in")

_CHANGED = (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)


def _is_block(text: str) -> bool:
    return text.lstrip("rbufRBUF").startswith(('"""', "'''"))


def mutate(data: bytes, draw: random.Random) -> tuple[bytes, int] | None:
    """Delete, double or replace one token; the result and the row (from 1) of the token. None: no token to change."""
    try:
        tokens = [
            t for t in tokenize.tokenize(BytesIO(data).readline) if t.type in _CHANGED and not _is_block(t.string)
        ]
    except (tokenize.TokenError, SyntaxError):
        return None
    if not tokens:
        return None
    token = draw.choice(tokens)
    text = draw.choice(("", f"{token.string} {token.string}", draw.choice(_OTHERS)))
    lines = data.decode().splitlines(keepends=True)
    (row, start), (last, end) = token.start, token.end
    lines[row - 1 : last] = [lines[row - 1][:start] + text + lines[last - 1][end:]]
    return "".join(lines).encode(), row


def package_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.py") if b"torch" in p.read_bytes())


@dataclass
class Survival:
    """Diagnostics in functions that a mutation did not touch."""

    mutations: int = 0
    broken: int = 0  # mutations after which the file is no Python any more
    before: int = 0
    after: int = 0
    before_broken: int = 0
    after_broken: int = 0
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        def share(part: int, whole: int) -> str:
            return f"{part} of {whole} ({part / whole:.1%})" if whole else "none"

        return (
            f"{self.mutations} mutations: {share(self.after, self.before)} of the diagnostics in other functions "
            f"survive; where the file is no Python any more ({self.broken} mutations): "
            f"{share(self.after_broken, self.before_broken)}"
        )


def survival(path: Path, data: bytes, mutants: Sequence[tuple[bytes, int]], tally: Survival) -> None:
    """Compare the diagnostics of a file, alone, before and after each mutation."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder).resolve() / path.name
        found = _outside(lint([file], file.parent, {file: data})[0].diagnostics)
        functions = [d for d in outline(data).definitions if d.kind == "function"]
        for text, row in mutants:
            touched = [
                d.qualname for d in functions if d.row < row <= d.row + data.count(b"\n", d.start, d.end) + 1
            ] or [MODULE]
            wanted = [d for d in found if d[1] not in touched and not d[1].startswith(f"{touched[0]}.")]
            now = _outside(lint([file], file.parent, {file: text})[0].diagnostics)
            kept = 0
            for diagnostic in wanted:
                if diagnostic in now:
                    now.remove(diagnostic)
                    kept += 1
                else:
                    tally.lost.append(f"{path.name}:{row} {diagnostic[0]} in {diagnostic[1]}")
            tally.mutations += 1
            tally.before += len(wanted)
            tally.after += kept
            if not _is_python(text):
                tally.broken += 1
                tally.before_broken += len(wanted)
                tally.after_broken += kept


def _outside(diagnostics: Sequence[Diagnostic]) -> list[tuple[str, str]]:
    return sorted((d.code, d.function) for d in diagnostics if not d.code.startswith("NGL9"))


def _is_python(data: bytes) -> bool:
    try:
        compile(data, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


# --- the runs ---------------------------------------------------------------------------------------------------------


def run_lib(_: argparse.Namespace) -> Tally:
    folder, files = library_tests()
    return stress(files, folder.parent)


def run_generated(arguments: argparse.Namespace) -> Tally:
    total = Tally()
    path = Path(tempfile.gettempdir()).resolve() / "generated.py"

    def use(program: str) -> None:
        one = stress([path], path.parent, {path: splice(program).encode("utf-8", "surrogatepass")})
        _add(total, one)

    generated(arguments.count, use)
    return total


def run_mutations(arguments: argparse.Namespace) -> Tally:
    draw = random.Random(arguments.seed)
    files = package_files(arguments.packages)
    total = Tally()
    with tempfile.TemporaryDirectory() as folder:
        while total.files < arguments.count:
            chosen = draw.choice(files)
            mutant = mutate(chosen.read_bytes(), draw)
            if mutant is not None:
                path = Path(folder).resolve() / chosen.name
                _add(total, stress([path], path.parent, {path: mutant[0]}))
    return total


def run_survival(arguments: argparse.Namespace) -> Survival:
    """As many mutations of each file that has diagnostics in two functions or more, ``--count`` in all or so."""
    draw = random.Random(arguments.seed)
    files = package_files(arguments.packages)
    results = lint(files, arguments.packages)
    chosen = [f for f, r in zip(files, results, strict=True) if len({d[1] for d in _outside(r.diagnostics)}) > 1]
    tally = Survival()
    each = max(1, -(-arguments.count // max(1, len(chosen))))
    for path in chosen:
        data = path.read_bytes()
        mutants = [m for _ in range(each) if (m := mutate(data, draw)) is not None]
        survival(path, data, mutants, tally)
    return tally


def _add(total: Tally, one: Tally) -> None:
    total.files += one.files
    total.units += one.units
    total.unparsable += one.unparsable
    total.diagnostics += one.diagnostics
    total.crashes += one.crashes
    total.differences += one.differences


RUNS: Mapping[str, Callable[[argparse.Namespace], Tally | Survival]] = {
    "lib": run_lib,
    "generated": run_generated,
    "mutations": run_mutations,
    "survival": run_survival,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packages", type=Path, default=DATA / "trees")
    parser.add_argument("--verbose", action="store_true", help="also list the diagnostics that did not survive")
    arguments = parser.parse_args()
    failed = False
    for name in arguments.only:
        started = time.perf_counter()
        outcome = RUNS[name](arguments)
        print(f"{name}: {outcome} ({time.perf_counter() - started:.0f} s)", flush=True)
        if isinstance(outcome, Tally):
            lines = [*outcome.crashes, *outcome.differences]
            failed |= bool(lines)
        else:
            lines = outcome.lost if arguments.verbose else []
        for line in lines:
            print(f"  {line}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
