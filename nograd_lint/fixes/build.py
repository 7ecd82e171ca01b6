"""From the plan of a fix to the edits of a file.

A :class:`~nograd_lint.rules._base.FixPlan` names nodes by their ordinals. The actions are made one after the other on
a draft of the text, each seeing what those before it left; the edits refer to the text as it is in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nograd_lint.diagnostics import Fix, Problem, Span
from nograd_lint.fixes import blocks, pieces
from nograd_lint.fixes.draft import Change, ConflictError, Draft, Lines, apply_edits
from nograd_lint.fixes.imports import Spelling, guard_spelling
from nograd_lint.fixes.layout import Layout, UnfixableError, field, layout, statements
from nograd_lint.rules._base import (
    Action,
    AtSign,
    Decorate,
    Delete,
    FixPlan,
    MoveGuard,
    RemoveDecorator,
    Replace,
    SwapDecorators,
    Unwrap,
    Wrap,
)

if TYPE_CHECKING:
    from tree_sitter import Node

    from nograd_lint.source.files import SourceFile

Spans = Mapping[int, Span] | Sequence[Span]


def build_fix(text: str, spans: Spans, plan: FixPlan) -> Fix | None:
    """The fix that a plan describes; None where the text does not allow it without doubt.

    Args:
        text: the whole file (of a notebook: the module made of its cells), decoded, with its own newlines.
        spans: rows and columns, in ``text``, of the ordinals that the plan's actions name.
        plan: what the rule wants done.
    """
    try:
        draft = _Builder(text, spans).run(plan.actions)
    except (UnfixableError, ConflictError):
        return None
    edits = draft.edits()
    if not edits:
        return None
    message = f"{plan.message} ({plan.applicability.value}: {plan.reason})" if plan.reason else plan.message
    return Fix(plan.applicability, message, edits)


def fix_for(source: SourceFile, spans: Spans, plan: FixPlan) -> Fix | None:
    """The fix that a plan describes in a file of any kind; ``spans`` are rows and columns of its text or module."""
    plain = type(source).__name__ == "SourceFile"
    if plain:
        return build_fix(source.text, spans, plan)
    # The parsers see something else than what stands in the file: magics, broken cells and prose are blanked out.
    text = source.analysis.decode("utf-8", "replace")
    fix = build_fix(text, spans, plan)
    if fix is None or not _is_faithful(source, text, fix):
        return None
    return fix


def _is_faithful(source: SourceFile, text: str, fix: Fix) -> bool:
    """Whether edits replace what they mean to, and the parsers see in the result what they should."""
    from nograd_lint.source.decoding import SourceError
    from nograd_lint.source.files import load

    lines = Lines(text)
    for edit in fix.edits:
        seen = text[lines.offset(edit.span.start) : lines.offset(edit.span.end)]
        if source.slice(edit.span).replace("\r\n", "\n") != seen:
            return False
    try:
        data = source.edited(fix.edits)
    except SourceError:
        return False
    fixed = load(source.path, source.filename, data, markdown=True)
    # A cell or block that no longer parses would be blank.
    return not isinstance(fixed, Problem) and fixed.analysis.decode("utf-8", "replace") == apply_edits(text, fix.edits)


class _Builder:
    def __init__(self, text: str, spans: Spans) -> None:
        self.draft = Draft(text)
        self.original = layout(text)
        self.spans = spans

    def run(self, actions: Sequence[Action]) -> Draft:
        for action in actions:
            self._act(action)
        return self.draft

    def _layout(self) -> Layout:
        return self.original if self.draft.text is self.original.text else layout(self.draft.text)

    def _place(self, ordinal: int) -> tuple[int, int]:
        try:
            span = self.spans[ordinal]
        except (KeyError, IndexError):
            raise UnfixableError("the node has no place") from None
        lines = self.original.lines
        return self.draft.place(lines.offset(span.start), lines.offset(span.end))

    def _statement(self, ordinal: int) -> Node:
        return self._layout().statement(self._place(ordinal)[0])

    def _definition(self, ordinal: int) -> Node:
        return self._layout().definition(self._place(ordinal)[0])

    def _act(self, action: Action) -> None:
        match action:
            case Wrap(first, last, guard):
                self._wrap(first, last, guard, "")
            case Decorate(ordinal, guard):
                self._decorate(self._definition(ordinal), guard)
            case Replace(ordinal, template):
                start, end = self._place(ordinal)
                spelling = guard_spelling(self._layout(), template, start)
                if spelling.local:
                    raise UnfixableError("torch is not imported at the top of the file")
                changes = pieces.replace(self._layout(), start, end, spelling.text)
                self.draft.apply(_with_import(spelling, changes))
            case Delete(ordinal):
                self.draft.apply(pieces.delete(self._layout(), self._statement(ordinal)))
            case Unwrap(ordinal, item):
                self.draft.apply(blocks.unwrap(self._layout(), self._statement(ordinal), item))
            case MoveGuard(ordinal, first, last, item):
                self._move_guard(ordinal, first, last, item)
            case RemoveDecorator(ordinal, index):
                self.draft.apply(pieces.remove_decorator(self._layout(), self._definition(ordinal), index))
            case SwapDecorators(ordinal, a, b):
                self.draft.apply(pieces.swap_decorators(self._layout(), self._definition(ordinal), a, b))
            case AtSign(ordinal):
                self.draft.apply(pieces.at_sign(self._layout(), self._statement(ordinal)))

    def _wrap(self, first: int, last: int, guard: str, comment: str) -> None:
        text = self._layout()
        start, end = self._statement(first), text.statement(self._last_start(last))
        spelling = guard_spelling(text, guard, text.start(start))
        self._open(text, start, end, spelling, comment)

    def _last_start(self, last: int) -> int:
        """Where the last statement begins, or, of a statement that was unwrapped, the last one of its former body."""
        low, high = self._place(last)
        text = self._layout()
        node = text.statement(low)
        for sibling in text.siblings(node):
            if low <= text.start(sibling) < high:
                node = sibling
        return text.start(node)

    def _open(self, text: Layout, first: Node, last: Node, spelling: Spelling, comment: str) -> None:
        headers = ["import torch"] if spelling.local else []
        headers.append(f"with {spelling.text}:{'  ' if comment else ''}{comment}")
        self.draft.apply(_with_import(spelling, blocks.wrap(text, first, last, headers)))

    def _decorate(self, definition: Node, guard: str) -> None:
        text = self._layout()
        spelling = guard_spelling(text, guard, text.start(definition))
        if spelling.certain and not spelling.local:
            self.draft.apply(_with_import(spelling, pieces.decorate(text, definition, spelling.text)))
            return
        # Where torch may be missing, a decorator would keep the module from being imported: guard the body instead.
        if definition.type != "function_definition":
            raise UnfixableError("torch may be missing")
        body = statements(field(definition, "body"))
        while body and (blocks.is_string(body[0]) or body[0].type in ("import_statement", "import_from_statement")):
            body = body[1:]
        if not body:
            raise UnfixableError("an empty function")
        if b"yield" in (definition.text or b"") or b"await" in (definition.text or b""):
            raise UnfixableError("no block may stand across yield or await")
        self._open(text, body[0], body[-1], guard_spelling(text, guard, text.start(body[0])), "")

    def _move_guard(self, ordinal: int, first: int, last: int, item: int) -> None:
        text = self._layout()
        node = text.statement(self._place(ordinal)[0])
        items = blocks.with_items(node)
        if not 0 <= item < len(items) or (node.children and node.children[0].type == "async"):
            raise UnfixableError("no such guard")
        guard = text.source(items[item])
        comment = blocks.header_comment(text, node) if len(items) == 1 else ""
        self.draft.apply(blocks.unwrap(text, node, item, keep_comment=False))
        text = self._layout()
        start, end = self._statement(first), text.statement(self._last_start(last))
        self._open(text, start, end, Spelling(guard), comment)


def _with_import(spelling: Spelling, changes: list[Change]) -> list[Change]:
    """The changes and the import that they need, which goes first where the file begins with what they guard."""
    result = list(changes)
    for needed in spelling.changes:
        same = [i for i, change in enumerate(result) if change.start == change.end == needed.start]
        if same:
            i = same[0]
            result[i] = Change(needed.start, needed.end, needed.text + result[i].text)
        else:
            result.append(needed)
    return result
