"""Where the statements of a text stand: its lines, and a syntax tree that is used for places only."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from nograd_lint.fixes.draft import Lines

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


class UnfixableError(Exception):
    """The place of a fix has a shape that can't be edited without doubt; ``str()`` is the reason."""


_BLOCKS = ("block", "module")
_COMMENT = re.compile(r"#[^\r\n]*")
_CONTINUATION = re.compile(r"\\(?:\r\n|\n|\r)")
_LONE_CR = re.compile(r"\r(?!\n)")


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_python

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language()))


def _flattened(data: bytes) -> bytes:
    """The text with what brackets enclose in one row; every token stays where it is.

    The grammar takes a row within brackets for the end of a block where it is indented less than the block.
    """
    from nograd_lint.source.lexer import STRING

    data = data.replace(b"\\\r\n", b" \\\n").replace(b"\r\n", b" \n")
    depth = 0

    def flat(match: re.Match[bytes]) -> bytes:
        nonlocal depth
        token = match[0]
        if token in b"([{":
            depth += 1
        elif token in b")]}":
            depth = max(depth - 1, 0)
        elif depth and token[:1] in b"#\n\\":
            return b" " * len(token)
        return token

    return re.sub(rb"[(\[{)\]}]|#[^\n]*|\\?\n|" + STRING, flat, data, flags=re.DOTALL)


