"""Which devices a node reaches: pools, their generations and their completeness (KEP-4381).

A pool is judged by the slices that concern the node, and of these by the highest generation. If they are as many as
`resourceSliceCount` says, the pool is complete and nothing else is looked at. Otherwise all slices of the pool count:
a newer generation anywhere makes the pool unusable, too few slices make it incomplete. Devices and counters may share
a slice (1.34) or not (1.35 and later); counter sets are looked up in the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bayplan.core.allocate.gates import Gates
from bayplan.model.device import CounterSet, Device, DeviceTaintRule, ResourceSlice
from bayplan.model.node import Node, NodeSelector

PoolKey = tuple[str, str, int]
"""Driver, pool name, generation."""

DeviceId = tuple[str, str, str]
"""Driver, pool name, device name."""


class Published(NamedTuple):
    """One device as its driver published it; `place` is its position (slice, device) in the pool."""

    id: DeviceId
    device: Device
    slice: ResourceSlice
    place: tuple[int, int]


class PoolContent(NamedTuple):
    """All of one generation of a pool, whatever node it is for. `counters` is empty when `invalid` says why."""

    devices: tuple[Published, ...]
    counters: Mapping[str, CounterSet]
    invalid: str


class Reach(NamedTuple):
    """A pool as one node sees it: the places of the devices it reaches, in upstream's order.

    `binds`: some device of the pool has binding conditions, which puts the pool last.
    """

    key: PoolKey
    complete: bool
    invalid: str = ""
    places: tuple[tuple[int, int], ...] = ()
    binds: bool = False


class Pools:
    """All slices of a cluster, and what each node reaches of them."""

    def __init__(self, slices: Sequence[ResourceSlice], rules: Iterable[DeviceTaintRule], gates: Gates) -> None:
        self._gates = gates
        self._rules = tuple(rules) if gates.taints else ()
        self._local: dict[str, list[ResourceSlice]] = {}
        self._wide: list[ResourceSlice] = []
        self._by_pool: dict[tuple[str, str], list[ResourceSlice]] = {}
        self._contents: dict[PoolKey, PoolContent] = {}
        for found in slices:
            spec = found.spec
            self._by_pool.setdefault((spec.driver, spec.pool.name), []).append(found)
            if self._exists(found):
                (self._local.setdefault(spec.node_name, []) if spec.node_name else self._wide).append(found)

    def _exists(self, found: ResourceSlice) -> bool:
        """Whether a slice offers anything; one that does not still counts as a slice of its pool."""
        return self._gates.partitionable or not (found.spec.per_device_node_selection or found.spec.shared_counters)

    def reach(self, node: Node) -> list[Reach]:
        """The pools a node reaches: by driver and name, those with binding conditions last."""
        relevant: dict[tuple[str, str], list[ResourceSlice]] = {}
        for found in (*self._local.get(node.name, ()), *(s for s in self._wide if _concerns(s, node))):
            pool = found.spec.pool
            slices = relevant.setdefault((found.spec.driver, pool.name), [])
            if slices and pool.generation > slices[0].spec.pool.generation:
                slices.clear()
            if not slices or pool.generation == slices[0].spec.pool.generation:
                slices.append(found)
        pools = [r for key, slices in sorted(relevant.items()) if (r := self._judged(key, slices, node))]
        return sorted(pools, key=lambda r: (r.binds, r.key[:2]))

    def _judged(self, name: tuple[str, str], relevant: list[ResourceSlice], node: Node) -> Reach | None:
        pool = relevant[0].spec.pool
        key = (*name, pool.generation)
        if len(relevant) != pool.resource_slice_count:
            everywhere = self._by_pool[name]
            if any(s.spec.pool.generation > pool.generation for s in everywhere):
                return None
            if sum(s.spec.pool.generation == pool.generation for s in everywhere) != pool.resource_slice_count:
                return Reach(key, False)
        content = self.content(key)
        if content.invalid:
            return Reach(key, True, content.invalid)
        ids = {id(s) for s in relevant}
        mine = [p for p in content.devices if id(p.slice) in ids]
        names = [p.device.name for p in mine]
        if len(set(names)) != len(names):
            return Reach(key, True, "duplicate device names")
        places = tuple(p.place for p in mine if _reaches(p, node))
        return Reach(key, True, "", places, any(p.device.binding_conditions for p in mine))

    def content(self, key: PoolKey) -> PoolContent:
        """All slices of one generation of a pool, in the order of their names."""
        known = self._contents.get(key)
        if known is None:
            slices = [s for s in self._by_pool[key[:2]] if s.spec.pool.generation == key[2]]
            slices.sort(key=lambda s: s.metadata.name)
            known = self._contents[key] = self._content(slices)
        return known

    def _content(self, slices: list[ResourceSlice]) -> PoolContent:
        devices = []
        for i, found in enumerate(slices):
            driver, pool = found.spec.driver, found.spec.pool.name
            for j, device in enumerate(found.spec.devices):
                name = (driver, pool, device.name)
                devices.append(Published(name, self._tainted(name, device) if self._rules else device, found, (i, j)))
        if not self._gates.partitionable:
            return PoolContent(tuple(devices), {}, "")
        counters: dict[str, CounterSet] = {}
        for counter_set in (c for s in slices for c in s.spec.shared_counters):
            if counter_set.name in counters:
                return PoolContent((), {}, f"duplicate counter set {counter_set.name}")
            counters[counter_set.name] = counter_set
        return PoolContent(tuple(devices), counters, _unknown_counter(devices, counters))

    def _tainted(self, name: DeviceId, device: Device) -> Device:
        added = tuple(rule.spec.taint for rule in self._rules if _selects(rule, name))
        return msgspec.structs.replace(device, taints=device.taints + added) if added else device


def _selects(rule: DeviceTaintRule, name: DeviceId) -> bool:
    wanted = rule.spec.device_selector
    if wanted is None:
        return False
    return all(not w or w == n for w, n in zip((wanted.driver, wanted.pool, wanted.device), name, strict=True))


def _unknown_counter(devices: Iterable[Published], counters: Mapping[str, CounterSet]) -> str:
    for published in devices:
        for use in published.device.consumes_counters:
            if use.counter_set not in counters:
                return f"counter set {use.counter_set} not found"
            known = counters[use.counter_set].counters
            for name in use.counters:
                if name not in known:
                    return f"counter {name} not found in counter set {use.counter_set}"
    return ""


def _matches(node: Node, name: str, everywhere: bool, selector: NodeSelector | None) -> bool:
    if name:
        return node.name == name
    return everywhere or (selector is not None and selector.matches(node.name, node.labels))


def _concerns(found: ResourceSlice, node: Node) -> bool:
    spec = found.spec
    if spec.all_nodes or spec.node_selector is not None:
        return _matches(node, "", spec.all_nodes, spec.node_selector)
    return spec.per_device_node_selection and any(_device_matches(d, node) for d in spec.devices)


def _device_matches(device: Device, node: Node) -> bool:
    return _matches(node, device.node_name, device.all_nodes, device.node_selector)


def _reaches(published: Published, node: Node) -> bool:
    return not published.slice.spec.per_device_node_selection or _device_matches(published.device, node)
