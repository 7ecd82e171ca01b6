"""Values as short plain data, to be compared by the other side (runs in the user's interpreter).

A digest holds a hash over everything (bit-identical or not), and of floating-point values a strided sample (how far
apart).
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Mapping
from typing import Any

SAMPLE = 4096  # values of one tensor that are kept
ITEMS = 256  # entries of one container
TEXT = 1000
SHOWN = 400  # whole numbers of an array that are kept to be shown: a confusion matrix


def digest(value: Any, depth: int = 5) -> dict[str, Any]:
    """What there is to compare of ``value``; objects that hold no data we know are compared by their type alone."""
    try:
        return _digest(value, depth)
    except Exception as error:  # a value that cannot be read must not end the program
        return {"k": "opaque", "type": type(value).__name__, "why": f"{type(error).__name__}: {error}"[:200]}


def _digest(value: Any, depth: int) -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        with torch.no_grad():
            return _tensor(torch, value.detach())
    if value is None or isinstance(value, (bool, int)):
        return {"k": "exact", "type": type(value).__name__, "v": value if abs(value or 0) < 2**53 else str(value)}
    if isinstance(value, float):
        return {"k": "number", "v": float(value)}
    if isinstance(value, (str, bytes)):
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        return {"k": "exact", "type": type(value).__name__, "v": _hash(data), "text": str(value)[:TEXT]}
    if depth > 0:
        if isinstance(value, Mapping):
            items = [(str(key), digest(item, depth - 1)) for key, item in list(value.items())[:ITEMS]]
            return {"k": "map", "n": len(value), "v": dict(items)}
        if isinstance(value, (list, tuple)):
            return _sequence(value, depth)
        if isinstance(value, (set, frozenset)):
            return {"k": "exact", "type": "set", "v": _hash(repr(sorted(map(repr, value))).encode())}
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
            return _array(numpy, value)
        if hasattr(type(value), "__dataclass_fields__"):
            fields = {name: digest(getattr(value, name), depth - 1) for name in type(value).__dataclass_fields__}
            return {"k": "map", "n": len(fields), "v": fields}
    return {"k": "opaque", "type": type(value).__name__}


def _sequence(value: Any, depth: int) -> dict[str, Any]:
    if len(value) > 32 and all(type(item) in (int, float, bool) for item in value):
        numbers = list(value)
        floats = any(type(item) is float for item in numbers)
        whole = {
            "k": "array",
            "d": "float" if floats else "int",
            "s": [len(numbers)],
            "h": _hash(repr(numbers).encode()),
        }
        return {**whole, "v": numbers[:: _step(len(numbers))]} if floats else whole
    return {"k": "list", "n": len(value), "v": [digest(item, depth - 1) for item in value[:ITEMS]]}


def _array(numpy: Any, value: Any) -> dict[str, Any]:
    array = numpy.ascontiguousarray(value)
    whole = {"k": "array", "d": str(array.dtype), "s": list(array.shape), "h": _hash(array.tobytes())}
    if array.dtype.kind == "f":
        whole["v"] = array.reshape(-1)[:: _step(array.size)].astype("float64").tolist()
    elif array.dtype.kind in "iub" and array.size <= SHOWN:
        whole["v"] = array.reshape(-1).tolist()
    return whole


def _tensor(torch: Any, value: Any) -> dict[str, Any]:
    if value.is_sparse:
        value = value.coalesce()
        parts = [_tensor(torch, value.indices()), _tensor(torch, value.values())]
        return {"k": "list", "n": 2, "v": parts}
    if getattr(value, "is_nested", False):
        return {"k": "list", "n": value.size(0), "v": [_tensor(torch, part) for part in value.unbind()[:ITEMS]]}
    if value.is_quantized:
        value = value.int_repr()
    if value.is_complex():
        value = torch.view_as_real(value.resolve_conj())
    flat = value.resolve_neg().cpu().contiguous().reshape(-1)
    size = flat.numel() * flat.element_size()
    data = (ctypes.c_char * size).from_address(flat.data_ptr()) if size else b""
    whole = {"k": "array", "d": str(value.dtype)[6:], "s": list(value.shape), "h": _hash(data)}
    if value.is_floating_point():
        whole["v"] = flat[:: _step(flat.numel())].to(torch.float64).tolist()
    elif flat.numel() <= SHOWN:
        whole["v"] = flat.tolist()
    return whole


def _step(count: int) -> int:
    """A stride that leaves at most SAMPLE values; odd, so as not to stay in one column of a power of two."""
    step = -(-count // SAMPLE)
    return step + 1 if step > 1 and step % 2 == 0 else max(step, 1)


def _hash(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
