"""Verdicts: what the runs prove about a diagnostic. Pure: from data to data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nograd_lint.confirm.compare import Comparison, Output, compare, compare_output, values_of
from nograd_lint.confirm.results import RegionData, RunResult

if TYPE_CHECKING:
    from nograd_lint.confirm.plan import Region

CONFIRMED, REFUTED, NOT_REACHED, ERROR = "confirmed", "refuted", "not_reached", "error"
FAST_PATH = ("TransformerEncoder", "TransformerEncoderLayer", "MultiheadAttention")


@dataclass
class Verdict:
    verdict: str
    reason: str | None
    why: str
    outputs: Comparison = field(default_factory=lambda: Comparison("none"))
    stdout: Output = field(default_factory=lambda: Output(None))
    notes: list[str] = field(default_factory=list)


def judge(
    region: Region, a: RunResult, b: RunResult | None, again: RunResult | None, tolerance: float, *, alone: bool
) -> Verdict:
    """``alone``: run B entered this region's guard and no other."""
    if region.problem is not None:
        return Verdict(ERROR, "not_measurable", region.problem)
    early = _unusable(region, a)
    if early is not None:
        return early
    verdict = _training(region, a, b) if region.kind.value == "train" else _guard(region, a, b, again, tolerance, alone)
    verdict.notes.extend(_notes(a.region(region.id), a))
    return verdict


def _unusable(region: Region, a: RunResult) -> Verdict | None:
    """What keeps run A from saying anything."""
    data = a.region(region.id)
    if not a.started:
        return Verdict(ERROR, "program_fails", _last_line(a.stderr) or "the program did not start")
    if a.exception is not None and "saved tensor hooks" in a.exception:
        return Verdict(ERROR, "not_measurable", "torch.func transforms in the region allow no saved-tensor hooks")
    if data.compiled:
        return Verdict(
            ERROR,
            "not_measurable",
            "the region runs inside torch.compile, which leaves nothing to measure; "
            "run again with TORCHDYNAMO_DISABLE=1",
        )
    if a.stopped is not None:
        if data.read and region.kind.value == "guard":
            return _used(data)  # seen is seen, however long the program would have run
        reason = "timeout" if a.stopped == "timeout" else "memory_limit"
        partial = f"; the region was called {_times(data.calls)} until then" if data.calls else ""
        return Verdict(ERROR, reason, f"the program was stopped at the {_limit(a.stopped)}{partial}")
    if not data.calls:
        if a.crashed:
            return Verdict(ERROR, "program_fails", f"the program fails before the region: {_failure(a)}")
        if a.torch is None:
            return Verdict(NOT_REACHED, None, "the program does not import torch")
        return Verdict(NOT_REACHED, None, "the program does not run the region" + _ended(a))
    return None


def _ended(run: RunResult) -> str:
    return f"; it ended with exit code {run.code}, which may be why" if run.code else ""


def _limit(stopped: str) -> str:
    return "time limit" if stopped == "timeout" else "memory limit"


# --- guards ---------------------------------------------------------------------------------------------------------


def _guard(
    region: Region, a: RunResult, b: RunResult | None, again: RunResult | None, tolerance: float, alone: bool
) -> Verdict:
    data = a.region(region.id)
    if a.crashed:
        return Verdict(ERROR, "program_fails", f"the program fails as it is: {_failure(a)}")
    if not data.modes.get("enabled"):
        off = "off" if data.modes.get("disabled") else "off (inference mode)"
        calls = "the only call" if data.calls == 1 else f"all {data.calls} calls"
        return Verdict(REFUTED, "already_off", f"gradients are {off} at entry in {calls}")
    if data.other_threads and not any(s["module_calls"] or s["packs"] for s in data.samples):
        return Verdict(
            ERROR, "not_measurable",
            f"{data.other_threads} module calls ran in other threads; grad mode is per thread, so neither this "
            "measurement nor a guard here reaches them",
        )  # fmt: skip
    if any(sample.get("own_hooks") for sample in data.full) and not _saved(data):
        return Verdict(ERROR, "not_measurable", "the program's own saved-tensor hooks handle what is saved here")
    if not _saved(data) and not _costs(data, b.region(region.id) if b is not None else None):
        return Verdict(REFUTED, "nothing_saved", "no activations are saved for a backward pass here")
    if b is None:
        return Verdict(ERROR, "b_not_reached", "there was no run with the guard")
    unsafe = _unsafe(a, b)
    if unsafe is not None:
        return unsafe
    if data.read:
        return _used(data)
    other = b.region(region.id)
    if not other.calls:
        return Verdict(ERROR, "b_not_reached", "with the guard, the program no longer reaches the region")
    return _outcome(region, a, b, again, tolerance, alone)


