"""What the cluster keeps on disk: one SQLite table of encoded objects and the resourceVersion counter.

WAL with synchronous=NORMAL: COMMIT has handed the bytes to the operating system, so killing the process at any
moment loses nothing that was acknowledged; only a power cut can take the last instants, and never corrupts the
file. FULL adds a disk flush per commit (about 1 to 10 ms) for that last case and can be asked for. The file is
locked exclusively: two servers on one cluster would each believe their own memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from bayplan.clusters.embedded.errors import internal

Row = tuple[str, str, str, bytes]
Key = tuple[str, str, str]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (resource, namespace, name)
);
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, 0);
"""


class StoreFileError(Exception):
    """The cluster's file cannot be opened: in use by another process, not a database, or not writable."""


class Disk:
    """The SQLite file behind a store; `:memory:` keeps nothing."""

    def __init__(self, path: str, *, synchronous: str = "NORMAL") -> None:
        self._db: sqlite3.Connection | None = None
        if path == ":memory:":
            return
        try:
            self._db = self._open(path, synchronous)
        except sqlite3.Error as error:
            why = "another process uses it" if "locked" in str(error) else str(error)
            raise StoreFileError(f"{path}: cannot open the cluster's store: {why}") from error

    @staticmethod
    def _open(path: str, synchronous: str) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.5)
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.executescript(_SCHEMA)
        return db

    def load(self) -> tuple[int, Iterator[Row]]:
        """The counter and every object."""
        if self._db is None:
            return 0, iter(())
        (version,) = self._db.execute("SELECT version FROM counter").fetchone()
        rows = self._db.execute("SELECT resource, namespace, name, data FROM objects ORDER BY 1, 2, 3")
        return int(version), iter(rows)

    def commit(self, version: int, upserts: Iterable[Row], deletes: Iterable[Key]) -> None:
        """Write all or nothing; when this returns the change survives the death of the process."""
        if self._db is None:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", upserts)
            self._db.executemany("DELETE FROM objects WHERE resource=? AND namespace=? AND name=?", deletes)
            self._db.execute("UPDATE counter SET version=?", (version,))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise internal(f"the cluster's store could not be written: {error}") from error

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
