"""The tables of a knowledge file: what can be said of a name of a framework.

``README.md`` beside this file is the documentation for people who write such a file; the docstrings say what the
analysis may conclude.
"""

from __future__ import annotations

from typing import Literal

import msgspec

GuardMode = Literal["disabled", "inference", "enabled", "dynamic", "unchanged"]
Mode = Literal["disabled", "inference", "enabled"]
Use = Literal["with", "decorator", "switch"]
DemandKind = Literal["backward", "differentiates", "trains"]
SinkKind = Literal["file", "plot", "answer", "log"]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every table has.

    Attributes:
        names: dotted names; ``*`` stands for a part of one segment, ``**`` for any number of segments.
        bases: classes whose ``methods`` are meant: every ``base.method`` is a name.
        methods: see ``bases``.
        excluding: names that a glob of this entry does not mean.
        why: who does it, as a sentence without full stop that a diagnostic can show as evidence.
    """

    names: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    excluding: tuple[str, ...] = ()
    why: str = ""


class Class(Entry, frozen=True):
    """A class that is no module, and what it inherits from: what is known of those holds for it too."""

    inherits: tuple[str, ...]


class Module(Entry, frozen=True):
    """A class whose instances are modules: calling one is a forward. It inherits from ``torch.nn.Module``.

    Attributes:
        parameterless: it owns no parameters, so a call records a graph only where its inputs carry one.
        frozen: it never records a graph (quantised, ONNX).
        inherits: as for a class.
    """

    parameterless: bool = False
    frozen: bool = False
    inherits: tuple[str, ...] = ()


class Model(Entry, frozen=True):
    """A call that returns a module.

    Attributes:
        eval_mode: returned in eval mode.
        frozen: its parameters require no gradient.
        returns: its class; without it, a method returns its own class where that is a module.
        position: it is element number ``position`` of the tuple that is returned.
    """

    eval_mode: bool = False
    frozen: bool = False
    returns: str | None = None
    position: int | None = None


class Factory(Entry, frozen=True):
    """A call that returns an object that is no module itself but of a class in these files."""

    returns: str | None = None


class Wrapper(Entry, frozen=True):
    """A call that returns the model (or the function) that it is given, wrapped, moved, compiled or converted.

    Attributes:
        argument: position of that argument; None for the object whose method is called.
        keyword: its name.
        each: all positional arguments come back, in order, as a tuple where there are several.
        frozen: what comes back records no graph.
        position: what comes back is element number ``position`` of a tuple.
    """

    argument: int | None = None
    keyword: str | None = None
    each: bool = False
    frozen: bool = False
    position: int | None = None


class Attribute(Entry, frozen=True):
    """An attribute of an object that holds a module.

    Attributes:
        attributes: every ``base.attribute`` is a name.
        returns: class of the module.
    """

    attributes: tuple[str, ...] = ()
    returns: str | None = None


class Forward(Entry, frozen=True):
    """A function or method, other than the call of a module itself, that runs a forward in the mode of its caller.

    Attributes:
        argument: position of the model; None for the object whose method is called.
        keyword: its name.
    """

    argument: int | None = None
    keyword: str | None = None


class Guard(Entry, frozen=True):
    """What changes grad mode.

    Attributes:
        mode: in what it guards; ``unchanged`` says that it is no guard in spite of its name.
        uses: how it takes effect: entered by ``with``, as a decorator, or at once when called.
        otherwise: mode where the deciding argument is false; without it no argument decides.
        argument: position of the deciding argument.
        keyword: its name.
        default: what it is when not given; None where it must be given.
        eval_mode: also puts the models given to it into eval mode.
    """

    mode: GuardMode
    uses: tuple[Use, ...] = ("with", "decorator")
    otherwise: Mode | None = None
    argument: int | None = None
    keyword: str | None = None
    default: bool | None = True
    eval_mode: bool = False
    why: str


class Guarded(Entry, frozen=True):
    """A call that runs its forwards with gradients off inside: nothing to report, and the result carries no graph."""

    mode: Literal["disabled", "inference"] = "disabled"
    why: str


class Hook(Entry, frozen=True):
    """A method of the user's class that the framework calls.

    Attributes:
        mode: grad mode in which it is called.
        demand: the framework runs backward on what it returns.
        evaluate: it is called for evaluation or inference.
        eval_mode: the model is in eval mode then.
    """

    mode: Mode
    demand: bool = False
    evaluate: bool = False
    eval_mode: bool = False
    why: str


class Callback(Entry, frozen=True):
    """A call that takes a function and calls it later, or from elsewhere.

    Attributes:
        argument: position of the function.
        keyword: its name.
        decorates: the call returns a decorator that takes the function.
        mode: grad mode in which the function runs; None where it is the mode of the place that runs it.
        thread: it runs in a thread or process of its own, whatever the mode of the caller.
        demand: the gradient of what it returns is computed.
        evaluate: it is called for evaluation.
    """

    argument: int | None = None
    keyword: str | None = None
    decorates: bool = False
    mode: Mode | None = None
    thread: bool = False
    demand: bool = False
    evaluate: bool = False
    why: str


class Demand(Entry, frozen=True):
    """A call that needs gradients.

    Attributes:
        kind: ``backward`` needs the graph of a value; ``differentiates`` calls a function and differentiates it;
            ``trains`` runs a training loop.
        argument: position of the value or function; None for the object whose method is called.
        keyword: its name.
        enables: it turns gradients on itself, so an outer no_grad does no harm.
    """

    kind: DemandKind
    argument: int | None = None
    keyword: str | None = None
    enables: bool = False
    why: str


class Detached(Entry, frozen=True):
    """A call whose result never carries a graph, whatever it is given."""


class Freeze(Entry, frozen=True):
    """A call after which parameters require no gradient.

    Attributes:
        argument: position of the model; None for the object whose method is called.
        partly: only some parameters (all but adapters, or the layers of a backbone).
        eval_mode: it also puts the model into eval mode.
    """

    argument: int | None = None
    partly: bool = False
    eval_mode: bool = False


class Optimizer(Entry, frozen=True):
    """A class or function that makes an optimizer."""


class Loader(Entry, frozen=True):
    """A class or function that makes a loader or another source of batches."""


class Loss(Entry, frozen=True):
    """A loss: a class whose instances compute one, or a function that does.

    Attributes:
        call: the name is the function itself, not a class to be constructed first.
    """

    call: bool = False


class Metric(Entry, frozen=True):
    """A metric: a class whose instances compute one, or a function that does.

    Attributes:
        call: the name is the function itself.
        keeps_graph: it keeps what it is given, with its graph, until it is reset.
        number: the result carries no graph.
    """

    call: bool = False
    keeps_graph: bool = False
    number: bool = False


class Sink(Entry, frozen=True):
    """A call that takes outputs out of the program: evidence of evaluation."""

    kind: SinkKind


class Framework(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A knowledge file.

    Attributes:
        name: what the framework is called.
        modules: import roots by which it is recognised.
        checked: releases whose sources were read.
        needs: other files of this package that it builds on, by their stem.
        aliases: other dotted name (or package) → the name used in the tables.
        flatten: package → package: a class anywhere below the first is known by its name in the second.
    """

    name: str = ""
    modules: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    flatten: dict[str, str] = {}
    class_: tuple[Class, ...] = msgspec.field(default=(), name="class")
    module: tuple[Module, ...] = ()
    model: tuple[Model, ...] = ()
    factory: tuple[Factory, ...] = ()
    wrapper: tuple[Wrapper, ...] = ()
    attribute: tuple[Attribute, ...] = ()
    forward: tuple[Forward, ...] = ()
    guard: tuple[Guard, ...] = ()
    guarded: tuple[Guarded, ...] = ()
    hook: tuple[Hook, ...] = ()
    callback: tuple[Callback, ...] = ()
    demand: tuple[Demand, ...] = ()
    detached: tuple[Detached, ...] = ()
    freeze: tuple[Freeze, ...] = ()
    optimizer: tuple[Optimizer, ...] = ()
    loader: tuple[Loader, ...] = ()
    loss: tuple[Loss, ...] = ()
    metric: tuple[Metric, ...] = ()
    sink: tuple[Sink, ...] = ()
