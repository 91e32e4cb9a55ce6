"""Which parts of resource.k8s.io are switched on (Kubernetes feature gates).

A gate that is off means three things: admin access, prioritised lists and capacity requests become errors; devices
with counters or binding conditions, and slices that need partitionable devices, are passed over; taints are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bayplan.model.policy import Policy


class Gates(NamedTuple):
    """`release` is 1.36 or 1.37: a few results and messages differ between them."""

    admin_access: bool
    prioritized_list: bool
    partitionable: bool
    consumable: bool
    taints: bool
    binding: bool
    lists: bool
    allocatable: bool
    release: tuple[int, int] = (1, 37)

    @staticmethod
    def of(names: Iterable[str], release: tuple[int, int] = (1, 37)) -> Gates:
        """From the gates' Kubernetes names; unknown names are ignored."""
        on = frozenset(names)
        return Gates(
            admin_access="DRAAdminAccess" in on,
            prioritized_list="DRAPrioritizedList" in on,
            partitionable="DRAPartitionableDevices" in on,
            consumable="DRAConsumableCapacity" in on,
            taints="DRADeviceTaints" in on,
            binding={"DRADeviceBindingConditions", "DRAResourceClaimDeviceStatus"} <= on,
            lists="DRAListTypeAttributes" in on,
            allocatable="DRANodeAllocatableResources" in on,
            release=release,
        )


DEFAULT_FEATURES = Policy().features
