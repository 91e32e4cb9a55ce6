"""Jobs and their Workloads: a job is held back until its Workload is admitted, and stopped when that is taken away.

The job and the Workload point at each other (owner reference, name), so there is nothing to remember: whoever changes,
both are looked at. This is what Kueue's job reconciler does (`pkg/controller/jobframework`), for every kind that
`bayplan.workloads` can translate and the cluster serves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bayplan.model.base import Noun
from bayplan.model.queue import ResourceFlavor
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import (
    Controller,
    Key,
    controller_of,
    is_deleting,
    owned,
    remove,
)
from bayplan.runtime.controllers.sources import FLAVORS, WORKLOADS, context
from bayplan.runtime.objects import Object, Objects
from bayplan.wire.conditions import has_true
from bayplan.wire.kinds import group_kind
from bayplan.wire.names import FINISHED, NO_QUEUE
from bayplan.wire.patches import deactivate, finish
from bayplan.wire.queues import resource_flavor
from bayplan.wire.read import Json, read
from bayplan.wire.workload import Context
from bayplan.workloads import KINDS, JobKind, kind_of
from bayplan.workloads.base import Outcome, at
from bayplan.workloads.translate import managed, merged, restore, start, started, stop, suspended, workloads

COMPONENT = "bayplan-job-controller"


def job_controllers() -> tuple[Controller[Objects], ...]:
    """One controller per job kind."""
    return tuple(_controller(kind) for kind in KINDS)


def is_admitted(workload: Object) -> bool:
    return bool((workload.get("status") or {}).get("admission"))


class _Spec(Noun, frozen=True):
    active: bool = True


class _Status(Noun, frozen=True):
    admission: Any = None


class _Settled(Noun, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()


def is_settled(workload: bytes | Object) -> bool:
    """Whether a Workload is admitted and wanted: it does not follow its job or pods any more."""
    seen = read(workload, _Settled)
    return bool(seen.status.admission) and seen.spec.active


def mark_finished(store: Objects, workload: Object, outcome: Outcome, now_s: int) -> None:
    patch = finish(workload, outcome.succeeded, outcome.message, now_s)
    if patch is not None:
        write_status(store, workload, patch)


def write_status(store: Objects, workload: Object, patch: Object) -> None:
    meta = workload["metadata"]
    store.patch(WORKLOADS, meta["namespace"], meta["name"], patch, subresource="status")


def sync(store: Objects, wanted: Json, now_s: int) -> Object:
    """Creates a Workload, or brings one that is not admitted up to date with its job; returns it as it is.

    One that was deactivated loses its admission.
    """
    meta = wanted["metadata"]
    known = store.find(WORKLOADS, meta["namespace"], meta["name"])
    if known is None:
        return store.create(WORKLOADS, meta["namespace"], wanted)
    if is_admitted(known) and not known["spec"].get("active", True):
        patch = deactivate(known, now_s)
        assert patch is not None
        return store.patch(WORKLOADS, meta["namespace"], meta["name"], patch, subresource="status").decode()
    if is_admitted(known) or has_true((known.get("status") or {}).get("conditions"), FINISHED):
        return known
    keeps = {"active": known["spec"].get("active", True)}
    changed: dict[str, Any] = {}
    if known["spec"] != {**wanted["spec"], **keeps}:
        changed["spec"] = {**wanted["spec"], **keeps}
    if known["metadata"].get("ownerReferences") != meta.get("ownerReferences"):
        changed["metadata"] = {"ownerReferences": meta.get("ownerReferences")}
    if not changed:
        return known
    fresh = {**known, "spec": changed.get("spec", known["spec"])}
    fresh["metadata"] = {**known["metadata"], **changed.get("metadata", {})}
    return store.update(WORKLOADS, meta["namespace"], fresh)


def _controller(kind: JobKind) -> Controller[Objects]:
    def reconcile(store: Objects, key: Key, now_s: int) -> int | None:
        job = store.find(kind.resource, *key)
        if job is not None and not is_deleting(job) and not _has_managed_owner(job):
            _reconcile(store, kind, job, context(store), now_s)
        return None

    return Controller(f"workload-of-{kind.plural}", (kind.resource, WORKLOADS), reconcile, kind.kind)


def _has_managed_owner(job: Object) -> bool:
    """A Job of a JobSet is admitted with its JobSet."""
    owner = controller_of(job)
    return owner is not None and kind_of(*group_kind(owner)) is not None


def _reconcile(store: Objects, kind: JobKind, job: Object, sources: Context, now_s: int) -> None:
    if not managed(kind, job, sources):
        return
    existing = owned(store, job, WORKLOADS)
    outcome = kind.outcome(job)
    if outcome is not None:
        for workload in existing:
            mark_finished(store, workload, outcome, now_s)
        return
    pod_sets = [s for w in existing for s in w["spec"]["podSets"]]
    back = restore(kind, job, sources, pod_sets) if started(kind, job, sources) else None
    wanted = workloads(kind, merged(job, back) if back else job, sources)
    current = [sync(store, w, now_s) for w in wanted]
    names = {w["metadata"]["name"] for w in wanted}
    for workload in existing:
        if workload["metadata"]["name"] not in names:
            remove(store, WORKLOADS, workload)
    if back and suspended(kind, job):
        _restore(store, kind, job, back)  # it is started, if it may be, when that is known to be done
    else:
        _switch(store, kind, job, current, sources, now_s)
    for workload in current:
        _reclaim(store, kind, job, workload)


def _restore(store: Objects, kind: JobKind, job: Object, patch: Object) -> None:
    """Takes a suspended job's templates back to what they were before it was started.

    The templates of a Job may only change while it has no start time, which the job controller leaves to others.
    """
    meta = job["metadata"]
    if kind.kind == "Job" and at(job, ("status", "startTime")) is not None:
        reset = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": {"startTime": None}}
        store.patch(kind.resource, meta["namespace"], meta["name"], reset, subresource="status")
    store.patch(kind.resource, meta["namespace"], meta["name"], patch)


def _switch(store: Objects, kind: JobKind, job: Object, current: list[Object], sources: Context, now_s: int) -> None:
    """Starts a job whose Workloads are admitted, stops one whose Workloads are not."""
    meta = job["metadata"]
    if current and all(map(is_admitted, current)):
        patch = None
        if suspended(kind, job):
            patch = start(kind, job, current[0]["metadata"]["name"], sources, _flavors(store, current))
        happened = "Started", f"Admitted by clusterQueue {_cluster_queue(current[0])}"
    else:
        patch = stop(kind, job)
        happened = "Stopped", "Waits for admission"
    if patch is not None:
        store.patch(kind.resource, meta["namespace"], meta["name"], patch)
        events.record(store, job, *happened, now_s, component=COMPONENT)


def _flavors(store: Objects, current: Iterable[Object]) -> dict[str, list[ResourceFlavor]]:
    """The flavors each pod set of these admitted Workloads was given."""
    found: dict[str, list[ResourceFlavor]] = {}
    for given in (a for w in current for a in w["status"]["admission"].get("podSetAssignments") or ()):
        names = dict.fromkeys(v for _, v in sorted((given.get("flavors") or {}).items()))
        known = (store.find(FLAVORS, None, name) for name in names)
        found[given["name"]] = [resource_flavor(f) for f in known if f is not None]
    return found


def _cluster_queue(workload: Object) -> str:
    named = workload["status"]["admission"].get("clusterQueue")
    return named if named and named != NO_QUEUE else "(none)"


def _reclaim(store: Objects, kind: JobKind, job: Object, workload: Object) -> None:
    """Tells how many pods of an admitted Workload have ended for good: their quota and places are free."""
    if not is_admitted(workload):
        return
    ended = [{"name": s["name"], "count": n} for s in workload["spec"]["podSets"] if (n := _ended(kind, job, s))]
    if ended != ((workload.get("status") or {}).get("reclaimablePods") or []):
        write_status(store, workload, {"status": {"reclaimablePods": ended}})


def _ended(kind: JobKind, job: Object, pod_set: Object) -> int:
    """Pods of a set that will not come again, of kinds that say so."""
    if kind.kind == "Job":
        completions = at(job, ("spec", "completions"))
        succeeded = at(job, ("status", "succeeded"), 0)
        return max(0, pod_set["count"] - (completions - succeeded)) if completions is not None else 0
    if kind.kind == "JobSet":
        statuses = at(job, ("status", "replicatedJobsStatus"), [])
        done = next((s.get("succeeded", 0) for s in statuses if s.get("name") == pod_set["name"]), 0)
        replicated = next(r for r in job["spec"]["replicatedJobs"] if r["name"] == pod_set["name"])
        return int(done * pod_set["count"] // max(1, replicated.get("replicas", 1)))
    return 0
