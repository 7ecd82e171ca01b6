"""What answers rest on, in a form that can be kept, and what a change of the project takes with it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import msgspec

from nograd_lint.project.index import Use

Graph = dict[tuple[Hashable, ...], tuple[set[Use], set[tuple[Hashable, ...]]]]


class _Kept(msgspec.Struct, array_like=True):
    uses: list[Use]
    answers: list[bytes]
    nodes: list[tuple[Any, ...]]
    by_node: list[tuple[list[int], list[int]]]


def encode(graph: Graph, answers: Mapping[Use, bytes]) -> bytes:
    """A graph, and the answers to the questions in it, as bytes."""
    uses = {use: i for i, use in enumerate(answers)}
    nodes = {node: i for i, node in enumerate(graph)}
    by_node = [([uses[u] for u in used], [nodes[n] for n in rest if n in nodes]) for used, rest in graph.values()]
    return msgspec.msgpack.encode(_Kept(list(uses), list(answers.values()), list(nodes), by_node))


def decode(data: bytes) -> tuple[Graph, dict[Use, bytes]]:
    kept = msgspec.msgpack.decode(data, type=_Kept)
    nodes = [tuple(node) for node in kept.nodes]
    graph: Graph = {}
    for node, (used, rest) in zip(nodes, kept.by_node, strict=True):
        graph[node] = {kept.uses[i] for i in used}, {nodes[i] for i in rest}
    return graph, dict(zip(kept.uses, kept.answers, strict=True))


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
