"""The physical GPUs of a snapshot and who holds how much of each: what a map is drawn from.

A card is a device of its own, a device several claims share by capacity (KEP-5075), the devices that draw on one
counter set (the partitions of a GPU, KEP-4815), or one unit of a device plugin's resource. Amounts are thousandths of a
card, rounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bayplan.model.base import Value
from bayplan.model.device import Device, DeviceRequestAllocationResult, ResourceSlice
from bayplan.model.node import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Amounts, Pod

WHOLE_MILLI = 1000
# Drivers of network cards, CPUs and fabric domains announce devices too; these names are those of accelerators.
_ACCELERATOR = re.compile(r"gpu|tpu|npu|neuron|gaudi", re.ASCII)
_CLOSED_EFFECTS = ("NoSchedule", "NoExecute")
_LEAST = {"cpu": 1000, "memory": 1 << 30}  # what a pod with a GPU needs beside it where no workload tells


class Share(Value, frozen=True):
    """`milli` thousandths of a card held by a workload (or, without one, a pod or a claim); `sliced` if a part of it.

    `team` is the holder's queue, or its namespace.
    """

    holder: str
    milli: int
    team: str = ""
    sliced: bool = False


class Card(Value, frozen=True):
    """One GPU. `blocked` says why what is free of it cannot be used, "" where it can."""

    node: str
    name: str
    model: str = ""
    shares: tuple[Share, ...] = ()
    blocked: str = ""

    @property
    def used_milli(self) -> int:
        return min(WHOLE_MILLI, sum(s.milli for s in self.shares))

    @property
    def free_milli(self) -> int:
        return WHOLE_MILLI - self.used_milli

    @property
    def state(self) -> str:
        """`whole` (given to one as it is), `slice`, `free` or `stranded` (free, yet nobody could use it)."""
        if self.shares:
            return "slice" if any(s.sliced for s in self.shares) else "whole"
        return "stranded" if self.blocked else "free"


def cards(snapshot: Snapshot) -> dict[str, tuple[Card, ...]]:
    """The cards of every node that has some, by node name; nodes and cards in order."""
    held = _Held(snapshot)
    pods = _pods_by_node(snapshot)
    closed = _closed(snapshot, pods)
    found: dict[str, list[Card]] = {}
    for name, node in sorted(snapshot.nodes.items()):
        listed = list(_plugin_cards(snapshot, node, pods.get(name, ()), closed.get(name, "")))
        if listed:
            found[name] = listed
    made: dict[str, dict[str, Card]] = {}
    for part in snapshot.slices:
        if part.spec.node_name in snapshot.nodes and _ACCELERATOR.search(part.spec.driver):
            announced = made.setdefault(part.spec.node_name, {})
            for card in _announced(snapshot, part, held, closed.get(part.spec.node_name, "")):
                announced.setdefault(card.name, card)
    for name, by_name in made.items():
        found.setdefault(name, []).extend(by_name[card] for card in sorted(by_name, key=natural))
    return {name: tuple(found[name]) for name in sorted(found, key=natural)}


class _Held:
    """Shares of cards by (pool, card), from the allocations of claims."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._devices, self._totals = _catalogue(snapshot.slices)
        holders = _holders(snapshot)
        self.shares: dict[tuple[str, str], list[Share]] = {}
        for key, claim in sorted(snapshot.claims.items()):
            if claim.status.allocation is None:
                continue
            for given in claim.status.allocation.devices.results:
                self._add(given, holders.get(key, key))

    def of(self, pool: str, card: str) -> tuple[Share, ...]:
        merged: dict[tuple[str, str, bool], int] = {}
        for share in self.shares.get((pool, card), ()):
            key = share.holder, share.team, share.sliced
            merged[key] = merged.get(key, 0) + share.milli
        return tuple(Share(holder, milli, team, sliced) for (holder, team, sliced), milli in merged.items())

    def _add(self, given: DeviceRequestAllocationResult, holder: str) -> None:
        device = self._devices.get((given.driver, given.pool, given.device))
        if device is None or given.admin_access:
            return
        milli = self._milli(given, device)
        sliced = milli < WHOLE_MILLI or bool(given.consumed_capacity)
        share = Share(holder, milli, team_of(self._snapshot, holder), sliced)
        self.shares.setdefault((given.pool, _card_name(device)), []).append(share)

    def _milli(self, given: DeviceRequestAllocationResult, device: Device) -> int:
        if device.allow_multiple_allocations and given.consumed_capacity:
            parts = (
                _ratio(amount.nano, device.capacity[name].value.nano)
                for name, amount in given.consumed_capacity.items()
                if name in device.capacity
            )
            return max(parts, default=WHOLE_MILLI)
        if device.consumes_counters:
            consumed = device.consumes_counters[0]
            totals = self._totals.get((given.pool, consumed.counter_set), {})
            names = ["memory"] if "memory" in totals else [*totals]
            parts = (_ratio(consumed.counters[n].value.nano, totals[n]) for n in names if n in consumed.counters)
            return max(parts, default=WHOLE_MILLI)
        return WHOLE_MILLI


