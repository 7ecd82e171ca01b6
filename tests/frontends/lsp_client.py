"""A client of the language server, as the capabilities of real editors make it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

PUSH = "neovim@0.7.0"
PULL = "neovim@0.11.0"
WAIT = 30  # seconds; the time within which something that will happen at all does


class Editor:
    """What an editor does, on top of pytest-lsp's client."""

    def __init__(self, client: LanguageClient, root: Path) -> None:
        self.client = client
        self.root = root
        self.versions: dict[str, int] = {}

    def uri(self, name: str) -> str:
        return (self.root / name).as_uri()

    def open(self, name: str, text: str | None = None, *, language: str = "python", uri: str | None = None) -> str:
        uri = uri or self.uri(name)
        text = (self.root / name).read_text(encoding="utf-8") if text is None else text
        self.versions[uri] = 1
        item = types.TextDocumentItem(uri=uri, language_id=language, version=1, text=text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, *changes: tuple[tuple[int, int], tuple[int, int], str] | str) -> None:
        """Edit: (start, end, text), in the server's units; a text alone replaces everything."""
        self.versions[uri] += 1
        events: list[types.TextDocumentContentChangeEvent] = []
        for change in changes:
            if isinstance(change, str):
                events.append(types.TextDocumentContentChangeWholeDocument(change))
            else:
                start, end, text = change
                place = types.Range(types.Position(*start), types.Position(*end))
                events.append(types.TextDocumentContentChangePartial(range=place, text=text))
        identifier = types.VersionedTextDocumentIdentifier(uri=uri, version=self.versions[uri])
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, events))

    async def until(self, uri: str, ready: Callable[[list[types.Diagnostic]], bool]) -> list[types.Diagnostic]:
        """The pushed diagnostics of a document, once they are as expected."""
        try:
            async with asyncio.timeout(WAIT):
                while uri not in self.client.diagnostics or not ready(list(self.client.diagnostics[uri])):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"still {self.client.diagnostics.get(uri)}") from None
        return list(self.client.diagnostics[uri])

    async def pushed(self, uri: str, *codes: str) -> list[types.Diagnostic]:
        return await self.until(uri, lambda found: [one.code for one in found] == list(codes))

    async def pull(self, uri: str, previous: str | None = None) -> Any:
        params = types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri), previous_result_id=previous)
        return await self.client.text_document_diagnostic_async(params)

    async def actions(
        self, uri: str, place: types.Range, *only: str, known: list[types.Diagnostic] | None = None
    ) -> dict[str, Any]:
        """The code actions at a place by their titles (the client's library takes one with a command for a command)."""
        context = types.CodeActionContext(diagnostics=known or [], only=only or None)
        params = types.CodeActionParams(types.TextDocumentIdentifier(uri), place, context)
        found = await self.client.text_document_code_action_async(params) or []
        return {action.title: action for action in found}

    async def hover(self, uri: str, line: int, character: int) -> str | None:
        params = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
        found = await self.client.text_document_hover_async(params)
        if found is None:
            return None
        assert isinstance(found.contents, types.MarkupContent)
        return found.contents.value


@asynccontextmanager
async def editor(
    root: Path,
    capabilities: str | types.ClientCapabilities = PUSH,
    *,
    settings: dict[str, Any] | None = None,
    configuration: dict[str, Any] | None = None,
) -> AsyncIterator[Editor]:
    """An editor of that name with the folder open, and the server running."""
    if isinstance(capabilities, str):
        capabilities = client_capabilities(capabilities)
    client = make_test_lsp_client()
    if configuration is not None:
        client.set_configuration(configuration, section="nograd-lint")
    await client.start_io(sys.executable, "-m", "nograd_lint", "server", "--stdio")
    folder = types.WorkspaceFolder(uri=root.as_uri(), name=root.name)
    await client.initialize_session(
        types.InitializeParams(
            capabilities=capabilities,
            root_uri=root.as_uri(),
            workspace_folders=[folder],
            initialization_options={"settings": settings or {}},
        )
    )
    try:
        yield Editor(client, root)
    finally:
        await client.shutdown_session()
        await client.stop()


def apply(text: str, edits: list[types.TextEdit], units: str = "utf-16") -> str:
    """The text with the edits of a client made, by a reading of the protocol of its own."""

    def index(position: types.Position) -> int:
        lines = text.split("\n")
        before = sum(len(line) + 1 for line in lines[: position.line])
        row = lines[position.line] if position.line < len(lines) else ""
        width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[units]
        return before + len(
            row.encode(f"{units}-le" if width > 1 else units)[: position.character * width].decode(
                f"{units}-le" if width > 1 else units
            )
        )

    for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        text = text[: index(edit.range.start)] + edit.new_text + text[index(edit.range.end) :]
    return text


def edits_of(edit: types.WorkspaceEdit | None, uri: str) -> list[types.TextEdit]:
    """The edits of one document, however the server put them."""
    assert edit is not None
    if edit.changes is not None:
        return list(edit.changes[uri])
    [found] = [one for one in edit.document_changes or [] if isinstance(one, types.TextDocumentEdit)]
    assert found.text_document.uri == uri
    return [one for one in found.edits if isinstance(one, types.TextEdit)]
