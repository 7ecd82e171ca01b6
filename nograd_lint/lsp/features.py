"""The requests and notifications that the server answers."""

from __future__ import annotations

import hashlib
from typing import Any

from lsprotocol import types
from pygls.uris import to_fs_path

from nograd_lint.lsp import actions, hover
from nograd_lint.lsp.server import SECTION, Server
from nograd_lint.lsp.workspace import Workspace
from nograd_lint.report.run import rule_url
from nograd_lint.source.discovery import CONFIG_FILES

_WATCHED = ("**/*.py", "**/*.ipynb", *(f"**/{name}" for name in CONFIG_FILES), "**/.nograd_lint_cache/confirm.json")


def register(server: Server) -> None:
    """Register every feature; the order is of no importance."""
    _lifecycle(server)
    _synchronisation(server)
    _diagnostics(server)
    _answers(server)


# --- lifecycle and configuration --------------------------------------------------------------------------------------


def _lifecycle(server: Server) -> None:
    @server.feature(types.INITIALIZE)
    async def initialize(ls: Server, params: types.InitializeParams) -> None:
        ls.take_over(params)
        if ls.options.scope == "workspace":
            _workspace_diagnostics(ls)

    @server.feature(types.INITIALIZED)
    async def initialized(ls: Server, _: types.InitializedParams) -> None:
        await _subscribe(ls)
        if await _fetch_configuration(ls):
            ls.changed()
        ls.background(ls.scan())

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def configuration(ls: Server, params: types.DidChangeConfigurationParams) -> None:
        if not await _fetch_configuration(ls) and params.settings:
            ls.configure(params.settings)
        ls.changed()
        ls.background(ls.scan())

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    async def watched(ls: Server, params: types.DidChangeWatchedFilesParams) -> None:
        from pathlib import Path

        paths = [Path(path) for change in params.changes if (path := to_fs_path(change.uri))]
        ls.background(ls.on_analysis(lambda lint: lint.files_changed(paths)))
        ls.changed()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def folders(ls: Server, _: types.DidChangeWorkspaceFoldersParams) -> None:
        ls.changed()
        ls.background(ls.scan())

    @server.feature(types.SHUTDOWN)
    async def shutdown(ls: Server, *_: Any) -> None:
        await ls.on_analysis(Workspace.keep)
        ls.analysis.shutdown(wait=False, cancel_futures=True)


async def _subscribe(ls: Server) -> None:
    """Ask to be told of changes to files and settings, where the client can."""
    workspace = ls.client_capabilities.workspace
    wanted: list[types.Registration] = []
    if workspace and workspace.did_change_watched_files and workspace.did_change_watched_files.dynamic_registration:
        watchers = [types.FileSystemWatcher(pattern) for pattern in _WATCHED]
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
        wanted.append(
            types.Registration(id="watched", method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES, register_options=options)
        )
    if workspace and workspace.did_change_configuration and workspace.did_change_configuration.dynamic_registration:
        section = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        wanted.append(types.Registration(id="configuration", method=method, register_options=section))
    if wanted:
        await ls.client_register_capability_async(types.RegistrationParams(wanted))


async def _fetch_configuration(ls: Server) -> bool:
    """Ask the client for its settings; whether it could be asked."""
    workspace = ls.client_capabilities.workspace
    if not (workspace and workspace.configuration):
        return False
    items = [types.ConfigurationItem(section=SECTION)]
    found = await ls.workspace_configuration_async(types.ConfigurationParams(items))
    if found and found[0]:
        ls.configure(found[0])
    return True


# --- documents --------------------------------------------------------------------------------------------------------


