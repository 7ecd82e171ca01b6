"""The result of a confirmation as plain data: what ``--json`` writes (see schema.json) and the reports show."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import nograd_lint
from nograd_lint.confirm.judge import REFUTED, figures, growth, main_source
from nograd_lint.confirm.metrics import Metric, computed, printed
from nograd_lint.confirm.results import RunResult
from nograd_lint.confirm.session import Finding, Options, Outcome
from nograd_lint.rules._base import Kind

SCHEMA = 1


def document(outcome: Outcome, words: Sequence[str], root: Path, cwd: Path, options: Options) -> dict[str, Any]:
    a = outcome.runs.get("A")
    return {
        "schema": SCHEMA,
        "tool": f"nograd-lint {nograd_lint.__version__}",
        "torch": a.torch if a is not None else None,
        "python": a.python if a is not None else None,
        "device": a.device if a is not None else None,
        "machine": f"{platform.system()} {platform.machine()}",
        "date": datetime.now(timezone.utc).replace(microsecond=0).isoformat(),
        "command": list(words),
        "cwd": str(cwd),
        "guard": options.guard,
        "runs": {name: _run(run, root) for name, run in outcome.runs.items()},
        "metrics": _printed(outcome.runs),
        "results": [_result(finding, outcome, root, cwd, options) for finding in outcome.findings],
    }


def _run(run: RunResult, root: Path) -> dict[str, Any]:
    return {
        "exit_code": run.code,
        "stopped": run.stopped,
        "exception": run.exception,
        "seconds": round(run.seconds, 2),
        "max_rss": run.max_rss,
        "left_over": run.left_over,
        "written": [os.path.relpath(path, root).replace(os.sep, "/") for path in run.written],
    }


def _result(finding: Finding, outcome: Outcome, root: Path, cwd: Path, options: Options) -> dict[str, Any]:
    region, verdict = finding.region, finding.verdict
    diagnostic = region.diagnostic
    a = outcome.runs.get("A") or RunResult("A")
    data = a.region(region.id)
    other = finding.b.region(region.id) if finding.b is not None else None
    source = main_source(data)
    mine = figures(data, source)
    theirs = figures(other, source) if other is not None else dict.fromkeys(mine)
    per_call, per_batch = growth(data)
    shown = _shown(root / diagnostic.filename, cwd)
    span = diagnostic.region

    def pair(key: str) -> dict[str, Any]:
        return {"A": mine[key], "B": theirs[key]}

    measured = bool(data.full) and region.kind is Kind.GUARD
    return {
        "fingerprint": diagnostic.fingerprint,
        "code": diagnostic.code,
        "name": diagnostic.name,
        "kind": region.kind.value,
        "filename": shown,
        "function": diagnostic.function,
        "region": {
            "location": {"row": span.start.row, "column": span.start.column},
            "end_location": {"row": span.end.row, "column": span.end.column},
        },
        "cell": diagnostic.cell,
        "fix": _fix(finding, options),
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "why": verdict.why,
        "calls": data.calls,
        "sampled": len(data.full) if region.kind is Kind.GUARD else data.calls,
        "grad_mode_at_entry": data.modes,
        "saved": {**pair("saved"), "sites": _sites(data, root, cwd)} if measured else None,
        "saved_total": pair("saved_total") if measured else None,
        "peak": {**pair("peak"), "source": source} if measured else None,
        "held": {**pair("held"), "growth_per_call": per_call, "growth_per_batch": per_batch} if measured else None,
        "samples": [_sample(s, source) for s in data.full] if measured else [],
        "outputs": {
            "state": verdict.outputs.state,
            "compared": verdict.outputs.compared,
            "left_out": verdict.outputs.left_out,
            "max_abs": _finite(verdict.outputs.max_abs),
            "rel": _finite(verdict.outputs.rel),
            "where": verdict.outputs.where,
            "stdout_same": verdict.stdout.same,
        },
        "metrics": _metrics(computed(data.full, other.full)) if other else [],
        "time": finding.time,
        "estimate": finding.estimate,
        "train": {"A": _train(data.train), "B": _train(other.train if other else None)} if data.train else None,
        "timeline": _timeline(data.full, other.full if other else [], source) if measured else None,
        "suppression": suppression(diagnostic.code, verdict.why) if verdict.verdict == REFUTED else None,
        "notes": verdict.notes,
    }


def suppression(code: str, why: str) -> str:
    """The comment that silences a diagnostic that was refuted."""
    return f"# nograd: ignore[{code}] refuted by a run: {why.partition(';')[0].partition(':')[0]}"


def _shown(path: Path, cwd: Path) -> str:
    relative = os.path.relpath(path, cwd)
    return (str(path) if relative.startswith("..") else relative).replace(os.sep, "/")


def _finite(value: float | None) -> float | None:
    return None if value is None or value != value or value in (float("inf"), float("-inf")) else value


def _fix(finding: Finding, options: Options) -> dict[str, Any]:
    fix = finding.region.diagnostic.fix
    return {
        "guard": options.guard if finding.region.kind is Kind.GUARD else None,
        "message": fix.message if fix is not None else None,
        "applicability": fix.applicability.value if fix is not None else None,
        "executed": fix is not None and (options.run_patch or (finding.b is not None and finding.b.name == "B-fix")),
        "equals_run_b": finding.proof.equal if fix is not None else None,
        "why": finding.proof.why,
    }


def _sites(data: Any, root: Path, cwd: Path) -> list[dict[str, Any]]:
    largest = max(data.full, key=lambda s: s["saved"])
    sites = []
    for filename, line, module, size in largest["sites"]:
        shown = _shown(root / filename, cwd) if filename else ""
        sites.append({"filename": shown, "line": line, "module": module, "bytes": size})
    return sites


def _sample(sample: dict[str, Any], source: str) -> dict[str, Any]:
    return {
        "call": sample["call"],
        "saved": sample["saved"],
        "saved_total": sample["saved_total"],
        "peak": sample["peak"].get(source),
        "held": sample["held"].get(source),
        "module_calls": sample["module_calls"],
    }


def _printed(runs: dict[str, RunResult]) -> list[dict[str, Any]]:
    """The metrics in the output of run A and of the last run with a guard."""
    guarded = [run for name, run in runs.items() if name.startswith("B") and name not in ("B-train", "B-fix")]
    if not guarded or runs["A"].stdout == "":
        return []
    return _metrics(printed(runs["A"].stdout, guarded[-1].stdout))


def _metrics(metrics: list[Metric]) -> list[dict[str, Any]]:
    return [{**asdict(metric), "same": metric.same} for metric in metrics]


def _train(train: dict[str, Any] | None) -> dict[str, Any] | None:
    if train is None:
        return None
    return {key: train[key] for key in ("inside", "after", "errors", "manual", "flagged")}


def _timeline(a: list[dict[str, Any]], b: list[dict[str, Any]], source: str) -> dict[str, Any]:
    """The curves of the call with the highest peak, and of the same call in run B."""
    largest = max(a, key=lambda s: s["peak"].get(source, 0))
    same = next((s for s in b if s["call"] == largest["call"]), None)
    return {
        "call": largest["call"],
        "A": largest["timeline"].get(source, []),
        "B": same["timeline"].get(source, []) if same is not None else [],
    }
