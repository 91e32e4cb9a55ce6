"""What keeps one user of a GPU from another, as data.

`hardware`: a MIG instance, an AMD partition, an SR-IOV function, or a device nobody else can have. `memory-limit`: MPS
with a memory limit; faults and bandwidth are shared. `none`: time slicing, and shares of a consumable device, which
only the scheduler's accounts keep apart. Users of CPUs and network interfaces are kept apart by the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bayplan.core.allocate.pools import DeviceId
from bayplan.model.device import AllocationResult, Device
from bayplan.model.isolation import Isolation, weakest
from bayplan.model.quantity import Quantity


class Terms(NamedTuple):
    """On what terms a pod takes devices: for whom ("" = nobody minds), and the least isolation it accepts."""

    tenant: str = ""
    least: Isolation = Isolation.NONE


ANY = Terms()
NOTHING: Mapping[str, Quantity] = {}

PARTITION_TYPES = ("mig", "amdgpu-partition", "vf")
"""`type` attributes of devices that the hardware cuts out of a GPU, or cuts a GPU into."""

KERNEL_DRIVERS = ("dra.cpu", "dra.memory", "dra.net")
"""Drivers of what the kernel shares out by itself: cpusets, memory limits, traffic control."""


def of_device(
    device: Device,
    parameters: Iterable[Any] = (),
    driver: str = "",
    consumed: Mapping[str, Quantity] = NOTHING,
) -> Isolation:
    """The isolation of one allocation of a device under these opaque driver parameters (`sharing` as NVIDIA has it).

    A share that `consumed` all there is of a device has it alone.
    """
    found = [Isolation.HARDWARE]
    if device.allow_multiple_allocations and not _is_partition(device) and not _is_all(device, consumed):
        found.append(Isolation.MEMORY_LIMIT if driver in KERNEL_DRIVERS else Isolation.NONE)
    for given in parameters:
        sharing = given.get("sharing") if isinstance(given, Mapping) else None
        if isinstance(sharing, Mapping):
            found.append(_of_sharing(sharing))
    return weakest(found)


def of_allocation(allocation: AllocationResult, devices: Mapping[DeviceId, Device]) -> Isolation:
    """The weakest isolation among a claim's devices; a device that is no longer published isolates nothing."""
    found = Isolation.HARDWARE
    for result in allocation.devices.results:
        device = devices.get((result.driver, result.pool, result.device))
        if device is None:
            return Isolation.NONE
        names = (result.request, result.request.partition("/")[0])
        parameters = [
            entry.opaque.parameters
            for entry in allocation.devices.config
            if entry.opaque is not None
            and entry.opaque.driver == result.driver
            and (not entry.requests or any(n in entry.requests for n in names))
        ]
        found = weakest((found, of_device(device, parameters, result.driver, result.consumed_capacity)))
    return found


def _is_partition(device: Device) -> bool:
    kind = device.attributes.get("type")
    return kind is not None and kind.string in PARTITION_TYPES


def _is_all(device: Device, consumed: Mapping[str, Quantity]) -> bool:
    return bool(consumed) and all(n in consumed and consumed[n] >= c.value for n, c in device.capacity.items())


def _of_sharing(sharing: Mapping[str, Any]) -> Isolation:
    strategy = sharing.get("strategy")
    if strategy == "MPS":
        config = sharing.get("mpsConfig")
        limits = ("defaultPinnedDeviceMemoryLimit", "defaultPerDevicePinnedMemoryLimit")
        limited = isinstance(config, Mapping) and any(config.get(name) for name in limits)
        return Isolation.MEMORY_LIMIT if limited else Isolation.NONE
    return Isolation.NONE if strategy == "TimeSlicing" else Isolation.HARDWARE
