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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from bayplan.clusters.embedded import apply as server_side
from bayplan.clusters.embedded import errors
from bayplan.clusters.embedded.admission import Admission, Validator
from bayplan.clusters.embedded.builtin import BUILTIN_KINDS
from bayplan.clusters.embedded.crds import CRD_RESOURCE, kind_of_crd, with_established_status
from bayplan.clusters.embedded.deletion import PERMANENT_NAMESPACES, Collector, DeleteOptions, Propagation
from bayplan.clusters.embedded.disk import Disk, Row
from bayplan.clusters.embedded.kinds import Kind, Kinds
from bayplan.clusters.embedded.listrules import rules_of
from bayplan.clusters.embedded.meta import kept_metadata, new_metadata, record_of, set_condition, timestamp
from bayplan.clusters.embedded.patch import json_patch, merge_patch
from bayplan.clusters.embedded.records import Change, Record, Records
from bayplan.clusters.embedded.selectors import field_selector as parse_fields
from bayplan.clusters.embedded.selectors import label_selector as parse_labels
from bayplan.clusters.embedded.strategic import strategic_merge
from bayplan.clusters.embedded.watch import Watch

Object = dict[str, Any]
# Named here because the class below has a method called list.
ObjectList = list[Object]
RecordList = list[Record]
BytesList = list[bytes]
ChangeList = list[Change]
PatchKind = Literal["merge", "json", "strategic", "apply"]

# Changes remembered per resource: a watcher may be this far behind before it must list anew.
HISTORY_CHANGES = 8192
_KEEPS_STATUS_ON_CREATE = ("nodes", "persistentvolumes", CRD_RESOURCE)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _random_uid() -> str:
    return str(uuid.uuid4())


