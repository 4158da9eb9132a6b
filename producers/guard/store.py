"""Where writes are remembered beyond the process: what was begun, and what came of it."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

KEPT_DAYS = 30
BUSY_S = 5.0
"""How long another process's hold on the file is waited for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store knows of a write that was begun before."""

    done: bool
    result: str | None = None
    """Its result as JSON, if it is done and its result is one that JSON can hold."""


class Store(Protocol):
    """What remembers writes. Threads call it at once; it may raise whatever it likes."""

    def known(self, run_id: str, key: str) -> Kept | None:
        """What is known of a write; None where it was never begun, or failed."""

    def begin(self, run_id: str, key: str) -> Kept | None:
        """Notes for good that a write begins; what is known of it where it is not the first, and else None."""

    def done(self, run_id: str, key: str, result: str | None) -> None:
        """Notes that a write is done."""

    def forget(self, run_id: str, key: str) -> None:
        """Takes back that a write was begun: it failed, and may be tried anew."""


class SqliteStore:
    """A store in a file, which several processes of one machine may share.

    Every note is on the disk before it returns (some milliseconds): a write is never done twice because the
    power failed.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises `sqlite3.Error` where the file cannot be opened."""
        self._path = Path(path)
        self._left: list[sqlite3.Connection] = []
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._open().execute("DELETE FROM writes WHERE began_s < ?", (int(time.time()) - KEPT_DAYS * 86_400,))
        _STORES.add(self)

    def known(self, run_id: str, key: str) -> Kept | None:
        with self._lock:
            return self._read(run_id, key)

    def begin(self, run_id: str, key: str) -> Kept | None:
        with self._lock:
            row = (run_id, key, int(time.time()))
            if self._open().execute("INSERT OR IGNORE INTO writes VALUES (?, ?, ?, 0, NULL)", row).rowcount:
                return None
            return self._read(run_id, key) or Kept(False)

    def done(self, run_id: str, key: str, result: str | None) -> None:
        with self._lock:
            self._open().execute(
                "UPDATE writes SET done = 1, result = ? WHERE run_id = ? AND key = ?", (result, run_id, key)
            )

    def forget(self, run_id: str, key: str) -> None:
        with self._lock:
            self._open().execute("DELETE FROM writes WHERE run_id = ? AND key = ?", (run_id, key))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def after_fork(self) -> None:
        """A child opens the file anew: a connection may not cross a fork, and to close it would be to use it."""
        if self._connection is not None:
            self._left.append(self._connection)
            self._connection = None
        self._lock = threading.Lock()

    def _read(self, run_id: str, key: str) -> Kept | None:
        select = "SELECT done, result FROM writes WHERE run_id = ? AND key = ?"
        found = self._open().execute(select, (run_id, key)).fetchone()
        return None if found is None else Kept(bool(found[0]), found[1])

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS writes (run_id TEXT, key TEXT, began_s INTEGER, done INTEGER, result TEXT,"
                " PRIMARY KEY (run_id, key)) WITHOUT ROWID"
            )
            self._connection = connection
        return self._connection


_STORES: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_STORES):
        store.after_fork()


os.register_at_fork(after_in_child=_after_fork)
