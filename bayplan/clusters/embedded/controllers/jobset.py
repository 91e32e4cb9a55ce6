"""JobSet (jobset.x-k8s.io/v1alpha2): a set of Jobs that start, stop, succeed and fail as one.

Its Jobs are made at once and suspended with it; what a JobSet's pod templates gain while it is suspended (labels,
annotations, node selectors) its Jobs gain when it resumes. Networks are left out: simulated pods do not talk.
"""

from __future__ import annotations

from typing import Any

from bayplan.clusters.embedded.controllers.job import RESOURCE as JOBS
from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import (
    BURST,
    Controller,
    Key,
    controller_reference,
    expired,
    is_deleting,
    owned,
    remove,
    set_status,
    since,
)
from bayplan.runtime.objects import Object
from bayplan.wire.conditions import has_true, with_condition
from bayplan.wire.names import JOBSET_JOB_INDEX, JOBSET_NAME, JOBSET_REPLICATED_JOB
from bayplan.wire.workload import Context
from bayplan.workloads.jobset import KIND

RESOURCE = "jobsets.jobset.x-k8s.io"
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
_DIRECTIVES = ("nodeSelector", "tolerations")


def reconcile(store: Store, key: Key, now_s: int) -> int | None:
    jobset = store.find(RESOURCE, *key)
    if jobset is None or is_deleting(jobset):
        return None
    KIND.gangs(jobset, Context())  # raises Malformed for a set without the fields everything below relies on
    jobs = [j for j in owned(store, jobset, JOBS) if not is_deleting(j)]
    ended_s = _ended(jobset)
    if ended_s is not None:
        return _tidy(store, jobset, jobs, ended_s, now_s)
    attempt = int((jobset.get("status") or {}).get("restarts", 0))
    for job in jobs:
        if _attempt(job) < attempt:
            remove(store, JOBS, job)
    current = {j["metadata"]["name"]: j for j in jobs if _attempt(j) == attempt}
    failed = next((n for n, j in sorted(current.items()) if _has(j, "Failed")), "")
    if failed:
        _fail(store, jobset, failed, attempt, now_s)
    elif _has_succeeded(jobset, current):
        _finish(store, jobset, "Completed", "AllJobsCompleted", "jobset completed successfully", now_s)
    else:
        _run(store, jobset, current, attempt, now_s)
    return None


def _run(store: Store, jobset: Object, current: dict[str, Object], attempt: int, now_s: int) -> None:
    suspended = bool(jobset["spec"].get("suspend"))
    made = 0
    for replicated in jobset["spec"].get("replicatedJobs") or ():
        if not _may_start(jobset, replicated, current):
            continue
        for index in range(replicated.get("replicas", 1)):
            wanted = _job(jobset, replicated, index, attempt, suspended)
            name = wanted["metadata"]["name"]
            if name in current:
                _follow(store, current[name], wanted)
            elif made < BURST and store.find(JOBS, jobset["metadata"]["namespace"], name) is None:
                current[name] = store.create(JOBS, jobset["metadata"]["namespace"], wanted)
                made += 1
    conditions = (jobset.get("status") or {}).get("conditions")
    if suspended and not has_true(conditions, "Suspended"):
        conditions = with_condition(conditions, "Suspended", True, "SuspendedJobs", "jobset is suspended", now_s)
    elif not suspended and has_true(conditions, "Suspended"):
        conditions = with_condition(conditions, "Suspended", False, "ResumeJobs", "jobset is resumed", now_s)
    statuses = [_replicated_status(r, current) for r in jobset["spec"].get("replicatedJobs") or ()]
    set_status(store, RESOURCE, jobset, replicatedJobsStatus=statuses, restarts=attempt, conditions=conditions)


def _follow(store: Store, job: Object, wanted: Object) -> None:
    """Suspends or resumes a Job with its JobSet; a resumed one gets the directives its JobSet was given meanwhile."""
    if _has(job, "Complete") or bool(job["spec"].get("suspend")) == wanted["spec"]["suspend"]:
        return
    meta = job["metadata"]
    if not wanted["spec"]["suspend"]:
        template = wanted["spec"]["template"]
        given = {k: template["spec"][k] for k in _DIRECTIVES if k in template["spec"]}
        store.patch(
            JOBS,
            meta["namespace"],
            meta["name"],
            {"spec": {"template": {"metadata": template.get("metadata") or {}, "spec": given}}},
        )
    store.patch(JOBS, meta["namespace"], meta["name"], {"spec": {"suspend": wanted["spec"]["suspend"]}})


def _job(jobset: Object, replicated: Object, index: int, attempt: int, suspended: bool) -> Object:
    meta, template = jobset["metadata"], replicated["template"]
    labels = {
        JOBSET_NAME: meta["name"],
        JOBSET_REPLICATED_JOB: replicated["name"],
        JOBSET_JOB_INDEX: str(index),
        "jobset.sigs.k8s.io/replicatedjob-replicas": str(replicated.get("replicas", 1)),
        ATTEMPT: str(attempt),
    }
    spec: dict[str, Any] = {**template["spec"], "suspend": suspended}
    pods = spec.get("template") or {}
    spec["template"] = {**pods, "metadata": _labelled(pods.get("metadata"), labels)}
    metadata = {
        **_labelled(template.get("metadata"), labels),
        "name": f"{meta['name']}-{replicated['name']}-{index}",
        "namespace": meta["namespace"],
        "ownerReferences": [controller_reference(jobset)],
    }
    return {"metadata": metadata, "spec": spec}