def _used(data: RegionData) -> Verdict:
    why = f"a backward pass reads {_count(data.read, 'tensor')} saved here: the graph is needed"
    return Verdict(REFUTED, "graph_used", why)


def _saved(data: RegionData) -> int:
    return max((sample["saved_total"] for sample in data.samples), default=0)


def _costs(data: RegionData, other: RegionData | None) -> bool:
    """A graph can hold memory that no hook sees: tensors stashed on the context of a custom function."""
    if other is None or not data.full or not other.full:
        return False
    source = main_source(data)
    return bool(data.full[0]["held"].get(source, 0) > other.full[0]["held"].get(source, 0) + 1024)


def _unsafe(a: RunResult, b: RunResult) -> Verdict | None:
    if b.exception is not None:
        return Verdict(REFUTED, "fix_unsafe", f"with the guard the program fails: {b.exception}")
    if b.stopped is not None:
        return Verdict(ERROR, "b_not_reached", f"with the guard the program was stopped at the {_limit(b.stopped)}")
    if b.code != a.code:
        return Verdict(REFUTED, "fix_unsafe", f"with the guard the program ends with {b.code} instead of {a.code}")
    return None


def _outcome(
    region: Region, a: RunResult, b: RunResult, again: RunResult | None, tolerance: float, alone: bool
) -> Verdict:
    data, other = a.region(region.id), b.region(region.id)
    third = None if again is None else values_of(again.region(region.id).full)
    outputs = compare(values_of(data.full), values_of(other.full), third, tolerance)
    stdout = compare_output(a.stdout, b.stdout, None if again is None else again.stdout)
    if outputs.state == "changed":
        why = f"the guard changes results: {_distance(outputs)}" + _cause(data)
        return Verdict(REFUTED, "fix_changes_results", why, outputs, stdout)
    # What the program prints belongs to no region in particular, unless only this one was guarded.
    if stdout.same is False and alone and outputs.state != "within_tolerance":
        shown = f": {stdout.first[0]!r} becomes {stdout.first[1]!r}" if stdout.first else ""
        return Verdict(REFUTED, "fix_changes_results", f"the guard changes what is printed{shown}", outputs, stdout)
    compared = f"{_count(outputs.compared, 'value')} compared"
    if outputs.left_out:
        compared += f", {outputs.left_out} left out that the unchanged program does not reproduce"
    if outputs.state == "none":
        return Verdict(CONFIRMED, "bit_identical", "the region leaves no values to compare", outputs, stdout)
    if outputs.state == "bit_identical":
        return Verdict(CONFIRMED, "bit_identical", f"results are bit-identical ({compared})", outputs, stdout)
    if outputs.state == "within_tolerance":
        why = f"results agree within {outputs.rel:.1g} of their size ({compared})"
        return Verdict(CONFIRMED, "within_tolerance", why, outputs, stdout)
    why = f"results differ no more than those of two unchanged runs ({compared})"
    return Verdict(CONFIRMED, "within_noise", why, outputs, stdout)


def _distance(outputs: Comparison) -> str:
    where = f" at {outputs.where}" if outputs.where else ""
    if outputs.max_abs is None or outputs.max_abs == float("inf"):
        return f"another value{where}"
    return f"by up to {outputs.max_abs:.3g}{where}"


def _cause(data: RegionData) -> str:
    modules = {str(site[2]) for sample in data.full for site in sample["sites"]}
    if any(name in module for module in modules for name in FAST_PATH):
        return (
            "; nn.TransformerEncoder takes its fast path without gradients, which leaves padded positions at zero "
            "(enable_nested_tensor=False, or torch.backends.mha.set_fastpath_enabled(False), keeps it off)"
        )
    return ""


# --- training -------------------------------------------------------------------------------------------------------


