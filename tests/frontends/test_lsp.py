"""The language server, driven by pytest-lsp with the capabilities of real editors."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_lsp")

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pytest_lsp import client_capabilities

from .conftest import EVALUATE, measure
from .lsp_client import PULL, PUSH, WAIT, Editor, apply, editor, edits_of

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="the tests use asyncio.timeout"),
]

FIXED = EVALUATE.replace("def ev", "@torch.no_grad()\ndef ev")
WITHOUT_EVAL = EVALUATE.replace("    model.eval()\n", "")
CALLER = """\
import torch

from evaluate import evaluate


@torch.no_grad()
def main(model, test_loader):
    print(evaluate(model, test_loader))
"""
PLACE = types.Range(types.Position(7, 20), types.Position(7, 20))


# --- diagnostics ------------------------------------------------------------------------------------------------------


async def test_push(project: Path) -> None:
    async with editor(project, PUSH) as at:
        uri = at.open("evaluate.py")
        [found] = await at.pushed(uri, "NGL101")
    assert found.range == types.Range(types.Position(7, 17), types.Position(7, 25))
    assert found.message == "`evaluate` evaluates `model(...)` with gradient tracking on"
    assert (found.severity, found.source) == (types.DiagnosticSeverity.Warning, "nograd-lint")
    assert found.code_description is not None
    assert found.code_description.href.endswith("/rules/NGL101/")
    related = found.related_information or []
    assert [(one.location.uri, one.location.range.start.line) for one in related if "eval mode" in one.message] == [
        (uri, 4)
    ]


async def test_pull(project: Path) -> None:
    async with editor(project, PULL) as at:
        uri = at.open("evaluate.py")
        report = await at.pull(uri)
        assert [one.code for one in report.items] == ["NGL101"]
        again = await at.pull(uri, report.result_id)
        assert (again.kind, again.result_id) == ("unchanged", report.result_id)
        at.change(uri, ((3, 0), (3, 0), "@torch.no_grad()\n"))
        assert (await at.pull(uri, report.result_id)).items == ()
        assert at.client.diagnostics == {}, "a client that asks is not told as well"


async def test_evidence_in_another_file(project: Path) -> None:
    (project / "caller.py").write_text(CALLER.replace("@torch.no_grad()\n", ""))
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        [found] = await at.pushed(uri, "NGL101")
        places = {one.location.uri: one.location.range.start for one in found.related_information or []}
        assert places[at.uri("caller.py")] == types.Position(6, 10)


async def test_tags(project: Path) -> None:
    async with editor(project) as at:
        uri = at.open("idle.py", "import torch\n\n\ndef f(model, x):\n    torch.no_grad()\n    return model(x)\n")
        found = await at.until(uri, bool)
    assert [one.tags for one in found if one.code == "NGL301"] == [(types.DiagnosticTag.Unnecessary,)]


@pytest.mark.parametrize(("units", "column"), [("utf-8", 31), ("utf-16", 28), ("utf-32", 27)])
async def test_edits_in_every_encoding(project: Path, units: str, column: int) -> None:
    """The row of the diagnostic holds an emoji, and an edit to its right is in the client's units."""
    capabilities = client_capabilities(PUSH)
    capabilities.general = types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind(units)])
    async with editor(project, capabilities) as at:
        uri = at.open("evaluate.py", EVALUATE.replace("output = model", "_ = 'ä😀'; output = model"))
        [found] = await at.pushed(uri, "NGL101")
        assert found.range == types.Range(types.Position(7, column), types.Position(7, column + 8))
        at.change(uri, ((7, column + 5), (7, column + 8), "(x.to('cpu'))"))
        end = types.Position(7, column + 18)
        await at.until(uri, lambda found: [one.range.end for one in found] == [end])


