"""Code actions: a fix, all fixes, a suppression, an explanation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from lsprotocol import types

from nograd_lint.diagnostics import Applicability, Diagnostic, Edit, Problem
from nograd_lint.lsp.convert import SOURCE, Converter, Place
from nograd_lint.lsp.documents import Target
from nograd_lint.lsp.hover import EXPLAIN
from nograd_lint.lsp.positions import Text
from nograd_lint.source import suppressions
from nograd_lint.source.decoding import SourceError
from nograd_lint.source.files import SourceFile, load

FIX_ALL = "source.fixAll.nogradLint"
KINDS = [types.CodeActionKind.QuickFix, FIX_ALL]

Edits = dict[str, list[types.TextEdit]]


def wanted(kind: str, only: Sequence[str] | None) -> bool:
    """Whether a client that asks for some kinds only wants this one."""
    return not only or any(kind == asked or kind.startswith(f"{asked}.") or asked == "" for asked in only)


def quick_fixes(
    converter: Converter, target: Target, params: types.CodeActionParams, *, unsafe: bool, documents: bool
) -> Iterator[types.CodeAction]:
    """For each diagnostic at the place: its fix, a suppression, and an explanation.

    ``documents`` says that the client takes edits with the version of the document that they are for.
    """
    offered = {Applicability.SAFE, Applicability.UNSAFE} if unsafe else {Applicability.SAFE}
    for diagnostic, place in converter.overlapping(params.text_document.uri, params.range):
        shown = [_as_known(converter, diagnostic, place, params.context.diagnostics)]
        fix = diagnostic.fix
        if fix is not None and fix.applicability in offered:
            how = fix.applicability
            edits = changes(target, converter.checked.source, fix.edits)
            if edits:
                label = "" if how is Applicability.SAFE else " (unsafe)"
                yield types.CodeAction(
                    title=f"{fix.message}{'' if label.strip(' ()') in fix.message else label}",
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=shown,
                    is_preferred=how is Applicability.SAFE,
                    edit=workspace_edit(target, edits, documents=documents),
                )
        if diagnostic.code not in ("NGL901", "NGL902") and converter.checked.source is not None:
            comment = suppressions.add(converter.checked.source, [diagnostic])
            if edits := changes(target, converter.checked.source, comment):
                yield types.CodeAction(
                    title=f"Suppress {diagnostic.code} here",
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=shown,
                    edit=workspace_edit(target, edits, documents=documents),
                )
        title = f"Explain {diagnostic.code} ({diagnostic.name})"
        yield types.CodeAction(
            title=title,
            kind=types.CodeActionKind.QuickFix,
            diagnostics=shown,
            command=types.Command(title=title, command=EXPLAIN, arguments=[diagnostic.code]),
        )


def _as_known(
    converter: Converter, diagnostic: Diagnostic, place: Place, known: Sequence[types.Diagnostic]
) -> types.Diagnostic:
    """The diagnostic as the client sent it, so that it recognises it."""
    same = (one for one in known if one.source == SOURCE and one.code == diagnostic.code and one.range == place.range)
    return next(same, None) or converter.diagnostic(diagnostic, place.range)


def fix_all(edit: types.WorkspaceEdit | None = None, data: Any = None) -> types.CodeAction:
    return types.CodeAction(title="Apply all safe fixes (nograd-lint)", kind=FIX_ALL, edit=edit, data=data)


# --- edits ------------------------------------------------------------------------------------------------------------


def workspace_edit(target: Target, edits: Edits, *, documents: bool) -> types.WorkspaceEdit:
    if not documents:
        return types.WorkspaceEdit(changes=edits)
    versions = {part.uri: part.version for part in target.parts.values()}
    return types.WorkspaceEdit(
        document_changes=[
            types.TextDocumentEdit(
                text_document=types.OptionalVersionedTextDocumentIdentifier(uri=uri, version=versions.get(uri)),
                edits=list(changed),
            )
            for uri, changed in edits.items()
        ]
    )


def changes(target: Target, source: SourceFile | None, edits: Sequence[Edit]) -> Edits:
    """Edits of a file in the documents that it consists of; none where they cannot be made."""
    if source is None or not edits:
        return {}
    if not target.is_notebook:
        [part] = target.parts.values()
        try:
            replacements = source.replacements(edits)
        except SourceError:
            return {}
        return {part.uri: [_text_edit(part.text, start, end, content) for start, end, content in replacements]}
    try:
        return changed(target, source.edited(edits))
    except SourceError:
        return {}


def changed(target: Target, content: bytes) -> Edits:
    """What makes the documents of a file into its new content."""
    new = load(target.path, target.path.name, content)
    if isinstance(new, Problem):
        return {}
    if not target.is_notebook:
        [part] = target.parts.values()
        edits = list(_differences(part.text, new.text))
        return {part.uri: edits} if edits else {}
    texts = {cell.number: "".join(f"{new.row(cell.first_row + i)}\n" for i in range(cell.rows)) for cell in new.cells}
    found: Edits = {}
    for number, part in target.parts.items():
        text = texts.get(number)
        if text is not None and (edits := list(_differences(part.text, text[:-1]))):
            found[part.uri] = edits
    return found


def _text_edit(text: Text, start: int, end: int, content: str) -> types.TextEdit:
    return types.TextEdit(types.Range(text.at(start), text.at(end)), content)


def _differences(old: Text, new: str) -> Iterator[types.TextEdit]:
    """Edits of whole rows, as few and as short as may be."""
    before, after = old.lines, Text(new).lines
    same = 0
    for a, b in zip_longest(before, after):
        if a != b:
            break
        same += 1
    offsets = [0]
    for line in before:
        offsets.append(offsets[-1] + len(line))
    matcher = SequenceMatcher(None, before[same:], after[same:], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            content = "".join(after[same + j1 : same + j2])
            yield _text_edit(old, offsets[same + i1], offsets[same + i2], content)
