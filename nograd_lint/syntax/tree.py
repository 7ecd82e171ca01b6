"""The outline of a file from tree-sitter's syntax tree, which there is of broken files, too."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from nograd_lint.syntax.ir import Alias
from nograd_lint.syntax.outline import Definition, ImportName, Outline
from nograd_lint.syntax.text import identifier

if TYPE_CHECKING:
    import tree_sitter

# Where a broken file may be taken up again.
_RESYNC = re.compile(rb"^(?:@|def\b|class\b|async\s+def\b|if\s+__name__\b)", re.MULTILINE)
_QUERY = """
(function_definition) @def
(class_definition) @def
(import_statement) @import
(import_from_statement) @import
(module (expression_statement (assignment left: (_) @global)))
(module (if_statement consequence: (block (expression_statement (assignment left: (_) @global)))))
(module (if_statement (else_clause (block (expression_statement (assignment left: (_) @global))))))
(module (try_statement (block (expression_statement (assignment left: (_) @global)))))
"""


@cache
def _tools() -> tuple[tree_sitter.Parser, tree_sitter.Query]:
    import tree_sitter
    import tree_sitter_python

    language = tree_sitter.Language(tree_sitter_python.language())
    return tree_sitter.Parser(language), tree_sitter.Query(language, _QUERY)


def outline_of_tree(data: bytes) -> Outline:
    """The outline of UTF-8 source text, whatever it looks like."""
    parser, _ = _tools()
    root = parser.parse(data).root_node
    if not root.has_error:
        builder = _Builder(data)
        builder.add(root, 0, 0)
        return builder.done(broken=False)
    # An error can swallow everything behind it: read the file again in pieces that each start in column 0.
    starts = [m.start() for m in _RESYNC.finditer(data)]
    edges = [0]
    decorated = False
    for start in starts:
        if not decorated and start > edges[-1]:
            edges.append(start)
        decorated = data[start : start + 1] == b"@"
    builder = _Builder(data)
    row = 0
    for first, last in zip(edges, [*edges[1:], len(data)], strict=True):
        piece = data[first:last]
        builder.add(parser.parse(piece).root_node, first, row)
        row += piece.count(b"\n")
    return builder.done(broken=True)


class _Builder:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.definitions: list[Definition] = []
        self.imports: list[ImportName] = []
        self.globals: dict[str, None] = {}

    def done(self, *, broken: bool) -> Outline:
        return Outline(tuple(self.definitions), tuple(self.imports), tuple(self.globals), broken)

    def add(self, root: tree_sitter.Node, offset: int, row: int) -> None:
        import tree_sitter

        captures = {  # they come in any order
            name: sorted(nodes, key=lambda n: n.start_byte)
            for name, nodes in tree_sitter.QueryCursor(_tools()[1]).captures(root).items()
        }
        base = len(self.definitions)
        stack: list[int] = []
        for node in captures.get("def", ()):
            name = node.child_by_field_name("name")
            body = node.child_by_field_name("body")
            if name is None or body is None or name.is_missing:
                continue
            outer = node.parent if node.parent is not None and node.parent.type == "decorated_definition" else node
            start = offset + outer.start_byte
            start = self.data.rfind(b"\n", 0, start) + 1
            while stack and self.definitions[stack[-1]].end <= start:
                stack.pop()
            parent = stack[-1] if stack else -1
            text = identifier(name.text.decode()) if name.text else ""
            qualname = f"{self.definitions[parent].qualname}.{text}" if parent >= 0 else text
            is_class = node.type == "class_definition"
            first = node.child(0)
            self.definitions.append(
                Definition(
                    "class" if is_class else "function",
                    text,
                    qualname,
                    parent,
                    start,
                    offset + _end(body),
                    row + outer.start_point[0],
                    offset + body.start_byte,
                    _bases(node) if is_class else (),
                    _decorators(outer) if outer is not node else (),
                    first is not None and first.type == "async",
                )
            )
            stack.append(len(self.definitions) - 1)
        for node in captures.get("import", ()):
            start = offset + node.start_byte
            scope = -1
            for index in range(base, len(self.definitions)):
                if self.definitions[index].start > start:
                    break
                if start < self.definitions[index].end:
                    scope = index
            self.imports.extend(ImportName(alias, scope) for alias in _aliases(node))
        for node in captures.get("global", ()):
            for found in re.findall(r"[^\W\d]\w*", (node.text or b"").decode()) if node.type != "attribute" else ():
                self.globals[identifier(found)] = None


def _end(body: tree_sitter.Node) -> int:
    # An empty or missing block ends where it starts; trailing comments belong to nobody.
    return body.end_byte


def _bases(node: tree_sitter.Node) -> tuple[str, ...]:
    found = node.child_by_field_name("superclasses")
    if found is None:
        return ()
    return tuple(
        c.text.decode(errors="replace")
        for c in found.named_children
        if c.type not in ("keyword_argument", "comment") and c.text
    )


def _decorators(outer: Any) -> tuple[str, ...]:
    found = (c.named_children[0] for c in outer.named_children if c.type == "decorator" and c.named_children)
    return tuple(expr.text.decode(errors="replace") for expr in found if expr.text and expr.type != "comment")


def _aliases(node: tree_sitter.Node) -> list[Alias]:
    result = []
    module, level = "", 0
    is_from = node.type == "import_from_statement"
    if is_from:
        found = node.child_by_field_name("module_name")
        text = _identifiers(found) if found is not None else ""
        module = text.lstrip(".")
        level = len(text) - len(module)
        if any(c.type == "wildcard_import" for c in node.children):
            return [Alias(module, "*", None, level)]
    for child in node.children_by_field_name("name"):
        asname = None
        target = child
        if child.type == "aliased_import":
            alias = child.child_by_field_name("alias")
            inner = child.child_by_field_name("name")
            asname = _identifiers(alias) if alias is not None else None
            target = inner if inner is not None else child
        name = _identifiers(target)
        result.append(Alias(module, name, asname, level) if is_from else Alias(name, None, asname, 0))
    return result


def _identifiers(node: tree_sitter.Node) -> str:
    """A dotted name without white space."""
    return identifier(re.sub(r"\s+", "", (node.text or b"").decode(errors="replace")))
