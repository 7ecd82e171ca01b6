"""What the analysis of one unit gives to the rules and to other units: plain data."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from nograd_lint.analysis.values import NOTHING, UNKNOWN, Mode, Val
from nograd_lint.project.index import Symbol
from nograd_lint.syntax import ir
from nograd_lint.syntax.ir import walk

# In a summary: the graph of a forward that the function itself runs.
OWN = -10_000


class Loop(msgspec.Struct, frozen=True):
    """A loop around a place: the ordinal of its statement and the data it goes over ("eval", "train", "")."""

    node: int
    split: str
    data: bool = False  # goes over a loader or data set


class Site(msgspec.Struct):
    """Where something happens: the statements around it (outermost first), loops, nested function, grad mode."""

    node: int
    stmts: tuple[int, ...]
    loops: tuple[Loop, ...]
    function: str
    modes: set[tuple[Mode, int | None]]  # with the guard, switch or decorator that set the mode
    phases: set[str]  # eval, train, or "" as at entry

    @property
    def stmt(self) -> int:
        return self.stmts[-1] if self.stmts else self.node

    @property
    def tracked(self) -> bool:
        """Gradient tracking is, in some way through the unit, what the caller has, or on."""
        return any(m in (Mode.ENTRY, Mode.ENABLED) for m, _ in self.modes)

    @property
    def surely_off(self) -> bool:
        return bool(self.modes) and all(m.off for m, _ in self.modes)


class Forward(Site):
    """A call that runs a model."""

    name: str = ""
    level: int = 0  # how sure it is a forward, as Val.model
    target: Symbol | None = None  # the project function that runs it, where the call is not the forward itself
    leaf_input: bool = False
    frozen: bool = False
    receiver: str = ""  # dotted spelling of the model
    fallback: bool = False  # in an except clause, where the same forward was tried under a guard
    pretrained: bool = False  # the model comes from a factory that loads trained weights
    revealed: bool = False  # a call that nobody can look into, whose result is detached
    indirect: bool = False  # by a method whose name suggests a forward, on what only its name suggests is a model


class Backward(Site):
    """``backward``, ``autograd.grad`` or a framework's call for it, and the forwards whose graph it walks."""

    graph: frozenset[int] = NOTHING
    inner: bool = False  # the graph comes from a forward in the function that is called
    what: str = "backward"
    value: Val = UNKNOWN


class Switch(Site):
    """Something that changes grad mode for what follows: a bare ``set_grad_enabled``, ``__enter__``, ``push``."""

    to: Mode = Mode.DYNAMIC
    how: str = "set_grad_enabled"


class CallSite(Site):
    """A call of a function of the project, or of a method whose receiver is not known."""

    target: Symbol | None = None
    method: str = ""
    args: tuple[Val, ...] = ()
    keywords: tuple[tuple[str, Val], ...] = ()


class Guard(Site):
    """A ``with`` item that sets grad mode."""

    item: int = 0
    mode: Mode = Mode.DISABLED
    first: int = 0  # first and last statement of the block
    last: int = 0
    inner: frozenset[int] = NOTHING  # ordinals of all statements inside


class Sink(msgspec.Struct, frozen=True):
    """What becomes of a forward's output: ``kind`` at ``node``."""

    kind: str
    node: int


class Summary(msgspec.Struct, frozen=True):
    """What callers need to know of a function."""

    returns: Val = UNKNOWN  # graph: parameters as -1 - index, own forwards as OWN
    forward: int = 0  # sureness of a forward that runs in the caller's grad mode
    guarded_forward: int = 0  # sureness of a forward that the function guards itself
    enabled_forward: int = 0
    backward: bool = False  # walks the graph of a forward of its own
    backward_params: frozenset[int] = NOTHING
    graph_of_its_own: frozenset[int] = NOTHING  # of these, those that go through a forward of its own first
    called_params: frozenset[int] = NOTHING  # parameters that it calls as models
    guard: Mode | None = None  # as a context manager
    decorates: Mode | None = None  # as a decorator
    leaves: Mode | None = None  # the grad mode it leaves behind
    evals: frozenset[int] = NOTHING  # parameters (0 = self) that it puts in eval mode
    trains: bool = False  # runs an optimizer step or a backward somewhere inside
    entry: Mode | None = None  # its own decorator's mode
    guards: bool = False  # it runs under a guard as a whole, or whatever it surely runs: no graph comes out
    param_calls: tuple[tuple[int, tuple[Mode, ...]], ...] = ()  # modes in which it calls a parameter
    detaches: tuple[tuple[int, tuple[str, ...]], ...] = ()  # parameters that it detaches, and where it takes them
    escapes: frozenset[int] = NOTHING  # parameters whose graph it stores or hands on


class Facts:
    """Everything found in one unit."""

    def __init__(self, path: str, unit: str, body: ir.Unit) -> None:
        self.path = path
        self.unit = unit
        self.body = body
        self.entry: tuple[Mode, int] | None = None  # mode and ordinal of the unit's own guard decorator
        self.hook: Any = None  # the framework's promise about the unit
        self.cls: Symbol | None = None
        self.is_module_class = False
        self.forwards: dict[int, Forward] = {}
        self.backwards: dict[int, Backward] = {}
        self.steps: dict[int, Site] = {}  # optimizer steps
        self.switches: dict[int, Switch] = {}
        self.guards: dict[tuple[int, int], Guard] = {}
        self.calls: dict[int, CallSite] = {}
        self.evals: dict[int, tuple[str, str, Site]] = {}  # mode switches: dotted model, eval|train|dynamic
        self.sinks: dict[int, dict[str, list[int]]] = {}  # forward → kind → nodes
        self.values: dict[int, Val] = {}
        self.symbols: dict[int, Symbol] = {}
        self.stmt_modes: dict[int, set[Mode]] = {}
        self.functions: dict[int, str] = {}  # ordinal of a nested function → its qualified name
        self.param_calls: dict[int, set[Mode]] = {}  # parameter → modes in which it is called as a function
        self.kept: dict[
            int, list[tuple[int, str]]
        ] = {}  # forward → (node, name) of what keeps its graph across batches
        self.env: dict[str, Val] = {}  # at the end
        self.exit_modes: set[tuple[Mode, int | None]] = set()
        self.summary = Summary()
        self.cut = 0  # calls not followed for want of depth

    @cached_property
    def nodes(self) -> tuple[ir.Node, ...]:
        """Every node of the unit, parents before children."""
        return tuple(walk(self.body.body))

    @cached_property
    def by_ordinal(self) -> dict[int, ir.Node]:
        return {n.o: n for n in self.nodes}

    def sink(self, forward: int, *kinds: str) -> list[int]:
        found = self.sinks.get(forward, {})
        return [node for kind in kinds for node in found.get(kind, ())]

    def resolve(self, expr: ir.Expr | None) -> str | None:
        """The canonical external name of an expression, None where it has none."""
        symbol = self.symbols.get(expr.o) if expr is not None else None
        return symbol.name if symbol is not None and symbol.kind == "external" else None
