"""Who leaves so that a more important gang can start: the cheapest set of whole gangs, devices included.

The domain is chosen first and victims only inside it, so that no gang is ended for room elsewhere. A set is cheaper
when its most important member matters less, then when it ends fewer gangs, then when less work is lost
(device-seconds since start). Within a domain the cheapest gangs are taken until the preemptor fits, then given back one
by one as long as it still does. Who may be a victim is Kueue's `preemption` of the ClusterQueue (KEP-83); workloads
outside queues follow PriorityClass alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from typing import NamedTuple

from bayplan.core import census
from bayplan.core.fleet import Trial
from bayplan.core.place import Need, Placement, Placer
from bayplan.core.quota import Charges, Quotas
from bayplan.core.topology import HOSTNAME, Domain
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, Workload

DOMAINS_MAX = 24  # domains tried, those with the most room first: the cheapest victims rarely sit in a fuller one


class Running:
    """An admitted workload as a possible victim."""

    def __init__(
        self, workload: Workload, pods: tuple[Pod, ...], charges: Charges, lost: Callable[[Workload], int]
    ) -> None:
        self.workload, self.pods, self.charges, self._lost = workload, pods, charges, lost

    @cached_property
    def lost_s(self) -> int:
        """Its age times the devices it holds; worked out when somebody is to go."""
        return self._lost(self.workload)

    @cached_property
    def cost(self) -> tuple[int, int, str]:
        return self.workload.priority, self.lost_s, self.workload.key


class Eviction(NamedTuple):
    """Victims with Kueue's reason word each, and where the preemptor will stand."""

    victims: tuple[tuple[Running, str], ...]
    placement: Placement


class Preemptor(NamedTuple):
    workload: Workload
    queue: str
    needs: tuple[Need, ...]
    charges: Charges


