"""One decision: quota, gang, topology and exact devices in one step, for every pending workload.

`decide` is the only brain. The live scheduler, the simulator, a dry run, `why` and every what-if call it; a what-if is
`decide` on a changed snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bayplan.core import explain
from bayplan.core.book import claims_asked
from bayplan.core.extended import Extended, scalar_devices
from bayplan.core.history import recent
from bayplan.core.idle import Blocked, blocked, deallocations, left_behind
from bayplan.core.members import assignment as assignment_of
from bayplan.core.members import placements
from bayplan.core.needs import Wanted, terms_of, wanted
from bayplan.core.order import ORDERS
from bayplan.core.place import Placement
from bayplan.core.preempt import Eviction, Preemption, Preemptor, Running
from bayplan.core.quota import Charges, Quotas, Short, Tariff
from bayplan.core.reservation import Kept, opened, soonest
from bayplan.core.setup import named, placer_for
from bayplan.core.teams import NOBODY, Team, teams
from bayplan.model.device import AllocationResult
from bayplan.model.plan import AnyDecision, Evict, Hold, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.reason import (
    AnyReason,
    Deactivated,
    DeviceBindingFailed,
    ExceedsMaxQuota,
    Misconfigured,
    NoMatchingFlavor,
    OnHold,
    PendingEvaluation,
    RoomKept,
    Suspended,
    TopologyPlacementFailed,
    WaitingForHigherPriority,
    WaitingForPreemptedWorkloads,
    WaitingForQuota,
)
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload

KEPT_MAX = 4  # workloads for which room is kept at a time: each costs a search among all that runs
FLAVORS_MAX = 8  # flavor assignments tried per workload: Kueue allows 64 flavors a group, nobody runs that many


def decide(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
    """The plan for this moment: every workload that is not fully bound is placed or held, exactly once.

    `now_s` is seconds since the epoch. Raises ValueError for a policy that names an unknown order or score.
    """
    cycle = Cycle(snapshot, policy, now_s)
    # 1. Workloads that hold their quota already get the pods that are still missing.
    for workload in cycle.unfinished:
        cycle.finish(workload)
    # 2. Every other workload in turn: quota, then a place for the whole gang with exact devices, else victims.
    for workload in cycle.turns():
        cycle.admit(workload)
    # 3. Every hold says who has what is missing; devices of pods that are not bound after all are freed.
    placer = cycle.placer
    decisions = explain.with_holders(cycle.decisions, snapshot, placer.forest, placer.fleet.pods_on, cycle.charges)
    freed = deallocations(snapshot, decisions, cycle.left)
    return Plan(decisions=(*freed, *decisions), revision=snapshot.revision)


class Assignment(NamedTuple):
    """One way to charge a workload: flavors per pod set, what is wanted under them, and the quota it takes."""

    flavors: dict[str, dict[str, str]]
    wanted: Wanted
    charges: Charges


class Cycle:
    """What one cycle knows and has decided so far."""

    def __init__(self, snapshot: Snapshot, policy: Policy, now_s: int) -> None:
        self.snapshot, self.policy, self.now_s = snapshot, policy, now_s
        self.decisions: list[AnyDecision] = []
        self.teams = teams(snapshot.pods)
        self.given: dict[str, AllocationResult] = {}
        order = named(ORDERS, "order", policy.order)
        ordered = sorted(snapshot.workloads.values(), key=order)
        admitted = [w for w in ordered if w.admission]
        self.unfinished = [w for w in admitted if self._missing(w)]
        self.pending = [w for w in ordered if not w.admission]
        self.tariff = Tariff(snapshot)
        self.extended = Extended(snapshot, policy)
        self.quotas, running = self._usage(admitted)
        self.charges = {r.workload.key: r.charges for r in running}
        asking = [self.extended.ways(w) for w in (*self.unfinished, *self.pending)]
        others = [way for ways in asking for way in ways[1:]]
        whole = (w for w in admitted if not self._missing(w))
        ran = [(weight, self.extended.ways(w)[0]) for weight, w in recent(whole, policy.half_life_s, now_s)]
        self.placer = placer_for(snapshot, policy, [ways[0] for ways in asking], others, ran)
        self.left = left_behind(snapshot)
        self.preemption = Preemption(snapshot, self.placer, running, self.left)
        self.queues = {w.key: self._cluster_queue(w) for w in ordered}
        self.heads: dict[str, str] = {}
        self.kept: dict[str, Kept] = {}
        self.assigned: dict[str, list[Assignment] | NoMatchingFlavor] = {}

    # --- what there is -------------------------------------------------------------------------------------------

    def _held(self, claim: str) -> AllocationResult | None:
        """The devices that a claim has, or has been given in this cycle."""
        given, known = self.given.get(claim), self.snapshot.claims.get(claim)
        return given if given is not None or known is None else known.status.allocation

    def _missing(self, workload: Workload) -> bool:
        return len(self._team(workload).bound) < workload.count

    def _team(self, workload: Workload) -> Team:
        return self.teams.get(workload.key, NOBODY)

    def _usage(self, admitted: Iterable[Workload]) -> tuple[Quotas, list[Running]]:
        charged, running = [], []
        for workload in admitted:
            admission = workload.admission
            assert admission is not None
            charges: Charges = {}
            queue = self.snapshot.cluster_queues.get(admission.cluster_queue)
            if queue is not None:
                flavors = {s.name: dict(s.flavors) for s in admission.pod_sets}
                charges = self.tariff.charges(queue, workload, flavors)
                charges = _sum(charges, self._open_ended(workload, flavors))
                charged.append((admission.cluster_queue, charges))
            pods = self._team(workload).bound
            running.append(Running(workload, pods, charges, self._lost_s))
        return Quotas(self.snapshot).adding(*charged), running

    def _lost_s(self, workload: Workload) -> int:
        """Seconds since the admission times the devices its bound pods hold, by claim and by extended resource."""
        pods = self._team(workload).bound
        held = (self._held(claim) for p in pods for _, claim in p.claims)
        devices = sum(map(scalar_devices, pods)) + sum(len(a.devices.results) for a in held if a is not None)
        since_s = workload.admission.admitted_s if workload.admission is not None else self.now_s
        return max(0, self.now_s - since_s) * max(1, devices)

    def _open_ended(self, workload: Workload, flavors: dict[str, dict[str, str]]) -> Charges:
        """What the bound pods of a running workload are charged for requests of All devices."""
        extra: Charges = {}
        for pod_set in workload.pod_sets:
            if self.tariff.open_ended(pod_set.template):
                for pod in self._team(workload).pods:
                    claims = pod.claims if pod.pod_set == pod_set.name else ()
                    given = {name: a for name, key in claims if (a := self._held(key)) is not None}
                    more = self.tariff.by_devices(pod_set.template, given, flavors.get(pod_set.name, {}))
                    extra = _sum(extra, more)
        return extra

    def _by_devices(self, workload: Workload, queue: str, assignment: Assignment, found: Placement) -> Assignment:
        """The assignment with what only the chosen devices tell: how many All of them are."""
        charges = assignment.charges
        if queue and any(self.tariff.open_ended(s.template) for s in workload.pod_sets):
            for need, puts in zip(assignment.wanted.needs, found.puts, strict=True):
                template = self.placer.book.template(need.shape)
                for put in puts:
                    given = {c.name: a for c, a in zip(claims_asked(template), put.allocations, strict=True)}
                    chosen = assignment.flavors.get(need.pod_set, {})
                    charges = _sum(charges, self.tariff.by_devices(template, given, chosen))
        return assignment._replace(charges=charges)

    def _cluster_queue(self, workload: Workload) -> str:
        local = self.snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
        return local.spec.cluster_queue if local else ""

    # --- step 1 --------------------------------------------------------------------------------------------------

    def finish(self, workload: Workload) -> None:
        """Places the pods that an admitted workload still lacks, at the nodes its admission names.

        One that has lacked them for too long is ended, so that it can start whole elsewhere.
        """
        assert workload.admission is not None
        waits = self._blocked(workload)
        if isinstance(waits, DeviceBindingFailed):
            self._hold(workload, waits)
            return
        flavors = {s.name: dict(s.flavors) for s in workload.admission.pod_sets}
        reasons: list[AnyReason] = []
        for way in self.extended.ways(workload):
            missing = self._wanted(way, flavors)
            found = self.placer.place(missing.needs)
            if isinstance(found, TopologyPlacementFailed):
                reasons.append(found)
            elif waits is not None and not any(put.allocations for puts in found.puts for put in puts):
                self._hold(workload, waits)
                return
            elif not self._overdue(workload, missing):
                self._place(workload, found, Assignment(flavors, missing, {}), workload.admission.cluster_queue)
                return
        if self._overdue(workload):
            self._leave(workload, "", "PodsReadyTimeout", self.charges[workload.key])
            self.preemption.gone((workload.key,))
        else:
            self._hold(workload, *sorted(dict.fromkeys(reasons), key=explain.prospect))

    def _blocked(self, workload: Workload) -> Blocked | None:
        pods, timeout_s = self._team(workload).pods, self.policy.binding_timeout_s
        return blocked(self.snapshot, pods, now_s=self.now_s, timeout_s=timeout_s) if pods else None

    def _overdue(self, workload: Workload, placed: Wanted | None = None) -> bool:
        """Whether the workload has lacked pods for longer than it may.

        Pods that exist and are `placed` now are given as long again: whatever keeps them from being bound may pass.
        """
        timeout_s = self.policy.recovery_timeout_s
        if not timeout_s or not workload.unready_s:
            return False
        patient = placed is not None and all(pod is not None for members in placed.members for pod in members)
        return self.now_s - workload.unready_s >= (2 * timeout_s if patient else timeout_s)

    # --- step 2 --------------------------------------------------------------------------------------------------

    def turns(self) -> Iterator[Workload]:
        """Pending workloads in order, those that would have to borrow after those that stay within nominal quota.

        Otherwise a borrower that was just ended for somebody's own quota, being older, would take it again and be ended
        again, for ever. For the same reason whoever has ended others comes before everybody. A queue that has begun to
        borrow keeps its order.
        """
        later: list[Workload] = []
        borrowing: set[str] = set()
        yield from (w for w in self.pending if w.preempting)
        for workload in self.pending:
            if workload.preempting:
                continue
            queue = self.queues[workload.key] if workload.queue_name else ""
            if queue in borrowing or self._would_borrow(workload, queue):
                borrowing.add(queue)
                later.append(workload)
            else:
                yield workload
        yield from later

    def _would_borrow(self, workload: Workload, queue: str) -> bool:
        spec = self.snapshot.cluster_queues.get(queue)
        if spec is None or not spec.spec.cohort_name:
            return False
        assignments = self._assignments(workload, queue)
        return not isinstance(assignments, NoMatchingFlavor) and all(
            self.quotas.exceeds_nominal(queue, a.charges) for a in assignments
        )

    def admit(self, workload: Workload) -> None:
        """Places a pending workload whole, or ends others for it, or holds it."""
        refused = self._refused(workload)
        waits = self._blocked(workload)
        if refused is None and isinstance(waits, DeviceBindingFailed):
            refused = waits
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
                full = _no_quota(queue, short)
                never = self.placer.never(assignment.wanted.needs) if isinstance(full, WaitingForQuota) else None
                reasons.append(never or full)
                continue
            found = self.placer.place(assignment.wanted.needs)
            if isinstance(found, TopologyPlacementFailed):
                found = self._filled_back(workload, assignment) or found
            if isinstance(found, TopologyPlacementFailed):
                reasons.append(found)
                continue
            charged = self._by_devices(workload, queue, assignment, found)
            short = self.quotas.short(queue, charged.charges) if queue else None
            if short is None:
                self._place(workload, found, charged, queue)
                return
            reasons.append(_no_quota(queue, short))
        if not self._preempted(workload, queue, assignments):
            reasons = self._yields(assignments) or [*reasons, *self._keep(workload, queue, assignments)]
            self._block(workload, queue)
            self._hold(workload, *sorted(dict.fromkeys(reasons), key=explain.prospect))

    def _refused(self, workload: Workload) -> AnyReason | None:
        """Why the workload is not considered at all."""
        if not workload.active:
            return Deactivated()
        if self.now_s < workload.requeue_at_s:
            return OnHold(workload.requeue_at_s)
        if workload.key in self.left.values():
            return PendingEvaluation()  # it is looked at when its claims have no devices any more
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
            for claim in pod_set.template.claims:
                if claim.template is None and self._held(claim.claim) is None:
                    return Misconfigured(
                        f"spec.resourceClaims[{claim.name}]", "its ResourceClaim or template is not there"
                    )
        problems = [self._problem(way) for way in self.extended.ways(workload)]
        return problems[0] if all(problems) else None

    def _problem(self, workload: Workload) -> AnyReason | None:
        """Why no node could ever serve the claims of one of its pod sets."""
        terms, book = terms_of(workload, self.snapshot), self.placer.book
        problems = (book.problem(book.shape(s.template, terms)) for s in workload.pod_sets)
        return next((p for p in problems if p is not None), None)

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
        """The flavor assignments to try, in the queue's order."""
        known = self.assigned.get(workload.key)
        if known is None:
            known = self.assigned[workload.key] = self._assign(workload, queue)
        return known

    def _assign(self, workload: Workload, queue: str) -> list[Assignment] | NoMatchingFlavor:
        if not queue:
            flavors: dict[str, dict[str, str]] = {s.name: {} for s in workload.pod_sets}
            return [Assignment(flavors, self._wanted(way, flavors), {}) for way in self.extended.ways(workload)]
        spec = self.snapshot.cluster_queues[queue]
        combos: list[dict[str, dict[str, str]]] = [{}]
        for pod_set in workload.pod_sets:
            choices = self.tariff.flavors(spec, pod_set.template)
            if not choices:
                offered = tuple(f.name for g in spec.spec.resource_groups for f in g.flavors)
                return NoMatchingFlavor(queue, pod_set.name, "", offered)
            combos = [c | {pod_set.name: choice} for c in combos for choice in choices][:FLAVORS_MAX]
        ways = self.extended.ways(workload)
        charged = [(c, self.tariff.charges(spec, workload, c)) for c in combos]
        return [Assignment(c, self._wanted(way, c), charges) for c, charges in charged for way in ways]

    def _wanted(self, workload: Workload, flavors: dict[str, dict[str, str]]) -> Wanted:
        """What is still to be placed of the workload."""
        pods = self._team(workload).pods
        terms = terms_of(workload, self.snapshot)
        book, forest = self.placer.book, self.placer.forest
        return wanted(workload, pods, flavors, self.snapshot.flavors, book, forest, self._held, terms)

    def _preempted(self, workload: Workload, queue: str, assignments: list[Assignment]) -> bool:
        """Ends others for the workload, or waits for those that are ending."""
        for assignment in assignments:
            asks = Preemptor(workload, queue, assignment.wanted.needs, assignment.charges)
            waiting = self.preemption.when_left(asks, self.quotas)
            if waiting is not None:
                nodes = {p.node for group in waiting.puts for p in group}
                names = {p.workload or p.key for p in self.preemption.leaving if p.node in nodes}
                self._reserve(workload, asks, Eviction((), waiting), tuple(sorted(names)))
                return True
        for assignment in assignments:
            asks = Preemptor(workload, queue, assignment.wanted.needs, assignment.charges)
            found = self.preemption.find(asks, self.quotas)
            if found is not None:
                self._evict(workload, asks, found)
                return True
        return False

    # --- decisions -----------------------------------------------------------------------------------------------

    def _evict(self, workload: Workload, asks: Preemptor, found: Eviction) -> None:
        for victim, reason in found.victims:
            self._leave(victim.workload, workload.key, reason, victim.charges)
        self.preemption.gone(v.workload.key for v, _ in found.victims)
        self._reserve(workload, asks, found, tuple(v.workload.key for v, _ in found.victims))

    def _leave(self, leaver: Workload, preemptor: str, reason: str, charges: Charges) -> None:
        self.decisions.append(Evict(leaver.key, preemptor, reason, leaver.resource_version))
        if leaver.admission and leaver.admission.cluster_queue:
            self.quotas = self.quotas.removing((leaver.admission.cluster_queue, charges))

    def _reserve(self, workload: Workload, asks: Preemptor, found: Eviction, victims: tuple[str, ...]) -> None:
        """Keeps the quota and the nodes of a preemptor until its victims have gone."""
        if asks.queue:
            self.quotas = self.quotas.adding((asks.queue, asks.charges))
        self.placer.fleet.close({p.node for group in found.placement.puts for p in group})
        self._hold(workload, WaitingForPreemptedWorkloads(victims=victims, domain=found.placement.domain))

    def _block(self, workload: Workload, queue: str) -> None:
        """A StrictFIFO queue does not pass its head."""
        if queue and self.snapshot.cluster_queues[queue].spec.queueing_strategy == "StrictFIFO":
            self.heads.setdefault(queue, workload.key)

    def _keep(self, workload: Workload, queue: str, assignments: list[Assignment]) -> list[AnyReason]:
        """Keeps room for one that has waited too long, or makes its queue strict where quota is what it lacks."""
        waited_s = self.now_s - workload.created_s
        if not self.policy.reserve_after_s or waited_s < self.policy.reserve_after_s or len(self.kept) == KEPT_MAX:
            return []
        for assignment in assignments:
            asks = Preemptor(workload, queue, assignment.wanted.needs, assignment.charges)
            short = self.quotas.short(queue, assignment.charges) if queue else None
            found = None if short is not None and short.requested > short.potential else soonest(self.preemption, asks)
            if found is not None and short is not None:
                self.heads.setdefault(queue, workload.key)
                return []
            if found is not None:
                found.close(self.placer.fleet)
                self.kept[workload.key] = found
                return [RoomKept(len(found.states), found.domain)]
        return []

    def _filled_back(self, workload: Workload, assignment: Assignment) -> Placement | None:
        """A place on kept nodes for one that will have ended when they are wanted."""
        kept = [k for k in self.kept.values() if workload.runtime_s and k.spans(self.now_s + workload.runtime_s)]
        return self.placer.fit(assignment.wanted.needs, opened(self.placer.fleet, kept)) if kept else None

    def _yields(self, assignments: list[Assignment]) -> list[AnyReason]:
        """Who has the room where this one would start if none were kept."""
        for head, kept in self.kept.items():
            trial = opened(self.placer.fleet, [kept])
            if any(self.placer.fit(a.wanted.needs, trial) is not None for a in assignments):
                return [WaitingForHigherPriority(head, "")]
        return []

    def _hold(self, workload: Workload, *reasons: AnyReason) -> None:
        self.decisions.append(Hold(workload.key, reasons=reasons, resource_version=workload.resource_version))

    def _place(self, workload: Workload, found: Placement, assignment: Assignment, queue: str) -> None:
        self.placer.fleet.absorb(found.trial)
        for kept in self.kept.values():
            kept.close(self.placer.fleet)  # whoever fills back leaves the rest to whom it is kept for
        if queue and workload.admission is None:
            self.quotas = self.quotas.adding((queue, assignment.charges))
        known = self._team(workload).pods
        pods = placements(workload, known, assignment.wanted, found.puts, self.placer.book)
        self.given |= {c.claim: c.allocation for p in pods for c in p.claims if c.claim}
        flavors = assignment.flavors
        given = (a for puts in found.puts for put in puts for a in put.allocations)
        awaited = any(r.binding_conditions for a in given for r in a.devices.results)
        admitted = () if workload.admission else tuple(assignment_of(s, pods, flavors) for s in workload.pod_sets)
        self.decisions.append(
            Place(
                workload=workload.key,
                pods=pods,
                cluster_queue=queue,
                pod_sets=admitted or (workload.admission.pod_sets if workload.admission else ()),
                domain=found.domain,
                resource_version=workload.resource_version,
                prepares=awaited or self._blocked(workload) is not None,
            )
        )


def _sum(one: Charges, other: Charges) -> Charges:
    return one | {cell: one.get(cell, 0) + amount for cell, amount in other.items()}


def _no_quota(queue: str, short: Short) -> WaitingForQuota | ExceedsMaxQuota:
    flavor, resource = short.cell
    if short.requested > short.potential:
        return ExceedsMaxQuota(queue, flavor, resource, short.requested, short.potential)
    return WaitingForQuota(queue, flavor, resource, short.requested, short.available, short.nominal)
