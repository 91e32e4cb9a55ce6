"""batch/v1 Job: as many pods as asked, once each, until done, failed, too late or suspended (KEP-2214, KEP-2232).

The pods are the record of what happened: a Job's counts are recomputed from them every time, and pods that somebody
deleted after they ended count only through what the status already said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import (
    BURST,
    Controller,
    Key,
    expired,
    is_active,
    is_deleting,
    is_ready,
    owned_pods,
    phase,
    pod_of,
    remove,
    set_status,
    since,
)
from bayplan.runtime.objects import Object
from bayplan.wire.conditions import has_true, with_condition
from bayplan.wire.names import COMPLETION_INDEX
from bayplan.wire.times import rfc3339, seconds

RESOURCE = "jobs.batch"
BACKOFF_S = 10  # upstream's first delay after a pod failed; it doubles each time
BACKOFF_MAX_S = 360


@dataclass
class _Tally:
    """A Job's pods, sorted by what became of them."""

    active: list[Object] = field(default_factory=list)
    succeeded: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    terminating: int = 0

    @classmethod
    def of(cls, pods: Iterable[Object]) -> _Tally:
        tally = cls()
        for pod in pods:
            if phase(pod) == "Succeeded":
                tally.succeeded.append(pod)
            elif phase(pod) == "Failed":
                tally.failed.append(pod)
            elif is_active(pod):
                tally.active.append(pod)
            else:
                tally.terminating += 1
        return tally


def reconcile(store: Store, key: Key, now_s: int) -> int | None:
    job = store.find(RESOURCE, *key)
    if job is None or is_deleting(job):
        return None
    ended_s = _ended(job)
    tally = _Tally.of(owned_pods(store, job))
    if ended_s is not None:
        return _tidy(store, job, tally, ended_s, now_s)
    if job["spec"].get("suspend"):
        _suspend(store, job, tally, now_s)
        return None
    return _run(store, job, tally, now_s)


def completed_indexes(job: Mapping[str, Any]) -> frozenset[int]:
    """The indexes in `status.completedIndexes` ("1,3-5")."""
    text = (job.get("status") or {}).get("completedIndexes") or ""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return frozenset(found)