async def test_rows_end_where_the_protocol_says(project: Path) -> None:
    """A form feed or a line separator begins no row, whatever str.splitlines thinks."""
    text = "# \x0c \x1c \u2028 here\r\n" + EVALUATE
    async with editor(project) as at:
        uri = at.open("evaluate.py", text)
        [found] = await at.pushed(uri, "NGL101")
        assert found.range.start == types.Position(8, 17)
        at.change(uri, ((4, 0), (4, 0), "@torch.no_grad()\n"), ((0, 0), (0, 3), "# é"))
        await at.pushed(uri)


async def test_a_series_of_edits_ends_in_what_the_text_is(project: Path) -> None:
    """Typing the decorator character by character, an undo, and an edit beyond the end."""
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri, "NGL101")
        at.change(uri, ((3, 0), (3, 0), "\n"))
        for column, character in enumerate("@torch.no_grad()"):
            at.change(uri, ((3, column), (3, column), character))
        await at.pushed(uri)
        at.change(uri, ((3, 0), (4, 0), ""), ((99, 99), (999, 0), "# end\n"))
        await at.pushed(uri, "NGL101")
        at.change(uri, "x = 1\n")
        await at.pushed(uri)


async def test_broken_code_keeps_the_diagnostics_of_intact_functions(project: Path) -> None:
    async with editor(project) as at:
        uri = at.open("evaluate.py", EVALUATE + "\n\ndef other(:\n    return (\n")
        found = await at.until(uri, bool)
        assert "NGL101" in [one.code for one in found]


async def test_closing_clears(project: Path) -> None:
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri, "NGL101")
        at.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
        await at.pushed(uri)


async def test_an_open_caller_counts_as_it_is_on_the_screen(project: Path) -> None:
    (project / "caller.py").write_text(CALLER)
    (project / "evaluate.py").write_text(WITHOUT_EVAL)
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        caller = at.open("caller.py")
        await at.pushed(uri)
        at.change(caller, ((5, 0), (6, 0), ""))
        await at.pushed(uri, "NGL101")


@pytest.mark.parametrize(
    ("name", "language", "uri"),
    [
        ("notes.txt", "plaintext", None),
        ("stub.pyi", "python", None),
        ("venv/evaluate.py", "python", None),
        ("notes.md", "markdown", None),
    ],
)
async def test_what_is_not_linted(project: Path, name: str, language: str, uri: str | None) -> None:
    async with editor(project, PULL) as at:
        assert (await at.pull(at.open(name, EVALUATE, language=language, uri=uri))).items == ()


@pytest.mark.parametrize("uri", ["untitled:Untitled-1", "vscode-notebook-cell://host/book.ipynb#W0"])
async def test_python_without_a_file(project: Path, uri: str) -> None:
    async with editor(project) as at:
        at.open("", EVALUATE, uri=uri)
        await at.pushed(uri, "NGL101")


async def test_jupyterlab_sends_python_under_the_name_of_a_notebook(project: Path) -> None:
    root = project / ".virtual_documents"
    root.mkdir()
    (root / "book.ipynb").write_text(EVALUATE)
    async with editor(root) as at:
        uri = at.open("book.ipynb")
        await at.pushed(uri, "NGL101")
        at.change(uri, ((7, 0), (7, 0), 'get_ipython().run_line_magic("time", "")\n'))


async def test_requests_can_be_cancelled(project: Path) -> None:
    async with editor(project, PULL) as at:
        uri = at.open("evaluate.py")
        params = types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri))
        request = at.client.protocol.send_request(types.TEXT_DOCUMENT_DIAGNOSTIC, params, msg_id="mine")
        at.client.cancel_request(types.CancelParams("mine"))
        with pytest.raises(JsonRpcException) as cancelled:
            await asyncio.wait_for(asyncio.wrap_future(request), WAIT)
        assert cancelled.value.code == types.LSPErrorCodes.RequestCancelled
        assert [one.code for one in (await at.pull(uri)).items] == ["NGL101"]


# --- code actions -----------------------------------------------------------------------------------------------------


