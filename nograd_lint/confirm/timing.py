"""How long the outermost module calls of a region take, as they are and under the guard.

Both sides: :class:`Timer` runs in the user's interpreter and measures; :func:`judge_times` is pure Python and judges.
Separate runs, or one block after the other, measure the machine's mood. So the two ways alternate call by call in one
process (as is, guarded, guarded, as is, …), on one CPU thread, in CPU time; on an accelerator in its own events. Where
the program makes too few calls, a call is repeated on the same arguments, provided that this cannot change anything:
every module in eval mode, no buffer and no argument written to.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

PAIRS = 64  # wanted per region
ENOUGH = 20  # below that nothing is said
DEAD_BAND = 0.03
BUDGET = 20.0  # seconds of repetitions per region
BLOCK = 8
RESAMPLES = 2000


class _Timed:
    def __init__(self, calls: int) -> None:
        # The expected number of module calls is known from run A.
        self.repeat = max(0, math.ceil(PAIRS / calls) if calls and calls < 2 * PAIRS else 0)
        self.inside = 0
        self.base = 0
        self.number: dict[str, int] = {}
        self.by_type: dict[str, list[tuple[float, float]]] = {}
        self.waiting: dict[str, tuple[bool, float]] = {}
        self.spent = 0.0
        self.unit = "cpu"

    def pairs_of(self, module: Any) -> list[tuple[float, float]]:
        return self.by_type.setdefault(type(module).__qualname__, [])

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Of the kind of module where the time goes: a loss, called as often as the model, tells nothing of it."""
        return max(self.by_type.values(), key=lambda pairs: sum(a + b for a, b in pairs), default=[])


