"""The language server. Importing this package imports none of what the server needs."""

from __future__ import annotations

import os
import sys


def serve(*, host: str | None = None, port: int = 0) -> int:
    """Serve one client over stdin and stdout, or over TCP where a host is given, until it leaves.

    Returns:
        0 where the client said that it would leave, else 1.
    """
    from nograd_lint.lsp.server import create

    server = create()
    if host is not None:
        server.start_tcp(host, port)
    else:
        # The client's stream is ours alone: whatever else is printed in this process goes to stderr.
        stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        server.start_io(stdout=stream)
    return 0 if server.was_shut_down else 1
