"""``nograd-lint server``: the language server."""

from __future__ import annotations

import gc
from importlib.util import find_spec

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
    if find_spec("pygls") is None:
        raise Failure("the server needs pygls: install it with  pip install 'nograd-lint[lsp]'")
    from nograd_lint.lsp import serve

    gc.enable()

    return serve(host=host, port=port) if tcp else serve()
