"""What holds at a place of a unit, and where branches meet again."""

from __future__ import annotations

from collections.abc import Iterable

from nograd_lint.analysis.values import (
    Mode,
    Val,
    join,
)


class State:
    """Values by name, the grad mode and the guard that set it, and the mode of each model."""

    __slots__ = ("dead", "env", "guard", "mode", "phases")

    def __init__(self, env: dict[str, Val], mode: Mode, guard: int | None, phases: dict[str, str]) -> None:
        self.env = env
        self.mode = mode
        self.guard = guard
        self.phases = phases
        self.dead = False

    def copy(self) -> State:
        return State(dict(self.env), self.mode, self.guard, dict(self.phases))


def join_states(states: Iterable[State]) -> State:
    alive = [s for s in states if not s.dead]
    if not alive:
        dead = State({}, Mode.ENTRY, None, {})
        dead.dead = True
        return dead
    first = alive[0]
    for other in alive[1:]:
        for name, value in other.env.items():
            mine = first.env.get(name)
            if mine is None:
                first.env[name] = value
            elif mine is not value:
                first.env[name] = join((mine, value))
        if other.mode is not first.mode:
            first.mode = Mode.DYNAMIC
            first.guard = first.guard if first.guard is not None else other.guard
        for name in {*first.phases, *other.phases}:
            a, b = first.phases.get(name, ""), other.phases.get(name, "")
            if a != b:
                first.phases[name] = "mixed"
    return first
