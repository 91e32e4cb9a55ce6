"""What devices take of their node's own resources: cores and memory that a claim hands out or costs (KEP-5517).

A device may stand for cores or memory (`mapping`: per device, or by the capacity a share consumes), and may cost some
beside (`overhead`: per pod, and per container that uses the claim). Amounts are billionths until a pod's are added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bayplan.model.device import Device
from bayplan.model.quantity import Quantity

NANO = 10**9


class Charge(NamedTuple):
    """What the devices of one claim take of a resource: once, and for every container that uses the claim."""

    claim: int
    resource: str
    once: int
    per_container: int


def charges(claim: int, device: Device, consumed: Mapping[str, Quantity]) -> list[Charge]:
    """What one device, or the share of it that consumes this, takes."""
    found = []
    for resource, entry in sorted(device.node_allocatable_resources.items()):
        once = each = 0
        mapping, overhead = entry.mapping, entry.overhead
        if mapping is not None and mapping.capacity_key:
            known = device.capacity.get(mapping.capacity_key)
            base = consumed.get(mapping.capacity_key) or (known.value if known is not None else Quantity(0))
            once = base.nano * _nano(mapping.capacity_multiplier, NANO) // NANO
        elif mapping is not None:
            once = _nano(mapping.device_multiplier, 0)
        if overhead is not None:
            once, each = once + _nano(overhead.per_pod, 0), _nano(overhead.per_container, 0)
        if once or each:
            found.append(Charge(claim, resource, once, each))
    return found


def _nano(quantity: Quantity | None, otherwise: int) -> int:
    return otherwise if quantity is None else quantity.nano


def total(found: Iterable[Charge], containers: Mapping[int, int]) -> tuple[tuple[str, int], ...]:
    """What a pod takes whose claims so many containers use, in the units of `Node.allocatable`, rounded up."""
    sums: dict[str, int] = {}
    for claim, resource, once, each in found:
        sums[resource] = sums.get(resource, 0) + once + each * containers.get(claim, 1)
    return tuple((r, Quantity(n).milli if r == "cpu" else Quantity(n).value) for r, n in sorted(sums.items()))
