"""The outline of a well-formed, plainly written file, from its lines: several times as fast as from a syntax tree.

Strings and comments are blanked out first; what is left is read by indentation and brackets. Where anything is unusual
there is no answer, and a parser has to look: tabs, code behind a colon or semicolon, names that are not ASCII, brackets
or quotes that do not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from nograd_lint.syntax.ir import Alias
from nograd_lint.syntax.outline import Definition, ImportName, Outline

_TEXTS = re.compile(
    rb"#[^\n]*"
    rb'|"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""'
    rb"|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''"
    rb'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    rb"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'",
    re.DOTALL,
)
_UNUSUAL = (b"\t", b"\f", b"\r", b"\\", b"'", b'"')
_FLAT = bytes.maketrans(b"[{]}", b"(())")
# Each starts with a literal: they are found several times as fast as the beginnings of lines.
_DEFINITIONS = tuple(re.compile(word + rb"[ ]+([A-Za-z_]\w*)") for word in (rb"def", rb"class"))
_IMPORT = re.compile(rb"import\b")
_BEFORE_DEFINITION = re.compile(rb"[ ]*(async[ ]+)?")
_FROM = re.compile(rb"from\s*([.\s]*)([\w.\s]*?)\s*\bimport\b\s*\(?(.*?)\)?\s*\Z", re.DOTALL)
_MODULE = re.compile(rb"from\b[ ]*[\w. ]*")
_TOP = re.compile(rb"\n[^\s)]")
_CODE = re.compile(rb"[^ \n]")
_PLAIN = re.compile(rb"([A-Za-z_]\w*)[ ]*(?:=(?!=)|:[ ]*[\w.]+[ ]*(?:=(?!=)|\n|\Z))")
_WORD = re.compile(rb"[A-Za-z_]\w*")
_TWO_WORDS = re.compile(rb"\w+\s+\w")
_NAMES = re.compile(r"[^\W\d]\w*")
_EDGES = re.compile(rb"[():,]|(?:[-+*/%@&|^<>!=]|//|\*\*|>>|<<)?=|\blambda\b")
_NO_ASSIGNMENT = frozenset(
    b"import from def class async with while for return assert del global nonlocal raise pass elif except finally "
    b"else if try match case print exec yield await not lambda break continue".split()
)


def skim(data: bytes) -> Outline | None:
    """The outline of UTF-8 source text, as the parser would give it; None where the parser has to look."""
    blanked = _TEXTS.sub(_blank, data)
    if blanked.find(b"\\\n") >= 0:
        blanked = blanked.replace(b"\\\n", b"  ")
    if not blanked.isascii() or any(byte in blanked for byte in _UNUSUAL):
        return None
    return _Skimmer(data, blanked).run()


def _blank(match: re.Match[bytes]) -> bytes:
    size = match.end() - match.start()
    return (b" " if match[0][:1] == b"#" else b"$") * size


class _UnsureError(Exception):
    pass


class _Skimmer:
    def __init__(self, data: bytes, blanked: bytes) -> None:
        self.data = data
        self.names = blanked  # brackets as they are
        self.text = blanked.translate(_FLAT)  # one kind of bracket
        self.definitions: list[Definition] = []

    def run(self) -> Outline | None:
        if self.text.count(b"(") != self.text.count(b")"):
            return None
        try:
            self._define()
            return Outline(tuple(self.definitions), tuple(self._imports()), tuple(self._globals()), False)
        except _UnsureError:
            return None

    def _level(self, start: int, end: int) -> int:
        """How many brackets more are opened than closed."""
        return self.text.count(b"(", start, end) - self.text.count(b")", start, end)

    def _find(self, what: bytes, start: int, stop: int) -> int:
        """Where something stands outside of brackets that are opened behind ``start``; ``stop`` if nowhere."""
        text = self.text
        level, at = 0, start
        while True:
            found = text.find(what, at, stop)
            if found < 0:
                return stop
            level += self._level(at, found)
            if not level:
                return found
            at = found + 1
            level -= what == b")"

    def _line_end(self, start: int) -> int:
        """Where the logical line ends that a byte is in."""
        end = self.text.find(b"\n", start)
        if end >= 0 and self.text.find(b"(", start, end) < 0:
            return end
        return self._find(b"\n", start, len(self.text))

    def _code(self, at: int) -> int:
        """The next byte of code."""
        found = _CODE.search(self.text, at)
        return found.start() if found is not None else len(self.text)

    # --- definitions --------------------------------------------------------------------------------------------------

    def _decorators(self) -> dict[int, int]:
        """Start of the line behind each decorator → first byte of the decorator."""
        result = {}
        text = self.text
        at = text.find(b"@")
        while at >= 0:
            if not text[text.rfind(b"\n", 0, at) + 1 : at].strip(b" "):
                following = self._code(self._line_end(at))
                result[text.rfind(b"\n", 0, following) + 1] = at
            at = text.find(b"@", at + 1)
        return result

    def _headers(self) -> Iterator[tuple[int, re.Match[bytes], bytes, bool]]:
        """Start of the line, the keyword with the name, what stands before it, and whether it is a class."""
        text = self.text
        found = []
        for is_class, pattern in enumerate(_DEFINITIONS):
            for match in pattern.finditer(text):
                start = match.start()
                if start and (text[start - 1 : start].isalnum() or text[start - 1 : start] == b"_"):
                    continue
                line = text.rfind(b"\n", 0, start) + 1
                before = text[line:start]
                if _BEFORE_DEFINITION.fullmatch(before) is None:
                    raise _UnsureError  # behind a colon or a semicolon, or no code at all
                found.append((line, match, before, bool(is_class)))
        found.sort(key=_first)
        return iter(found)

    def _define(self) -> None:
        text, data = self.text, self.data
        above = self._decorators()
        stack: list[Definition] = []
        numbers: list[int] = []
        row = at = 0
        for line, match, before, is_class in self._headers():
            start = line
            decorators: list[str] = []
            while start in above:
                first = above[start]
                end = self._line_end(first)
                decorators.append(data[first + 1 : _trimmed(text, first, end)].decode(errors="replace").strip())
                start = text.rfind(b"\n", 0, first) + 1
            row += data.count(b"\n", at, start)
            at = start
            colon, bases = self._header(match.end(), is_class=is_class)
            body = self._code(colon + 1)
            end = self._block_end(len(before) - len(before.lstrip(b" ")), colon, body)
            while stack and stack[-1].end <= start:
                stack.pop()
                numbers.pop()
            name = match[1].decode()
            qualname = f"{stack[-1].qualname}.{name}" if stack else name
            definition = Definition(
                "class" if is_class else "function",
                name,
                qualname,
                numbers[-1] if stack else -1,
                start,
                end,
                row,
                body,
                bases,
                tuple(reversed(decorators)),
                b"async" in before,
            )
            if end <= line:
                raise _UnsureError
            numbers.append(len(self.definitions))
            stack.append(definition)
            self.definitions.append(definition)

    def _header(self, at: int, *, is_class: bool) -> tuple[int, tuple[str, ...]]:
        """The colon of a header, and what stands between its brackets where it is a class's."""
        text = self.text
        first = self._code(at)
        bases: tuple[str, ...] = ()
        if text[first : first + 1] == b"(":
            if self.names[first : first + 1] != b"(":
                raise _UnsureError  # type parameters
            close = self._find(b")", first + 1, len(text))
            if is_class:
                bases = self._bases(first + 1, close)
            at = close + 1
        colon = self._find(b":", at, len(text))
        if self._find(b"\n", at, colon) < colon:
            raise _UnsureError
        return colon, bases

    def _bases(self, start: int, end: int) -> tuple[str, ...]:
        result = []
        for first, last in self._split(start, end):
            part = self.text[first:last]
            code = part.lstrip(b" \n")
            first += len(part) - len(code)
            code = code.rstrip(b" \n")
            if not code:
                continue
            equals = re.match(rb"\w+\s*=(?!=)", code)
            if equals is not None:
                continue
            found = self.data[first : first + len(code)]
            if b"#" in found:
                raise _UnsureError
            result.append(found.decode(errors="replace"))
        return tuple(result)

    def _split(self, start: int, end: int) -> list[tuple[int, int]]:
        """What stands between commas."""
        result = []
        while start < end:
            comma = self._find(b",", start, end)
            result.append((start, comma))
            start = comma + 1
        return result

    def _block_end(self, indent: int, colon: int, body: int) -> int:
        text = self.text
        newline = text.find(b"\n", colon)
        if newline < 0 or body < newline:  # on the line of its header
            return self._end(body, self._line_end(body), None)
        dedent = _dedent(indent)
        level, at = 0, newline
        while True:
            found = dedent.search(text, at)
            stop = found.start() if found is not None else len(text)
            level += self._level(at, stop)
            if not level or found is None:
                break
            at = stop + 1
            level += self._level(stop, at)
        end = self._end(colon, stop, body)
        if end <= body:
            raise _UnsureError  # no body at all
        return end

    def _end(self, start: int, stop: int, body: int | None) -> int:
        """The end of a block: comments behind its last statement, as far in as the block, are a part of it."""
        data = self.data
        end = _trimmed(self.text, start, stop)
        newline = data.find(b"\n", end)
        if newline < 0:
            return end + len(data[end:].rstrip())
        if newline > end:
            end += len(data[end:newline].rstrip())
        if body is not None and data.find(b"#", newline, stop) >= 0:
            indent = body - data.rfind(b"\n", 0, body) - 1
            for line in data[newline + 1 : stop].split(b"\n"):
                code = line.strip()
                if code and (code[:1] != b"#" or len(line) - len(line.lstrip()) < indent):
                    break
                newline += len(line) + 1
                if code:
                    end = newline - len(line) + len(line.rstrip())
        return end

    # --- imports ------------------------------------------------------------------------------------------------------

    def _imports(self) -> list[ImportName]:
        result: list[ImportName] = []
        scopes: list[int] = []
        upcoming = 0
        definitions = self.definitions
        text = self.text
        for match in _IMPORT.finditer(text):
            at = match.start()
            if at and (text[at - 1 : at].isalnum() or text[at - 1 : at] == b"_"):
                continue
            line = text.rfind(b"\n", 0, at) + 1
            before = text[line:at].strip(b" ")
            if before and (before[:4] != b"from" or not _MODULE.fullmatch(before)):
                raise _UnsureError
            start = self._code(line)
            end = self._line_end(start)
            statement = self.names[start:end].strip()
            if b";" in statement or b"$" in statement:
                raise _UnsureError
            while upcoming < len(definitions) and definitions[upcoming].start <= start:
                scopes.append(upcoming)
                upcoming += 1
            while scopes and definitions[scopes[-1]].end <= start:
                scopes.pop()
            scope = scopes[-1] if scopes else -1
            result += (ImportName(alias, scope) for alias in _aliases(statement))
        return result

    # --- what the module assigns --------------------------------------------------------------------------------------

    def _globals(self) -> dict[str, None]:
        """Names assigned by statements of the module, and of the suites of its ``if``, ``else`` and ``try``."""
        result: dict[str, None] = {}
        at, owner = 0, b""
        tops = iter([d for d in self.definitions if d.parent < 0])
        upcoming = next(tops, None)
        size = len(self.text)
        while at < size:
            if at or self.text[:1].isspace():
                found = _TOP.search(self.text, at)
                if found is None:
                    break
                start = found.start() + 1
            else:
                start = 0
            while upcoming is not None and upcoming.end <= start:
                upcoming = next(tops, None)
            if upcoming is not None and upcoming.start <= start:
                at = upcoming.end
                continue
            end = self._line_end(start)
            at = end
            word = _WORD.match(self.text, start)
            keyword = word[0] if word is not None else b""
            if keyword in (b"if", b"for", b"while", b"try", b"with", b"async", b"match"):
                owner = keyword
            if keyword in (b"if", b"try") or (keyword == b"else" and owner == b"if"):
                self._suite(start, end, result)
            elif keyword not in _NO_ASSIGNMENT or keyword in (b"match", b"case", b"print", b"exec"):
                self._assigned(start, end, result)
        return result

    def _suite(self, start: int, end: int, result: dict[str, None]) -> None:
        """The statements that stand directly in a suite of the top level."""
        text = self.text
        if not _trimmed(text, start, end) or text[_trimmed(text, start, end) - 1 : end][:1] != b":":
            raise _UnsureError  # on the line of its header
        first = self._code(end)
        indent = first - text.rfind(b"\n", 0, first) - 1
        if not indent:
            raise _UnsureError
        line = _indented(indent)
        at = end
        while True:
            found = line.search(text, at)
            if found is None:
                return
            if _TOP.search(text, at, found.start()) is not None:
                return
            begin = found.end() - 1
            last = self._line_end(begin)
            word = _WORD.match(text, begin)
            keyword = word[0] if word is not None else b""
            if keyword not in _NO_ASSIGNMENT or keyword in (b"match", b"case", b"print", b"exec"):
                self._assigned(begin, last, result)
            at = last

    def _assigned(self, start: int, end: int, result: dict[str, None]) -> None:
        """The names on the left of an assignment."""
        if self.text.find(b";", start, end) >= 0:
            raise _UnsureError
        plain = _PLAIN.match(self.text, start, end)
        if plain is not None:
            result[plain[1].decode()] = None
            return
        depth, last, comma = 0, -1, False
        for edge in _EDGES.finditer(self.text, start, end):
            found = edge[0]
            if found == b"(":
                depth += 1
            elif found == b")":
                depth -= 1
            elif depth:
                continue
            elif found == b",":
                comma = True
            elif found == b"=" or found == b":":
                if self.text[edge.end() : edge.end() + 1] == b"=":
                    raise _UnsureError
                last = edge.start()
                break
            elif found == b"lambda":
                return
            elif found not in (b"==", b"<=", b">=", b"!="):
                return  # augmented
            else:
                return  # a comparison
        if last < 0:
            return
        left = self.data[start:last].strip()
        if left[:1] in b"([{" or _TWO_WORDS.match(left) is not None:
            raise _UnsureError
        if not comma and re.search(rb"\.\s*\w+\Z", left) is not None:
            return  # an attribute
        for name in _NAMES.findall(left.decode()):
            result[name] = None


