"""What the fix guards, and so what run B has to guard. Found on the syntax trees, without running anything.

Run B enters a guard and changes nothing else; the fix is text. They are the same if the patched file, its guards taken
away, is the original file, its guards taken away, and if the guard of run B covers exactly the statements that the fix
newly guards (or, where the fix frees training, that are no longer guarded).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple

from nograd_lint.confirm.instrument import own_nodes, start
from nograd_lint.confirm.plan import Region, RegionError, is_docstring, statements_of
from nograd_lint.rules._base import Kind
from nograd_lint.source.files import SourceFile, splice

GUARDS = ("no_grad", "inference_mode", "set_grad_enabled", "enable_grad")
Path = tuple[int, ...]  # of a statement: its number in each block on the way down, guards taken away
Place = tuple[tuple[int, int], tuple[int, int]]  # the starts of a first and a last statement


class Proof(NamedTuple):
    """``equal``: whether run B is the fix, ``why`` in either case. ``cover``: what to guard, if not just the region."""

    equal: bool
    why: str
    cover: Place | None = None


def prove(source: SourceFile, region: Region, guard: str) -> Proof:
    """Compare the fix of a region with what run B does under ``guard``."""
    fix = region.diagnostic.fix
    if fix is None:
        return Proof(False, "there is no fix to compare with")
    try:
        before = ast.parse(source.analysis)
        after = ast.parse(splice(source.text, source.replacements(fix.edits)))
        wanted = {id(statement) for statement in statements_of(before, source, region.diagnostic.region, region.kind)}
    except (SyntaxError, ValueError) as error:
        return Proof(False, f"cannot be parsed: {error}")
    except RegionError as error:
        return Proof(False, str(error))
    old, new = _Stripped(before, wanted), _Stripped(after, set())
    if old.dump != new.dump:
        return Proof(False, "the fix changes more than the guard")
    if region.kind is Kind.TRAIN:
        freed = (old.guarded - new.guarded) | (new.enabled - old.enabled)
        if new.guarded - old.guarded or not freed or freed - old.region:
            return Proof(False, "the fix frees other statements than the region's")
        return Proof(True, "the fix takes the guard away from the region and changes nothing else")
    newly = new.guarded - old.guarded
    if old.guarded - new.guarded or not newly:
        return Proof(False, "the fix takes guards away")
    used = new.names - old.names
    if used and used != {guard}:
        return Proof(False, f"the fix uses {', '.join(sorted(used))}, the run {guard}")
    if newly == old.region - old.guarded:
        return Proof(True, "the fix adds the guard around the region and changes nothing else")
    return _wider(old, newly)


def _wider(old: _Stripped, newly: set[Path]) -> Proof:
    """The statements that a fix guards where they are not just the region's: a function decorated as a whole."""
    tops = sorted(path for path in newly if not any(path[:length] in newly for length in range(1, len(path))))
    statements = [old.nodes[path] for path in tops]
    if len({path[:-1] for path in tops}) != 1 or [path[-1] for path in tops] != list(
        range(tops[0][-1], tops[-1][-1] + 1)
    ):
        return Proof(False, "the fix guards several separate places")
    if not old.region <= newly | old.guarded:
        return Proof(False, "the fix leaves some of the region without a guard")
    suspends = (ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
    if any(isinstance(node, suspends) for node in own_nodes(statements)):
        return Proof(False, "the fix guards a generator as a whole, which a block cannot do")
    rows = f"lines {statements[0].lineno} to {statements[-1].end_lineno}"
    cover = (start(statements[0]), start(statements[-1]))
    return Proof(True, f"the fix adds the guard around {rows}, the region among them, and changes nothing else", cover)


def guard_name(node: ast.expr) -> str | None:
    """The guard that an expression makes or names: ``torch.no_grad()``, ``no_grad``, …"""
    target = node.func if isinstance(node, ast.Call) else node
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else None
    return name if name in GUARDS else None


class _Around(NamedTuple):
    """What a statement lies within: the guard in force there, and whether it is the region's."""

    guard: str | None = None
    region: bool = False


class _Stripped:
    """A tree without its guards, and which statements they guarded."""

    def __init__(self, tree: ast.Module, wanted: set[int]) -> None:
        self.guarded: set[Path] = set()
        self.enabled: set[Path] = set()
        self.region: set[Path] = set()
        self.names: set[str] = set()
        self.nodes: dict[Path, ast.stmt] = {}
        self._wanted = wanted
        self.dump = self._block(tree.body, (), _Around())

    def _block(self, block: list[ast.stmt], path: Path, around: _Around) -> str:
        parts: list[str] = []
        self._statements(block, path, around, parts)
        return "[" + "; ".join(parts) + "]"

    def _statements(self, block: list[ast.stmt], path: Path, around: _Around, parts: list[str]) -> None:
        for statement in block:
            if _without_effect(statement):
                continue
            here = around._replace(region=around.region or id(statement) in self._wanted)
            guards = self._take_guards(statement)
            if guards and isinstance(statement, ast.With) and not statement.items:
                # Numbers of statements run on through a block that only guarded.
                self._statements(statement.body, path, here._replace(guard=guards[-1]), parts)
            else:
                parts.append(self._statement(statement, (*path, len(parts)), here, guards))

    def _take_guards(self, statement: ast.stmt) -> list[str]:
        """Remove the guards from the items of a ``with`` or from the decorators of a function."""
        names: list[str] = []
        if isinstance(statement, ast.With):
            names = [name for item in statement.items if (name := guard_name(item.context_expr))]
            statement.items = [item for item in statement.items if guard_name(item.context_expr) is None]
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [name for decorator in statement.decorator_list if (name := guard_name(decorator))]
            statement.decorator_list = [d for d in statement.decorator_list if guard_name(d) is None]
        self.names.update(names)
        return names

    def _statement(self, node: ast.stmt, path: Path, around: _Around, guards: list[str]) -> str:
        if not is_docstring(node):
            self.nodes[path] = node
            if around.guard == "enable_grad":
                self.enabled.add(path)
            elif around.guard is not None:
                self.guarded.add(path)
            if around.region:
                self.region.add(path)
        inside = around
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = _Around()  # what is defined under a guard does not run under it
        if guards:
            inside = inside._replace(guard=guards[-1])
        text = []
        for number, (field, value) in enumerate(ast.iter_fields(node)):
            if not isinstance(value, list):
                shown = ast.dump(value) if isinstance(value, ast.AST) else repr(value)
            elif value and isinstance(value[0], ast.stmt):
                shown = self._block(value, (*path, number), inside)
            elif value and isinstance(value[0], (ast.ExceptHandler, ast.match_case)):
                shown = self._cases(value, (*path, number), inside)
            else:
                shown = repr([ast.dump(item) if isinstance(item, ast.AST) else item for item in value])
            text.append(f"{field}={shown}")
        return f"{type(node).__name__}({', '.join(text)})"

    def _cases(self, cases: Sequence[ast.ExceptHandler | ast.match_case], path: Path, around: _Around) -> str:
        text = []
        for number, case in enumerate(cases):
            body, case.body = case.body, []
            text.append(ast.dump(case) + self._block(body, (*path, number), around))
            case.body = body
        return repr(text)


def _without_effect(node: ast.stmt) -> bool:
    """Statements that a fix may add or drop: imports of torch, and guards that guard nothing."""
    if isinstance(node, ast.Import):
        return all(alias.name == "torch" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "torch" and all(alias.name in GUARDS for alias in node.names)
    return isinstance(node, ast.Expr) and guard_name(node.value) is not None and not _switches(node.value)


def _switches(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and guard_name(node) == "set_grad_enabled"