def _labelled(metadata: Object | None, labels: dict[str, str]) -> Object:
    given = metadata or {}
    return {**given, "labels": {**(given.get("labels") or {}), **labels}}


def _may_start(jobset: Object, replicated: Object, current: dict[str, Object]) -> bool:
    """Whether everything it depends on is Ready or Complete."""
    for need in replicated.get("dependsOn") or ():
        of = next((r for r in jobset["spec"]["replicatedJobs"] if r["name"] == need["name"]), None)
        if of is None:
            return False
        status = _replicated_status(of, current)
        done = status["succeeded"] + (status["ready"] if need.get("status") == "Ready" else 0)
        if done < of.get("replicas", 1):
            return False
    return True


def _fail(store: Store, jobset: Object, job: str, attempt: int, now_s: int) -> None:
    """Restarts the whole set while its failure policy allows it."""
    policy = jobset["spec"].get("failurePolicy") or {}
    if attempt < policy.get("maxRestarts", 0):
        set_status(store, RESOURCE, jobset, restarts=attempt + 1)
        events.record(
            store, jobset, "Restarting", f"restarting jobset after {job} failed", now_s, component="jobset-controller"
        )
        return
    reason = "ReachedMaxRestarts" if policy.get("maxRestarts") else "FailedJobs"
    _finish(store, jobset, "Failed", reason, f"jobset failed due to job {job}", now_s)


def _finish(store: Store, jobset: Object, type: str, reason: str, message: str, now_s: int) -> None:
    conditions = with_condition((jobset.get("status") or {}).get("conditions"), type, True, reason, message, now_s)
    set_status(store, RESOURCE, jobset, conditions=conditions, terminalState=type)
    events.record(store, jobset, reason, message, now_s, warning=type == "Failed", component="jobset-controller")


def _tidy(store: Store, jobset: Object, jobs: list[Object], ended_s: int, now_s: int) -> int | None:
    """Ends what still runs and shows the last counts; removes the set when its time to live is over."""
    for job in jobs:
        if not _has(job, "Complete") and not _has(job, "Failed"):
            remove(store, JOBS, job)
    by_name = {j["metadata"]["name"]: j for j in jobs}
    statuses = [_replicated_status(r, by_name) for r in jobset["spec"].get("replicatedJobs") or ()]
    set_status(store, RESOURCE, jobset, replicatedJobsStatus=statuses)
    due_s = expired(jobset, ended_s, now_s)
    if due_s == 0:
        remove(store, RESOURCE, jobset)
        return None
    return due_s


def _has_succeeded(jobset: Object, current: dict[str, Object]) -> bool:
    policy = jobset["spec"].get("successPolicy") or {}
    targets = policy.get("targetReplicatedJobs") or ()
    counted = [r for r in jobset["spec"].get("replicatedJobs") or () if not targets or r["name"] in targets]
    done: int = sum(_replicated_status(r, current)["succeeded"] for r in counted)
    if policy.get("operator") == "Any":
        return done > 0
    return bool(counted) and done >= sum(r.get("replicas", 1) for r in counted)


def _replicated_status(replicated: Object, current: dict[str, Object]) -> Object:
    name = replicated["name"]
    jobs = [j for j in current.values() if j["metadata"]["labels"].get(JOBSET_REPLICATED_JOB) == name]
    return {
        "name": name,
        "ready": sum(1 for j in jobs if _is_ready(j)),
        "succeeded": sum(1 for j in jobs if _has(j, "Complete")),
        "failed": sum(1 for j in jobs if _has(j, "Failed")),
        "active": sum(1 for j in jobs if (j.get("status") or {}).get("active")),
        "suspended": sum(1 for j in jobs if j["spec"].get("suspend")),
    }


def _is_ready(job: Object) -> bool:
    status, spec = job.get("status") or {}, job["spec"]
    wanted = min(spec.get("parallelism", 1), spec.get("completions", spec.get("parallelism", 1)))
    up = status.get("ready", 0) + status.get("succeeded", 0)
    return bool(up >= wanted > 0 and not _has(job, "Complete"))


def _has(job: Object, type: str) -> bool:
    return has_true((job.get("status") or {}).get("conditions"), type)


def _attempt(job: Object) -> int:
    return int((job["metadata"].get("labels") or {}).get(ATTEMPT, "0"))


def _ended(jobset: Object) -> int | None:
    conditions = (jobset.get("status") or {}).get("conditions")
    completed_s = since(conditions, "Completed")
    return since(conditions, "Failed") if completed_s is None else completed_s


CONTROLLER = Controller("jobset", (RESOURCE, JOBS), reconcile, "JobSet")
