"""Comments that keep diagnostics from being reported: reading, applying, adding and removing them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from nograd_lint.diagnostics import Diagnostic, Edit, Position, Span, Suppressed
from nograd_lint.source.files import SourceFile
from nograd_lint.source.lexer import Comment, Lexed, Line, lex, logical_line

_WORDS = (b"nograd", b"noqa", b"NOQA", b"NoQA")
# Where the next remark of a comment begins; what stands before it is a reason.
_REASON = r"(?P<reason>(?:(?!\#\s*(?:(?i:noqa)|[a-z][\w-]*:)).)*)"
_PRAGMA = re.compile(
    r"\#\s*nograd:\s*(?P<verb>[\w-]*)[ \t]*(?:\[(?P<own>[^\]]*)\])?" + _REASON
    # As flake8 reads it: what follows the colon and is no list of codes makes it a noqa for everything.
    + r"|\#\s*(?P<file>flake8[:=]\s*)?(?P<noqa>(?i:noqa))(?![\w-])"
    + r"(?:[:][ \t]?(?P<codes>[A-Za-z]+[0-9]+(?:[,\s]+[A-Za-z]+[0-9]+)*))?"
    + _REASON.replace("reason", "rest")
)  # fmt: skip
_HEADER = re.compile(rb"@|(?:async[ \t]+)?def\b|class\b")

Kind = Literal["ignore", "file-ignore", "noqa", "file-noqa", "invalid"]


class Pragma(msgspec.Struct, frozen=True):
    """A suppression comment.

    ``entries`` are the codes and names in it (none: everything). ``first`` and ``last`` are the rows that it covers;
    ``header`` says that they are the header of a function or class, which a diagnostic has to be located in.
    ``removal`` is what goes when all of it goes, ``listed`` where its entries stand.
    """

    kind: Kind
    entries: tuple[str, ...]
    reason: str
    span: Span
    removal: Span
    listed: Span | None
    first: int
    last: int
    header: bool = False

    def covers(self, diagnostic: Diagnostic) -> bool:
        if self.kind == "invalid" or not self._names(diagnostic):
            return False
        if self.kind in ("file-ignore", "file-noqa"):
            return True
        if self.first <= diagnostic.span.start.row <= self.last:
            return True
        return not self.header and self.first <= diagnostic.region.start.row <= self.last

    def _names(self, diagnostic: Diagnostic) -> bool:
        return not self.entries or any(self.stands_for(entry, diagnostic) for entry in self.entries)

    def stands_for(self, entry: str, diagnostic: Diagnostic) -> bool:
        if self.kind in ("noqa", "file-noqa"):
            return diagnostic.code.startswith(entry.upper())
        return entry.upper() == diagnostic.code or entry == diagnostic.name


class Unused(msgspec.Struct, frozen=True):
    """A suppression that suppresses nothing, or the entries of one that do not."""

    pragma: Pragma
    entries: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        if self.pragma.kind == "invalid":
            return "this comment suppresses nothing: expected `ignore[…]` or `file-ignore[…]` after `nograd:`"
        if not self.entries:
            return "this comment suppresses nothing"
        return f"nothing to suppress here by {', '.join(self.entries)}"

    def edits(self) -> tuple[Edit, ...]:
        """What removes it."""
        kept = [entry for entry in self.pragma.entries if entry not in self.entries]
        if self.entries and kept and self.pragma.listed is not None:
            return (Edit(", ".join(kept), self.pragma.listed),)
        return (Edit("", self.pragma.removal),)


class Outcome(msgspec.Struct, frozen=True):
    kept: tuple[Diagnostic, ...]
    suppressed: tuple[Suppressed, ...]


# --- reading ----------------------------------------------------------------------------------------------------------


def read(source: SourceFile) -> tuple[Pragma, ...]:
    """The suppression comments of a file, which costs next to nothing where there are none."""
    data = source.analysis
    if not any(word in data for word in _WORDS):
        return ()
    return tuple(_read(source, lex(data)))


def matter(data: bytes) -> bool:
    """Whether a file without diagnostics may hold suppressions that are unused, so that it is worth reading them."""
    return b"nograd:" in data or (b"NGL" in data and any(word in data for word in _WORDS))


def _read(source: SourceFile, lexed: Lexed) -> Iterator[Pragma]:
    data = source.analysis
    for comment in lexed.comments:
        content = data[comment.start : comment.end]
        if not any(word in content for word in _WORDS):
            continue
        text = content.decode("utf-8", "replace")
        for match in _PRAGMA.finditer(text):
            pragma = _pragma(source, lexed, comment, text, match)
            if pragma is not None:
                yield pragma


def _pragma(source: SourceFile, lexed: Lexed, comment: Comment, text: str, match: re.Match[str]) -> Pragma | None:
    kind: Kind
    if match["noqa"] is None:
        verb = match["verb"]
        kind = "ignore" if verb == "ignore" else "file-ignore" if verb == "file-ignore" else "invalid"
        entries, where = match["own"], match.span("own")
        reason = match["reason"]
    else:
        kind = "file-noqa" if match["file"] else "noqa"
        if kind == "file-noqa" and not (comment.alone and match.start() == 0):
            return None
        entries, where = match["codes"], match.span("codes")
        reason = match["rest"]
    origin = source.position(comment.start)
    start, end = match.start(), match.start() + len(match[0].rstrip())
    first, last, header = _extent(source, lexed, comment, kind)
    return Pragma(
        kind=kind,
        entries=tuple(filter(None, re.split(r"[,\s]+", entries or ""))),
        reason=reason.strip().lstrip("#-: "),
        span=Span(_right(origin, start), _right(origin, end)),
        removal=_removal(source, comment, text, match, origin),
        listed=Span(_right(origin, where[0]), _right(origin, where[1])) if entries else None,
        first=first,
        last=last,
        header=header,
    )


def _right(position: Position, columns: int) -> Position:
    return Position(position.row, position.column + columns)


def _removal(source: SourceFile, comment: Comment, text: str, match: re.Match[str], origin: Position) -> Span:
    """The pragma with the white space that it needs: its row where that holds nothing else."""
    if match.end() < len(text):  # another remark follows
        return Span(_right(origin, match.start()), _right(origin, match.end()))
    end = _right(origin, len(text))
    if match.start() > 0:
        return Span(_right(origin, len(text[: match.start()].rstrip())), end)
    before = source.analysis[: comment.start]
    code = before[before.rfind(b"\n") + 1 :].rstrip()
    if code:
        return Span(Position(origin.row, len(code.decode("utf-8", "replace")) + 1), end)
    return Span(Position(origin.row, 1), Position(origin.row + 1, 1))


def _extent(source: SourceFile, lexed: Lexed, comment: Comment, kind: Kind) -> tuple[int, int, bool]:
    """First and last row that a comment is about, and whether they are a header."""
    row = source.position(comment.start).row
    if comment.line >= len(lexed.lines) or (comment.alone and kind == "noqa"):
        return row, row, False
    if kind == "noqa":  # as far as it reaches in flake8
        first, last, header = *lexed.lines[comment.line], False
    else:
        first, last, header = _header(source.analysis, lexed.lines, comment.line)
    return source.position(first).row, source.position(last).row, header


def _header(data: bytes, lines: Sequence[Line], index: int) -> tuple[int, int, bool]:
    """First and last byte of a logical line, or of the whole header where it belongs to one."""
    first = last = index
    header = _HEADER.match(data, lines[index].start) is not None
    if header:
        while first > 0 and data.startswith(b"@", lines[first - 1].start):
            first -= 1
        while last + 1 < len(lines) and data.startswith(b"@", lines[last].start):
            last += 1
    return lines[first].start, lines[last].end, header


# --- applying ---------------------------------------------------------------------------------------------------------


def apply(pragmas: Sequence[Pragma], diagnostics: Iterable[Diagnostic]) -> Outcome:
    """Part what is suppressed from what is not."""
    kept = []
    suppressed = []
    for diagnostic in diagnostics:
        pragma = next((pragma for pragma in pragmas if pragma.covers(diagnostic)), None)
        if pragma is None:
            kept.append(diagnostic)
        else:
            suppressed.append(Suppressed(diagnostic, "inline", pragma.reason))
    return Outcome(tuple(kept), tuple(suppressed))


def unused(pragmas: Sequence[Pragma], diagnostics: Sequence[Diagnostic]) -> list[Unused]:
    """What suppresses none of ``diagnostics``, which must be all there are: of every rule, at every confidence.

    A ``noqa`` is judged by the codes of this tool in it alone.
    """
    found = []
    for pragma in pragmas:
        own = pragma.kind in ("ignore", "file-ignore", "invalid")
        covered = [diagnostic for diagnostic in diagnostics if pragma.covers(diagnostic)]
        if not pragma.entries:
            if own and not covered:
                found.append(Unused(pragma))
            continue
        idle = tuple(
            entry
            for entry in pragma.entries
            if (own or entry.upper().startswith("NGL"))
            and entry not in ("NGL901", "unused-suppression")
            and not any(pragma.stands_for(entry, diagnostic) for diagnostic in covered)
        )
        if idle:
            found.append(Unused(pragma, idle))
    return found


# --- adding -----------------------------------------------------------------------------------------------------------


def add(
    source: SourceFile, diagnostics: Iterable[Diagnostic], reason: str = "", line_length: int = 100
) -> tuple[Edit, ...]:
    """Edits that suppress ``diagnostics``: at the end of their logical lines, or above where that grows too long."""
    lexed = lex(source.analysis)
    ends = [line.end for line in lexed.lines]
    wanted: dict[int, set[str]] = {}
    for diagnostic in diagnostics:
        index = bisect_left(ends, source.offset(diagnostic.span.start))
        if index < len(ends):
            wanted.setdefault(index, set()).add(diagnostic.code)
    listed = [pragma for pragma in _read(source, lexed) if pragma.kind == "ignore" and pragma.listed is not None]
    edits = []
    for index, codes in sorted(wanted.items()):
        line = lexed.lines[index]
        first, last = source.position(line.start).row, source.position(line.end).row
        existing = next((pragma for pragma in listed if first <= pragma.span.start.row <= last), None)
        if existing is not None and existing.listed is not None:
            entries = (*existing.entries, *sorted(codes.difference(existing.entries)))
            edits.append(Edit(", ".join(entries), existing.listed))
        else:
            comment = f"# nograd: ignore[{', '.join(sorted(codes))}] {' '.join(reason.split())}".rstrip()
            edits.append(_comment_edit(source, line, comment, line_length))
    return tuple(edits)


def _comment_edit(source: SourceFile, line: Line, comment: str, line_length: int) -> Edit:
    code = source.analysis[line.start : line.end].rstrip()
    end = source.position(line.start + len(code))
    tried = logical_line(code + b"#", 0).comments
    fits = not code.endswith(b"\\") and bool(tried) and tried[-1][1] == len(code) + 1  # else in a string
    if fits and end.column - 1 + 2 + len(comment) <= line_length:
        return Edit(f"  {comment}", Span(end, end))
    start = source.position(line.start)
    above = Position(start.row, 1)
    indentation = source.row(start.row)[: start.column - 1]
    return Edit(f"{indentation}{comment}\n", Span(above, above))
