"""The same facts from Python's own parser, ten times as fast.

libcst judges what is reported, and it alone knows places. Until something is to be reported, the structures of
:mod:`nograd_lint.syntax.ir` are all that is needed, and the :mod:`ast` module gives the very same ones, ordinals
included: ``lower(text) == quick(text)`` wherever :func:`quick` gives anything. It gives None for what the running
Python does not parse; libcst decides then.
"""

from __future__ import annotations

import ast
import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from nograd_lint.syntax import ir
from nograd_lint.syntax.text import WRAPPER, string, too_deep, wrapped

_LONG = 50_000  # characters; shorter than that, no nesting brings Python's parser down


def quick(text: str) -> ir.Unit | None:
    """The facts of one unit, None where Python's parser can't give them."""
    if len(text) > _LONG and too_deep(text) is not None:
        return None
    inside = wrapped(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings
            module = ast.parse(WRAPPER + text if inside else text)
        body: Sequence[Any] = module.body
        if inside:
            if len(body) != 1 or body[0].orelse:
                return None
            body = body[0].body
        return ir.Unit(_Visitor().block(body))
    except (SyntaxError, ValueError, RecursionError, MemoryError, KeyError):
        return None  # a KeyError: a kind of node that only a later Python has


_OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
    ast.And: "and", ast.Or: "or", ast.Not: "not", ast.USub: "-", ast.UAdd: "+", ast.Invert: "~",
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in",
    ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


class _Visitor:
    """One visit; ordinals are given in the same order as in :mod:`nograd_lint.syntax.lower`."""

    def __init__(self) -> None:
        self._new = itertools.count().__next__
        self._yields: list[bool] = []

    # --- statements ---------------------------------------------------------------------------------------------------

    def block(self, body: Sequence[ast.stmt]) -> tuple[ir.Stmt, ...]:
        return tuple([_STATEMENTS[type(node)](self, node) for node in body])

    def _expr_stmt(self, node: ast.Expr) -> ir.Stmt:
        return ir.ExprStmt(self._new(), self.expr(node.value))

    def _assign(self, node: ast.Assign) -> ir.Stmt:
        o = self._new()
        return ir.Assign(o, self._all(node.targets), self.expr(node.value))

    def _ann_assign(self, node: ast.AnnAssign) -> ir.Stmt:
        o = self._new()
        target = self.expr(node.target)
        annotation = self.expr(node.annotation)
        return ir.Assign(o, (target,), self.opt(node.value), annotation)

    def _aug(self, node: ast.AugAssign) -> ir.Stmt:
        o = self._new()
        return ir.Aug(o, self.expr(node.target), _OPERATORS[type(node.op)], self.expr(node.value))

    def _return(self, node: ast.Return) -> ir.Stmt:
        return ir.Return(self._new(), self.opt(node.value))

    def _raise(self, node: ast.Raise) -> ir.Stmt:
        o = self._new()
        return ir.Simple(o, "raise", self._all([e for e in (node.exc, node.cause) if e is not None]))

    def _assert(self, node: ast.Assert) -> ir.Stmt:
        o = self._new()
        return ir.Simple(o, "assert", self._all([e for e in (node.test, node.msg) if e is not None]))

    def _del(self, node: ast.Delete) -> ir.Stmt:
        targets = node.targets
        if len(targets) == 1 and isinstance(targets[0], ast.Tuple):
            targets = targets[0].elts
        return ir.Simple(self._new(), "del", self._all(targets))

    def _keyword(self, node: ast.stmt) -> ir.Stmt:
        return ir.Simple(self._new(), type(node).__name__.lower(), ())

    def _import(self, node: ast.Import) -> ir.Stmt:
        return ir.Import(self._new(), tuple(ir.Alias(a.name, None, a.asname, 0) for a in node.names))

    def _import_from(self, node: ast.ImportFrom) -> ir.Stmt:
        names = tuple(ir.Alias(node.module or "", a.name, a.asname, node.level) for a in node.names)
        return ir.Import(self._new(), names)

    def _scope(self, node: ast.Global | ast.Nonlocal) -> ir.Stmt:
        return ir.ScopeStmt(self._new(), type(node).__name__.lower(), tuple(node.names))

    def _type_alias(self, node: Any) -> ir.Stmt:  # noqa: ARG002
        return ir.Simple(self._new(), "pass", ())

    def _if(self, node: ast.If) -> ir.Stmt:
        o = self._new()
        test = self.expr(node.test)
        body = self.block(node.body)
        return ir.If(o, test, body, self.block(node.orelse))

    def _for(self, node: ast.For | ast.AsyncFor) -> ir.Stmt:
        o = self._new()
        target = self.expr(node.target)
        iterable = self.expr(node.iter)
        body = self.block(node.body)
        return ir.For(o, target, iterable, body, self.block(node.orelse), isinstance(node, ast.AsyncFor))

    def _while(self, node: ast.While) -> ir.Stmt:
        o = self._new()
        test = self.expr(node.test)
        body = self.block(node.body)
        return ir.While(o, test, body, self.block(node.orelse))

    def _with(self, node: ast.With | ast.AsyncWith) -> ir.Stmt:
        o = self._new()
        items = tuple([ir.WithItem(self.expr(i.context_expr), self.opt(i.optional_vars)) for i in node.items])
        return ir.With(o, items, self.block(node.body), isinstance(node, ast.AsyncWith))

    def _try(self, node: Any) -> ir.Stmt:
        o = self._new()
        body = self.block(node.body)
        handlers = tuple([ir.Handler(self.opt(h.type), h.name or "", self.block(h.body)) for h in node.handlers])
        orelse = self.block(node.orelse)
        return ir.Try(o, body, handlers, orelse, self.block(node.finalbody))

    def _def(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ir.Stmt:
        o = self._new()
        decorators = self._all(node.decorator_list)
        params = self._params(node.args)
        returns = self.opt(node.returns)
        self._yields.append(False)
        body = self.block(node.body)
        is_generator = self._yields.pop()
        is_async = isinstance(node, ast.AsyncFunctionDef)
        return ir.Def(o, node.name, params, body, decorators, is_async, is_generator, returns)

    def _class(self, node: ast.ClassDef) -> ir.Stmt:
        o = self._new()
        decorators = self._all(node.decorator_list)
        bases = tuple([self.expr(b.value if isinstance(b, ast.Starred) else b) for b in node.bases])
        keywords = tuple([(k.arg or "", self.expr(k.value)) for k in node.keywords])
        return ir.Class(o, node.name, bases, keywords, self.block(node.body), decorators)

    def _match(self, node: ast.Match) -> ir.Stmt:
        o = self._new()
        subject = self.expr(node.subject)
        cases = []
        for case in node.cases:
            names: list[str] = []
            _captures(case.pattern, names)
            guard = self.opt(case.guard)
            cases.append(ir.Case(tuple(names), guard, self.block(case.body)))
        return ir.Match(o, subject, tuple(cases))

    def _params(self, args: ast.arguments) -> tuple[ir.Param, ...]:
        positional = [*args.posonlyargs, *args.args]
        missing = [None] * (len(positional) - len(args.defaults))
        result = [
            self._param(arg, "positional", default)
            for arg, default in zip(positional, [*missing, *args.defaults], strict=True)
        ]
        if args.vararg is not None:
            result.append(self._param(args.vararg, "star", None))
        result += [self._param(a, "keyword", d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
        if args.kwarg is not None:
            result.append(self._param(args.kwarg, "star2", None))
        return tuple(result)

    def _param(self, node: ast.arg, kind: str, default: ast.expr | None) -> ir.Param:
        annotation = self.opt(node.annotation)
        return ir.Param(node.arg, kind, annotation, self.opt(default))

    # --- expressions --------------------------------------------------------------------------------------------------

    def expr(self, node: ast.expr) -> ir.Expr:
        return _EXPRESSIONS[type(node)](self, node)

    def opt(self, node: ast.expr | None) -> ir.Expr | None:
        return None if node is None else _EXPRESSIONS[type(node)](self, node)

    def _all(self, nodes: Sequence[ast.expr]) -> tuple[ir.Expr, ...]:
        return tuple([_EXPRESSIONS[type(node)](self, node) for node in nodes])

    def _name(self, node: ast.Name) -> ir.Expr:
        return ir.Name(self._new(), node.id)

    def _attr(self, node: ast.Attribute) -> ir.Expr:
        o = self._new()
        return ir.Attr(o, self.expr(node.value), node.attr)

    def _constant(self, node: ast.Constant) -> ir.Expr:
        o, value = self._new(), node.value
        if isinstance(value, str):
            return ir.Const(o, "str", string(value))
        if value is None:
            return ir.Const(o, "none", None)
        if isinstance(value, bool):
            return ir.Const(o, "bool", value)
        if isinstance(value, int):
            return ir.Const(o, "float", float("inf")) if value.bit_length() > 63 else ir.Const(o, "int", value)
        if isinstance(value, float):
            return ir.Const(o, "float", value)
        if isinstance(value, bytes):
            return ir.Const(o, "bytes", "")
        return ir.Const(o, "complex" if isinstance(value, complex) else "ellipsis", None)

    def _call(self, node: ast.Call) -> ir.Expr:
        o = self._new()
        func = self.expr(node.func)
        if not node.keywords:
            return ir.Call(o, func, self._all(node.args), ())
        args: list[ir.Expr] = []
        keywords: list[tuple[str, ir.Expr]] = []
        given: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        if any(isinstance(a, ast.Starred) for a in node.args):  # the one that may stand behind a keyword
            given.sort(key=lambda a: (a.lineno, a.col_offset))
        for arg in given:
            if isinstance(arg, ast.keyword):
                keywords.append((arg.arg or "", self.expr(arg.value)))
            else:
                args.append(self.expr(arg))
        return ir.Call(o, func, tuple(args), tuple(keywords))

    def _formatted(self, node: ast.JoinedStr) -> ir.Expr:
        o = self._new()
        values: list[ir.Expr] = []
        self._parts(node, values)
        return ir.FStr(o, tuple(values))

    def _parts(self, node: ast.JoinedStr, values: list[ir.Expr]) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                values.append(self.expr(part.value))
                if isinstance(part.format_spec, ast.JoinedStr):
                    self._parts(part.format_spec, values)

    def _subscript(self, node: ast.Subscript) -> ir.Expr:
        o = self._new()
        value = self.expr(node.value)
        items: Sequence[ast.expr] = node.slice.elts if isinstance(node.slice, ast.Tuple) else (node.slice,)
        return ir.Sub(o, value, self._all([i.value if isinstance(i, ast.Starred) else i for i in items]))

    def _slice(self, node: ast.Slice) -> ir.Expr:
        o = self._new()
        return ir.Slice(o, (self.opt(node.lower), self.opt(node.upper), self.opt(node.step)))

    def _binary(self, node: ast.BinOp) -> ir.Expr:
        o = self._new()
        left = self.expr(node.left)
        return ir.Bin(o, _OPERATORS[type(node.op)], left, self.expr(node.right))

    def _boolean(self, node: ast.BoolOp) -> ir.Expr:
        return self._operands(_OPERATORS[type(node.op)], node.values)

    def _operands(self, op: str, values: Sequence[ast.expr]) -> ir.Expr:
        """``a and b and c`` is ``(a and b) and c``."""
        o = self._new()
        left = self._operands(op, values[:-1]) if len(values) > 2 else self.expr(values[0])
        return ir.Bool(o, op, (left, self.expr(values[-1])))

    def _unary(self, node: ast.UnaryOp) -> ir.Expr:
        o = self._new()
        return ir.Unary(o, _OPERATORS[type(node.op)], self.expr(node.operand))

    def _comparison(self, node: ast.Compare) -> ir.Expr:
        o = self._new()
        left = self.expr(node.left)
        return ir.Compare(o, left, tuple([_OPERATORS[type(op)] for op in node.ops]), self._all(node.comparators))

    def _ifexp(self, node: ast.IfExp) -> ir.Expr:
        o = self._new()
        test = self.expr(node.test)
        body = self.expr(node.body)
        return ir.IfExp(o, test, body, self.expr(node.orelse))

    def _lambda(self, node: ast.Lambda) -> ir.Expr:
        o = self._new()
        params = self._params(node.args)
        self._yields.append(False)
        body = self.expr(node.body)
        self._yields.pop()
        return ir.Lambda(o, params, body)

    def _comp(self, node: Any) -> ir.Expr:
        o = self._new()
        generators = tuple(
            [
                ir.CompFor(self.expr(g.target), self.expr(g.iter), self._all(g.ifs), bool(g.is_async))
                for g in node.generators
            ]
        )
        if isinstance(node, ast.DictComp):
            return ir.Comp(o, "dict", self.expr(node.key), self.opt(node.value), generators)
        kind = {ast.ListComp: "list", ast.SetComp: "set"}.get(type(node), "generator")
        return ir.Comp(o, kind, self.expr(node.elt), None, generators)

    def _seq(self, node: Any) -> ir.Expr:
        o = self._new()
        return ir.Seq(o, type(node).__name__.lower(), self._all(node.elts))

    def _starred(self, node: ast.Starred) -> ir.Expr:
        o = self._new()
        return ir.Star(o, self.expr(node.value))

    def _dict(self, node: ast.Dict) -> ir.Expr:
        o = self._new()
        pairs = [(self.opt(key), self.expr(value)) for key, value in zip(node.keys, node.values, strict=True)]
        return ir.Dict(o, tuple([k for k, _ in pairs]), tuple([v for _, v in pairs]))

    def _await(self, node: ast.Await) -> ir.Expr:
        o = self._new()
        return ir.Await(o, self.expr(node.value))

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> ir.Expr:
        o = self._new()
        if self._yields:
            self._yields[-1] = True
        return ir.Yield(o, self.opt(node.value), isinstance(node, ast.YieldFrom))

    def _walrus(self, node: ast.NamedExpr) -> ir.Expr:
        o = self._new()
        target = self.expr(node.target)
        return ir.Walrus(o, target, self.expr(node.value))


def _captures(node: ast.AST, names: list[str]) -> None:
    if isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name is not None:
        names.append(node.name)
    for child in ast.iter_child_nodes(node):
        _captures(child, names)


_Expression = Callable[[_Visitor, Any], ir.Expr]
_Statement = Callable[[_Visitor, Any], ir.Stmt]
_STATEMENTS: dict[type, _Statement] = {
    ast.Expr: _Visitor._expr_stmt,
    ast.Assign: _Visitor._assign,
    ast.AnnAssign: _Visitor._ann_assign,
    ast.AugAssign: _Visitor._aug,
    ast.Return: _Visitor._return,
    ast.Raise: _Visitor._raise,
    ast.Assert: _Visitor._assert,
    ast.Delete: _Visitor._del,
    ast.Pass: _Visitor._keyword,
    ast.Break: _Visitor._keyword,
    ast.Continue: _Visitor._keyword,
    ast.Import: _Visitor._import,
    ast.ImportFrom: _Visitor._import_from,
    ast.Global: _Visitor._scope,
    ast.Nonlocal: _Visitor._scope,
    ast.If: _Visitor._if,
    ast.For: _Visitor._for,
    ast.AsyncFor: _Visitor._for,
    ast.While: _Visitor._while,
    ast.With: _Visitor._with,
    ast.AsyncWith: _Visitor._with,
    ast.Try: _Visitor._try,
    ast.FunctionDef: _Visitor._def,
    ast.AsyncFunctionDef: _Visitor._def,
    ast.ClassDef: _Visitor._class,
    ast.Match: _Visitor._match,
}
for _name, _visit in (("TryStar", _Visitor._try), ("TypeAlias", _Visitor._type_alias)):
    if hasattr(ast, _name):  # since Python 3.11 and 3.12
        _STATEMENTS[getattr(ast, _name)] = _visit
_EXPRESSIONS: dict[type, _Expression] = {
    ast.Name: _Visitor._name,
    ast.Attribute: _Visitor._attr,
    ast.Call: _Visitor._call,
    ast.Constant: _Visitor._constant,
    ast.JoinedStr: _Visitor._formatted,
    ast.Subscript: _Visitor._subscript,
    ast.Slice: _Visitor._slice,
    ast.BinOp: _Visitor._binary,
    ast.BoolOp: _Visitor._boolean,
    ast.UnaryOp: _Visitor._unary,
    ast.Compare: _Visitor._comparison,
    ast.IfExp: _Visitor._ifexp,
    ast.Lambda: _Visitor._lambda,
    ast.ListComp: _Visitor._comp,
    ast.SetComp: _Visitor._comp,
    ast.DictComp: _Visitor._comp,
    ast.GeneratorExp: _Visitor._comp,
    ast.Tuple: _Visitor._seq,
    ast.List: _Visitor._seq,
    ast.Set: _Visitor._seq,
    ast.Starred: _Visitor._starred,
    ast.Dict: _Visitor._dict,
    ast.Await: _Visitor._await,
    ast.Yield: _Visitor._yield,
    ast.YieldFrom: _Visitor._yield,
    ast.NamedExpr: _Visitor._walrus,
}