async def test_quick_fix(project: Path) -> None:
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        known = await at.pushed(uri, "NGL101")
        actions = await at.actions(uri, PLACE, known=known)
        [fix] = [action for title, action in actions.items() if title.startswith("Decorate the function")]
        assert fix.is_preferred
        assert list(fix.diagnostics or ()) == known
        assert apply(EVALUATE, edits_of(fix.edit, uri)) == FIXED
        assert await at.actions(uri, types.Range(types.Position(0, 0), types.Position(0, 5)), "quickfix") == {}


async def test_unsafe_fixes_say_so_and_can_be_left_out(project: Path) -> None:
    text = "import torch\n\n\ndef predict(model, x):\n    model.eval()\n    return model(x)\n"
    place = types.Range(types.Position(5, 12), types.Position(5, 12))
    async with editor(project) as at:
        uri = at.open("predict.py", text)
        await at.pushed(uri, "NGL101")
        [fix] = [action for title, action in (await at.actions(uri, place)).items() if "unsafe" in title]
        assert not fix.is_preferred
        assert "no_grad" in apply(text, edits_of(fix.edit, uri))
    async with editor(project, settings={"unsafeFixes": False}) as at:
        uri = at.open("predict.py", text)
        await at.pushed(uri, "NGL101")
        assert all(title.startswith(("Suppress", "Explain")) for title in await at.actions(uri, place))


async def test_suppress_and_explain(project: Path) -> None:
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri, "NGL101")
        actions = await at.actions(uri, PLACE, "quickfix")
        text = apply(EVALUATE, edits_of(actions["Suppress NGL101 here"].edit, uri))
        assert "        output = model(x)  # nograd: ignore[NGL101]\n" in text
        at.change(uri, text)
        await at.pushed(uri)
        assert "Explain NGL101 (tracked-evaluation)" in actions
        params = types.ExecuteCommandParams(command="nograd-lint.explain", arguments=["NGL101"])
        await at.client.workspace_execute_command_async(params)
        assert "/rules/NGL101/" in at.client.messages[0].message


@pytest.mark.parametrize("capabilities", [PUSH, PULL, "visual_studio_code@1.65.2", "emacs@29.1"])
async def test_fix_all(project: Path, capabilities: str) -> None:
    text = EVALUATE + "\n\n" + EVALUATE.replace("evaluate", "validate").replace("import torch\n\n\n", "")
    async with editor(project, capabilities) as at:
        uri = at.open("evaluate.py", text)
        [action] = (await at.actions(uri, PLACE, "source.fixAll")).values()
        if action.edit is None:
            action = await at.client.code_action_resolve_async(action)
        assert apply(text, edits_of(action.edit, uri)) == text.replace("def ", "@torch.no_grad()\ndef ")


# --- what is shown beside the code ------------------------------------------------------------------------------------


async def test_hover_and_lens_tell_what_was_measured(project: Path) -> None:
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri, "NGL101")
        before = await at.hover(uri, 7, 20)
        assert before is not None
        assert "tracked-evaluation" in before
        assert "Every activation stays alive" in before
        assert "measured" not in before
        lens = types.CodeLensParams(types.TextDocumentIdentifier(uri))
        assert await at.client.text_document_code_lens_async(lens) == ()

        measure(project)
        params = types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri))
        at.client.text_document_did_save(params)
        after = await at.hover(uri, 7, 20)
        assert after is not None
        assert "**measured:** confirmed (bit_identical), saved for backward 5.0 MiB -> 0 B" in after
        [one] = await at.client.text_document_code_lens_async(lens) or []
        assert one.command is not None
        assert one.command.title == "measured: 5.0 MiB held per call, confirmed"
        assert one.range.start.line == 7
        assert await at.hover(uri, 0, 0) is None


# --- notebooks --------------------------------------------------------------------------------------------------------


CELLS = [
    ("%matplotlib inline\nimport torch", "python"),
    ("# prose", "markdown"),
    ("model = torch.nn.Linear(2, 2)\nmodel.eval()\nloader = torch.randn(4, 1, 2)", "python"),
    ("for x in loader:\n    scores = model(x)\n    print(scores.argmax(1).tolist())", "python"),
]


