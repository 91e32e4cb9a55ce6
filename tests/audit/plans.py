"""Correct plans, and small changes that spoil a snapshot or a plan in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bayplan.model.device import AllocationResult, Device, DeviceRequestAllocationResult
from bayplan.model.plan import AnyDecision, Evict, Hold, Place, Plan, PodPlacement
from bayplan.model.reason import PendingEvaluation
from bayplan.model.snapshot import Snapshot
from tests.make import Shelf, place

change: Callable[..., Any] = msgspec.structs.replace

Spoil = Callable[[Snapshot, Plan], tuple[Snapshot, Plan]]
"""Makes a correct snapshot and plan wrong."""


def plan(world: Snapshot, *evictions: Evict, **places: str) -> Plan:
    """Places these workloads on these nodes (`gang="a,b"`), first fit; every other pending one waits."""
    pending = [w for w in world.workloads.values() if w.admission is None]
    left = world.without(*(e.workload for e in evictions))
    shelf = Shelf(left)
    decided: list[AnyDecision] = [*evictions]
    for name, nodes in places.items():
        decided.append(place(left, f"default/{name}", *nodes.split(","), shelf=shelf))
    decided += [Hold(w.key, reasons=(PendingEvaluation(),)) for w in pending if w.name not in places]
    return Plan(decisions=tuple(decided), revision=world.revision)


def evict(victim: str, preemptor: str = "") -> Evict:
    full = f"default/{preemptor}" if preemptor else ""
    return Evict(workload=f"default/{victim}", preemptor=full, reason="InClusterQueue")


# Changes of a plan


def decisions(edit: Callable[[tuple[AnyDecision, ...]], tuple[AnyDecision, ...]]) -> Spoil:
    return lambda world, made: (world, change(made, decisions=edit(made.decisions)))


def also(*more: AnyDecision) -> Spoil:
    return decisions(lambda all_: all_ + more)


def of(name: str, edit: Callable[[Any], AnyDecision]) -> Spoil:
    """Edits the decision about one workload."""
    return decisions(lambda all_: tuple(edit(d) if d.workload == f"default/{name}" else d for d in all_))


def pod(name: str, at: int, **changes: object) -> Spoil:
    """Changes one pod of a placed workload."""
    return of(name, lambda d: change(d, pods=_at(d.pods, at, lambda p: change(p, **changes))))


def moved(name: str, at: int, node: str) -> Spoil:
    """Puts a pod elsewhere and lets the admission say so."""

    def edit(d: Place) -> Place:
        pods = _at(d.pods, at, lambda p: change(p, node=node))
        return change(d, pods=pods, pod_sets=tuple(change(s, nodes=_nodes(pods, s.name)) for s in d.pod_sets))

    return of(name, edit)


def allocation(name: str, edit: Callable[[AllocationResult], AllocationResult], at: int = 0) -> Spoil:
    """Edits what the first claim of a pod is given."""

    def given(p: PodPlacement) -> PodPlacement:
        return change(p, claims=_at(p.claims, 0, lambda c: change(c, allocation=edit(c.allocation))))

    return of(name, lambda d: change(d, pods=_at(d.pods, at, given)))


def results(
    name: str,
    edit: Callable[[tuple[DeviceRequestAllocationResult, ...]], tuple[DeviceRequestAllocationResult, ...]],
    at: int = 0,
) -> Spoil:
    return allocation(name, lambda a: change(a, devices=change(a.devices, results=edit(a.devices.results))), at)


def device(name: str, at: int = 0, **changes: object) -> Spoil:
    """Changes the first device that a pod is given."""
    return results(name, lambda all_: _at(all_, 0, lambda r: change(r, **changes)), at)


def _at(items: tuple[Any, ...], at: int, edit: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(edit(item) if i == at else item for i, item in enumerate(items))


def _nodes(pods: tuple[PodPlacement, ...], pod_set: str) -> tuple[tuple[str, int], ...]:
    names = [p.node for p in pods if p.pod_set == pod_set]
    return tuple((n, names.count(n)) for n in dict.fromkeys(names))


# Changes of a snapshot


def world(edit: Callable[[Snapshot], Snapshot]) -> Spoil:
    return lambda snapshot, made: (edit(snapshot), made)


def node(name: str, **changes: object) -> Spoil:
    return world(lambda s: s.replace(nodes=s.nodes | {name: change(s.nodes[name], **changes)}))


def pool(name: str, at: int = 0, **changes: object) -> Spoil:
    """Changes a slice's spec."""

    def edit(snapshot: Snapshot) -> Snapshot:
        mine = [s for s in snapshot.slices if s.spec.node_name == name]
        new = change(mine[at], spec=change(mine[at].spec, **changes))
        return snapshot.replace(slices=tuple(new if s is mine[at] else s for s in snapshot.slices))

    return world(edit)


def devices(name: str, edit: Callable[[Device], Device], at: int = 0) -> Spoil:
    """Changes every device of a node's slice."""

    def edit_all(snapshot: Snapshot, made: Plan) -> tuple[Snapshot, Plan]:
        mine = [s for s in snapshot.slices if s.spec.node_name == name]
        return pool(name, at, devices=tuple(map(edit, mine[at].spec.devices)))(snapshot, made)

    return edit_all


def workload(name: str, **changes: object) -> Spoil:
    key = f"default/{name}"
    return world(lambda s: s.replace(workloads=s.workloads | {key: change(s.workloads[key], **changes)}))


def template(name: str, **changes: object) -> Spoil:
    """Changes the pod template of a workload's first pod set."""

    def edit(snapshot: Snapshot) -> Snapshot:
        one = snapshot.workloads[f"default/{name}"]
        first = change(one.pod_sets[0], template=change(one.pod_sets[0].template, **changes))
        return snapshot.with_workload(change(one, pod_sets=(first, *one.pod_sets[1:])))

    return world(edit)


def claim(name: str, **changes: object) -> Spoil:
    """Changes the `exactly` of a workload's claim."""
    return request(name, lambda r: change(r, exactly=change(r.exactly, **changes)))


def request(name: str, edit: Callable[[Any], Any]) -> Spoil:
    """Edits the first request of a workload's claim."""
    return asked(name, lambda devices: change(devices, requests=(edit(devices.requests[0]), *devices.requests[1:])))


def asked(name: str, edit: Callable[[Any], Any]) -> Spoil:
    """Edits `spec.devices` of a workload's claim."""

    def spoil(snapshot: Snapshot, made: Plan) -> tuple[Snapshot, Plan]:
        first = snapshot.workloads[f"default/{name}"].pod_sets[0].template.claims[0]
        assert first.template is not None
        spec = change(first.template, devices=edit(first.template.devices))
        return template(name, claims=(change(first, template=spec),))(snapshot, made)

    return spoil


def queue(name: str, **changes: object) -> Spoil:
    def edit(snapshot: Snapshot) -> Snapshot:
        old = snapshot.cluster_queues[name]
        return snapshot.replace(
            cluster_queues=snapshot.cluster_queues | {name: change(old, spec=change(old.spec, **changes))}
        )

    return world(edit)


def both(*spoils: Spoil) -> Spoil:
    def spoil(snapshot: Snapshot, made: Plan) -> tuple[Snapshot, Plan]:
        for each in spoils:
            snapshot, made = each(snapshot, made)
        return snapshot, made

    return spoil
