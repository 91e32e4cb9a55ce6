"""Encoded objects in memory, written through to disk, with transactions and a bounded history of changes.

This layer knows keys, versions and bytes, and nothing of Kubernetes semantics. Objects are kept as JSON bytes:
a list is a join of bytes, a reader gets a copy of its own, and the garbage collector has no object graph to walk.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bayplan.clusters.embedded.disk import Disk, Key
from bayplan.clusters.embedded.errors import gone
from bayplan.runtime.objects import Change as Change
from bayplan.runtime.objects import ChangeType
from bayplan.runtime.objects import Record as Record


class _Table:
    """The records of one resource, in (namespace, name) order, and its recent changes."""

    def __init__(self, forgotten: int) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self.keys: list[tuple[str, str]] = []
        self.history: list[Change] = []
        self.forgotten = forgotten

    def put(self, record: Record) -> None:
        key = (record.namespace, record.name)
        if key not in self.records:
            insort(self.keys, key)
        self.records[key] = record

    def remove(self, namespace: str, name: str) -> None:
        key = (namespace, name)
        del self.records[key]
        del self.keys[bisect_left(self.keys, key)]

    def remember(self, change: Change, limit: int) -> None:
        self.history.append(change)
        if len(self.history) > 2 * limit:
            dropped = len(self.history) - limit
            self.forgotten = self.history[dropped - 1].version
            del self.history[:dropped]


class Records:
    """All records by resource; every write happens inside `transaction()`."""

    def __init__(self, disk: Disk, version: int, history_limit: int) -> None:
        self.lock = threading.RLock()
        self.version = version
        self.committed = version
        self._opened_at = version
        self._disk = disk
        self._history_limit = history_limit
        self._tables: dict[str, _Table] = {}
        self._keys: dict[str, Key] = {}
        self._owned: dict[str, dict[Key, None]] = {}
        self._pending: list[Change] = []
        self._depth = 0
        self._listeners: list[Callable[[int], None]] = []

    # -- reading ---------------------------------------------------------------------------------------------

    def find(self, resource: str, namespace: str, name: str) -> Record | None:
        table = self._tables.get(resource)
        return table.records.get((namespace, name)) if table else None

    def rows(self, resource: str, namespace: str | None = None) -> list[Record]:
        """All records of a resource, or those of one namespace, ordered by namespace and name."""
        with self.lock:
            table = self._tables.get(resource)
            if table is None:
                return []
            keys = table.keys
            if namespace is not None:
                keys = keys[bisect_left(keys, (namespace, "")) : bisect_left(keys, (namespace + "\0", ""))]
            records = table.records
            return [records[key] for key in keys]

    def resources(self) -> list[str]:
        return sorted(self._tables)

    def by_uid(self, uid: str) -> Record | None:
        key = self._keys.get(uid)
        return self.find(*key) if key else None

    def owned_by(self, uid: str) -> list[Record]:
        """The records that name `uid` among their owners, ordered by key."""
        found = [self.find(*key) for key in sorted(self._owned.get(uid, ()))]
        return [record for record in found if record is not None]

    # -- writing ---------------------------------------------------------------------------------------------

    def restore(self, record: Record) -> None:
        """Take in an object that was read from disk: no change, no history."""
        self._place(record)

    @contextmanager
    def transaction(self, *, dry_run: bool = False) -> Iterator[None]:
        """All writes inside are committed together; an exception, or `dry_run`, undoes those of this block."""
        with self.lock:
            mark, version = len(self._pending), self.version
            self._depth += 1
            try:
                yield
                if self._depth == 1 and not dry_run:
                    self._commit()
            except BaseException:
                self._undo(mark, version)
                raise
            finally:
                self._depth -= 1
            if dry_run:
                self._undo(mark, version)

    def next_version(self) -> int:
        assert self._depth, "writes happen inside transaction()"
        self.version += 1
        return self.version

    def put(self, record: Record) -> None:
        previous = self.find(*record.key)
        self._place(record)
        kind: ChangeType = "MODIFIED" if previous else "ADDED"
        self._pending.append(Change(record.version, kind, record, previous))

    def remove(self, final: Record) -> None:
        """Take an object out; `final` is its last state, carrying the version of the deletion."""
        previous = self.find(*final.key)
        assert previous is not None and self._depth
        self._displace(previous)
        self._pending.append(Change(final.version, "DELETED", final, previous))

    def _place(self, record: Record) -> None:
        table = self._tables.get(record.resource)
        if table is None:
            table = self._tables[record.resource] = _Table(self._opened_at)
        previous = table.records.get((record.namespace, record.name))
        if previous is not None and previous.owners != record.owners:
            self._unlink(previous)
        table.put(record)
        self._keys[record.uid] = record.key
        for owner in record.owners:
            self._owned.setdefault(owner, {})[record.key] = None

    def _displace(self, record: Record) -> None:
        self._tables[record.resource].remove(record.namespace, record.name)
        self._keys.pop(record.uid, None)
        self._unlink(record)

    def _unlink(self, record: Record) -> None:
        for owner in record.owners:
            keys = self._owned.get(owner, {})
            keys.pop(record.key, None)
            if not keys:
                self._owned.pop(owner, None)

    def _undo(self, mark: int, version: int) -> None:
        for change in reversed(self._pending[mark:]):
            if change.type != "DELETED":
                self._displace(change.record)
            if change.previous is not None:
                self._place(change.previous)
        del self._pending[mark:]
        self.version = version

    def _commit(self) -> None:
        changes = self._pending
        if not changes:
            return
        last = {change.record.key: change for change in changes}
        upserts = [(*key, change.record.raw) for key, change in last.items() if change.type != "DELETED"]
        deletes = [key for key, change in last.items() if change.type == "DELETED"]
        self._disk.commit(self.version, upserts, deletes)
        self._pending = []
        self.committed = self.version
        for change in changes:
            self._tables[change.record.resource].remember(change, self._history_limit)
        for listener in list(self._listeners):
            listener(self.version)

    # -- following -------------------------------------------------------------------------------------------

    def changes(self, resource: str, since: int, limit: int | None = None) -> list[Change]:
        """Changes of a resource after version `since`, oldest first; ApiError 410 when they are forgotten."""
        with self.lock:
            table = self._tables.get(resource)
            if since < (table.forgotten if table else self._opened_at):
                raise gone(f"too old resource version: {since} ({self.version})")
            if table is None:
                return []
            start = bisect_right(table.history, since, key=lambda change: change.version)
            return table.history[start : None if limit is None else start + limit]

    def compact(self) -> None:
        """Forget all history up to now: older watches get 410 Gone and list anew."""
        with self.lock:
            self._opened_at = self.version
            for table in self._tables.values():
                table.history.clear()
                table.forgotten = self.version

    def listen(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call `callback(version)` after every commit, under the lock: it must be quick. Returns how to stop."""
        with self.lock:
            self._listeners.append(callback)

        def stop() -> None:
            with self.lock:
                if callback in self._listeners:
                    self._listeners.remove(callback)

        return stop

    def close(self) -> None:
        with self.lock:
            self._disk.close()


def field_values(obj: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, str]:
    """The values at dotted `paths` as field selectors compare them; absent ones are left out (they equal "")."""
    found: dict[str, str] = {}
    for path in paths:
        value: Any = obj
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and not isinstance(value, (dict, list)):
            found[path] = str(value).lower() if isinstance(value, bool) else str(value)
    return found
