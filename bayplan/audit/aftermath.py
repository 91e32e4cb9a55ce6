"""The world a plan would leave: what is placed, who goes, which pods stay, which devices are held and newly given.

This is bookkeeping without judgement; the other modules judge it. Evicted workloads are counted as gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bayplan.audit import extended
from bayplan.audit.pools import DeviceId, Pools, Seen
from bayplan.audit.standing import PoolId, Standing
from bayplan.model.base import Value
from bayplan.model.device import AllocationResult, DeviceRequestAllocationResult, ResourceClaimSpec
from bayplan.model.node import Toleration
from bayplan.model.plan import ClaimAllocation, Place, Plan, PodPlacement
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import EXTENDED_CLAIM, Pod, PodSet, PodSetAssignment, Workload


class Served(Value, frozen=True):
    """A device given to a request; `seen` is how the node sees it, or `problem` says why it cannot use it."""

    identity: DeviceId
    result: DeviceRequestAllocationResult
    seen: Seen | None
    problem: str

    @property
    def label(self) -> str:
        return "/".join(self.identity)


class Given(Value, frozen=True):
    """One claim that the plan allocates to a pod.

    `claim` is its key, or, while it is not made, the pod that will own it and the claim's name there; `spec` is None
    when nobody knows what it asks for.
    """

    claim: str
    namespace: str
    node: str
    spec: ResourceClaimSpec | None
    asked: ClaimAllocation
    allocation: AllocationResult
    served: tuple[Served, ...]


class Placed(Value, frozen=True):
    """One pod the plan places. `pod` is the existing pod, if there is one; `label` its key, or what it will be."""

    workload: Workload
    name: str
    pod_set: PodSet
    placement: PodPlacement
    pod: Pod | None
    assignment: PodSetAssignment | None
    label: str
    given: tuple[Given, ...]


class Aftermath(NamedTuple):
    """`given` are the claims that get devices now, by what they are called; `freed` those whose pods all go."""

    snapshot: Snapshot
    policy: Policy
    plan: Plan
    gone: frozenset[str]
    placed: tuple[Placed, ...]
    given: Mapping[str, Given]
    freed: frozenset[str]
    standing: Standing

    def on(self, node: str) -> list[Pod]:
        """The pods that stay on a node."""
        return [p for p in self.standing.on(node) if p.workload not in self.gone]

    def of(self, workload: str) -> list[Pod]:
        """The pods of a workload that stay."""
        return [] if workload in self.gone else self.standing.of(workload)

    def using(self, claim: str) -> list[Pod]:
        """The pods that stay and use a claim."""
        return [p for p in self.standing.using(claim) if p.workload not in self.gone]

    def kept(self, claim: str) -> AllocationResult | None:
        """The devices that a claim has and keeps."""
        known = self.snapshot.claims.get(claim)
        return known.status.allocation if known is not None and claim not in self.freed else None

    def held(self, claim: str) -> AllocationResult | None:
        """The devices that a claim keeps or is given."""
        kept = self.kept(claim)
        return self.given[claim].allocation if kept is None and claim in self.given else kept

    def holding(self, pool: PoolId) -> Iterator[tuple[str, AllocationResult]]:
        """The claims that keep devices of a pool."""
        return ((claim, has) for claim, has in self.standing.holding(pool) if claim not in self.freed)


def aftermath(snapshot: Snapshot, policy: Policy, plan: Plan, pools: Pools) -> Aftermath:
    """Placements of unknown workloads, pod sets and claims are left out here and found by `plan`, `gangs`, `claims`."""
    gone = frozenset(d.workload for d in plan.evicted())
    stands = Standing(snapshot)
    placed = tuple(p for place in plan.placed() for p in _placed(snapshot, place, pools))
    after = Aftermath(snapshot, policy, plan, gone, placed, {}, _freed(stands, gone), stands)
    given: dict[str, Given] = {}
    for p in placed:
        for claim in p.given:
            if after.kept(claim.claim) is None:
                given.setdefault(claim.claim, claim)
    return after._replace(given=given)


def tolerations(snapshot: Snapshot, placed: Placed) -> tuple[Toleration, ...]:
    """The pod's tolerations and those its flavors add."""
    found = placed.pod_set.template.tolerations
    for _, flavor in placed.assignment.flavors if placed.assignment else ():
        if flavor in snapshot.flavors:
            found += snapshot.flavors[flavor].spec.tolerations
    return found


def _placed(snapshot: Snapshot, place: Place, pools: Pools) -> Iterator[Placed]:
    workload = snapshot.workloads.get(place.workload)
    if workload is None:
        return
    sets = {s.name: s for s in workload.pod_sets}
    admitted = workload.admission.pod_sets if workload.admission else place.pod_sets
    assignments = {a.name: a for a in admitted}
    for p in place.pods:
        pod_set = sets.get(p.pod_set)
        if pod_set is not None:
            label = p.pod or f"{place.workload} {p.pod_set}[{p.index}]"
            given = tuple([_given(snapshot, workload, pod_set, p, label, claim, pools) for claim in p.claims])
            pod, assignment = snapshot.pods.get(p.pod), assignments.get(p.pod_set)
            yield Placed(workload, place.workload, pod_set, p, pod, assignment, label, given)


def _given(
    snapshot: Snapshot,
    workload: Workload,
    pod_set: PodSet,
    placement: PodPlacement,
    pod: str,
    given: ClaimAllocation,
    pools: Pools,
) -> Given:
    node, spec, known = placement.node, None, snapshot.claims.get(given.claim)
    if given.name == EXTENDED_CLAIM:
        spec = extended.claim(snapshot, pod_set.template, node)
    elif known is not None:
        spec = known.spec
    else:
        for asked in pod_set.template.claims:
            if asked.name == given.name:
                spec = asked.template
                break
    served = tuple([_served(result, node, pools) for result in given.allocation.devices.results])
    label = given.claim or f"{pod} {given.name}"
    return Given(label, workload.namespace, node, spec, given, given.allocation, served)


def _served(result: DeviceRequestAllocationResult, node: str, pools: Pools) -> Served:
    identity = (result.driver, result.pool, result.device)
    found = pools.find(identity, node)
    return Served(identity, result, None, found) if isinstance(found, str) else Served(identity, result, found, "")


def _freed(stands: Standing, gone: frozenset[str]) -> frozenset[str]:
    """A claim is freed with the last of its pods that go."""
    claims = {claim for workload in gone for p in stands.of(workload) for _, claim in p.claims}
    return frozenset(c for c in claims if all(p.workload in gone for p in stands.using(c)))
