"""What answers rest on, in a form that can be kept, and what a change of the project takes with it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from nograd_lint.project.file import Use
from nograd_lint.project.index import ABOUT_NAMES, ABOUT_PATHS

Node: TypeAlias = tuple[Hashable, ...]
Part: TypeAlias = tuple[set[Use], set[Node]]
_Question: TypeAlias = tuple[Use, bytes, list[int]]  # with its answer, and the numbers of the nodes that rest on it
Asked: TypeAlias = dict[Use, tuple[bytes, list[int]]]


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


class _Sheet(msgspec.Struct, array_like=True):
    """What is kept about one file: the questions about it, each with the answer and the nodes that rest on it, and
    its nodes, each with those that rest on it. Nodes of all files are numbered in one row.
    """

    uses: list[_Question]
    nodes: list[tuple[tuple[Any, ...], list[int]]]


_SHEET = msgspec.msgpack.Decoder(_Sheet)
_QUESTIONS = msgspec.msgpack.Decoder(list[_Question])


class Kept(msgspec.Struct, array_like=True):
    """A graph as it is kept, from what is rested on to what rests on it: to read all of it takes long, and a change
    of a few files concerns little of it.
    """

    paths: list[str]  # files that have nodes, in the order of the numbers
    starts: list[int]  # number of the first node of each
    sheets: dict[str, msgspec.Raw]
    stars: dict[str, msgspec.Raw]  # questions about star imports, by name
    others: dict[str, msgspec.Raw]  # further questions, by kind

    def asked(self, changed: Iterable[str], *, same: bool) -> Asked:
        """The questions that may have another answer when some files change, star imports left out."""
        kinds = ABOUT_NAMES if same else self.others.keys()
        found = [self._sheet(path).uses for path in changed]
        found += [_QUESTIONS.decode(self.others[kind]) for kind in kinds if kind in self.others]
        return {use: (answer, users) for uses in found for use, answer, users in uses}

    def asked_of_stars(self, names: Iterable[str] | None) -> Asked:
        """The questions about star imports of some names (None: of all)."""
        found = [self.stars[name] for name in (self.stars if names is None else names) if name in self.stars]
        return {use: (answer, users) for data in found for use, answer, users in _QUESTIONS.decode(data)}

    def _sheet(self, path: str) -> _Sheet:
        return _SHEET.decode(self.sheets[path]) if path in self.sheets else _Sheet([], [])

    def invalid(self, found: Iterable[int], changed: Iterable[str]) -> dict[int, Node]:
        """The nodes that rest, directly or not, on some, by number; and all that is told about some files."""
        sheets: dict[str, _Sheet] = {}
        nodes: dict[int, Node] = {}
        queue = list(dict.fromkeys(found))
        for path in changed:
            sheets[path] = self._sheet(path)
            start = self.starts[bisect_right(self.paths, path) - 1] if sheets[path].nodes else 0
            queue += [start + i for i, (node, _) in enumerate(sheets[path].nodes) if node == ("file", path)]
        for number in queue:
            if number in nodes:
                continue
            at = bisect_right(self.starts, number) - 1
            path = self.paths[at]
            if path not in sheets:
                sheets[path] = self._sheet(path)
            node, parents = sheets[path].nodes[number - self.starts[at]]
            nodes[number] = node
            queue += parents
        return nodes

    def graph(self, stale: Container[Use], gone: Container[int]) -> tuple[Graph, dict[Use, bytes]]:
        """The graph, and the answers to the questions in it, without some of them."""
        nodes: list[tuple[Any, ...]] = []
        parents: list[list[int]] = []
        questions = [_QUESTIONS.decode(data) for group in (self.stars, self.others) for data in group.values()]
        sheets = {path: _SHEET.decode(data) for path, data in self.sheets.items()}
        for path in self.paths:
            for node, above in sheets[path].nodes:
                nodes.append(node)
                parents.append(above)
        parts: dict[Node, Part] = {node: (set(), set()) for i, node in enumerate(nodes) if i not in gone}
        for i, node in enumerate(nodes):
            if i not in gone:
                for other in parents[i]:
                    if other not in gone:
                        parts[nodes[other]][1].add(node)
        answers: dict[Use, bytes] = {}
        for uses in (*questions, *(sheet.uses for sheet in sheets.values())):
            for use, answer, users in uses:
                if use not in stale:
                    answers[use] = answer
                    for user in users:
                        if user not in gone:
                            parts[nodes[user]][0].add(use)
        return Graph(parts), answers


def encode(graph: Graph, answers: Mapping[Use, bytes]) -> bytes:
    """A graph, and the answers to the questions in it, as bytes."""
    ordered = sorted(graph.parts, key=lambda node: str(node[1]))
    numbers = {node: i for i, node in enumerate(ordered)}
    parents: list[list[int]] = [[] for _ in ordered]
    users: dict[Use, list[int]] = {use: [] for use in answers}
    for i, node in enumerate(ordered):
        uses, rest = graph.parts[node]
        for use in uses:
            users[use].append(i)
        for other in rest:
            number = numbers.get(other)
            if number is not None:
                parents[number].append(i)
    sheets: defaultdict[str, _Sheet] = defaultdict(lambda: _Sheet([], []))
    paths: list[str] = []
    starts: list[int] = []
    for i, node in enumerate(ordered):
        path = str(node[1])
        if not paths or paths[-1] != path:
            paths.append(path)
            starts.append(i)
        sheets[path].nodes.append((node, parents[i]))
    stars: defaultdict[str, list[_Question]] = defaultdict(list)
    others: defaultdict[str, list[_Question]] = defaultdict(list)
    for use, answer in answers.items():
        group, path = _source(use)
        question = (use, answer, users[use])
        if group == "file":
            sheets[path].uses.append(question)
        elif group == "star":
            stars[use[2]].append(question)
        else:
            others[group].append(question)
    return msgspec.msgpack.encode((paths, starts, sheets, stars, others))


def decode(data: bytes | msgspec.Raw) -> Kept:
    return msgspec.msgpack.decode(data, type=Kept)
