"""Runs that never ran: data as the child writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from scenario import diagnostic

from nograd_lint.confirm.plan import Region
from nograd_lint.confirm.results import RegionData, RunResult
from nograd_lint.diagnostics import Position, Span
from nograd_lint.rules._base import Kind

SPAN = Span(Position(1, 1), Position(1, 9))
REGION = Region(0, diagnostic("program.py", SPAN), Kind.GUARD, Path("program.py"))
TRAIN = msgspec.structs.replace(REGION, id=1, diagnostic=diagnostic("program.py", SPAN, "NGL202"), kind=Kind.TRAIN)


def sample(**fields: Any) -> dict[str, Any]:
    values = {"y": {"k": "number", "v": fields.pop("value", 1.0)}}
    return {
        "call": 1, "full": True, "saved": 100, "saved_total": 100, "packs": 3, "module_calls": 1, "sites": [],
        "peak": {"profiler": 200}, "held": {"profiler": 150}, "outputs": [], "values": values,
        "random": {"k": "exact", "v": 1}, "kept": 0, "after_call": [], "own_hooks": False, "timeline": {},
        "first_call": None, **fields,
    }  # fmt: skip


def run(name: str = "A", *, region: dict[str, Any] | None = None, calls: int = 1, **fields: Any) -> RunResult:
    """A run in which both regions did the same."""
    data: dict[str, Any] = {"calls": calls, "modes": {"enabled": calls}, "samples": [sample()] if calls else []}
    data.update(region or {})
    fields = {"code": 0, "started": True, "torch": "2.13.0", **fields}
    return RunResult(name, regions={0: RegionData(**data), 1: RegionData(**data)}, **fields)


def counts(**fields: int) -> dict[str, int]:
    return {"backward": 0, "steps": 0, "parameters": 0, "with_gradient": 0, "changed": 0, "compared": 0, **fields}


def trained(inside: dict[str, int] | None = None, after: dict[str, int] | None = None, **fields: Any) -> dict[str, Any]:
    line = {"inside": inside or counts(), "after": after or counts(), "errors": [], "manual": 0, "flagged": 0, **fields}
    return {"train": line, "samples": []}


def quiet(**fields: Any) -> dict[str, Any]:
    return {"samples": [sample(saved=0, saved_total=0, packs=0, held={"profiler": 50}, **fields)]}


NOTHING = counts(backward=2, steps=2, parameters=6)
WORKS = counts(backward=2, steps=2, parameters=6, with_gradient=6, changed=6)
