"""The mirror: API objects in, Snapshots out, each changed object read once and every other one shared.

An object whose decision-relevant fields did not change keeps its instance, resourceVersion included: a Workload's
`resource_version` is that of the last change a decision could see, and what makes a plan stale is exactly such a
change. Objects that do not have the shape of their kind stay out and are listed in `problems`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bayplan.model.snapshot import Snapshot
from bayplan.model.table import Line
from bayplan.model.workload import Pod, Workload
from bayplan.wire.devices import resource_claim_template
from bayplan.wire.errors import Malformed
from bayplan.wire.kinds import READERS
from bayplan.wire.names import IS_GROUP_WORKLOAD
from bayplan.wire.names import WORKLOAD as WORKLOAD_NAME
from bayplan.wire.podgroups import Gang, pod_group
from bayplan.wire.pods import PodObject, pod
from bayplan.wire.read import Json, parsed, read
from bayplan.wire.workload import Context, WorkloadObject, claims_named, workload
from bayplan.workloads.podgroup import group_name, role

GroupKind = tuple[str, str]

POD: GroupKind = ("", "Pod")
WORKLOAD: GroupKind = ("kueue.x-k8s.io", "Workload")
_CLAIM_TEMPLATE: GroupKind = ("resource.k8s.io", "ResourceClaimTemplate")
_POD_GROUP: GroupKind = ("scheduling.k8s.io", "PodGroup")
_RUNTIMES: tuple[GroupKind, ...] = (
    ("trainer.kubeflow.org", "ClusterTrainingRuntime"),
    ("trainer.kubeflow.org", "TrainingRuntime"),
)
KINDS: tuple[GroupKind, ...] = (*READERS, _CLAIM_TEMPLATE, _POD_GROUP, WORKLOAD, POD, *_RUNTIMES)
"""Everything a mirror takes in, in the order in which a first reading is cheapest."""

_TUPLES = ("slices", "taint_rules")
_LINES = ("pods", "claims")
"""What there is too much of to put it in order at every change."""
_OF_CONTEXT = ("priority_classes", "workload_priority_classes")


class Mirror:
    """What is known of one cluster. `put` and `drop` as objects change, `snapshot` when a decision is due."""

    def __init__(self) -> None:
        self.problems: dict[str, Malformed] = {}
        self._parts: dict[str, dict[str, Any]] = {name: {} for name, _ in READERS.values()}
        self._parts |= {"pods": {}, "workloads": {}}
        self._dirty: dict[str, dict[str, None]] = {}
        self._lines: dict[str, Line[Any]] = {name: Line() for name in _LINES}
        self._templates: dict[str, Any] = {}
        self._groups = _Groups()
        self._runtimes: dict[str, Json] = {}
        self._workloads = _Workloads()
        self._pods = _Pods()
        self._snapshot = Snapshot()
        self._version = ""

    def put(self, kind: GroupKind, key: str, source: bytes | Json, version: str = "") -> None:
        """An object as it is now; `version` is the cluster's resourceVersion."""
        self._version = version or self._version
        self.problems.pop(_named(kind, key), None)
        try:
            self._put(kind, key, source)
        except Malformed as error:
            self._forget(kind, key)
            self.problems[_named(kind, key)] = error

    def drop(self, kind: GroupKind, key: str, version: str = "") -> None:
        """An object that is gone."""
        self._version = version or self._version
        self.problems.pop(_named(kind, key), None)
        self._forget(kind, key)

    def snapshot(self) -> Snapshot:
        """The cluster now; the same instance as before if nothing that matters changed."""
        self._read_workloads()
        self._read_pods()
        if self._dirty:
            changes = {name: self._rendered(name, keys) for name, keys in self._dirty.items()}
            self._snapshot = self._snapshot.replace(**changes, revision=self._version)
            self._dirty.clear()
        return self._snapshot

    def context(self) -> Context:
        """What templates and priorities refer to."""
        return Context(
            claim_templates=self._templates,
            priority_classes=self._parts["priority_classes"],
            workload_priority_classes=self._parts["workload_priority_classes"],
            training_runtimes=self._runtimes,
            claims=self._parts["claims"],
            pod_groups=self._groups.objects,
        )

    # --- taking in -----------------------------------------------------------------------------------------------

    def _put(self, kind: GroupKind, key: str, source: bytes | Json) -> None:
        if kind == POD:
            self._pods.put(key, read(source, PodObject))
        elif kind == WORKLOAD:
            for uid in self._workloads.put(key, read(source, WorkloadObject)):
                self._pods.touch(uid)
        elif kind == _CLAIM_TEMPLATE:
            self._templates[key] = resource_claim_template(source)
            self._workloads.touch(key)
        elif kind == _POD_GROUP:
            if self._groups.put(key, pod_group(source)):
                self._workloads.touch(key)
        elif kind in _RUNTIMES:
            self._runtimes[key] = parsed(source)
        else:
            field, reader = READERS[kind]
            self._set(field, key, reader(source))

    def _forget(self, kind: GroupKind, key: str) -> None:
        if kind == POD:
            self._pods.drop(key)
        elif kind == WORKLOAD:
            for uid in self._workloads.drop(key):
                self._pods.touch(uid)
        elif kind == _CLAIM_TEMPLATE:
            self._templates.pop(key, None)
            self._workloads.touch(key)
        elif kind == _POD_GROUP:
            if self._groups.drop(key):
                self._workloads.touch(key)
        elif kind in _RUNTIMES:
            self._runtimes.pop(key, None)
        else:
            self._unset(READERS[kind][0], key)

    def _set(self, field: str, key: str, fresh: Any) -> None:
        part = self._parts[field]
        if key in part and _equal(part[key], fresh):
            return
        part[key] = fresh
        self._dirty.setdefault(field, {})[key] = None
        if field in _OF_CONTEXT:
            self._workloads.touch_all()
        elif field == "claims":
            self._touch_claim(key)

    def _unset(self, field: str, key: str) -> None:
        if self._parts[field].pop(key, None) is not None:
            self._dirty.setdefault(field, {})[key] = None
            if field in _OF_CONTEXT:
                self._workloads.touch_all()
            elif field == "claims":
                self._touch_claim(key)

    def _touch_claim(self, key: str) -> None:
        self._workloads.touch(key)
        group = self._groups.of_claim.get(key)
        if group is not None:
            self._workloads.touch(group)

    # --- what refers to other objects ----------------------------------------------------------------------------

    def _read_workloads(self) -> None:
        context = self.context()
        for key, obj in self._workloads.stale():
            if obj is None or obj.finished or obj.metadata.deletion_timestamp:
                self._unset("workloads", key)
                continue
            try:
                self._set("workloads", key, workload(obj, context))
            except Malformed as error:
                self._unset("workloads", key)
                self.problems[_named(WORKLOAD, key)] = error

    def _read_pods(self) -> None:
        for key, obj in self._pods.stale():
            if obj is None or obj.ended:
                self._unset("pods", key)
                continue
            try:
                self._set("pods", key, self._member(obj, pod(obj)))
            except Malformed as error:
                self._unset("pods", key)
                self.problems[_named(POD, key)] = error

    def _member(self, obj: PodObject, read_: Pod) -> Pod:
        """The pod with its place in the Workload it belongs to."""
        owner = self._workloads.of_owners(_owner_uids(obj))
        owning = self._workloads.objects.get(owner)
        if owning is None:
            return read_
        counts = owning.counts()
        pod_set = read_.pod_set or (next(iter(counts)) if len(counts) == 1 else role(obj))
        # A Job's completion index is a rank only while all its pods run at once: a job that runs more pods than at
        # once, or of which some have ended, has indexes beyond its count.
        index = read_.index if read_.index < counts.get(pod_set, 0) else -1
        return msgspec.structs.replace(read_, workload=owner, pod_set=pod_set, index=index)

    # --- giving out ----------------------------------------------------------------------------------------------

    def _rendered(self, field: str, changed: Iterable[str]) -> Any:
        part = self._parts[field]
        if field in _LINES:
            return self._lines[field].next({key: part.get(key) for key in changed})
        ordered = dict(sorted(part.items()))
        return tuple(ordered.values()) if field in _TUPLES else ordered


