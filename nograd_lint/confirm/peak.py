"""Bytes allocated over time (runs in the user's interpreter).

A meter reports *changes* in the order in which they happened, in pieces: the recorder pauses it between module calls,
so that neither its own work nor an unbounded list of events gets into the figures.

=============  ===================================================================================================
``profiler``   CPU: the allocation events of torch's own profiler; exact, temporaries inside kernels included
``dispatch``   CPU, where the program runs a profiler itself: storages of operators' results; misses temporaries
``cuda``       the allocator's figures (``xpu`` and other accelerators likewise)
``mps``        the allocator's current figure, sampled at module calls: MPS has no peak
=============  ===================================================================================================
"""

from __future__ import annotations

import contextlib
import time
import warnings
import weakref
from typing import Any

import torch

Change = tuple[float, int]  # milliseconds since the meter was first started, + or - bytes


class Meter:
    source = ""

    def __init__(self) -> None:
        self._measured = 0.0  # milliseconds before the current piece
        self._begun = 0.0

    def resume(self) -> None:
        self._begin()
        self._begun = time.perf_counter()

    def pause(self) -> list[Change]:
        """Stop, and return what changed since ``resume``."""
        elapsed = (time.perf_counter() - self._begun) * 1e3
        changes = self._end(elapsed)
        base, self._measured = self._measured, self._measured + elapsed
        return [(base + at, size) for at, size in changes]

    def _begin(self) -> None:
        raise NotImplementedError

    def _end(self, elapsed: float, /) -> list[Change]:
        raise NotImplementedError


class ProfilerMeter(Meter):
    source = "profiler"

    def _begin(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._profile = torch.autograd.profiler.profile(profile_memory=True)
            self._profile.__enter__()

    def _end(self, elapsed: float) -> list[Change]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._profile.__exit__(None, None, None)
        results = self._profile.kineto_results
        del self._profile
        cpu = torch.autograd.DeviceType.CPU
        found = []
        for event in results.events():
            if event.name() == "[memory]" and event.device_type() == cpu:
                start = event.start_ns() if hasattr(event, "start_ns") else event.start_us() * 1000
                found.append((start, event.nbytes()))
        if not found:
            return []
        # The profiler's clock starts where it likes: take its first event for the beginning of the piece.
        found.sort(key=lambda item: item[0])
        zero = found[0][0]
        return [(min((at - zero) / 1e6, elapsed), size) for at, size in found]


class DispatchMeter(Meter):
    """Must never be active around compiled code: that would be run eagerly, and measured so."""

    source = "dispatch"

    def _begin(self) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils._pytree import tree_flatten

        changes = self._changes = []  # type: list[Change]
        begun = time.perf_counter()
        known: dict[int, Any] = self.__dict__.setdefault("_known", {})

        def note(size: int) -> None:
            changes.append(((time.perf_counter() - begun) * 1e3, size))

        def freed(key: int, size: int) -> None:
            known.pop(key, None)
            self._note(-size)

        class Watch(TorchDispatchMode):  # type: ignore[misc]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                inputs = {
                    t.untyped_storage()._cdata
                    for t in tree_flatten((args, kwargs or {}))[0]
                    if isinstance(t, torch.Tensor) and t.layout is torch.strided
                }
                out = func(*args, **(kwargs or {}))
                for t in tree_flatten(out)[0]:
                    if not isinstance(t, torch.Tensor) or t.layout is not torch.strided or t.device.type != "cpu":
                        continue
                    storage = t.untyped_storage()
                    key = storage._cdata
                    if key not in known and key not in inputs:
                        size = storage.nbytes()
                        known[key] = weakref.finalize(storage, freed, key, size)
                        note(size)
                return out

        self._note = note
        self._mode = Watch()
        self._mode.__enter__()

    def _end(self, _elapsed: float) -> list[Change]:
        self._mode.__exit__(None, None, None)
        return self._changes


class AcceleratorMeter(Meter):
    """The caching allocator's own books: a peak per piece and device, and what is left at its end."""

    def __init__(self, api: Any, source: str, devices: int) -> None:
        super().__init__()
        self.source = source
        self._api = api
        self._devices = range(devices)

    def _figures(self, device: int) -> tuple[int, int]:
        """Bytes now and at most: as requested where the allocator says so, else in its own block sizes."""
        stats = self._api.memory_stats(device)
        if "requested_bytes.all.peak" in stats:
            return stats["requested_bytes.all.current"], stats["requested_bytes.all.peak"]
        return stats.get("allocated_bytes.all.current", 0), stats.get("allocated_bytes.all.peak", 0)

    def _synchronize(self) -> None:
        for device in self._devices:
            self._api.synchronize(device)

    def _begin(self) -> None:
        self._synchronize()
        for device in self._devices:
            self._api.reset_peak_memory_stats(device)
        self._base = sum(self._figures(device)[0] for device in self._devices)

    def _end(self, elapsed: float) -> list[Change]:
        self._synchronize()
        figures = [self._figures(device) for device in self._devices]
        # Devices need not peak at one time; with several, the sum of their peaks is an upper bound.
        highest = sum(peak for _, peak in figures)
        now = sum(current for current, _ in figures)
        return [(elapsed / 2, highest - self._base), (elapsed, now - highest)]


class MpsMeter(Meter):  # pragma: no cover - needs Apple hardware
    source = "mps-sampled"

    def _begin(self) -> None:
        torch.mps.synchronize()
        self._base = torch.mps.current_allocated_memory()

    def _end(self, elapsed: float) -> list[Change]:
        torch.mps.synchronize()
        return [(elapsed, torch.mps.current_allocated_memory() - self._base)]


def meters() -> list[Meter]:
    """The meters for what the program uses at this moment; a CPU meter is always among them."""
    found: list[Meter] = []
    running = getattr(torch.autograd, "_profiler_enabled", lambda: False)()
    # A second profiler would silently end the program's own.
    found.append(DispatchMeter() if running else ProfilerMeter())
    accelerator = _accelerator()
    if accelerator is not None:
        found.append(accelerator)
    return found


def _accelerator() -> Meter | None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return AcceleratorMeter(torch.cuda, "cuda", torch.cuda.device_count())
    backend = getattr(getattr(torch, "backends", None), "mps", None)
    if backend is not None and backend.is_available():  # pragma: no cover - needs Apple hardware
        return MpsMeter()
    api = getattr(torch, "accelerator", None)
    if api is not None and hasattr(api, "reset_peak_memory_stats"):
        with contextlib.suppress(RuntimeError):
            device = api.current_accelerator() if api.is_available() else None
            if device is not None and device.type not in ("cuda", "mps"):  # pragma: no cover - needs such a device
                return AcceleratorMeter(api, device.type, api.device_count())
    return None
