"""Nobody forgotten, nobody twice, no hold without a reason, no eviction without a right to it.

Evictions: the victim exists and is admitted, and either has strictly lower priority than its preemptor or the queue's
policies allow it (Kueue: LowerOrNewerEqualPriority inside a ClusterQueue, reclaiming from a cohort that borrows). An
eviction for nobody needs a cause in the snapshot: deactivated, drained, a node that is gone, or pods that have been
missing. Devices are taken back only from pods of workloads that are neither bound nor placed.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.audit.aftermath import Aftermath
from bayplan.audit.findings import (
    DeallocationUnfounded,
    EvictedAndPlaced,
    EvictionUnfounded,
    Finding,
    HoldUnexplained,
    PlanStale,
    WorkloadDecidedTwice,
    WorkloadForgotten,
    WorkloadInactive,
    WorkloadUnknown,
)
from bayplan.model.plan import AnyDecision, Deallocate, Evict, Hold, Place
from bayplan.model.queue import ClusterQueue
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, Workload


def audit_plan(after: Aftermath) -> Iterator[Finding]:
    snapshot, plan = after.snapshot, after.plan
    if plan.revision and plan.revision != snapshot.revision:
        yield PlanStale("plan", plan.revision, snapshot.revision)
    served = frozenset(p.placement.pod for p in after.placed)
    decided: dict[str, list[str]] = {}
    for decision in plan.decisions:
        if not isinstance(decision, Deallocate):
            decided.setdefault(decision.workload, []).append(type(decision).__name__)
        workload = snapshot.workloads.get(decision.workload)
        if workload is None:
            yield WorkloadUnknown(decision.workload, type(decision).__name__)
        else:
            yield from _decision(after, decision, workload, served)
    for name, words in decided.items():
        yield from _repeated(name, words)
    for name, workload in snapshot.workloads.items():
        if workload.admission is None and name not in decided:
            yield WorkloadForgotten(name)


def _decision(after: Aftermath, decision: AnyDecision, workload: Workload, served: frozenset[str]) -> Iterator[Finding]:
    version = decision.resource_version
    if version and version != workload.resource_version:
        yield PlanStale(f"{type(decision).__name__} of {workload.key}", version, workload.resource_version)
    match decision:
        case Hold(reasons=()):
            yield HoldUnexplained(workload.key)
        case Place() if not workload.active:
            yield WorkloadInactive(workload.key)
        case Evict(preemptor=preemptor):
            cause = _wrong(after, workload, preemptor)
            if cause:
                yield EvictionUnfounded(workload.key, preemptor, cause)
        case Deallocate(claims=claims):
            for claim in claims:
                cause = _in_use(after, served, claim)
                if cause:
                    yield DeallocationUnfounded(workload.key, claim, cause)


def _repeated(name: str, words: list[str]) -> Iterator[Finding]:
    """An evicted workload may also be held: it is pending again."""
    if "Evict" in words and "Place" in words:
        yield EvictedAndPlaced(name)
    elif words.count("Evict") > 1 or len(words) - words.count("Evict") > 1:
        yield WorkloadDecidedTwice(name, tuple(words))


def _wrong(after: Aftermath, victim: Workload, preemptor_name: str) -> str:
    """Why the eviction has no right; "" when it has."""
    if victim.admission is None:
        return "it is not admitted"
    if not preemptor_name:
        return "" if _must_leave(after, victim) else "nothing in the snapshot makes it leave"
    preemptor = after.snapshot.workloads.get(preemptor_name)
    if preemptor is None:
        return "its preemptor does not exist"
    if preemptor_name == victim.key:
        return "it is its own preemptor"
    if preemptor.preemption_policy == "Never":
        return "its preemptor may not preempt"
    if victim.priority < preemptor.priority or _allowed(after.snapshot, preemptor, victim):
        return ""
    return f"its priority {victim.priority} is not below {preemptor.priority}"


def _allowed(snapshot: Snapshot, preemptor: Workload, victim: Workload) -> bool:
    ours = _queue_of(snapshot, preemptor)
    theirs = snapshot.cluster_queues.get(victim.admission.cluster_queue) if victim.admission else None
    if ours is None or theirs is None:
        return False
    if ours.metadata.name != theirs.metadata.name:
        related = _root(snapshot, ours) == _root(snapshot, theirs) != ""
        return related and ours.spec.preemption.reclaim_within_cohort == "Any"
    newer = victim.priority == preemptor.priority and preemptor.created_s < victim.created_s
    return newer and ours.spec.preemption.within_cluster_queue == "LowerOrNewerEqualPriority"


def _queue_of(snapshot: Snapshot, workload: Workload) -> ClusterQueue | None:
    local = snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
    return snapshot.cluster_queues.get(local.spec.cluster_queue) if local else None


def _root(snapshot: Snapshot, queue: ClusterQueue) -> str:
    """The topmost cohort above the queue; "" without one."""
    name, seen = queue.spec.cohort_name, [""]
    while name not in seen:
        seen.append(name)
        cohort = snapshot.cohorts.get(name)
        name = cohort.spec.parent_name if cohort else ""
    return seen[-1]


def _in_use(after: Aftermath, served: frozenset[str], name: str) -> str:
    """Why the claim may not lose its devices; "" when all its consumers are pods that wait and are not `served` now."""
    snapshot, users = after.snapshot, after.standing.using(name)
    claim = snapshot.claims.get(name)
    if claim is None or claim.status.allocation is None:
        return "it has no devices"
    for consumer in claim.status.reserved_for:
        if consumer.api_group == "scheduling.k8s.io" and consumer.resource == "podgroups":
            pods: list[Pod | None] = [*users]
        else:
            known = snapshot.pods.get(f"{claim.metadata.namespace}/{consumer.name}")
            pods = [known if known is not None and known.uid == consumer.uid else None]
        if any(pod is None or not pod.workload or pod.key in served for pod in pods):
            return f"it is reserved for {consumer.name}"
    bound = [p.key for p in users if p.node]
    return f"{bound[0]} uses it" if bound else ""


def _must_leave(after: Aftermath, victim: Workload) -> bool:
    assert victim.admission is not None
    snapshot, pods = after.snapshot, after.standing.of(victim.key)
    local = snapshot.local_queues.get(f"{victim.namespace}/{victim.queue_name}")
    queue = snapshot.cluster_queues.get(victim.admission.cluster_queue)
    drained = "HoldAndDrain" in (local and local.spec.stop_policy, queue and queue.spec.stop_policy)
    hosts = [node for assignment in victim.admission.pod_sets for node, _ in assignment.nodes]
    hosts += [p.node for p in pods if p.node]
    lost = any(host not in snapshot.nodes or not snapshot.nodes[host].ready for host in hosts)
    bound = sum(1 for p in pods if p.node and not p.terminating)
    incomplete = victim.unready_s > 0 and bound < victim.count
    return not victim.active or drained or lost or incomplete
