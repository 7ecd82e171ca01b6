"""From libcst to facts: the one visitor of nograd-lint.

:func:`lower` parses the text of a unit with libcst and visits its tree once, dispatching on node types, into the
structures of :mod:`nograd_lint.syntax.ir`. :func:`spans` does the same once more with libcst's positions, for the few
units about which something is reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from nograd_lint.diagnostics import Position, Span
from nograd_lint.syntax import ir
from nograd_lint.syntax.text import WRAPPER, identifier, string, too_deep, wrapped


class UnparsableError(Exception):
    """libcst rejects the text; ``row`` is 1-based within the unit."""

    def __init__(self, message: str, row: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.row = row
        self.column = column


def lower(text: str) -> ir.Unit:
    """The facts of one unit.

    Raises:
        UnparsableError: libcst can't parse the text, or it is nested too deeply.
    """
    module, _ = _parse(text)
    try:
        return _Visitor().unit(module)
    except RecursionError:
        raise UnparsableError("too deeply nested", 1, 1) from None


def spans(text: str) -> list[Span]:
    """Rows and columns (1-based, relative to the unit's text) of every ordinal that :func:`lower` gives."""
    return _spans(text)


@lru_cache(maxsize=64)
def _spans(text: str) -> list[Span]:
    module, first = _parse(text)
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    positions = wrapper.resolve(PositionProvider)
    visitor = _Visitor()
    visitor.unit(wrapper.module)
    result = []
    for node in visitor.nodes:
        where = positions[node]
        result.append(
            Span(
                Position(where.start.line - first, where.start.column + 1),
                Position(where.end.line - first, where.end.column + 1),
            )
        )
    return result


def _parse(text: str) -> tuple[cst.Module, int]:
    first = 0
    deep = too_deep(text)
    if deep is not None:
        raise UnparsableError("too deeply nested", deep, 1)
    if wrapped(text):
        text = WRAPPER + text
        first = 1
    try:
        return cst.parse_module(text), first
    except cst.ParserSyntaxError as error:
        raise UnparsableError(error.message, max(1, error.raw_line - first), error.raw_column + 1) from None
    except RecursionError:
        raise UnparsableError("too deeply nested", 1, 1) from None
    except Exception as error:  # libcst reports some broken input with other exceptions
        raise UnparsableError(f"{type(error).__name__}: {error}", 1, 1) from None


_OPERATORS = {
    "Add": "+", "Subtract": "-", "Multiply": "*", "Divide": "/", "FloorDivide": "//", "Modulo": "%", "Power": "**",
    "MatrixMultiply": "@", "BitAnd": "&", "BitOr": "|", "BitXor": "^", "LeftShift": "<<", "RightShift": ">>",
    "And": "and", "Or": "or", "Not": "not", "Minus": "-", "Plus": "+", "BitInvert": "~",
    "Equal": "==", "NotEqual": "!=", "LessThan": "<", "LessThanEqual": "<=", "GreaterThan": ">",
    "GreaterThanEqual": ">=", "In": "in", "NotIn": "not in", "Is": "is", "IsNot": "is not",
}  # fmt: skip

_COMPREHENSIONS: dict[type, str] = {cst.ListComp: "list", cst.SetComp: "set", cst.DictComp: "dict"}


def _operator(node: cst.CSTNode) -> str:
    name = type(node).__name__
    return _OPERATORS.get(name) or _OPERATORS[name.removesuffix("Assign")]


class _Visitor:
    """One visit; ``nodes[o]`` is the libcst node of ordinal ``o``."""

    def __init__(self) -> None:
        self.nodes: list[cst.CSTNode] = []
        self._yields: list[bool] = []

    def unit(self, module: cst.Module) -> ir.Unit:
        body: Sequence[Any] = module.body
        if body and isinstance(first := body[0], cst.If) and len(body) == 1 and _is_wrapper(first):
            return ir.Unit(self.block(first.body))
        return ir.Unit(self._statements(body))

    def _new(self, node: cst.CSTNode) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    # --- statements ---------------------------------------------------------------------------------------------------

    def block(self, node: Any) -> tuple[ir.Stmt, ...]:
        if type(node) is cst.IndentedBlock:
            return self._statements(node.body)
        return tuple(self._small(small) for small in node.body)

    def _statements(self, body: Sequence[Any]) -> tuple[ir.Stmt, ...]:
        result: list[ir.Stmt] = []
        for node in body:
            if type(node) is cst.SimpleStatementLine:
                for small in node.body:
                    result.append(_SMALL[type(small)](self, small))  # noqa: PERF401
            else:
                result.append(_COMPOUND[type(node)](self, node))
        return tuple(result)

    def _small(self, node: Any) -> ir.Stmt:
        return _SMALL[type(node)](self, node)

    def _expr_stmt(self, node: cst.Expr) -> ir.Stmt:
        return ir.ExprStmt(self._new(node), self.expr(node.value))

    def _assign(self, node: cst.Assign) -> ir.Stmt:
        o = self._new(node)
        return ir.Assign(o, tuple(self.expr(t.target) for t in node.targets), self.expr(node.value))

    def _ann_assign(self, node: cst.AnnAssign) -> ir.Stmt:
        o = self._new(node)
        target = self.expr(node.target)
        annotation = self.expr(node.annotation.annotation)
        return ir.Assign(o, (target,), self.opt(node.value), annotation)

    def _aug(self, node: cst.AugAssign) -> ir.Stmt:
        o = self._new(node)
        return ir.Aug(o, self.expr(node.target), _operator(node.operator), self.expr(node.value))

    def _return(self, node: cst.Return) -> ir.Stmt:
        return ir.Return(self._new(node), self.opt(node.value))

    def _raise(self, node: cst.Raise) -> ir.Stmt:
        o = self._new(node)
        exprs = [self.expr(node.exc)] if node.exc is not None else []
        if node.cause is not None:
            exprs.append(self.expr(node.cause.item))
        return ir.Simple(o, "raise", tuple(exprs))

    def _assert(self, node: cst.Assert) -> ir.Stmt:
        o = self._new(node)
        exprs = [self.expr(node.test)]
        if node.msg is not None:
            exprs.append(self.expr(node.msg))
        return ir.Simple(o, "assert", tuple(exprs))

    def _del(self, node: cst.Del) -> ir.Stmt:
        o = self._new(node)
        target = node.target
        targets = [e.value for e in target.elements] if isinstance(target, cst.Tuple) else [target]
        return ir.Simple(o, "del", tuple(self.expr(t) for t in targets))

    def _keyword(self, node: cst.CSTNode) -> ir.Stmt:
        return ir.Simple(self._new(node), type(node).__name__.lower(), ())

    def _import(self, node: cst.Import) -> ir.Stmt:
        o = self._new(node)
        return ir.Import(o, tuple(ir.Alias(_dotted(a.name), None, _asname(a), 0) for a in node.names))

    def _import_from(self, node: cst.ImportFrom) -> ir.Stmt:
        o = self._new(node)
        module = _dotted(node.module) if node.module is not None else ""
        level = len(node.relative)
        if isinstance(node.names, cst.ImportStar):
            return ir.Import(o, (ir.Alias(module, "*", None, level),))
        return ir.Import(o, tuple(ir.Alias(module, _dotted(a.name), _asname(a), level) for a in node.names))

    def _scope(self, node: cst.Global | cst.Nonlocal) -> ir.Stmt:
        return ir.ScopeStmt(
            self._new(node), type(node).__name__.lower(), tuple(identifier(n.name.value) for n in node.names)
        )

    def _type_alias(self, node: cst.TypeAlias) -> ir.Stmt:
        return ir.Simple(self._new(node), "pass", ())

    def _if(self, node: cst.If) -> ir.Stmt:
        o = self._new(node)
        test = self.expr(node.test)
        body = self.block(node.body)
        orelse: tuple[ir.Stmt, ...] = ()
        if isinstance(node.orelse, cst.If):
            orelse = (self._if(node.orelse),)
        elif node.orelse is not None:
            orelse = self.block(node.orelse.body)
        return ir.If(o, test, body, orelse)

    def _for(self, node: cst.For) -> ir.Stmt:
        o = self._new(node)
        target = self.expr(node.target)
        iterable = self.expr(node.iter)
        body = self.block(node.body)
        return ir.For(o, target, iterable, body, self._orelse(node), node.asynchronous is not None)

    def _while(self, node: cst.While) -> ir.Stmt:
        o = self._new(node)
        test = self.expr(node.test)
        body = self.block(node.body)
        return ir.While(o, test, body, self._orelse(node))

    def _orelse(self, node: cst.For | cst.While | cst.Try | cst.TryStar) -> tuple[ir.Stmt, ...]:
        return self.block(node.orelse.body) if node.orelse is not None else ()

    def _with(self, node: cst.With) -> ir.Stmt:
        o = self._new(node)
        items = tuple(
            ir.WithItem(self.expr(i.item), self.expr(i.asname.name) if i.asname is not None else None)
            for i in node.items
        )
        return ir.With(o, items, self.block(node.body), node.asynchronous is not None)

    def _try(self, node: cst.Try | cst.TryStar) -> ir.Stmt:
        o = self._new(node)
        body = self.block(node.body)
        handlers = []
        for handler in node.handlers:
            kind = self.opt(handler.type)
            name = (
                identifier(handler.name.name.value) if handler.name and isinstance(handler.name.name, cst.Name) else ""
            )
            handlers.append(ir.Handler(kind, name, self.block(handler.body)))
        orelse = self._orelse(node)
        final = self.block(node.finalbody.body) if node.finalbody is not None else ()
        return ir.Try(o, body, tuple(handlers), orelse, final)

    def _def(self, node: cst.FunctionDef) -> ir.Stmt:
        o = self._new(node)
        decorators = tuple(self.expr(d.decorator) for d in node.decorators)
        params = self._params(node.params)
        returns = self.expr(node.returns.annotation) if node.returns is not None else None
        self._yields.append(False)
        body = self.block(node.body)
        is_generator = self._yields.pop()
        return ir.Def(
            o,
            identifier(node.name.value),
            params,
            body,
            decorators,
            node.asynchronous is not None,
            is_generator,
            returns,
        )

    def _class(self, node: cst.ClassDef) -> ir.Stmt:
        o = self._new(node)
        decorators = tuple(self.expr(d.decorator) for d in node.decorators)
        bases = tuple(self.expr(a.value) for a in node.bases)
        keywords = tuple((identifier(a.keyword.value) if a.keyword else "", self.expr(a.value)) for a in node.keywords)
        return ir.Class(o, identifier(node.name.value), bases, keywords, self.block(node.body), decorators)

    def _match(self, node: cst.Match) -> ir.Stmt:
        o = self._new(node)
        subject = self.expr(node.subject)
        cases = []
        for case in node.cases:
            names: list[str] = []
            _captures(case.pattern, names)
            guard = self.opt(case.guard)
            cases.append(ir.Case(tuple(names), guard, self.block(case.body)))
        return ir.Match(o, subject, tuple(cases))

    def _params(self, node: cst.Parameters) -> tuple[ir.Param, ...]:
        result = [self._param(p, "positional") for p in (*node.posonly_params, *node.params)]
        if isinstance(node.star_arg, cst.Param):
            result.append(self._param(node.star_arg, "star"))
        result.extend(self._param(p, "keyword") for p in node.kwonly_params)
        if node.star_kwarg is not None:
            result.append(self._param(node.star_kwarg, "star2"))
        return tuple(result)

    def _param(self, node: cst.Param, kind: str) -> ir.Param:
        annotation = self.expr(node.annotation.annotation) if node.annotation is not None else None
        return ir.Param(identifier(node.name.value), kind, annotation, self.opt(node.default))

    # --- expressions --------------------------------------------------------------------------------------------------

    def expr(self, node: Any) -> ir.Expr:
        return _EXPRESSIONS[type(node)](self, node)

    def opt(self, node: Any) -> ir.Expr | None:
        return None if node is None else _EXPRESSIONS[type(node)](self, node)

    def _name(self, node: cst.Name) -> ir.Expr:
        o = self._new(node)
        value = node.value
        if value == "None":
            return ir.Const(o, "none", None)
        if value == "True" or value == "False":
            return ir.Const(o, "bool", value == "True")
        return ir.Name(o, identifier(value))

    def _attr(self, node: cst.Attribute) -> ir.Expr:
        o = self._new(node)
        return ir.Attr(o, self.expr(node.value), identifier(node.attr.value))

    def _call(self, node: cst.Call) -> ir.Expr:
        o = self._new(node)
        func = self.expr(node.func)
        args: list[ir.Expr] = []
        keywords: list[tuple[str, ir.Expr]] = []
        for arg in node.args:
            if arg.keyword is not None:
                keywords.append((identifier(arg.keyword.value), self.expr(arg.value)))
            elif arg.star == "**":
                keywords.append(("", self.expr(arg.value)))
            elif arg.star:
                star = self._new(arg)
                args.append(ir.Star(star, self.expr(arg.value)))
            else:
                args.append(self.expr(arg.value))
        return ir.Call(o, func, tuple(args), tuple(keywords))

    def _integer(self, node: cst.Integer) -> ir.Expr:
        try:
            value = int(node.value.replace("_", ""), 0)
        except ValueError:
            value = 0
        if value.bit_length() > 63:
            return ir.Const(self._new(node), "float", float("inf"))
        return ir.Const(self._new(node), "int", value)

    def _float(self, node: cst.Float) -> ir.Expr:
        return ir.Const(self._new(node), "float", float(node.value.replace("_", "")))

    def _imaginary(self, node: cst.Imaginary) -> ir.Expr:
        return ir.Const(self._new(node), "complex", None)

    def _ellipsis(self, node: cst.Ellipsis) -> ir.Expr:
        return ir.Const(self._new(node), "ellipsis", None)

    def _string(self, node: cst.SimpleString) -> ir.Expr:
        if "b" in node.prefix.lower():
            return ir.Const(self._new(node), "bytes", "")
        return ir.Const(self._new(node), "str", string(_value(node)))

    def _concatenated(self, node: cst.ConcatenatedString) -> ir.Expr:
        """One string, as it is after parsing: a constant, or what is formatted in its parts."""
        parts: list[Any] = []
        rest: Any = node
        while isinstance(rest, cst.ConcatenatedString):
            parts.append(rest.left)
            rest = rest.right
        parts.append(rest)
        o = self._new(node)
        if all(isinstance(part, cst.SimpleString) for part in parts):
            if "b" in parts[0].prefix.lower():
                return ir.Const(o, "bytes", "")
            return ir.Const(o, "str", string("".join(map(_value, parts))))
        values: list[ir.Expr] = []
        for part in parts:
            if not isinstance(part, cst.SimpleString):
                self._parts(part.parts, values)
        return ir.FStr(o, tuple(values))

    def _formatted(self, node: Any) -> ir.Expr:
        o = self._new(node)
        values: list[ir.Expr] = []
        self._parts(node.parts, values)
        return ir.FStr(o, tuple(values))

    def _parts(self, parts: Sequence[Any], values: list[ir.Expr]) -> None:
        for part in parts:
            expression = getattr(part, "expression", None)
            if expression is not None:
                values.append(self.expr(expression))
                if part.format_spec:
                    self._parts(part.format_spec, values)

    def _subscript(self, node: cst.Subscript) -> ir.Expr:
        o = self._new(node)
        value = self.expr(node.value)
        only = node.slice[0].slice
        if len(node.slice) == 1 and isinstance(only, cst.Index) and isinstance(only.value, cst.Tuple):
            # ``a[(b, c)]`` is ``a[b, c]``
            return ir.Sub(o, value, tuple(self.expr(e.value) for e in only.value.elements))
        return ir.Sub(o, value, tuple(self._index(e.slice) for e in node.slice))

    def _index(self, node: cst.BaseSlice) -> ir.Expr:
        if isinstance(node, cst.Index):
            return self.expr(node.value)
        assert isinstance(node, cst.Slice)
        o = self._new(node)
        return ir.Slice(o, (self.opt(node.lower), self.opt(node.upper), self.opt(node.step)))

    def _binary(self, node: cst.BinaryOperation) -> ir.Expr:
        o = self._new(node)
        left = self.expr(node.left)
        return ir.Bin(o, _operator(node.operator), left, self.expr(node.right))

    def _boolean(self, node: cst.BooleanOperation) -> ir.Expr:
        o = self._new(node)
        left = self.expr(node.left)
        return ir.Bool(o, _operator(node.operator), (left, self.expr(node.right)))

    def _unary(self, node: cst.UnaryOperation) -> ir.Expr:
        o = self._new(node)
        return ir.Unary(o, _operator(node.operator), self.expr(node.expression))

    def _comparison(self, node: cst.Comparison) -> ir.Expr:
        o = self._new(node)
        left = self.expr(node.left)
        ops = tuple(_operator(c.operator) for c in node.comparisons)
        return ir.Compare(o, left, ops, tuple(self.expr(c.comparator) for c in node.comparisons))

    def _ifexp(self, node: cst.IfExp) -> ir.Expr:
        o = self._new(node)
        test = self.expr(node.test)
        body = self.expr(node.body)
        return ir.IfExp(o, test, body, self.expr(node.orelse))

    def _lambda(self, node: cst.Lambda) -> ir.Expr:
        o = self._new(node)
        params = self._params(node.params)
        self._yields.append(False)
        body = self.expr(node.body)
        self._yields.pop()
        return ir.Lambda(o, params, body)

    def _comp(self, node: Any) -> ir.Expr:
        o = self._new(node)
        kind = _COMPREHENSIONS.get(type(node), "generator")
        generators: list[ir.CompFor] = []
        current: cst.CompFor | None = node.for_in
        while current is not None:
            target = self.expr(current.target)
            iterable = self.expr(current.iter)
            ifs = tuple(self.expr(i.test) for i in current.ifs)
            generators.append(ir.CompFor(target, iterable, ifs, current.asynchronous is not None))
            current = current.inner_for_in
        if kind == "dict":
            return ir.Comp(o, kind, self.expr(node.key), self.expr(node.value), tuple(generators))
        return ir.Comp(o, kind, self.expr(node.elt), None, tuple(generators))

    def _seq(self, node: Any) -> ir.Expr:
        o = self._new(node)
        items: list[ir.Expr] = []
        for element in node.elements:
            if isinstance(element, cst.StarredElement):
                star = self._new(element)
                items.append(ir.Star(star, self.expr(element.value)))
            else:
                items.append(self.expr(element.value))
        return ir.Seq(o, type(node).__name__.lower(), tuple(items))

    def _starred(self, node: cst.StarredElement) -> ir.Expr:
        o = self._new(node)
        return ir.Star(o, self.expr(node.value))

    def _dict(self, node: cst.Dict) -> ir.Expr:
        o = self._new(node)
        keys: list[ir.Expr | None] = []
        values: list[ir.Expr] = []
        for element in node.elements:
            keys.append(self.expr(element.key) if isinstance(element, cst.DictElement) else None)
            values.append(self.expr(element.value))
        return ir.Dict(o, tuple(keys), tuple(values))

    def _await(self, node: cst.Await) -> ir.Expr:
        o = self._new(node)
        return ir.Await(o, self.expr(node.expression))

    def _yield(self, node: cst.Yield) -> ir.Expr:
        o = self._new(node)
        if self._yields:
            self._yields[-1] = True
        if isinstance(node.value, cst.From):
            return ir.Yield(o, self.expr(node.value.item), True)
        return ir.Yield(o, self.opt(node.value), False)

    def _walrus(self, node: cst.NamedExpr) -> ir.Expr:
        o = self._new(node)
        target = self.expr(node.target)
        return ir.Walrus(o, target, self.expr(node.value))


def _value(node: cst.SimpleString) -> str:
    """A string's value; one that Python would reject is taken as it is written."""
    raw = node.raw_value
    if "\\" not in raw or "r" in node.prefix.lower():
        return raw
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unknown escapes
            return str(node.evaluated_value)
    except (SyntaxError, ValueError):
        return raw


def _is_wrapper(node: cst.If) -> bool:
    return isinstance(node.test, cst.Integer) and node.orelse is None and not node.leading_lines


def _dotted(node: Any) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{identifier(node.attr.value)}"
    return identifier(str(node.value))


def _asname(node: cst.ImportAlias) -> str | None:
    if node.asname is None:
        return None
    name = node.asname.name
    return identifier(name.value) if isinstance(name, cst.Name) else None


def _captures(node: Any, names: list[str]) -> None:
    if isinstance(node, (cst.MatchAs, cst.MatchStar)) and isinstance(node.name, cst.Name):
        names.append(identifier(node.name.value))
    for child in node.children:
        _captures(child, names)


_Expression = Callable[[_Visitor, Any], ir.Expr]
_Statement = Callable[[_Visitor, Any], ir.Stmt]
_SMALL: dict[type, _Statement] = {
    cst.Expr: _Visitor._expr_stmt,
    cst.Assign: _Visitor._assign,
    cst.AnnAssign: _Visitor._ann_assign,
    cst.AugAssign: _Visitor._aug,
    cst.Return: _Visitor._return,
    cst.Raise: _Visitor._raise,
    cst.Assert: _Visitor._assert,
    cst.Del: _Visitor._del,
    cst.Pass: _Visitor._keyword,
    cst.Break: _Visitor._keyword,
    cst.Continue: _Visitor._keyword,
    cst.Import: _Visitor._import,
    cst.ImportFrom: _Visitor._import_from,
    cst.Global: _Visitor._scope,
    cst.Nonlocal: _Visitor._scope,
    cst.TypeAlias: _Visitor._type_alias,
}
_COMPOUND: dict[type, _Statement] = {
    cst.If: _Visitor._if,
    cst.For: _Visitor._for,
    cst.While: _Visitor._while,
    cst.With: _Visitor._with,
    cst.Try: _Visitor._try,
    cst.TryStar: _Visitor._try,
    cst.FunctionDef: _Visitor._def,
    cst.ClassDef: _Visitor._class,
    cst.Match: _Visitor._match,
}
_EXPRESSIONS: dict[type, _Expression] = {
    cst.Name: _Visitor._name,
    cst.Attribute: _Visitor._attr,
    cst.Call: _Visitor._call,
    cst.Integer: _Visitor._integer,
    cst.Float: _Visitor._float,
    cst.Imaginary: _Visitor._imaginary,
    cst.Ellipsis: _Visitor._ellipsis,
    cst.SimpleString: _Visitor._string,
    cst.ConcatenatedString: _Visitor._concatenated,
    cst.FormattedString: _Visitor._formatted,
    cst.Subscript: _Visitor._subscript,
    cst.BinaryOperation: _Visitor._binary,
    cst.BooleanOperation: _Visitor._boolean,
    cst.UnaryOperation: _Visitor._unary,
    cst.Comparison: _Visitor._comparison,
    cst.IfExp: _Visitor._ifexp,
    cst.Lambda: _Visitor._lambda,
    cst.ListComp: _Visitor._comp,
    cst.SetComp: _Visitor._comp,
    cst.DictComp: _Visitor._comp,
    cst.GeneratorExp: _Visitor._comp,
    cst.Tuple: _Visitor._seq,
    cst.List: _Visitor._seq,
    cst.Set: _Visitor._seq,
    cst.StarredElement: _Visitor._starred,
    cst.Dict: _Visitor._dict,
    cst.Await: _Visitor._await,
    cst.Yield: _Visitor._yield,
    cst.NamedExpr: _Visitor._walrus,
}
if hasattr(cst, "TemplatedString"):
    _EXPRESSIONS[cst.TemplatedString] = _Visitor._formatted
