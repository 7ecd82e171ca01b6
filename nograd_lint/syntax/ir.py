"""The facts of a unit: its statements and expressions as plain data.

A *unit* is a function or method (with everything nested in it), or a module body whose functions are blanked. The
visitor in :mod:`nograd_lint.syntax.lower` turns its libcst tree into these structures; nothing beyond this package
ever holds a syntax-tree node. Facts depend on the unit's own text alone: names are unresolved, and a place is the
ordinal ``o`` of a node in visiting order. :func:`nograd_lint.syntax.lower.spans` maps ordinals to rows and columns,
for what is reported only.

``array_like`` and ``tag`` make them cheap to cache; ``gc=False`` is right because trees hold no cycles.
"""

from __future__ import annotations

from typing import TypeAlias, Union, get_args

import msgspec


class Node(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    o: int  # ordinal, in visiting order within the unit


# --- expressions ------------------------------------------------------------------------------------------------------


class Name(Node, frozen=True):
    id: str


class Attr(Node, frozen=True):
    value: Expr
    attr: str


class Call(Node, frozen=True):
    func: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...]  # a name of "" stands for **value

    def keyword(self, name: str) -> Expr | None:
        return next((v for k, v in self.keywords if k == name), None)


class Const(Node, frozen=True):
    """A literal; ``kind`` is none, bool, int, float, complex, str, bytes or ellipsis. Long strings are cut."""

    kind: str
    value: bool | int | float | str | None


class Sub(Node, frozen=True):
    value: Expr
    index: tuple[Expr, ...]


class Slice(Node, frozen=True):
    parts: tuple[Expr | None, ...]


class Bin(Node, frozen=True):
    op: str
    left: Expr
    right: Expr


class Bool(Node, frozen=True):
    op: str  # and, or
    values: tuple[Expr, ...]


class Unary(Node, frozen=True):
    op: str
    operand: Expr


class Compare(Node, frozen=True):
    left: Expr
    ops: tuple[str, ...]
    rights: tuple[Expr, ...]


class IfExp(Node, frozen=True):
    test: Expr
    body: Expr
    orelse: Expr


class Param(msgspec.Struct, frozen=True, array_like=True, gc=False):
    name: str
    kind: str  # positional, keyword, star, star2
    annotation: Expr | None
    default: Expr | None


class Lambda(Node, frozen=True):
    params: tuple[Param, ...]
    body: Expr


class CompFor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    target: Expr
    iter: Expr
    ifs: tuple[Expr, ...]
    is_async: bool


class Comp(Node, frozen=True):
    """``kind`` is list, set, dict or generator; a dict has key ``elt`` and ``value``."""

    kind: str
    elt: Expr
    value: Expr | None
    generators: tuple[CompFor, ...]


class Seq(Node, frozen=True):
    kind: str  # tuple, list, set
    items: tuple[Expr, ...]


class Dict(Node, frozen=True):
    keys: tuple[Expr | None, ...]  # None stands for **value
    values: tuple[Expr, ...]


class Star(Node, frozen=True):
    value: Expr


class Await(Node, frozen=True):
    value: Expr


class Yield(Node, frozen=True):
    value: Expr | None
    is_from: bool


class Walrus(Node, frozen=True):
    target: Expr
    value: Expr


class FStr(Node, frozen=True):
    values: tuple[Expr, ...]


Expr: TypeAlias = Union[  # noqa: UP007  (a forward reference can't be used with |)
    Name, Attr, Call, Const, Sub, Slice, Bin, Bool, Unary, Compare, IfExp, Lambda, Comp, Seq, Dict, Star, Await, Yield,
    Walrus, FStr,
]  # fmt: skip


# --- statements -------------------------------------------------------------------------------------------------------


class Assign(Node, frozen=True):
    """``a = b = value``; with an annotation one target, and ``value`` may be None."""

    targets: tuple[Expr, ...]
    value: Expr | None
    annotation: Expr | None = None


class Aug(Node, frozen=True):
    target: Expr
    op: str  # "+", "-", …
    value: Expr


class ExprStmt(Node, frozen=True):
    value: Expr


class Return(Node, frozen=True):
    value: Expr | None


class If(Node, frozen=True):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]


class For(Node, frozen=True):
    target: Expr
    iter: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]
    is_async: bool


class While(Node, frozen=True):
    test: Expr
    body: tuple[Stmt, ...]
    orelse: tuple[Stmt, ...]


class WithItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    expr: Expr
    target: Expr | None


class With(Node, frozen=True):
    items: tuple[WithItem, ...]
    body: tuple[Stmt, ...]
    is_async: bool


class Handler(msgspec.Struct, frozen=True, array_like=True, gc=False):
    type: Expr | None
    name: str
    body: tuple[Stmt, ...]


