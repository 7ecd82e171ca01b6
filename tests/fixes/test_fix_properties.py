"""What holds for every fix in every layout: it parses, touches nothing else, and keeps the meaning."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import NamedTuple

from fix_helpers import GUARD, is_guard, plan, without_guards
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from layouts import programs

from nograd_lint.diagnostics import Position
from nograd_lint.fixes.build import build_fix
from nograd_lint.fixes.draft import Lines, apply_edits
from nograd_lint.rules._base import Action, Decorate, Delete, MoveGuard, Unwrap, Wrap
from nograd_lint.syntax.lower import spans

property_test = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


# --- the meaning of a program -----------------------------------------------------------------------------------------


def tree(text: str) -> str:
    return ast.dump(ast.parse(text))


def words(text: str) -> list[str]:
    """Everything that is not layout; comments and the insides of strings are not."""
    layout = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type not in layout and token.string != ";"]


def without(tokens: list[str], part: list[str]) -> list[str]:
    places = [at for at in range(len(tokens)) if tokens[at : at + len(part)] == part]
    assert len(places) == 1
    return tokens[: places[0]] + tokens[places[0] + len(part) :]


# --- drawing what to fix ----------------------------------------------------------------------------------------------


class Run(NamedTuple):
    block: list[ast.stmt]
    first: int
    last: int
    owner: ast.AST
    name: str

    @property
    def may_be_docstring(self) -> bool:
        statement = self.block[self.first]
        return self.first == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def position(text: str, node: ast.stmt) -> Position:
    row = Lines(text).line(node.lineno - 1)
    return Position(node.lineno, len(row.encode()[: node.col_offset].decode()) + 1)


def ordinal(text: str, node: ast.stmt) -> int:
    place = position(text, node)
    return next(number for number, span in enumerate(spans(text)) if span.start == place)


def blocks(text: str) -> list[tuple[list[ast.stmt], ast.AST, str]]:
    """Every list of statements; an ``elif`` is none, though its tree looks like one."""
    lines = Lines(text)
    result = []
    for node in ast.walk(ast.parse(text)):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                block = block[1:] if isinstance(node, ast.Module) else block  # the import of torch stays
                if not text.startswith("elif", lines.offset(position(text, block[0]))):
                    result.append((block, node, name))
    return result


def draw_run(data: st.DataObject, text: str) -> Run:
    block, owner, name = data.draw(st.sampled_from(blocks(text)))
    first = data.draw(st.integers(0, len(block) - 1))
    return Run(block, first, data.draw(st.integers(first, len(block) - 1)), owner, name)


def carried_out(text: str, action: Action) -> str | None:
    fix = build_fix(text, spans(text), plan(action))
    if fix is None:
        return None
    result = apply_edits(text, fix.edits)
    note(result)
    return result


def wrap(data: st.DataObject, text: str) -> tuple[str | None, Run]:
    run = draw_run(data, text)
    action = Wrap(ordinal(text, run.block[run.first]), ordinal(text, run.block[run.last]))
    return carried_out(text, action), run


# --- properties -------------------------------------------------------------------------------------------------------


@property_test
@given(programs(), st.data())
def test_wrapping_changes_nothing_but_layout(text: str, data: st.DataObject) -> None:
    result, run = wrap(data, text)
    if result is None:
        assert run.may_be_docstring
        return
    assert without_guards(result) == without_guards(text)
    assert without(words(result), ["with", "torch", ".", "no_grad", "(", ")", ":"]) == words(text)


@property_test
@given(programs(), st.data())
def test_an_edit_replaces_only_white_space_between_statements(text: str, data: st.DataObject) -> None:
    run = draw_run(data, text)
    action = Wrap(ordinal(text, run.block[run.first]), ordinal(text, run.block[run.last]))
    fix = build_fix(text, spans(text), plan(action))
    assume(fix is not None)
    assert fix is not None
    lines = Lines(text)
    newline = re.search("\r\n|\r|\n", text)
    assert newline is not None
    for edit in fix.edits:
        replaced = text[lines.offset(edit.span.start) : lines.offset(edit.span.end)]
        assert not replaced.strip(" \t;\\\r\n")
        assert set(re.findall("\r\n|\r|\n", edit.content)) <= {newline[0]}


@property_test
@given(programs(), st.data())
def test_unwrapping_undoes_wrapping(text: str, data: st.DataObject) -> None:
    wrapped, _ = wrap(data, text)
    assume(wrapped is not None)
    assert wrapped is not None
    guard = next(node for node in ast.walk(ast.parse(wrapped)) if is_guard(node))
    assert isinstance(guard, ast.With)
    result = carried_out(wrapped, Unwrap(ordinal(wrapped, guard)))
    assert result is not None
    assert tree(result) == tree(text)
    assert words(result) == words(text)
    if len(wrapped) > len(text) and wrapped.count(";") == text.count(";") and wrapped.count("\\") == text.count("\\"):
        rows, old = (re.split("\r\n|\r|\n", t) for t in (result, text))
        if len(rows) > len(old):  # a one-line body became a block
            return
        # A comment that happens to be indented more than the statement above it counts as the block's own.
        assert [row for row in rows if not row.strip().startswith("#")] == [
            row for row in old if not row.strip().startswith("#")
        ]


@property_test
@given(programs(), st.data())
def test_moving_a_guard_moves_nothing_else(text: str, data: st.DataObject) -> None:
    wrapped, _ = wrap(data, text)
    assume(wrapped is not None)
    assert wrapped is not None
    around, guard = next((block, node) for block, _, _ in blocks(wrapped) for node in block if is_guard(node))
    assert isinstance(guard, ast.With)
    block = data.draw(st.sampled_from((guard.body, around)))
    first = data.draw(st.integers(0, len(block) - 1))
    last = data.draw(st.integers(first, len(block) - 1))
    ordinals = [ordinal(wrapped, node) for node in (guard, block[first], block[last])]
    result = carried_out(wrapped, MoveGuard(*ordinals))
    if result is None:
        # Nothing to move, or a docstring would be moved or made.
        whole = (block is guard.body and last - first + 1 == len(block)) or block[first : last + 1] == [guard]
        assert whole or isinstance(guard.body[0], ast.Expr) or isinstance(block[first], ast.Expr)
        return
    assert without_guards(result) == without_guards(text)
    assert len([node for node in ast.walk(ast.parse(result)) if is_guard(node)]) == 1


@property_test
@given(programs(), st.data())
def test_decorating_adds_one_line(text: str, data: st.DataObject) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    assume(functions)
    result = carried_out(text, Decorate(ordinal(text, data.draw(st.sampled_from(functions)))))
    assert result is not None
    assert without_guards(result) == without_guards(text)
    rows = io.StringIO(result, newline="").readlines()
    added = [row for row in rows if row.strip() == f"@{GUARD}"]
    assert len(added) == 1
    rows.remove(added[0])
    assert "".join(rows) == text


@property_test
@given(programs(), st.data())
def test_deleting_leaves_the_rest(text: str, data: st.DataObject) -> None:
    run = draw_run(data, text)
    statement = run.block[run.first]
    assume(len(run.block) > 1 or not isinstance(statement, ast.Pass))
    result = carried_out(text, Delete(ordinal(text, statement)))
    assert result is not None
    program = ast.parse(text)
    twin = next(n for n in ast.walk(program) if type(n) is type(statement) and _at(n) == _at(statement))
    lists = [n for n in ast.walk(program) if isinstance(getattr(n, run.name, None), list)]
    owner = next(n for n in lists if twin in getattr(n, run.name))
    block = getattr(owner, run.name)
    block.remove(twin)
    if not block and not isinstance(owner, ast.Module):
        block.append(ast.Pass())
    assert tree(result) == ast.dump(program)


def _at(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