def ranges(indexes: Iterable[int]) -> str:
    """Indexes as the API spells them: runs of three and more are ranges, "1,3-5"."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 2 else ",".join(map(str, r)) for r in runs)


# --- the four states of a Job ------------------------------------------------------------------------------------


def _tidy(store: Store, job: Object, tally: _Tally, ended_s: int, now_s: int) -> int | None:
    for pod in tally.active:
        remove(store, "pods", pod)
    set_status(store, RESOURCE, job, active=None, ready=0, terminating=tally.terminating + len(tally.active) or None)
    due_s = expired(job, ended_s, now_s)
    if due_s == 0:
        remove(store, RESOURCE, job)
        return None
    return due_s


def _suspend(store: Store, job: Object, tally: _Tally, now_s: int) -> None:
    for pod in tally.active:
        remove(store, "pods", pod)
    terminating = tally.terminating + len(tally.active)
    conditions = _conditions(job, "Suspended", True, "JobSuspended", "Job suspended", now_s)
    counts = _counts(job, tally) | {"active": None, "ready": 0, "terminating": terminating or None}
    set_status(store, RESOURCE, job, **counts, startTime=None, conditions=conditions)


def _run(store: Store, job: Object, tally: _Tally, now_s: int) -> int | None:
    status = job.get("status") or {}
    started_s = seconds(status.get("startTime") or "") or now_s
    counts = _counts(job, tally)
    reason = _failure(job, counts["failed"] or 0, started_s, now_s)
    if reason:
        _end(store, job, tally, counts, "Failed", *reason, now_s)
        return None
    if _is_complete(job, counts["succeeded"] or 0, tally):
        _end(
            store,
            job,
            tally,
            counts,
            "Complete",
            "CompletionsReached",
            "Reached expected number of succeeded pods",
            now_s,
        )
        return None
    wait_until_s = _next_try(tally, now_s)
    if wait_until_s is None:
        tally = _adjust(store, job, tally, now_s)
    conditions = status.get("conditions")
    if has_true(conditions, "Suspended"):
        conditions = _conditions(job, "Suspended", False, "JobResumed", "Job resumed", now_s)
    set_status(
        store,
        RESOURCE,
        job,
        **counts,
        active=len(tally.active) or None,
        ready=sum(map(is_ready, tally.active)),
        terminating=tally.terminating or None,
        startTime=rfc3339(started_s),
        conditions=conditions,
    )
    return _earliest(wait_until_s, _deadline(job, started_s))


def _end(
    store: Store, job: Object, tally: _Tally, counts: Object, type: str, reason: str, message: str, now_s: int
) -> None:
    for pod in tally.active:
        remove(store, "pods", pod)
    done = {"completionTime": rfc3339(now_s)} if type == "Complete" else {}
    terminating = tally.terminating + len(tally.active)
    conditions = _conditions(job, type, True, reason, message, now_s)
    set_status(
        store,
        RESOURCE,
        job,
        **counts,
        **done,
        active=None,
        ready=0,
        terminating=terminating or None,
        conditions=conditions,
    )
    happened = ("Completed", "Job completed") if type == "Complete" else (reason, message)
    events.record(store, job, *happened, now_s, warning=type == "Failed", component="job-controller")


# --- what is true of it ------------------------------------------------------------------------------------------


def _ended(job: Object) -> int | None:
    conditions = (job.get("status") or {}).get("conditions")
    complete_s, failed_s = since(conditions, "Complete"), since(conditions, "Failed")
    return failed_s if complete_s is None else complete_s


def _counts(job: Object, tally: _Tally) -> Object:
    """Fields of the status that only ever grow."""
    status = job.get("status") or {}
    failed = max(status.get("failed", 0), len(tally.failed))
    if not _is_indexed(job):
        return {"succeeded": max(status.get("succeeded", 0), len(tally.succeeded)) or None, "failed": failed or None}
    done = _done(job, tally)
    return {"succeeded": len(done) or None, "failed": failed or None, "completedIndexes": ranges(done) or None}


def _done(job: Object, tally: _Tally) -> frozenset[int]:
    total = job["spec"].get("completions", 0)
    return frozenset(i for i in completed_indexes(job) | {_index(p) for p in tally.succeeded} if 0 <= i < total)


def _failure(job: Object, failed: int, started_s: int, now_s: int) -> tuple[str, str] | None:
    if failed > job["spec"].get("backoffLimit", 6):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline_s = _deadline(job, started_s)
    if deadline_s is not None and now_s >= deadline_s:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _is_complete(job: Object, succeeded: int, tally: _Tally) -> bool:
    completions = job["spec"].get("completions")
    if completions is None:
        return succeeded > 0 and not tally.active
    return bool(succeeded >= completions)


def _deadline(job: Object, started_s: int) -> int | None:
    limit_s = job["spec"].get("activeDeadlineSeconds")
    return None if limit_s is None else started_s + int(limit_s)


def _next_try(tally: _Tally, now_s: int) -> int | None:
    """When pods may be made again after failures; None for now."""
    if not tally.failed:
        return None
    delay_s = min(BACKOFF_S << min(len(tally.failed) - 1, 10), BACKOFF_MAX_S)
    due_s = max(map(_finished_s, tally.failed)) + delay_s
    return due_s if now_s < due_s else None


def _finished_s(pod: Object) -> int:
    states = (s.get("state", {}).get("terminated", {}) for s in pod["status"].get("containerStatuses") or ())
    return max((seconds(s.get("finishedAt") or "") for s in states), default=0)


# --- making it so ------------------------------------------------------------------------------------------------


def _adjust(store: Store, job: Object, tally: _Tally, now_s: int) -> _Tally:
    """Makes missing pods and takes superfluous ones away; returns what there is then."""
    spec = job["spec"]
    completions = spec.get("completions")
    wanted = spec.get("parallelism", 1)
    if completions is not None:
        done = len(_done(job, tally)) if _is_indexed(job) else len(tally.succeeded)
        wanted = min(wanted, completions - done)
    elif tally.succeeded:
        wanted = len(tally.active)
    extra = tally.active[max(0, wanted) :]
    for pod in extra:
        remove(store, "pods", pod)
    kept = tally.active[: max(0, wanted)]
    made = [
        store.create("pods", job["metadata"]["namespace"], pod)
        for pod in _missing(job, tally, min(BURST, wanted - len(kept)))
    ]
    return _Tally(kept + made, tally.succeeded, tally.failed, tally.terminating + len(extra))


def _missing(job: Object, tally: _Tally, count: int) -> list[Object]:
    name, template = job["metadata"]["name"], job["spec"]["template"]
    if not _is_indexed(job):
        return [pod_of(template, job, f"{name}-") for _ in range(count)]
    taken = _done(job, tally) | {_index(p) for p in tally.active}
    free = [i for i in range(job["spec"].get("completions", 0)) if i not in taken]
    return [_indexed(template, job, i) for i in free[: max(0, count)]]


def _indexed(template: Object, job: Object, index: int) -> Object:
    mark = {COMPLETION_INDEX: str(index)}
    name = job["metadata"]["name"]
    pod = pod_of(template, job, f"{name}-{index}-", labels=mark, annotations=mark)
    pod["spec"].setdefault("hostname", f"{name}-{index}"[:63])
    return pod


def _is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _index(pod: Object) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(COMPLETION_INDEX, "")
    return int(text) if text.isdigit() else -1


def _conditions(job: Object, type: str, status: bool, reason: str, message: str, now_s: int) -> list[Object]:
    return with_condition((job.get("status") or {}).get("conditions"), type, status, reason, message, now_s)


def _earliest(*times: int | None) -> int | None:
    return min((t for t in times if t is not None), default=None)


CONTROLLER = Controller("job", (RESOURCE, "pods"), reconcile, "Job")