class Store:
    """A Kubernetes API without the network; see the module's docstring for how to use it."""

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
        self._uids = uids
        disk = Disk(path, synchronous=synchronous)
        version, rows = disk.load()
        self._records = Records(disk, version, history_changes)
        self._admission = Admission(self._records, validators)
        self._collector = Collector(self._records, self.kinds, self._save, self._seal, now, self._after_removal)
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
        self.kinds.of(resource)
        record = self._records.find(resource, namespace or "", name)
        if record is None:
            raise errors.not_found(resource, name)
        return record

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
                    self._register_custom_kinds()

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
        fresh = self._own_copy(kind, obj)
        space = self._namespace_of(kind, namespace, fresh["metadata"])
        with self.transaction(dry_run=dry_run):
            meta = new_metadata(kind, fresh["metadata"], space, self._uids, timestamp(self.now()))
            meta.pop("managedFields", None)
            fresh["metadata"] = meta
            return self._insert(kind, space, fresh, manager).decode()

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
        fresh = self._own_copy(kind, obj)
        space = self._namespace_of(kind, namespace, fresh["metadata"])
        with self.transaction(dry_run=dry_run):
            record = self.record(resource, space, str(fresh["metadata"].get("name", "")))
            return self._replace(kind, record, fresh, subresource, manager).decode()

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
    ) -> Object:
        """Change part of an object against its current state, so no conflict unless the patch names a version.

        `kind="apply"` is server-side apply by `manager` (it creates what does not exist); ApiError 409 names the
        managers in the way unless `force`. Strategic merge is for built-in kinds only: ApiError 415.
        """
        described = self.kinds.of(resource)
        with self.transaction(dry_run=dry_run):
            if kind == "apply":
                return self._apply(described, namespace, name, patch, subresource, manager, force).decode()
            record = self.record(resource, namespace, name)
            patched = self._own_copy(described, self._patched(described, record.decode(), patch, kind))
            return self._replace(described, record, patched, subresource, manager).decode()

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
            record = self.record(resource, namespace, name)
            options = DeleteOptions(grace_seconds, propagation, uid, version)
            return self._collector.delete(kind, record, options).decode()

    def bind(self, namespace: str, name: str, node: str, *, annotations: Mapping[str, str] | None = None) -> Object:
        """Give a pod its node (the binding subresource); ApiError 409 when it has one or is being deleted."""
        with self.transaction():
            record = self.record("pods", namespace, name)
            pod = record.decode()
            if pod["spec"].get("nodeName"):
                why = f"pod {name} is already assigned to node {pod['spec']['nodeName']!r}"
                raise errors.conflict("pods/binding", name, why)
            if record.deleting:
                raise errors.conflict("pods/binding", name, f"pod {name} is being deleted, cannot be assigned")
            pod["spec"]["nodeName"] = node
            if annotations:
                pod["metadata"]["annotations"] = (pod["metadata"].get("annotations") or {}) | dict(annotations)
            set_condition(pod, "PodScheduled", "True", timestamp(self.now()))
            return self._save(self.kinds.of("pods"), pod).decode()

    # -- inside ----------------------------------------------------------------------------------------------

    @staticmethod
    def _own_copy(kind: Kind, obj: Mapping[str, Any]) -> Object:
        """A deep copy with apiVersion, kind and metadata in front."""
        copied: Object = msgspec.json.decode(msgspec.json.encode(obj))
        version = copied.pop("apiVersion", None) or kind.api_version()
        named = copied.pop("kind", None) or kind.kind
        meta = copied.pop("metadata", None) or {}
        if named != kind.kind or version not in [kind.api_version(each) for each in kind.versions]:
            raise errors.bad_request(
                f"the object is a {version} {named}, but {kind.resource} holds {kind.api_version()} {kind.kind}"
            )
        if not isinstance(meta, dict):
            raise errors.bad_request("metadata: expected an object")
        return {"apiVersion": version, "kind": named, "metadata": meta, **copied}

    @staticmethod
    def _namespace_of(kind: Kind, namespace: str | None, meta: Mapping[str, Any]) -> str:
        if not kind.namespaced:
            return ""
        sent = meta.get("namespace")
        if namespace and sent and sent != namespace:
            raise errors.bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request ({sent},"
                f" {namespace})"
            )
        return namespace or sent or "default"

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        record = self._records.find("namespaces", "", namespace)
        if record is None:
            raise errors.not_found("namespaces", namespace)
        if record.deleting:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(kind.resource, name, why)

    def _insert(self, kind: Kind, namespace: str, fresh: Object, manager: str) -> Record:
        """Store a new object whose metadata is complete."""
        name = str(fresh["metadata"].get("name", ""))
        self._check_namespace(kind, namespace, name)
        if self._records.find(kind.resource, namespace, name):
            raise errors.already_exists(kind.resource, name)
        if kind.status and kind.resource not in _KEEPS_STATUS_ON_CREATE:
            fresh.pop("status", None)
        fresh = self._admission.admit(kind, fresh, None)
        if "spec" in fresh:
            fresh["metadata"]["generation"] = 1
        if "managedFields" not in fresh["metadata"]:
            rules = rules_of(kind, fresh["apiVersion"])
            server_side.track(None, fresh, rules, manager, "", timestamp(self.now()))
        return self._save(kind, fresh)

    @staticmethod
    def _patched(kind: Kind, current: Object, patch: Any, how: PatchKind) -> Object:
        if how == "strategic":
            if not kind.builtin_schema:
                raise errors.unsupported_media(
                    f"strategic merge patch is not supported for {kind.resource}; use a merge patch (--type=merge)"
                )
            if not isinstance(patch, Mapping):
                raise errors.bad_request("a strategic merge patch is an object")
            patched = strategic_merge(current, patch, rules_of(kind, current["apiVersion"]))
        else:
            patched = json_patch(current, patch) if how == "json" else merge_patch(current, patch)
        if not isinstance(patched, dict):
            raise errors.bad_request("the patch does not leave an object")
        return patched

    def _apply(
        self, kind: Kind, namespace: str | None, name: str, sent: Any, subresource: str, manager: str, force: bool
    ) -> Record:
        if not manager:
            raise errors.invalid("PatchOptions", "meta.k8s.io", "", [errors.missing("fieldManager", "for apply patch")])
        if not isinstance(sent, Mapping):
            raise errors.bad_request("an apply patch is an object")
        applied = self._own_copy(kind, sent)
        space = self._namespace_of(kind, namespace, applied["metadata"])
        if applied["metadata"].setdefault("name", name) != name:
            raise errors.bad_request(f"the name in the object ({applied['metadata']['name']}) is not {name}")
        if subresource == "status":
            applied = {key: applied[key] for key in ("apiVersion", "kind", "metadata", "status") if key in applied}
        elif kind.status:
            applied.pop("status", None)
        record = self._records.find(kind.resource, space, name)
        if record is None and subresource:
            raise errors.not_found(kind.resource, name)
        now = timestamp(self.now())
        merged = server_side.apply(
            record.decode() if record else None,
            applied,
            rules_of(kind, applied["apiVersion"]),
            manager=manager,
            subresource=subresource,
            force=force,
            now=now,
        )
        if record is not None:
            return self._replace(kind, record, merged, subresource, manager, attributed=True)
        if merged["metadata"].get("resourceVersion") or merged["metadata"].get("uid"):
            raise errors.conflict(kind.resource, name, "the object to be applied does not exist (any more)")
        merged["metadata"] = new_metadata(kind, merged["metadata"], space, self._uids, now)
        return self._insert(kind, space, merged, manager)

    def _replace(
        self, kind: Kind, record: Record, sent: Object, subresource: str, manager: str, *, attributed: bool = False
    ) -> Record:
        old = record.decode()
        meta = sent["metadata"]
        if meta.get("resourceVersion") not in (None, "", str(record.version)):
            raise errors.stale(kind.resource, record.name)
        if meta.get("uid") not in (None, "", record.uid):
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {record.uid}"
            raise errors.conflict(kind.resource, record.name, why)
        if subresource == "status":
            fresh = {key: value for key, value in old.items() if key != "status"}
            fresh |= {"status": sent["status"]} if "status" in sent else {}
            if attributed:
                fresh["metadata"] = old["metadata"] | {"managedFields": meta["managedFields"]}
        else:
            fresh = sent | {"metadata": kept_metadata(old["metadata"], meta)}
            if kind.status:
                fresh.pop("status", None)
                fresh |= {"status": old["status"]} if "status" in old else {}
        fresh = self._admission.admit(kind, fresh, old, subresource)
        if fresh.get("spec") != old.get("spec") and "spec" in fresh:
            fresh["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if fresh == old:
            return record
        if not attributed:
            rules = rules_of(kind, fresh["apiVersion"])
            server_side.track(old, fresh, rules, manager, subresource, timestamp(self.now()))
        saved = self._save(kind, fresh)
        return self._collector.settle(saved) if saved.deleting else saved

    def _save(self, kind: Kind, obj: Object) -> Record:
        """Encode with a new resourceVersion and store."""
        if kind.resource == CRD_RESOURCE:
            obj = with_established_status(obj, timestamp(self.now()))
            self.kinds.add(kind_of_crd(obj))
        record = self._seal(kind, obj)
        self._records.put(record)
        return record

    def _seal(self, kind: Kind, obj: Object) -> Record:
        obj["metadata"]["resourceVersion"] = str(self._records.next_version())
        return record_of(kind, obj, msgspec.json.encode(obj))

    def _after_removal(self, final: Record) -> None:
        """With a definition go its objects, finalizers or not, and the kind."""
        if final.resource == CRD_RESOURCE:
            kind = kind_of_crd(final.decode())
            for record in self._records.rows(kind.resource):
                self._records.remove(self._seal(kind, record.decode()))
            self.kinds.remove(kind.resource)

    def _register_custom_kinds(self) -> None:
        for kind in self.kinds:
            if kind.custom:
                self.kinds.remove(kind.resource)
        for record in self._records.rows(CRD_RESOURCE):
            self.kinds.add(kind_of_crd(record.decode()))

    def _restore(self, rows: Sequence[Row]) -> None:
        """Take in what the file holds, definitions first: they say what the rest is."""
        for definitions in (True, False):
            for resource, _, _, raw in rows:
                if (resource == CRD_RESOURCE) is definitions and resource in self.kinds:
                    self._records.restore(record_of(self.kinds.of(resource), msgspec.json.decode(raw), raw))
            self._register_custom_kinds()

    def _create_namespaces(self) -> None:
        with self.transaction():
            for name in PERMANENT_NAMESPACES:
                if self._records.find("namespaces", "", name) is None:
                    self.create("namespaces", None, {"metadata": {"name": name}})
