"""Which devices a node can use: resource pools as upstream's allocator reads them (KEP-4381, KEP-4815, KEP-5055).

Of the slices that reach a node only those of the newest generation among them count. If they are as many as the pool
says it has, nothing else is looked at; otherwise the whole cluster's slices decide whether the pool is stale or
incomplete. A device is (driver, pool, name); counter sets belong to the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bayplan.model.base import Value
from bayplan.model.device import Device, DeviceAttribute, DeviceTaint, DeviceTaintRule, ResourceSlice, ResourceSliceSpec
from bayplan.model.node import Node
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot

PoolId = tuple[str, str]
DeviceId = tuple[str, str, str]
UNKNOWN = DeviceAttribute()
SEEN_MAX = 50_000  # devices remembered, some 15 MB: of a fleet cut into partitions there are millions


class Seen(Value, frozen=True):
    """A published device; `unreadable` names an attribute whose type this version does not know, "" without one.

    A `plain` one is there for every node that its pool is there for.
    """

    identity: DeviceId
    device: Device
    spec: ResourceSliceSpec
    unreadable: str
    plain: bool


class Pool(NamedTuple):
    """A pool as one node sees it: its devices by name, or why it cannot be used."""

    found: dict[str, Seen]
    older: frozenset[str]
    problem: str = ""


class Pools:
    """What nodes see of pools, each looked at once: nodes and slices hardly ever change, and never in place."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self._of = snapshot.nodes, snapshot.slices, snapshot.taint_rules, policy.features
        self._partitions = "DRAPartitionableDevices" in policy.features
        self._taints_count = "DRADeviceTaints" in policy.features
        self._rules = snapshot.taint_rules if self._taints_count else ()
        self._nodes = snapshot.nodes
        self._slices = _by_pool(snapshot.slices, self._partitions)
        self._seen: dict[tuple[str, str, str], Pool] = {}
        self._count = 0

    def are_of(self, snapshot: Snapshot, policy: Policy) -> bool:
        nodes, slices, rules, features = self._of
        same = nodes is snapshot.nodes and slices is snapshot.slices and rules is snapshot.taint_rules
        return same and features == policy.features

    def find(self, device: DeviceId, node: str) -> Seen | str:
        """The device as the node sees it, or why the node cannot use it."""
        driver, pool, name = device
        seen = self._pool(driver, pool, node)
        if seen.problem:
            return seen.problem
        found = seen.found.get(name)
        if found is None:
            return "only an older generation of its pool has it" if name in seen.older else "its pool does not have it"
        if found.plain:
            return found
        if found.device.consumes_counters and not self._partitions:
            return "partitionable devices are off"
        if found.spec.per_device_node_selection and not _reaches(found.device, self._nodes[node]):
            return "the node does not reach it"
        return found

    def of_node(self, node: str) -> Iterator[Seen]:
        """All devices the node can use."""
        for driver, pool in self._slices:
            for name in self._pool(driver, pool, node).found:
                device = self.find((driver, pool, name), node)
                if not isinstance(device, str):
                    yield device

    def newest(self, pool: PoolId) -> Iterator[ResourceSliceSpec]:
        """The slices of the pool's newest generation, wherever they point."""
        slices = self._slices.get(pool, ())
        generation = max((s.pool.generation for s in slices), default=0)
        return (s for s in slices if s.pool.generation == generation)

    def taints(self, identity: DeviceId, device: Device) -> tuple[DeviceTaint, ...]:
        """Taints that keep claims away, of the device itself and of taint rules."""
        if not self._taints_count or not (self._rules or device.taints):
            return ()
        ruled = tuple(r.spec.taint for r in self._rules if _touches(r, identity))
        return tuple(t for t in device.taints + ruled if t.effect in ("NoSchedule", "NoExecute"))

    def _pool(self, driver: str, pool: str, node: str) -> Pool:
        known = self._seen.get((driver, pool, node))
        if known is None:
            known = _look(self._slices.get((driver, pool), []), self._nodes.get(node))
            self._count += 1 + len(known.found)
            if self._count > SEEN_MAX:
                self._seen.clear()
                self._count = 0
            self._seen[driver, pool, node] = known
        return known


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
    found = {d.name: _seen(d, s) for s in newest for d in s.devices}
    if len(found) < sum(len(s.devices) for s in newest):
        return _useless("its pool names a device twice")
    return Pool(found, frozenset(d.name for s in reaching if s.pool.generation < generation for d in s.devices))


def _seen(device: Device, spec: ResourceSliceSpec) -> Seen:
    unreadable = next((name for name, a in device.attributes.items() if a == UNKNOWN), "")
    plain = not device.consumes_counters and not spec.per_device_node_selection
    return Seen((spec.driver, spec.pool.name, device.name), device, spec, unreadable, plain)


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


_last: list[Pools] = []
_sliced: list[tuple[tuple[ResourceSlice, ...], bool, dict[PoolId, list[ResourceSliceSpec]]]] = [((), False, {})]


def pools_of(snapshot: Snapshot, policy: Policy) -> Pools:
    """The pools of a snapshot; those of the last one if it had the same nodes, slices and rules."""
    if not _last or not _last[0].are_of(snapshot, policy):
        _last[:] = [Pools(snapshot, policy)]
    return _last[0]


def _by_pool(slices: tuple[ResourceSlice, ...], partitions: bool) -> Mapping[PoolId, list[ResourceSliceSpec]]:
    known, with_, found = _sliced[0]
    if known is slices and with_ == partitions:
        return found
    found = {}
    for spec in (s.spec for s in slices):
        if partitions or not spec.per_device_node_selection:
            found.setdefault((spec.driver, spec.pool.name), []).append(spec)
    _sliced[0] = slices, partitions, found
    return found
