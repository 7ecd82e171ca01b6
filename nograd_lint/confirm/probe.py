"""The context manager that instrumented code enters around a region (runs in the user's interpreter).

It does nothing to the program but enter the guard, where the run asks for that. Calls beyond the sampled ones cost a
few microseconds.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import torch

from .modules import is_compiling
from .recorder import Frame, Recorder
from .state import RegionState, Run
from .timing import Timer
from .train import TrainWatch

GUARDS = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


def enabled() -> contextlib.ExitStack:
    """Gradients on, whatever guard is around."""
    stack = contextlib.ExitStack()
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    return stack


def grad_mode() -> str:
    if torch.is_inference_mode_enabled():
        return "inference"
    return "enabled" if torch.is_grad_enabled() else "disabled"


class Probes:
    """All probes of a run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.guard = GUARDS[run.plan["guard"]]
        self.train = TrainWatch(run)
        self.timer = Timer(run, self.guard)
        self.timed = run.plan.get("time") is not None
        self.full = run.samples
        self._device: str | None = None

    def probe(self, id: int, names: tuple[str, ...]) -> Any:  # noqa: A002
        region = self.run.regions[id]
        if is_compiling():
            # Inside a compiled frame nothing can be measured; this much torch.compile understands.
            region.compiled = True
            return self.guard() if region.enter else contextlib.nullcontext()
        if region.kind == "cover":  # what the fix guards around the region
            return self.guard() if region.enter else contextlib.nullcontext()
        return Probe(self, region, names)

    def returned(self, id: int, value: Any) -> Any:  # noqa: A002
        """Sees what ``return`` gives back from inside a region."""
        if not is_compiling():
            for probe in reversed(self.stack()):
                if probe.region.id == id:
                    if probe.frame is not None and probe.frame.full:
                        probe.frame.returned.append(value)
                    break
        return value

    def tell_device(self) -> None:
        """Name the device that the program uses; one that it has not touched must be left alone."""
        used = torch.cuda.is_available() and torch.cuda.is_initialized()
        name = torch.cuda.get_device_name() if used else "cpu"
        if name != self._device:
            self._device = name
            self.run.write("device", name=name)

    def stack(self) -> list[Probe]:
        try:
            stack: list[Probe] = self.run.local.stack
        except AttributeError:
            stack = self.run.local.stack = []
        return stack


class Probe:
    __slots__ = ("_frame", "_guard", "_names", "_outer", "_probes", "region")

    def __init__(self, probes: Probes, region: RegionState, names: tuple[str, ...]) -> None:
        self._probes = probes
        self._names = names
        self._guard: Any = None
        self._frame: Frame | None = None
        self._outer = True
        self.region = region

    @property
    def frame(self) -> Frame | None:
        return self._frame

    def __enter__(self) -> None:
        region, probes = self.region, self._probes
        stack = probes.stack()
        self._outer = all(other.region is not region for other in stack)
        stack.append(self)
        if self._outer:  # a recursive function is measured from its first call
            region.calls += 1
            mode = grad_mode()
            region.modes[mode] = region.modes.get(mode, 0) + 1
            self._start(region, probes)
        if region.enter:
            self._guard = probes.guard() if region.kind == "guard" else enabled()
            self._guard.__enter__()

    def _start(self, region: RegionState, probes: Probes) -> None:
        run = probes.run
        if os.getpid() != run.pid:
            return
        number = region.calls
        if region.kind == "train":
            probes.train.enter(region, sys._getframe(2).f_locals, number <= probes.full)
        elif probes.timed:
            probes.timer.enter(region)
        elif number <= probes.full or number & (number - 1) == 0:
            recorder = getattr(run.local, "recorder", None)
            if recorder is None:
                if not run.recording.acquire(blocking=False):
                    return
                recorder = run.local.recorder = Recorder(run, run.plan["root"])
            self._frame = recorder.open(region, number, number <= probes.full)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:  # noqa: PYI036
        if self._guard is not None:
            self._guard.__exit__(kind, error, traceback)
        probes, region = self._probes, self.region
        probes.stack().remove(self)
        if not self._outer:
            return
        raised = None if kind is None else f"{kind.__name__}: {error}"[:500]
        if self._frame is not None:
            recorder = probes.run.local.recorder
            recorder.close(self._frame, self._names, sys._getframe(1).f_locals, raised)
            self._frame = None
            probes.tell_device()
            if not recorder.frames:
                probes.run.local.recorder = None
                probes.run.recording.release()
        elif region.kind == "train":
            probes.train.leave(region, raised)
        elif probes.timed:
            probes.timer.leave(region)
