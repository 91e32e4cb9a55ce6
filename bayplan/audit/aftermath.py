"""The world a plan would leave: what is placed, who goes, which pods stay, which devices are held and newly given.

This is bookkeeping without judgement; the other modules judge it. Evicted workloads are counted as gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bayplan.audit import extended
from bayplan.model.device import AllocationResult, ResourceClaimSpec
from bayplan.model.node import Toleration
from bayplan.model.plan import ClaimAllocation, Place, Plan, PodPlacement
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import EXTENDED_CLAIM, Pod, PodSet, PodSetAssignment, Workload


class Placed(NamedTuple):
    """One pod the plan places. `pod` is the existing pod, if there is one."""

    workload: Workload
    pod_set: PodSet
    placement: PodPlacement
    pod: Pod | None
    assignment: PodSetAssignment | None

    @property
    def label(self) -> str:
        """The pod's key, or what it will be once it exists."""
        return self.placement.pod or f"{self.workload.key} {self.placement.pod_set}[{self.placement.index}]"


class Given(NamedTuple):
    """One claim that the plan allocates. `spec` is None when nobody knows what it asks for."""

    claim: str
    namespace: str
    node: str
    spec: ResourceClaimSpec | None
    allocation: AllocationResult


class Aftermath(NamedTuple):
    """`pods` are the pods that stay, bound or not; `kept` the allocations that stay, by claim."""

    snapshot: Snapshot
    policy: Policy
    plan: Plan
    gone: frozenset[str]
    placed: tuple[Placed, ...]
    pods: tuple[Pod, ...]
    given: tuple[Given, ...]
    kept: Mapping[str, AllocationResult]


def aftermath(snapshot: Snapshot, policy: Policy, plan: Plan) -> Aftermath:
    """Placements of unknown workloads, pod sets and claims are left out here and found by `plan`, `gangs`, `claims`."""
    gone = frozenset(d.workload for d in plan.evicted())
    pods = tuple(p for p in snapshot.pods.values() if p.workload not in gone) if gone else (*snapshot.pods.values(),)
    placed = tuple(p for place in plan.placed() for p in _placed(snapshot, place))
    kept = _kept(snapshot, pods, gone)
    given: dict[str, Given] = {}
    for p in placed:
        for allocation in p.placement.claims:
            claim = _given(snapshot, p, allocation)
            if claim.claim not in kept:
                given.setdefault(claim.claim, claim)
    return Aftermath(snapshot, policy, plan, gone, placed, pods, tuple(given.values()), kept)


def claim_label(placed: Placed, given: ClaimAllocation) -> str:
    """The claim's key, or, while it is not made, the pod that will own it and the claim's name there."""
    return given.claim or f"{placed.label} {given.name}"


def tolerations(snapshot: Snapshot, placed: Placed) -> tuple[Toleration, ...]:
    """The pod's tolerations and those its flavors add."""
    found = placed.pod_set.template.tolerations
    for _, flavor in placed.assignment.flavors if placed.assignment else ():
        if flavor in snapshot.flavors:
            found += snapshot.flavors[flavor].spec.tolerations
    return found


def _placed(snapshot: Snapshot, place: Place) -> list[Placed]:
    workload = snapshot.workloads.get(place.workload)
    if workload is None:
        return []
    sets = {s.name: s for s in workload.pod_sets}
    admitted = workload.admission.pod_sets if workload.admission else place.pod_sets
    assignments = {a.name: a for a in admitted}
    return [
        Placed(workload, sets[p.pod_set], p, snapshot.pods.get(p.pod), assignments.get(p.pod_set))
        for p in place.pods
        if p.pod_set in sets
    ]


def _kept(snapshot: Snapshot, pods: tuple[Pod, ...], gone: frozenset[str]) -> dict[str, AllocationResult]:
    """A claim is freed with the last of its pods that go."""
    held = {key: given for key, c in snapshot.claims.items() if (given := c.status.allocation) is not None}
    if gone:
        staying = {claim for p in pods for _, claim in p.claims}
        leaving = {claim for p in snapshot.pods.values() if p.workload in gone for _, claim in p.claims}
        for claim in leaving:
            if claim not in staying:
                held.pop(claim, None)
    return held


def _given(snapshot: Snapshot, placed: Placed, given: ClaimAllocation) -> Given:
    known = snapshot.claims.get(given.claim)
    asked = next((c for c in placed.pod_set.template.claims if c.name == given.name), None)
    spec = known.spec if known is not None else asked.template if asked else None
    if given.name == EXTENDED_CLAIM:
        spec = extended.claim(snapshot, placed.pod_set.template, placed.placement.node)
    return Given(claim_label(placed, given), placed.workload.namespace, placed.placement.node, spec, given.allocation)
