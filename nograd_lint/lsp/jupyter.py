"""What tells JupyterLab's language server extension to start ours: the entry point ``jupyter_lsp_spec_v1``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def spec(app: object) -> dict[str, Any]:  # noqa: ARG001 - part of the entry point's contract
    """How to start the server, where what it needs is installed."""
    if find_spec("pygls") is None:
        return {}
    return {
        "nograd-lint": {
            "version": 2,
            "argv": [sys.executable, "-m", "nograd_lint", "server", "--stdio"],
            "languages": ["python"],
            "mime_types": ["text/x-python", "text/x-ipython", "text/python"],
            "display_name": "nograd-lint",
        }
    }
