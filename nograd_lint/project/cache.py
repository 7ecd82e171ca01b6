"""What is kept between runs: a SQLite file below the root of the project.

One connection writes, many may read; a lock that does not come free in time, a full disk or a directory that cannot be
written to only cost the next run its head start. A file that is damaged, or is none of ours, is made anew.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import msgspec

from nograd_lint.syntax import ir
from nograd_lint.syntax.outline import Outline

NAME = "cache.sqlite"
DIRECTORY = ".nograd_lint_cache"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory holds the cache of nograd-lint.\n"
_APPLICATION = 0x4E47_4C31
_WAIT = 5.0  # seconds for a lock
_LARGEST = 256 * 2**20
_FAMILIES = 4  # settings under which results are kept
_TABLES = (
    "CREATE TABLE IF NOT EXISTS family (family TEXT PRIMARY KEY, saved INTEGER)",
    "CREATE TABLE IF NOT EXISTS state (family TEXT, key TEXT, value BLOB, PRIMARY KEY (family, key))",
    "CREATE TABLE IF NOT EXISTS part (digest BLOB PRIMARY KEY, value BLOB)",
)
_OUTLINE = msgspec.msgpack.Decoder(Outline)
_UNIT = msgspec.msgpack.Decoder(ir.Unit)


def directory(root: Path, configured: str | None) -> Path:
    """Where the cache of a project lies: in its root, or with the user's other caches where it can't be written to."""
    if configured:
        return Path(configured)
    own = root / DIRECTORY
    if os.access(own if own.exists() else root, os.W_OK):
        return own
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(base) / "nograd-lint" / blake2b(os.fsencode(root), digest_size=8).hexdigest()


class Cache:
    """The cache of one project.

    Args:
        directory: made where it is missing, with its own ``.gitignore`` and ``CACHEDIR.TAG``.
        signature: says who wrote the parts: the version of the tool and its parsers.
    """

    def __init__(self, directory: Path, signature: bytes) -> None:
        self.path = directory / NAME
        self._signature = signature
        self._new: dict[bytes, bytes] = {}
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    # --- parts: outlines and units by what they were made of --------------------------------------------------------

    def outline(self, digest: bytes) -> Outline | None:
        data = self._part(b"outline" + digest)
        return _OUTLINE.decode(data) if data is not None else None

    def keep_outline(self, digest: bytes, value: Outline) -> None:
        self._new[self._name(b"outline" + digest)] = msgspec.msgpack.encode(value)

    def unit(self, text: str) -> ir.Unit | None:
        data = self._part(text.encode("utf-8", "replace"))
        return _UNIT.decode(data) if data is not None else None

    def keep_unit(self, text: str, value: ir.Unit) -> None:
        self._new[self._name(text.encode("utf-8", "replace"))] = msgspec.msgpack.encode(value)

    def _name(self, content: bytes) -> bytes:
        return blake2b(content, digest_size=16, key=self._signature).digest()

    def _part(self, content: bytes) -> bytes | None:
        name = self._name(content)
        if name in self._new:
            return self._new[name]
        return self._read("SELECT value FROM part WHERE digest = ?", name)

    def parts(self) -> dict[bytes, bytes]:
        """What was made since, for another process."""
        return self._new

    def take(self, parts: Mapping[bytes, bytes]) -> None:
        self._new.update(parts)

    # --- states -------------------------------------------------------------------------------------------------------

    def load(self, family: str, key: str) -> bytes | None:
        return self._read("SELECT value FROM state WHERE family = ? AND key = ?", family, key)

    def save(self, family: str, states: Mapping[str, bytes]) -> None:
        """Keep the states of a family, and the parts made since; only the last few families stay."""
        connection = self._open(write=True)
        if connection is None:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                rows = [(family, key, value) for key, value in states.items()]
                connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", rows)
                connection.execute(
                    "INSERT OR REPLACE INTO family SELECT ?, ifnull(max(saved), 0) + 1 FROM family", (family,)
                )
                connection.execute(
                    "DELETE FROM family WHERE saved <= (SELECT max(saved) FROM family) - ?", (_FAMILIES,)
                )
                connection.execute("DELETE FROM state WHERE family NOT IN (SELECT family FROM family)")
                connection.executemany("INSERT OR IGNORE INTO part VALUES (?, ?)", self._new.items())
                self._bound(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._new.clear()
        except sqlite3.Error as error:
            self._failed(error)

    def _bound(self, connection: sqlite3.Connection) -> None:
        [pages], [size], [free] = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size", "freelist_count")
        )
        if (pages - free) * size > _LARGEST:  # the older half goes
            connection.execute("DELETE FROM part WHERE rowid <= (SELECT (min(rowid) + max(rowid)) / 2 FROM part)")

    # --- the file -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, query: str, *key: str | bytes) -> bytes | None:
        connection = self._open()
        if connection is None:
            return None
        try:
            row = connection.execute(query, key).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        return row[0] if row is not None else None

    def _open(self, *, write: bool = False) -> sqlite3.Connection | None:
        if self._connection is None and not self._closed and (write or self.path.exists()):
            try:
                if write:
                    self._prepare()
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                self._failed(error)
                if write and not self.path.exists():
                    self._closed = False
                    return self._open(write=True)
            except OSError:
                self._closed = True
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        fresh = not self.path.exists()
        connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            [owner] = connection.execute("PRAGMA application_id").fetchone()
            if owner != _APPLICATION:
                if not fresh and connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                    raise sqlite3.DatabaseError("file is not a database of nograd-lint")
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            for table in _TABLES:
                connection.execute(table)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        where = self.path.parent
        where.mkdir(parents=True, exist_ok=True)
        for name, text in ((".gitignore", "*\n"), ("CACHEDIR.TAG", TAG)):
            if not (where / name).exists():
                (where / name).write_text(text, encoding="utf-8")

    def _failed(self, error: sqlite3.Error) -> None:
        """Go on without the cache; one that can't be read as what it should be is removed."""
        self.close()
        self._closed = True
        damaged = not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error)
        if damaged and self.path.exists():
            print(f"nograd-lint: {self.path}: {error}; the cache is made anew", file=sys.stderr)
            try:
                self.path.unlink()
            except OSError:
                return
