"""Open documents: kept in step with the client, and as the files that the engine lints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import TextDocument, Workspace

from nograd_lint.lsp.positions import Text

# JupyterLab keeps the Python of a notebook below this directory of the server's root, under the notebook's name.
_VIRTUAL = ".virtual_documents"


class Document(TextDocument):
    """A text document. Edits are made by the protocol's own idea of a row, which is not ``str.splitlines``'s."""

    @cached_property
    def _units(self) -> str:
        return str(getattr(self._position_codec.encoding, "value", self._position_codec.encoding) or "utf-16")

    @property
    def as_text(self) -> Text:
        current: Text | None = getattr(self, "_text", None)
        if current is None or current.text is not self.source:
            current = self._text = Text(self.source, self._units)
        return current

    def _apply_incremental_change(self, change: types.TextDocumentContentChangePartial) -> None:
        text = self.as_text
        start, end = text.index(change.range.start), text.index(change.range.end)
        self._source = text.text[:start] + change.text + text.text[max(start, end) :]


class DocumentWorkspace(Workspace):
    """pygls's workspace with documents of ours."""

    @classmethod
    def like(cls, other: Workspace) -> DocumentWorkspace:
        folders = list(other.folders.values())
        return cls(other.root_uri, types.TextDocumentSyncKind.Incremental, folders, other.position_encoding)

    def _create_text_document(
        self, doc_uri: str, source: str | None = None, version: int | None = None, language_id: str | None = None
    ) -> Document:
        return Document(
            doc_uri, source=source, version=version, language_id=language_id, position_codec=self.position_codec
        )

    def directories(self) -> list[Path]:
        """The folders of the workspace; of JupyterLab's virtual documents, the one that holds the notebooks."""
        uris = [folder.uri for folder in self.folders.values()] or ([self.root_uri] if self.root_uri else [])
        found = (to_fs_path(uri) for uri in uris)
        paths = (Path(path) for path in found if path)
        return [path.parent if path.name == _VIRTUAL else path for path in paths]


class Part(NamedTuple):
    """A text document and its text: the whole of a file, or one cell of a notebook."""

    uri: str
    version: int | None
    text: Text


class Target(NamedTuple):
    """What is linted as one file, with its parts by number (of the cell, 1 for a text document)."""

    uri: str
    path: Path
    content: bytes
    parts: dict[int, Part]
    is_notebook: bool

    @property
    def stamp(self) -> tuple[tuple[str, int | None], ...]:
        return tuple((part.uri, part.version) for part in self.parts.values())


class Targets:
    """The open documents that can be linted."""

    def __init__(self, workspace: DocumentWorkspace) -> None:
        self.workspace = workspace
        self._known: dict[str, tuple[object, Target]] = {}

    def __iter__(self) -> Iterator[Target]:
        for uri in list(self.workspace.notebook_documents):
            if target := self.of(uri):
                yield target
        for uri, document in list(self.workspace.text_documents.items()):
            if not self._notebook_of(document.uri) and (target := self.of(uri)):
                yield target

    def _notebook_of(self, uri: str) -> types.NotebookDocument | None:
        return self.workspace.get_notebook_document(cell_uri=uri)

    def of(self, uri: str) -> Target | None:
        """The target that a document, a cell or a notebook belongs to; None where it is none of ours."""
        notebook = self.workspace.get_notebook_document(notebook_uri=uri) or self._notebook_of(uri)
        if notebook is not None:
            return self._notebook(notebook)
        document = self.workspace.text_documents.get(unquote(uri))
        return self._document(document) if isinstance(document, Document) else None

    def _document(self, document: Document) -> Target | None:
        path = _path_of(document, self._base())
        if path is None:
            return None
        state = (document.version, document.source)
        known = self._known.get(document.uri)
        if known is not None and known[0] == state:
            return known[1]
        part = Part(document.uri, document.version, document.as_text)
        target = Target(document.uri, path, _encoded(document.source), {1: part}, is_notebook=False)
        self._known[document.uri] = (state, target)
        return target

    def _notebook(self, notebook: types.NotebookDocument) -> Target:
        parts: dict[int, Part] = {}
        cells: list[dict[str, Any]] = []
        for number, cell in enumerate(notebook.cells, 1):
            document = self.workspace.text_documents.get(unquote(cell.document))
            is_code = cell.kind is types.NotebookCellKind.Code and isinstance(document, Document)
            if is_code and isinstance(document, Document):
                parts[number] = Part(document.uri, document.version, document.as_text)
                language = {"vscode": {"languageId": document.language_id or "python"}}
                cells.append({"cell_type": "code", "source": document.source, "metadata": language})
            else:
                cells.append({"cell_type": "markdown", "source": "", "metadata": {}})
        content = msgspec.json.encode({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
        path = _local(notebook.uri, self._base())
        if path.suffix != ".ipynb":
            path = path.with_name(path.name + ".ipynb")
        return Target(notebook.uri, path, content, parts, is_notebook=True)

    def _base(self) -> Path:
        return next(iter(self.workspace.directories()), Path.cwd())

    def forget(self, uri: str) -> None:
        self._known.pop(uri, None)


def _local(uri: str, base: Path) -> Path:
    """Where a document is, or would be."""
    parts = urlsplit(uri)
    found = to_fs_path(uri) if parts.scheme == "file" else None
    name = found or unquote(parts.path) or "untitled"
    path = Path(os.path.normpath(base / name))
    if _VIRTUAL in path.parts:
        at = path.parts.index(_VIRTUAL)
        path = Path(*path.parts[:at], *path.parts[at + 1 :])
    return path


def _path_of(document: Document, base: Path) -> Path | None:
    """The path to lint a text document as: whatever its name says, one that holds Python is a Python file."""
    path = _local(document.uri, base)
    language = document.language_id or ""
    if language == "markdown":
        return path if path.suffix in (".md", ".markdown") else None
    if language not in ("python", "") or path.suffix == ".pyi" or (not language and path.suffix != ".py"):
        return None
    fragment = urlsplit(document.uri).fragment
    if path.suffix == ".py" and not fragment:
        return path
    return path.with_name(".".join(filter(None, (path.name, fragment, "py"))))


def _encoded(text: str) -> bytes:
    """The bytes that Python would read as ``text``, which may declare an encoding."""
    from nograd_lint.source.decoding import SourceError, declared_encoding

    raw = text.encode("utf-8", "replace")
    try:
        encoding = declared_encoding(raw)
        return raw if encoding == "utf-8" else text.encode(encoding)
    except (SourceError, UnicodeEncodeError):
        return raw


def uri_of(path: Path) -> str:
    return from_fs_path(str(path)) or path.as_uri()