def _catalogue(
    slices: Iterable[ResourceSlice],
) -> tuple[dict[tuple[str, str, str], Device], dict[tuple[str, str], dict[str, int]]]:
    devices: dict[tuple[str, str, str], Device] = {}
    totals: dict[tuple[str, str], dict[str, int]] = {}
    for spec in (s.spec for s in slices):
        if _ACCELERATOR.search(spec.driver):
            devices |= {(spec.driver, spec.pool.name, d.name): d for d in spec.devices}
            for counters in spec.shared_counters:
                amounts = {n: c.value.nano for n, c in counters.counters.items()}
                totals[spec.pool.name, counters.name] = amounts
    return devices, totals


def _announced(snapshot: Snapshot, part: ResourceSlice, held: _Held, closed: str) -> Iterator[Card]:
    spec = part.spec
    for device in spec.devices:
        name = _card_name(device)
        yield Card(
            node=spec.node_name,
            name=name,
            model=_model(device, spec.driver),
            shares=held.of(spec.pool.name, name),
            blocked=closed or _tainted(snapshot, spec.driver, spec.pool.name, device),
        )


def _plugin_cards(snapshot: Snapshot, node: Node, pods: Iterable[Pod], closed: str) -> Iterator[Card]:
    """GPUs a device plugin counts: they have no names, so they are given out from the left."""
    for resource, count in sorted(node.allocatable.items()):
        if "/" not in resource or not _ACCELERATOR.search(resource):
            continue
        taken: list[str] = []
        for pod in pods:
            taken += [pod.workload or pod.key] * dict(pod.requests).get(resource, 0)
        for i in range(count):
            shares = (Share(taken[i], WHOLE_MILLI, team_of(snapshot, taken[i])),) if i < len(taken) else ()
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


def _tainted(snapshot: Snapshot, driver: str, pool: str, device: Device) -> str:
    taints = [*device.taints]
    for rule in snapshot.taint_rules:
        asked = rule.spec.device_selector
        if asked is None or (
            asked.driver in ("", driver) and asked.pool in ("", pool) and asked.device in ("", device.name)
        ):
            taints.append(rule.spec.taint)
    return next((f"tainted {t.key}" for t in taints if t.effect in _CLOSED_EFFECTS), "")


def _card_name(device: Device) -> str:
    if device.consumes_counters:
        return device.consumes_counters[0].counter_set.removesuffix("-counter-set")
    return device.name


def _model(device: Device, driver: str) -> str:
    names = ("productName", "model", "modelName", "tpuType")
    by_name = {name.rpartition("/")[2]: a.string for name, a in device.attributes.items() if a.string}
    return next((text for n in names if (text := by_name.get(n))), None) or driver


def _ratio(part: int, whole: int) -> int:
    return min(WHOLE_MILLI, max(1, (part * WHOLE_MILLI + whole // 2) // whole)) if whole > 0 else WHOLE_MILLI


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts `gpu-10` after `gpu-9`."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part)
