"""How much GPU a claim holds and how much of that it asked for, in thousandths of a physical GPU.

A partition counts by the memory it takes from its card's counters, a share by the capacity it consumed, a device
plugin's GPU (an extended resource) as a whole one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from bayplan.core.setup import placer_for
from bayplan.core.stock import Stock
from bayplan.model.device import AllocationResult, Device, DeviceRequestAllocationResult, ResourceClaimSpec
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload

WHOLE = 1000
EXTENDED = "/gpu"  # nvidia.com/gpu, amd.com/gpu, …


class Usage(NamedTuple):
    """GPUs at one moment: thousandths free, those of them the next job could not use, cards and nodes with work."""

    free_milli: int
    stranded_milli: int
    cards: int
    nodes: int


def usage(snapshot: Snapshot, policy: Policy, mix: Sequence[Workload]) -> Usage:
    """How the GPUs of a snapshot are used, seen from the workloads that are likely to come."""
    placer = placer_for(snapshot, policy, mix)
    book, weights = placer.book, Counter[int]()
    for workload in mix:
        for pod_set in workload.pod_sets:
            weights[book.shape(pod_set.template)] += pod_set.count
    stock = Stock(book, tuple((weight, shape) for shape, weight in sorted(weights.items())), whole_share=0)
    free = stranded = cards = nodes = 0
    for sig in placer.fleet.sigs.values():
        loss, begun = stock.loss(sig), sum(1 for g in book.view(sig).gpu_free_milli if g < WHOLE)
        free, stranded = free + loss.free, stranded + loss.next
        cards, nodes = cards + begun, nodes + (begun > 0)
    return Usage(free, stranded // stock.scale, cards, nodes)


class Meter:
    """Thousandths of GPUs by device, for one set of nodes and slices."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._devices: dict[tuple[str, str, str], Device] = {}
        self._limits: dict[tuple[str, str, str], Quantity] = {}
        self.capacity_milli = sum(_extended(n.allocatable.items()) for n in snapshot.nodes.values())
        for found in snapshot.slices:
            spec = found.spec
            for counters in spec.shared_counters:
                self.capacity_milli += WHOLE
                if "memory" in counters.counters:
                    self._limits[spec.driver, spec.pool.name, counters.name] = counters.counters["memory"].value
            for device in spec.devices:
                self._devices[spec.driver, spec.pool.name, device.name] = device
                self.capacity_milli += 0 if device.consumes_counters else WHOLE

    def held_milli(self, allocation: AllocationResult) -> int:
        """What the allocation takes from physical GPUs."""
        return sum(self._held(r) for r in allocation.devices.results if not r.admin_access)

    def _held(self, given: DeviceRequestAllocationResult) -> int:
        device = self._devices.get((given.driver, given.pool, given.device))
        if device is None:
            return 0
        part = WHOLE
        for name, amount in given.consumed_capacity.items():
            whole = device.capacity[name].value if name in device.capacity else None
            if whole:
                part = min(part, -(-amount.nano * WHOLE // whole.nano))
        for consumed in device.consumes_counters:
            limit = self._limits.get((given.driver, given.pool, consumed.counter_set))
            if limit and "memory" in consumed.counters:
                return part * consumed.counters["memory"].value.nano // limit.nano
        return part

    def needed_milli(self, allocation: AllocationResult, spec: ResourceClaimSpec | None, used_bytes: int = 0) -> int:
        """What was needed of it: `used_bytes` of each GPU, else the memory the claim asked for, else all it holds."""
        asked = dict(_memory_asked(spec)) if spec else {}
        total = 0
        for given in allocation.devices.results:
            held = self._held(given)
            want = used_bytes or asked.get(given.request.partition("/")[0], 0)
            card = self._card_bytes(given)
            total += min(held, want * WHOLE // card) if want and card else held
        return total

    def _card_bytes(self, given: DeviceRequestAllocationResult) -> int:
        """Memory of the physical GPU a device is (part of)."""
        device = self._devices.get((given.driver, given.pool, given.device))
        if device is None:
            return 0
        for consumed in device.consumes_counters:
            limit = self._limits.get((given.driver, given.pool, consumed.counter_set))
            if limit:
                return limit.value
        return device.capacity["memory"].value.value if "memory" in device.capacity else 0


def extended_milli(workload: Workload) -> int:
    """Thousandths of a device plugin's GPUs that all pods of the workload ask for."""
    return sum(s.count * _extended(s.template.requests) for s in workload.pod_sets)


def _extended(amounts: Iterable[tuple[str, int]]) -> int:
    return sum(WHOLE * amount for resource, amount in amounts if resource.endswith(EXTENDED))


def _memory_asked(spec: ResourceClaimSpec) -> Iterator[tuple[str, int]]:
    """Bytes of memory each request of a claim asks for, where it does."""
    for request in spec.devices.requests:
        exactly = request.exactly
        if exactly and exactly.capacity and "memory" in exactly.capacity.requests:
            yield request.name, exactly.capacity.requests["memory"].value
