"""Carrying a plan out on the store: each decision in one transaction, whole or not at all.

A decision stands on the last change of its Workload that a decision could see (`bayplan.runtime.mirror`); has that
changed, or does the API refuse a part, the whole decision is a Conflict and is taken again next cycle. What is already
as decided is left alone, so carrying out twice equals once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.model.device import AllocationResult
from bayplan.model.plan import AnyDecision, Evict, Hold, Place, Plan, PodPlacement
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, Workload
from bayplan.runtime.controllers import events
from bayplan.runtime.mirror import Mirror
from bayplan.runtime.objects import ApiError, Objects
from bayplan.runtime.ports import Applied, Conflict, Describe
from bayplan.wire import patches
from bayplan.wire.kinds import group_kind
from bayplan.wire.names import QUOTA_RESERVED, START
from bayplan.wire.times import rfc3339

WORKLOADS = "workloads.kueue.x-k8s.io"
CLAIMS = "resourceclaims.resource.k8s.io"


class _Stale(Exception):
    """The decision rests on something that is no longer so; the message says what."""


class Carrier:
    def __init__(self, store: Objects, mirror: Mirror, describe: Describe) -> None:
        self.mirror = mirror
        self._store = store
        self._describe = describe
        self._served: dict[tuple[str, str], str] = {}
        self._revision = -1

    def carry_out(self, plan: Plan, seen: Snapshot, starts: Mapping[str, str], now_s: int) -> Applied:
        """Every decision in turn. `seen` is the cluster now, `starts` the expected starts of held workloads."""
        admitted: list[str] = []
        bound: list[str] = []
        evicted: list[str] = []
        conflicts: list[Conflict] = []
        for decision in plan.decisions:
            try:
                with self._store.transaction():
                    workload, obj = self._current(decision, seen)
                    match decision:
                        case Place():
                            bound += self._place(decision, workload, obj, seen, now_s)
                            admitted += [] if workload.admission else [decision.workload]
                        case Evict():
                            evicted += self._evict(decision, obj, now_s)
                        case Hold():
                            start = starts.get(decision.workload, "")
                            self._hold(decision, workload, obj, seen, start, now_s)
            except (_Stale, ApiError) as error:
                conflicts.append(Conflict(decision.workload, _object(decision), str(error)))
        return Applied(tuple(admitted), tuple(bound), tuple(evicted), tuple(conflicts))

    def _current(self, decision: AnyDecision, seen: Snapshot) -> tuple[Workload, dict[str, Any]]:
        """The Workload a decision is about, if it still is what was decided on."""
        workload = seen.workloads.get(decision.workload)
        if workload is None:
            raise _Stale(f"Workload {decision.workload} has ended")
        if decision.resource_version and workload.resource_version != decision.resource_version:
            raise _Stale(f"Workload {decision.workload} has changed")
        return workload, self._store.get(WORKLOADS, workload.namespace, workload.name)

    # --- Place ---------------------------------------------------------------------------------------------------

    def _place(self, place: Place, workload: Workload, obj: dict[str, Any], seen: Snapshot, now_s: int) -> list[str]:
        if workload.admission is None:
            self._write_status(obj, patches.admit(obj, workload, place, now_s))
            self._remark(obj, why="", start=rfc3339(now_s))
            queue = f"ClusterQueue {place.cluster_queue}" if place.cluster_queue else "no queue"
            waited_s = max(0, now_s - workload.created_s)
            events.record(self._store, obj, "Admitted", f"Admitted by {queue}, wait time {waited_s}s", now_s)
        return [p.pod for p in place.pods if p.pod and self._bind(p, seen, now_s)]

    def _bind(self, placement: PodPlacement, seen: Snapshot, now_s: int) -> bool:
        """Gives a pod its devices and its node; False if it has them, or its claims are not made yet."""
        pod = seen.pods.get(placement.pod)
        if pod is None:
            raise _Stale(f"pod {placement.pod} has ended")
        if placement.node not in seen.nodes:
            raise _Stale(f"node {placement.node} is gone")
        if pod.node == placement.node:
            return False
        if any(not c.claim for c in placement.claims) or self._lacks_claims(pod):
            return False
        given = {c.claim: c.allocation for c in placement.claims}
        for _, key in pod.claims:
            self._reserve(key, given.get(key), pod)
        bound = self._store.bind(pod.namespace, pod.name, placement.node, annotations={START: rfc3339(now_s)})
        self._remark(bound, why="", start=rfc3339(now_s))
        events.record(self._store, bound, "Scheduled", _assigned(placement), now_s)
        return True

    def _lacks_claims(self, pod: Pod) -> bool:
        entries = self._store.get("pods", pod.namespace, pod.name)["spec"].get("resourceClaims") or ()
        return len(entries) > len(pod.claims)

    def _reserve(self, key: str, allocation: AllocationResult | None, pod: Pod) -> None:
        namespace, _, name = key.partition("/")
        claim = self._store.get(CLAIMS, namespace, name)
        if allocation is None and (claim.get("status") or {}).get("allocation") is None:
            raise _Stale(f"claim {key} has no devices")
        patch = patches.allocate(claim, allocation or AllocationResult(), pod.name, pod.uid)
        if patch is not None:
            self._store.patch(CLAIMS, namespace, name, patch, subresource="status")

    # --- Evict, Hold ---------------------------------------------------------------------------------------------

    def _evict(self, decision: Evict, obj: dict[str, Any], now_s: int) -> list[str]:
        patch = patches.evict(obj, decision, now_s)
        if patch is None:
            return []
        self._write_status(obj, patch)
        self._remark(obj, why=f"evicted for {decision.preemptor}: {decision.reason}", start="")
        message = patch["status"]["conditions"][-1].get("message", "")
        events.record(self._store, obj, "Preempted", message, now_s, warning=True)
        return [decision.workload]

    def _hold(
        self, hold: Hold, workload: Workload, obj: dict[str, Any], seen: Snapshot, start: str, now_s: int
    ) -> None:
        why = self._describe(hold, seen)
        reason = hold.reasons[0].__struct_config__.tag if hold.reasons else "Pending"
        if workload.admission is None:
            patch = patches.hold(obj, str(reason), why, now_s)
            if patch is not None:
                self._tell_once(obj, str(reason), why, now_s)
                self._write_status(obj, patch)
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

    def _remark(self, obj: dict[str, Any], *, why: str, start: str) -> None:
        """WHY and START on the object and, for a Workload, on what people know it by: its job or its pods."""
        for about in (obj, *self._owners(obj)):
            patch = patches.remark(about, why=why, start=start)
            if patch is not None:
                meta, kind = about["metadata"], self._resources()[group_kind(about)]
                self._store.patch(kind, meta["namespace"], meta["name"], patch)

    def _owners(self, obj: dict[str, Any]) -> Iterable[dict[str, Any]]:
        if group_kind(obj) != ("kueue.x-k8s.io", "Workload"):
            return
        for reference in obj["metadata"].get("ownerReferences") or ():
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


def _assigned(placement: PodPlacement) -> str:
    """Where a pod was put and on which devices, in a sentence."""
    devices = [r.device for c in placement.claims for r in c.allocation.devices.results]
    on = f" on {', '.join(devices)}" if devices else ""
    return f"Successfully assigned {placement.pod} to {placement.node}{on}"


def _object(decision: AnyDecision) -> str:
    return f"{type(decision).__name__} {decision.workload}"
