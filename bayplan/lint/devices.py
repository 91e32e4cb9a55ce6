"""Advice on DeviceClasses and claims, measured against the devices there are.

The API accepts all of this; the scheduler then waits for ever, or gives more than was asked, or promises a limit that
nothing enforces (`shares`: of consumable capacity and time slicing only the scheduler keeps account).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bayplan.lint.fleet import Choice, Fleet, Offer, amount, choose, published, tally
from bayplan.lint.rules import Json, mapping
from bayplan.lint.world import Note, World, claim_spec_of, title_of
from bayplan.model.device import (
    DeviceClaimConfiguration,
    DeviceConstraint,
    DeviceSubRequest,
    ExactDeviceRequest,
    ResourceClaimSpec,
)
from bayplan.model.quantity import Quantity
from bayplan.wire import devices
from bayplan.wire.errors import Malformed

RESULTS_MAX = 32
# A library in the container holds the limit; a process can step around it.
_SOFT_LIMIT = "hami"


class Asked(NamedTuple):
    """One request of a claim, or one alternative of it. `name` is `request` or `request/alternative`."""

    name: str
    path: str
    ask: ExactDeviceRequest | DeviceSubRequest
    is_alternative: bool

    @property
    def capacity(self) -> dict[str, Quantity]:
        return self.ask.capacity.requests if self.ask.capacity else {}


def class_advice(obj: Json, world: World) -> Iterator[Note]:
    """A class that no device of the fleet belongs to."""
    fleet = world.fleet
    if not fleet.offers:
        return
    try:
        found = devices.device_class(obj)
    except Malformed:
        return
    choice = choose(fleet.offers, found.spec.selectors)
    if choice.errors:
        yield _error_note(title_of(obj), "spec.selectors", choice.error, choice.errors)
    elif choice.failed >= 0:
        publish = published(found.spec.selectors[choice.failed], choice.before)
        path = f"spec.selectors[{choice.failed}]"
        message = f"matches none of the {len(fleet.offers)} devices of this fleet"
        yield Note("warning", title_of(obj), path, message, _publish(publish) or f"drivers here: {fleet.drivers()}")


def claim_advice(obj: Json, world: World) -> Iterator[Note]:
    """Everything about a claim or a claim template."""
    read = claim_spec_of(obj)
    if read is None:
        return
    spec, path = read
    title = title_of(obj)
    asked = list(_asked(spec, path))
    served = {each.name: list(_offers(each, world)) for each in asked}
    for each in asked:
        yield from _class_note(title, each, world)
        if world.chosen(each.ask.device_class_name).offers:
            yield from _selector_notes(title, each, world)
            yield from _capacity_notes(title, each, served[each.name], world)
            yield from _share_notes(title, each, served[each.name], world.fleet)
    yield from _count_notes(title, spec, path)
    if world.fleet.offers:
        yield from _node_notes(title, path, asked, served, world.fleet)
        for index, constraint in enumerate(spec.devices.constraints):
            at = f"{path}.devices.constraints[{index}]"
            yield from _constraint_notes(title, at, constraint, asked, served)
    for index, config in enumerate(spec.devices.config):
        yield from _sharing_notes(title, f"{path}.devices.config[{index}].opaque.parameters", config)


def _asked(spec: ResourceClaimSpec, path: str) -> Iterator[Asked]:
    for index, request in enumerate(spec.devices.requests):
        at = f"{path}.devices.requests[{index}]"
        if request.exactly:
            yield Asked(request.name, f"{at}.exactly", request.exactly, False)
        for place, sub in enumerate(request.first_available):
            yield Asked(f"{request.name}/{sub.name}", f"{at}.firstAvailable[{place}]", sub, True)


def _offers(asked: Asked, world: World) -> Sequence[Offer]:
    """The devices that could serve one device of a request, capacity included."""
    chosen = _choice(asked, world).offers
    return [offer for offer in chosen if all(_holds(offer, *entry) for entry in asked.capacity.items())]


def _choice(asked: Asked, world: World) -> Choice:
    return world.chosen(asked.ask.device_class_name, asked.ask.selectors)


def _holds(offer: Offer, name: str, wanted: Quantity) -> bool:
    held = offer.capacity(name)
    return held is not None and held >= wanted


def _severity(asked: Asked) -> str:
    """An alternative that cannot be had is no fault while another can."""
    return "hint" if asked.is_alternative else "warning"


# -- class and selectors


def _class_note(title: str, asked: Asked, world: World) -> Iterator[Note]:
    name, known = asked.ask.device_class_name, sorted(world.classes)
    if not known:
        return
    at = f"{asked.path}.deviceClassName"
    if name not in world.classes:
        near = difflib.get_close_matches(name, known, 1)
        mend = f"did you mean '{near[0]}'?" if near else f"classes here: {', '.join(known[:6])}"
        yield Note("warning", title, at, f"there is no DeviceClass '{name}'", mend)
    elif world.fleet.offers and not world.chosen(name).offers:
        message = f"class '{name}' matches none of the {len(world.fleet.offers)} devices of this fleet"
        yield Note(_severity(asked), title, at, message, f"drivers here: {world.fleet.drivers()}")


def _selector_notes(title: str, asked: Asked, world: World) -> Iterator[Note]:
    choice = _choice(asked, world)
    if choice.errors:
        yield _error_note(title, f"{asked.path}.selectors", choice.error, choice.errors)
    elif choice.failed >= 0:
        at = f"{asked.path}.selectors[{choice.failed}].cel.expression"
        message = f"never matches here: none of {len(choice.before)} devices of class '{asked.ask.device_class_name}'"
        mend = _publish(published(asked.ask.selectors[choice.failed], choice.before))
        yield Note(_severity(asked), title, at, message, mend)


def _error_note(title: str, path: str, error: str, count: int) -> Note:
    message = f"fails on {count} devices ({error}), and one failure ends the allocation on a node"
    return Note("warning", title, path, message, "guard it: ask whether the name is there with `in` or has() first")


def _publish(text: str) -> str:
    return f"what they publish: {text}" if text else ""


# -- capacity


def _capacity_notes(title: str, asked: Asked, served: Sequence[Offer], world: World) -> Iterator[Note]:
    """More than any matching device has, or far less than the smallest of them gives."""
    for name, wanted in asked.capacity.items():
        chosen = [o for o in _choice(asked, world).offers if o.capacity(name) is not None]
        at = f"{asked.path}.capacity.requests[{name}]"
        if not chosen or any(o.device.allow_multiple_allocations for o in served):
            continue
        others = [o for o in world.fleet.offers if o.driver == chosen[0].driver]
        if not served:
            best = max(chosen, key=lambda o: (_size(o, name), o.label))
            message = (
                f"asks {amount(wanted)}, and {best.label}, the largest that matches, has {amount(_held(best, name))}"
            )
            yield Note(_severity(asked), title, at, message, _would_do(name, wanted, others))
            continue
        least = min(served, key=lambda o: (_size(o, name), o.label))
        smaller = _nearest(name, wanted, others)
        if _size(least, name) >= 2 * wanted.nano and smaller and smaller[0][0] < _size(least, name):
            unused = 100 - 100 * wanted.nano // _size(least, name)
            message = (
                f"asks {amount(wanted)} and gets all of {least.label}, {amount(_held(least, name))}: {unused} % unused"
            )
            yield Note("hint", title, at, message, _would_do(name, wanted, others))


def _held(offer: Offer, name: str) -> Quantity:
    held = offer.capacity(name)
    assert held is not None, "only offers that have the capacity come here"
    return held


def _size(offer: Offer, name: str) -> int:
    return _held(offer, name).nano


def _nearest(name: str, wanted: Quantity, offers: Sequence[Offer]) -> list[tuple[int, str]]:
    """Kinds of device that hold so much, smallest first."""
    enough = {(_size(o, name), o.label) for o in offers if _holds(o, name, wanted)}
    return sorted(enough)


def _would_do(name: str, wanted: Quantity, offers: Sequence[Offer]) -> str:
    nearest = _nearest(name, wanted, offers)
    if not nearest:
        return f"no device of this fleet has so much {name}"
    shown = [f"{label} ({amount(Quantity(nano, 'BinarySI'))})" for nano, label in nearest[:2]]
    return f"{' or '.join(shown)} would do"


# -- shares


def _share_notes(title: str, asked: Asked, served: Sequence[Offer], fleet: Fleet) -> Iterator[Note]:
    """A share of a device whose limit nobody enforces, or a whole device taken by saying nothing."""
    shared = [offer for offer in served if offer.device.allow_multiple_allocations]
    if not shared:
        return
    at = f"{asked.path}.capacity"
    example = shared[0]
    for name, wanted in asked.capacity.items():
        held = amount(_held(example, name))
        if _SOFT_LIMIT in example.driver:
            message = (
                f"{amount(wanted)} of {held} is held by a library in the container, which a process can step around"
            )
        else:
            message = f"{amount(wanted)} of {held} is only kept account of: nothing stops a process from using it all"
        partitions = [offer for offer in fleet.offers if offer.is_partition]
        mend = "for a limit that holds, take a partition: " + _would_do(name, wanted, partitions)
        if not _nearest(name, wanted, partitions):
            mend = "for a limit that holds, take a whole device or have the GPUs partitioned"
        yield Note("warning", title, f"{at}.requests[{name}]", message, mend)
    if not asked.capacity and len(shared) == len(served):
        defaults = {
            k: c.request_policy.default if c.request_policy else None for k, c in example.device.capacity.items()
        }
        whole = [name for name, default in sorted(defaults.items()) if default in (None, example.capacity(name))]
        if whole:
            given = ", ".join(f"{amount(_held(example, name))} {name}" for name in whole)
            message = f"says nothing of capacity and so takes all of a {example.label} that could be shared: {given}"
            yield Note("hint", title, at, message, f"ask what you need, like capacity.requests.{whole[-1]}")


def _sharing_notes(title: str, path: str, config: DeviceClaimConfiguration) -> Iterator[Note]:
    """GPU sharing set by a driver's own parameters (gpu.nvidia.com GpuConfig)."""
    parameters = mapping(config.opaque.parameters) if config.opaque else {}
    sharing = mapping(parameters.get("sharing"))
    if sharing.get("strategy") == "TimeSlicing":
        message = "time slicing isolates nothing: each container may use all memory, and one fault may end the others"
        yield Note("warning", title, f"{path}.sharing.strategy", message, "use MPS with a memory limit, or a partition")
    mps = mapping(sharing.get("mpsConfig"))
    if sharing.get("strategy") == "MPS" and not any("PinnedDeviceMemoryLimit" in name for name in mps):
        message = "MPS without a memory limit lets each container use all memory of the GPU"
        yield Note(
            "warning", title, f"{path}.sharing.mpsConfig", message, "set defaultPinnedDeviceMemoryLimit, like 12Gi"
        )


