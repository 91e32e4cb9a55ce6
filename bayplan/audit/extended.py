"""Extended resources that devices serve (KEP-5004): what the claim that nobody wrote has to ask for.

A node that offers a resource serves it itself. What it does not offer, and a DeviceClass has the name of, is asked of
that class: one request per container and resource.
"""

from __future__ import annotations

from bayplan.model.device import DeviceClaim, DeviceRequest, ExactDeviceRequest, ResourceClaimSpec
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import IMPLICIT_RESOURCE, PodTemplate


def claim(snapshot: Snapshot, template: PodTemplate, node: str) -> ResourceClaimSpec | None:
    """The claim of a pod on this node; None where it needs none."""
    requests = tuple(
        DeviceRequest(name=e.name, exactly=ExactDeviceRequest(device_class_name=name, count=e.count))
        for e in template.extended
        if not offers(snapshot, node, e.resource) and (name := backing(snapshot, e.resource))
    )
    return ResourceClaimSpec(devices=DeviceClaim(requests=requests)) if requests else None


def offers(snapshot: Snapshot, node: str, resource: str) -> bool:
    return node in snapshot.nodes and snapshot.nodes[node].allocatable.get(resource, 0) > 0


def backing(snapshot: Snapshot, resource: str) -> str:
    """The DeviceClass that backs an extended resource; "" without one."""
    implicit = resource.removeprefix(IMPLICIT_RESOURCE)
    if implicit != resource:
        return implicit if implicit in snapshot.device_classes else ""
    named = [c for c in snapshot.device_classes.values() if c.spec.extended_resource_name == resource]
    newest = max((c.metadata.creation_timestamp for c in named), default="")
    return min((c.metadata.name for c in named if c.metadata.creation_timestamp == newest), default="")