class Layout:
    """A text with its lines and tree. Offsets count code points of the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = Lines(text)
        # The grammar knows no lone carriage return; as a line feed it takes the same room.
        data = _LONE_CR.sub("\n", text).encode("utf-8", "surrogatepass")
        self._data = None if len(data) == len(text) else data
        if self._data is not None:
            self._byte_starts = [0]
            for row in range(1, len(self.lines.starts)):
                line = text[self.lines.starts[row - 1] : self.lines.starts[row]]
                self._byte_starts.append(self._byte_starts[-1] + len(line.encode("utf-8", "surrogatepass")))
        self.root: Node = _parser().parse(data).root_node
        if self.root.has_error:
            self.root = _parser().parse(_flattened(data)).root_node

    # --- offsets ------------------------------------------------------------------------------------------------------

    def char(self, byte: int) -> int:
        if self._data is None:
            return byte
        row = bisect_right(self._byte_starts, byte) - 1
        line = self._data[self._byte_starts[row] : byte]
        return self.lines.starts[row] + len(line.decode("utf-8", "surrogatepass"))

    def byte(self, char: int) -> int:
        if self._data is None:
            return char
        row = self.lines.row(char)
        return self._byte_starts[row] + len(self.text[self.lines.starts[row] : char].encode("utf-8", "surrogatepass"))

    def start(self, node: Node) -> int:
        return self.char(node.start_byte)

    def end(self, node: Node) -> int:
        """End of a node's code: comments behind the last statement of a block belong to nobody."""
        while node.children:
            code = [child for child in node.children if child.type not in ("comment", "line_continuation")]
            if not code or (code[-1] == node.children[-1] and code[-1].end_byte < node.end_byte):
                break
            node = code[-1]
        return self.char(node.end_byte)

    def source(self, node: Node) -> str:
        return self.text[self.start(node) : self.end(node)]

    # --- finding nodes ------------------------------------------------------------------------------------------------

    def statement(self, start: int) -> Node:
        """The statement that begins at an offset; a decorated function is one from its first ``@`` on.

        Raises:
            UnfixableError: no statement begins there (an ``elif`` is none).
        """
        byte = self.byte(start)
        node = self.root.descendant_for_byte_range(byte, byte + 1)
        while node is not None and (node.parent is None or node.parent.type not in _BLOCKS):
            node = node.parent
        if node is None or node.type in ("comment", "case_clause"):
            raise UnfixableError("no statement here")
        self._check_parsed(node)
        begins = node.start_byte
        if node.type == "decorated_definition":
            definition = node.child_by_field_name("definition")
            if definition is not None and definition.start_byte == byte:
                begins = byte
        if begins != byte:
            raise UnfixableError("no statement begins here")
        return node

    def _check_parsed(self, node: Node) -> None:
        """Raise :class:`UnfixableError` where an error in the text may have confused the tree around a node."""
        if not self.root.has_error:
            return
        while node.parent is not None and node.parent.parent is not None:
            node = node.parent
        near = (node, node.prev_sibling, node.next_sibling)
        if self.root.type != "module" or any(n is not None and n.has_error for n in near):
            raise UnfixableError("the text around the statement cannot be parsed")

    def definition(self, start: int) -> Node:
        """The function or class whose first ``@``, or whose ``def``, ``async`` or ``class`` stands at an offset."""
        node = self.statement(start)
        if node.type == "decorated_definition":
            node = field(node, "definition")
        if node.type not in ("function_definition", "class_definition"):
            raise UnfixableError("no function here")
        return node

    def expression(self, start: int, end: int) -> Node | None:
        """The outermost node that takes up exactly this room."""
        low, high = self.byte(start), self.byte(end)
        node = self.root.named_descendant_for_byte_range(low, high)
        if node is None or (node.start_byte, node.end_byte) != (low, high):
            return None
        return node

    def siblings(self, node: Node) -> list[Node]:
        """The statements of the block that holds a statement."""
        parent = node.parent
        if parent is None:
            raise UnfixableError("no block here")
        return statements(parent)

    def multiline_strings(self, start: int, end: int) -> list[tuple[int, int]]:
        """Extents of the string literals within an extent that reach over more than one line."""
        return list(self._strings(self.root, self.byte(start), self.byte(end)))

    def _strings(self, node: Node, low: int, high: int) -> Iterator[tuple[int, int]]:
        for child in node.children:
            if child.end_byte <= low or child.start_byte >= high:
                continue
            start, end = self.char(child.start_byte), self.char(child.end_byte)
            if self.lines.row(start) == self.lines.row(end):
                continue
            if child.type == "string":
                yield start, end
            else:
                yield from self._strings(child, low, high)

    # --- logical lines and indentation --------------------------------------------------------------------------------

    def breaks(self, start: int, end: int) -> bool:
        """Whether a logical line ends in the gap between two statements, or between a colon and its suite."""
        return any(c in "\r\n" for c in _CONTINUATION.sub("", _COMMENT.sub("", self.text[start:end])))

    def before(self, statement: Node) -> int:
        """End of what stands before a statement in its block: the previous statement, or the colon of the header."""
        parent = statement.parent
        if parent is None:
            raise UnfixableError("no block here")
        previous = [node for node in statements(parent) if node.end_byte <= statement.start_byte]
        if previous:
            return self.end(previous[-1])
        return self.end(colon(parent)) if parent.type == "block" else 0

    def joined(self, statement: Node) -> bool:
        """Whether a statement stands in one logical line with what is before it."""
        previous = self.before(statement)
        return previous > 0 and not self.breaks(previous, self.start(statement))

    def is_inline(self, block: Node) -> bool:
        """Whether a block is the rest of its header's line."""
        return block.type == "block" and self.joined(statements(block)[0])

    def own_line(self, statement: Node) -> bool:
        """Whether a statement begins a line, with nothing but white space before it."""
        start = self.start(statement)
        row = self.lines.row(start)
        before = self.text[self.lines.start(row) : start].strip(" \t\f\ufeff")
        return not before and not self.joined(statement) and self.lines.line(max(row - 1, 0)).strip() != "\\"

    def indentation(self, row: int) -> str:
        """The white space that a row begins with (what stands before a form feed counts for nothing)."""
        line = self.lines.line(row).lstrip("\ufeff")
        white = line[: len(line) - len(line.lstrip(" \t\f"))]
        return white[white.rfind("\f") + 1 :]

    def indented(self, row: int) -> int:
        """Offset at which :meth:`indentation` of a row begins."""
        line = self.lines.line(row)
        white = line[: len(line) - len(line.lstrip(" \t\f\ufeff"))]
        return self.lines.start(row) + max(white.rfind("\f"), white.rfind("\ufeff")) + 1

    def is_blank(self, row: int) -> bool:
        return not self.lines.line(row).strip(" \t\f")

    def is_comment(self, row: int) -> bool:
        return self.lines.line(row).lstrip(" \t\f").startswith("#")

    def step(self, statement: Node) -> str:
        """One level of indentation, as the neighbours of a statement have it."""
        found = self._step_within(statement)
        node = statement.parent
        while found is None and node is not None:
            if node.type == "block" and node.parent is not None:
                found = self._step_of(node)
            node = node.parent
        return found or self._usual_step

    def _step_within(self, node: Node) -> str | None:
        for block in _blocks(node):
            if (step := self._step_of(block)) is not None:
                return step
        return None

    def _step_of(self, block: Node) -> str | None:
        body = statements(block)
        if not body or block.parent is None or not self.own_line(body[0]):
            return None
        inner = self.indentation(self.lines.row(self.start(body[0])))
        outer = self.indentation(self.lines.row(self.start(block.parent)))
        return inner[len(outer) :] or None if inner.startswith(outer) else None

    @property
    def _usual_step(self) -> str:
        counts = Counter(step for block in _blocks(self.root) if (step := self._step_of(block)) is not None)
        return counts.most_common(1)[0][0] if counts else "    "


def statements(block: Node) -> list[Node]:
    return [child for child in block.named_children if child.type not in ("comment", "line_continuation")]


def _blocks(node: Node) -> Iterator[Node]:
    for child in node.named_children:
        if child.type == "block":
            yield child
        if child.type == "block" or child.child_count:
            yield from _blocks(child)


def field(node: Node, name: str) -> Node:
    child = node.child_by_field_name(name)
    if child is None:
        raise UnfixableError(f"no {name} here")
    return child


def colon(block: Node) -> Node:
    """The colon that a block hangs on."""
    header = block.parent.children if block.parent is not None else []
    colons = [child for child in header if child.type == ":" and child.end_byte <= block.start_byte]
    if not colons:
        raise UnfixableError("no header here")
    return colons[-1]


@lru_cache(maxsize=4)
def layout(text: str) -> Layout:
    """The layout of a text, kept for the other fixes of the same file."""
    return Layout(text)
