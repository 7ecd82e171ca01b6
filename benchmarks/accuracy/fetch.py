#!/usr/bin/env python3
"""Download the packages of packages.toml, check their hashes, and unpack their Python files.

usage: fetch.py [NAME ...]

Everything lands below benchmarks/data (or $NOGRAD_LINT_BENCHMARK_DATA), which is never committed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from common import DATA, TREES, Package, packages

WHEELS = DATA / "wheels"
# old releases say which Python they were made for; their sources are read, never installed or run
PLATFORM = ["--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.9"]


def intact(package: Package) -> bool:
    wheel = WHEELS / package.file
    return wheel.is_file() and hashlib.sha256(wheel.read_bytes()).hexdigest() == package.sha256


def rounds(wanted: list[Package]) -> Iterator[list[Package]]:
    """Each package in one version only: pip takes no two of one name at a time."""
    while wanted:
        chosen = list({p.name: p for p in reversed(wanted)}.values())
        yield chosen
        wanted = [p for p in wanted if p not in chosen]


def download(wanted: list[Package]) -> None:
    WHEELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        lines = [f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in wanted]
        requirements.write_text("".join(lines), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        where = ["--only-binary", ":all:", *PLATFORM, "--dest", str(WHEELS), "--requirement", str(requirements)]
        subprocess.run([*pip, *where], check=True)


def unpack(package: Package) -> None:
    root = TREES / package.key
    done = root / ".unpacked"
    if done.exists() and done.read_text(encoding="utf-8") == package.sha256:
        return
    shutil.rmtree(root, ignore_errors=True)
    with zipfile.ZipFile(WHEELS / package.file) as wheel:
        wheel.extractall(root, members=[m for m in wheel.infolist() if m.filename.endswith(".py")])
    done.write_text(package.sha256, encoding="utf-8")


def get(chosen: list[Package]) -> None:
    for some in rounds([p for p in chosen if not intact(p)]):
        download(some)
    for package in chosen:
        if not intact(package):
            raise SystemExit(f"{package.file}: the hash differs")
        unpack(package)
    print(f"{len(chosen)} packages below {TREES}")


if __name__ == "__main__":
    get([p for p in packages() if p.name in sys.argv[1:] or not sys.argv[1:]])
