"""Gangs whole or absent, each pod once, a required topology kept, and an admission that says where its pods are.

A gang's pods are those already bound (and not on their way out) and those the plan binds. A domain is the tuple of a
node's labels from the widest level to the required one, so that racks of equal name in two blocks are two racks.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence

from bayplan.audit.aftermath import Aftermath, Placed
from bayplan.audit.findings import AssignmentUntrue, Finding, GangTorn, PodPlacedTwice, PodUnknown, TopologyBroken
from bayplan.model.node import Node
from bayplan.model.plan import Place
from bayplan.model.workload import Pod, PodSet, PodSetAssignment, Workload

Members = tuple[list[Pod], list[Placed]]
"""A pod set's pods: those bound already, and those the plan places."""


def audit_gangs(after: Aftermath) -> Iterator[Finding]:
    members: dict[tuple[str, str], Members] = {}
    places = {p.workload: p for p in after.plan.placed() if p.workload in after.snapshot.workloads}
    for name in places:
        for pod_set in after.snapshot.workloads[name].pod_sets:
            members[name, pod_set.name] = ([], [])
    for pod in after.pods:
        if pod.workload in places and pod.node and not pod.terminating and (pod.workload, pod.pod_set) in members:
            members[pod.workload, pod.pod_set][0].append(pod)
    for placed in after.placed:
        members[placed.workload.key, placed.pod_set.name][1].append(placed)
    for name, place in places.items():
        workload = after.snapshot.workloads[name]
        yield from _strangers(workload, place)
        for pod_set in workload.pod_sets:
            yield from _pod_set(after, workload, pod_set, place, members[name, pod_set.name])


def _strangers(workload: Workload, place: Place) -> Iterator[PodUnknown]:
    names = [s.name for s in workload.pod_sets]
    for placement in place.pods:
        if placement.pod_set not in names:
            yield PodUnknown(workload.key, placement.pod or f"{placement.pod_set}[{placement.index}]")


def _pod_set(
    after: Aftermath, workload: Workload, pod_set: PodSet, place: Place, members: Members
) -> Iterator[Finding]:
    bound, placed = members
    problems = list(_pods(workload, pod_set, bound, placed))
    yield from problems
    total = len(bound) + len(placed)
    if total != pod_set.count:
        yield GangTorn(workload.key, pod_set.name, total, pod_set.count)
    elif not problems:
        nodes = [p.node for p in bound] + [p.placement.node for p in placed]
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
    if pod is None or pod.workload != placed.workload.key or pod.pod_set != placed.pod_set.name:
        return False
    return pod.index in (-1, placed.placement.index)


def _topology(
    after: Aftermath, workload: Workload, pod_set: PodSet, nodes: Sequence[str], placed: Sequence[Placed]
) -> Iterator[TopologyBroken]:
    level = pod_set.topology.required
    if not level:
        return
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
    told: Tally[str] = Tally()
    for node, count in assignments[0].nodes:
        told[node] += count
    if told != Tally(nodes):
        yield AssignmentUntrue(workload.key, pod_set.name, f"{_tally(told)} instead of {_tally(Tally(nodes))}")


def _tally(nodes: Tally[str]) -> str:
    return ", ".join(f"{count} on {node}" for node, count in sorted(nodes.items())) or "no nodes"
