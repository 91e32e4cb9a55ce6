"""Which devices a node can use: resource pools as upstream's allocator reads them (KEP-4381, KEP-4815, KEP-5055).

Of the slices that reach a node only those of the newest generation among them count. If they are as many as the pool
says it has, nothing else is looked at; otherwise the whole cluster's slices decide whether the pool is stale or
incomplete. A device is (driver, pool, name); counter sets belong to the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bayplan.model.device import Device, DeviceTaint, DeviceTaintRule, ResourceSliceSpec
from bayplan.model.node import Node
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot

PoolId = tuple[str, str]
DeviceId = tuple[str, str, str]


class Pool(NamedTuple):
    """A pool as one node sees it: its device names with the slice each is in, or why it cannot be used."""

    found: dict[str, tuple[Device, ResourceSliceSpec]]
    older: frozenset[str]
    problem: str = ""


class Pools:
    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self._partitions = "DRAPartitionableDevices" in policy.features
        self._taints_count = "DRADeviceTaints" in policy.features
        self._rules = snapshot.taint_rules if self._taints_count else ()
        self._nodes = snapshot.nodes
        self._slices: dict[PoolId, list[ResourceSliceSpec]] = {}
        for spec in (s.spec for s in snapshot.slices):
            if self._partitions or not spec.per_device_node_selection:
                self._slices.setdefault((spec.driver, spec.pool.name), []).append(spec)
        self._seen: dict[tuple[str, str, str], Pool] = {}

    def find(self, device: DeviceId, node: str) -> Device | str:
        """The device as the node sees it, or why the node cannot use it."""
        driver, pool, name = device
        seen = self._pool(driver, pool, node)
        if seen.problem:
            return seen.problem
        if name not in seen.found:
            return "only an older generation of its pool has it" if name in seen.older else "its pool does not have it"
        found, spec = seen.found[name]
        if found.consumes_counters and not self._partitions:
            return "partitionable devices are off"
        if spec.per_device_node_selection and not _reaches(found, self._nodes[node]):
            return "the node does not reach it"
        return found

    def of_node(self, node: str) -> Iterator[tuple[DeviceId, Device]]:
        """All devices the node can use."""
        for driver, pool in self._slices:
            for name in self._pool(driver, pool, node).found:
                device = self.find((driver, pool, name), node)
                if not isinstance(device, str):
                    yield (driver, pool, name), device

    def newest(self, pool: PoolId) -> Iterator[ResourceSliceSpec]:
        """The slices of the pool's newest generation, wherever they point."""
        slices = self._slices.get(pool, ())
        generation = max((s.pool.generation for s in slices), default=0)
        return (s for s in slices if s.pool.generation == generation)

    def taints(self, identity: DeviceId, device: Device) -> tuple[DeviceTaint, ...]:
        """Taints that keep claims away, of the device itself and of taint rules."""
        if not self._taints_count:
            return ()
        ruled = tuple(r.spec.taint for r in self._rules if _touches(r, identity))
        return tuple(t for t in device.taints + ruled if t.effect in ("NoSchedule", "NoExecute"))

    def _pool(self, driver: str, pool: str, node: str) -> Pool:
        key = (driver, pool, node)
        if key not in self._seen:
            self._seen[key] = _look(self._slices.get((driver, pool), []), self._nodes.get(node))
        return self._seen[key]


def _look(slices: list[ResourceSliceSpec], node: Node | None) -> Pool:
    reaching = [s for s in slices if node is not None and _reaches(s, node)]
    if not reaching:
        return _useless("the node does not reach its pool" if slices else "its pool does not exist")
    generation = max(s.pool.generation for s in reaching)
    newest = [s for s in reaching if s.pool.generation == generation]
    whole = newest[0].pool.resource_slice_count
    if len(newest) != whole:
        if any(s.pool.generation > generation for s in slices):
            return _useless("its pool has a newer generation")
        everywhere = sum(s.pool.generation == generation for s in slices)
        if everywhere != whole:
            return _useless(f"its pool is incomplete, {everywhere} of {whole} slices are there")
    found = {d.name: (d, s) for s in newest for d in s.devices}
    if len(found) < sum(len(s.devices) for s in newest):
        return _useless("its pool names a device twice")
    return Pool(found, frozenset(d.name for s in reaching if s.pool.generation < generation for d in s.devices))


def _useless(problem: str) -> Pool:
    return Pool({}, frozenset(), problem)


def _reaches(where: ResourceSliceSpec | Device, node: Node) -> bool:
    if isinstance(where, ResourceSliceSpec) and where.per_device_node_selection:
        return any(_reaches(d, node) for d in where.devices)
    if where.all_nodes or where.node_name == node.name:
        return True
    return where.node_selector is not None and where.node_selector.matches(node.name, node.labels)


def _touches(rule: DeviceTaintRule, device: DeviceId) -> bool:
    """An empty selector touches every device, a missing one none."""
    selector = rule.spec.device_selector
    if selector is None:
        return False
    wanted = (selector.driver, selector.pool, selector.device)
    return all(not want or want == have for want, have in zip(wanted, device, strict=True))