# -- counts, nodes, constraints


def _count_notes(title: str, spec: ResourceClaimSpec, path: str) -> Iterator[Note]:
    def count(asked: ExactDeviceRequest | DeviceSubRequest) -> int:
        return asked.count if asked.allocation_mode == "ExactCount" else 1

    total = sum(
        count(request.exactly) if request.exactly else min(map(count, request.first_available), default=0)
        for request in spec.devices.requests
    )
    if total > RESULTS_MAX:
        message = f"asks {total} devices, and a claim can hold {RESULTS_MAX}: it can never be allocated"
        yield Note("warning", title, f"{path}.devices.requests", message, "spread them over several claims")


def _node_notes(
    title: str, path: str, asked: Sequence[Asked], served: dict[str, list[Offer]], fleet: Fleet
) -> Iterator[Note]:
    """The devices of a claim lie on one node (KEP-4381): how many nodes could it be?"""
    exact = [each for each in asked if not each.is_alternative and each.ask.allocation_mode == "ExactCount"]
    nodes = fleet.nodes
    able = set(nodes)
    for each in exact:
        offers = served[each.name]
        if not offers or any(not offer.node for offer in offers):
            continue
        counts = Counter(offer.node for offer in offers)
        best = max(counts.values())
        shared = any(offer.device.allow_multiple_allocations for offer in offers)
        if best < each.ask.count and not shared:
            message = f"asks {each.ask.count} devices of one node, and no node has more than {best}"
            mend = f"a claim never spans nodes: give each pod a claim of at most {best}"
            yield Note("warning", title, f"{each.path}.count", message, mend)
            return
        able &= {node for node, count in counts.items() if shared or count >= each.ask.count}
    if exact and len(able) == 1 and len(nodes) > 1 and all(served[each.name] for each in exact):
        message = f"only node {min(able)} of {len(nodes)} can serve it, even when all are free"
        yield Note("hint", title, f"{path}.devices", message, "loosen a selector or a count, if it may run elsewhere")


def _constraint_notes(
    title: str, path: str, constraint: DeviceConstraint, asked: Sequence[Asked], served: dict[str, list[Offer]]
) -> Iterator[Note]:
    """An attribute that some request's devices do not publish: the constraint can never hold."""
    name = constraint.match_attribute or constraint.distinct_attribute
    at = f"{path}.{'matchAttribute' if constraint.match_attribute else 'distinctAttribute'}"
    for each in asked:
        parent = each.name.partition("/")[0]
        if constraint.requests and not {each.name, parent} & set(constraint.requests):
            continue
        offers = served[each.name]
        if offers and not any(offer.has_attribute(name) for offer in offers):
            kinds = tally(offer.driver for offer in offers)
            message = f"none of the {len(offers)} devices of request '{each.name}' publishes {name}"
            yield Note("warning", title, at, message, f"drivers: {kinds}; constrain by an attribute they share")
