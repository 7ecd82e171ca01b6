"""What a module would save for backward at other batch sizes, without running it (user's interpreter).

Under ``FakeTensorMode`` tensors have shapes and no data: the operations that save something save it all the same. What
comes out is an estimate: kernels may take other ways on real data.
"""

from __future__ import annotations

import contextlib
import copy
import io
import random
from collections.abc import Mapping
from typing import Any

import torch

from .ledger import Ledger
from .modules import ModuleCalls, tensors_in


def batch_size(args: Any, kwargs: Any) -> int | None:
    """The first dimension that the tensor arguments share."""
    sizes = {tensor.shape[0] for tensor in tensors_in((args, kwargs)) if tensor.dim() > 0}
    return sizes.pop() if len(sizes) == 1 else None


def estimate(module: Any, args: Any, kwargs: Mapping[str, Any], sizes: list[int]) -> dict[str, Any]:
    """Saved bytes of one call of ``module`` at its own batch size and at ``sizes``; why not, where that fails."""
    batch = batch_size(args, kwargs)
    if batch is None:
        return {"batch": None, "why": "the arguments share no first dimension", "saved": {}}
    state = random.getstate()
    try:
        with contextlib.redirect_stdout(io.StringIO()), torch.enable_grad():
            saved = {str(size): _saved(module, args, kwargs, batch, size) for size in [batch, *sizes]}
    except Exception as error:  # any module may do what fake tensors cannot
        return {"batch": batch, "why": f"{type(error).__name__}: {error}"[:200], "saved": {}}
    finally:
        random.setstate(state)
    return {"batch": batch, "why": None, "saved": saved}


def _saved(module: Any, args: Any, kwargs: Mapping[str, Any], batch: int, size: int) -> int:
    from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with FakeCopyMode(mode):
        fake = copy.deepcopy(module)

    def resized(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            shape = list(value.shape)
            if shape and shape[0] == batch:
                shape[0] = size
            with mode:
                made = torch.empty(shape, dtype=value.dtype, device=value.device)
            return made.requires_grad_(value.requires_grad) if value.requires_grad else made
        if isinstance(value, dict):
            return {key: resized(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(resized(item) for item in value)
        return value

    args, kwargs = resized(tuple(args)), resized(dict(kwargs))
    calls = ModuleCalls(lambda *_: None, lambda *_: None)
    calls.install()
    try:
        ledger = Ledger(depth=lambda: len(calls.stack))
        ledger.add_inputs(tensors_in((args, kwargs)))
        with mode, ledger:
            fake(*args, **kwargs)
    finally:
        calls.remove()
    return ledger.account.saved_total
