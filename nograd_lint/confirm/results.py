"""What a run wrote, line by line, put together again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any


@dataclass
class RegionData:
    """What one run tells about one region."""

    calls: int = 0
    modes: dict[str, int] = field(default_factory=dict)
    read: int = 0
    other_threads: int = 0
    compiled: bool = False
    samples: list[dict[str, Any]] = field(default_factory=list)  # sampled calls, in order
    train: dict[str, Any] | None = None
    pairs: list[tuple[float, float]] = field(default_factory=list)
    unit: str = "cpu"
    estimate: dict[str, Any] | None = None

    @property
    def full(self) -> list[dict[str, Any]]:
        """The calls that were measured in full."""
        return [sample for sample in self.samples if sample["full"]]


@dataclass
class RunResult:
    """One run of the program."""

    name: str
    code: int | None = None
    stopped: str | None = None  # timeout or memory: why we ended it
    seconds: float = 0.0
    max_rss: int = 0
    left_over: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    started: bool = False
    ended: bool = False
    exit: int | None = None  # of SystemExit
    exception: str | None = None
    torch: str | None = None
    device: str | None = None
    python: str | None = None
    regions: dict[int, RegionData] = field(default_factory=dict)

    @property
    def crashed(self) -> bool:
        """The program ended in an exception, by a signal, or was stopped; an exit code of its choice is no crash."""
        return self.exception is not None or self.stopped is not None or (self.code is not None and self.code < 0)

    def region(self, number: int) -> RegionData:
        return self.regions.setdefault(number, RegionData())


def read(path: Path, result: RunResult) -> None:
    """Add the lines that a child wrote; a last one that was cut off is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        _add(result, entry.pop("t"), entry)


def _add(result: RunResult, kind: str, entry: dict[str, Any]) -> None:
    if kind == "start":
        result.started, result.python = True, entry["python"]
    elif kind == "torch":
        result.torch = entry["version"]
    elif kind == "device":
        result.device = entry["name"]
    elif kind == "exit":
        result.exit = entry["code"]
    elif kind == "exception":
        place = ":".join(str(part) for part in entry["where"][0]) if entry["where"] else ""
        result.exception = shorten(entry["error"], 300, placeholder=" ...") + (f" at {place}" if place else "")
    elif kind == "end":
        result.ended = True
    else:
        region = result.region(entry["region"])
        if kind == "time":
            region.pairs = [(a, b) for a, b in entry["pairs"]]
            region.unit = entry["unit"]
        elif kind == "estimate":
            region.estimate = entry
        else:
            # Counters only ever rise; lines of several threads may be out of order.
            region.calls = max(region.calls, entry["calls"])
            region.modes = max(region.modes, entry["modes"], key=lambda modes: sum(modes.values()))
            region.read = max(region.read, entry["read"])
            region.other_threads = max(region.other_threads, entry["other_threads"])
            region.compiled = region.compiled or entry["compiled"]
            if kind == "call":
                region.samples.append(entry)
            elif kind == "train":
                region.train = entry
