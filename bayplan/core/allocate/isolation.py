"""What keeps one user of a GPU from another, as data (dra.md section 7).

`hardware`: a MIG instance, an AMD partition, an SR-IOV function, or a device nobody else can have. `memory-limit`: MPS
with a memory limit; faults and bandwidth are shared. `none`: time slicing, and shares of a consumable device, which
only the scheduler's accounts keep apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from bayplan.core.allocate.pools import DeviceId
from bayplan.model.device import AllocationResult, Device


class Isolation(StrEnum):
    """Strongest first."""

    HARDWARE = "hardware"
    MEMORY_LIMIT = "memory-limit"
    NONE = "none"

    def satisfies(self, least: Isolation) -> bool:
        """Whether it is at least as strong."""
        order = list(Isolation)
        return order.index(self) <= order.index(least)


PARTITION_TYPES = ("mig", "amdgpu-partition", "vf")
"""`type` attributes of devices that the hardware cuts out of a GPU."""


def of_device(device: Device, parameters: Iterable[Any] = ()) -> Isolation:
    """The isolation of one allocation of a device under these opaque driver parameters (`sharing` as NVIDIA has it)."""
    found = Isolation.NONE if device.allow_multiple_allocations else Isolation.HARDWARE
    if _is_partition(device):
        found = Isolation.HARDWARE
    for given in parameters:
        sharing = given.get("sharing") if isinstance(given, Mapping) else None
        if isinstance(sharing, Mapping):
            found = _weaker(found, _of_sharing(sharing))
    return found


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
        found = _weaker(found, of_device(device, parameters))
    return found


def _is_partition(device: Device) -> bool:
    kind = device.attributes.get("type")
    return kind is not None and kind.string in PARTITION_TYPES


def _of_sharing(sharing: Mapping[str, Any]) -> Isolation:
    strategy = sharing.get("strategy")
    if strategy == "MPS":
        config = sharing.get("mpsConfig")
        limits = ("defaultPinnedDeviceMemoryLimit", "defaultPerDevicePinnedMemoryLimit")
        limited = isinstance(config, Mapping) and any(config.get(name) for name in limits)
        return Isolation.MEMORY_LIMIT if limited else Isolation.NONE
    return Isolation.NONE if strategy == "TimeSlicing" else Isolation.HARDWARE


def _weaker(one: Isolation, other: Isolation) -> Isolation:
    return other if one.satisfies(other) else one
