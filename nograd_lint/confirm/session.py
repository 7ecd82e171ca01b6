"""Confirm a set of diagnostics: which runs are needed, in which order, and what comes out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nograd_lint.confirm.command import Command
from nograd_lint.confirm.judge import CONFIRMED, ERROR, Verdict, judge
from nograd_lint.confirm.patch import Place as FixPlace
from nograd_lint.confirm.patch import Proof, prove
from nograd_lint.confirm.patched import PatchedFile, patch_files
from nograd_lint.confirm.plan import Region
from nograd_lint.confirm.results import RunResult
from nograd_lint.confirm.runner import Limits, Place, run
from nograd_lint.confirm.timing import judge_times
from nograd_lint.diagnostics import Problem
from nograd_lint.rules._base import Kind
from nograd_lint.source.files import SourceFile, load

LONE_RUNS = 12  # diagnostics that are looked at one by one where they cannot be judged together
COPY_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".nograd_lint_cache", ".tox", ".mypy_cache"
)


class Options(msgspec.Struct, frozen=True):
    """How to confirm."""

    guard: str = "no_grad"
    samples: int = 3
    timeout: float = 600.0
    memory: int = 0  # bytes; 0: what the machine has
    tolerance: float = 1e-4
    time: bool = True
    seed: int | None = 0
    run_patch: bool = False
    cwd_copy: bool = False
    batches: tuple[int, ...] = ()


class Finding(msgspec.Struct):
    """A diagnostic with everything that the runs said about it."""

    region: Region
    verdict: Verdict
    proof: Proof
    b: RunResult | None = None
    time: dict[str, Any] | None = None
    estimate: dict[str, Any] | None = None


class Outcome(msgspec.Struct):
    """All findings, and the runs by name, in the order in which they ran."""

    findings: list[Finding]
    runs: dict[str, RunResult]


class Confirmation:
    """One use of the confirm step. ``tell`` is told which run begins, and why."""

    def __init__(
        self,
        regions: Sequence[Region],
        root: Path,
        command: Command,
        options: Options,
        limits: Limits,
        tell: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.regions = list(regions)
        self.root = root
        self.command = command
        self.options = options
        self.limits = limits
        self.tell = tell
        self.runs: dict[str, RunResult] = {}
        self._sources: dict[Path, SourceFile] = {}
        self._scratch = Path()
        self._proofs: dict[int, Proof] = {}
        for path in {region.path for region in regions}:
            source = load(path, os.path.relpath(path, root))
            if not isinstance(source, Problem):
                self._sources[path] = source

    def confirm(self) -> Outcome:
        self._scratch = Path(tempfile.mkdtemp(prefix="nograd-lint-"))
        try:
            return self._confirm()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _confirm(self) -> Outcome:
        probed = [region for region in self.regions if region.problem is None]
        self._proofs = {region.id: self._proof(region) for region in self.regions}
        nothing = RunResult("A")
        a = self._run("A", "as it is", probed, ()) if probed else nothing
        guards = [r for r in probed if r.kind is Kind.GUARD and _worth_a_guard(r, a)]
        trains = [r for r in probed if r.kind is Kind.TRAIN and a.region(r.id).calls]
        with_guard = self._guarded(a, guards)
        train_run = self._trained(trains) if trains else None
        findings = []
        for region in self.regions:
            b = train_run if region.kind is Kind.TRAIN else with_guard.get(region.id)
            alone = b is not None and (len(guards) == 1 or b.name != "B")
            verdict = judge(region, a, b, self.runs.get("A2"), self.options.tolerance, alone=alone)
            findings.append(Finding(region, verdict, self._proofs[region.id], b))
        self._time(a, findings)
        return Outcome(findings, self.runs)

    def _trained(self, regions: list[Region]) -> RunResult:
        """The run that shows what training does without the mistake."""
        fixed = [r for r in regions if r.diagnostic.fix is not None]
        # Where the fix does more than to take a guard away, enabled gradients show nothing: the fix itself must run.
        if self.options.run_patch or any(not self._proofs[r.id].equal for r in fixed):
            patches = patch_files(regions, self._sources)
            if patches is not None:
                entered = [r for r in regions if r.diagnostic.fix is None]
                return self._run("B-fix", "with the fix applied", regions, entered, patches)
        return self._run("B-train", "with gradients enabled", regions, regions)

    # --- run B ------------------------------------------------------------------------------------------------------

    def _guarded(self, a: RunResult, regions: list[Region]) -> dict[int, RunResult]:
        """The run with the guard that each region is to be judged by."""
        if not regions or a.stopped or a.exception:
            return {}
        what = "with the fix applied" if self.options.run_patch else f"with {self.options.guard}"
        together: RunResult | None = None
        patches = self._patches(regions)
        if patches is not None:
            together = self._run("B", what, regions, () if self.options.run_patch else regions, patches)
        differs = together is None or self._differs(a, together, regions)
        if differs and together is not None and not self._fails(a, together):
            self._run("A2", "as it is, again: the outputs differ", regions, ())
            differs = self._differs(a, together, regions)
        if together is not None and (not differs or len(regions) == 1):
            return dict.fromkeys((region.id for region in regions), together)
        # Something is wrong with at least one of them; guarded one by one, each answers for itself.
        chosen = {region.id: together for region in regions if together is not None}
        for region in regions[:LONE_RUNS]:
            place = f"{region.diagnostic.filename}:{region.rows[0]}"
            entered = () if self.options.run_patch else (region,)
            chosen[region.id] = self._run(
                f"B{region.id + 1}", f"{what} for {place} alone", [region], entered, self._patches([region]) or {}
            )
        ran = [(r, chosen[r.id]) for r in regions if r.id in chosen and not self._fails(a, chosen[r.id])]
        if "A2" not in self.runs and any(self._differs(a, b, [r]) for r, b in ran):
            self._run("A2", "as it is, again: the outputs differ", regions, ())
        return chosen

    @staticmethod
    def _fails(a: RunResult, b: RunResult) -> bool:
        return b.crashed or b.code != a.code

    def _differs(self, a: RunResult, b: RunResult, regions: Iterable[Region]) -> bool:
        """Whether some region cannot be confirmed by these two runs."""
        if self._fails(a, b):
            return True
        verdicts = [judge(r, a, b, self.runs.get("A2"), self.options.tolerance, alone=True) for r in regions]
        return any(v.reason in ("fix_changes_results", "within_noise", "b_not_reached") for v in verdicts)

    # --- what only some runs need -----------------------------------------------------------------------------------

    def _time(self, a: RunResult, findings: list[Finding]) -> None:
        timed = [f for f in findings if f.verdict.verdict == CONFIRMED and f.region.kind is Kind.GUARD]
        if not (self.options.time and timed):
            return
        calls, estimates = {}, {}
        for finding in timed:
            data = a.region(finding.region.id)
            per_call = sum(s["module_calls"] for s in data.full) / max(1, len(data.full))
            calls[str(finding.region.id)] = round(per_call * data.calls)
            if (wanted := _wanted(data.full, self.options.batches)) is not None:
                estimates[str(finding.region.id)] = wanted
        plan = {"time": {"regions": calls, "estimates": estimates}, "threads": 1}
        regions = [finding.region for finding in timed]
        result = self._run("timing", "alternating, on one thread, for the time alone", regions, (), None, plan)
        for finding in timed:
            data = result.region(finding.region.id)
            finding.time = {**judge_times(data.pairs, data.unit), "threads": 1}
            finding.estimate = _checked(data.estimate, a.region(finding.region.id).full)

    def _proof(self, region: Region) -> Proof:
        if region.problem is not None or region.path not in self._sources:
            return Proof(False, region.problem or "the file cannot be read")
        return prove(self._sources[region.path], region, self.options.guard)

    def _patches(self, regions: Sequence[Region]) -> dict[Path, PatchedFile] | None:
        """The files with fixes applied, for ``--run-patch``; None where the fixes get into each other's way."""
        if not self.options.run_patch:
            return {}
        return patch_files(regions, self._sources)

    # --- running ----------------------------------------------------------------------------------------------------

    def _run(
        self,
        name: str,
        why: str,
        regions: Sequence[Region],
        entered: Sequence[Region],
        patches: dict[Path, PatchedFile] | None = None,
        more: dict[str, Any] | None = None,
    ) -> RunResult:
        self.tell(name, why)
        options = self.options
        place, moved = self._place()
        ids = {region.id for region in entered}
        covers = {} if patches else {r.id: c for r in regions if (c := self._proofs[r.id].cover) is not None}
        plan = {
            "run": name,
            "root": str(moved(self.root)),
            "samples": options.samples,
            "guard": options.guard,
            "seed": options.seed,
            "deterministic": options.seed is not None,
            "regions": [
                {"id": r.id, "kind": r.kind.value, "enter": r.id in ids and r.id not in covers} for r in regions
            ]
            + [{"id": _cover_id(r), "kind": "cover", "enter": r in ids} for r in covers],
            "files": self._files(regions, patches or {}, covers, moved),
            **(more or {}),
        }
        command = self._moved_command(moved)
        result = run(plan, command, place, self.limits, echo=name == "A")
        if options.cwd_copy:
            shutil.rmtree(place.tree, ignore_errors=True)
            result.written = []
        self.runs[name] = result
        return result

    def _files(
        self,
        regions: Sequence[Region],
        patches: dict[Path, PatchedFile],
        covers: dict[int, FixPlace],
        moved: Callable[[Path], Path],
    ) -> dict[str, Any]:
        files: dict[str, Any] = {}
        if self.command.kind == "notebook":
            path = Path.cwd() / str(self.command.value)
            notebook = load(path, path.name)
            text = "" if isinstance(notebook, Problem) else notebook.analysis.decode()
            files[str(moved(path))] = {"regions": [], "text": text}
        for path in {region.path for region in regions}:
            own = [r for r in regions if r.path == path]
            patched = patches.get(path)
            places = patched.places if patched is not None else {r.id: (r.first, r.last) for r in own}
            wider = {_cover_id(r.id): covers[r.id] for r in own if r.id in covers}
            entry: dict[str, Any] = {
                "regions": [{"id": i, "first": p[0], "last": p[1]} for i, p in {**places, **wider}.items()]
            }
            if patched is not None:
                entry["text"] = patched.text
            elif path.suffix == ".ipynb":
                entry["text"] = self._sources[path].analysis.decode()
            for name in {path, moved(path)}:
                files[str(name)] = entry
        return files

    def _place(self) -> tuple[Place, Callable[[Path], Path]]:
        """Where the next run happens, and where a file of the project is there."""
        cwd = Path.cwd()
        if not self.options.cwd_copy:
            return Place(cwd, self.root, self._scratch), lambda path: path
        copy = Path(tempfile.mkdtemp(prefix="copy-", dir=self._scratch)) / self.root.name
        shutil.copytree(self.root, copy, symlinks=True, ignore=COPY_LEFT_OUT)

        def moved(path: Path) -> Path:
            return copy / path.relative_to(self.root) if path.is_relative_to(self.root) else path

        return Place(moved(cwd), copy, self._scratch), moved

    def _moved_command(self, moved: Callable[[Path], Path]) -> Command:
        if not self.options.cwd_copy:
            return self.command

        def move(word: Any) -> Any:
            return str(moved(Path(word))) if isinstance(word, str) and word.startswith(str(self.root)) else word

        command = self.command
        value = [move(v) for v in command.value] if isinstance(command.value, list) else move(command.value)
        return msgspec.structs.replace(command, value=value, argv=tuple(move(word) for word in command.argv))


