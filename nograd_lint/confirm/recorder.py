"""Measure the sampled calls of regions in one thread (runs in the user's interpreter).

Hooks for saved tensors do not nest (only the innermost pair is called), nor do profilers. So one recorder serves all
regions that are being measured; each of them is a frame with an account of its own.
"""

# ruff: noqa: PTH118, PTH120, PTH208
from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import torch

from .digest import digest
from .ledger import Account, Ledger
from .modules import ModuleCalls, tensors_in
from .peak import Meter, meters
from .state import RegionState, Run

OUTPUTS = 64  # results of module calls that are compared, per sampled call
PIECE = 500  # module calls after which the meters begin a new piece, at the latest
POINTS = 4000  # of a curve, before it is thinned


class Curve:
    """Bytes over time, thinned as it grows: of neighbouring points the higher stays."""

    def __init__(self) -> None:
        self.points: list[tuple[float, int]] = [(0.0, 0)]
        self.now = 0
        self.peak = 0

    def add(self, at: float, change: int) -> None:
        self.now += change
        self.peak = max(self.peak, self.now)
        self.points.append((at, self.now))
        if len(self.points) > POINTS:
            self.points = self.thinned(POINTS // 2)

    def thinned(self, count: int) -> list[tuple[float, int]]:
        if len(self.points) <= count:
            return self.points
        step = -(-len(self.points) // count)
        chunks = [self.points[i : i + step] for i in range(0, len(self.points) - 1, step)]
        return [max(chunk, key=lambda p: p[1]) for chunk in chunks] + [self.points[-1]]


class Frame:
    """One sampled call of one region. ``full``: with meters and digests; else the ledger alone."""

    def __init__(self, region: RegionState, number: int, full: bool, account: Account, base: int) -> None:
        self.region = region
        self.number = number
        self.full = full
        self.account = account
        self.base = base  # module calls around the region
        self.kept = 0  # bytes saved before the previous sampled call that were still alive when this one began
        self.curves: dict[str, Curve] = {}
        self.module_calls = 0
        self.first_call: dict[str, Any] | None = None
        self.outputs: list[Any] = []
        self.after_call: list[int] = []  # bytes held after each outermost module call, on the first meter
        self.own_hooks = False  # the program's own hooks decide what is saved
        self.returned: list[Any] = []


class Recorder:
    """Ledger, meters and module hooks, from the first frame to the last."""

    def __init__(self, run: Run, root: str) -> None:
        self.run = run
        self.root = os.path.join(os.path.realpath(root), "")
        self.frames: list[Frame] = []
        self.calls = ModuleCalls(self._before_call, self._after_call)
        self.ledger: Ledger | None = None
        self.meters: list[Meter] = []
        self._running = False
        self._since_piece = 0
        self._ours: dict[Any, bool] = {}
        self._owners: dict[int, RegionState] = {}
        self._saved_before_call = 0

    # --- frames -----------------------------------------------------------------------------------------------------

    def open(self, region: RegionState, number: int, full: bool) -> Frame:
        self._pause()
        if self.ledger is None:
            self.calls.install()
            self.ledger = Ledger(self._site, self._depth, self._on_read, scan=full)
            self.ledger.__enter__()
            account = self.ledger.account
        else:
            account = Account()
            self.ledger.accounts.append(account)
            if full and not self.ledger.scanned:
                self.ledger.scan_existing()
        frame = Frame(region, number, full, account, len(self.calls.stack))
        self._owners[id(account)] = region
        earlier = self.run.accounts.setdefault(region.id, [])
        # What the previous call returned may well be held by a variable that this call is about to replace.
        frame.kept = sum(other.live for other in earlier[:-1])
        earlier.append(account)
        if full:
            # Kept from one frame to the next: devices and the program's own profiler do not come and go inside.
            self.meters = self.meters or meters()
            frame.curves = {meter.source: Curve() for meter in self.meters}
        self.frames.append(frame)
        self._resume()
        return frame

    def close(self, frame: Frame, names: tuple[str, ...], variables: Mapping[str, Any], raised: str | None) -> None:
        self._pause()
        del self.calls.stack[frame.base :]  # what an exception left behind
        self.frames.remove(frame)
        frame.account.close()
        frame.region.other_threads += self.calls.other_threads
        self.calls.other_threads = 0
        if not self.frames and self.ledger is not None:
            self.ledger.__exit__(None, None, None)
            self.calls.remove()
        self._write(frame, names, variables, raised)
        frame.returned.clear()
        self._resume()

    def _write(self, frame: Frame, names: tuple[str, ...], variables: Mapping[str, Any], raised: str | None) -> None:
        account = frame.account
        line: dict[str, Any] = {
            **frame.region.counters(),
            "call": frame.number,
            "full": frame.full,
            "raised": raised,
            "saved": account.saved,
            "saved_total": account.saved_total,
            "packs": account.packs,
            "module_calls": frame.module_calls,
            "kept": frame.kept,
        }
        if frame.full:
            line["sites"] = [[*site, size] for site, size in account.sites()]
            line["preexisting"] = account.packs and not account.saved_total
            line["peak"] = {source: curve.peak for source, curve in frame.curves.items()}
            line["held"] = {source: curve.now for source, curve in frame.curves.items()}
            line["timeline"] = {s: [[round(t, 3), b] for t, b in c.thinned(400)] for s, c in frame.curves.items()}
            line["after_call"] = frame.after_call
            line["first_call"] = frame.first_call
            line["own_hooks"] = frame.own_hooks
            values = {name: digest(variables[name]) for name in names if name in variables}
            values.update({f"return {i}": digest(v) for i, v in enumerate(frame.returned)})
            line["values"] = values
            line["outputs"] = frame.outputs
            line["random"] = digest(torch.get_rng_state())
        self.run.write("call", **line)

    # --- what the hooks ask and say ---------------------------------------------------------------------------------

    def _depth(self) -> int:
        return len(self.calls.stack) - self.frames[-1].base if self.frames else 0

    def _site(self) -> tuple[str, int, str]:
        """Where the program is: the innermost line of the project's own code, and the innermost module."""
        frame = sys._getframe(2)
        outside = None
        while frame is not None:
            code = frame.f_code
            ours = self._ours.get(code)
            if ours is None:
                ours = self._ours[code] = self._is_ours(code.co_filename)
            if ours:
                path = os.path.realpath(code.co_filename)
                return (path[len(self.root) :].replace(os.sep, "/"), frame.f_lineno, self.calls.label())
            if outside is None and os.sep + "torch" + os.sep not in code.co_filename:
                outside = (code.co_filename, frame.f_lineno, self.calls.label())
            frame = frame.f_back  # type: ignore[assignment]
        return outside or ("", 0, self.calls.label())

    def _is_ours(self, filename: str) -> bool:
        path = os.path.realpath(filename)
        return path.startswith(self.root) and "site-packages" not in path and path not in _OWN

    def _on_read(self, account: Account) -> None:
        region = self._owners.get(id(account))
        if region is None:
            return
        region.read += 1
        if region.read & (region.read - 1) == 0:  # 1, 2, 4, ...: enough to survive a sudden end
            self.run.write("region", **region.counters())

    def _before_call(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        depth = len(self.calls.stack)
        if self.ledger is not None and not self.ledger.innermost():
            self.frames[-1].own_hooks = True
        self._since_piece += 1
        if self._since_piece > PIECE:
            self._pause()
            self._resume()
        outermost = [frame for frame in self.frames if frame.base == depth]
        if not outermost or self.ledger is None:
            return
        self.ledger.add_inputs(tensors_in((args, kwargs)))
        self._saved_before_call = outermost[-1].account.saved_total
        for frame in outermost:
            if frame.full and frame.first_call is None:
                frame.first_call = {"module": type(module).__name__, "inputs": shapes((args, kwargs))}

    def _after_call(self, _module: Any, output: Any) -> None:
        depth = len(self.calls.stack)
        outermost = [frame for frame in self.frames if frame.base == depth]
        if not outermost:
            return
        self._pause()
        for frame in outermost:
            frame.module_calls += 1
            if not frame.full:
                continue
            if frame.module_calls == 1 and frame.first_call is not None:
                frame.first_call["saved"] = frame.account.saved_total - self._saved_before_call
            frame.after_call.append(next(iter(frame.curves.values())).now)
            if len(frame.outputs) < OUTPUTS:
                frame.outputs.append(digest(output))
        self._resume()

    # --- meters -----------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._running:
            return
        self._running = False
        for meter in reversed(self.meters):
            for at, change in meter.pause():
                for frame in self.frames:
                    curve = frame.curves.get(meter.source)
                    if curve is not None:
                        curve.add(at, change)

    def _resume(self) -> None:
        self._since_piece = 0
        if any(frame.full for frame in self.frames):
            for meter in self.meters:
                meter.resume()
            self._running = True


_HERE = os.path.dirname(os.path.realpath(__file__))
_OWN = {os.path.join(_HERE, name) for name in os.listdir(_HERE)}


def shapes(value: object) -> list[list[Any]]:
    """Shape and type of the tensors among the arguments of a call."""
    return [[list(tensor.shape), str(tensor.dtype)[6:]] for tensor in tensors_in(value)]
