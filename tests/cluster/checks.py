"""What must hold in a cluster after anything: computed from the raw objects of the API, with code of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Protocol

Json = dict[str, Any]
DeviceId = tuple[str, str, str]

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9}


class Objects(Protocol):
    """Whoever can list the objects of a kind."""

    def all(self, kind: str, namespace: str = "") -> list[Json]: ...


def sound(world: Objects) -> list[str]:
    """Everything that is wrong: devices and nodes over-allocated, gangs in part, claims and reservations left."""
    return [*over_allocated(world), *left_over(world), *half_bound(world)]


def over_allocated(world: Objects) -> list[str]:
    """Devices, counters, capacities and nodes that are given out beyond what they have, pods without their devices."""
    pods, claims = _alive(world), world.all("ResourceClaim")
    return [
        *_devices(claims, world.all("ResourceSlice")),
        *_nodes(pods, world.all("Node")),
        *_bound_have_devices(pods, claims, world.all("PodGroup")),
    ]


def left_over(world: Objects) -> list[str]:
    """Devices and reservations that nobody is there for."""
    return list(_reservations(world.all("ResourceClaim"), [*_alive(world), *world.all("PodGroup")]))


def half_bound(world: Objects) -> list[str]:
    """Gangs of which some pods have nodes and some have not."""
    return list(_gangs(world.all("Workload"), _alive(world)))


def _alive(world: Objects) -> list[Json]:
    return [p for p in world.all("Pod") if p.get("status", {}).get("phase") not in ("Succeeded", "Failed")]


def number(text: str) -> Decimal:
    if text.endswith("m"):
        return Decimal(text[:-1]) / 1000
    unit = next((u for u in _UNITS if text.endswith(u)), "")
    return Decimal(text.removesuffix(unit)) * _UNITS.get(unit, 1)


def _devices(claims: list[Json], slices: list[Json]) -> Iterator[str]:
    known, counters = _catalogue(slices)
    holders: dict[DeviceId, list[Json]] = defaultdict(list)
    for claim in claims:
        for result in _results(claim):
            holders[result["driver"], result["pool"], result["device"]].append(result)
    used: dict[tuple[str, str, str, str], Decimal] = defaultdict(Decimal)
    for device, results in holders.items():
        found = known.get(device)
        if found is None:
            yield f"device {device} is allocated and does not exist"
            continue
        if len(results) > 1 and not found.get("allowMultipleAllocations"):
            yield f"device {device} is allocated {len(results)} times"
        for name, capacity in (found.get("capacity") or {}).items():
            taken = sum((number(str((r.get("consumedCapacity") or {}).get(name, 0))) for r in results), Decimal())
            if taken > number(str(capacity["value"])):
                yield f"device {device}: {taken} of {capacity['value']} {name}"
        for consumption in found.get("consumesCounters") or ():
            for name, counter in consumption["counters"].items():
                used[device[0], device[1], consumption["counterSet"], name] += number(str(counter["value"]))
    for key, amount in used.items():
        if amount > counters.get(key, Decimal()):
            yield f"counter {key}: {amount} of {counters.get(key)}"


def _catalogue(slices: list[Json]) -> tuple[dict[DeviceId, Json], dict[tuple[str, str, str, str], Decimal]]:
    known: dict[DeviceId, Json] = {}
    counters: dict[tuple[str, str, str, str], Decimal] = {}
    for piece in slices:
        driver, pool = piece["spec"]["driver"], piece["spec"]["pool"]["name"]
        for device in piece["spec"].get("devices") or ():
            known[driver, pool, device["name"]] = device
        for group in piece["spec"].get("sharedCounters") or ():
            for name, counter in group["counters"].items():
                counters[driver, pool, group["name"], name] = number(str(counter["value"]))
    return known, counters


def _nodes(pods: list[Json], nodes: list[Json]) -> Iterator[str]:
    used: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for pod in pods:
        node = pod["spec"].get("nodeName")
        for container in pod["spec"]["containers"] if node else ():
            for name, amount in ((container.get("resources") or {}).get("requests") or {}).items():
                used[node, name] += number(str(amount))
    allocatable = {n["metadata"]["name"]: n["status"].get("allocatable") or {} for n in nodes}
    for (node, name), amount in used.items():
        have = allocatable.get(node)
        if have is not None and amount > number(str(have.get(name, 0))):
            yield f"node {node}: {amount} of {have.get(name)} {name}"


def _reservations(claims: list[Json], consumers: list[Json]) -> Iterator[str]:
    alive = {c["metadata"]["uid"] for c in consumers}
    for claim in claims:
        name, status = claim["metadata"]["name"], claim.get("status") or {}
        if claim["metadata"].get("deletionTimestamp"):
            continue
        reserved = status.get("reservedFor") or []
        for consumer in reserved:
            if consumer["uid"] not in alive:
                yield f"claim {name} is reserved for {consumer['name']}, which is gone"
        if status.get("allocation") and not reserved:
            yield f"claim {name} holds devices for nobody"
        if status.get("allocation") and not claim["metadata"].get("finalizers"):
            yield f"claim {name} holds devices and could be deleted"


def _bound_have_devices(pods: list[Json], claims: list[Json], groups: list[Json]) -> Iterator[str]:
    named = {(g["metadata"]["namespace"], g["metadata"]["name"]): g for g in groups}
    by_name = {(c["metadata"]["namespace"], c["metadata"]["name"]): c for c in claims}
    for pod in pods:
        node, meta = pod["spec"].get("nodeName"), pod["metadata"]
        made = {s["name"]: s.get("resourceClaimName") for s in pod["status"].get("resourceClaimStatuses") or ()}
        for entry in (pod["spec"].get("resourceClaims") or ()) if node else ():
            name = entry.get("resourceClaimName") or made.get(entry["name"])
            claim = by_name.get((meta["namespace"], str(name))) or {}
            status = claim.get("status") or {}
            group = named.get((meta["namespace"], (pod["spec"].get("schedulingGroup") or {}).get("podGroupName")))
            shared = group is not None and entry in (group["spec"].get("resourceClaims") or ())
            uid = group["metadata"]["uid"] if group is not None and shared else meta["uid"]
            if uid not in [r["uid"] for r in status.get("reservedFor") or ()]:
                yield f"pod {meta['name']} runs on {node} without claim {name}"
            elif any(r["pool"] != node for r in _results(claim)):
                yield f"pod {meta['name']} runs on {node}, its devices are elsewhere"


def _gangs(workloads: list[Json], pods: list[Json]) -> Iterator[str]:
    for workload in workloads:
        meta, status = workload["metadata"], workload.get("status") or {}
        owners = {o["uid"] for o in meta.get("ownerReferences") or ()}
        members = [p for p in pods if _belongs(p, meta, owners)]
        bound = sum(1 for p in members if p["spec"].get("nodeName") and not p["metadata"].get("deletionTimestamp"))
        wanted = sum(s["count"] for s in workload["spec"]["podSets"])
        ended = sum(r["count"] for r in status.get("reclaimablePods") or ())
        finished = any(c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions") or ())
        if bound not in (0, wanted - ended) and not finished:
            yield f"gang {meta['name']}: {bound} of {wanted} pods are bound"


def _belongs(pod: Json, workload: Json, owners: set[str]) -> bool:
    meta = pod["metadata"]
    if meta["namespace"] != workload["namespace"]:
        return False
    named = (meta.get("annotations") or {}).get("kueue.x-k8s.io/workload") == workload["name"]
    return named or meta["uid"] in owners or any(o["uid"] in owners for o in meta.get("ownerReferences") or ())


def _results(claim: Json) -> list[Json]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or ())