class Preemption:
    """The search for victims in one cycle."""

    def __init__(
        self, snapshot: Snapshot, placer: Placer, running: Iterable[Running], left: Iterable[str] = ()
    ) -> None:
        self.snapshot, self.placer = snapshot, placer
        self.leaving = census.leaving(snapshot)
        self._left = frozenset(left)
        self.running = tuple(running)
        # A cycle only fills up, so what no set of victims helped once, none will help for an equal one.
        self._hopeless: set[tuple[object, ...]] = set()

    @cached_property
    def _by_queue(self) -> dict[str, list[Running]]:
        found: dict[str, list[Running]] = {}
        for victim in self.running:
            found.setdefault(_queue(victim), []).append(victim)
        return found

    @cached_property
    def _orphans(self) -> frozenset[str]:
        """Claims whose pods have gone, and those that a group left behind."""
        return self._left.union(census.orphans(self.snapshot))

    def gone(self, victims: Iterable[str]) -> None:
        """These are being ended: nobody's victims any more."""
        keys = frozenset(victims)
        self._by_queue = {q: [r for r in found if r.workload.key not in keys] for q, found in self._by_queue.items()}

    def when_left(self, asks: Preemptor, quotas: Quotas) -> Placement | None:
        """Where the preemptor would stand once what is leaving already has gone."""
        if not (self.leaving or self._orphans) or (asks.queue and quotas.short(asks.queue, asks.charges)):
            return None
        return self.room(asks, ())

    def find(self, asks: Preemptor, quotas: Quotas) -> Eviction | None:
        """The cheapest victims that let the preemptor start, or None when no set would."""
        shape = asks.needs, asks.queue, asks.workload.priority
        if asks.workload.preemption_policy == "Never" or shape in self._hopeless:
            return None
        reasons = self._in_the_way(asks, self._allowed(asks, quotas), quotas)
        allowed = [r for r, _ in reasons.values()]
        if not allowed or self.room(asks, allowed) is None:
            self._hopeless.add(shape)
            return None
        best: tuple[tuple[object, ...], list[Running], Placement] | None = None
        for inside in self._by_domain(asks, allowed, quotas):
            found = self._cheapest(asks, self._lawful(asks, inside, quotas), quotas)
            if found is not None:
                cost = _cost(found[0])
                if best is None or cost < best[0]:
                    best = cost, found[0], found[1]
        if best is None:
            found = self._cheapest(asks, self._lawful(asks, allowed, quotas), quotas)
            if found is None:
                self._hopeless.add(shape)
                return None
            best = (), found[0], found[1]
        return Eviction(tuple(reasons[r.workload.key] for r in best[1]), best[2])

    def _allowed(self, asks: Preemptor, quotas: Quotas) -> Iterator[tuple[Running, str]]:
        """Whom the preemptor may end, with Kueue's word for why."""
        mine = asks.workload
        for queue, found in self._by_queue.items():
            if not asks.queue or not queue:
                yield from ((r, "Preempted") for r in found if r.workload.priority < mine.priority)
            elif queue == asks.queue:
                policy = self.snapshot.cluster_queues[queue].spec.preemption.within_cluster_queue
                yield from ((r, "InClusterQueue") for r in found if _within(policy, mine, r.workload))
            elif quotas.cohort(queue) == quotas.cohort(asks.queue):
                yield from self._reclaimed(asks, queue, found, quotas)

    def _reclaimed(
        self, asks: Preemptor, queue: str, found: Sequence[Running], quotas: Quotas
    ) -> Iterator[tuple[Running, str]]:
        """Those of another queue of the cohort that stand on borrowed quota."""
        mine, policy = asks.workload, self.snapshot.cluster_queues[asks.queue].spec.preemption
        borrow, reclaim = policy.borrow_within_cohort, policy.reclaim_within_cohort
        if reclaim == "Never" or not quotas.borrowing(queue, {c for r in found for c in r.charges}):
            return
        if not quotas.exceeds_nominal(asks.queue, asks.charges):
            for r in found:
                if reclaim == "Any" or r.workload.priority < mine.priority:
                    yield r, "InCohortReclamation"
        elif borrow is not None and borrow.policy == "LowerPriority":
            bound = borrow.max_priority_threshold
            for r in found:
                if r.workload.priority < mine.priority and (bound is None or r.workload.priority <= bound):
                    yield r, "InCohortReclaimWhileBorrowing"

    def _in_the_way(
        self, asks: Preemptor, allowed: Iterable[tuple[Running, str]], quotas: Quotas
    ) -> dict[str, tuple[Running, str]]:
        """Those whose leaving could help: they use quota that is short, or stand where the preemptor could."""
        short = quotas.short(asks.queue, asks.charges) if asks.queue else None
        rooms = [self.placer.room_if_empty(n.shape) for n in asks.needs]
        helps = cache(lambda node: node in self.placer.fleet.original and any(room(node) for room in rooms))
        return {
            r.workload.key: (r, why)
            for r, why in sorted(allowed, key=lambda found: found[0].cost)
            if any(helps(p.node) for p in r.pods) or (short is not None and r.charges.get(short.cell))
        }

    # --- trials --------------------------------------------------------------------------------------------------

    def _try(self, asks: Preemptor, victims: Sequence[Running], quotas: Quotas) -> Placement | None:
        """Where the preemptor stands once these have left; None when it does not fit or one may not be ended."""
        for victim in sorted(victims, key=lambda r: r.cost):
            queue = _queue(victim)
            if asks.queue and queue and queue != asks.queue and not quotas.borrowing(queue, victim.charges):
                return None
            if queue:
                quotas = quotas.removing((queue, victim.charges))
        if asks.queue and quotas.short(asks.queue, asks.charges):
            return None
        return self.room(asks, victims)

    def room(self, asks: Preemptor, victims: Sequence[Running]) -> Placement | None:
        """Where the preemptor fits once these have left, quota aside."""
        trial = Trial(self.placer.fleet)
        self._release(trial, (*self.leaving, *(p for v in victims for p in v.pods)))
        return self.placer.fit(asks.needs, trial)

    def _lawful(self, asks: Preemptor, victims: Sequence[Running], quotas: Quotas) -> list[Running]:
        """The victims, cheapest first, without those whose queue no longer borrows once the ones before have left."""
        lawful = []
        for victim in sorted(victims, key=lambda r: r.cost):
            queue = _queue(victim)
            if asks.queue and queue and queue != asks.queue and not quotas.borrowing(queue, victim.charges):
                continue
            lawful.append(victim)
            if queue:
                quotas = quotas.removing((queue, victim.charges))
        return lawful

    def _release(self, trial: Trial, pods: Iterable[Pod]) -> None:
        pods = tuple(pods)
        keys = sorted(({c for p in pods for _, c in p.claims} - self._kept_claims(pods)) | self._orphans)
        claims = [self.snapshot.claims[k].status.allocation for k in keys if k in self.snapshot.claims]
        trial.release(pods, [a for a in claims if a is not None])

    def _kept_claims(self, leaving: tuple[Pod, ...]) -> set[str]:
        """Claims that a pod which stays shares with one that leaves."""
        gone = {p.key for p in leaving}
        claims = {c for p in leaving for _, c in p.claims}
        return {c for c in claims if not gone.issuperset(census.users(self.snapshot, c))}

    def _cheapest(
        self, asks: Preemptor, allowed: Sequence[Running], quotas: Quotas
    ) -> tuple[list[Running], Placement] | None:
        """The shortest sufficient prefix of the cheapest, without those that turn out not to be needed."""
        size = least(len(allowed), lambda n: self._try(asks, allowed[:n], quotas) is not None)
        if size is None:
            return None
        chosen = list(allowed[:size])
        found = self._try(asks, chosen, quotas)
        assert found is not None
        used = {p.node for group in found.puts for p in group}
        near = [v for v in chosen if any(p.node in used for p in v.pods)]
        again = self._try(asks, near, quotas) if len(near) < len(chosen) else None
        if again is not None:
            chosen, found = near, again
        for victim in sorted(chosen, key=lambda r: r.cost, reverse=True)[:-1] if len(chosen) > 1 else ():
            fewer = [v for v in chosen if v is not victim]
            again = self._try(asks, fewer, quotas)
            if again is not None:
                chosen, found = fewer, again
        return chosen, found

    def _by_domain(self, asks: Preemptor, allowed: Sequence[Running], quotas: Quotas) -> Iterable[list[Running]]:
        """The allowed victims of each promising domain, for gangs that want one domain and for single pods."""
        need = max(asks.needs, key=lambda n: (n.topology.required != "", n.pods))
        forest = self.placer.forest
        level = need.topology.required or need.topology.preferred or HOSTNAME
        tree = forest.tree(level)
        trial = Trial(self.placer.fleet)
        counts = self.placer.counts(trial, tree.root, need)
        short = asks.queue and quotas.short(asks.queue, asks.charges)
        ranked: list[tuple[int, tuple[str, ...], list[Running]]] = []
        homes = {r.workload.key: {p.node for p in r.pods} for r in allowed}
        for domain in tree.domains(level):
            inside = self._inside(domain, allowed, homes, bool(short))
            if inside:
                ranked.append((-sum(counts[n] for n in domain.nodes), domain.path, inside))
        ranked.sort(key=lambda found: (found[0], _cost(found[2][:1]), found[1]))
        return [inside for _, _, inside in ranked[:DOMAINS_MAX]]

    @staticmethod
    def _inside(
        domain: Domain, allowed: Sequence[Running], homes: dict[str, set[str]], all_of_quota: bool
    ) -> list[Running]:
        nodes = frozenset(domain.nodes)
        inside = [r for r in allowed if not nodes.isdisjoint(homes[r.workload.key])]
        if all_of_quota and inside:
            inside += [r for r in allowed if r.charges and nodes.isdisjoint(homes[r.workload.key])]
        return inside


def _queue(running: Running) -> str:
    return running.workload.admission.cluster_queue if running.workload.admission else ""


def _within(policy: str, mine: Workload, theirs: Workload) -> bool:
    if theirs.priority < mine.priority:
        return policy in ("LowerPriority", "LowerOrNewerEqualPriority")
    newer = theirs.priority == mine.priority and mine.created_s < theirs.created_s
    return newer and policy == "LowerOrNewerEqualPriority"


def _cost(victims: Sequence[Running]) -> tuple[object, ...]:
    return (
        max((v.workload.priority for v in victims), default=0),
        len(victims),
        sum(v.lost_s for v in victims),
        tuple(sorted(v.workload.key for v in victims)),
    )


def least(most: int, works: Callable[[int], bool]) -> int | None:
    """The smallest n in 0…most for which `works(n)`, which holds from some n on; None when not even `most` does."""
    if not works(most):
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle + 1
    return low
