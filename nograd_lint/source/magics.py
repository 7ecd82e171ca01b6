"""IPython's syntax in cells, put out of the parsers' way line for line, and cells that are no Python at all."""

from __future__ import annotations

import re

from nograd_lint.source.lexer import logical_line

# Cell magics whose body is Python that runs in the notebook's own namespace.
_PYTHON_MAGICS = frozenset(b"capture debug ipytest memit prun time timeit".split())
_BARE = rb"(?:pip3?|conda|mamba|uv)[ \t]+(?:install|uninstall|add|list|pip)[ \t\n]"
_CELL_MAGIC = re.compile(rb"\s*%%(\w+)[^\n]*")
# The last ones are magics that IPython takes without their `%`, as a cell begins with them so often.
_MAGIC = re.compile(rb"[ \t]*(?:[%!?,;/]|" + _BARE + rb")")
_ASSIGNED = re.compile(rb"[ \t]*[A-Za-z_][\w.,* \t\[\]]*=[ \t]*(?=[%!])")
_HELP = re.compile(rb"[ \t]*[^\s#'\"=][^\n#'\"]*\?[ \t]*(?:\n|\Z)")
# To the end of the row, and of those that a backslash joins to it.
_ESCAPED = re.compile(rb"[^\n\\]*(?:\\(?:\n|.|\Z)[^\n\\]*)*")
_CANDIDATE = re.compile(rb"^[ \t]*[%!?,;/]|^[ \t]*" + _BARE + rb"|=[ \t]*[%!]|\?[ \t]*$", re.MULTILINE)


def neutralise(cell: bytes) -> bytes:
    """A cell without its magics, shell commands and help requests; rows and the columns of other code stay."""
    if not _CANDIDATE.search(cell):
        return cell
    parts = []
    position = 0
    while (magic := _CELL_MAGIC.match(cell, position)) is not None:
        if magic[1] not in _PYTHON_MAGICS:
            return b"\n" * cell.count(b"\n")
        parts.append(b"\n" * magic[0].count(b"\n"))
        position = magic.end()
    while position < len(cell):
        end = logical_line(cell, position).end
        if assigned := _ASSIGNED.match(cell, position):
            parts.append(assigned[0] + b"_")
            position = assigned.end()
        elif _MAGIC.match(cell, position) or _HELP.match(cell, position):
            indentation = len(cell[position:end]) - len(cell[position:end].lstrip(b" \t"))
            parts.append(cell[position : position + indentation] + b"pass")
        else:
            parts.append(cell[position : end + 1])
            position = end + 1
            continue
        escaped = _ESCAPED.match(cell, position)
        end = escaped.end() if escaped else position
        parts.append(b"\n" * cell.count(b"\n", position, end + 1))
        position = end + 1
    return b"".join(parts)


def syntax_error(code: bytes) -> tuple[int, str] | None:
    """Row and message of the syntax error that keeps a cell from being analysed, if there is one."""
    import ast
    import warnings

    text = code.decode("utf-8", "replace")
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<cell>", "exec", flags, dont_inherit=True)
        return None
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        row = getattr(error, "lineno", None) or 1
        reason = getattr(error, "msg", None) or str(error) or type(error).__name__
    return None if _newer_python(text) else (row, str(reason).partition("\n")[0])


def _newer_python(text: str) -> bool:
    """Whether it is the interpreter that is too old for the code: libcst knows the newest grammar."""
    import libcst

    try:
        libcst.parse_module(text)
    except (libcst.ParserSyntaxError, RecursionError):
        return False
    return "\0" not in text