def _training(region: Region, a: RunResult, b: RunResult | None) -> Verdict:
    data = a.region(region.id)
    train = data.train or {}
    inside: dict[str, int] = train.get("inside") or {}
    counts = inside if inside.get("backward") or inside.get("steps") else train.get("after") or inside
    errors: Sequence[str] = train.get("errors") or ()
    raised = next((error for error in errors if error.startswith("backward: ")), None)
    if raised is not None:
        why = f"backward() raises: {raised.removeprefix('backward: ')}"
        return Verdict(CONFIRMED, "backward_raises", why + _with_gradients(region, b))
    if train.get("manual"):
        why = f"the region updates {train['manual']} parameters that have a gradient by hand"
        return Verdict(REFUTED, "gradients_flow", why)
    steps, with_gradient, total = (counts.get(k, 0) for k in ("steps", "with_gradient", "parameters"))
    if steps and with_gradient:
        why = f"{with_gradient} of {total} parameters got a gradient, {counts.get('changed', 0)} changed"
        return Verdict(REFUTED, "gradients_flow", why)
    if steps:
        why = (
            f"{_count(counts.get('backward', 0), 'backward call')}, {_count(steps, 'optimizer step')}: "
            f"0 of {total} parameters got a gradient, {counts.get('changed', 0)} changed"
        )
        return Verdict(CONFIRMED, "no_gradient", why + _with_gradients(region, b))
    if a.crashed:
        return Verdict(ERROR, "program_fails", f"the program fails as it is: {_failure(a)}")
    if counts.get("backward"):
        return Verdict(REFUTED, "gradients_flow", "backward() runs through the region")
    return Verdict(NOT_REACHED, None, "no backward pass and no optimizer step ran in the region or right after it")


def _with_gradients(region: Region, b: RunResult | None) -> str:
    train = None if b is None else b.region(region.id).train
    if b is None or train is None:
        return ""
    how = "with the fix" if b.name == "B-fix" else "with gradients enabled"
    for counts in (train["inside"], train["after"]):
        if counts["steps"]:
            return f"; {how} {counts['with_gradient']} of {counts['parameters']} get one and {counts['changed']} change"
    return ""


# --- wording --------------------------------------------------------------------------------------------------------


def main_source(data: RegionData) -> str:
    """The meter that tells the region's story: the device on which it allocates most."""
    peaks: dict[str, int] = {}
    for sample in data.full:
        for source, peak in sample["peak"].items():
            peaks[source] = max(peaks.get(source, 0), peak)
    return max(peaks, key=lambda source: (peaks[source], source == "profiler"), default="profiler")


def _notes(data: RegionData, a: RunResult) -> list[str]:
    notes = []
    off = sum(count for mode, count in data.modes.items() if mode != "enabled")
    if off and data.modes.get("enabled"):
        notes.append(f"gradients were already off in {off} of {data.calls} calls")
    if data.other_threads:
        notes.append(f"{data.other_threads} module calls ran in other threads, which a guard here does not reach")
    if any(sample.get("own_hooks") for sample in data.full):
        notes.append("the program has saved-tensor hooks of its own; what they handle is not counted")
    if main_source(data) == "dispatch":
        notes.append("peaks leave out memory that operators use inside: the program runs a profiler itself")
    if a.left_over:
        notes.append(f"the program left processes running, which were ended: {', '.join(a.left_over[:3])}")
    return notes


def _failure(run: RunResult) -> str:
    if run.exception is not None:
        return run.exception
    if run.code is not None and run.code < 0:
        return f"ended by signal {-run.code}"
    return f"exit code {run.code}: {_last_line(run.stderr)}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def figures(data: RegionData, source: str) -> dict[str, Any]:
    """The figures of one run: the largest of the calls measured in full."""
    full = data.full
    return {
        "saved": max((s["saved"] for s in full), default=None),
        "saved_total": max((s["saved_total"] for s in full), default=None),
        "peak": max((s["peak"].get(source, 0) for s in full), default=None),
        "held": max((s["held"].get(source, 0) for s in full), default=None),
    }


def growth(data: RegionData) -> tuple[float | None, float | None]:
    """Bytes that stay from call to call, and within a call from batch to batch."""
    full = data.full
    per_call = None
    if len(full) > 2 and all(second["call"] == first["call"] + 1 for first, second in pairwise(full)):
        per_call = full[-1]["kept"] / (len(full) - 2)
    per_batch = None
    after: list[int] = max((s["after_call"] for s in full), key=len, default=[])
    if len(after) > 2:
        per_batch = (after[-1] - after[1]) / (len(after) - 2)
    return per_call, per_batch