def notebook_capabilities(editor: str) -> types.ClientCapabilities:
    capabilities = client_capabilities(editor)
    capabilities.notebook_document = types.NotebookDocumentClientCapabilities(
        types.NotebookDocumentSyncClientCapabilities()
    )
    return capabilities


def open_notebook(at: Editor) -> list[str]:
    uris = [f"vscode-notebook-cell:{(at.root / 'book.ipynb').as_posix()}#W{number}" for number in range(len(CELLS))]
    kinds = {"python": types.NotebookCellKind.Code, "markdown": types.NotebookCellKind.Markup}
    documents = [
        types.TextDocumentItem(uri=uri, language_id=language, version=1, text=text)
        for uri, (text, language) in zip(uris, CELLS, strict=True)
        if language == "python"
    ]
    cells = [types.NotebookCell(kinds[language], uri) for uri, (_, language) in zip(uris, CELLS, strict=True)]
    notebook = types.NotebookDocument(
        uri=at.uri("book.ipynb"), notebook_type="jupyter-notebook", version=1, cells=cells
    )
    at.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(notebook, documents))
    at.versions.update(dict.fromkeys(uris, 1))
    return uris


@pytest.mark.parametrize("capabilities", [PUSH, PULL])
async def test_notebooks(project: Path, capabilities: str) -> None:
    """Cells are told of even to a client that asks for the diagnostics of files."""
    async with editor(project, notebook_capabilities(capabilities)) as at:
        uris = open_notebook(at)
        [found] = await at.pushed(uris[3], "NGL103")
        assert found.range == types.Range(types.Position(1, 13), types.Position(1, 21))
        assert uris[2] in {one.location.uri for one in found.related_information or []}, "facts of another cell"
        actions = await at.actions(uris[3], found.range)
        [fix] = [action for title, action in actions.items() if title.startswith("Put the forward under")]
        fixed = apply(CELLS[3][0], edits_of(fix.edit, uris[3]))
        assert "with torch.no_grad():" in fixed

        # Type it, and the cell is clean; take `model` away two cells above, and nothing is known any more.
        change_cell(at, uris[3], fixed)
        await at.pushed(uris[3])


def change_cell(at: Editor, uri: str, text: str) -> None:
    at.versions[uri] += 1
    identifier = types.VersionedTextDocumentIdentifier(uri=uri, version=at.versions[uri])
    event = types.TextDocumentContentChangeWholeDocument(text)
    content = types.NotebookDocumentCellContentChanges(document=identifier, changes=[event])
    change = types.NotebookDocumentChangeEvent(cells=types.NotebookDocumentCellChanges(text_content=[content]))
    notebook = types.VersionedNotebookDocumentIdentifier(version=at.versions[uri], uri=at.uri("book.ipynb"))
    at.client.notebook_document_did_change(types.DidChangeNotebookDocumentParams(notebook, change))


async def test_cells_come_and_go(project: Path) -> None:
    async with editor(project, notebook_capabilities(PUSH)) as at:
        uris = open_notebook(at)
        await at.pushed(uris[3], "NGL103")
        gone = types.NotebookCellArrayChange(start=3, delete_count=1, cells=[])
        structure = types.NotebookDocumentCellChangeStructure(
            array=gone, did_close=[types.TextDocumentIdentifier(uris[3])]
        )
        change = types.NotebookDocumentChangeEvent(cells=types.NotebookDocumentCellChanges(structure=structure))
        notebook = types.VersionedNotebookDocumentIdentifier(version=2, uri=at.uri("book.ipynb"))
        at.client.notebook_document_did_change(types.DidChangeNotebookDocumentParams(notebook, change))
        await at.pushed(uris[3])


# --- configuration and files ------------------------------------------------------------------------------------------


async def test_settings_of_the_client(project: Path) -> None:
    async with editor(project, settings={"ignore": ["NGL101"]}) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri)
        at.client.workspace_did_change_configuration(
            types.DidChangeConfigurationParams({"nograd-lint": {"ignore": []}})
        )
        await at.pushed(uri, "NGL101")


