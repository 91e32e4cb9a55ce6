"""matchAttribute and distinctAttribute, over scalars and lists alike (KEP-4381, KEP-5491).

A scalar is a set of one element. Devices match while the intersection of their sets is not empty; they are distinct
while their sets are pairwise disjoint. What is known so far is an immutable value (the intersection, or the union), so
going back in a search restores it exactly.
"""

from __future__ import annotations

from typing import NamedTuple

from bayplan.model.device import Device, DeviceAttribute

Values = frozenset[tuple[str, int | bool | str]]
Bound = Values | None
"""What devices chosen so far share (match) or use up (distinct); None before the first."""

_FIELDS = (
    ("int", "int_", "ints"),
    ("bool", "bool_", "bools"),
    ("string", "string", "strings"),
    ("version", "version", "versions"),
)


class Constraint(NamedTuple):
    """`claim` is the index of its claim; `requests` empty means all of the claim's requests."""

    claim: int
    distinct: bool
    attribute: str
    requests: tuple[str, ...]

    def covers(self, request: str, full_name: str) -> bool:
        return not self.requests or request in self.requests or full_name in self.requests

    def admits(self, bound: Bound, values: Values | None) -> bool:
        """Whether a device with these values (None: attribute not set) may join."""
        if not values:
            return False
        if bound is None:
            return True
        return bound.isdisjoint(values) if self.distinct else not bound.isdisjoint(values)

    def joined(self, bound: Bound, values: Values) -> Bound:
        """What is known after a device that is admitted has joined."""
        if bound is None:
            return values
        return bound | values if self.distinct else bound & values


def values_of(attribute: DeviceAttribute | None, *, lists: bool) -> Values | None:
    """The attribute as a set of typed values; None when not set, of unknown type, or a list while those are off."""
    if attribute is None:
        return None
    for kind, scalar, many in _FIELDS:
        found = getattr(attribute, scalar)
        if found is not None:
            return frozenset(((kind, found),))
        found = getattr(attribute, many)
        if found is not None and lists:
            return frozenset((kind, v) for v in found)
    return None


def lookup(driver: str, device: Device, attribute: str) -> DeviceAttribute | None:
    """A device's attribute by its qualified name; a name without domain belongs to the driver's."""
    found = device.attributes.get(attribute)
    if found is None:
        domain, slash, name = attribute.partition("/")
        if slash and domain == driver:
            found = device.attributes.get(name)
    return found
