"""Extended resources that devices serve (KEP-5004): `nvidia.com/gpu: 2` on nodes that have no device plugin.

A DeviceClass may carry the name of an extended resource, and always has the implicit one. What a pod asks of such a
resource is then a claim that nobody wrote: one request per container and resource. Nodes that offer the resource
themselves serve it as ever; a gang runs on the one sort of node or on the other, tried in this order.
"""

from __future__ import annotations

from functools import cached_property

import msgspec

from bayplan.model.device import DeviceClaim, DeviceRequest, ExactDeviceRequest, ResourceClaimSpec
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import EXTENDED_CLAIM, IMPLICIT_RESOURCE, Pod, PodClaim, PodTemplate, Workload

FEATURE = "DRAExtendedResource"


class Extended:
    """The extended resources of one snapshot."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self._snapshot = snapshot
        self._on = FEATURE in policy.features

    def ways(self, workload: Workload) -> tuple[Workload, ...]:
        """The workload as nodes that offer its resources see it, then as nodes with devices do, where they differ."""
        for pod_set in workload.pod_sets:
            if pod_set.template.extended and self._backed(pod_set.template):
                break
        else:
            return (workload,)
        scalar, devices = self._served(workload, self._offered), self._served(workload, frozenset())
        return (scalar,) if scalar == devices else (scalar, devices)

    @cached_property
    def _classes(self) -> dict[str, str]:
        """Device class by extended resource: of several the newest, then the first by name."""
        classes = self._snapshot.device_classes
        known = sorted(classes, reverse=True)
        known.sort(key=lambda n: classes[n].metadata.creation_timestamp)
        named = {classes[n].spec.extended_resource_name: n for n in known}
        return {r: n for r, n in named.items() if r} | {IMPLICIT_RESOURCE + n: n for n in known}

    @cached_property
    def _offered(self) -> frozenset[str]:
        """What some node offers by itself."""
        return frozenset(r for n in self._snapshot.nodes.values() for r, amount in n.allocatable.items() if amount)

    def _backed(self, template: PodTemplate) -> bool:
        return self._on and any(e.resource in self._classes for e in template.extended)

    def _served(self, workload: Workload, offered: frozenset[str]) -> Workload:
        sets = tuple(
            msgspec.structs.replace(s, template=self._with_claim(s.template, offered)) for s in workload.pod_sets
        )
        return msgspec.structs.replace(workload, pod_sets=sets)

    def _with_claim(self, template: PodTemplate, offered: frozenset[str]) -> PodTemplate:
        """The template with a claim in place of its requests of resources that are backed and not offered."""
        asked = [e for e in template.extended if e.resource in self._classes and e.resource not in offered]
        if not asked:
            return template
        requests = tuple(
            DeviceRequest(
                name=e.name,
                exactly=ExactDeviceRequest(device_class_name=self._classes[e.resource], count=e.count),
            )
            for e in asked
        )
        gone = {e.resource for e in asked}
        claim = PodClaim(name=EXTENDED_CLAIM, template=ResourceClaimSpec(devices=DeviceClaim(requests=requests)))
        return msgspec.structs.replace(
            template,
            requests=tuple((r, n) for r, n in template.requests if r not in gone),
            claims=(*template.claims, claim),
            elsewhere=tuple(sorted(gone)),
        )


def scalar_devices(pod: Pod) -> int:
    """Devices a pod has through device plugins."""
    if any(name == EXTENDED_CLAIM for name, _ in pod.claims):
        return 0
    return sum(amount for r, amount in pod.requests if "/" in r and not r.startswith("hugepages"))
