"""How fast nograd-lint is, in CPU time, against its own parser, other linters and the machine.

    python benchmarks/speed.py [--fetch] [--repeat N] [--write] [ROW ...]

Rows: cold alone peers share limit warm changed memory growth version (default: all but peers, which take long). --fetch
downloads the packages of speed.toml (hashes checked) below benchmarks/data, or $NOGRAD_LINT_BENCHMARK_DATA. --write
puts the figures into speed.json, beside those of the rows that were not run, and makes docs/speed.md of it. Point $TPF
and $TFX at torch-preflight and torchfix. Exits with 1 where a bar is not met.

All times are CPU seconds of a child process, start-up included, and what is compared is measured in turns.
"""

from __future__ import annotations

import argparse
import compileall
import json
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "accuracy"))

import common
import fetch

import nograd_lint

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "speed.json", HERE.parent / "docs" / "speed.md"
LARGE = "transformers"
ADDED = "\n\ndef added(model, x):\n    model.eval()\n    return model(x).argmax(-1).item()\n"
# Another tree than the one that is installed may be measured, by PYTHONPATH.
PACKAGE = Path(nograd_lint.__file__).parent
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
ROWS = ("cold", "alone", "peers", "share", "limit", "warm", "changed", "memory", "growth", "version")
PEERS = ("torch-preflight", "TorchFix")
FOR_PEERS = ("ultralytics", "timm")
TOOL = [sys.executable, "-m", "nograd_lint"]
CHECK = [*TOOL, "check", "--isolated", "--quiet", "--exit-zero", "--jobs", "1"]
PARSE = """
import pathlib, sys
{imports}
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    try:
        {parse}
    except Exception:
        pass
"""
LIBCST = PARSE.format(imports="import libcst", parse="libcst.parse_module(path.read_bytes())")
AST = PARSE.format(imports="import ast", parse="ast.parse(path.read_bytes())")
# Whatever else happens, every file is read and screened, and outlined where the screen lets it through.
LIMIT = PARSE.format(
    imports="from nograd_lint.project.file import SCREEN\nfrom nograd_lint.syntax.outline import outline",
    parse="data = path.read_bytes()\n        if SCREEN.search(data): outline(data)",
)
SHARE = """
import pathlib, sys
from nograd_lint.engine import Engine
from nograd_lint.settings import Settings
root = pathlib.Path(sys.argv[1]).resolve()
engine = Engine(Settings(), root, use_cache=False)
files = sorted(root.rglob("*.py"))
engine.check(files)
worlds = [linter._world for linter in engine._linters.values() if linter._world]
print(sum(world.project.lowered for world in worlds), sum(f.read_bytes().count(b"\\n") for f in files))
"""
IMPORTED = """
import sys
from nograd_lint.cli import main
sys.argv = ["nograd-lint", *sys.argv[1:]]
try:
    main()
finally:
    print(*({"libcst", "tree_sitter", "torch"} & sys.modules.keys()), file=sys.stderr)
"""


@dataclass(frozen=True)
class Usage:
    cpu: float
    peak: float  # MiB
    errors: str


