"""Applying fixes: what may be applied, in rounds, each proved before it counts; files are written at the very end.

A round makes all fixes that don't touch each other, parses the result and lints it again. Fixes that leave their own
diagnostic, add another, or break the file are found by halving, undone, and reported.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nograd_lint.diagnostics import (
    Applicability,
    Diagnostic,
    Edit,
    FileResult,
    Fix,
    Position,
    Problem,
)

if TYPE_CHECKING:
    from nograd_lint.engine import Engine
    from nograd_lint.source.files import SourceFile

_ROUNDS = 10


class Reverted(msgspec.Struct, frozen=True):
    """A diagnostic whose fix was undone, and what it would have done; rows in the reason are those of the result."""

    diagnostic: Diagnostic
    reason: str


class FixedFile(msgspec.Struct, frozen=True):
    """A file before and after; ``fixed`` are the diagnostics that are gone, placed as in the file before."""

    path: Path
    filename: str
    before: bytes
    after: bytes
    fixed: tuple[Diagnostic, ...]


class FixReport(msgspec.Struct, frozen=True):
    """What applying fixes came to; ``results`` are those of the files as they are now."""

    results: tuple[FileResult, ...]
    files: tuple[FixedFile, ...] = ()
    reverted: tuple[Reverted, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def count(self) -> int:
        return sum(len(file.fixed) for file in self.files)


def apply_fixes(
    engine: Engine,
    results: Sequence[FileResult],
    *,
    unsafe: bool = False,
    contents: Mapping[Path, bytes] | None = None,
    write: bool = True,
    jobs: int = 1,
) -> FixReport:
    """Apply the fixes of diagnostics.

    Args:
        engine: what found the diagnostics; it judges the result, too.
        results: what it found.
        unsafe: apply unsafe fixes as well.
        contents: what stands for files on disk (stdin, an editor's buffers); such files are not written.
        write: replace the files on disk; else only say what would be done.
        jobs: worker processes of the engine.
    """
    fixer = _Fixer(engine, results, unsafe=unsafe, contents=dict(contents or {}), jobs=jobs)
    fixer.run()
    problems = fixer.write() if write else ()
    return fixer.report(problems)


class _Candidate(NamedTuple):
    path: Path
    diagnostic: Diagnostic
    fix: Fix


class _Outcome(NamedTuple):
    """What a trial came to: new bytes and diagnostics, and why the fixes of some files are no good.

    The path None stands for all files of the trial, where nobody can tell which; ``doubtful`` are files whose trouble
    may come from another.
    """

    contents: dict[Path, bytes]
    results: list[FileResult]
    bad: dict[Path | None, str]
    doubtful: frozenset[Path] = frozenset()


# Rows move and fingerprints follow the code, but a fix leaves a function what it is.
_Key = tuple[str, str, str]


def _key(diagnostic: Diagnostic) -> _Key:
    return diagnostic.filename, diagnostic.code, diagnostic.function


def _id(diagnostic: Diagnostic) -> _Key:
    return diagnostic.filename, diagnostic.code, diagnostic.fingerprint


class _Fixer:
    def __init__(
        self,
        engine: Engine,
        results: Sequence[FileResult],
        *,
        unsafe: bool,
        contents: dict[Path, bytes],
        jobs: int,
    ) -> None:
        self.engine = engine
        self.jobs = jobs
        self.allowed = {Applicability.SAFE, Applicability.UNSAFE} if unsafe else {Applicability.SAFE}
        self.given = frozenset(contents)
        self.contents = contents
        self.paths = [Path(os.path.normpath(engine.root / result.filename)) for result in results]
        self.results = list(results)
        self.original = {_id(d): d for result in results for d in result.diagnostics}
        self.before: dict[Path, bytes] = {}
        self.fixed: dict[Path, list[Diagnostic]] = {}
        self.reverted: list[Reverted] = []
        self._blocked: set[_Key] = set()
        self._unfit: dict[Path, bool] = {}

    # --- choosing -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Fix until nothing is left to fix."""
        batch = self._chosen()
        # Every round fixes something or rules something out; the limit is for rules that undo each other's fixes.
        for _ in range(_ROUNDS + 2 * len(batch)):
            if not batch:
                return
            self._settle(batch)
            batch = self._chosen()

    def _chosen(self) -> list[_Candidate]:
        """Fixes that may be applied and stay clear of each other, in the order of their places."""
        chosen: list[_Candidate] = []
        for path, result in zip(self.paths, self.results, strict=True):
            taken: list[tuple[Position, Position]] = []
            for diagnostic in sorted(result.diagnostics, key=lambda d: (d.span, d.code)):
                fix = diagnostic.fix
                if fix is None or not self._may_apply(path, diagnostic, fix):
                    continue
                extent = _extent(fix.edits)
                if any(extent[0] <= end and start <= extent[1] for start, end in taken):
                    continue
                taken.append(extent)
                chosen.append(_Candidate(path, diagnostic, fix))
        return chosen

    def _may_apply(self, path: Path, diagnostic: Diagnostic, fix: Fix) -> bool:
        if _id(diagnostic) in self._blocked or not fix.edits:
            return False
        return fix.applicability in self.allowed and not self._is_unfit(path, diagnostic.filename)

    def _is_unfit(self, path: Path, filename: str) -> bool:
        """Whether a file is broken already, so that nobody could tell whether a fix breaks it."""
        if path not in self._unfit:
            source = self._load(path, filename, self.contents.get(path))
            self._unfit[path] = isinstance(source, Problem) or _errors(source)[0]
        return self._unfit[path]

    def _load(self, path: Path, filename: str, data: bytes | None) -> SourceFile | Problem:
        from nograd_lint.source.files import load

        return load(path, filename, data, markdown=True)

    # --- trying -------------------------------------------------------------------------------------------------------

    def _settle(self, batch: list[_Candidate]) -> None:
        """Keep those fixes of a batch that prove right; some of what is in doubt waits for the next round."""
        while batch:
            outcome = self._try(batch)
            if not outcome.bad:
                for candidate in batch:
                    self.fixed.setdefault(candidate.path, []).append(self._as_found(candidate.diagnostic))
                self.contents.update(outcome.contents)
                self.results = outcome.results
                return
            batch = self._reduced(batch, outcome)

    def _reduced(self, batch: list[_Candidate], outcome: _Outcome) -> list[_Candidate]:
        """What to try next: the fixes of the files that came out well, and of the others half."""
        if None in outcome.bad and len(batch) > 1:
            return batch[: len(batch) // 2]
        groups: dict[Path, list[_Candidate]] = {}
        for candidate in batch:
            groups.setdefault(candidate.path, []).append(candidate)
        kept: list[_Candidate] = []
        for path, group in groups.items():
            reason = outcome.bad.get(path) or outcome.bad.get(None)
            if reason is None:
                kept += group
            elif len(group) > 1:
                kept += group[: len(group) // 2]
            elif path not in outcome.doubtful or len(batch) == 1:
                self._blocked.add(_id(group[0].diagnostic))
                self.reverted.append(Reverted(self._as_found(group[0].diagnostic), reason))
        # What a fix in another file may have done is tried alone.
        return kept or [group[0] for group in groups.values() if len(group) == 1 and len(batch) > 1][:1]

    def _as_found(self, diagnostic: Diagnostic) -> Diagnostic:
        """The diagnostic where it stood before anything was fixed."""
        return self.original.get(_id(diagnostic), diagnostic)

    def _try(self, batch: list[_Candidate]) -> _Outcome:
        from nograd_lint.source.decoding import SourceError

        edits: dict[Path, list[Edit]] = {}
        names: dict[Path, str] = {}
        for path, diagnostic, fix in batch:
            edits.setdefault(path, []).extend(fix.edits)
            names[path] = diagnostic.filename
        contents: dict[Path, bytes] = {}
        bad: dict[Path | None, str] = {}
        for path, wanted in edits.items():
            source = self._load(path, names[path], self.contents.get(path))
            if isinstance(source, Problem):
                bad[path] = source.message
                continue
            self.before.setdefault(path, source.raw)
            try:
                contents[path] = source.edited(wanted)
            except SourceError as error:
                bad[path] = str(error)
                continue
            if not self._parses(source, contents[path]):
                bad[path] = "the result could not be parsed"
        if bad:
            return _Outcome(contents, self.results, bad)
        results = self.engine.check(self.paths, contents={**self.contents, **contents}, jobs=self.jobs)
        return _Outcome(contents, results, *self._judge(batch, results))

    def _parses(self, old: SourceFile, data: bytes) -> bool:
        new = self._load(old.path, old.filename, data)
        return not isinstance(new, Problem) and _errors(new) <= _errors(old)

    def _judge(
        self, batch: list[_Candidate], results: Sequence[FileResult]
    ) -> tuple[dict[Path | None, str], frozenset[Path]]:
        """The files whose fixes did not do what they should, and what they did; those where it may not be their own."""
        before = Counter(_key(d) for result in self.results for d in result.diagnostics)
        after = Counter(_key(d) for result in results for d in result.diagnostics)
        applied = Counter(_key(candidate.diagnostic) for candidate in batch)
        fixed = {candidate.path for candidate in batch}
        bad: dict[Path | None, str] = {}
        for path, diagnostic, _ in batch:
            key = _key(diagnostic)
            if after[key] > before[key] - applied[key]:
                bad[path] = "it would leave the diagnostic"
        doubtful = set()
        traded = {(d.filename, d.function): d.severity.rank for _, d, _ in batch}
        for path, old, new in zip(self.paths, self.results, results, strict=True):
            reasons = [f"the result could not be analysed: {p.message}" for p in new.problems[len(old.problems) :]]
            for diagnostic in new.diagnostics:
                key = _key(diagnostic)
                # Something may give way to something lesser: training comes out of a guard, and with it the validation,
                # which is fixed next; a graph is no longer kept, but is still recorded.
                rank = diagnostic.severity.rank
                lesser = rank < traded.get((diagnostic.filename, diagnostic.function), 0)
                if after[key] > before[key] and rank and not lesser:
                    where = f"row {diagnostic.span.start.row}" + ("" if path in fixed else f" of {new.filename}")
                    reasons.append(f"it would add {diagnostic.code} ({diagnostic.name}) in {where}")
            if reasons:
                bad.setdefault(path if path in fixed else None, reasons[0])
                doubtful.add(path)
        return bad, frozenset(doubtful)

    # --- the end ------------------------------------------------------------------------------------------------------

    def write(self) -> tuple[Problem, ...]:
        """Replace the files; one that can't be written keeps its old content, and its diagnostics."""
        from nograd_lint.source.files import os_reason
        from nograd_lint.source.write import write_atomically

        problems = []
        names = {path: result.filename for path, result in zip(self.paths, self.results, strict=True)}
        failed = []
        for path in self._changed():
            if path in self.given:
                continue
            try:
                if path.read_bytes() != self.before[path]:
                    reason = "changed while it was being fixed"
                else:
                    write_atomically(path, self.contents[path])
                    continue
            except OSError as error:
                reason = os_reason(error)
            failed.append(path)
            problems.append(Problem(names[path], f"could not be written: {reason}"))
        for path in failed:
            del self.contents[path], self.fixed[path]
        if failed:
            self.results = self.engine.check(self.paths, contents=self.contents, jobs=self.jobs)
        return tuple(problems)

    def _changed(self) -> list[Path]:
        return [p for p in self.paths if p in self.fixed and self.contents[p] != self.before[p]]

    def report(self, problems: tuple[Problem, ...]) -> FixReport:
        names = {path: result.filename for path, result in zip(self.paths, self.results, strict=True)}
        files = tuple(
            FixedFile(path, names[path], self.before[path], self.contents[path], tuple(self.fixed[path]))
            for path in self._changed()
        )
        return FixReport(tuple(self.results), files, tuple(self.reverted), problems)


def _errors(source: SourceFile) -> tuple[bool, int]:
    """Whether a file can't be parsed, and how many of its cells can't."""
    from nograd_lint.source.magics import syntax_error

    return syntax_error(source.analysis) is not None, len(source.broken)


def _extent(edits: Sequence[Edit]) -> tuple[Position, Position]:
    """What a fix takes up; several fixes may share the import that each of them needs."""
    own = [edit for edit in edits if edit.content.strip() != "import torch"] or edits
    return min(edit.span.start for edit in own), max(edit.span.end for edit in own)


def unified_diff(files: Sequence[FixedFile], name: Callable[[FixedFile], str]) -> bytes:
    """What changes, as a patch in the files' own encodings and line ends."""
    import difflib

    lines: list[bytes] = []
    for file in files:
        shown = os.fsencode(name(file))
        old, new = (_lines(data) for data in (file.before, file.after))
        lines += difflib.diff_bytes(difflib.unified_diff, old, new, shown, shown)
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
