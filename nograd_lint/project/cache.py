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
from typing import TypeVar

import msgspec

from nograd_lint.cachedir import TAG, prepare
from nograd_lint.syntax import ir
from nograd_lint.syntax.outline import Outline

NAME = "cache.sqlite"
_APPLICATION = 0x4E47_4C31
_WAIT = 5.0  # seconds for a lock
_LARGEST = 256 * 2**20
_FAMILIES = 4  # settings under which results are kept
_TABLES = (
    "CREATE TABLE family (family TEXT PRIMARY KEY, saved INTEGER)",
    "CREATE TABLE state (family TEXT, key TEXT, value BLOB, PRIMARY KEY (family, key))",
    "CREATE TABLE part (digest BLOB PRIMARY KEY, value BLOB)",
)
_OUTLINE = msgspec.msgpack.Decoder(Outline)
_UNIT = msgspec.msgpack.Decoder(ir.Unit)
T = TypeVar("T")


class Cache:
    """The cache of one project.

    Args:
        directory: made where it is missing.
        signature: says who wrote the parts: the version of the tool and its parsers.
    """

    def __init__(self, directory: Path, signature: bytes) -> None:
        self.path = directory / NAME
        self._signature = signature
        self._new: dict[bytes, bytes] = {}
        self._connection: sqlite3.Connection | None = None
        self._given_up = False

    # --- parts: outlines and units by what they were made of --------------------------------------------------------

    def outline(self, digest: bytes) -> Outline | None:
        return self._part(b"outline" + digest, _OUTLINE)

    def keep_outline(self, digest: bytes, value: Outline) -> None:
        self._new[self._name(b"outline" + digest)] = msgspec.msgpack.encode(value)

    def unit(self, text: str) -> ir.Unit | None:
        return self._part(text.encode("utf-8", "replace"), _UNIT)

    def keep_unit(self, text: str, value: ir.Unit) -> None:
        self._new[self._name(text.encode("utf-8", "replace"))] = msgspec.msgpack.encode(value)

    def _name(self, content: bytes) -> bytes:
        return blake2b(content, digest_size=16, key=self._signature).digest()

    def _part(self, content: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T | None:
        name = self._name(content)
        data = self._new.get(name) or self._read("SELECT value FROM part WHERE digest = ?", name)
        try:
            return decoder.decode(data) if data is not None else None
        except msgspec.DecodeError as error:
            self._failed(sqlite3.DatabaseError(str(error)))
            return None

    def parts(self) -> dict[bytes, bytes]:
        """What was made since, for another process."""
        return self._new

    def take(self, parts: Mapping[bytes, bytes]) -> None:
        self._new.update(parts)

    def drop(self) -> None:
        """Do without the parts made since."""
        self._new.clear()

    # --- states -------------------------------------------------------------------------------------------------------

    def load(self, family: str, key: str) -> bytes | None:
        return self._read("SELECT value FROM state WHERE family = ? AND key = ?", family, key)

    def save(self, family: str, states: Mapping[str, bytes]) -> None:
        """Keep states of a family, and the parts made since; only the last few families stay."""
        connection = self._open(write=True) if states or self._new else None
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
                _keep_families(connection, _FAMILIES)
                connection.executemany("INSERT OR IGNORE INTO part VALUES (?, ?)", self._new.items())
                _bound(connection)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            self._new.clear()
        except sqlite3.Error as error:
            self._failed(error)

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
        for _ in range(2):  # what is damaged is removed, and made anew where there is something to write
            # Where it can't be looked for, it is not there: Path.exists would raise.
            if self._connection is not None or self._given_up or not (write or os.path.exists(self.path)):  # noqa: PTH110
                break
            try:
                if write:
                    prepare(self.path.parent)
                self._connection = self._connect(write=write)
            except sqlite3.Error as error:
                self._failed(error)
            except OSError:
                self._given_up = True
        return self._connection

    def _connect(self, *, write: bool) -> sqlite3.Connection | None:
        connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            [owner] = connection.execute("PRAGMA application_id").fetchone()
            if owner != _APPLICATION:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                    raise sqlite3.DatabaseError("file is not a cache of nograd-lint")
                if not write:  # somebody is about to fill it
                    connection.close()
                    return None
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                for table in _TABLES:
                    connection.execute(table)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _failed(self, error: sqlite3.Error) -> None:
        """Go on without the cache; one that can't be read as what it should be is removed."""
        self.close()
        if isinstance(error, sqlite3.OperationalError) and not str(error).startswith(("no such", "malformed")):
            self._given_up = True  # locked, full, or out of reach
            return
        what = "the cache is made anew"
        try:
            if not (self.path.parent / TAG).is_file():
                raise OSError  # somebody else's directory
            self.path.unlink(missing_ok=True)
        except OSError:
            self._given_up = True
            what = "going on without a cache"
        print(f"nograd-lint: {self.path}: {error}; {what}", file=sys.stderr)


def _keep_families(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("DELETE FROM family WHERE saved <= (SELECT max(saved) FROM family) - ?", (count,))
    connection.execute("DELETE FROM state WHERE family NOT IN (SELECT family FROM family)")


def _bound(connection: sqlite3.Connection) -> None:
    """Keep the size within limits: the older half of the parts goes first, then other settings' states."""
    if _size(connection) > _LARGEST:
        connection.execute("DELETE FROM part WHERE rowid <= (SELECT (min(rowid) + max(rowid)) / 2 FROM part)")
    if _size(connection) > _LARGEST:
        connection.execute("DELETE FROM part")
        _keep_families(connection, 1)


def _size(connection: sqlite3.Connection) -> int:
    pages, size, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size", "freelist_count")
    )
    return int((pages - free) * size)
