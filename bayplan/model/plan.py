"""A Plan: one ordered list of decisions that leaves nothing to choose.

Applying a plan twice equals applying it once; each decision names the resourceVersion it rests on, and a stale one is
refused by the API and decided again in the next cycle. Every pending workload appears exactly once, placed or held.
"""

from __future__ import annotations

from bayplan.model.base import Value
from bayplan.model.device import AllocationResult, ResourceClaimSpec
from bayplan.model.reason import AnyReason
from bayplan.model.workload import PodSetAssignment


class ClaimAllocation(Value, frozen=True):
    """Devices for one claim of a pod: `name` as the pod spells it, `claim` the object's key ("" = not made yet).

    `spec` is that of the claim for extended resources, which is made when the plan is carried out.
    """

    name: str
    claim: str
    allocation: AllocationResult
    spec: ResourceClaimSpec | None = None


class ApartRequest(Value, frozen=True):
    """Where the devices of one request are, and what it would find at the place that came closest: it wants `wanted`
    devices, `there` would do, `free` of them nobody has."""

    request: str
    places: tuple[str, ...]
    wanted: int
    there: int
    free: int


class Apart(Value, frozen=True):
    """Devices of one pod that share no `level` (pcieRoot or numaNode) although they are few enough for one.

    `closest` is the place that comes nearest to serving all requests.
    """

    level: str
    closest: str
    requests: tuple[ApartRequest, ...]


class PodPlacement(Value, frozen=True):
    """One pod of a gang: where it runs and with which devices. `pod` is its key, "" while it does not exist yet."""

    pod_set: str
    index: int
    node: str
    pod: str = ""
    claims: tuple[ClaimAllocation, ...] = ()
    apart: Apart | None = None


class Decision(Value, frozen=True, tag_field="decision"):
    """Base of all decisions."""


class Place(Decision, frozen=True, tag="Place"):
    """Admit the workload (if it is not yet) and bind these pods. `domain` is the topology domain that holds them.

    `prepares`: the devices are allocated and nothing is bound, because some have binding conditions that are not true
    yet (KEP-5007); a gang waits for them together.
    """

    workload: str
    pods: tuple[PodPlacement, ...]
    cluster_queue: str = ""
    pod_sets: tuple[PodSetAssignment, ...] = ()
    domain: str = ""
    resource_version: str = ""
    prepares: bool = False


class Hold(Decision, frozen=True, tag="Hold"):
    """Not now: why, most important reason first."""

    workload: str
    reasons: tuple[AnyReason, ...]
    resource_version: str = ""


class Evict(Decision, frozen=True, tag="Evict"):
    """End a running workload, for `preemptor` or ("") because it cannot go on.

    `reason` is Kueue's word (InClusterQueue, InCohortReclamation, PodsReadyTimeout, …).
    """

    workload: str
    preemptor: str
    reason: str
    resource_version: str = ""


class Deallocate(Decision, frozen=True, tag="Deallocate"):
    """Free the devices of these claims (by key): they were allocated for pods of the workload that are not bound."""

    workload: str
    claims: tuple[str, ...]
    resource_version: str = ""


AnyDecision = Place | Hold | Evict | Deallocate


class Plan(Value, frozen=True):
    """Decisions in the order in which they are carried out, made from snapshot `revision`."""

    decisions: tuple[AnyDecision, ...] = ()
    revision: str = ""

    def placed(self) -> tuple[Place, ...]:
        return tuple(d for d in self.decisions if isinstance(d, Place))

    def held(self) -> tuple[Hold, ...]:
        return tuple(d for d in self.decisions if isinstance(d, Hold))

    def evicted(self) -> tuple[Evict, ...]:
        return tuple(d for d in self.decisions if isinstance(d, Evict))

    def deallocated(self) -> tuple[Deallocate, ...]:
        return tuple(d for d in self.decisions if isinstance(d, Deallocate))
