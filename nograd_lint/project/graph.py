"""What answers rest on, in a form that can be kept, and what a change of the project takes with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from nograd_lint.project.index import ABOUT_NAMES, ABOUT_PATHS, Use

Node: TypeAlias = tuple[Hashable, ...]
Part: TypeAlias = tuple[set[Use], set[Node]]


class Graph:
    """Every answer that was given → the questions about the project and the other answers it rests on."""

    def __init__(self, parts: dict[Node, Part] | None = None) -> None:
        self.parts = parts if parts is not None else {}
        self._reverse: _Reverse | None = None

    def add(self, node: Node, uses: set[Use], nodes: set[Node]) -> None:
        """An answer rests on these, too."""
        known = self.parts.setdefault(node, (uses, nodes))
        if known[0] is not uses:
            known[0].update(uses)
            known[1].update(nodes)
        if self._reverse is not None:
            self._reverse.add(node, uses, nodes)

    def merge(self, more: Graph) -> None:
        for node, (uses, nodes) in more.parts.items():
            self.add(node, uses, nodes)

    def remove(self, node: Node) -> None:
        part = self.parts.pop(node, None)
        if part is not None and self._reverse is not None:
            self._reverse.remove(node, part)

    def below(self, nodes: Iterable[Node]) -> Graph:
        """Some answers and all that they rest on."""
        found: dict[Node, Part] = {}
        queue = list(nodes)
        for node in queue:
            if node not in found and node in self.parts:
                found[node] = self.parts[node]
                queue += found[node][1]
        return Graph(found)

    def uses(self) -> set[Use]:
        """Every question that something rests on."""
        return set().union(*(uses for uses, _ in self.parts.values()))

    def invalid(self, stale: set[Use], also: Iterable[Node]) -> set[Node]:
        """The answers that rest, directly or not, on a question that has another answer now."""
        if self._reverse is not None:
            parents: Mapping[Node, Iterable[Node]] = self._reverse.parents
            found = {node for use in stale for node in self._reverse.users.get(use, ())}
        else:
            parents = made = defaultdict(list)
            for node, (_, rest) in self.parts.items():
                for other in rest:
                    made[other].append(node)
            found = {node for node, (used, _) in self.parts.items() if not stale.isdisjoint(used)}
        found.update(node for node in also if node in self.parts)
        queue = list(found)
        for node in queue:
            for parent in parents.get(node, ()):
                if parent not in found:
                    found.add(parent)
                    queue.append(parent)
        return found

    # --- for those who change the project again and again -------------------------------------------------------------

    def follow(self) -> None:
        """Keep an account of what rests on what from now on; making it is too dear for a single change."""
        if self._reverse is None:
            self._reverse = _Reverse()
            for node, (uses, nodes) in self.parts.items():
                self._reverse.add(node, uses, nodes)

    @property
    def followed(self) -> bool:
        return self._reverse is not None

    def rests_on(self, use: Use) -> bool:
        """Whether something rests on a question. (Only where the graph is followed.)"""
        return self._reverse is not None and use in self._reverse.users

    def uses_that(self, concerns: Callable[[Use], bool], changed: Iterable[str]) -> Iterator[Use]:
        """The questions that may have another answer now. (Only where the graph is followed.)"""
        if self._reverse is not None:
            for path in changed:
                yield from self._reverse.alike.get(("file", path), ())
            for group, path in self._reverse.beyond:
                alike = self._reverse.alike[group, path]
                if alike and concerns(next(iter(alike))):
                    yield from alike

    def orphans(self) -> set[Use]:
        """The questions that nothing rests on any more since this was asked last."""
        if self._reverse is None:
            return set()
        found, self._reverse.orphans = self._reverse.orphans, set()
        return found


class _Reverse:
    """The same the other way round."""

    def __init__(self) -> None:
        self.orphans: set[Use] = set()
        self.users: defaultdict[Use, set[Node]] = defaultdict(set)
        self.parents: defaultdict[Node, set[Node]] = defaultdict(set)
        self.alike: defaultdict[tuple[str, str], set[Use]] = defaultdict(set)  # by what their answers come from
        self.beyond: set[tuple[str, str]] = set()  # those of them that are not about one file

    def add(self, node: Node, uses: set[Use], nodes: set[Node]) -> None:
        for use in uses:
            users = self.users[use]
            if not users:
                source = _source(use)
                self.alike[source].add(use)
                if source[0] != "file":
                    self.beyond.add(source)
            users.add(node)
        for other in nodes:
            self.parents[other].add(node)

    def remove(self, node: Node, part: Part) -> None:
        for use in part[0]:
            users = self.users[use]
            users.discard(node)
            if not users:
                del self.users[use]
                self.orphans.add(use)
                self.alike[_source(use)].discard(use)
        for other in part[1]:
            self.parents[other].discard(node)


def _source(use: Use) -> tuple[str, str]:
    kind = use[0]
    if kind in ABOUT_NAMES or kind in ABOUT_PATHS:
        return kind, ""
    return "star" if kind == "star" else "file", use[1]


class Kept(msgspec.Struct, array_like=True):
    """A graph as it is kept, with numbers for questions and nodes: to make sets of all of it takes long."""

    uses: list[Use]
    answers: list[bytes]
    nodes: list[tuple[Any, ...]]
    by_node: list[tuple[list[int], list[int]]]

    def invalid(self, stale: set[Use], also: Iterable[Node]) -> set[Node]:
        """See :meth:`Graph.invalid`; what is found is gone from then on."""
        old = {i for i, use in enumerate(self.uses) if use in stale}
        wanted = set(also)
        parents: dict[int, list[int]] = {}
        found: dict[int, None] = {}
        for number, (used, rest) in enumerate(self.by_node):
            for other in rest:
                parents.setdefault(other, []).append(number)
            if not old.isdisjoint(used) or tuple(self.nodes[number]) in wanted:
                found[number] = None
        queue = list(found)
        for number in queue:
            for parent in parents.get(number, ()):
                if parent not in found:
                    found[parent] = None
                    queue.append(parent)
        self.uses = [() if i in old else use for i, use in enumerate(self.uses)]
        nodes = {tuple(self.nodes[number]) for number in found}
        for number in found:
            self.by_node[number] = ([], [])
            self.nodes[number] = ()
        return nodes

    def graph(self) -> tuple[Graph, dict[Use, bytes]]:
        """The graph, and the answers to the questions in it."""
        nodes = [tuple(node) for node in self.nodes]
        parts: dict[Node, Part] = {}
        for node, (used, rest) in zip(nodes, self.by_node, strict=True):
            if node:
                parts[node] = {self.uses[i] for i in used}, {nodes[i] for i in rest if nodes[i]}
        return Graph(parts), {use: answer for use, answer in zip(self.uses, self.answers, strict=True) if use}


def encode(graph: Graph, answers: Mapping[Use, bytes]) -> bytes:
    """A graph, and the answers to the questions in it, as bytes."""
    uses = {use: i for i, use in enumerate(answers)}
    nodes = {node: i for i, node in enumerate(graph.parts)}
    by_node = [([uses[u] for u in used], [nodes[n] for n in rest if n in nodes]) for used, rest in graph.parts.values()]
    return msgspec.msgpack.encode(Kept(list(uses), list(answers.values()), list(nodes), by_node))


def decode(data: bytes) -> Kept:
    return msgspec.msgpack.decode(data, type=Kept)