def _first(found: tuple[int, re.Match[bytes], bytes, bool]) -> int:
    return found[0]


@cache
def _dedent(indent: int) -> re.Pattern[bytes]:
    return re.compile(rb"\n[ ]{0,%d}[^ \n]" % indent)


@cache
def _indented(indent: int) -> re.Pattern[bytes]:
    return re.compile(rb"\n[ ]{%d}[^ \n]" % indent)


def _trimmed(text: bytes, start: int, end: int) -> int:
    """The end of a stretch of text without white space."""
    return start + len(text[start:end].rstrip(b" \n"))


def _aliases(statement: bytes) -> list[Alias]:
    if statement.startswith(b"import"):
        return [Alias(name, None, asname, 0) for name, asname in map(_alias, statement[6:].split(b",")) if name]
    found = _FROM.match(statement)
    if found is None:
        raise _UnsureError
    spelled, dotted = (b"".join(part.split()) for part in found.group(1, 2))
    names = found[3]
    if not spelled and dotted == b"__future__":
        return []
    base, level = dotted.decode(), len(spelled)
    if names.strip() == b"*":
        return [Alias(base, "*", None, level)]
    return [Alias(base, name, asname, level) for name, asname in map(_alias, names.split(b",")) if name]


def _alias(text: bytes) -> tuple[str, str | None]:
    parts = text.split()
    if len(parts) == 3 and parts[1] == b"as":
        return parts[0].decode(), parts[2].decode()
    if len(parts) > 1:
        raise _UnsureError
    return (parts[0].decode() if parts else ""), None
