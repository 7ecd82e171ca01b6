"""What the text of a file says of it that concerns files which do not import it by any name in sight."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from nograd_lint.syntax.search import in_prose, lines

Extent: TypeAlias = tuple[int, int]

_SWITCH_OFF = re.compile(rb"^(?:\w+\.)*set_grad_enabled\([ \t]*(?:mode[ \t]*=[ \t]*)?False", re.MULTILINE)
_WAKING = re.compile(
    rb"enable_grad|set_grad_enabled|inference_mode\((?!\))|\.backward\(|autograd\.(?:grad\b|functional)|"
    rb"\bfunc\.(?:grad|vjp|jac|hessian)|\b(async)[ \t]+def\b"
)
# One of these stands in whatever the pattern above finds.
_LITERALS = (b"enable_grad", b"set_grad_enabled", b"inference_mode(", b"backward(", b"autograd.", b"func.", b"async")
# Called by the name of their class, or of an instance, which is mostly like it.
_BY_CLASS = frozenset(("__init__", "__new__", "__call__", "__enter__", "__exit__", "forward"))


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """``switches``: the module level turns gradients off. ``wakes``: names of functions that turn gradients on or run
    backward, of those in the file that call them, and of coroutines.
    """

    switches: bool
    wakes: tuple[str, ...]


class Marks:
    """Those of a whole project, of files that have any."""

    def __init__(self, by_file: Mapping[str, Mark]) -> None:
        self.by_file = dict(by_file)
        self._sum_up()

    def replace(self, new: Mapping[str, Mark | None]) -> tuple[bool, bool]:
        """Put in what some files hold now; whether there are other switchers, and other wakers, than before."""
        before = self.switchers, self.wakers
        for path, mark in new.items():
            self.by_file.pop(path, None)
            if mark is not None:
                self.by_file[path] = mark
        self._sum_up()
        return self.switchers != before[0], self.wakers != before[1]

    def _sum_up(self) -> None:
        self.switchers = frozenset(path for path, mark in self.by_file.items() if mark.switches)
        self.wakers = frozenset(name.encode() for mark in self.by_file.values() for name in mark.wakes)


def marked(data: bytes, unit_at: Callable[[int], str], extents: Callable[[], Mapping[str, Extent]]) -> Mark | None:
    """The mark of a file, None where there is nothing to say.

    Args:
        data: the text of the file.
        unit_at: the unit that a byte belongs to, empty where that is the module body.
        extents: where each unit begins and ends.
    """
    switches = b"set_grad_enabled" in data and _SWITCH_OFF.search(data) is not None
    asynchronous: set[str] = set()
    waking: set[str] = set()
    for start, end in lines(data, _LITERALS):
        match = _WAKING.search(data, start, end)
        if match is not None and not in_prose(data, match.start()):
            (waking if match[1] is None else asynchronous).add(unit_at(start))
    new = waking = {_called(unit) for unit in waking if unit}
    while new:  # until nobody else calls one of them
        calls = re.compile(rb"\b(?:%s)[ \t]*\(" % "|".join(map(re.escape, new)).encode())
        new = {_called(unit) for unit, (start, end) in extents().items() if calls.search(data, start, end)} - waking
        waking |= new
    wakes = waking | {_called(unit) for unit in asynchronous if unit}
    return Mark(switches, tuple(sorted(wakes))) if switches or wakes else None


def _called(unit: str) -> str:
    """The name by which a function is called."""
    *_, cls, name = ("", *unit.partition("#")[0].split("."))
    return cls if name in _BY_CLASS and cls else name
