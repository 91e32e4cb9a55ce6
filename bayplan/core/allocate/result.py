"""Allocations as the API writes them: devices, configuration, node selector (resource.k8s.io/v1 AllocationResult)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bayplan.core.allocate.asks import Need
from bayplan.core.allocate.capacity import Amounts
from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.pools import Published
from bayplan.model.device import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceClass,
    DeviceRequestAllocationResult,
    ResourceClaimSpec,
)
from bayplan.model.node import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from bayplan.model.quantity import Quantity


class Given(NamedTuple):
    """One device, or one share of it, for a need."""

    need: Need
    published: Published
    amounts: Amounts
    share_id: str


def share_id(seed: str, device: tuple[str, str, str], ordinal: int) -> str:
    """A UUID (version 5 in form) that depends on nothing but these."""
    text = "\0".join((seed, *device, str(ordinal)))
    digest = bytearray(hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    raw = digest.hex()
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def allocation(
    spec: ResourceClaimSpec, given: Sequence[Given], classes: Mapping[str, DeviceClass], node: str, gates: Gates
) -> AllocationResult:
    """The result for one claim whose requests got these devices, in order."""
    return AllocationResult(
        devices=DeviceAllocationResult(
            results=tuple(_result(g, gates) for g in given),
            config=_config(spec, given, classes, gates),
        ),
        node_selector=node_selector([g.published for g in given], node),
    )


def _result(given: Given, gates: Gates) -> DeviceRequestAllocationResult:
    device = given.published.device
    driver, pool, name = given.published.id
    capacity: dict[str, Quantity] = {}
    if given.share_id:
        capacity = dict(zip(sorted(device.capacity), given.amounts, strict=True))
    return DeviceRequestAllocationResult(
        request=given.need.name,
        driver=driver,
        pool=pool,
        device=name,
        admin_access=True if given.need.admin else None,
        tolerations=given.need.spec.tolerations,
        binding_conditions=device.binding_conditions if gates.binding else (),
        binding_failure_conditions=device.binding_failure_conditions if gates.binding else (),
        share_id=given.share_id,
        consumed_capacity=capacity,
    )


def _config(
    spec: ResourceClaimSpec, given: Sequence[Given], classes: Mapping[str, DeviceClass], gates: Gates
) -> tuple[DeviceAllocationConfiguration, ...]:
    """Class entries first, once per class, then the claim's. Since 1.37 one that covers all requests names none."""
    if not spec.devices.config and not any(classes[g.need.spec.device_class_name].spec.config for g in given):
        return ()
    chosen = dict.fromkeys(g.need.name for g in given)
    of_class: dict[str, list[str]] = {}
    for need in {g.need.name: g.need for g in given}.values():
        of_class.setdefault(need.spec.device_class_name, []).append(need.name)
    entries = [
        DeviceAllocationConfiguration("FromClass", tuple(requests), entry.opaque)
        for name, requests in of_class.items()
        for entry in classes[name].spec.config
    ]
    for own in spec.devices.config:
        if not own.requests or any(_covers(own.requests, name) for name in chosen):
            entries.append(DeviceAllocationConfiguration("FromClaim", own.requests, own.opaque))
    if gates.release < (1, 37):
        return tuple(entries)
    return tuple(
        DeviceAllocationConfiguration(e.source, (), e.opaque) if all(_covers(e.requests, n) for n in chosen) else e
        for e in entries
    )


def _covers(requests: Sequence[str], name: str) -> bool:
    return name in requests or name.partition("/")[0] in requests


def node_selector(devices: Iterable[Published], node: str) -> NodeSelector | None:
    """The node if any device is local or binds to it; else all requirements of the slices' selectors in one term."""
    expressions: dict[NodeSelectorRequirement, None] = {}
    fields: dict[NodeSelectorRequirement, None] = {}
    for published in devices:
        spec, device = published.slice.spec, published.device
        at = device if spec.per_device_node_selection else spec
        if at.node_name or device.binds_to_node:
            return _only(node)
        for term in at.node_selector.node_selector_terms if at.node_selector else ():
            expressions |= dict.fromkeys(term.match_expressions)
            fields |= dict.fromkeys(term.match_fields)
    if not expressions and not fields:
        return None
    return NodeSelector((NodeSelectorTerm(tuple(expressions), tuple(fields)),))


def _only(node: str) -> NodeSelector:
    here = NodeSelectorRequirement("metadata.name", "In", (node,))
    return NodeSelector((NodeSelectorTerm(match_fields=(here,)),))
