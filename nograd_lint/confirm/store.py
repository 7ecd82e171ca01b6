"""The figures of earlier confirmations, for the reports of ``check``. Imports next to nothing, and no torch.

They lie beside the cache, keyed by fingerprint. A figure is stale once the function that it was measured in has
changed.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nograd_lint.cachedir import directory, prepare

NAME = "confirm.json"
VERSION = 1
KEPT = ("verdict", "reason", "saved", "peak", "held", "time", "outputs")


def place(root: Path, cache_dir: Path | None = None) -> Path:
    return directory(root, cache_dir) / NAME


def load(root: Path, cache_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """Measured figures by fingerprint; ``stale`` says that the code has changed since."""
    found: dict[str, dict[str, Any]] = {}
    files: dict[str, bytes | None] = {}
    for fingerprint, entry in _read(place(root, cache_dir)).items():
        code = entry.pop("code")
        path = code["file"]
        if path not in files:
            files[path] = _bytes(root / path)
        found[fingerprint] = {**entry, "stale": _changed(files[path], code)}
    return found


def save(root: Path, document: Mapping[str, Any], cwd: Path, cache_dir: Path | None = None) -> None:
    """Keep the figures of a confirmation beside those of earlier ones; errors are nobody's concern."""
    target = place(root, cache_dir)
    entries = _read(target)
    for result in document["results"]:
        if not result["fingerprint"] or result["verdict"] in ("not_reached", "error"):
            continue
        path = os.path.relpath(cwd / result["filename"], root).replace(os.sep, "/")
        data = _bytes(root / path) or b""
        entry = {key: _brief(result[key]) for key in KEPT}
        entry.update(torch=document["torch"], device=document["device"], date=document["date"])
        entry["code"] = {
            "file": path,
            "function": result["function"],
            "sha": _sha(data),
            "text": _text(data, result["function"]),
        }
        entries[result["fingerprint"]] = entry
    with contextlib.suppress(OSError):
        _write(target, {"version": VERSION, "entries": entries})


def _brief(value: Any) -> Any:
    """Without what only the whole report needs."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key not in ("sites", "where", "left_out")}
    return value


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
        if content["version"] == VERSION:
            return dict(content["entries"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    prepare(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(content, file, indent=1)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _changed(data: bytes | None, code: Mapping[str, str]) -> bool:
    if data is None:
        return True
    if _sha(data) == code["sha"]:
        return False
    return _text(data, code["function"]) != code["text"]


def _text(data: bytes, function: str) -> str:
    """What a function's code means, whatever its layout and its place: a hash of its syntax tree."""
    try:
        tree: ast.AST = ast.parse(data)
    except (SyntaxError, ValueError):
        return _sha(data)  # a notebook, or broken: any change counts
    for part in [] if function.startswith("<") else function.split("."):
        inner = next((n for n in ast.walk(tree) if getattr(n, "name", None) == part), None)
        if inner is None:
            return ""
        tree = inner
    if isinstance(tree, ast.Module):  # what runs at top level, not the functions beside it
        tree.body = [s for s in tree.body if not isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    return _sha(ast.dump(tree).encode())
