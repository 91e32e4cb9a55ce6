"""A plan without the decisions that findings are about, so that one wrong decision does not stop all the others.

A finding names what it is about: a workload, a pod, a claim; or where too much was given: a device, a pool, a node, a
queue or a cohort, which is about every decision that takes some of it. A decision left out takes along all others about
its workload, and the evictions made for it. Whether the rest is sound, the audit says again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bayplan.audit.findings import Finding
from bayplan.model.plan import AnyDecision, Deallocate, Evict, Hold, Place, Plan
from bayplan.model.reason import AuditFailed
from bayplan.model.snapshot import Snapshot

Trace = tuple[str, str]
"""(what it is, its name)"""

_OWN = {
    "workload": "workload",
    "preemptor": "workload",
    "subject": "subject",
    "pod": "pod",
    "claim": "claim",
    "claims": "claim",
}
_COMMON = {"device": "device", "pool": "pool", "node": "node", "holder": "holder"}


def without(snapshot: Snapshot, plan: Plan, findings: Iterable[Finding]) -> Plan:
    """The plan without what these findings are about; who was to be placed or held is held, and told why.

    A finding that is about the plan as a whole leaves it as it is.
    """
    traces = [(d, frozenset(_traces(snapshot, d))) for d in plan.decisions]
    blamed: dict[str, str] = {}
    for finding in findings:
        about = _about(finding)
        for decision, known in traces:
            if not known.isdisjoint(about):
                blamed.setdefault(decision.workload, str(finding))
        for what, name in sorted(about):
            if what == "workload" and name in snapshot.workloads:
                blamed.setdefault(name, str(finding))
    if not blamed:
        return plan
    _spread(plan, blamed)
    kept = tuple(d for d in plan.decisions if d.workload not in blamed)
    waiting = {d.workload for d in plan.decisions if isinstance(d, Place | Hold)}
    held = tuple(
        Hold(name, (AuditFailed(why),), workload.resource_version)
        for name, why in blamed.items()
        if (workload := snapshot.workloads.get(name)) and (name in waiting or workload.admission is None)
    )
    return msgspec.structs.replace(plan, decisions=kept + held)


def _spread(plan: Plan, blamed: dict[str, str]) -> None:
    """Nobody is ended for one who will not start, and nobody starts on an eviction that does not happen."""
    evictions = [d for d in plan.evicted() if d.preemptor]
    while True:
        fresh: dict[str, str] = {}
        for evict in evictions:
            for one, other in ((evict.workload, evict.preemptor), (evict.preemptor, evict.workload)):
                if one in blamed and other not in blamed:
                    fresh[other] = blamed[one]
        if not fresh:
            return
        blamed.update(fresh)


def _about(finding: Finding) -> frozenset[Trace]:
    """What the finding names: whom it is about, else what is shared."""
    for fields in (_OWN, _COMMON):
        found: set[Trace] = set()
        for field, what in fields.items():
            value = getattr(finding, field, ())
            found.update((what, name) for name in ((value,) if isinstance(value, str) else value) if name)
        if found:
            return frozenset(found)
    return frozenset()


def _traces(snapshot: Snapshot, decision: AnyDecision) -> Iterator[Trace]:
    """Everything a decision touches, as findings name it."""
    yield "workload", decision.workload
    yield "subject", f"{type(decision).__name__} of {decision.workload}"
    match decision:
        case Evict():
            yield "workload", decision.preemptor
        case Deallocate():
            yield from (("claim", c) for c in decision.claims)
        case Place():
            yield from _of_placement(decision)
            yield from (("claim", c) for c in _used(snapshot, decision))
            yield from (("holder", h) for h in _holders(snapshot, decision.cluster_queue))


def _of_placement(place: Place) -> Iterator[Trace]:
    for p in place.pods:
        label = p.pod or f"{place.workload} {p.pod_set}[{p.index}]"
        yield "pod", label
        yield "node", p.node
        for given in p.claims:
            yield "claim", given.claim or f"{label} {given.name}"
            for result in given.allocation.devices.results:
                yield "pool", f"{result.driver}/{result.pool}"
                yield "device", f"{result.driver}/{result.pool}/{result.device}"


def _used(snapshot: Snapshot, place: Place) -> Iterator[str]:
    """Claims that have their devices already and that pods of the placement use."""
    pods = (snapshot.pods.get(p.pod) for p in place.pods)
    yield from (key for pod in pods if pod is not None for _, key in pod.claims)
    workload = snapshot.workloads.get(place.workload)
    yield from (c.claim for s in workload.pod_sets for c in s.template.claims if c.claim) if workload else ()


def _holders(snapshot: Snapshot, name: str) -> Iterator[str]:
    """The queue and the cohorts above it."""
    queue = snapshot.cluster_queues.get(name)
    if queue is None:
        return
    yield f"ClusterQueue {name}"
    above, seen = queue.spec.cohort_name, [""]
    while above not in seen:
        seen.append(above)
        yield f"Cohort {above}"
        cohort = snapshot.cohorts.get(above)
        above = cohort.spec.parent_name if cohort else ""