def _cover_id(region: int) -> int:
    """The id of the probe that only guards what the fix of a region guards."""
    return -1 - region


def _worth_a_guard(region: Region, a: RunResult) -> bool:
    """Whether run B can tell anything about a region."""
    data = a.region(region.id)
    return bool(data.calls and data.modes.get("enabled") and not data.compiled and data.samples)


def _wanted(full: list[dict[str, Any]], batches: Sequence[int]) -> dict[str, Any] | None:
    """What to estimate: the first module call that was measured, at other batch sizes."""
    first = next((s["first_call"] for s in full if s["first_call"]), None)
    if first is None:
        return None
    sizes = {shape[0] for shape, _ in first["inputs"] if shape}
    if len(sizes) != 1:
        return None
    batch = sizes.pop()
    return {"inputs": first["inputs"], "sizes": list(batches) or [batch * 8]}


def _checked(estimate: dict[str, Any] | None, full: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The estimate beside what was measured; one that disagrees with the measurement is none."""
    if estimate is None:
        return None
    first = next((s["first_call"] for s in full if s["first_call"]), None)
    measured = None if first is None else first.get("saved")
    if estimate["why"] is not None:
        return {"batch": estimate["batch"], "measured": measured, "saved": None, "why": estimate["why"]}
    own = estimate["saved"][str(estimate["batch"])]
    if own != measured:
        why = f"the estimate for the measured batch, {own} bytes, is not what was measured"
        return {"batch": estimate["batch"], "measured": measured, "saved": None, "why": why}
    return {"batch": estimate["batch"], "measured": measured, "saved": estimate["saved"], "why": None}


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where something is confirmed, 2 where there are only errors to tell of, else 0."""
    verdicts = {finding.verdict.verdict for finding in findings}
    return 1 if CONFIRMED in verdicts else 2 if ERROR in verdicts else 0
