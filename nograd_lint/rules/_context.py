"""What a rule sees of a unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from nograd_lint.analysis.facts import Facts
from nograd_lint.project.file import MODULE
from nograd_lint.rules._base import Note, Place
from nograd_lint.syntax import ir

if TYPE_CHECKING:
    from nograd_lint.diagnostics import Span
    from nograd_lint.project.index import Symbol
    from nograd_lint.project.summaries import World

T = TypeVar("T", bound=ir.Node)

GUARDS = ("torch.no_grad", "torch.inference_mode", "torch.enable_grad", "torch.set_grad_enabled")
DISABLING = ("torch.no_grad", "torch.inference_mode")


def words_of(text: str) -> frozenset[str]:
    """The words of a text, as a set to look names up in."""
    return frozenset(text.split())


_SUITES: dict[type, tuple[str, ...]] = {
    ir.If: ("body", "orelse"),
    ir.For: ("body", "orelse"),
    ir.While: ("body", "orelse"),
    ir.With: ("body",),
    ir.Try: ("body", "orelse", "final"),
    ir.Match: (),
    ir.Def: ("body",),
    ir.Class: ("body",),
}


class UnitContext:
    """A unit, its facts, and the project around it.

    Attributes:
        target_torch: oldest PyTorch the project supports as (major, minor); None means the newest.
        low: whether findings of low confidence are wanted; a rule that finds them dearly may leave them out otherwise.
    """

    def __init__(
        self, world: World, facts: Facts, target_torch: tuple[int, ...] | None = None, *, low: bool = True
    ) -> None:
        self.world = world
        self.facts = facts
        self.path = facts.path
        self.unit = facts.unit
        self.target_torch = target_torch
        self.low = low

    @property
    def is_module(self) -> bool:
        return self.unit == MODULE

    @property
    def root(self) -> ir.Def | None:
        return self.facts.body.root if not self.is_module else None

    @cached_property
    def nodes(self) -> tuple[ir.Node, ...]:
        """Every node of the unit in ordinal order (parents before children)."""
        return self.facts.nodes

    @cached_property
    def by_ordinal(self) -> dict[int, ir.Node]:
        return self.facts.by_ordinal

    @cached_property
    def _by_type(self) -> dict[type, list[ir.Node]]:
        found: dict[type, list[ir.Node]] = {}
        for node in self.nodes:
            found.setdefault(type(node), []).append(node)
        return found

    def all(self, kind: type[T]) -> Sequence[T]:
        """Every node of a type."""
        return self._by_type.get(kind, ())  # type: ignore[return-value]

    @cached_property
    def blocks(self) -> tuple[tuple[ir.Stmt, ...], ...]:
        """Every run of sibling statements, outermost first."""
        found: list[tuple[ir.Stmt, ...]] = []
        if self.facts.body.body:
            found.append(self.facts.body.body)
        for node in self.nodes:
            suites = _SUITES.get(node.__class__)
            if suites is None:
                continue
            found += [suite for name in suites if (suite := getattr(node, name))]
            if isinstance(node, ir.Try):
                found += [handler.body for handler in node.handlers]
            elif isinstance(node, ir.Match):
                found += [case.body for case in node.cases]
        return tuple(found)

    @cached_property
    def parent_statement(self) -> dict[int, int]:
        """Ordinal of every node → ordinal of the innermost statement it belongs to (itself, for a statement)."""
        statements = {s.o for block in self.blocks for s in block}
        result: dict[int, int] = {}
        for node in self.nodes:  # parents come first
            o = node.o
            result[o] = o if o in statements else result[self.parents[o].o]
        return result

    @cached_property
    def enclosing(self) -> dict[int, str]:
        """Ordinal of every node → qualified name of the function around it."""
        result: dict[int, str] = {}

        def visit(node: ir.Node, name: str) -> None:
            result[node.o] = name
            inner = name
            if isinstance(node, ir.Def) and node is not self.root:
                inner = self.facts.functions.get(node.o, f"{name}.{node.name}" if name != MODULE else node.name)
            elif isinstance(node, ir.Class):
                inner = f"{name}.{node.name}" if name != MODULE else node.name
            for child in ir.children(node):
                visit(child, inner)

        for stmt in self.facts.body.body:
            visit(stmt, self.unit)
        return result

    def resolve(self, expr: ir.Expr | None) -> str | None:
        """The canonical dotted name of what an expression refers to outside the project (``torch.no_grad``).

        Works for names under any alias, also in code that the analysis did not reach.
        """
        if expr is None:
            return None
        found = self.facts.resolve(expr)
        if found is not None:
            return found
        dotted = ir.dotted(expr)
        if dotted is None or dotted.partition(".")[0] in self.facts.env:
            return None
        symbol = self.symbol(expr)
        return symbol.name if symbol is not None and symbol.kind == "external" else None

    def symbol(self, expr: ir.Expr | None) -> Symbol | None:
        """What an expression refers to: a function or class of the project, or an external name."""
        if expr is None:
            return None
        found = self.facts.symbols.get(expr.o)
        if found is not None:
            return found
        dotted = ir.dotted(expr)
        return self.world.project.resolve(self.path, dotted, self.local_imports) if dotted is not None else None

    @cached_property
    def place(self) -> dict[int, tuple[tuple[ir.Stmt, ...], int]]:
        """Ordinal of every statement → the run of siblings it stands in, and its index there."""
        return {stmt.o: (block, i) for block in self.blocks for i, stmt in enumerate(block)}

    def after(self, stmt: int) -> tuple[ir.Stmt, ...]:
        """The siblings that follow a statement."""
        block, index = self.place[stmt]
        return block[index + 1 :]

    @cached_property
    def parents(self) -> dict[int, ir.Node]:
        """Ordinal of every node but the outermost → the node right around it."""
        return ir.parents(self.facts.body.body)

    def ancestors(self, node: int) -> Iterator[ir.Node]:
        """The nodes around a node, innermost first."""
        parent = self.parents.get(node)
        while parent is not None:
            yield parent
            parent = self.parents.get(parent.o)

    def inside(self, node: int, outer: int) -> bool:
        """Whether a node is, or lies in, another one."""
        return outer <= node <= self.end_of(outer)

    def span(self, node: int) -> Span:
        """Where a node stands in the unit's text."""
        from nograd_lint.syntax.lower import spans

        return spans(self.text)[node]

    @property
    def text(self) -> str:
        """The unit's text; rows of :meth:`span` are counted in it."""
        file = self.world.project.file(self.path)
        assert file is not None
        return file.text(self.unit)

    def source(self, node: int) -> str:
        """The text of a node."""
        span = self.span(node)
        lines = self.text.split("\n")[span.start.row - 1 : span.end.row]
        lines[-1] = lines[-1][: span.end.column - 1]
        lines[0] = lines[0][span.start.column - 1 :]
        return "\n".join(lines)

    @cached_property
    def local_imports(self) -> dict[str, ir.Alias]:
        from nograd_lint.project.file import bound_name

        if self.is_module:
            return {}
        return {bound_name(a): a for stmt in self.all(ir.Import) for a in stmt.names}

    @cached_property
    def yields_and_awaits(self) -> frozenset[int]:
        return frozenset(n.o for n in self.nodes if isinstance(n, (ir.Yield, ir.Await)))

    @cached_property
    def _ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        for node in reversed(self.nodes):
            ends[node.o] = max((ends[child.o] for child in ir.children(node)), default=node.o)
        return ends

    def end_of(self, node: int) -> int:
        """The last ordinal inside a node."""
        return self._ends.get(node, node)

    def other(self, path: str, unit: str) -> UnitContext | None:
        """Another unit of the project."""
        facts = self.world.facts(path, unit)
        return UnitContext(self.world, facts, self.target_torch) if facts is not None else None

    def note(self, message: str, node: int) -> Note:
        return Note(message, Place(self.path, self.unit, node))

    def note_at(self, message: str, path: str, unit: str, node: int) -> Note:
        return Note(message, Place(path, unit, node))
