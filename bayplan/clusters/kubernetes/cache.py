"""What is known of the API server's objects: the latest version of each, who owns what, and what changed since a look.

Objects are kept as JSON bytes without their managedFields (a third of a pod, read by nobody here). Watches and our own
writes both put objects in; the higher resourceVersion wins, whichever comes first (KEP-5504: they may be compared).
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import msgspec

from bayplan.runtime.objects import Change, Record

Key = tuple[str, str]
"""(namespace, name)"""

TOMBSTONES = 10_000  # deletions remembered per resource, so that the answer to an earlier write brings nothing back
_NOTHING: dict[str, str] = {}


class _Owner(msgspec.Struct, gc=False):
    uid: str = ""


class _Meta(msgspec.Struct, rename="camel", gc=False):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    owner_references: tuple[_Owner, ...] = ()
    deletion_timestamp: str | None = None
    managed_fields: msgspec.Raw = msgspec.Raw()


class Head(msgspec.Struct, rename="camel", gc=False):
    """What has to be known of an object to know whether it is news, and to keep it."""

    metadata: _Meta
    api_version: str = ""

    @property
    def key(self) -> Key:
        return self.metadata.namespace, self.metadata.name

    @property
    def version(self) -> int:
        return int(self.metadata.resource_version or 0)


_HEAD = msgspec.json.Decoder(Head)
head_of = _HEAD.decode
"""Raises msgspec.MsgspecError for what is no object."""


def record_of(resource: str, raw: bytes | msgspec.Raw, api_version: str, kind: str, head: Head | None = None) -> Record:
    """The record of an object as the API server wrote it. Raises msgspec.MsgspecError for what is no object."""
    head = head or head_of(raw)
    meta, body = head.metadata, bytes(raw)
    managed = bytes(meta.managed_fields)
    before, found, after = body.partition(b'"managedFields":' + managed)
    if managed and found:
        body = before.removesuffix(b",") + (after if before.endswith(b",") else after.removeprefix(b","))
    if not head.api_version:  # the items of a list do not say what they are
        body = b'{"apiVersion":"%b","kind":"%b",' % (api_version.encode(), kind.encode()) + body[body.index(b"{") + 1 :]
    return Record(
        resource,
        meta.namespace,
        meta.name,
        meta.uid,
        head.version,
        body,
        _NOTHING,
        _NOTHING,
        tuple([o.uid for o in meta.owner_references]),
        meta.deletion_timestamp is not None,
    )


LOCAL = "local-"


def is_local(record: Record) -> bool:
    """Whether an object lives in this cache alone."""
    return record.uid.startswith(LOCAL)


class Cursor:
    """The changes of some resources since the last look."""

    def __init__(self, cache: Cache, resources: Sequence[str]) -> None:
        self.resources = frozenset(resources)
        self._cache = cache
        self.changes: deque[Change] = deque()

    def poll(self) -> list[Change]:
        with self._cache.lock:
            found = list(self.changes)
            self.changes.clear()
        return found

    def close(self) -> None:
        with self._cache.lock:
            if self in self._cache.cursors:
                self._cache.cursors.remove(self)


class _Table:
    def __init__(self) -> None:
        self.records: dict[Key, Record] = {}
        self.gone: OrderedDict[str, int] = OrderedDict()
        self.version = 0


class Cache:
    """All tables. Thread-safe."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.cursors: list[Cursor] = []
        self.changed = threading.Event()
        self._tables: dict[str, _Table] = {}
        self._owned: dict[str, dict[tuple[str, str, str], None]] = {}

    def find(self, resource: str, key: Key) -> Record | None:
        table = self._tables.get(resource)
        return table.records.get(key) if table else None

    def rows(self, resource: str, namespace: str | None = None) -> tuple[list[Record], int]:
        """The records, of one namespace or all, by namespace and name; and the version they are current at."""
        with self.lock:
            table = self._tables.get(resource) or _Table()
            found = [r for r in table.records.values() if namespace is None or r.namespace == namespace]
            version = table.version
        found.sort(key=_order)
        return found, version

    def owned(self, uid: str) -> list[Record]:
        with self.lock:
            found: list[Record] = []
            for resource, namespace, name in self._owned.get(uid, ()):
                record = self.find(resource, (namespace, name))
                if record is not None:
                    insort(found, record, key=lambda r: r.key)
            return found

    def follow(self, resources: Sequence[str]) -> Cursor:
        with self.lock:
            cursor = Cursor(self, resources)
            self.cursors.append(cursor)
            return cursor

    def put(self, record: Record, *, force: bool = False) -> None:
        """An object as it was at its version; ignored if a later one, or its end, is known."""
        with self.lock:
            table = self._table(record.resource)
            known = table.records.get((record.namespace, record.name))
            if table.gone.get(record.uid, -1) >= record.version:
                return
            if known is not None and known.version >= record.version and not force:
                return
            self._place(table, known, record)

    def drop(self, record: Record) -> None:
        """An object that ended at the version of `record`."""
        with self.lock:
            table = self._table(record.resource)
            _bury(table, record.uid, record.version)
            known = table.records.get((record.namespace, record.name))
            if known is not None and known.uid == record.uid:
                self._remove(table, known, record.version)

    def replace(self, resource: str, listed: Iterable[Record], version: int) -> None:
        """Everything there is of a resource, listed at `version`; what we know to be newer stays."""
        with self.lock:
            table = self._table(resource)
            fresh = {(r.namespace, r.name): r for r in listed}
            for key, known in list(table.records.items()):
                if key not in fresh and known.version <= version and not is_local(known):
                    self._remove(table, known, version)
            for record in fresh.values():
                self.put(record)
            table.version = max(table.version, version)

    def _table(self, resource: str) -> _Table:
        table = self._tables.get(resource)
        if table is None:
            table = self._tables[resource] = _Table()
        return table

    def _place(self, table: _Table, known: Record | None, record: Record) -> None:
        if known is not None and known.uid != record.uid:
            self._remove(table, known, known.version)
            known = None
        if known is not None and known.owners != record.owners:
            self._unlink(known)
        table.records[record.namespace, record.name] = record
        table.version = max(table.version, record.version)
        for owner in record.owners:
            self._owned.setdefault(owner, {})[record.key] = None
        self._tell(Change(record.version, "MODIFIED" if known else "ADDED", record, known))

    def _remove(self, table: _Table, known: Record, version: int) -> None:
        del table.records[known.namespace, known.name]
        table.version = max(table.version, version)
        _bury(table, known.uid, version)
        self._unlink(known)
        self._tell(Change(version, "DELETED", known, known))
        for dependent in self.owned(known.uid):
            if is_local(dependent):  # what lives here alone has no other garbage collector
                self._remove(self._table(dependent.resource), dependent, dependent.version)

    def _unlink(self, record: Record) -> None:
        for owner in record.owners:
            keys = self._owned.get(owner, {})
            keys.pop(record.key, None)
            if not keys:
                self._owned.pop(owner, None)

    def _tell(self, change: Change) -> None:
        for cursor in self.cursors:
            if change.record.resource in cursor.resources:
                cursor.changes.append(change)
        if not self.changed.is_set():
            self.changed.set()


def _bury(table: _Table, uid: str, version: int) -> None:
    table.gone[uid] = version
    if len(table.gone) > TOMBSTONES:
        table.gone.popitem(last=False)


def _order(record: Record) -> Key:
    return record.namespace, record.name
