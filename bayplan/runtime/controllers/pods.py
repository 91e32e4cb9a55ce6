"""Pods without a job and their Workloads: lone pods, Kueue's plain pod groups, PodGroups of scheduling.k8s.io.

Such pods have no switch: they simply stay unbound until their Workload is admitted, and when that is taken away after
they were bound, they are deleted. A pod that somebody bound to a node by hand is nobody's to admit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from bayplan.model.base import Noun
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import (
    Controller,
    Key,
    controller_of,
    is_active,
    is_deleting,
    owned,
    phase,
    references,
    remove,
    set_status,
)
from bayplan.runtime.controllers.sources import WORKLOADS, context
from bayplan.runtime.controllers.workload import (
    COMPONENT,
    is_admitted,
    is_settled,
    mark_finished,
    sync,
    write_status,
)
from bayplan.runtime.objects import ApiError, Change, Object, Objects, Record
from bayplan.wire.conditions import has_true, with_condition
from bayplan.wire.errors import Malformed
from bayplan.wire.kinds import group_kind
from bayplan.wire.names import EVICTED, POD_GROUP_NAME, SCHEDULER, WORKLOAD
from bayplan.wire.podgroups import Gang, pod_group, pod_groups
from bayplan.wire.pods import PodObject
from bayplan.wire.read import read
from bayplan.workloads import kind_of
from bayplan.workloads.base import Outcome
from bayplan.workloads.podgroup import group_name, lone, native_group, plain_group, role
from bayplan.workloads.translate import managed

POD_GROUPS = "podgroups.scheduling.k8s.io"
NATIVE = "workloads.scheduling.k8s.io"
"""Holds the groups itself in 1.35 (v1alpha1), their templates later."""
# What a key's name starts with: the work queue tells pods from groups by it.
_POD, _GROUP = "pod/", "group/"
_NAME_OF_GROUP = POD_GROUP_NAME.encode()

Member = tuple[Object, PodObject]


class _Metadata(Noun, frozen=True):
    labels: msgspec.Raw = msgspec.Raw()
    annotations: msgspec.Raw = msgspec.Raw()
    owner_references: msgspec.Raw = msgspec.Raw()
    deletion_timestamp: msgspec.Raw = msgspec.Raw()


class _Status(Noun, frozen=True):
    phase: str = ""


class _Matters(Noun, frozen=True):
    """What the Workload of a lone pod is made of, and what ends it."""

    metadata: _Metadata = _Metadata()
    spec: msgspec.Raw = msgspec.Raw()
    status: _Status = _Status()


@dataclass(frozen=True)
class Whose:
    """Whose pods are admitted: those that name one of `schedulers`.

    `adopts` gives a pod that is bound already a Workload, too: where Workloads of lone pods do not outlive a restart.
    """

    schedulers: tuple[str, ...] = (SCHEDULER,)
    adopts: bool = False

    def has(self, scheduler: str) -> bool:
        return scheduler in self.schedulers


def _reconcile(store: Objects, whose: Whose, groups: _Groups, key: Key, now_s: int) -> int | None:
    namespace, name = key
    members = groups.members(store, whose, key) if name.startswith(_GROUP) else []
    try:
        if name.startswith(_GROUP):
            _reconcile_group(store, whose, namespace, name.removeprefix(_GROUP), members, now_s)
        else:
            return _reconcile_pod(store, whose, namespace, name.removeprefix(_POD), now_s)
    except Malformed as error:
        about = members[0][0] if members else store.find("pods", namespace, name.removeprefix(_POD))
        if about is not None:
            events.record(store, about, "Malformed", str(error), now_s, warning=True, component=COMPONENT)
    return None


# --- lone pods ---------------------------------------------------------------------------------------------------


def _reconcile_pod(store: Objects, whose: Whose, namespace: str, name: str, now_s: int) -> int | None:
    pod = store.find("pods", namespace, name)
    if pod is None or not whose.has(pod["spec"].get("schedulerName", "")):
        return None
    alone = _is_alone(store, pod)
    if not alone:
        return now_s + 1 if alone is None else None
    if is_deleting(pod):
        # Nobody will make it again: what it holds until it has stopped is a foreign pod's.
        for workload in owned(store, pod, WORKLOADS):
            remove(store, WORKLOADS, workload)
    else:
        _admit_alone(store, whose, pod, now_s)
    return None


def _admit_alone(store: Objects, whose: Whose, pod: Object, now_s: int) -> None:
    existing = [r.raw for r in store.owned(pod["metadata"]["uid"]) if r.resource == WORKLOADS]
    if phase(pod) in ("Succeeded", "Failed"):
        for workload in owned(store, pod, WORKLOADS):
            mark_finished(store, workload, _outcome([pod]), now_s)
    elif existing and all(map(is_settled, existing)):
        return
    elif existing or whose.adopts or not pod["spec"].get("nodeName"):
        _remove_evicted(store, sync(store, lone(pod, context(store)), now_s), [pod])


def _is_alone(store: Objects, pod: Object) -> bool | None:
    """Whether the pod is admitted by itself, and not with the job that made it; None if that job is not known yet."""
    if WORKLOAD in (pod["metadata"].get("annotations") or {}):
        return False
    owner = controller_of(pod)
    if owner is None:
        return True
    if any(r.resource == WORKLOADS for r in store.owned(owner["uid"])):
        return False
    kind = kind_of(*group_kind(owner))
    if kind is None or kind.resource not in store.kinds:
        return True
    job = store.find(kind.resource, pod["metadata"]["namespace"], owner["name"])
    return None if job is None else not managed(kind, job, context(store))


# --- groups ------------------------------------------------------------------------------------------------------


def _reconcile_group(
    store: Objects, whose: Whose, namespace: str, name: str, members: Sequence[Member], now_s: int
) -> None:
    if not members:
        return
    if members[0][1].metadata.labels.get(POD_GROUP_NAME) == name:
        wanted = plain_group(name, members, context(store))
    else:
        owner, gang = _native(store, namespace, name, members[0][1])
        if owner is None or gang is None:
            return
        if not gang.min_count:
            for pod, _ in members:
                _admit_alone(store, whose, pod, now_s)
            return
        if group_kind(owner)[1] == "PodGroup":
            _tell_scheduled(store, owner, members, gang.min_count, now_s)
        known = store.find(WORKLOADS, namespace, name)
        if known is not None and is_settled(known) and len(members) >= gang.min_count:
            _follow(store, known, members, now_s)
            return
        wanted = native_group(gang, owner, members, context(store))
    if wanted is not None:
        _follow(store, sync(store, wanted, now_s), members, now_s)


def _native(store: Objects, namespace: str, name: str, member: PodObject) -> tuple[Object | None, Gang | None]:
    """The object that says what the group of this pod wants, and what that is."""
    ref = member.spec.workload_ref
    if ref is None or member.spec.scheduling_group is not None:
        owner = store.find(POD_GROUPS, namespace, name)
        return owner, pod_group(owner) if owner is not None else None
    owner = store.find(NATIVE, namespace, ref.name)
    groups = pod_groups(owner) if owner is not None else ()
    gang = next((g for g in groups if g.name == ref.pod_group), None)
    return owner, msgspec.structs.replace(gang, name=name) if gang else None


def _tell_scheduled(store: Objects, owner: Object, members: Sequence[Member], wanted: int, now_s: int) -> None:
    """A PodGroup learns once that its gang has its nodes (KEP-4671: never back to False)."""
    if sum(1 for _, typed in members if typed.spec.node_name) >= wanted:
        conditions = (owner.get("status") or {}).get("conditions")
        told = with_condition(conditions, "PodGroupInitiallyScheduled", True, "Scheduled", "", now_s)
        set_status(store, POD_GROUPS, owner, conditions=told)


class _Groups:
    """Which pods have been seen in which group, by the keys of groups: where to look, not what is so."""

    def __init__(self) -> None:
        self._names: dict[Key, dict[str, None]] = {}

    def saw(self, key: Key, pod: str) -> None:
        self._names.setdefault(key, {})[pod] = None

    def members(self, store: Objects, whose: Whose, key: Key) -> list[Member]:
        """The pods of a group in order of name, those being deleted left out."""
        namespace, name = key[0], key[1].removeprefix(_GROUP)
        found: list[Member] = []
        for pod in sorted(self._names.get(key, ())):
            try:
                record = store.record("pods", namespace, pod)
            except ApiError:
                self._forget(key, pod)
                continue
            member = _member(record.raw)
            if not record.deleting and group_name(member[1]) == name and whose.has(member[1].spec.scheduler_name):
                found.append(member)
        return found

    def _forget(self, key: Key, pod: str) -> None:
        del self._names[key][pod]
        if not self._names[key]:
            del self._names[key]


@lru_cache(maxsize=4096)
def _member(raw: bytes) -> Member:
    """A pod both ways, to be read only: a gang is looked at again for each of its pods."""
    return msgspec.json.decode(raw), read(raw, PodObject)


def _follow(store: Objects, workload: Object, members: Sequence[Member], now_s: int) -> None:
    """Keeps a group's Workload true to what became of its pods."""
    ended = [m for m in members if m[1].ended]
    total = sum(s["count"] for s in workload["spec"]["podSets"])
    if len(ended) >= total:
        mark_finished(store, workload, _outcome([pod for pod, _ in ended]), now_s)
        return
    if not is_admitted(workload):
        _remove_evicted(store, workload, [pod for pod, _ in members])
        return
    roles = [role(typed) for _, typed in ended]
    gone = [{"name": s["name"], "count": n} for s in workload["spec"]["podSets"] if (n := roles.count(s["name"]))]
    if gone != ((workload.get("status") or {}).get("reclaimablePods") or []):
        write_status(store, workload, {"status": {"reclaimablePods": gone}})


