"""Gangs whole or absent, each pod once, a required topology kept, and an admission that says where its pods are.

A gang's pods are those already bound (and not on their way out) and those the plan binds. A domain is the tuple of a
node's labels from the widest level to the required one, so that racks of equal name in two blocks are two racks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bayplan.audit.aftermath import Aftermath, Placed
from bayplan.audit.findings import AssignmentUntrue, Finding, GangTorn, PodPlacedTwice, PodUnknown, TopologyBroken
from bayplan.model.node import Node
from bayplan.model.plan import Place
from bayplan.model.workload import Pod, PodSet, PodSetAssignment, Workload


def audit_gangs(after: Aftermath) -> Iterator[Finding]:
    placed: dict[str, list[Placed]] = {}
    for p in after.placed:
        placed.setdefault(p.name, []).append(p)
    places = {p.workload: p for p in after.plan.placed() if p.workload in after.snapshot.workloads}
    for name, place in places.items():
        workload, mine = after.snapshot.workloads[name], placed.get(name, [])
        bound = [p for p in after.of(name) if p.node and not p.terminating]
        names = [s.name for s in workload.pod_sets]
        for placement in place.pods:
            if placement.pod_set not in names:
                yield PodUnknown(name, placement.pod or f"{placement.pod_set}[{placement.index}]")
        for pod_set in workload.pod_sets:
            here = [p for p in bound if p.pod_set == pod_set.name]
            put = [p for p in mine if p.pod_set.name == pod_set.name]
            yield from _pod_set(after, workload, pod_set, place, here, put)


def _pod_set(
    after: Aftermath, workload: Workload, pod_set: PodSet, place: Place, bound: list[Pod], placed: list[Placed]
) -> Iterator[Finding]:
    """`bound` are its pods that are so already, `placed` those the plan places."""
    problems = list(_pods(workload, pod_set, bound, placed))
    yield from problems
    total = len(bound) + len(placed)
    if total != pod_set.count:
        yield GangTorn(workload.key, pod_set.name, total, pod_set.count)
    elif not problems:
        nodes = [p.node for p in bound] + [p.placement.node for p in placed]
        if pod_set.topology.required:
            yield from _topology(after, workload, pod_set, nodes, placed)
        if workload.admission is None:
            yield from _assignment(workload, pod_set, place, nodes)


def _pods(workload: Workload, pod_set: PodSet, bound: list[Pod], placed: list[Placed]) -> Iterator[Finding]:
    ranks = {p.index for p in bound if p.index >= 0}
    keys: set[str] = set()
    for p in placed:
        index, key, pod = p.placement.index, p.placement.pod, p.pod
        if index in ranks or (key and key in keys) or (pod is not None and pod.node):
            yield PodPlacedTwice(workload.key, p.label)
        elif not 0 <= index < pod_set.count or (key and not _belongs(pod, p)):
            yield PodUnknown(workload.key, p.label)
        ranks.add(index)
        keys.add(key)


def _belongs(pod: Pod | None, placed: Placed) -> bool:
    if pod is None or pod.workload != placed.name or pod.pod_set != placed.pod_set.name:
        return False
    return pod.index in (-1, placed.placement.index)


def _topology(
    after: Aftermath, workload: Workload, pod_set: PodSet, nodes: Sequence[str], placed: Sequence[Placed]
) -> Iterator[TopologyBroken]:
    level = pod_set.topology.required
    levels = _levels(after, placed[0].assignment if placed else None)
    path = levels[: levels.index(level) + 1] if level in levels else (level,)
    known: Mapping[str, Node] = after.snapshot.nodes
    domains = {tuple(known[n].labels.get(key, "") for key in path): None for n in dict.fromkeys(nodes) if n in known}
    if len(domains) > 1 or any(not domain[-1] for domain in domains):
        yield TopologyBroken(workload.key, pod_set.name, level, tuple(d[-1] for d in domains))


def _levels(after: Aftermath, assignment: PodSetAssignment | None) -> tuple[str, ...]:
    """The levels of the Topology a flavor of the pod set names, else the policy's."""
    for _, name in assignment.flavors if assignment else ():
        flavor = after.snapshot.flavors.get(name)
        topology = after.snapshot.topologies.get(flavor.spec.topology_name) if flavor else None
        if topology is not None:
            return tuple(level.node_label for level in topology.spec.levels)
    return after.policy.levels


def _assignment(workload: Workload, pod_set: PodSet, place: Place, nodes: Sequence[str]) -> Iterator[AssignmentUntrue]:
    assignments = [a for a in place.pod_sets if a.name == pod_set.name]
    if len(assignments) != 1:
        yield AssignmentUntrue(workload.key, pod_set.name, f"{len(assignments)} assignments instead of one")
        return
    told: dict[str, int] = {}
    for node, count in assignments[0].nodes:
        told[node] = told.get(node, 0) + count
    true: dict[str, int] = {}
    for node in nodes:
        true[node] = true.get(node, 0) + 1
    if told != true:
        yield AssignmentUntrue(workload.key, pod_set.name, f"{_text(told)} instead of {_text(true)}")


def _text(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{count} on {node}" for node, count in sorted(tally.items())) or "no nodes"