def run(command: Sequence[str], cwd: Path) -> Usage:
    """What one child process, and those that it waits for, took."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if process.returncode not in (0, 1, 2):
        raise SystemExit(f"{' '.join(command[:4])} ...: exit {process.returncode}\n{said[-500:]}")
    return Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said)


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "n": len(values)}


class Benchmark:
    def __init__(self, trees: dict[str, Path], repeat: int) -> None:
        self.trees = trees
        self.repeat = repeat

    def _each(
        self,
        commands: dict[str, Callable[[Path], list[str]]],
        names: Sequence[str],
        trees: Mapping[str, Path] | None = None,
    ) -> dict[str, Any]:
        """CPU seconds of some commands over some packages together, in turns."""
        trees = trees or self.trees
        times: dict[str, list[float]] = {what: [] for what in commands}
        by_package: dict[str, dict[str, list[float]]] = {what: {n: [] for n in names} for what in commands}
        for _ in range(self.repeat):
            for name in names:
                for what, command in commands.items():
                    by_package[what][name].append(run(command(trees[name]), trees[name]).cpu)
            for what, taken in times.items():
                taken.append(sum(by_package[what][name][-1] for name in names))
        ours = times["nograd-lint"]
        return {
            "seconds": {what: spread(taken) for what, taken in times.items()},
            "packages": {w: {n: statistics.median(t) for n, t in each.items()} for w, each in by_package.items()},
            "ratios": {
                what: spread([other / own for own, other in zip(ours, taken, strict=True)])
                for what, taken in times.items()
                if what != "nograd-lint"
            },
        }

    def cold(self) -> dict[str, Any]:
        commands = {
            "nograd-lint": lambda _: [*CHECK, "--no-cache", "."],
            "libcst.parse_module": lambda tree: python(LIBCST, str(tree)),
            "ast.parse": lambda tree: python(AST, str(tree)),
        }
        return self._each(commands, list(self.trees))

    def alone(self) -> dict[str, Any]:
        """The same files without their packages, so that each is a project of its own."""
        commands = {
            "nograd-lint": lambda _: [*CHECK, "--no-cache", "."],
            "libcst.parse_module": lambda tree: python(LIBCST, str(tree)),
        }
        with tempfile.TemporaryDirectory() as temporary:
            loose = {name: _loosened(tree, Path(temporary) / name) for name, tree in self.trees.items()}
            return self._each(commands, list(loose), loose)

    def peers(self) -> dict[str, Any]:
        def files(tree: Path) -> list[str]:
            return [str(path.relative_to(tree)) for path in sorted(tree.rglob("*.py"))]

        found = {tool: common.executable(tool) for tool in PEERS}
        own: dict[str, Callable[[Path], list[str]]] = {"nograd-lint": lambda _: [*CHECK, "--no-cache", "."]}
        if exe := found["torch-preflight"]:
            own["torch-preflight"] = lambda tree, exe=exe: [exe, "check", "-j", "1", *files(tree)]
        if exe := found["TorchFix"]:
            own["TorchFix"] = lambda tree, exe=exe: [exe, "--select", "ALL", *files(tree)]
        result = self._each(own, FOR_PEERS)
        result["versions"] = {tool: common.version(tool) for tool, exe in found.items() if exe}
        return result

    def share(self) -> dict[str, Any]:
        parsed, lines = 0, 0
        for tree in self.trees.values():
            done = subprocess.run(python(SHARE, str(tree)), cwd=tree, capture_output=True, text=True, check=True)
            own, total = map(int, done.stdout.split())
            parsed, lines = parsed + own, lines + total
        return {"parsed": parsed, "lines": lines}

    def limit(self) -> dict[str, Any]:
        commands = {
            "nograd-lint": lambda _: [*CHECK, "--no-cache", "."],
            "limit": lambda tree: python(LIMIT, str(tree)),
        }
        return self._each(commands, [LARGE])

    def warm(self) -> dict[str, Any]:
        with _Copy(self.trees[LARGE]) as tree:
            cold, warm = [], []
            for _ in range(self.repeat):
                cold.append(run([*CHECK, "--no-cache", "."], tree).cpu)
                run([*CHECK, "."], tree)
                warm.append(run([*CHECK, "."], tree).cpu)
            imported = run(python(IMPORTED, *CHECK[3:], "."), tree).errors.split()
            cache = sum(p.stat().st_size for p in (tree / ".nograd_lint_cache").rglob("*")) / 2**20
        shares = [w / c for w, c in zip(warm, cold, strict=True)]
        return {
            "cold": spread(cold),
            "warm": spread(warm),
            "share": spread(shares),
            "imported": imported,
            "cache": cache,
        }

    def changed(self) -> dict[str, Any]:
        with _Copy(self.trees[LARGE]) as tree:
            run([*CHECK, "."], tree)
            choose = random.Random(0)
            files = [p for p in sorted(tree.rglob("modeling_*.py")) if b"no_grad" in p.read_bytes()]
            ours, bare, whole = [], [], []
            for path in choose.sample(files, 5 * self.repeat):
                _append(path, ADDED)
                ours.append(run([*CHECK, str(path.relative_to(tree))], tree).cpu)
                bare.append(run(python("import libcst"), tree).cpu)
            # Not only the file itself is judged again here, but whatever rests on it.
            run([*CHECK, "."], tree)
            for path in choose.sample(files, self.repeat):
                _append(path, ADDED.replace("added", "more"))
                whole.append(run([*CHECK, "."], tree).cpu - run(python("import libcst"), tree).cpu)
        over = [own - other for own, other in zip(ours, bare, strict=True)]
        return {
            "nograd-lint": spread(ours),
            "import libcst": spread(bare),
            "over": spread(over),
            "whole": spread(whole),
        }

    def memory(self) -> dict[str, Any]:
        tree = self.trees[LARGE]
        return {"peak": spread([run([*CHECK, "--no-cache", "."], tree).peak for _ in range(self.repeat)])}

    def growth(self) -> dict[str, Any]:
        """Projects of whole folders of the packages, chosen by chance, of 10⁴ to 10⁶ lines."""
        folders: dict[Path, int] = {}
        for tree in self.trees.values():
            for path in tree.rglob("*.py"):
                folders[path.parent] = folders.get(path.parent, 0) + path.read_bytes().count(b"\n")
        points = []
        for exponent in (4, 4.5, 5, 5.5, 6):
            wanted = 10**exponent
            choose = random.Random(exponent)
            order = choose.sample(sorted(folders), len(folders))
            lines = 0
            with tempfile.TemporaryDirectory() as temporary:
                root = Path(temporary)
                (root / "pyproject.toml").write_text("")
                for folder in order:
                    if lines + folders[folder] > 1.1 * wanted:
                        continue
                    lines += folders[folder]
                    target = root / folder.relative_to(self._base(folder))
                    target.mkdir(parents=True, exist_ok=True)
                    for path in folder.glob("*.py"):
                        shutil.copy(path, target)
                    if lines >= wanted:
                        break
                times = [run([*CHECK, "--no-cache", "."], root).cpu for _ in range(self.repeat)]
            points.append({"lines": lines, "seconds": spread(times)})
        logs = [(math.log(p["lines"]), math.log(p["seconds"]["median"])) for p in points]
        slope = statistics.linear_regression([x for x, _ in logs], [y for _, y in logs]).slope
        return {"points": points, "exponent": slope}

    def _base(self, folder: Path) -> Path:
        return next(tree for tree in self.trees.values() if folder.is_relative_to(tree))

    def version(self) -> dict[str, Any]:
        here = Path.cwd()
        ours, bare = [], []
        for _ in range(max(11, self.repeat)):
            ours.append(run([*TOOL, "--version"], here).cpu)
            bare.append(run(python("pass"), here).cpu)
        return {"nograd-lint": spread(ours), "pass": spread(bare)}


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def _loosened(tree: Path, target: Path) -> Path:
    """The files of a package in folders that are no packages."""
    for path in tree.rglob("*.py"):
        copy = target / path.relative_to(tree)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy.with_name("package.py") if copy.name == "__init__.py" else copy)
    return target


class _Copy:
    """A package in a folder of its own, which a cache can be written to."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._temporary = tempfile.TemporaryDirectory()

    def __enter__(self) -> Path:
        root = Path(self._temporary.name) / "project"
        shutil.copytree(self._tree, root, ignore=shutil.ignore_patterns(".nograd_lint_cache"))
        (root / "pyproject.toml").touch()
        past = 1_700_000_000  # long enough ago that times of change can be trusted
        for path in root.rglob("*.py"):
            os.utime(path, (past, past))
        return root

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()


