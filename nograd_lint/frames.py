"""Room for deep recursion."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_WORDS = 1 << 16


def roomy(function: Callable[P, T]) -> Callable[P, T]:
    """Let the frames of a function, and of all that it calls, lie in one stretch of memory.

    Since 3.11, Python keeps frames in chunks of 16 KiB and maps and unmaps one at every call that crosses the end of
    the last: for a recursion that goes up and down there, thousands of times (a tenth of the time of an analysis).
    A frame that is itself too large gets a chunk of its size, rounded up, and those above it have what is left.
    """

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    call.__code__ = call.__code__.replace(co_stacksize=_WORDS)
    return functools.wraps(function)(call)
