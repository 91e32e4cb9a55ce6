"""A second allocator, slow and plain: tries every assignment and checks it whole.

It shares nothing with `bayplan.core.allocate` but the model. A world here is one pool on one node; selectors are those
of `worlds.is_`, understood as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

from bayplan.model.device import (
    Device,
    DeviceConstraint,
    DeviceRequest,
    DeviceSubRequest,
    ExactDeviceRequest,
    ResourceClaimSpec,
    ResourceSlice,
)

IS = re.compile(r'device\.attributes\["gpu\.test"\]\.(\w+) == "(\w+)"')


class Given(NamedTuple):
    """One device for one request of one claim."""

    claim: int
    request: str
    device: str
    memory: int
    admin: bool


Wish = ExactDeviceRequest | DeviceSubRequest


def solvable(slices: Sequence[ResourceSlice], held: Sequence[Given], claims: Sequence[ResourceClaimSpec]) -> bool:
    """Whether some assignment serves all claims."""
    return any(valid(slices, held, claims, given) for given in _assignments(slices, held, claims))


def valid(
    slices: Sequence[ResourceSlice],
    held: Sequence[Given],
    claims: Sequence[ResourceClaimSpec],
    given: Sequence[Given],
) -> bool:
    """Whether an assignment takes nothing twice, nothing too much, and keeps every constraint."""
    devices = _devices(slices)
    return (
        _in_stock(slices, devices, [*held, *given])
        and _not_twice(devices, held, given)
        and all(
            _kept(c, devices, [g for g in given if g.claim == i])
            for i, s in enumerate(claims)
            for c in s.devices.constraints
        )
    )


def wish_of(claims: Sequence[ResourceClaimSpec], claim: int, request: str) -> Wish:
    """The request or alternative that a result names."""
    name, _, sub = request.partition("/")
    found = next(r for r in claims[claim].devices.requests if r.name == name)
    if found.exactly is not None:
        return found.exactly
    return next(s for s in found.first_available if s.name == sub)


def serves(device: Device, wish: Wish) -> bool:
    """Whether a device is one the wish may have, empty as it is."""
    return _selected(device, wish) and _tolerated(device, wish) and memory_for(device, wish) is not None


def memory_for(device: Device, wish: Wish) -> int | None:
    """The memory one allocation takes; None when the device has too little. Policies are not in these worlds."""
    asked = wish.capacity.requests.get("memory") if wish.capacity is not None else None
    if "memory" not in device.capacity:
        return 0 if asked is None else None
    total = device.capacity["memory"].value.nano
    wanted = total if asked is None else asked.nano
    return wanted if wanted <= total else None


def _devices(slices: Sequence[ResourceSlice]) -> dict[str, Device]:
    return {d.name: d for s in slices for d in s.spec.devices}


def _selected(device: Device, wish: Wish) -> bool:
    for selector in wish.selectors:
        assert selector.cel is not None
        found = IS.fullmatch(selector.cel.expression)
        assert found is not None
        attribute = device.attributes.get(found[1])
        if attribute is None or attribute.string != found[2]:
            return False
    return True


def _tolerated(device: Device, wish: Wish) -> bool:
    keys = {t.key for t in wish.tolerations}
    return all(t.effect == "None" or t.key in keys for t in device.taints)


def _assignments(
    slices: Sequence[ResourceSlice], held: Sequence[Given], claims: Sequence[ResourceClaimSpec]
) -> Iterator[list[Given]]:
    ways = [list(_ways(slices, held, i, r)) for i, s in enumerate(claims) for r in s.devices.requests]
    for chosen in product(*ways):
        yield [g for way in chosen for g in way]


def _ways(
    slices: Sequence[ResourceSlice], held: Sequence[Given], claim: int, request: DeviceRequest
) -> Iterator[list[Given]]:
    wishes: list[tuple[str, Wish]] = [(f"{request.name}/{s.name}", s) for s in request.first_available]
    if request.exactly is not None:
        wishes = [(request.name, request.exactly)]
    devices = _devices(slices)
    for name, wish in wishes:
        admin = isinstance(wish, ExactDeviceRequest) and wish.admin_access
        if wish.allocation_mode == "All":
            all_of = [d for d in devices.values() if _selected(d, wish) and _has_room(d, held, wish)]
            if all_of and all(serves(d, wish) for d in all_of):
                yield [Given(claim, name, d.name, memory_for(d, wish) or 0, admin) for d in all_of]
            continue
        able = [d for d in devices.values() if serves(d, wish)]
        for group in combinations(able, wish.count):
            yield [Given(claim, name, d.name, memory_for(d, wish) or 0, admin) for d in group]


def _has_room(device: Device, held: Sequence[Given], wish: Wish) -> bool:
    memory = memory_for(device, wish)
    if memory is None:
        return False
    if not device.allow_multiple_allocations:
        return True
    used = sum(h.memory for h in held if h.device == device.name)
    return not any(h.device == device.name for h in held) or used + memory <= _memory(device)


def _memory(device: Device) -> int:
    return device.capacity["memory"].value.nano if "memory" in device.capacity else 0


def _in_stock(slices: Sequence[ResourceSlice], devices: dict[str, Device], given: Sequence[Given]) -> bool:
    left = {(c.name, n): v.value.nano for s in slices for c in s.spec.shared_counters for n, v in c.counters.items()}
    taken = dict.fromkeys(g.device for g in given if not g.admin)
    for name in taken:
        for use in devices[name].consumes_counters:
            for counter, value in use.counters.items():
                left[use.counter_set, counter] -= value.value.nano
    if any(v < 0 for v in left.values()):
        return False
    return all(
        sum(g.memory for g in given if g.device == name and not g.admin) <= _memory(devices[name])
        for name in taken
        if devices[name].allow_multiple_allocations
    )


def _not_twice(devices: dict[str, Device], held: Sequence[Given], given: Sequence[Given]) -> bool:
    """Exclusive devices go once; admin access may look at what others hold, once per claim."""
    for i, g in enumerate(given):
        if devices[g.device].allow_multiple_allocations:
            if any(h.device == g.device and (h.claim, h.request) == (g.claim, g.request) for h in given[:i]):
                return False
            continue
        if not g.admin and any(h.device == g.device for h in held):
            return False
        for h in given[:i]:
            if h.device == g.device and (h.claim == g.claim or not (g.admin or h.admin)):
                return False
            if h.device == g.device and h.admin and not g.admin:
                return False
    return True


def _kept(constraint: DeviceConstraint, devices: dict[str, Device], given: Sequence[Given]) -> bool:
    name = (constraint.match_attribute or constraint.distinct_attribute).partition("/")[2]
    sets = []
    for g in given:
        if (
            constraint.requests
            and g.request not in constraint.requests
            and g.request.partition("/")[0] not in constraint.requests
        ):
            continue
        attribute = devices[g.device].attributes.get(name)
        if attribute is None:
            return False
        sets.append(frozenset(attribute.strings if attribute.strings is not None else (attribute.string,)))
    if not all(sets):
        return False
    if constraint.match_attribute:
        return not sets or bool(frozenset.intersection(*sets))
    return all(not (a & b) for a, b in combinations(sets, 2))
