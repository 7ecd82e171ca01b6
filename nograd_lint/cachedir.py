"""The directory that holds what is kept between runs, and how it is known to be ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

NAME = ".nograd_lint_cache"
TAG = "CACHEDIR.TAG"  # https://bford.info/cachedir/
_CONTENT = {
    ".gitignore": "*\n",
    TAG: "Signature: 8a477f597d28d172789f06886806bc55\n# This directory holds the cache of nograd-lint.\n",
}


def directory(root: Path, configured: str | Path | None) -> Path:
    """Where the cache of a project lies: in its root, or with the user's other caches where it can't be written to."""
    if configured is not None:
        return Path(configured)
    own, users = candidates(root)
    return own if os.access(own if os.path.lexists(own) else root, os.W_OK) else users


def candidates(root: Path) -> Iterator[Path]:
    """Where the cache of a project may lie that nobody configured a place for."""
    yield root / NAME
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path("~/.cache").expanduser()
    yield Path(base) / "nograd-lint" / blake2b(os.fsencode(root), digest_size=8).hexdigest()


def prepare(target: Path) -> None:
    """Make the directory: git and backups leave it out."""
    target.mkdir(parents=True, exist_ok=True)
    for name, text in _CONTENT.items():
        if not (target / name).exists():
            (target / name).write_text(text, encoding="utf-8")
