"""How much of a device's capacity one request takes (KEP-5075, consumable capacity).

What is asked is rounded up to what the device's request policy allows: to `min + n * step` of a valid range, or to the
smallest valid value that is large enough. What is not asked is the policy's default, else the whole capacity. The same
arithmetic filters devices that are not shared: there it only says whether the device is large enough.
"""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.model.device import CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity
from bayplan.model.quantity import NANO, Quantity

Amounts = tuple[Quantity, ...]


def consumed(requests: Mapping[str, Quantity], capacity: Mapping[str, DeviceCapacity]) -> Amounts | None:
    """What one share takes of each capacity, in the order of the capacities' names.

    None when the device cannot serve the request at all: it lacks a capacity that is asked for, or what is asked
    exceeds the device or its policy.
    """
    if any(name not in capacity for name in requests):
        return None
    taken = []
    for name in sorted(capacity):
        published = capacity[name]
        amount = _amount(requests.get(name), published)
        if amount is None or amount > published.value:
            return None
        taken.append(amount)
    return tuple(taken)


def _amount(requested: Quantity | None, published: DeviceCapacity) -> Quantity | None:
    policy = published.request_policy
    if requested is None:
        default = policy.default if policy is not None else None
        return default if default is not None else published.value
    return requested if policy is None else _rounded(requested, policy)


def _rounded(requested: Quantity, policy: CapacityRequestPolicy) -> Quantity | None:
    if policy.valid_range is not None:
        return _in_range(requested, policy.valid_range)
    if policy.valid_values:
        return min((v for v in policy.valid_values if v >= requested), default=None)
    return requested


def _in_range(requested: Quantity, valid: CapacityRequestPolicyRange) -> Quantity | None:
    amount = max(requested, valid.min)
    if valid.step is not None and valid.step.nano > 0 and amount > valid.min:
        steps = -(-(amount.nano - valid.min.nano) // valid.step.nano)
        nano = valid.min.nano + steps * valid.step.nano
        if nano != amount.nano:
            amount = Quantity(nano, "BinarySI" if nano % NANO == 0 else amount.format)
    return None if valid.max is not None and amount > valid.max else amount