class _Groups:
    """PodGroups, and whose the claims are that were made for one."""

    def __init__(self) -> None:
        self.objects: dict[str, Gang] = {}
        self.of_claim: dict[str, str] = {}

    def put(self, key: str, gang: Gang) -> bool:
        """Takes the group in; whether that changes what the claims of its pods are."""
        before = self.objects.get(key)
        if before == gang:
            return False
        self.drop(key)
        self.objects[key] = gang
        self.of_claim.update({gang.claim(c): key for c in gang.claims})
        return bool(gang.claims or (before and before.claims))

    def drop(self, key: str) -> bool:
        gone = self.objects.pop(key, None)
        if gone is None:
            return False
        for claim in gone.claims:
            self.of_claim.pop(gone.claim(claim), None)
        return bool(gone.claims)


class _Workloads:
    """Workload objects, whose owners they have, and which refer to a claim or a template."""

    def __init__(self) -> None:
        self.objects: dict[str, WorkloadObject] = {}
        self._stale: dict[str, None] = {}
        self._by_owner: dict[str, str] = {}
        self._naming: dict[str, dict[str, None]] = {}

    def put(self, key: str, obj: WorkloadObject) -> Iterable[str]:
        """Takes the object in; yields the owners whose pods may now belong elsewhere."""
        before = self.objects.get(key)
        self.objects[key] = obj
        self._stale[key] = None
        if before is not None and _names_the_same(before, obj):
            return ()
        uids = _references(obj)
        known = _references(before) if before else ()
        if before:
            self._unlink(key, before)
        for uid in uids:
            self._by_owner[uid] = key
        for named in claims_named(obj):
            self._naming.setdefault(named, {})[key] = None
        return uids + known

    def drop(self, key: str) -> Iterable[str]:
        obj = self.objects.pop(key, None)
        if obj is None:
            return ()
        self._stale[key] = None
        self._unlink(key, obj)
        return _references(obj)

    def _unlink(self, key: str, obj: WorkloadObject) -> None:
        for uid in _references(obj):
            if self._by_owner.get(uid) == key:
                del self._by_owner[uid]
        for named in claims_named(obj):
            self._naming.get(named, {}).pop(key, None)

    def of_owners(self, uids: Iterable[str]) -> str:
        return next((self._by_owner[uid] for uid in uids if uid in self._by_owner), "")

    def touch(self, named: str) -> None:
        """A claim or template changed: whoever names it is read anew."""
        self._stale.update(self._naming.get(named, {}))

    def touch_all(self) -> None:
        self._stale.update(dict.fromkeys(self.objects))

    def stale(self) -> list[tuple[str, WorkloadObject | None]]:
        found = [(key, self.objects.get(key)) for key in self._stale]
        self._stale.clear()
        return found


