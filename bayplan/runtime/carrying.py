"""Carrying a plan out: each decision in one transaction where the body can, else write by write in an order that
lets the next cycle go on from any point.

A decision stands on the last change of its Workload that a decision could see (`bayplan.runtime.mirror`); has that
changed, or does the API refuse a part, the whole decision is a Conflict and is taken again next cycle. What is already
as decided is left alone, so carrying out twice equals once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.core import says_apart
from bayplan.model.device import (
    AllocationResult,
    Device,
    ResourceClaimConsumerReference,
    ResourceClaimSpec,
    ResourceSlice,
)
from bayplan.model.plan import AnyDecision, Deallocate, Evict, Hold, Place, Plan, PodPlacement
from bayplan.model.reason import AuditFailed, WaitingForDevices
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import EXTENDED_CLAIM, Pod, Workload
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import owned
from bayplan.runtime.controllers.pods import POD_GROUPS, Whose
from bayplan.runtime.mirror import Mirror
from bayplan.runtime.objects import ApiError, Objects
from bayplan.runtime.ports import Applied, Conflict, Describe
from bayplan.wire import patches
from bayplan.wire.allocatable import DeviceId, declaring, statuses
from bayplan.wire.devices import resource_claim
from bayplan.wire.kinds import group_kind
from bayplan.wire.names import QUOTA_RESERVED, START, WHY
from bayplan.wire.podgroups import pod_group
from bayplan.wire.pods import PodObject
from bayplan.wire.read import read
from bayplan.wire.times import rfc3339

SETTLE_S = 15  # pods of a workload that was just admitted are still being made

WORKLOADS = "workloads.kueue.x-k8s.io"
CLAIMS = "resourceclaims.resource.k8s.io"
ALLOCATABLE = "nodeAllocatableResourceClaimStatuses"


class _Stale(Exception):
    """The decision rests on something that is no longer so; the message says what."""


class Carrier:
    """`whose` says which unbound pods are ours to bind; `patience_s` for how long a new wording of an old reason may
    wait before people are told; `admits` whether the admission of Workloads is ours (else Kueue's)."""

    def __init__(
        self,
        store: Objects,
        mirror: Mirror,
        describe: Describe,
        *,
        whose: Whose | None = None,
        patience_s: int = 0,
        admits: bool = True,
    ) -> None:
        self.mirror = mirror
        self._store = store
        self._whose = whose or Whose()
        self._patience_s = patience_s
        self._admits = admits
        self._told: dict[str, tuple[str, int]] = {}
        self._describe = describe
        self._served: dict[tuple[str, str], str] = {}
        self._revision = -1
        self._slices: tuple[ResourceSlice, ...] = ()
        self._declaring: dict[DeviceId, Device] = {}

    def carry_out(self, plan: Plan, seen: Snapshot, starts: Mapping[str, str], now_s: int) -> Applied:
        """Every decision. `seen` is the cluster now, `starts` the expected starts of held workloads.

        Raises what the body raises when it cannot go on at all (Temporary, Permanent).
        """
        news = [d for d in plan.decisions if not isinstance(d, Hold) or self._is_news(d, seen, now_s)]
        parts = list(self._store.each(lambda d: self._carry(d, seen, starts, now_s), news))
        return Applied(
            admitted=tuple(k for p in parts for k in p.admitted),
            bound=tuple(k for p in parts for k in p.bound),
            evicted=tuple(k for p in parts for k in p.evicted),
            conflicts=tuple(c for p in parts for c in p.conflicts),
        )

    def _carry(self, decision: AnyDecision, seen: Snapshot, starts: Mapping[str, str], now_s: int) -> Applied:
        try:
            with self._store.transaction():
                workload, obj = self._current(decision, seen)
                match decision:
                    case Place():
                        return self._place(decision, workload, obj, seen, now_s)
                    case Evict():
                        return self._evict(decision, obj, now_s)
                    case Deallocate():
                        self._deallocate(decision, seen)
                        return Applied()
                    case Hold():
                        self._hold(decision, workload, obj, seen, starts.get(decision.workload, ""), now_s)
                        self._told[decision.workload] = _word(decision), now_s
                        return Applied()
        except (_Stale, ApiError) as error:
            return Applied(conflicts=(_conflict(decision, error),))

    def _is_news(self, hold: Hold, seen: Snapshot, now_s: int) -> bool:
        word, told_s = self._told.get(hold.workload, ("", 0))
        workload = seen.workloads.get(hold.workload)
        unnoted = workload is not None and workload.admission is not None and not workload.unready_s
        return not self._patience_s or unnoted or word != _word(hold) or now_s - told_s >= self._patience_s

    def _current(self, decision: AnyDecision, seen: Snapshot) -> tuple[Workload, dict[str, Any]]:
        """The Workload a decision is about, if it still is what was decided on."""
        workload = seen.workloads.get(decision.workload)
        if workload is None:
            raise _Stale(f"Workload {decision.workload} has ended")
        if decision.resource_version and workload.resource_version != decision.resource_version:
            raise _Stale(f"Workload {decision.workload} has changed")
        return workload, self._store.get(WORKLOADS, workload.namespace, workload.name)

    # --- Place ---------------------------------------------------------------------------------------------------

    def _place(self, place: Place, workload: Workload, obj: dict[str, Any], seen: Snapshot, now_s: int) -> Applied:
        self._told.pop(place.workload, None)
        if workload.admission is None:
            self._write_status(obj, patches.admit(obj, workload, place, now_s))
            self._remark(obj, why="", start=rfc3339(now_s), pods=False)  # pods are told when they are bound
            queue = f"ClusterQueue {place.cluster_queue}" if place.cluster_queue else "no queue"
            waited_s = max(0, now_s - workload.created_s)
            events.record(self._store, obj, "Admitted", f"Admitted by {queue}, wait time {waited_s}s", now_s)
        bound: list[str] = []
        failures: list[Exception] = []
        binds = not place.prepares
        for turn in _turns(place, seen):
            for placement, failure in self._store.each(lambda p: self._try_to_bind(p, seen, now_s, binds), turn):
                if isinstance(failure, Exception):
                    failures.append(failure)
                elif failure:
                    bound.append(placement.pod)
        if failures and self._store.atomic:
            raise failures[0]
        admitted = () if workload.admission else (place.workload,)
        if workload.admission is not None and binds:
            known = (seen.pods.get(p.pod) for p in place.pods if p.pod not in bound)
            whole = all(pod is not None and pod.node for pod in known)
            self._note(workload, obj, whole, "Pods are missing or cannot be bound", now_s)
            if whole and WHY in (obj["metadata"].get("annotations") or {}):
                self._remark(obj, why="", start=rfc3339(workload.admission.admitted_s), pods=False)
        return Applied(admitted, tuple(bound), conflicts=tuple(_conflict(place, f) for f in failures[:1]))

    def _try_to_bind(
        self, placement: PodPlacement, seen: Snapshot, now_s: int, binds: bool
    ) -> tuple[PodPlacement, bool | Exception]:
        """The placement, and whether the pod was bound by it or why it could not be."""
        try:
            return placement, bool(placement.pod) and self._bind(placement, seen, now_s, binds)
        except (_Stale, ApiError) as error:
            return placement, error

    def _bind(self, placement: PodPlacement, seen: Snapshot, now_s: int, binds: bool) -> bool:
        """Gives a pod its devices and, where it `binds`, its node; False if it has no node by that."""
        pod = seen.pods.get(placement.pod)
        if pod is None:
            raise _Stale(f"pod {placement.pod} has ended")
        if placement.node not in seen.nodes:
            raise _Stale(f"node {placement.node} is gone")
        if pod.node == placement.node:
            return False
        obj = self._store.get("pods", pod.namespace, pod.name)
        if any(not c.claim and c.spec is None for c in placement.claims) or not self._is_ready(pod, obj["spec"]):
            return False
        given = {c.claim or self._made(c.spec, pod): c.allocation for c in placement.claims}
        own = ResourceClaimConsumerReference("pods", pod.name, pod.uid)
        of_group = self._of_group(obj)
        for key in {k: None for _, k in pod.claims} | given:
            self._reserve(key, given.get(key), of_group.get(key, own), now_s)
        if not binds:
            return False
        self._tell_allocatable(pod, obj, seen)
        bound = self._store.bind(pod.namespace, pod.name, placement.node, annotations={START: rfc3339(now_s)})
        self._remark(bound, why="", start=rfc3339(now_s))
        events.record(self._store, bound, "Scheduled", _assigned(placement), now_s)
        return True

    def _is_ready(self, pod: Pod, spec: Mapping[str, Any]) -> bool:
        """Whether all claims of a pod are made and nobody holds it back, and it is ours to bind."""
        named = [name for name, _ in pod.claims if name != EXTENDED_CLAIM]
        made = len(spec.get("resourceClaims") or ()) <= len(named)
        return made and not spec.get("schedulingGates") and self._whose.has(spec.get("schedulerName", ""))

    def _made(self, spec: ResourceClaimSpec | None, pod: Pod) -> str:
        """The claim for a pod's extended resources, made and made known to its kubelet; its key.

        One that was made before somebody stopped is taken up.
        """
        assert spec is not None, "every other claim is made by its own controller"
        obj = self._store.get("pods", pod.namespace, pod.name)
        claim = next((c for c in owned(self._store, obj, CLAIMS) if patches.is_extended_claim(c)), None)
        if claim is None:
            claim = self._store.create(CLAIMS, pod.namespace, patches.extended_claim(obj, spec))
        name = claim["metadata"]["name"]
        patch = patches.extended_status(obj, name, spec)
        self._store.patch("pods", pod.namespace, pod.name, patch, subresource="status")
        return f"{pod.namespace}/{name}"

    def _of_group(self, obj: dict[str, Any]) -> dict[str, ResourceClaimConsumerReference]:
        """Which claims of a pod are those of its group, and the group (KEP-5729)."""
        name = (obj["spec"].get("schedulingGroup") or {}).get("podGroupName")
        if not name or not obj["spec"].get("resourceClaims"):
            return {}
        found = self._store.find(POD_GROUPS, obj["metadata"]["namespace"], name)
        if found is None or not found["spec"].get("resourceClaims"):
            return {}
        group = pod_group(found)
        keys = (group.claim(c) for c in read(obj, PodObject).spec.resource_claims)
        return {key: group.consumer() for key in keys if key}

    def _reserve(
        self, key: str, allocation: AllocationResult | None, consumer: ResourceClaimConsumerReference, now_s: int
    ) -> None:
        namespace, _, name = key.partition("/")
        claim = self._store.get(CLAIMS, namespace, name)
        if allocation is None and (claim.get("status") or {}).get("allocation") is None:
            raise _Stale(f"claim {key} has no devices")
        protection = patches.protect(claim) if allocation is not None else None
        if protection is not None:
            claim = self._store.patch(CLAIMS, namespace, name, protection).decode()
        patch = patches.allocate(claim, allocation or AllocationResult(), consumer, now_s)
        if patch is not None:
            self._store.patch(CLAIMS, namespace, name, patch, subresource="status")

    def _tell_allocatable(self, pod: Pod, obj: dict[str, Any], seen: Snapshot) -> None:
        """What the pod's devices hand out or cost of its node, for its kubelet (KEP-5517)."""
        if self._slices is not seen.slices:
            self._slices, self._declaring = seen.slices, declaring(seen.slices)
        given: dict[str, tuple[str, AllocationResult]] = {}
        for name, key in pod.claims if self._declaring else ():
            claim = resource_claim(self._store.get(CLAIMS, *key.split("/", 1)))
            if claim.status.allocation is not None:
                given[name] = claim.metadata.name, claim.status.allocation
        said = statuses(read(obj, PodObject).spec, given, self._declaring) if given else []
        if said != ((obj.get("status") or {}).get(ALLOCATABLE) or []):
            patch = {"status": {ALLOCATABLE: said or None}}
            self._store.patch("pods", pod.namespace, pod.name, patch, subresource="status")

    def _note(self, workload: Workload, obj: dict[str, Any], whole: bool, message: str, now_s: int) -> None:
        """Since when an admitted workload is without some of its pods; nothing is written where nothing is amiss."""
        if whole:
            patch = patches.recovered(obj, now_s) if workload.unready_s else None
        else:
            admitted_s = workload.admission.admitted_s if workload.admission else now_s
            patch = patches.unready(obj, message, now_s) if now_s - admitted_s >= SETTLE_S else None
        if patch is not None and self._admits:
            self._write_status(obj, patch)

    def _deallocate(self, decision: Deallocate, seen: Snapshot) -> None:
        """Frees devices that pods of ours were to have; a claim that somebody else has come to use is left alone."""
        for key in decision.claims:
            namespace, _, name = key.partition("/")
            claim = self._store.get(CLAIMS, namespace, name)
            users = [p for p in seen.pods.values() if any(k == key for _, k in p.claims)]
            ours = frozenset(p.uid for p in users if p.workload and not p.node and self._is_ours(p))
            patch = patches.deallocate(claim, ours, groups=len(ours) == len(users))
            if patch is None:
                continue
            freed = self._store.patch(CLAIMS, namespace, name, patch, subresource="status").decode()
            unprotected = patches.unprotect(freed)
            if unprotected is not None:
                self._store.patch(CLAIMS, namespace, name, unprotected)

    def _is_ours(self, pod: Pod) -> bool:
        found = self._store.find("pods", pod.namespace, pod.name)
        return found is not None and self._whose.has(found["spec"].get("schedulerName", ""))

    # --- Evict, Hold ---------------------------------------------------------------------------------------------

    def _evict(self, decision: Evict, obj: dict[str, Any], now_s: int) -> Applied:
        patch = patches.evict(obj, decision, now_s)
        if patch is None:
            return Applied()
        self._write_status(obj, patch)
        whom = f" for {decision.preemptor}" if decision.preemptor else ""
        self._remark(obj, why=f"evicted{whom}: {decision.reason}", start="")
        message = patch["status"]["conditions"][-1].get("message", "")
        happened = "Preempted" if decision.preemptor else f"EvictedDueTo{decision.reason}"
        events.record(self._store, obj, happened, message, now_s, warning=True)
        return Applied(evicted=(decision.workload,))

    def _hold(
        self, hold: Hold, workload: Workload, obj: dict[str, Any], seen: Snapshot, start: str, now_s: int
    ) -> None:
        why, reason = self._describe(hold, seen), _word(hold)
        if workload.admission is None:
            patch = patches.hold(obj, reason, why, now_s)
            if patch is not None:
                self._tell_once(obj, reason, why, now_s)
                self._write_status(obj, patch)
        elif not any(isinstance(r, WaitingForDevices | AuditFailed) for r in hold.reasons):
            self._note(workload, obj, False, why, now_s)
        self._remark(obj, why=why, start=start)

    def _tell_once(self, obj: dict[str, Any], reason: str, why: str, now_s: int) -> None:
        """An Event when the kind of reason changes; numbers change too often to be news."""
        conditions = (obj.get("status") or {}).get("conditions") or ()
        if not any(c.get("type") == QUOTA_RESERVED and c.get("reason") == reason for c in conditions):
            events.record(self._store, obj, reason, why, now_s, warning=True)

    # --- writing -------------------------------------------------------------------------------------------------

    def _write_status(self, obj: dict[str, Any], patch: patches.Patch) -> None:
        meta = obj["metadata"]
        self._store.patch(WORKLOADS, meta["namespace"], meta["name"], patch, subresource="status")

    def _remark(self, obj: dict[str, Any], *, why: str, start: str, pods: bool = True) -> None:
        """WHY and START on the object and, for a Workload, on what people know it by: its job or its pods."""
        for about in (obj, *self._owners(obj, pods)):
            patch = patches.remark(about, why=why, start=start)
            if patch is not None:
                meta, kind = about["metadata"], self._resources()[group_kind(about)]
                self._store.patch(kind, meta["namespace"], meta["name"], patch)

    def _owners(self, obj: dict[str, Any], pods: bool) -> Iterable[dict[str, Any]]:
        if group_kind(obj) != ("kueue.x-k8s.io", "Workload"):
            return
        for reference in obj["metadata"].get("ownerReferences") or ():
            if reference["kind"] == "Pod" and not pods:
                continue
            resource = self._resources().get(group_kind(reference))
            found = self._store.find(resource, obj["metadata"]["namespace"], reference["name"]) if resource else None
            if found is not None and found["metadata"]["uid"] == reference["uid"]:
                yield found

    def _resources(self) -> dict[tuple[str, str], str]:
        """The served resource of each (group, kind)."""
        if self._revision != self._store.kinds.revision:
            self._served = {(k.group, k.kind): k.resource for k in self._store.kinds}
            self._revision = self._store.kinds.revision
        return self._served


def _turns(place: Place, seen: Snapshot) -> tuple[list[PodPlacement], list[PodPlacement]]:
    """Who allocates a claim that others of the gang share comes before them."""
    if len(place.pods) == 1:
        return [], list(place.pods)
    pods = (seen.pods.get(p.pod) for p in place.pods)
    users = Counter(key for pod in pods if pod is not None for _, key in pod.claims)
    turns: tuple[list[PodPlacement], list[PodPlacement]] = [], []
    for placement in place.pods:
        turns[all(users[c.claim] < 2 for c in placement.claims)].append(placement)
    return turns


def _assigned(placement: PodPlacement) -> str:
    """Where a pod was put and on which devices, in a sentence."""
    devices = [r.device for c in placement.claims for r in c.allocation.devices.results]
    on = f" on {', '.join(devices)}" if devices else ""
    apart = f"; {says_apart(placement.apart)}" if placement.apart is not None else ""
    return f"Successfully assigned {placement.pod} to {placement.node}{on}{apart}"


def _word(hold: Hold) -> str:
    """The word for why a workload waits."""
    return str(hold.reasons[0].__struct_config__.tag) if hold.reasons else "Pending"


def _conflict(decision: AnyDecision, error: Exception) -> Conflict:
    return Conflict(decision.workload, f"{type(decision).__name__} {decision.workload}", str(error))
