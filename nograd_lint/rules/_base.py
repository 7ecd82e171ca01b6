"""What a rule is.

A rule is one module of this package: its docstring is the documentation (page, ``nograd-lint rule``, hover, SARIF
help), the fenced blocks in it are its tests, ``RULE`` declares it and ``check`` finds it. Modules are discovered; there
is no list to keep. Docstring layout, headings in this order::

    One-line summary, naming the bad pattern.

    ## What it does
    ## Why is this bad?
    ## Examples
    ```python error          <- every line that must be reported ends in  # NGL301  (the row of the diagnostic)
    ```python fixed          <- exact result of the fix on the block before it (apply all fixes, unsafe ones too)
    ```python ok             <- must be silent
    ## Fix safety
    ## Known problems
    ## References
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

import msgspec

from nograd_lint.diagnostics import Applicability, Confidence, Severity


class Kind(str, enum.Enum):
    """How the confirm step measures a diagnostic of the rule."""

    GUARD = "guard"
    TRAIN = "train"
    NONE = "-"


class Place(msgspec.Struct, frozen=True, order=True):
    """A node of some unit: file relative to the root, qualified name of the unit, ordinal of the node."""

    path: str
    unit: str
    node: int


class Note(msgspec.Struct, frozen=True):
    """Evidence before its place has become a span."""

    message: str
    place: Place


# --- fixes as data: turned into text edits by nograd_lint.fixes once spans are known -------------------------------


class Wrap(msgspec.Struct, frozen=True):
    """Put the statements ``first`` to ``last`` (siblings, ordinals) into ``with <guard>:``."""

    first: int
    last: int
    guard: str = "torch.no_grad()"


class Decorate(msgspec.Struct, frozen=True):
    """Put ``@<guard>`` above the function ``node``, below ``@staticmethod`` and the like."""

    node: int
    guard: str = "torch.no_grad()"


class Replace(msgspec.Struct, frozen=True):
    """Replace the source of ``node`` by ``text``, in which ``{}`` stands for the old source."""

    node: int
    text: str


class Delete(msgspec.Struct, frozen=True):
    """Remove the statement ``node`` (``pass`` stays where its block would be empty)."""

    node: int


class Unwrap(msgspec.Struct, frozen=True):
    """Remove item ``item`` of the ``with`` statement ``node``, and the statement with its last item."""

    node: int
    item: int = 0


class MoveGuard(msgspec.Struct, frozen=True):
    """Let item ``item`` of the ``with`` statement ``node`` hold the statements ``first`` to ``last`` instead.

    They may be part of its body (the guard becomes narrower) or siblings of the ``with`` statement, which may be one
    of them and then stands for its body (the guard becomes wider, or moves).
    """

    node: int
    first: int
    last: int
    item: int = 0


class RemoveDecorator(msgspec.Struct, frozen=True):
    """Remove decorator number ``index`` of the function or class ``node``."""

    node: int
    index: int


class SwapDecorators(msgspec.Struct, frozen=True):
    """Exchange decorators ``a`` and ``b`` of the function ``node``."""

    node: int
    a: int
    b: int


class AtSign(msgspec.Struct, frozen=True):
    """Turn the expression statement ``node`` into a decorator of the function below it."""

    node: int


Action = Wrap | Decorate | Replace | Delete | Unwrap | MoveGuard | RemoveDecorator | SwapDecorators | AtSign


class FixPlan(msgspec.Struct, frozen=True):
    """``reason`` says why the fix is safe or not; it is shown to the user."""

    message: str
    applicability: Applicability
    actions: tuple[Action, ...]
    reason: str = ""


class Finding(msgspec.Struct, frozen=True):
    """What a rule found in a unit; the engine makes the diagnostic of it.

    ``node`` is the ordinal to point at, ``region`` the first and last statement (ordinals) that a fix would guard or
    un-guard (the statement of ``node`` where None). ``function`` is the qualified name of the enclosing function where
    it is not the unit's own (a nested function).
    """

    node: int
    message: str
    confidence: Confidence
    notes: tuple[Note, ...] = ()
    region: tuple[int, int] | None = None
    fix: FixPlan | None = None
    severity: Severity | None = None
    function: str | None = None


class Rule(msgspec.Struct, frozen=True):
    """``guarded``: patterns, each of which begins with plain characters, where most rules have none. A function under a
    guard that holds from its first line to its last, which calls nothing that turns gradients on or needs them, is
    looked at where one of them is found in it. Words for which any function is looked at need no mention: see
    :mod:`nograd_lint.analysis.candidates`.
    """

    code: str
    name: str
    severity: Severity
    kind: Kind = Kind.NONE
    default: bool = True
    fixable: bool = False
    guarded: tuple[str, ...] = ()
    doc: str = ""  # the module's docstring; filled in by the registry
    check: Callable[..., Iterable[Finding]] | None = None  # likewise

    @property
    def summary(self) -> str:
        return self.doc.strip().partition("\n")[0]