async def test_settings_that_the_server_asks_for(project: Path) -> None:
    async with editor(project, PULL, configuration={"ignore": ["NGL101"]}) as at:
        uri = at.open("evaluate.py")
        async with asyncio.timeout(WAIT):
            while (await at.pull(uri)).items:
                await asyncio.sleep(0.05)
        at.client.set_configuration({"ignore": ["NGL2"]}, section="nograd-lint")
        at.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        async with asyncio.timeout(WAIT):
            while not (await at.pull(uri)).items:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("settings", [{"minConfidence": "hihg"}, {"select": ["NGL999"]}])
async def test_settings_that_cannot_be_used(project: Path, settings: dict[str, object]) -> None:
    async with editor(project, settings=settings) as at:
        at.open("evaluate.py")
        async with asyncio.timeout(WAIT):
            while not at.client.messages:
                await asyncio.sleep(0.01)
        assert at.client.messages[0].type is types.MessageType.Error


async def test_configuration_files_are_watched(project: Path) -> None:
    async with editor(project, PUSH) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri, "NGL101")
        config = project / "pyproject.toml"
        config.write_text('[tool.nograd-lint]\nignore = ["NGL101"]\n')
        event = types.FileEvent(config.as_uri(), types.FileChangeType.Changed)
        at.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
        await at.pushed(uri)
        config.write_text('[tool.nograd-lint]\nignore = "NGL101"\n')
        at.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
        async with asyncio.timeout(WAIT):
            while not at.client.messages:
                await asyncio.sleep(0.01)
        assert "pyproject.toml: `ignore`: expected a list" in at.client.messages[0].message


async def test_files_that_are_not_open_are_watched(project: Path) -> None:
    (project / "caller.py").write_text(CALLER)
    (project / "evaluate.py").write_text(WITHOUT_EVAL)
    async with editor(project) as at:
        uri = at.open("evaluate.py")
        await at.pushed(uri)
        (project / "caller.py").write_text(CALLER.replace("@torch.no_grad()\n", ""))
        event = types.FileEvent(at.uri("caller.py"), types.FileChangeType.Changed)
        at.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
        await at.pushed(uri, "NGL101")


async def test_the_whole_workspace(project: Path) -> None:
    async with editor(project, settings={"scope": "workspace"}) as at:
        await at.pushed(at.uri("evaluate.py"), "NGL101")
        assert at.uri("clean.py") not in at.client.diagnostics


async def test_the_whole_workspace_when_asked(project: Path) -> None:
    async with editor(project, PULL, settings={"scope": "workspace"}) as at:
        async with asyncio.timeout(WAIT):
            while True:
                params = types.WorkspaceDiagnosticParams(previous_result_ids=[])
                report = await at.client.workspace_diagnostic_async(params)
                if len(report.items) == 2:
                    break
                await asyncio.sleep(0.05)
        by_uri = {item.uri: item for item in report.items}
        found = by_uri[at.uri("evaluate.py")]
        assert isinstance(found, types.WorkspaceFullDocumentDiagnosticReport)
        assert [one.code for one in found.items] == ["NGL101"]


async def test_progress_is_reported(project: Path) -> None:
    async with editor(project, PULL) as at:
        async with asyncio.timeout(WAIT):
            while not any(
                isinstance(report, types.WorkDoneProgressEnd)
                for reports in at.client.progress_reports.values()
                for report in reports
            ):
                await asyncio.sleep(0.01)


# --- the process ------------------------------------------------------------------------------------------------------


async def test_tcp(project: Path) -> None:
    """One client over TCP; a raw one, as every editor brings its own."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "nograd_lint", "server", "--tcp", "--port", str(port)]
    server = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(WAIT):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.05)
        params = {"processId": None, "rootUri": project.as_uri(), "capabilities": {}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).encode()
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        header = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(header.partition("content-length:")[2].splitlines()[0])
        answer = json.loads(await reader.readexactly(length))
        assert answer["result"]["serverInfo"]["name"] == "nograd-lint"
        writer.close()
        server.terminate()
        await server.wait()
