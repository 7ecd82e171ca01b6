"""Baselines: the diagnostics that a team knows of and lives with for now; only new ones are reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from nograd_lint.diagnostics import Diagnostic, FileResult, Suppressed
from nograd_lint.source.files import os_reason
from nograd_lint.source.write import write_atomically

VERSION = 1


class BaselineError(Exception):
    """A baseline that cannot be used; ``str()`` is one line naming the file and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.as_posix()}: {reason}")


class Entry(msgspec.Struct, frozen=True, order=True):
    """A known diagnostic; all but the fingerprint is for people to read."""

    filename: str
    function: str
    code: str
    fingerprint: str
    message: str = ""


class Baseline(msgspec.Struct, frozen=True):
    version: int = VERSION
    diagnostics: tuple[Entry, ...] = ()


def read(path: Path) -> Baseline:
    """The baseline in a file."""
    try:
        baseline = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except OSError as error:
        raise BaselineError(path, os_reason(error)) from None
    except msgspec.ValidationError as error:
        raise BaselineError(path, f"not a baseline: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BaselineError(path, f"not valid JSON: {error}") from None
    if baseline.version != VERSION:
        raise BaselineError(path, f"version {baseline.version} is not known; write it again with `baseline write`")
    return baseline


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline, sorted and one entry a line, so that changes to it can be reviewed."""
    lines = [msgspec.json.encode(entry).decode() for entry in sorted(baseline.diagnostics)]
    listed = "[\n    " + ",\n    ".join(lines) + "\n  ]" if lines else "[]"
    text = f'{{\n  "version": {baseline.version},\n  "diagnostics": {listed}\n}}\n'
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise BaselineError(path, os_reason(error)) from None


def build(results: Iterable[FileResult]) -> Baseline:
    """A baseline of everything that is reported, and of what an earlier baseline kept from being reported."""
    entries = []
    for result in results:
        known = [item.diagnostic for item in result.suppressed if item.by == "baseline"]
        entries += [_entry(diagnostic) for diagnostic in (*result.diagnostics, *known)]
    return Baseline(diagnostics=tuple(sorted(entries)))


def _entry(diagnostic: Diagnostic) -> Entry:
    return Entry(diagnostic.filename, diagnostic.function, diagnostic.code, diagnostic.fingerprint, diagnostic.message)


def apply(baseline: Baseline, results: Sequence[FileResult]) -> list[FileResult]:
    """The results with what the baseline knows moved to what is suppressed."""
    known: dict[str, set[str]] = {}
    for entry in baseline.diagnostics:
        known.setdefault(entry.filename, set()).add(entry.fingerprint)
    return [_applied(known.get(result.filename, ()), result) for result in results]


def _applied(known: Collection[str], result: FileResult) -> FileResult:
    new = tuple(diagnostic for diagnostic in result.diagnostics if diagnostic.fingerprint not in known)
    if len(new) == len(result.diagnostics):
        return result
    old = tuple(Suppressed(d, "baseline") for d in result.diagnostics if d.fingerprint in known)
    return msgspec.structs.replace(result, diagnostics=new, suppressed=(*result.suppressed, *old))


def prune(baseline: Baseline, results: Iterable[FileResult], root: Path) -> tuple[Baseline, tuple[Entry, ...]]:
    """The baseline without the entries that no longer occur, and those.

    Gone is what no longer occurs in a file that was linted, and what lies in a file that is no longer there.
    """
    linted: dict[str, set[str]] = {}
    for result in results:
        if result.problems:  # it says nothing about what is in the file
            continue
        found = (*result.diagnostics, *(item.diagnostic for item in result.suppressed))
        linted[result.filename] = {diagnostic.fingerprint for diagnostic in found}
    kept: list[Entry] = []
    gone: list[Entry] = []
    for entry in baseline.diagnostics:
        if entry.filename in linted:
            there = entry.fingerprint in linted[entry.filename]
        else:
            there = (root / entry.filename).is_file()
        (kept if there else gone).append(entry)
    return Baseline(diagnostics=tuple(kept)), tuple(gone)


class Summary(msgspec.Struct, frozen=True):
    """What is in a baseline: how many of each rule and in each file, the most first."""

    total: int
    by_code: tuple[tuple[str, int], ...]
    by_file: tuple[tuple[str, int], ...]


def show(baseline: Baseline) -> Summary:
    """A baseline in figures."""
    codes = Counter(entry.code for entry in baseline.diagnostics)
    files = Counter(entry.filename for entry in baseline.diagnostics)
    ranked = [tuple(sorted(count.items(), key=lambda item: (-item[1], item[0]))) for count in (codes, files)]
    return Summary(len(baseline.diagnostics), *ranked)
