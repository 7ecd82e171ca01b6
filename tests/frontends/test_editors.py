"""Neovim, Emacs and python-lsp-server, the real ones, without a screen."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import EVALUATE, measure

DRIVERS = Path(__file__).parent / "drivers"
SERVER = [sys.executable, "-m", "nograd_lint", "server"]
MESSAGE = "`evaluate` evaluates `model(...)` with gradient tracking on"
FIXED = EVALUATE.replace("def ev", "@torch.no_grad()\ndef ev")
MEASURED = "confirmed (bit_identical), saved for backward 5.0 MiB -> 0 B"

needs_server = pytest.mark.skipif(importlib.util.find_spec("pygls") is None, reason="pygls is not installed")


def neovims() -> list[str]:
    """Every Neovim in the path, and one installed beside the interpreter."""
    directories = [*os.environ.get("PATH", "").split(os.pathsep), str(Path(sys.executable).parent)]
    found = (shutil.which("nvim", path=directory) for directory in directories)
    return list(dict.fromkeys(str(Path(path).resolve()) for path in found if path))


@needs_server
@pytest.mark.parametrize("nvim", neovims() or [pytest.param("", marks=pytest.mark.skip(reason="no Neovim here"))])
def test_neovim(project: Path, nvim: str) -> None:
    """0.7 is told, 0.11 asks."""
    measure(project)
    done = subprocess.run(
        [nvim, "--headless", "-u", "NONE", "-i", "NONE", "-n", "-c", f"luafile {DRIVERS / 'neovim.lua'}"],
        cwd=project,
        env={**os.environ, "NV_FILE": "evaluate.py", "NV_SERVER": "\n".join(SERVER)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads((done.stdout or done.stderr).strip().splitlines()[-1])
    assert "error" not in found
    assert found["diagnostics"] == [[7, 17, 7, 25, 2, "nograd-lint", "NGL101", MESSAGE]]
    assert MEASURED in found["hover"]
    assert found["lenses"] == ["measured: 5.0 MiB held per call, confirmed"]
    assert found["after"] == 0
    assert found["text"] == FIXED


@needs_server
@pytest.mark.skipif(shutil.which("emacs") is None, reason="no Emacs here")
def test_emacs_eglot(project: Path) -> None:
    measure(project)
    done = subprocess.run(
        ["emacs", "-q", "--batch", "-l", str(DRIVERS / "eglot.el"), "evaluate.py"],
        cwd=project,
        env={**os.environ, "NV_SERVER": "\n".join(SERVER), "HOME": str(project / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if results == ["missing"]:
        pytest.skip("this Emacs has no eglot")
    begin = EVALUATE.index("model(x)") + 1
    assert f"diagnostic {begin}-{begin + 8} nograd-lint [NGL101]: {MESSAGE}" in results, done.stderr
    assert any(line.startswith("hover") and MEASURED in line for line in results)
    assert "action Suppress NGL101 here" in results
    assert "left 0" in results
    assert "text " + FIXED.replace("\n", "|") in results


# --- python-lsp-server ----------------------------------------------------------------------------------------------


class RawClient:
    """JSON-RPC over pipes; pygls's own client does not read what python-lsp-server answers to `initialize`."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.id = 0

    def send(self, method: str, params: Any, *, request: bool = False) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if request:
            self.id += 1
            message["id"] = self.id
        body = json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        while True:
            length = 0
            while line := self.process.stdout.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if not length:
                return
            yield json.loads(self.process.stdout.read(length))

    def ask(self, method: str, params: Any) -> Any:
        self.send(method, params, request=True)
        return next(message["result"] for message in self.messages() if message.get("id") == self.id)


@pytest.mark.skipif(importlib.util.find_spec("pylsp") is None, reason="python-lsp-server is not installed")
def test_pylsp_shows_the_flake8_plugin(project: Path) -> None:
    client = RawClient(sys.executable, "-m", "pylsp")
    try:
        client.ask("initialize", {"processId": None, "rootUri": project.as_uri(), "capabilities": {}})
        client.send("initialized", {})
        plugins = {"flake8": {"enabled": True, "executable": str(Path(sys.executable).with_name("flake8"))}}
        plugins |= {name: {"enabled": False} for name in ("pycodestyle", "pyflakes", "mccabe")}
        client.send("workspace/didChangeConfiguration", {"settings": {"pylsp": {"plugins": plugins}}})
        uri = (project / "evaluate.py").as_uri()
        unsaved = "# not saved yet\n" + EVALUATE
        document = {"uri": uri, "languageId": "python", "version": 1, "text": unsaved}
        client.send("textDocument/didOpen", {"textDocument": document})
        for message in client.messages():
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["diagnostics"]:
                [found] = message["params"]["diagnostics"]
                break
        assert found["code"] == "NGL101"
        assert MESSAGE in found["message"]
        assert found["range"]["start"] == {"line": 8, "character": 17}
        client.ask("shutdown", None)
        client.send("exit", None)
    finally:
        client.process.terminate()
        client.process.wait()
