"""Gangs of scheduling.k8s.io as one intent, whatever the release spelled it.

1.35 (v1alpha1) keeps groups inside its Workload, 1.36 (v1alpha2) and 1.37 (v1beta1, v1alpha3) have PodGroup objects
made from a Workload's templates. `basic` means no gang; one topology key, always required.

A PodGroup may have claims (KEP-5729): a pod of it that declares the very same claim shares the one of the group, which
is reserved for the group instead of its pods.
"""

from __future__ import annotations

import msgspec

from bayplan.model.base import Noun, Value
from bayplan.model.device import ResourceClaimConsumerReference
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import ObjectMeta
from bayplan.wire.pods import ClaimStatus, PodResourceClaim
from bayplan.wire.read import Json, read


class Gang(Value, frozen=True):
    """Pods that run together or not at all; `min_count` 0 means that each pod runs by itself."""

    namespace: str
    name: str
    min_count: int = 0
    topology_key: str = ""
    priority_class: str = ""
    priority: int | None = None
    claims: tuple[PodResourceClaim, ...] = ()
    made: tuple[ClaimStatus, ...] = ()
    uid: str = ""

    def claim(self, asked: PodResourceClaim) -> str:
        """The key of the group's claim that a claim of a pod stands for; "" where it is the pod's own.

        One that is still to be made goes by a name that no claim can have: its pods share it already.
        """
        if asked not in self.claims:
            return ""
        names = (s.resource_claim_name for s in self.made if s.name == asked.name)
        name = asked.resource_claim_name or next(names, "") or f"{self.name}/{asked.name}"
        return f"{self.namespace}/{name}"

    def consumer(self) -> ResourceClaimConsumerReference:
        """The group as the one that its claims are reserved for."""
        return ResourceClaimConsumerReference("podgroups", self.name, self.uid, api_group="scheduling.k8s.io")


class GangPolicy(Noun, frozen=True):
    min_count: int = 1


class SchedulingPolicy(Noun, frozen=True):
    gang: GangPolicy | None = None


class TopologyConstraint(Noun, frozen=True):
    key: str


class SchedulingConstraints(Noun, frozen=True):
    topology: tuple[TopologyConstraint, ...] = ()


class PodGroupSpec(Noun, frozen=True):
    name: str = ""
    scheduling_policy: SchedulingPolicy = SchedulingPolicy()
    policy: SchedulingPolicy | None = None
    scheduling_constraints: SchedulingConstraints = SchedulingConstraints()
    priority_class_name: str = ""
    priority: int | None = None
    resource_claims: tuple[PodResourceClaim, ...] = ()


class PodGroupStatus(Noun, frozen=True):
    resource_claim_statuses: tuple[ClaimStatus, ...] = ()


class PodGroupObject(Noun, frozen=True):
    metadata: ObjectMeta
    spec: PodGroupSpec = PodGroupSpec()
    status: PodGroupStatus = PodGroupStatus()


class NativeWorkloadSpec(Noun, frozen=True):
    pod_groups: tuple[PodGroupSpec, ...] = ()
    pod_group_templates: tuple[PodGroupSpec, ...] = ()


class NativeWorkload(Noun, frozen=True):
    metadata: ObjectMeta
    spec: NativeWorkloadSpec = NativeWorkloadSpec()


def pod_group(source: bytes | Json) -> Gang:
    """A PodGroup (v1alpha2, v1alpha3, v1beta1). Raises Malformed."""
    obj = read(source, PodGroupObject)
    gang = _gang(obj.spec, obj.metadata, obj.metadata.name, "spec.schedulingPolicy")
    return msgspec.structs.replace(gang, made=obj.status.resource_claim_statuses)


def pod_groups(source: bytes | Json) -> tuple[Gang, ...]:
    """The groups, or group templates, of a scheduling.k8s.io Workload, by their names in it. Raises Malformed."""
    obj = read(source, NativeWorkload)
    templates = [("podGroups", s) for s in obj.spec.pod_groups]
    templates += [("podGroupTemplates", s) for s in obj.spec.pod_group_templates]
    return tuple(_gang(s, obj.metadata, s.name, f"spec.{field}[{s.name}]") for field, s in templates)


def _gang(spec: PodGroupSpec, meta: ObjectMeta, name: str, path: str) -> Gang:
    gang = (spec.policy or spec.scheduling_policy).gang
    if gang is not None and gang.min_count < 1:
        raise Malformed(f"{path}.gang.minCount", f"expected at least 1, got {gang.min_count}").of(meta.key)
    topology = spec.scheduling_constraints.topology
    return Gang(
        namespace=meta.namespace,
        name=name,
        min_count=gang.min_count if gang else 0,
        topology_key=topology[0].key if topology else "",
        priority_class=spec.priority_class_name,
        priority=spec.priority,
        claims=spec.resource_claims,
        uid=meta.uid,
    )