def _synchronisation(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(ls: Server, params: types.DidOpenTextDocumentParams) -> None:
        ls.changed(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(ls: Server, params: types.DidChangeTextDocumentParams) -> None:
        ls.changed(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def saved(ls: Server, params: types.DidSaveTextDocumentParams) -> None:
        ls.background(ls.on_analysis(Workspace.saved))
        ls.changed(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
        ls.closed(params.text_document.uri, [params.text_document.uri])

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    async def notebook_opened(ls: Server, params: types.DidOpenNotebookDocumentParams) -> None:
        ls.changed(params.notebook_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    async def notebook_changed(ls: Server, params: types.DidChangeNotebookDocumentParams) -> None:
        ls.changed(params.notebook_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_SAVE)
    async def notebook_saved(ls: Server, params: types.DidSaveNotebookDocumentParams) -> None:
        ls.background(ls.on_analysis(Workspace.saved))
        ls.changed(params.notebook_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    async def notebook_closed(ls: Server, params: types.DidCloseNotebookDocumentParams) -> None:
        ls.closed(params.notebook_document.uri, [cell.uri for cell in params.cell_text_documents])


# --- diagnostics that are asked for -----------------------------------------------------------------------------------


def _diagnostics(server: Server) -> None:
    options = types.DiagnosticOptions(inter_file_dependencies=True, workspace_diagnostics=False, identifier=SECTION)

    @server.feature(types.TEXT_DOCUMENT_DIAGNOSTIC, options)
    async def pull(ls: Server, params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        uri = params.text_document.uri
        found = await ls.checked(uri)
        diagnostics: list[types.Diagnostic] = []
        if found is not None and not found[0].is_notebook:  # cells are told of: see Server.publish
            diagnostics = ls.converter(*found).by_document().get(uri, [])
        result_id = _identity(diagnostics)
        if result_id == params.previous_result_id:
            return types.RelatedUnchangedDocumentDiagnosticReport(result_id=result_id)
        return types.RelatedFullDocumentDiagnosticReport(items=diagnostics, result_id=result_id)


def _workspace_diagnostics(server: Server) -> None:
    @server.feature(types.WORKSPACE_DIAGNOSTIC)
    async def pull(ls: Server, params: types.WorkspaceDiagnosticParams) -> types.WorkspaceDiagnosticReport:
        known = {one.uri: one.value for one in params.previous_result_ids}
        items: list[types.WorkspaceDocumentDiagnosticReport] = []
        for uri, checked in list(ls.scanned.items()):
            if ls.targets.of(uri) is not None:
                continue
            diagnostics = ls.converter(None, checked).by_document().get(uri, [])
            result_id = _identity(diagnostics)
            if known.get(uri) == result_id:
                items.append(types.WorkspaceUnchangedDocumentDiagnosticReport(uri=uri, result_id=result_id))
            else:
                items.append(
                    types.WorkspaceFullDocumentDiagnosticReport(uri=uri, items=diagnostics, result_id=result_id)
                )
        return types.WorkspaceDiagnosticReport(items=items)


def _identity(diagnostics: list[types.Diagnostic]) -> str:
    return hashlib.sha256(repr(diagnostics).encode("utf-8", "replace")).hexdigest()[:16]


# --- answers about a place --------------------------------------------------------------------------------------------


def _answers(server: Server) -> None:
    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=actions.KINDS, resolve_provider=True)
    )
    async def code_action(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
        found = await ls.checked(params.text_document.uri)
        if found is None:
            return []
        target, checked = found
        only, documents = params.context.only, _takes_documents(ls)
        listed: list[types.CodeAction] = []
        if actions.wanted(types.CodeActionKind.QuickFix, only):
            converter = ls.converter(target, checked)
            listed += actions.quick_fixes(
                converter, target, params, unsafe=ls.options.unsafe_fixes, documents=documents
            )
        safe = any(d.fix is not None and d.fix.applicability.value == "safe" for d in checked.result.diagnostics)
        if safe and actions.wanted(actions.FIX_ALL, only):
            action = actions.fix_all(data={"uri": target.uri})
            listed.append(action if _resolves(ls) else await _with_edit(ls, action))
        return listed

    @server.feature(types.CODE_ACTION_RESOLVE)
    async def resolve(ls: Server, action: types.CodeAction) -> types.CodeAction:
        return await _with_edit(ls, action) if action.kind == actions.FIX_ALL else action

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def on_hover(ls: Server, params: types.HoverParams) -> types.Hover | None:
        found = await ls.checked(params.text_document.uri)
        if found is None:
            return None
        return hover.hover(ls.converter(*found), params.text_document.uri, params.position)

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    async def code_lens(ls: Server, params: types.CodeLensParams) -> list[types.CodeLens]:
        found = await ls.checked(params.text_document.uri) if ls.options.code_lens else None
        return hover.lenses(ls.converter(*found), params.text_document.uri) if found is not None else []

    @server.command(hover.EXPLAIN)
    async def explain(ls: Server, code: str) -> None:
        """Open the documentation of a rule, or say where it is."""
        url, window = rule_url(code), ls.client_capabilities.window
        if window and window.show_document and window.show_document.support:
            await ls.window_show_document_async(types.ShowDocumentParams(url, external=True))
        else:
            ls.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"{code}: {url}"))


async def _with_edit(ls: Server, action: types.CodeAction) -> types.CodeAction:
    """The action that fixes a whole file, with what it does."""
    data = action.data
    target = ls.targets.of(data["uri"] if isinstance(data, dict) else "")
    if target is not None and (await ls.checked(target.uri)) is not None:
        path = target.path
        content = await ls.on_analysis(lambda lint: lint.fix_all(path))
        if content is not None:
            edits = actions.changed(target, content)
            action.edit = actions.workspace_edit(target, edits, documents=_takes_documents(ls))
    return action


def _takes_documents(ls: Server) -> bool:
    workspace = ls.client_capabilities.workspace
    return bool(workspace and workspace.workspace_edit and workspace.workspace_edit.document_changes)


def _resolves(ls: Server) -> bool:
    document = ls.client_capabilities.text_document
    support = document.code_action.resolve_support if document and document.code_action else None
    return bool(support and "edit" in support.properties)
