"""The server: what it answers, and when it lints."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer

import nograd_lint
from nograd_lint.baseline import BaselineError
from nograd_lint.lsp import options as client_options
from nograd_lint.lsp.convert import Converter
from nograd_lint.lsp.documents import DocumentWorkspace, Target, Targets
from nograd_lint.lsp.workspace import Checked, Workspace
from nograd_lint.settings import ConfigError

T = TypeVar("T")

logger = logging.getLogger(__name__)

SECTION = "nograd-lint"
# How long other open documents wait for the result of a change to one, in seconds.
CALM = 0.3
_CHUNK = 32
_PYTHON = types.NotebookDocumentFilterWithNotebook(notebook="*", cells=[types.NotebookCellLanguage("python")])


class State(NamedTuple):
    """What a result holds for: the documents of a file, and everything else that it may depend on."""

    stamp: object
    revision: int


class Server(LanguageServer):
    """Linting for one client. Handlers run in the event loop, analysis in a thread of its own, one file at a time."""

    def __init__(self) -> None:
        super().__init__(
            "nograd-lint",
            nograd_lint.__version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            notebook_document_sync=types.NotebookDocumentSyncOptions(notebook_selector=[_PYTHON], save=True),
        )
        self.options = client_options.Options()
        self.lint = Workspace()
        self.analysis = ThreadPoolExecutor(1, "analysis")
        self.revision = 0
        self.results: dict[str, tuple[State, Checked]] = {}
        self.running: dict[str, tuple[State, asyncio.Task[Checked]]] = {}
        self.published: dict[str, set[str]] = {}  # the documents of a target that have diagnostics on them
        self.scanned: dict[str, Checked] = {}
        self.pulls = False
        self._tasks: set[asyncio.Future[Any]] = set()
        self._calm: asyncio.TimerHandle | None = None
        self._complaint = ""

    @property
    def was_shut_down(self) -> bool:
        return bool(self.protocol._shutdown)

    # --- setting up ---------------------------------------------------------------------------------------------------

    def take_over(self, params: types.InitializeParams) -> None:
        """Before the capabilities are announced."""
        self.protocol._workspace = DocumentWorkspace.like(self.workspace)  # the only way to have documents of ours
        capabilities = params.capabilities
        self.pulls = bool(capabilities.text_document and capabilities.text_document.diagnostic)
        self.configure(params.initialization_options)
        self.targets = Targets(self.documents)

    @property
    def documents(self) -> DocumentWorkspace:
        workspace = self.workspace
        assert isinstance(workspace, DocumentWorkspace)
        return workspace

    @property
    def encoding(self) -> str:
        encoding = self.workspace.position_encoding
        return str(getattr(encoding, "value", encoding) or "utf-16")

    def configure(self, given: object) -> None:
        """Take over the client's settings."""
        try:
            options = client_options.read(given)
        except ValueError as error:
            self.complain(str(error))
            return
        if options != self.options:
            self.options = options
            self.background(self.on_analysis(lambda lint: lint.configure(options)))
            self.revision += 1

    def complain(self, message: str) -> None:
        """Tell the user, but nothing twice in a row."""
        if message != self._complaint:
            self._complaint = message
            self.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))

    def background(self, job: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("in the background: %s", error, exc_info=error)

    def on_analysis(self, job: Callable[[Workspace], T]) -> asyncio.Future[T]:
        """It has its turn after all that was asked for before."""
        return asyncio.get_running_loop().run_in_executor(self.analysis, job, self.lint)

    # --- linting ------------------------------------------------------------------------------------------------------

    async def checked(self, uri: str) -> tuple[Target, Checked] | None:
        """The diagnostics of a document as it is by the time they are known; None where it is not linted."""
        while (target := self.targets.of(uri)) is not None:
            state = State(target.stamp, self.revision)
            known = self.results.get(target.uri)
            if known is not None and known[0] == state:
                return target, known[1]
            running = self.running.get(target.uri)
            if running is None or running[0] != state:
                task = asyncio.get_running_loop().create_task(self._check(target, state))
                running = self.running[target.uri] = (state, task)
            checked = await asyncio.shield(running[1])
            current = self.targets.of(uri)
            if current is not None and State(current.stamp, self.revision) == state:
                return current, checked
        return None

    async def _check(self, target: Target, state: State) -> Checked:
        contents = {one.path: one.content for one in self.targets}

        def job(lint: Workspace) -> Checked | None:
            if self.running.get(target.uri, (state,))[0] != state:
                return None  # changed again, before it was its turn
            lint.sync(contents)
            return lint.check(target.path)

        try:
            checked = await self.on_analysis(job)
            self._complaint = ""
        except (BaselineError, ConfigError) as error:
            self.complain(str(error))
            checked = None
        if checked is None:
            known = self.results.get(target.uri)
            return known[1] if known is not None else nothing(target.path)
        if self.targets.of(target.uri) is not None:
            self.results[target.uri] = (state, checked)
        return checked

    def converter(self, target: Target | None, checked: Checked) -> Converter:
        return Converter(checked, target, {one.path: one for one in self.targets}, self.encoding)

    # --- telling ------------------------------------------------------------------------------------------------------

    async def publish(self, uri: str) -> None:
        """Lint a document and push what was found, where the client does not ask for it.

        Clients that ask do so for text documents; nothing in the protocol has them ask for the cells of a notebook.
        """
        target = self.targets.of(uri)
        if target is None or (self.pulls and not target.is_notebook):
            return
        found = await self.checked(uri)
        if found is None:
            return
        target, checked = found
        versions = {part.uri: part.version for part in target.parts.values()}
        by_document = self.converter(target, checked).by_document()
        for document in self.published.get(target.uri, set()) - set(by_document):
            by_document[document] = []
        self.published[target.uri] = {document for document, diagnostics in by_document.items() if diagnostics}
        for document, diagnostics in by_document.items():
            self.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(document, diagnostics, versions.get(document))
            )

    def changed(self, uri: str | None = None) -> None:
        """Something changed: lint the document at once, and the others when it has become calm."""
        self.revision += 1
        if uri is not None:
            self.background(self.publish(uri))
        if self._calm is not None:
            self._calm.cancel()
        self._calm = asyncio.get_running_loop().call_later(CALM, self._others, uri)

    def _others(self, uri: str | None) -> None:
        capabilities = self.client_capabilities.workspace
        if self.pulls:
            others = [target for target in self.targets if target.uri != uri]
            for target in others:
                self.background(self.publish(target.uri))
            if others and capabilities and capabilities.diagnostics and capabilities.diagnostics.refresh_support:
                self.workspace_diagnostic_refresh(None)
        else:
            for target in self.targets:
                self.background(self.publish(target.uri))
        if (
            self.options.code_lens
            and capabilities
            and capabilities.code_lens
            and capabilities.code_lens.refresh_support
        ):
            self.workspace_code_lens_refresh(None)

    def closed(self, uri: str, documents: list[str]) -> None:
        self.results.pop(uri, None)
        self.running.pop(uri, None)
        self.published.pop(uri, None)
        self.targets.forget(uri)
        if not self.pulls or documents != [uri]:
            for document in documents:
                self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(document, []))
        self.changed()

    # --- the whole workspace ------------------------------------------------------------------------------------------

    async def scan(self) -> None:
        """Get to know the projects of the workspace; lint all of their files where the client wants that."""
        for directory in self.documents.directories():
            try:
                files = await self.on_analysis(partial(Workspace.files, directory=directory))
                await self._scan(directory, files)
                await self.on_analysis(Workspace.keep)
            except (BaselineError, ConfigError) as error:
                self.complain(str(error))

    async def _scan(self, directory: Path, files: list[Path]) -> None:
        everything = self.options.scope == "workspace"
        if not everything:
            files = files[:1]  # linting one file gets the project's index made
        token = f"nograd-lint:{self.revision}:{directory}"
        window = self.client_capabilities.window
        title = f"nograd-lint: {directory.name}"
        reports = bool(files and window and window.work_done_progress)
        progress = self.work_done_progress
        if reports:
            await progress.create_async(token)
            progress.begin(token, types.WorkDoneProgressBegin(title=title, cancellable=everything, percentage=0))
        try:
            for start in range(0, len(files), _CHUNK):
                if reports and progress.tokens[token].cancelled():
                    break
                part = files[start : start + _CHUNK]
                for checked in await self.on_analysis(partial(Workspace.check_all, paths=part)):
                    if everything:
                        self._tell(checked)
                if reports:
                    done = min(start + _CHUNK, len(files))
                    report = types.WorkDoneProgressReport(
                        message=f"{done} of {len(files)} files", percentage=100 * done // len(files)
                    )
                    progress.report(token, report)
        finally:
            if reports:
                progress.end(token, types.WorkDoneProgressEnd())
                progress.tokens.pop(token, None)

    def _tell(self, checked: Checked) -> None:
        """Keep the result of a file that is not open, and push it where the client does not ask for it."""
        if any(target.path == checked.path for target in self.targets):
            return
        for uri, diagnostics in self.converter(None, checked).by_document().items():
            known = self.scanned.get(uri)
            self.scanned[uri] = checked
            if not self.pulls and (diagnostics or (known is not None and known.result.diagnostics)):
                self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, diagnostics))


def nothing(path: Path) -> Checked:
    from nograd_lint.diagnostics import FileResult

    return Checked(path, None, FileResult(str(path)), path.parent, {})


def create() -> Server:
    """A server with all of its features."""
    from nograd_lint.lsp import features

    server = Server()
    features.register(server)
    return server
