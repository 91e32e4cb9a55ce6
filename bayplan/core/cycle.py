"""One decision: quota, gang, topology and exact devices in one step, for every pending workload.

`decide` is the only brain. The live scheduler, the simulator, a dry run, `why` and every what-if call it; a what-if is
`decide` on a changed snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bayplan.core import explain
from bayplan.core.fleet import Put
from bayplan.core.order import ORDERS
from bayplan.core.place import Need, Placement
from bayplan.core.preempt import Eviction, Preemption, Preemptor, Running
from bayplan.core.quota import Charges, Quotas, Short, Tariff, on_flavors
from bayplan.core.setup import named, placer_for
from bayplan.model.plan import AnyDecision, ClaimAllocation, Evict, Hold, Place, Plan, PodPlacement
from bayplan.model.policy import Policy
from bayplan.model.reason import (
    AnyReason,
    Deactivated,
    ExceedsMaxQuota,
    Misconfigured,
    NoMatchingFlavor,
    Suspended,
    TopologyPlacementFailed,
    WaitingForHigherPriority,
    WaitingForPreemptedWorkloads,
    WaitingForQuota,
)
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, PodSet, PodSetAssignment, Workload

FLAVORS_MAX = 8  # flavor assignments tried per workload: Kueue allows 64 flavors a group, nobody runs that many


def decide(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
    """The plan for this moment: every workload that is not fully bound is placed or held, exactly once.

    `now_s` is seconds since the epoch. Raises ValueError for a policy that names an unknown order or score.
    """
    cycle = Cycle(snapshot, policy, now_s)
    # 1. Workloads that hold their quota already get the pods that are still missing.
    for workload in cycle.unfinished:
        cycle.finish(workload)
    # 2. Every other workload in order: quota, then a place for the whole gang with exact devices, else victims.
    for workload in cycle.pending:
        cycle.admit(workload)
    # 3. Every hold says who has what is missing.
    decisions = explain.with_holders(cycle.decisions, snapshot, cycle.placer.forest, cycle.charges)
    return Plan(decisions=decisions, revision=snapshot.revision)


class Assignment(NamedTuple):
    """One way to charge a workload: flavors per pod set, the needs under them, and the quota they take."""

    flavors: dict[str, dict[str, str]]
    needs: tuple[Need, ...]
    charges: Charges


class Cycle:
    """What one cycle knows and has decided so far."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now_s: int) -> None:
        self.snapshot, self.now_s = snapshot, now_s
        self.decisions: list[AnyDecision] = []
        self.pods = _pods_by_workload(snapshot.pods.values())
        order = named(ORDERS, "order", policy.order)
        ordered = sorted(snapshot.workloads.values(), key=order)
        self.unfinished = [w for w in ordered if w.admission and self._missing(w)]
        self.pending = [w for w in ordered if not w.admission and w.count]
        self.tariff = Tariff(snapshot)
        self.quotas, running = self._usage(w for w in ordered if w.admission)
        self.charges = {r.workload.key: r.charges for r in running}
        self.placer = placer_for(snapshot, policy, [*self.unfinished, *self.pending])
        self.preemption = Preemption(snapshot, self.placer, running, now_s)
        self.queues = {w.key: self._cluster_queue(w) for w in ordered}
        self.heads: dict[str, str] = {}

    # --- what there is -------------------------------------------------------------------------------------------

    def _missing(self, workload: Workload) -> bool:
        bound = sum(1 for p in self.pods.get(workload.key, ()) if p.node)
        return bound < workload.count

    def _usage(self, admitted: Iterable[Workload]) -> tuple[Quotas, list[Running]]:
        quotas, running = Quotas(self.snapshot), []
        for workload in admitted:
            admission = workload.admission
            assert admission is not None
            charges: Charges = {}
            queue = self.snapshot.cluster_queues.get(admission.cluster_queue)
            if queue is not None:
                flavors = {s.name: dict(s.flavors) for s in admission.pod_sets}
                charges = self.tariff.charges(queue, workload, flavors)
                quotas = quotas.adding(admission.cluster_queue, charges)
            pods = tuple(p for p in self.pods.get(workload.key, ()) if p.node)
            since = max(0, self.now_s - admission.admitted_s)
            running.append(Running(workload, pods, charges, since * len(pods)))
        return quotas, running

    def _cluster_queue(self, workload: Workload) -> str:
        local = self.snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
        return local.spec.cluster_queue if local else ""

    # --- step 1 --------------------------------------------------------------------------------------------------

    def finish(self, workload: Workload) -> None:
        """Places the pods that an admitted workload still lacks, at the nodes its admission names."""
        assert workload.admission is not None
        flavors = {s.name: dict(s.flavors) for s in workload.admission.pod_sets}
        needs = self._needs(workload, flavors)
        found = self.placer.place(needs)
        if isinstance(found, TopologyPlacementFailed):
            self._hold(workload, found)
        else:
            self._place(workload, found, needs, flavors, workload.admission.cluster_queue)

    # --- step 2 --------------------------------------------------------------------------------------------------

    def admit(self, workload: Workload) -> None:
        """Places a pending workload whole, or ends others for it, or holds it."""
        refused = self._refused(workload)
        if refused is not None:
            self._hold(workload, refused)
            return
        queue = self.queues[workload.key] if workload.queue_name else ""
        assignments = self._assignments(workload, queue)
        if isinstance(assignments, NoMatchingFlavor):
            self._hold(workload, assignments)
            return
        reasons: list[AnyReason] = []
        for assignment in assignments:
            short = self.quotas.short(queue, assignment.charges) if queue else None
            if short is not None:
                reasons.append(_no_quota(queue, short))
                continue
            found = self.placer.place(assignment.needs)
            if not isinstance(found, TopologyPlacementFailed):
                self._place(workload, found, assignment.needs, assignment.flavors, queue)
                return
            reasons.append(found)
        if not self._preempted(workload, queue, assignments):
            self._block(workload, queue)
            self._hold(workload, *sorted(reasons, key=explain.prospect))

    def _refused(self, workload: Workload) -> AnyReason | None:
        """Why the workload is not considered at all."""
        if not workload.active:
            return Deactivated()
        if workload.queue_name:
            local = self.snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
            if local is None:
                return Misconfigured(
                    "spec.queueName", f"LocalQueue {workload.namespace}/{workload.queue_name} not found"
                )
            queue = self.snapshot.cluster_queues.get(local.spec.cluster_queue)
            if queue is None:
                return Misconfigured("spec.clusterQueue", f"ClusterQueue {local.spec.cluster_queue} not found")
            if local.spec.stop_policy != "None":
                return Suspended(f"LocalQueue {local.metadata.key}")
            if queue.spec.stop_policy != "None":
                return Suspended(f"ClusterQueue {queue.metadata.name}")
            head = self.heads.get(queue.metadata.name)
            if head:
                return WaitingForHigherPriority(head, queue.metadata.name)
            refused = self._misconfigured(workload, local.spec.cluster_queue)
            if refused is not None:
                return refused
        for pod_set in workload.pod_sets:
            problem = self.placer.book.problem(self.placer.book.shape(pod_set.template))
            if problem is not None:
                return problem
        return None

    def _misconfigured(self, workload: Workload, name: str) -> AnyReason | None:
        queue = self.snapshot.cluster_queues[name]
        for group in queue.spec.resource_groups:
            for flavor in group.flavors:
                if flavor.name not in self.snapshot.flavors:
                    return Misconfigured(
                        "spec.resourceGroups", f"ClusterQueue {name}: ResourceFlavor {flavor.name} not found"
                    )
        for pod_set in workload.pod_sets:
            resource = self.tariff.uncovered(queue, pod_set.template)
            if resource:
                return Misconfigured(
                    "spec.resourceGroups",
                    f"ClusterQueue {name} has no quota of {resource}, which {pod_set.name} asks for",
                )
        return None

    def _assignments(self, workload: Workload, queue: str) -> list[Assignment] | NoMatchingFlavor:
        """The flavor assignments to try, in the queue's order; pod sets of equal template share their flavors."""
        if not queue:
            flavors: dict[str, dict[str, str]] = {s.name: {} for s in workload.pod_sets}
            return [Assignment(flavors, self._needs(workload, flavors), {})]
        spec = self.snapshot.cluster_queues[queue]
        combos: list[dict[str, dict[str, str]]] = [{}]
        for pod_set in workload.pod_sets:
            choices = self.tariff.flavors(spec, pod_set.template)
            if not choices:
                offered = tuple(f.name for g in spec.spec.resource_groups for f in g.flavors)
                return NoMatchingFlavor(queue, pod_set.name, "", offered)
            combos = [c | {pod_set.name: choice} for c in combos for choice in choices][:FLAVORS_MAX]
        return [Assignment(c, self._needs(workload, c), self.tariff.charges(spec, workload, c)) for c in combos]

    def _needs(self, workload: Workload, flavors: dict[str, dict[str, str]]) -> tuple[Need, ...]:
        """What is still to be placed, pod set by pod set."""
        pods = self.pods.get(workload.key, ())
        needs = []
        for pod_set in workload.pod_sets:
            bound = [p for p in pods if p.pod_set == pod_set.name and p.node]
            count = pod_set.count - len(bound)
            if count > 0:
                template = on_flavors(pod_set.template, flavors.get(pod_set.name, {}).values(), self.snapshot.flavors)
                pinned = _pinned(workload, pod_set, bound)
                shape = self.placer.book.shape(template)
                needs.append(Need(pod_set.name, shape, count, pod_set.topology, pinned if len(pinned) == count else ()))
        return tuple(needs)

    def _preempted(self, workload: Workload, queue: str, assignments: list[Assignment]) -> bool:
        """Ends others for the workload, or waits for those that are ending."""
        for assignment in assignments:
            asks = Preemptor(workload, queue, assignment.needs, assignment.charges)
            waiting = self.preemption.when_left(asks, self.quotas)
            if waiting is not None:
                names = sorted({p.workload or p.key for p in self.preemption.leaving})
                self._reserve(workload, asks, Eviction((), waiting), tuple(names))
                return True
        for assignment in assignments:
            asks = Preemptor(workload, queue, assignment.needs, assignment.charges)
            found = self.preemption.find(asks, self.quotas)
            if found is not None:
                self._evict(workload, asks, found)
                return True
        return False

    # --- decisions -----------------------------------------------------------------------------------------------

    def _evict(self, workload: Workload, asks: Preemptor, found: Eviction) -> None:
        for victim, reason in found.victims:
            leaver = victim.workload
            self.decisions.append(
                Evict(
                    workload=leaver.key, preemptor=workload.key, reason=reason, resource_version=leaver.resource_version
                )
            )
            if leaver.admission and leaver.admission.cluster_queue:
                self.quotas = self.quotas.removing(leaver.admission.cluster_queue, victim.charges)
        self.preemption.gone(v.workload.key for v, _ in found.victims)
        self._reserve(workload, asks, found, tuple(v.workload.key for v, _ in found.victims))

    def _reserve(self, workload: Workload, asks: Preemptor, found: Eviction, victims: tuple[str, ...]) -> None:
        """Keeps the quota and the nodes of a preemptor until its victims have gone."""
        if asks.queue:
            self.quotas = self.quotas.adding(asks.queue, asks.charges)
        self.placer.fleet.close({p.node for group in found.placement.puts for p in group})
        self._hold(workload, WaitingForPreemptedWorkloads(victims=victims, domain=found.placement.domain))

    def _block(self, workload: Workload, queue: str) -> None:
        """A StrictFIFO queue does not pass its head."""
        if queue and self.snapshot.cluster_queues[queue].spec.queueing_strategy == "StrictFIFO":
            self.heads.setdefault(queue, workload.key)

    def _hold(self, workload: Workload, *reasons: AnyReason) -> None:
        self.decisions.append(Hold(workload.key, reasons=reasons, resource_version=workload.resource_version))

    def _place(
        self,
        workload: Workload,
        found: Placement,
        needs: tuple[Need, ...],
        flavors: dict[str, dict[str, str]],
        queue: str,
    ) -> None:
        self.placer.fleet.absorb(found.trial)
        if queue and workload.admission is None:
            spec = self.snapshot.cluster_queues[queue]
            self.quotas = self.quotas.adding(queue, self.tariff.charges(spec, workload, flavors))
        pods: list[PodPlacement] = []
        for need, puts in zip(needs, found.puts, strict=True):
            pods += self._placements(workload, need, puts)
        admitted = () if workload.admission else tuple(_assignment(s, pods, flavors) for s in workload.pod_sets)
        self.decisions.append(
            Place(
                workload=workload.key,
                pods=tuple(pods),
                cluster_queue=queue,
                pod_sets=admitted or (workload.admission.pod_sets if workload.admission else ()),
                domain=found.domain,
                resource_version=workload.resource_version,
            )
        )

    def _placements(self, workload: Workload, need: Need, puts: tuple[Put, ...]) -> list[PodPlacement]:
        """Existing pods first, by index and name; the rest are pods that do not exist yet."""
        mine = [p for p in self.pods.get(workload.key, ()) if p.pod_set == need.pod_set]
        waiting = [p for p in mine if not p.node]
        taken = {p.index for p in mine}
        fresh = (i for i in range(len(mine) + need.pods) if i not in taken)
        placed = []
        for at, put in enumerate(puts):
            pod = waiting[at] if at < len(waiting) else None
            claims = self._claims(need, put, pod)
            index = pod.index if pod is not None and pod.index >= 0 else next(fresh)
            placed.append(PodPlacement(need.pod_set, index, put.node, pod.key if pod else "", claims))
        return placed

    def _claims(self, need: Need, put: Put, pod: Pod | None) -> tuple[ClaimAllocation, ...]:
        asked = [c for c in self.placer.book.template(need.shape).claims if c.template is not None]
        known = dict(pod.claims) if pod else {}
        return tuple(
            ClaimAllocation(c.name, known.get(c.name, c.claim), allocation)
            for c, allocation in zip(asked, put.allocations, strict=True)
        )


