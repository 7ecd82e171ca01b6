"""What is reported for a file depends neither on the files named beside it, nor on their order, nor on the processes.

    python benchmarks/consistency.py PROJECT ... [--files N] [--alone N] [--seed S]

For each project (a folder): N files chosen by chance are linted together, backwards, by two processes, in halves with a
cache, and some of them alone, and have to give what a run over everything gives; and what is reported by default has to
be what is reported at every confidence, less what is of low confidence. Exits with 1 where one does not.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from pathlib import Path

from nograd_lint import parallel
from nograd_lint.config import Resolver
from nograd_lint.diagnostics import Confidence, FileResult
from nograd_lint.engine import Engine
from nograd_lint.rules.registry import all_rules
from nograd_lint.settings import Settings
from nograd_lint.source.discovery import discover


def lint(root: Path, files: list[Path], *, jobs: int = 1, low: bool = True, cache: bool = False) -> list[FileResult]:
    """By an engine that knows of nothing but a cache, where it has one."""
    overrides: dict[str, object] = {"min_confidence": Confidence.LOW} if low else {}
    resolver = Resolver({code: (rule.name, rule.default) for code, rule in all_rules().items()}, overrides=overrides)
    return Engine(Settings(), root, resolver=resolver, use_cache=cache).check(files, jobs=jobs)


def differences(root: Path, count: int, alone: int, choose: random.Random) -> list[str]:
    everything = discover([root], Settings(), root).files
    expected = dict(zip(everything, lint(root, everything), strict=True))
    with_something = [path for path, result in expected.items() if result.diagnostics]
    some = choose.sample(with_something, min(count // 2, len(with_something)))
    rest = [path for path in everything if path not in some]
    files = choose.sample(some + choose.sample(rest, min(count - len(some), len(rest))), k=min(count, len(everything)))
    found: list[str] = []

    def compare(how: str, paths: list[Path], results: list[FileResult]) -> None:
        found.extend(f"{how}: {p}" for p, r in zip(paths, results, strict=True) if r != expected[p])

    compare("together", files, lint(root, files))
    compare("backwards", files[::-1], lint(root, files[::-1]))
    compare("by two processes", files, lint(root, files, jobs=2))
    half = len(files) // 2
    for part in (files[:half], files[half:], files):
        compare("with a cache", part, lint(root, part, cache=True))
    for path in choose.sample(files, min(alone, len(files))):
        compare("alone", [path], lint(root, [path]))
    for path, result in zip(everything, lint(root, everything, low=False), strict=True):
        kept = tuple(d for d in expected[path].diagnostics if d.confidence is not Confidence.LOW)
        if result.diagnostics != kept:
            found.append(f"by default: {path}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("projects", nargs="+", type=Path, metavar="PROJECT")
    parser.add_argument("--files", type=int, default=50)
    parser.add_argument("--alone", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    parallel._WORTH_IT = 1  # however little there is to do
    bad = 0
    for project in arguments.projects:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary).resolve() / "project"
            shutil.copytree(project, root, ignore=shutil.ignore_patterns(".nograd_lint_cache"))
            (root / "pyproject.toml").touch()
            found = differences(root, arguments.files, arguments.alone, random.Random(arguments.seed))
        print(f"{project.name}: {len(found)} differences over {arguments.files} files", *found, sep="\n  ", flush=True)
        bad += len(found)
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
