"""What one run knows about its regions, and how it tells the other side (user's interpreter; no torch here)."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import Any


class RegionState:
    """The counters of one region. Sampled calls are written as they end; these are written with them and at the end."""

    def __init__(self, id: int, kind: str, enter: bool) -> None:  # noqa: A002
        self.id = id
        self.kind = kind
        self.enter = enter  # whether this run's probe enters the guard
        self.calls = 0
        self.modes: dict[str, int] = {}  # grad mode at entry -> calls
        self.read = 0  # saved tensors that a backward pass has read
        self.other_threads = 0
        self.compiled = False

    def counters(self) -> dict[str, Any]:
        return {
            "region": self.id,
            "calls": self.calls,
            "modes": self.modes,
            "read": self.read,
            "other_threads": self.other_threads,
            "compiled": self.compiled,
        }


class Run:
    """One run of the program: the plan it follows and the file of JSON lines that it writes."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.name: str = plan["run"]
        self.samples: int = plan["samples"]
        self.pid = os.getpid()
        self.local = threading.local()
        self.recording = threading.Lock()  # one thread at a time is measured
        self.regions = {r["id"]: RegionState(r["id"], r["kind"], r["enter"]) for r in plan["regions"]}
        self.accounts: dict[int, list[Any]] = {}  # ledger accounts of sampled calls, by region
        self._lock = threading.Lock()
        self._out = os.open(plan["results"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.set_inheritable(self._out, False)

    def write(self, type: str, **fields: Any) -> None:  # noqa: A002
        """One line, at once: what was measured survives ``os._exit``, a crash and a kill."""
        if os.getpid() != self.pid:
            return  # a forked worker of the program
        line = json.dumps({"t": type, **fields}, separators=(",", ":"), default=str) + "\n"
        data = line.encode("utf-8", "replace")
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._out, data) :]

    def write_counters(self) -> None:
        for region in self.regions.values():
            self.write("region", **region.counters())