class Timer:
    """Alternates the guard over the outermost module calls of the regions being timed."""

    def __init__(self, run: Any, guard: Callable[[], Any]) -> None:
        plan = run.plan.get("time") or {}
        self._run = run
        self._guard = guard
        self._timed = {int(key): _Timed(calls) for key, calls in plan.get("regions", {}).items()}
        self._current: list[tuple[Any, _Timed, bool, Any, Callable[[], float], str]] = []
        self._repeating = False
        self._regions: list[_Timed] = []
        self._calls: Any = None
        self._estimates = plan.get("estimates") or {}
        self._estimated: set[int] = set()

    def enter(self, region: Any) -> None:
        timed = self._timed.get(region.id)
        if timed is None:
            return
        if self._calls is None:
            from .modules import ModuleCalls

            self._calls = ModuleCalls(self._before, self._after)
        if not self._regions:
            self._calls.install()
        timed.base = len(self._calls.stack)
        timed.inside = region.id
        self._regions.append(timed)

    def pairs(self, region: int) -> list[tuple[float, float]]:
        """Seconds as is and guarded, of each pair of calls so far."""
        return self._timed[region].pairs

    def leave(self, region: Any) -> None:
        timed = self._timed.get(region.id)
        if timed is None or timed not in self._regions:
            return
        self._regions.remove(timed)
        del self._calls.stack[timed.base :]
        if not self._regions:
            self._calls.remove()
        self._run.write("time", region=region.id, unit=timed.unit, pairs=timed.pairs)

    # --- one module call --------------------------------------------------------------------------------------------

    def _before(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self._repeating or not self._regions or len(self._calls.stack) != self._regions[-1].base:
            return
        from .recorder import shapes

        timed = self._regions[-1]
        inputs = shapes((args, kwargs))
        wanted = self._estimates.get(str(timed.inside))
        if wanted and timed.inside not in self._estimated and wanted["inputs"] == inputs:
            self._estimated.add(timed.inside)
            self._estimate(timed, module, args, kwargs, wanted)
        if (
            timed.repeat
            and timed.spent < BUDGET
            and len(timed.pairs_of(module)) < PAIRS
            and repeatable(module, args, kwargs)
        ):
            self._repeat(timed, module, args, kwargs)
        signature = f"{type(module).__qualname__} {id(module)} {inputs}"
        kind = type(module).__qualname__
        number = timed.number[kind] = timed.number.get(kind, -1) + 1
        guarded = number % 4 in (1, 2)
        guard = self._guard() if guarded else None
        clock = self._clock(timed)
        if guard is not None:
            guard.__enter__()
        self._current.append((module, timed, guarded, guard, clock, signature))
        clock()

    def _after(self, module: Any, _output: Any) -> None:
        if self._repeating or not self._current or self._current[-1][0] is not module:
            return
        _, timed, guarded, guard, clock, signature = self._current.pop()
        spent = clock()
        if guard is not None:
            guard.__exit__(None, None, None)
        # Pairs of neighbours with equal inputs: the last, smaller batch must not be compared with a whole one.
        before = timed.waiting.pop(signature, None)
        if before is None or before[0] == guarded:
            timed.waiting[signature] = (guarded, spent)
        else:
            timed.pairs_of(module).append((before[1], spent) if guarded else (spent, before[1]))

    def _repeat(self, timed: _Timed, module: Any, args: Any, kwargs: Any) -> None:
        begun = time.perf_counter()
        self._repeating = True
        versions = _versions(module, args, kwargs)
        try:
            for number in range(timed.repeat):
                spent = [0.0, 0.0]
                for guarded in (False, True) if number % 2 == 0 else (True, False):
                    clock = self._clock(timed)
                    clock()
                    if guarded:
                        with self._guard():
                            module(*args, **kwargs)
                    else:
                        module(*args, **kwargs)
                    spent[guarded] = clock()
                timed.pairs_of(module).append((spent[0], spent[1]))
                if versions != _versions(module, args, kwargs):
                    timed.repeat = 0
                    break
        finally:
            self._repeating = False
            timed.spent += time.perf_counter() - begun

    def _clock(self, timed: _Timed) -> Callable[[], float]:
        """A stop-watch: seconds since its last reading."""
        import torch

        if torch.cuda.is_available() and torch.cuda.is_initialized():
            timed.unit = "cuda"
            events: list[Any] = []

            def read() -> float:
                event = torch.cuda.Event(enable_timing=True)
                event.record()
                events.append(event)
                if len(events) == 1:
                    return 0.0
                event.synchronize()
                return float(events[-2].elapsed_time(event)) / 1e3

            return read
        last = [time.thread_time()]

        def read_cpu() -> float:
            now = time.thread_time()
            spent, last[0] = now - last[0], now
            return spent

        return read_cpu

    def _estimate(self, timed: _Timed, module: Any, args: Any, kwargs: Any, wanted: Mapping[str, Any]) -> None:
        from .estimate import estimate

        self._repeating = True
        try:
            self._run.write("estimate", region=timed.inside, **estimate(module, args, kwargs, wanted["sizes"]))
        finally:
            self._repeating = False


def repeatable(module: Any, args: Any, kwargs: Any) -> bool:
    """Whether running the module once more on these arguments leaves everything as it is, as far as can be seen."""
    if any(child.training for child in module.modules()):
        return False  # dropout draws random numbers, batch norm updates its statistics
    return _plain((args, dict(kwargs)))


def _plain(value: Any) -> bool:
    import torch

    if value is None or isinstance(value, (torch.Tensor, str, int, float, bool)):
        return True
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    return isinstance(value, (list, tuple)) and all(_plain(item) for item in value)


def _versions(module: Any, args: Any, kwargs: Any) -> list[int]:
    from .modules import tensors_in

    tensors = [*module.parameters(), *module.buffers(), *tensors_in((args, kwargs))]
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


# --- the other side -------------------------------------------------------------------------------------------------


def ratio(pairs: list[tuple[float, float]]) -> float:
    """As is over guarded, of the faster half of each: what other processes steal only ever adds."""
    half = max(1, len(pairs) // 2)
    as_is = sum(sorted(a for a, _ in pairs)[:half])
    guarded = sum(sorted(b for _, b in pairs)[:half])
    return as_is / guarded if guarded else 1.0


def interval(pairs: list[tuple[float, float]], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the ratio, by a bootstrap over blocks: neighbouring calls share the machine's mood."""
    source = random.Random(seed)  # noqa: S311 - statistics
    count = len(pairs)
    block = min(BLOCK, count)
    found = []
    for _ in range(RESAMPLES):
        sample: list[tuple[float, float]] = []
        while len(sample) < count:
            start = source.randrange(count - block + 1)
            sample.extend(pairs[start : start + block])
        found.append(ratio(sample[:count]))
    found.sort()
    return found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES) - 1]


def judge_times(pairs: list[tuple[float, float]], unit: str) -> dict[str, Any]:
    """The figures, and what may be claimed: ``faster``, ``slower``, ``no measurable difference`` or ``not timed``."""
    pairs = pairs[1:] if len(pairs) > ENOUGH else pairs  # the first pays for warming up
    result: dict[str, Any] = {"pairs": len(pairs), "unit": unit, "ratio": None, "ci": None, "claim": "not timed"}
    if len(pairs) < ENOUGH:
        return result
    low, high = interval(pairs)
    result["ratio"], result["ci"] = round(ratio(pairs), 4), [round(low, 4), round(high, 4)]
    result["as_is"] = sorted(a for a, _ in pairs)[len(pairs) // 2]
    result["guarded"] = sorted(b for _, b in pairs)[len(pairs) // 2]
    if low > 1 + DEAD_BAND:
        result["claim"] = "faster"
    elif high < 1 - DEAD_BAND:
        result["claim"] = "slower"
    else:
        result["claim"] = "no measurable difference"
    return result