def _remove_evicted(store: Objects, workload: Object, pods: Iterable[Object]) -> None:
    conditions = (workload.get("status") or {}).get("conditions")
    if is_admitted(workload) or not has_true(conditions, EVICTED):
        return
    for pod in pods:
        if pod["spec"].get("nodeName") and is_active(pod):
            remove(store, "pods", pod)


def _outcome(pods: Sequence[Object]) -> Outcome:
    failed = [p["metadata"]["name"] for p in pods if phase(p) == "Failed"]
    if not failed:
        return Outcome(True, "Pods succeeded" if len(pods) > 1 else "Pod succeeded")
    return Outcome(False, f"Pod {failed[0]} failed" if len(failed) == 1 else f"{len(failed)} pods failed")


# --- who is looked at --------------------------------------------------------------------------------------------


def _keys(store: Objects, groups: _Groups, change: Change) -> Iterable[Key]:
    record = change.record
    if record.resource == "pods":
        raw = record.raw  # to look into it is far cheaper than to read every lone pod
        grouped = _NAME_OF_GROUP in raw or b'"podGroupName"' in raw or b'"workloadRef"' in raw
        group = group_name(read(raw, PodObject)) if grouped else ""
        if group:
            key = record.namespace, _GROUP + group
            groups.saw(key, record.name)
            return [key]
        return [(record.namespace, _POD + record.name)] if _matters(change) else []
    if record.resource == POD_GROUPS:
        return [(record.namespace, _GROUP + record.name)]
    if record.resource == NATIVE:
        return _groups_of(store, record)
    if change.type == "ADDED":
        return []  # whoever made it has looked at its pods
    owners = references(record)
    if len(owners) > 1 or any(o.api_version.startswith("scheduling.k8s.io/") for o in owners):
        return [(record.namespace, _GROUP + record.name)]
    return [(record.namespace, _POD + o.name) for o in owners if o.kind == "Pod"]


def _matters(change: Change) -> bool:
    """Whether a lone pod has changed in more than what its node or other controllers say of it."""
    before, now = change.previous, change.record
    if change.type != "MODIFIED" or before is None or before.uid != now.uid:
        return True
    return read(before.raw, _Matters) != read(now.raw, _Matters)


def _groups_of(store: Objects, workload: Record) -> Iterable[Key]:
    """The groups whose pods name this native Workload."""
    found = (read(r.raw, PodObject) for r in store.rows("pods", workload.namespace)[0] if b'"workloadRef"' in r.raw)
    names = {group_name(p): None for p in found if p.spec.workload_ref and p.spec.workload_ref.name == workload.name}
    return [(workload.namespace, _GROUP + name) for name in names]


def pod_controller(whose: Whose) -> Controller[Objects]:
    """The controller of the pods that `whose` names."""

    groups = _Groups()

    def keys(store: Objects, change: Change) -> Iterable[Key]:
        return _keys(store, groups, change)

    def reconcile(store: Objects, key: Key, now_s: int) -> int | None:
        return _reconcile(store, whose, groups, key, now_s)

    return Controller("workload-of-pods", ("pods", POD_GROUPS, NATIVE, WORKLOADS), reconcile, keys=keys)