# --- bars and page ----------------------------------------------------------------------------------------------------


def _times(figure: dict[str, float], unit: str = "") -> str:
    if figure["n"] == 1:
        return f"{figure['median']:.2f}{unit}"
    return f"{figure['median']:.2f}{unit} ({figure['low']:.2f}–{figure['high']:.2f}, n = {figure['n']})"


def rows(results: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What, figure, bar, and whether it is met."""
    found: list[tuple[str, str, str, bool]] = []
    if cold := results.get("cold"):
        ratio = cold["ratios"]["libcst.parse_module"]
        what = "cold, five packages, against `libcst.parse_module` alone over the same files"
        found.append((what, f"{_times(ratio)} times faster", "2.5 times, goal 3.5", ratio["median"] >= 2.5))
        ratio = cold["ratios"]["ast.parse"]
        found.append(("the same against `ast.parse` alone", f"{_times(ratio)} times", "none", True))
    if alone := results.get("alone"):
        ratio = alone["ratios"]["libcst.parse_module"]
        what = "the same without projects, each file on its own"
        found.append((what, f"{_times(ratio)} times faster", "3 times, goal 4", ratio["median"] >= 3))
    for tool, ratio in results.get("peers", {}).get("ratios", {}).items():
        what = f"cold, ultralytics and timm, against {tool} {results['peers']['versions'][tool]}"
        found.append((what, f"{_times(ratio)} times faster", "30 times", ratio["median"] >= 30))
    if share := results.get("share"):
        part = share["parsed"] / share["lines"]
        found.append(("lines that libcst parses", f"{100 * part:.2f} %", "5 %", part <= 0.05))
    if limit := results.get("limit"):
        ratio = limit["ratios"]["limit"]
        what = f"reading, screening and outlining every file of {LARGE}, of the whole time"
        found.append((what, f"{100 * ratio['median']:.0f} %", "none", True))
    if warm := results.get("warm"):
        share = warm["share"]
        met = share["median"] <= 0.05 and not warm["imported"]
        imported = ", ".join(warm["imported"]) or "nothing"
        figure = (
            f"{100 * share['median']:.1f} % of cold: {_times(warm['warm'], ' s')}; of libcst, tree-sitter and torch "
        )
        found.append((f"warm, nothing changed, {LARGE}", f"{figure}it imports {imported}", "5 %, nothing", met))
    if changed := results.get("changed"):
        over = changed["over"]
        figure = f"`import libcst` + {_times(over, ' s')}"
        found.append((f"one changed file, warm, {LARGE}", figure, "`import libcst` + 0.35 s", over["median"] <= 0.35))
        figure = f"`import libcst` + {_times(changed['whole'], ' s')}"
        found.append(("the same with the whole directory named", figure, "none", True))
    if memory := results.get("memory"):
        peak = memory["peak"]["median"]
        found.append((f"peak memory, cold, {LARGE}", f"{peak:.0f} MiB", "400 MiB", peak <= 400))
    if growth := results.get("growth"):
        slope = growth["exponent"]
        found.append(("growth from 10⁴ to 10⁶ lines", f"exponent {slope:.2f}", "1.1", slope <= 1.1))
    if version := results.get("version"):
        ours, bare = version["nograd-lint"]["median"], version["pass"]["median"]
        figure = f"{1000 * ours:.0f} ms (`python -c pass`: {1000 * bare:.0f} ms)"
        bar = "1.5 times `python -c pass` + 60 ms"
        found.append(("`nograd-lint --version`", figure, bar, ours <= 1.5 * bare + 0.06))
    return found


def page(document: dict[str, Any]) -> str:
    lines = [
        "# Speed",
        "",
        "CPU time of one process with one job, start-up included; what is compared was run in turns on one machine.",
        "Medians, in brackets the lowest and the highest figure. The packages are "
        + ", ".join(f"{name} {version}" for name, version in document["packages"].items())
        + ".",
        "",
        "| what | figure | bar | met |",
        "|---|---|---|---|",
    ]
    for what, figure, bar, met in rows(document["rows"]):
        lines.append(f"| {what} | {figure} | {bar} | {'yes' if met else 'no'} |")
    if cold := document["rows"].get("cold"):
        names = list(document["packages"])
        lines += [
            "",
            "Cold, by package (CPU seconds):",
            "",
            f"| | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
        ]
        for what, each in cold["packages"].items():
            lines.append(f"| {what} | {' | '.join(f'{each[name]:.1f}' for name in names)} |")
    lines += [
        "",
        f"Measured with Python {document['python']} and libcst {document['libcst']}, {document['machine']}.",
        "",
        "To repeat it:",
        "",
        "```console",
        f"$ python benchmarks/speed.py --fetch --repeat 3 --write {' '.join(ROWS)}",
        "```",
        "",
        "flake8's and the editor's figures come from `python benchmarks/flake8.py PROJECT` and",
        "`python benchmarks/editor.py PROJECT FILE`.",
        "",
    ]
    return "\n".join(lines)


def _tool() -> dict[Path, int]:
    """Changes with the code that is measured."""
    return {path: path.stat().st_mtime_ns for path in PACKAGE.rglob("*") if path.suffix in (".py", ".toml")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*ROWS, []])
    parser.add_argument("--fetch", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    packages = common.packages(HERE / "speed.toml")
    if arguments.fetch:
        fetch.get(packages)
    compileall.compile_dir(PACKAGE, quiet=2)  # as an installation does
    tool = _tool()
    benchmark = Benchmark({p.name: common.tree(p.key) for p in packages}, arguments.repeat)
    measured: dict[str, Any] = {}
    for name in arguments.rows or [name for name in ROWS if name != "peers"]:
        measured[name] = getattr(benchmark, name)()
        for what, figure, bar, met in rows({name: measured[name]}):
            if _tool() != tool:
                raise SystemExit("nograd-lint changed while it was measured: nothing that was kept could be used")
            print(f"{'ok  ' if met else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if arguments.write:
        from importlib.metadata import version

        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": {}}
        known = {**before["rows"], **measured}
        document = {
            "packages": {p.name: p.version for p in packages},
            "python": platform.python_version(),
            "libcst": version("libcst"),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
            "rows": {name: known[name] for name in ROWS if name in known},
        }
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(document), encoding="utf-8")
    return int(any(not met for *_, met in rows(measured)))


if __name__ == "__main__":
    raise SystemExit(main())