class _Pods:
    """Pod objects, and the uids through which a Workload may own them."""

    def __init__(self) -> None:
        self.objects: dict[str, PodObject] = {}
        self._stale: dict[str, None] = {}
        self._by_uid: dict[str, dict[str, None]] = {}

    def put(self, key: str, obj: PodObject) -> None:
        before = self.objects.get(key)
        if before is None or not _owned_by_the_same(before, obj):
            self.drop(key)
            for uid in _owner_uids(obj):
                self._by_uid.setdefault(uid, {})[key] = None
        self.objects[key] = obj
        self._stale[key] = None

    def drop(self, key: str) -> None:
        obj = self.objects.pop(key, None)
        self._stale[key] = None
        for uid in _owner_uids(obj) if obj else ():
            keys = self._by_uid.get(uid, {})
            keys.pop(key, None)
            if not keys:
                self._by_uid.pop(uid, None)

    def touch(self, uid: str) -> None:
        self._stale.update(self._by_uid.get(uid, {}))

    def stale(self) -> list[tuple[str, PodObject | None]]:
        found = [(key, self.objects.get(key)) for key in self._stale]
        self._stale.clear()
        return found


def _owner_uids(obj: PodObject) -> tuple[str, ...]:
    """What a Workload that holds this pod may be known by: its name, or as owner the pod, its controller, its group."""
    controller = obj.metadata.controller()
    group = group_name(obj)
    named = obj.metadata.annotations.get(WORKLOAD_NAME)
    return (
        *((_stands_for("workload", obj.metadata.namespace, named),) if named else ()),
        obj.metadata.uid,
        *((controller.uid,) if controller else ()),
        *((_stands_for("group", obj.metadata.namespace, group),) if group else ()),
    )


def _references(obj: WorkloadObject) -> tuple[str, ...]:
    meta = obj.metadata
    names = [o.name for o in meta.owner_references if o.kind == "PodGroup"]
    names += [meta.name] if IS_GROUP_WORKLOAD in meta.annotations else []
    groups = (_stands_for("group", meta.namespace, name) for name in dict.fromkeys(names))
    return (_stands_for("workload", meta.namespace, meta.name), *(o.uid for o in meta.owner_references), *groups)


def _owned_by_the_same(before: PodObject, now: PodObject) -> bool:
    """Whether no other Workload can hold the pod now: nothing has changed of what `_owner_uids` looks at."""
    old, new = before.metadata, now.metadata
    same = old.uid == new.uid and old.owner_references == new.owner_references
    return same and old.annotations == new.annotations and old.labels == new.labels and before.spec == now.spec


def _names_the_same(before: WorkloadObject, now: WorkloadObject) -> bool:
    """Whether a Workload names the pods and claims it named, and as many: its status alone has changed."""
    old, new = before.metadata, now.metadata
    same = old.owner_references == new.owner_references and old.annotations == new.annotations
    return same and before.spec == now.spec and before.status.reclaimable_pods == now.status.reclaimable_pods


def _stands_for(what: str, namespace: str, name: str) -> str:
    """Takes the place of a uid where pods point by name."""
    return f"{what} {namespace}/{name}"


def _equal(old: Any, new: Any) -> bool:
    """Whether two readings of an object differ in nothing but their versions."""
    if isinstance(old, Pod | Workload) or hasattr(old, "resource_version"):
        return bool(old == msgspec.structs.replace(new, resource_version=old.resource_version))
    metadata = msgspec.structs.replace(
        new.metadata, resource_version=old.metadata.resource_version, generation=old.metadata.generation
    )
    return bool(old == msgspec.structs.replace(new, metadata=metadata))


def _named(kind: GroupKind, key: str) -> str:
    return f"{kind[1]} {key}"