def _pods_by_workload(pods: Iterable[Pod]) -> dict[str, tuple[Pod, ...]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.workload and not pod.terminating:
            found.setdefault(pod.workload, []).append(pod)
    return {k: tuple(sorted(v, key=lambda p: (p.pod_set, p.index, p.name))) for k, v in found.items()}


def _pinned(workload: Workload, pod_set: PodSet, bound: list[Pod]) -> tuple[str, ...]:
    """The nodes of the admission that no bound pod of the set stands on yet, one per missing pod."""
    admission = workload.admission
    chosen = next((s.nodes for s in admission.pod_sets if s.name == pod_set.name), ()) if admission else ()
    used = [p.node for p in bound]
    left: list[str] = []
    for node, count in chosen:
        left += [node] * max(0, count - used.count(node))
    return tuple(left)


def _assignment(pod_set: PodSet, pods: list[PodPlacement], flavors: dict[str, dict[str, str]]) -> PodSetAssignment:
    nodes: dict[str, int] = {}
    for placed in pods:
        if placed.pod_set == pod_set.name:
            nodes[placed.node] = nodes.get(placed.node, 0) + 1
    chosen = tuple(sorted(flavors.get(pod_set.name, {}).items()))
    return PodSetAssignment(pod_set.name, chosen, tuple(nodes.items()))


def _no_quota(queue: str, short: Short) -> WaitingForQuota | ExceedsMaxQuota:
    flavor, resource = short.cell
    if short.requested > short.potential:
        return ExceedsMaxQuota(queue, flavor, resource, short.requested, short.potential)
    return WaitingForQuota(queue, flavor, resource, short.requested, short.available, short.nominal)
