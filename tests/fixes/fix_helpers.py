"""Plans of fixes for tests: nodes are named by the source that they begin with."""

from __future__ import annotations

import ast
from collections.abc import Callable

from nograd_lint.diagnostics import Applicability
from nograd_lint.fixes.build import build_fix
from nograd_lint.fixes.draft import Lines, apply_edits
from nograd_lint.rules._base import Action, FixPlan
from nograd_lint.syntax.lower import spans

GUARD = "torch.no_grad()"
# File, function and text of a line: the same after it has moved.
Line = tuple[str, str, str]


def line_key(file: str, function: str, text: str) -> Line:
    return file, function, text.partition("#")[0].strip()


def plan(*actions: Action) -> FixPlan:
    return FixPlan("do it", Applicability.SAFE, actions)


def ordinal(text: str, snippet: str, nth: int = 0) -> int:
    """The outermost node whose source begins with ``snippet``."""
    lines = Lines(text)
    found: dict[int, int] = {}
    for number, span in enumerate(spans(text)):
        start = lines.offset(span.start)
        if text.startswith(snippet, start):
            found.setdefault(start, number)
    return [found[start] for start in sorted(found)][nth]


def fixed(text: str, *actions: Callable[[str], Action]) -> str | None:
    """The text with a plan carried out; each action is made from the text, so that it can look up its nodes."""
    fix = build_fix(text, spans(text), plan(*(action(text) for action in actions)))
    return None if fix is None else apply_edits(text, fix.edits)


def is_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.With) and all(_guards(ast.unparse(item)) for item in node.items)


def _guards(text: str) -> bool:
    return text == GUARD or text.startswith("torch.set_grad_enabled(")


class Strip(ast.NodeTransformer):
    """Takes every guard out of a tree, and ``import torch``, which a fix may have added."""

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return None if ast.unparse(node) == "import torch" else node

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.body if is_guard(node) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list = [d for d in node.decorator_list if ast.unparse(d) != GUARD]
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list = [d for d in node.decorator_list if ast.unparse(d) != GUARD]
        return node


def without_guards(text: str) -> str:
    """The tree of a program without guards and without ``import torch``."""
    return ast.dump(Strip().visit(ast.parse(text)))
