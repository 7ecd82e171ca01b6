"""Answers about a project that are kept, each for the depths at which it is the same, with what they rest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nograd_lint.project.file import Use
from nograd_lint.project.graph import Graph, Node
from nograd_lint.project.index import Project

T = TypeVar("T")

ANY = 1_000_000


class Answer(Generic[T]):
    """An answer, and the depths of the question at which it is the same."""

    __slots__ = ("high", "low", "value")

    def __init__(self, value: T, low: int, high: int) -> None:
        self.value = value
        self.low = low
        self.high = high


class Frame:
    """What the answer in the making rests on. ``open``: unfinished answers that it had to do without."""

    __slots__ = ("high", "low", "nodes", "open", "uses")

    def __init__(self) -> None:
        self.low, self.high = -ANY, ANY
        self.uses: set[Use] = set()
        self.nodes: set[Node] = set()
        self.open: set[Node] = set()


class Answers:
    """Asks nothing twice.

    Attributes:
        graph: every answer that was given so far → the questions about the project and the other answers it rests on.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.graph = Graph()
        self._answers: dict[Node, list[Answer[Any]]] = {}
        self._making: dict[Node, list[int]] = {}
        self._frame = Frame()
        self.cut = 0

    def memo(self, node: Node, compute: Callable[[], T], unfinished: T) -> T:
        """An answer that is kept, with what it rests on; ``unfinished`` where it is needed to make itself."""
        return self._at(node, 0, compute, unfinished).value

    def record(self, node: Node, compute: Callable[[], T]) -> T:
        """Compute something and note what it rests on."""
        self._answers.pop(node, None)
        return self._at(node, 0, compute, None).value  # type: ignore[return-value]

    def _at(self, node: Node, depth: int, compute: Callable[[], T], unfinished: T) -> Answer[T]:
        frame = self._frame
        frame.nodes.add(node)
        for known in self._answers.get(node, ()):
            if known.low <= depth <= known.high:
                return known
        making = self._making.setdefault(node, [])
        if depth in making:
            frame.open.add((node, depth))
            return Answer(unfinished, depth, depth)
        outer_uses = self.project.uses
        own = self._frame = Frame()
        self.project.uses = own.uses
        making.append(depth)
        try:
            value = compute()
        finally:
            making.pop()
            self._frame, self.project.uses = frame, outer_uses
        answer = Answer(value, max(own.low, -ANY), own.high)
        own.open.discard((node, depth))
        if own.open:
            # It did without something that is only being made: true here, but not for whoever asks next.
            frame.open |= own.open
            frame.nodes |= own.nodes
            outer_uses |= own.uses
            return answer
        self._answers.setdefault(node, []).append(answer)
        self.graph.add(node, own.uses, own.nodes)
        return answer

    def _limit(self, low: int, high: int) -> None:
        """The answer in the making is the same for these depths of its own question only."""
        frame = self._frame
        frame.low = max(frame.low, low)
        frame.high = min(frame.high, high)
