"""Are the results of two runs the same? Compared value by value, each against its own reproducibility.

What two runs of the unchanged program do not agree on says nothing about the fix, so those values are left out, one by
one; the rest has to be equal. A noise *level* is no bound: one value's noise excuses no other value's change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HALF = frozenset(("float16", "bfloat16", "half"))
HALF_TOLERANCE = 1e-2
NOISE_FACTOR = 10  # how far beyond the noise a difference must be where nothing is reproducible

_MISSING = {"k": "missing"}


@dataclass
class Comparison:
    """``state``: bit_identical, within_tolerance, within_noise, changed, or none (nothing to compare)."""

    state: str
    compared: int = 0
    left_out: int = 0
    max_abs: float | None = None
    rel: float | None = None
    where: str | None = None


def leaves(path: str, digest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The single values of a digest, with their names."""
    if digest["k"] == "map":
        yield path, {"k": "size", "type": "map", "v": digest["n"]}
        for key, item in digest["v"].items():
            yield from leaves(f"{path}[{key!r}]", item)
    elif digest["k"] == "list":
        yield path, {"k": "size", "type": "list", "v": digest["n"]}
        for number, item in enumerate(digest["v"]):
            yield from leaves(f"{path}[{number}]", item)
    else:
        yield path, digest


def values_of(samples: list[dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Everything that the fully sampled calls of a region left to compare."""
    found: dict[str, Mapping[str, Any]] = {}
    for sample in samples:
        call = f"call {sample['call']}: "
        for number, output in enumerate(sample["outputs"], 1):
            found.update(leaves(f"{call}output of model call {number}", output))
        for name, value in sample["values"].items():
            shown = "returned value" if name.startswith("return ") else name
            found.update(leaves(call + shown, value))
        found[f"{call}state of the random numbers"] = {**sample["random"], "aside": True}
    return found


@dataclass
class _Difference:
    identical: bool
    within: bool
    reproducible: bool
    max_abs: float = 0.0
    rel: float = 0.0
    noise: float = 0.0


def compare(
    a: Mapping[str, Mapping[str, Any]],
    b: Mapping[str, Mapping[str, Any]],
    again: Mapping[str, Mapping[str, Any]] | None,
    tolerance: float,
) -> Comparison:
    """Run A against run B; ``again`` is a second run A, needed only where these two differ."""
    compared = left_out = 0
    worst: tuple[float, float, str] | None = None
    close: tuple[float, float, str] | None = None
    noisy = False
    for name in sorted(a.keys() | b.keys()):
        first, second = a.get(name, _MISSING), b.get(name, _MISSING)
        third = None if again is None else again.get(name, _MISSING)
        found = _difference(first, second, third, tolerance)
        if not found.reproducible:
            left_out += 1
            noisy = noisy or found.rel > NOISE_FACTOR * max(found.noise, 1e-12)
            continue
        if found.identical and (first["k"] == "size" or first.get("aside")):
            continue  # has to be equal, and says nothing by being so
        compared += 1
        entry = (found.rel, found.max_abs, name)
        if not found.within and (worst is None or entry > worst):
            worst = entry
        elif not found.identical and (close is None or entry > close):
            close = entry
    if worst is not None:
        return Comparison("changed", compared, left_out, worst[1], worst[0], worst[2])
    if compared == 0:
        if left_out == 0:
            return Comparison("none")
        return Comparison("changed" if noisy else "within_noise", 0, left_out)
    if close is not None:
        return Comparison("within_tolerance", compared, left_out, close[1], close[0], close[2])
    return Comparison("bit_identical", compared, left_out, 0.0, 0.0)


def _difference(
    a: Mapping[str, Any], b: Mapping[str, Any], again: Mapping[str, Any] | None, tolerance: float
) -> _Difference:
    if _same(a, b):
        return _Difference(True, True, True)
    floats = [_floats(value) for value in (a, b)]
    if again is not None and _same(a, again):
        again = None  # reproducible as a whole
    if floats[0] is None or floats[1] is None or not _alike(a, b):
        return _Difference(False, False, again is None, math.inf, math.inf)
    third = None if again is None else _floats(again)
    if again is not None and (third is None or len(third) != len(floats[0])):
        return _Difference(False, False, False, math.inf, math.inf, math.inf)
    first, second = floats[0], floats[1]
    keep = [i for i in range(len(first)) if third is None or _equal(first[i], third[i])]
    scale = max((abs(v) for v in first if math.isfinite(v)), default=0.0)
    whole = _apart([(first[i], second[i]) for i in range(len(first))])
    noise = 0.0 if third is None else _apart([(first[i], third[i]) for i in range(len(first))])
    if again is not None and (not keep or len(keep) * 2 < len(first)):
        return _Difference(False, False, False, whole, _relative(whole, scale), _relative(noise, scale))
    apart = _apart([(first[i], second[i]) for i in keep])
    bound = HALF_TOLERANCE if a.get("d") in HALF else tolerance
    rel = _relative(apart, scale)
    return _Difference(False, rel <= bound, True, apart, rel, _relative(noise, scale))


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if a["k"] != b["k"]:
        return False
    if a["k"] == "array":
        return bool(a["h"] == b["h"] and _alike(a, b))
    if a["k"] == "number":
        return _equal(a["v"], b["v"])
    if a["k"] == "opaque":
        return bool(a["type"] == b["type"])
    return a == b


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return bool(a["k"] == b["k"] and a.get("d") == b.get("d") and a.get("s") == b.get("s"))


def _floats(value: Mapping[str, Any]) -> list[float] | None:
    if value["k"] == "number":
        return [value["v"]]
    if value["k"] == "array" and "float" in value["d"] and "v" in value:
        return list(value["v"])
    return None


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _apart(pairs: list[tuple[float, float]]) -> float:
    """The largest distance; infinite where one is finite and the other is not."""
    largest = 0.0
    for a, b in pairs:
        if _equal(a, b):
            continue
        if not (math.isfinite(a) and math.isfinite(b)):
            return math.inf
        largest = max(largest, abs(a - b))
    return largest


def _relative(apart: float, scale: float) -> float:
    return 0.0 if apart == 0.0 else apart / scale if scale else math.inf


# --- output ---------------------------------------------------------------------------------------------------------

_NOISE = re.compile(
    r",?\s*grad_fn=<[^<>]*>|,\s*requires_grad=True"  # how tensors print that carry a graph
    r"|(?<=in )\d+(\.\d+)?s\b( \([\d:]+\))?"  # how long pytest took
    r"|0x[0-9a-f]{6,}"
)


def lines_of(text: str) -> list[str]:
    """The lines of an output, without what says nothing about results."""
    return [_NOISE.sub("", line).strip("= \t") for line in text.splitlines()]


@dataclass
class Output:
    """``same`` is None where the unchanged program does not print the same twice."""

    same: bool | None
    first: tuple[str, str] | None = None
    left_out: int = 0


def compare_output(a: str, b: str, again: str | None) -> Output:
    """What two runs printed, line by line; lines that ``again``, a second run A, does not reproduce are left out."""
    first, second = lines_of(a), lines_of(b)
    if first == second:
        return Output(True)
    third = first if again is None else lines_of(again)
    if len(third) != len(first):
        return Output(None)
    unstable = {i for i, line in enumerate(first) if third[i] != line}
    if len(first) != len(second):
        return Output(None if unstable else False, None, len(unstable))
    for i, (one, other) in enumerate(zip(first, second, strict=True)):
        if one != other and i not in unstable:
            return Output(False, (one, other), len(unstable))
    return Output(True, None, len(unstable))
