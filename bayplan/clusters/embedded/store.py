"""The embedded API server's store: objects with the semantics of the Kubernetes API, in process.

This is what the scheduler port, the controllers, the simulated kubelets and the simulator call; the HTTP server is a
thin layer over it. Objects are plain JSON dicts. Resources are named `plural.group` ("pods", "jobs.batch",
"resourceclaims.resource.k8s.io", "workloads.kueue.x-k8s.io").

    store = Store("cluster.db")                                  # or Store() for one that lives in memory
    store.create("pods", "default", {"metadata": {"name": "a"}, "spec": {...}})
    pod = store.get("pods", "default", "a")                      # a fresh copy: change it freely
    pod["metadata"]["labels"] = {"x": "y"}
    store.update("pods", "default", pod)                         # ApiError 409 if someone wrote in between
    store.patch("pods", "default", "a", {"status": {"phase": "Running"}}, subresource="status")
    store.bind("default", "a", "node-1")
    items, version = store.list("pods", label_selector="x=y", field_selector="spec.nodeName=node-1")
    watch = store.watch(["pods", "jobs.batch"], since=version)
    for change in watch.poll():                                  # or watch.wait(timeout_seconds)
        change.type, change.record.name, change.object           # ADDED | MODIFIED | DELETED
    with store.transaction():                                    # one commit, all or nothing
        ...

Rules
- Every method is synchronous, thread-safe (one re-entrant lock) and raises `ApiError` (`status_code`, `reason`).
- What a method returns is the caller's own copy. `list_raw` gives the encoded objects (bytes) for msgspec decoders.
- Cluster-scoped resources take namespace None. A listing with namespace None spans all namespaces.
- A namespace must exist before something is created in it; `default` and `kube-system` always do.
- Kinds with a status subresource keep their status on `update`/`patch`; write it with `update_status` or
  `subresource="status"`, which touches nothing else. `create` drops the status (not for nodes).
- A write that changes nothing is answered and not versioned: no event, so writing the same again is free.
- A pod bound to a node and not finished is only marked by `delete` (deletionTimestamp, grace period): whoever plays
  the kubelet stops it and then calls `delete(..., grace_seconds=0)`, which removes it.
- Dependents (ownerReferences) go with their last owner, in the same transaction.
- When a writing method (or the outermost `transaction()`) returns, the change is committed to SQLite.
- `now` and `uids` are arguments, so a simulated world is repeatable.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from bayplan.clusters.embedded.admission import Admission, Validator
from bayplan.clusters.embedded.builtin import BUILTIN_KINDS
from bayplan.clusters.embedded.crds import CRD_RESOURCE
from bayplan.clusters.embedded.deletion import PERMANENT_NAMESPACES, DeleteOptions, Propagation
from bayplan.clusters.embedded.disk import Disk, Row
from bayplan.clusters.embedded.kinds import Kinds
from bayplan.clusters.embedded.meta import record_of
from bayplan.clusters.embedded.records import Change, Record, Records
from bayplan.clusters.embedded.selectors import field_selector as parse_fields
from bayplan.clusters.embedded.selectors import label_selector as parse_labels
from bayplan.clusters.embedded.watch import Watch
from bayplan.clusters.embedded.writer import PatchKind, Writer
from bayplan.runtime.objects import R, T

Object = dict[str, Any]
# Named here because the class below has a method called list.
ObjectList = list[Object]
RecordList = list[Record]
BytesList = list[bytes]
ChangeList = list[Change]

# Changes remembered per resource: a watcher may be this far behind before it must list anew.
HISTORY_CHANGES = 8192


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _random_uid() -> str:
    return str(uuid.uuid4())


class Store:
    """A Kubernetes API without the network; see the module's docstring for how to use it."""

    atomic = True

    def __init__(
        self,
        path: str = ":memory:",
        *,
        now: Callable[[], datetime] = _utc_now,
        uids: Callable[[], str] = _random_uid,
        validators: Sequence[Validator] = (),
        history_changes: int = HISTORY_CHANGES,
        synchronous: str = "NORMAL",
    ) -> None:
        """Open or create the cluster kept at `path`; StoreFileError when the file is in use or unreadable."""
        self.now = now
        self.kinds = Kinds(BUILTIN_KINDS)
        disk = Disk(path, synchronous=synchronous)
        version, rows = disk.load()
        self._records = Records(disk, version, history_changes)
        self._writer = Writer(self._records, self.kinds, Admission(self._records, validators), now, uids)
        self._restore(list(rows))
        self._create_namespaces()

    def close(self) -> None:
        self._records.close()

    @property
    def version(self) -> int:
        """The resourceVersion of the latest write."""
        return self._records.version

    # -- reading ---------------------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str | None, name: str) -> Object:
        """A copy of the object; ApiError 404."""
        return self.record(resource, namespace, name).decode()

    def find(self, resource: str, namespace: str | None, name: str) -> Object | None:
        """A copy of the object, or None."""
        self.kinds.of(resource)
        record = self._records.find(resource, namespace or "", name)
        return record.decode() if record else None

    def record(self, resource: str, namespace: str | None, name: str) -> Record:
        """The stored record (bytes, labels, version) without decoding it; ApiError 404."""
        return self._writer.record(self.kinds.of(resource), namespace or "", name)

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[ObjectList, int]:
        """Copies of the matching objects ordered by namespace and name, and the version they are current at."""
        found, version = self.rows(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        return [record.decode() for record in found], version

    def list_raw(self, resource: str, namespace: str | None = None) -> tuple[BytesList, int]:
        """As `list`, but each object as its JSON bytes: for typed decoders, without building dicts."""
        found, version = self.rows(resource, namespace)
        return [record.raw for record in found], version

    def rows(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> tuple[RecordList, int]:
        """As `list`, but the stored records."""
        kind = self.kinds.of(resource)
        labels = parse_labels(label_selector) if label_selector else None
        fields = parse_fields(field_selector, kind.fields, kind.kind) if field_selector else None
        with self._records.lock:
            found, version = self._records.rows(resource, namespace or None), self._records.version
        if labels:
            found = [record for record in found if labels(record.labels)]
        if fields:
            found = [record for record in found if fields(record.fields)]
        return found, version

    def owned(self, uid: str) -> RecordList:
        """Every record with an ownerReference to `uid`, of any resource."""
        with self._records.lock:
            return self._records.owned_by(uid)

    # -- following -------------------------------------------------------------------------------------------

    def watch(self, resources: Sequence[str], since: int | None = None) -> Watch:
        """Changes of `resources` after version `since` (None: from now on)."""
        for resource in resources:
            self.kinds.of(resource)
        return Watch(self._records, resources, since)

    def changes(self, resource: str, since: int) -> tuple[ChangeList, int]:
        """Changes of one resource after `since`, oldest first, and the version they reach; ApiError 410."""
        with self._records.lock:
            return self._records.changes(resource, since), self._records.committed

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call `callback(version)` after every commit, under the lock: only wake something up. Returns a stop."""
        return self._records.listen(callback)

    def compact(self) -> None:
        """Forget the history: watches from before now get ApiError 410."""
        self._records.compact()

    # -- writing ---------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, dry_run: bool = False) -> Iterator[None]:
        """Several writes, one commit; an exception undoes them all, `dry_run` does so at the end."""
        with self._records.lock:
            revision = self.kinds.revision
            try:
                with self._records.transaction(dry_run=dry_run):
                    yield
                undone = dry_run
            except BaseException:
                undone = True
                raise
            finally:
                if undone and self.kinds.revision != revision:
                    self._writer.register_custom_kinds()

    @staticmethod
    def each(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """One item after the other: a store in this process gains nothing from doing several at once."""
        return map(work, items)

    def create(
        self,
        resource: str,
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Store a new object; ApiError 404 (namespace), 409 AlreadyExists, 422 Invalid."""
        kind = self.kinds.of(resource)
        with self.transaction(dry_run=dry_run):
            return self._writer.create(kind, namespace, obj, manager).decode()

    def update(
        self,
        resource: str,
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Replace the object; with a resourceVersion in it, ApiError 409 unless that is the stored one."""
        kind = self.kinds.of(resource)
        with self.transaction(dry_run=dry_run):
            return self._writer.update(kind, namespace, obj, subresource, manager).decode()

    def update_status(self, resource: str, namespace: str | None, obj: Mapping[str, Any], **options: Any) -> Object:
        """Replace only the status with the one in `obj`."""
        return self.update(resource, namespace, obj, subresource="status", **options)

    def patch(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        patch: Any,
        kind: PatchKind = "merge",
        *,
        subresource: str = "",
        manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Record:
        """Change part of an object against its current state, so no conflict unless the patch names a version.

        `kind="apply"` is server-side apply by `manager` (it creates what does not exist); ApiError 409 names the
        managers in the way unless `force`. Strategic merge is for built-in kinds only: ApiError 415.
        """
        described, writer = self.kinds.of(resource), self._writer
        with self.transaction(dry_run=dry_run):
            if kind == "apply":
                return writer.apply(described, namespace, name, patch, subresource, manager, force)
            return writer.patch(described, namespace or "", name, patch, kind, subresource, manager)

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        propagation: Propagation = "Background",
        uid: str | None = None,
        version: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Mark or remove an object and what depends on it; returns its last state. `uid` and `version` must match."""
        kind = self.kinds.of(resource)
        with self.transaction(dry_run=dry_run):
            options = DeleteOptions(grace_seconds, propagation, uid, version)
            return self._writer.delete(kind, namespace or "", name, options).decode()

    def bind(self, namespace: str, name: str, node: str, *, annotations: Mapping[str, str] | None = None) -> Object:
        """Give a pod its node (the binding subresource); ApiError 409 when it has one or is being deleted."""
        with self.transaction():
            return self._writer.bind(self.kinds.of("pods"), namespace, name, node, annotations).decode()

    # -- opening ---------------------------------------------------------------------------------------------

    def _restore(self, rows: Sequence[Row]) -> None:
        """Take in what the file holds, definitions first: they say what the rest is."""
        for definitions in (True, False):
            for resource, _, _, raw in rows:
                if (resource == CRD_RESOURCE) is definitions and resource in self.kinds:
                    self._records.restore(record_of(self.kinds.of(resource), msgspec.json.decode(raw), raw))
            self._writer.register_custom_kinds()

    def _create_namespaces(self) -> None:
        with self.transaction():
            for name in PERMANENT_NAMESPACES:
                if self._records.find("namespaces", "", name) is None:
                    self.create("namespaces", None, {"metadata": {"name": name}})
