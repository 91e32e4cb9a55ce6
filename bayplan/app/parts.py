"""How much of a physical GPU each device is, and which GPU: by shared counters (KEP-4815), or by its parent's UUID.

A device that draws on counters is as much of its GPU as it takes of the memory counter. MIG cut before the driver
started has no counters; there a device is as many eighths as it has memory slices, and what no device has was not cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bayplan.model.device import Device, DeviceRequestAllocationResult, ResourceSlice

WHOLE_MILLI = 1000
MEMORY_SLICES = 8  # of every GPU that MIG cuts (A100, H100, B200)
_SLICE = re.compile(r"memory-?[sS]lice-?\d+")
# Drivers of network cards, CPUs and fabric domains announce devices too; these names are those of accelerators.
ACCELERATOR = re.compile(r"gpu|tpu|npu|neuron|gaudi", re.ASCII)

DeviceId = tuple[str, str, str]
"""(driver, pool, device)."""


class Part(NamedTuple):
    """A device as a part of `card`: `milli` thousandths of it. `memory_nano` is the whole card's memory, 0 = unknown.

    `cut` marks a piece of a card that was cut before its driver started.
    """

    id: DeviceId
    node: str
    device: Device
    card: str
    milli: int
    memory_nano: int
    cut: bool = False

    def taken_milli(self, given: DeviceRequestAllocationResult) -> int:
        """Thousandths of the card that an allocation of this device takes."""
        capacity = self.device.capacity
        if not (self.device.allow_multiple_allocations and given.consumed_capacity):
            return self.milli
        consumed = (
            (capacity[n].value.nano, amount.nano) for n, amount in given.consumed_capacity.items() if n in capacity
        )
        return max((ratio(amount * self.milli, whole * WHOLE_MILLI) for whole, amount in consumed), default=self.milli)


def parts(slices: Iterable[ResourceSlice]) -> dict[DeviceId, Part]:
    """Every accelerator device that is local to a node, in the order it is announced."""
    found: dict[DeviceId, Part] = {}
    known = [s for s in slices if ACCELERATOR.search(s.spec.driver)]
    totals = {
        (s.spec.driver, s.spec.pool.name, counters.name): {n: c.value.nano for n, c in counters.counters.items()}
        for s in known
        for counters in s.spec.shared_counters
    }
    cut: dict[tuple[str, str, str, str], list[Device]] = {}
    for spec in (s.spec for s in known):
        for device in spec.devices:
            parent = "" if device.consumes_counters else text(device, "parentUUID")
            if parent:
                cut.setdefault((spec.driver, spec.pool.name, spec.node_name, parent), []).append(device)
                continue
            id = spec.driver, spec.pool.name, device.name
            found[id] = (
                _counted(id, spec.node_name, device, totals)
                if device.consumes_counters
                else Part(id, spec.node_name, device, device.name, WHOLE_MILLI, _memory_nano(device))
            )
    for (driver, pool, node, parent), siblings in cut.items():
        found.update((p.id, p) for p in _siblings(driver, pool, node, parent, siblings))
    return found


def text(device: Device, name: str) -> str:
    """A string attribute by its name, with the driver's domain or without; "" where there is none."""
    held = (a.string for n, a in device.attributes.items() if n.rpartition("/")[2] == name)
    return next(held, None) or ""


def ratio(part: int, whole: int) -> int:
    """Thousandths, rounded, at least one."""
    return min(WHOLE_MILLI, max(1, (part * WHOLE_MILLI + whole // 2) // whole)) if whole > 0 else WHOLE_MILLI


def _counted(id: DeviceId, node: str, device: Device, totals: dict[tuple[str, str, str], dict[str, int]]) -> Part:
    """A device by what it takes of its card's memory counter, or where there is none of the scarcest."""
    consumed = device.consumes_counters[0]
    limits = totals.get((*id[:2], consumed.counter_set), {})
    names = ["memory"] if "memory" in limits else [*limits]
    shares = (ratio(consumed.counters[n].value.nano, limits[n]) for n in names if n in consumed.counters)
    card = consumed.counter_set.removesuffix("-counter-set")
    return Part(id, node, device, card, max(shares, default=WHOLE_MILLI), limits.get("memory", 0))


def _siblings(driver: str, pool: str, node: str, parent: str, devices: list[Device]) -> Iterator[Part]:
    """The pieces of one card, by memory slices; by memory among themselves where slices are not announced."""
    slices = [sum(1 for name in d.capacity if _SLICE.fullmatch(name)) for d in devices]
    whole = MEMORY_SLICES
    if not all(slices):
        slices = [_memory_nano(d) for d in devices]
        whole = sum(slices)
    for device, size in zip(devices, slices, strict=True):
        card = device.name.partition("-mig-")[0] if "-mig-" in device.name else parent
        memory = _memory_nano(device) * whole // size if size else 0
        yield Part((driver, pool, device.name), node, device, card, ratio(size, whole), memory, cut=True)


def _memory_nano(device: Device) -> int:
    held = device.capacity.get("memory")
    return held.value.nano if held else 0
