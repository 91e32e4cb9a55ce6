"""Two small sums of DRA: what a share of a capacity comes to (KEP-5075), and which attributes agree (KEP-4381)."""

from __future__ import annotations

from collections.abc import Sequence

from bayplan.model.device import Device, DeviceAttribute, DeviceCapacity

Values = frozenset[tuple[str, object]]
"""The values of one attribute with their type; a scalar is a list of one. Empty: the device does not have it."""


def consumption(capacity: DeviceCapacity, requested_nano: int | None) -> tuple[int, int]:
    """What a share consumes of a capacity, and the most one share may consume, in billionths.

    Without a request the policy's default is consumed, else everything. A request is rounded up to what the policy
    allows; where nothing that large is allowed, the first number exceeds the second.
    """
    value, policy = capacity.value.nano, capacity.request_policy
    if requested_nano is None:
        return (policy.default.nano if policy and policy.default is not None else value), value
    if policy is None:
        return requested_nano, value
    if policy.valid_values:
        allowed = sorted(v.nano for v in policy.valid_values)
        return min((v for v in allowed if v >= requested_nano), default=requested_nano), min(allowed[-1], value)
    if policy.valid_range is None:
        return requested_nano, value
    bounds = policy.valid_range
    wanted = max(requested_nano, bounds.min.nano)
    if bounds.step:
        steps = -(-(wanted - bounds.min.nano) // bounds.step.nano)
        wanted = bounds.min.nano + steps * bounds.step.nano
    return wanted, min(bounds.max.nano, value) if bounds.max is not None else value


def attribute_values(device: Device, driver: str, name: str) -> Values:
    """An attribute by qualified or unqualified name; an unqualified one is in the driver's own domain."""
    domain, _, short = name.rpartition("/")
    full = f"{domain or driver}/{short}"
    found = device.attributes.get(full)
    if found is None and (domain or driver) == driver:
        found = device.attributes.get(short)
    return _values(found) if found is not None else frozenset()


def _values(attribute: DeviceAttribute) -> Values:
    lists = (
        ("int", (attribute.int_,) if attribute.int_ is not None else attribute.ints),
        ("bool", (attribute.bool_,) if attribute.bool_ is not None else attribute.bools),
        ("string", (attribute.string,) if attribute.string is not None else attribute.strings),
        ("version", (attribute.version,) if attribute.version is not None else attribute.versions),
    )
    return frozenset((kind, value) for kind, values in lists for value in values or ())


def all_share(values: Sequence[Values]) -> bool:
    """Whether one value is common to all devices."""
    return not values or bool(frozenset.intersection(*values))


def all_differ(values: Sequence[Values]) -> bool:
    """Whether every device has the attribute and no value occurs on two of them."""
    return all(values) and len(frozenset().union(*values)) == sum(map(len, values))
