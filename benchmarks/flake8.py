"""flake8 with the plugin against flake8 without it, in CPU time, on a project that uses torch.

    python benchmarks/flake8.py PROJECT [--repeat N]

The bars are 1.3 times without a cache and 1.1 with a warm one; exits with 1 where one is not met.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

COLD, WARM = 1.3, 1.1


def cpu(project: Path, *options: str) -> float:
    """CPU seconds of one run of flake8 with one job, start-up included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "flake8", "--isolated", "--jobs=1", "--exit-zero", "-qq", *options, "."],
        cwd=project, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    assert done.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def without_plugin(project: Path) -> float:
    """The same with the entry point out of sight: flake8 can't be told to leave one plugin out."""
    script = (
        "import importlib.metadata as m, runpy, sys\n"
        "found = m.distributions\n"
        "m.distributions = lambda **k: (d for d in found(**k) if d.metadata['name'] != 'nograd-lint')\n"
        "sys.argv[0] = 'flake8'\n"
        "runpy.run_module('flake8', run_name='__main__')\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", script, "--isolated", "--jobs=1", "--exit-zero", "-qq", "."],
        cwd=project, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    project: Path = arguments.project.resolve()
    plain, cold, warm = [], [], []
    for _ in range(arguments.repeat):
        plain.append(without_plugin(project))
        cold.append(cpu(project, "--nograd-no-cache"))
        shutil.rmtree(project / ".nograd_lint_cache", ignore_errors=True)
        cpu(project)
        warm.append(cpu(project))
    base = statistics.median(plain)
    ratios = {"cold": (statistics.median(cold) / base, COLD), "warm": (statistics.median(warm) / base, WARM)}
    print(f"flake8 alone: {base:.2f} s CPU")
    for name, (ratio, bar) in ratios.items():
        print(f"{name}: {ratio:.2f} times (bar {bar})")
    return int(any(ratio > bar for ratio, bar in ratios.values()))


if __name__ == "__main__":
    raise SystemExit(main())
