"""The cheapest change that would let a waiting workload start now, found by trying.

Every remedy is a change of the snapshot on which `decide` places the workload at once, so it respects all that is
before it in the queue. What costs its owner least comes first: a wider domain, another queue, fewer pods, then a
higher priority at the expense of others.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bayplan.core import decide
from bayplan.core.explain import level_name
from bayplan.core.order import ORDERS
from bayplan.model.base import Value
from bayplan.model.plan import Evict, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodSet, TopologyRequest, Workload


class Remedy(Value, frozen=True):
    """`change` is a phrase ("with 56 of 64 pods"); `evicts` the workloads it would end; `domain` where it would run."""

    change: str
    domain: str = ""
    evicts: tuple[str, ...] = ()


def remedies(snapshot: Snapshot, policy: Policy, workload: str, *, now_s: int) -> tuple[Remedy, ...]:
    """Changes that would start the workload now (or, with `evicts`, as soon as those have left); may be empty.

    Raises KeyError for a workload the snapshot does not hold.
    """
    asked = snapshot.workloads[workload]
    world = _without_later(snapshot, policy, asked)
    found: list[Remedy] = []
    for change, changed in _changes(world, asked):
        place = _placed(decide(world.with_workload(changed), policy, now_s=now_s), workload)
        if place is not None:
            found.append(Remedy(change, place.domain))
    fewer = _fewer_pods(world, policy, asked, now_s)
    if fewer is not None:
        found.append(fewer)
    forced = _by_priority(world, policy, asked, now_s)
    if forced is not None:
        found.append(forced)
    return tuple(found)


def _without_later(snapshot: Snapshot, policy: Policy, asked: Workload) -> Snapshot:
    """The snapshot without the waiting workloads that come after this one: they cannot change its fate."""
    order = ORDERS[policy.order]
    mine = order(asked)
    kept = {k: w for k, w in snapshot.workloads.items() if w.admission or order(w) <= mine}
    return snapshot.replace(workloads=kept)


def _placed(plan: Plan, workload: str) -> Place | None:
    return next((d for d in plan.placed() if d.workload == workload), None)


def _changes(world: Snapshot, asked: Workload) -> Iterator[tuple[str, Workload]]:
    """Changes that keep every pod: topology, node selectors, queue."""
    levels = sorted({s.topology.required for s in asked.pod_sets if s.topology.required})
    if levels:
        names = " and ".join(level_name(level) for level in levels)
        yield f"with {names} preferred instead of required", _each(asked, _preferred)
    if any(s.template.node_selector for s in asked.pod_sets):
        keys = sorted({k for s in asked.pod_sets for k, _ in s.template.node_selector})
        yield f"without its nodeSelector ({', '.join(keys)})", _each(asked, _anywhere)
    for key, queue in sorted(world.local_queues.items()):
        if queue.metadata.namespace == asked.namespace and queue.metadata.name != asked.queue_name and asked.queue_name:
            yield f"in queue {key}", msgspec.structs.replace(asked, queue_name=queue.metadata.name)


def _each(asked: Workload, change: object) -> Workload:
    assert callable(change)
    return msgspec.structs.replace(asked, pod_sets=tuple(change(s) for s in asked.pod_sets))


def _preferred(pod_set: PodSet) -> PodSet:
    level = pod_set.topology.required or pod_set.topology.preferred
    return msgspec.structs.replace(pod_set, topology=TopologyRequest(preferred=level))


def _anywhere(pod_set: PodSet) -> PodSet:
    return msgspec.structs.replace(pod_set, template=msgspec.structs.replace(pod_set.template, node_selector=()))


def _fewer_pods(world: Snapshot, policy: Policy, asked: Workload, now_s: int) -> Remedy | None:
    """The most pods of its largest pod set with which it would start."""
    largest = max(asked.pod_sets, key=lambda s: s.count)

    def place(pods: int) -> Place | None:
        changed = tuple(msgspec.structs.replace(s, count=pods) if s is largest else s for s in asked.pod_sets)
        smaller = msgspec.structs.replace(asked, pod_sets=changed)
        return _placed(decide(world.with_workload(smaller), policy, now_s=now_s), asked.key)

    low, best, high = 1, None, largest.count - 1
    while low <= high:
        middle = (low + high) // 2
        found = place(middle)
        if found is None:
            high = middle - 1
        else:
            best, low = Remedy(f"with {middle} of {largest.count} pods", found.domain), middle + 1
    return best


def _by_priority(world: Snapshot, policy: Policy, asked: Workload, now_s: int) -> Remedy | None:
    """What a priority above everybody's would end for it."""
    highest = max((w.priority for w in world.workloads.values()), default=0) + 1
    raised = msgspec.structs.replace(asked, priority=highest, preemption_policy="PreemptLowerPriority")
    plan = decide(world.with_workload(raised), policy, now_s=now_s)
    place = _placed(plan, asked.key)
    if place is not None:
        return Remedy(f"with priority {highest} (now {asked.priority})", place.domain)
    victims = tuple(d.workload for d in plan.decisions if isinstance(d, Evict) and d.preemptor == asked.key)
    return Remedy(f"with priority {highest} (now {asked.priority})", evicts=victims) if victims else None
