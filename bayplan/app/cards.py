"""The physical GPUs of a snapshot, who holds how much of each and needs how much of that: what maps and sums are of.

A card is a device of its own, a device several claims share by capacity (KEP-5075), the devices that draw on one
counter set (the partitions of a GPU, KEP-4815) or have one parent, or one unit of a device plugin's resource. Amounts
are thousandths of a card, rounded; on every card what is held and what is free make exactly 1000.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bayplan.app.asked import memory, specs
from bayplan.app.parts import ACCELERATOR, WHOLE_MILLI, DeviceId, Part, parts, ratio, text
from bayplan.core.allocate.remains import Remains, remains
from bayplan.model.base import Value
from bayplan.model.codec import to_json
from bayplan.model.device import AllocationResult, DeviceRequestAllocationResult, ResourceClaim, ResourceClaimSpec
from bayplan.model.node import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Amounts, Pod

_CLOSED_EFFECTS = ("NoSchedule", "NoExecute")
_LEAST = {"cpu": 1000, "memory": 1 << 30}  # what a pod with a GPU needs beside it where no workload tells


class Share(Value, frozen=True):
    """`milli` thousandths of a card held by a workload (or, without one, a pod or a claim); `sliced` if a part of it.

    `team` is the holder's queue, or its namespace. `needed_milli` is what it says it needs of that, all of it where it
    says nothing.
    """

    holder: str
    milli: int
    team: str = ""
    sliced: bool = False
    needed_milli: int = 0


class Card(Value, frozen=True):
    """One GPU. `blocked` says why what is free of it cannot be used, "" where it can.

    `unusable_milli` of what is free are of no use to anybody: no partition covers them, or nobody known asks for what
    they would make.
    """

    node: str
    name: str
    model: str = ""
    shares: tuple[Share, ...] = ()
    blocked: str = ""
    unusable_milli: int = 0

    @property
    def used_milli(self) -> int:
        return sum(s.milli for s in self.shares)

    @property
    def free_milli(self) -> int:
        return WHOLE_MILLI - self.used_milli

    @property
    def stranded_milli(self) -> int:
        """Free, and of no use."""
        return self.free_milli if self.blocked else min(self.free_milli, self.unusable_milli)

    @property
    def state(self) -> str:
        """`whole` (given to one as it is), `slice`, `free` or `stranded` (free, yet nobody could use it)."""
        if self.shares:
            return "slice" if any(s.sliced for s in self.shares) else "whole"
        return "stranded" if self.stranded_milli == WHOLE_MILLI else "free"


def cards(snapshot: Snapshot) -> dict[str, tuple[Card, ...]]:
    """The cards of every node that has some, by node name; nodes and cards in order."""
    pods = _pods_by_node(snapshot)
    closed = _closed(snapshot, pods)
    found: dict[str, list[Card]] = {}
    for name, node in sorted(snapshot.nodes.items()):
        listed = list(_plugin_cards(snapshot, node, pods.get(name, ()), closed.get(name, "")))
        if listed:
            found[name] = listed
    local = {id: part for id, part in parts(snapshot.slices).items() if part.node in snapshot.nodes}
    asked = specs(snapshot)
    shares = _shares(snapshot, local, asked)
    left = _left(snapshot, local, asked, shares)
    taken = frozenset(_taken(snapshot))
    likely = bool(snapshot.workloads)  # without any, nobody tells what is likely, and hardware alone decides
    members: dict[tuple[str, str], list[Part]] = {}
    for part in local.values():
        members.setdefault((part.node, part.card), []).append(part)
    for (node_name, card), devices in sorted(members.items(), key=lambda m: natural(m[0][1])):
        held = shares.get((node_name, card), ())
        found.setdefault(node_name, []).append(
            Card(
                node=node_name,
                name=card,
                model=_model(devices[0]),
                shares=held,
                blocked=closed.get(node_name, "") or _tainted(snapshot, devices),
                unusable_milli=_unusable([(p, left[p.id]) for p in devices if p.id in left], held, taken, likely),
            )
        )
    return {name: tuple(found[name]) for name in sorted(found, key=natural)}


Shares = Mapping[tuple[str, str], tuple[Share, ...]]
"""By (node, card)."""


def _shares(snapshot: Snapshot, local: Mapping[DeviceId, Part], asked: Mapping[str, ResourceClaimSpec]) -> Shares:
    """Who holds what of each card, from the allocations of claims; never more than there is."""
    holders = _holders(snapshot)
    found: dict[tuple[str, str], dict[tuple[str, bool], tuple[int, int]]] = {}
    for key, claim in sorted(snapshot.claims.items()):
        for given in _given(claim):
            part = local.get((given.driver, given.pool, given.device))
            if part is None or given.admin_access:
                continue
            on_card = found.setdefault((part.node, part.card), {})
            room = WHOLE_MILLI - sum(milli for milli, _ in on_card.values())
            milli = min(room, part.taken_milli(given))
            needed = _needed_milli(part, milli, claim, asked.get(key), given.request)
            who = holders.get(key, key), milli < WHOLE_MILLI or bool(given.consumed_capacity)
            before = on_card.get(who, (0, 0))
            on_card[who] = before[0] + milli, before[1] + needed
    return {
        card: tuple(
            Share(holder, milli, team_of(snapshot, holder), sliced, needed)
            for (holder, sliced), (milli, needed) in held.items()
        )
        for card, held in found.items()
    }


def _needed_milli(part: Part, milli: int, claim: ResourceClaim, spec: ResourceClaimSpec | None, request: str) -> int:
    needed = memory(claim, spec, request)
    return min(milli, ratio(needed.nano, part.memory_nano)) if needed and part.memory_nano else milli


def _given(claim: ResourceClaim) -> tuple[DeviceRequestAllocationResult, ...]:
    return claim.status.allocation.devices.results if claim.status.allocation else ()


def _left(
    snapshot: Snapshot, local: Mapping[DeviceId, Part], asked: Mapping[str, ResourceClaimSpec], shares: Shares
) -> dict[DeviceId, Remains]:
    """What is left of cards that are cut: in use by parts, or cut before their driver started."""
    cut = {p.node for p in local.values() if p.cut or any(s.sliced for s in shares.get((p.node, p.card), ()))}
    if not cut:
        return {}
    templates = (c.template for w in snapshot.workloads.values() for s in w.pod_sets for c in s.template.claims)
    held: tuple[AllocationResult, ...] = tuple(
        c.status.allocation for _, c in sorted(snapshot.claims.items()) if c.status.allocation is not None
    )
    return remains(
        [s for s in snapshot.slices if s.spec.node_name in cut],
        {name: node for name, node in snapshot.nodes.items() if name in cut},
        snapshot.device_classes,
        held,
        {to_json(spec): spec for spec in (*asked.values(), *(t for t in templates if t is not None))}.values(),
        taint_rules=snapshot.taint_rules,
    )


def _unusable(
    left: list[tuple[Part, Remains]], held: tuple[Share, ...], taken: frozenset[DeviceId], likely: bool
) -> int:
    """Thousandths of a card that are free and of no use, as far as its node is open."""
    if left and left[0][0].cut:
        useful = sum(p.milli for p, r in left if p.id not in taken and (r.wanted or not likely))
        return max(0, WHOLE_MILLI - sum(s.milli for s in held) - useful)
    if not left or not any(s.sliced for s in held):
        return 0
    remainder = left[0][1]
    return remainder.uncovered_milli if remainder.wanted or not likely else WHOLE_MILLI


def _taken(snapshot: Snapshot) -> Iterator[DeviceId]:
    for claim in snapshot.claims.values():
        for given in _given(claim):
            if not given.admin_access:
                yield given.driver, given.pool, given.device


def _plugin_cards(snapshot: Snapshot, node: Node, pods: Iterable[Pod], closed: str) -> Iterator[Card]:
    """GPUs a device plugin counts: they have no names, so they are given out from the left."""
    for resource, count in sorted(node.allocatable.items()):
        if "/" not in resource or not ACCELERATOR.search(resource):
            continue
        taken: list[str] = []
        for pod in pods:
            taken += [pod.workload or pod.key] * dict(pod.requests).get(resource, 0)
        for i in range(count):
            shares = (
                (Share(taken[i], WHOLE_MILLI, team_of(snapshot, taken[i]), needed_milli=WHOLE_MILLI),)
                if i < len(taken)
                else ()
            )
            yield Card(node.name, f"{resource.rpartition('/')[2]}-{i}", resource, shares, closed)


def team_of(snapshot: Snapshot, holder: str) -> str:
    """Who a workload (or a pod) belongs to: its queue, or its namespace."""
    workload = snapshot.workloads.get(holder)
    return (workload.queue_name if workload else "") or holder.partition("/")[0]


def _pods_by_node(snapshot: Snapshot) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for _, pod in sorted(snapshot.pods.items()):
        if pod.node:
            found.setdefault(pod.node, []).append(pod)
    return found


def _holders(snapshot: Snapshot) -> dict[str, str]:
    """Claim key → who holds it."""
    return {claim: pod.workload or key for key, pod in sorted(snapshot.pods.items()) for _, claim in pod.claims}


def _closed(snapshot: Snapshot, pods: Mapping[str, Iterable[Pod]]) -> dict[str, str]:
    """Nodes that can take no further pod with a GPU, and why."""
    least = _least(snapshot)
    used: dict[str, dict[str, int]] = {}
    for name, bound in pods.items():
        amounts = used.setdefault(name, {})
        for resource, amount in (pair for pod in bound for pair in pod.requests):
            amounts[resource] = amounts.get(resource, 0) + amount
    found = {name: _why_closed(node, used.get(name, {}), least) for name, node in snapshot.nodes.items()}
    return {name: why for name, why in found.items() if why}


def _why_closed(node: Node, used: Mapping[str, int], least: Mapping[str, int]) -> str:
    if not node.ready:
        return "not ready"
    if node.unschedulable:
        return "cordoned"
    for resource, amount in least.items():
        total = node.allocatable.get(resource)
        if total is not None and total - used.get(resource, 0) < amount:
            return f"no {resource} left beside it"
    return ""


def _least(snapshot: Snapshot) -> dict[str, int]:
    """The least cpu and memory that any workload with devices asks for per pod; who asks for none tells nothing."""
    asked: list[Amounts] = [
        s.template.requests for w in snapshot.workloads.values() for s in w.pod_sets if s.template.claims
    ]
    told = {r: [amount for a in asked if (amount := dict(a).get(r, 0))] for r in _LEAST}
    return {resource: min(told[resource], default=usual) for resource, usual in _LEAST.items()}


def _tainted(snapshot: Snapshot, devices: Iterable[Part]) -> str:
    """The taint that closes a card: each of its devices has one."""
    found = [_taint(snapshot, part) for part in devices]
    return f"tainted {found[0]}" if found and all(found) else ""


def _taint(snapshot: Snapshot, part: Part) -> str:
    driver, pool, name = part.id
    taints = [*part.device.taints]
    for rule in snapshot.taint_rules:
        asked = rule.spec.device_selector
        if asked is None or (asked.driver in ("", driver) and asked.pool in ("", pool) and asked.device in ("", name)):
            taints.append(rule.spec.taint)
    return next((t.key for t in taints if t.effect in _CLOSED_EFFECTS), "")


def _model(part: Part) -> str:
    names = ("productName", "model", "modelName", "tpuType")
    return next((found for n in names if (found := text(part.device, n))), "") or part.id[0]


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `gpu-10` after `gpu-9`."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part)
