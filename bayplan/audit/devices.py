"""No device given twice, no counter and no shared capacity over its limit (KEP-4381, KEP-4815, KEP-5075).

Only devices, counter sets and capacities that the plan gives something of are looked at. Access for administration
takes nothing. Counters are charged once per device, however many claims share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bayplan.audit.aftermath import Aftermath
from bayplan.audit.findings import CapacityOverdrawn, CounterOverdrawn, DeviceGivenTwice, DeviceMissing, Finding
from bayplan.audit.pools import DeviceId, PoolId, Pools
from bayplan.model.base import Value
from bayplan.model.device import Device, DeviceRequestAllocationResult


class Hold(Value, frozen=True):
    """One device, or share of it, in the hands of a claim."""

    claim: str
    result: DeviceRequestAllocationResult


def audit_devices(after: Aftermath, pools: Pools) -> Iterator[Finding]:
    new: dict[DeviceId, Device] = {}
    holds: dict[DeviceId, list[Hold]] = {}
    for given in after.given.values():
        for served in given.served:
            if served.result.admin_access:
                continue
            if served.seen is None:
                yield DeviceMissing(given.claim, served.label, given.node, served.problem)
                continue
            new[served.identity] = served.seen.device
            holds.setdefault(served.identity, []).append(Hold(given.claim, served.result))
    # Held devices matter where the plan draws on the same device or on a counter of the same pool.
    for pool in {identity[:2]: None for identity in new}:
        for claim, allocation in after.holding(pool):
            for result in allocation.devices.results:
                if (result.driver, result.pool) == pool and not result.admin_access:
                    holds.setdefault((*pool, result.device), []).append(Hold(claim, result))
    shared = "DRAConsumableCapacity" in after.policy.features
    for identity, device in new.items():
        if shared and device.allow_multiple_allocations:
            yield from _shares(identity, device, holds[identity])
        elif len(holds[identity]) > 1:
            yield DeviceGivenTwice("/".join(identity), tuple(h.claim for h in holds[identity]))
    yield from _counters(new, holds, pools)


def _shares(identity: DeviceId, device: Device, holds: list[Hold]) -> Iterator[Finding]:
    ids = [h.result.share_id for h in holds if h.result.share_id]
    if len({*ids}) < len(ids):
        yield DeviceGivenTwice("/".join(identity), tuple(h.claim for h in holds))
    for name, capacity in device.capacity.items():
        used = sum(h.result.consumed_capacity[name].nano for h in holds if name in h.result.consumed_capacity)
        if used > capacity.value.nano:
            yield CapacityOverdrawn("/".join(identity), name, used, capacity.value.nano)


def _counters(
    new: Mapping[DeviceId, Device], holds: Mapping[DeviceId, list[Hold]], pools: Pools
) -> Iterator[CounterOverdrawn]:
    drawn_on = {
        (driver, pool, consumed.counter_set): None
        for (driver, pool, _), device in new.items()
        for consumed in device.consumes_counters
    }
    in_use: dict[PoolId, list[str]] = {}
    for driver, pool, name in holds:
        in_use.setdefault((driver, pool), []).append(name)
    for pool_id in dict.fromkeys(key[:2] for key in drawn_on):
        limits, devices = _published(pools, pool_id)
        used: dict[tuple[str, str], int] = {}
        for name in in_use[pool_id]:
            device = new.get((*pool_id, name)) or devices.get(name)
            for consumed in device.consumes_counters if device else ():
                if (*pool_id, consumed.counter_set) in drawn_on:
                    for counter, amount in consumed.counters.items():
                        key = (consumed.counter_set, counter)
                        used[key] = used.get(key, 0) + amount.value.nano
        for (counter_set, counter), amount_nano in used.items():
            limit = limits.get((counter_set, counter), 0)
            if amount_nano > limit:
                yield CounterOverdrawn("/".join(pool_id), f"{counter_set}/{counter}", amount_nano, limit)


def _published(pools: Pools, pool: PoolId) -> tuple[dict[tuple[str, str], int], dict[str, Device]]:
    """The pool's counter limits in billionths, and its devices, from its newest generation."""
    limits: dict[tuple[str, str], int] = {}
    devices: dict[str, Device] = {}
    for spec in pools.newest(pool):
        devices.update((d.name, d) for d in spec.devices)
        for counters in spec.shared_counters:
            limits.update(((counters.name, name), c.value.nano) for name, c in counters.counters.items())
    return limits, devices
