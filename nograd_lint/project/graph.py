"""What answers rest on, in a form that can be kept, and what a change of the project takes with it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import msgspec

from nograd_lint.project.index import Use

Graph = dict[tuple[Hashable, ...], tuple[set[Use], set[tuple[Hashable, ...]]]]


class Kept(msgspec.Struct, array_like=True):
    """A graph as it is kept, with numbers for questions and nodes: to make sets of all of it takes long."""

    uses: list[Use]
    answers: list[bytes]
    nodes: list[tuple[Any, ...]]
    by_node: list[tuple[list[int], list[int]]]

    def invalid(self, stale: set[Use], also: Iterable[tuple[Hashable, ...]]) -> set[tuple[Hashable, ...]]:
        """See :func:`invalid`; what is found is gone from then on."""
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
        graph: Graph = {}
        for node, (used, rest) in zip(nodes, self.by_node, strict=True):
            if node:
                graph[node] = {self.uses[i] for i in used}, {nodes[i] for i in rest if nodes[i]}
        return graph, {use: answer for use, answer in zip(self.uses, self.answers, strict=True) if use}


def encode(graph: Graph, answers: Mapping[Use, bytes]) -> bytes:
    """A graph, and the answers to the questions in it, as bytes."""
    uses = {use: i for i, use in enumerate(answers)}
    nodes = {node: i for i, node in enumerate(graph)}
    by_node = [([uses[u] for u in used], [nodes[n] for n in rest if n in nodes]) for used, rest in graph.values()]
    return msgspec.msgpack.encode(Kept(list(uses), list(answers.values()), list(nodes), by_node))


def decode(data: bytes) -> Kept:
    return msgspec.msgpack.decode(data, type=Kept)


def invalid(graph: Graph, stale: set[Use], also: Iterable[tuple[Hashable, ...]]) -> set[tuple[Hashable, ...]]:
    """The answers that rest, directly or not, on a question that has another answer now."""
    parents: dict[tuple[Hashable, ...], list[tuple[Hashable, ...]]] = {}
    for node, (_, rest) in graph.items():
        for other in rest:
            parents.setdefault(other, []).append(node)
    found = {node for node, (used, _) in graph.items() if not stale.isdisjoint(used)}
    found.update(node for node in also if node in graph)
    queue = list(found)
    for node in queue:
        for parent in parents.get(node, ()):
            if parent not in found:
                found.add(parent)
                queue.append(parent)
    return found