class Try(Node, frozen=True):
    body: tuple[Stmt, ...]
    handlers: tuple[Handler, ...]
    orelse: tuple[Stmt, ...]
    final: tuple[Stmt, ...]


class Def(Node, frozen=True):
    """A function; in a module unit its body is empty, for functions are units of their own."""

    name: str
    params: tuple[Param, ...]
    body: tuple[Stmt, ...]
    decorators: tuple[Expr, ...]
    is_async: bool
    is_generator: bool
    returns: Expr | None


class Class(Node, frozen=True):
    name: str
    bases: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...]
    body: tuple[Stmt, ...]
    decorators: tuple[Expr, ...]


class Simple(Node, frozen=True):
    """``raise``, ``assert``, ``del``, ``pass``, ``break`` or ``continue``."""

    kind: str
    exprs: tuple[Expr, ...]


class Alias(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``import module as asname`` (``name`` None) or ``from module import name as asname``; ``name`` may be ``*``."""

    module: str
    name: str | None
    asname: str | None
    level: int


class Import(Node, frozen=True):
    names: tuple[Alias, ...]


class ScopeStmt(Node, frozen=True):
    kind: str  # global, nonlocal
    names: tuple[str, ...]


class Case(msgspec.Struct, frozen=True, array_like=True, gc=False):
    names: tuple[str, ...]  # captured by the pattern
    guard: Expr | None
    body: tuple[Stmt, ...]


class Match(Node, frozen=True):
    subject: Expr
    cases: tuple[Case, ...]


Stmt: TypeAlias = Union[  # noqa: UP007
    Assign, Aug, ExprStmt, Return, If, For, While, With, Try, Def, Class, Simple, Import, ScopeStmt, Match
]  # fmt: skip


class Unit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A function unit holds exactly one :class:`Def`, a module unit its statements."""

    body: tuple[Stmt, ...]

    @property
    def root(self) -> Def | None:
        """The function of a function unit."""
        return self.body[0] if len(self.body) == 1 and isinstance(self.body[0], Def) else None


# Fields that hold nodes, or plain structures with nodes in them, last ones first.
_INNER: dict[type, tuple[str, ...]] = {}
_PLAIN = frozenset(("o", "id", "attr", "op", "ops", "kind", "is_async", "is_from", "is_generator", "name", "names"))


_NODES = frozenset((*get_args(Expr), *get_args(Stmt)))


def _inner(kind: type) -> tuple[str, ...]:
    found = _INNER.get(kind)
    if found is None:
        fields = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) and kind not in (Alias, Const) else ()
        found = _INNER[kind] = tuple(name for name in reversed(fields) if name not in _PLAIN)
    return found


def walk(node: object) -> list[Node]:
    """Every node below (and with) a node or tuple of nodes, parents before children."""
    found: list[Node] = []
    stack = [node]
    while stack:
        item = stack.pop()
        kind = item.__class__
        if kind is tuple:
            stack += item[::-1]  # type: ignore[index]
            continue
        if kind in _NODES:
            found.append(item)  # type: ignore[arg-type]
        for name in _INNER[kind] if kind in _INNER else _inner(kind):
            value = getattr(item, name)
            if value:
                stack.append(value)
    return found


def parents(node: object) -> dict[int, Node]:
    """Ordinal of every node below a tuple of nodes → the node right around it."""
    found: dict[int, Node] = {}
    stack: list[tuple[object, Node | None]] = [(node, None)]
    while stack:
        item, parent = stack.pop()
        kind = item.__class__
        if kind is tuple:
            stack += [(one, parent) for one in item]  # type: ignore[attr-defined]
            continue
        if kind in _NODES:
            if parent is not None:
                found[item.o] = parent  # type: ignore[attr-defined]
            parent = item  # type: ignore[assignment]
        for name in _INNER[kind] if kind in _INNER else _inner(kind):
            value = getattr(item, name)
            if value:
                stack.append((value, parent))
    return found


def children(node: Node) -> list[Node]:
    """The nodes right below a node, through the plain structures in between."""
    found: list[Node] = []
    stack = [getattr(node, name) for name in _inner(node.__class__)]
    while stack:
        item = stack.pop()
        if item is None:
            continue
        kind = item.__class__
        if kind in _NODES:
            found.append(item)
        elif kind is tuple:
            stack += item[::-1]
        else:
            stack += [getattr(item, name) for name in _inner(kind)]
    return found


def dotted(expr: Expr | None) -> str | None:
    """``a.b.c`` as written, or None where the expression is no chain of names."""
    if expr.__class__ is Name:
        return expr.id
    if expr.__class__ is not Attr:
        return None
    parts: list[str] = []
    while expr.__class__ is Attr:
        parts.append(expr.attr)
        expr = expr.value
    if expr.__class__ is not Name:
        return None
    parts.append(expr.id)
    parts.reverse()
    return ".".join(parts)
