"""``nograd-lint server``: the language server."""

from __future__ import annotations

from importlib import import_module

import click

from nograd_lint.cli import Failure


@click.command()
@click.option("--stdio", is_flag=True, help="Talk over stdin and stdout (the default; editors pass it).")
@click.option("--tcp", is_flag=True, help="Listen on --host and --port instead.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=2087, show_default=True)
def server(stdio: bool, tcp: bool, host: str, port: int) -> int:
    """Run the language server for editors."""
    if stdio and tcp:
        raise Failure("--stdio and --tcp exclude each other")
    try:
        lsp = import_module("nograd_lint.lsp")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"pygls", "lsprotocol"}:
            raise Failure(f"the server needs {missing}: install it with  pip install 'nograd-lint[lsp]'") from None
        if error.name == "nograd_lint.lsp":
            raise Failure("the language server is not part of this installation") from None
        raise
    lsp.serve(host=host, port=port) if tcp else lsp.serve()
    return 0
