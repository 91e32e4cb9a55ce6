"""Quota held along the whole cohort tree, and admission only through open queues (Kueue's quota algebra, KEP-79).

Per flavor and resource: a holder's quota is its own nominal plus what its children may lend (all, or up to their
lendingLimit; the rest is local to them). A holder's usage is that of its children above what is local to each. A root
may not use more than its quota, anything below it not more than its quota plus its borrowingLimit. Only the path above
a queue through which the plan admits something is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bayplan.audit.aftermath import Aftermath
from bayplan.audit.charges import Charger
from bayplan.audit.findings import Finding, FlavorWrong, QueueClosed, QuotaExceeded
from bayplan.model.plan import Place
from bayplan.model.queue import LabelSelector, LabelSelectorRequirement, ResourceGroup, ResourceQuota
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodSetAssignment, Workload

Item = tuple[str, str]
"""(flavor, resource)."""


class Holder(NamedTuple):
    """A ClusterQueue (`kind` "ClusterQueue") or a Cohort, by name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def audit_quota(after: Aftermath) -> Iterator[Finding]:
    snapshot = after.snapshot
    admissions = [
        (snapshot.workloads[p.workload], p)
        for p in after.plan.placed()
        if p.workload in snapshot.workloads and snapshot.workloads[p.workload].admission is None
    ]
    opened, tree = [], Tree(snapshot)
    for workload, place in admissions:
        cause = _closed(snapshot, workload, place) or (place.cluster_queue and tree.broken(place.cluster_queue))
        if cause:
            yield QueueClosed(workload.key, place.cluster_queue or workload.queue_name, cause)
        elif place.cluster_queue:
            opened.append((workload, place))
    if opened:
        yield from _usage(after, tree, opened)


def _usage(after: Aftermath, tree: Tree, admissions: list[tuple[Workload, Place]]) -> Iterator[Finding]:
    charger = Charger(after)
    touched: dict[tuple[Holder, Item], None] = {}
    for workload, place in admissions:
        queue = Holder("ClusterQueue", place.cluster_queue)
        charges = charger.charges(workload)
        yield from _flavors(after.snapshot, workload, place, charges)
        for item, amount in _items(place.pod_sets, charges).items():
            if tree.offers(queue, item):
                tree.use(queue, item, amount)
                touched.update(((holder, item), None) for holder in tree.path(queue))
    roots = {tree.path(Holder("ClusterQueue", place.cluster_queue))[-1] for _, place in admissions}
    for workload in after.snapshot.workloads.values():
        admission = workload.admission
        if (
            admission is None
            or workload.key in after.gone
            or admission.cluster_queue not in after.snapshot.cluster_queues
        ):
            continue
        queue = Holder("ClusterQueue", admission.cluster_queue)
        if tree.path(queue)[-1] in roots:
            for item, amount in _items(admission.pod_sets, charger.charges(workload)).items():
                tree.use(queue, item, amount)
    for holder, item in touched:
        used, limit = tree.usage(holder, item), tree.limit(holder, item)
        if limit is not None and used > limit:
            yield QuotaExceeded(str(holder), *item, used, limit)


def _items(assignments: tuple[PodSetAssignment, ...], charges: dict[tuple[str, str], int]) -> dict[Item, int]:
    """Charges by the flavor each pod set was assigned; what has no flavor is under no quota."""
    flavors = {(a.name, resource): flavor for a in assignments for resource, flavor in a.flavors}
    items: dict[Item, int] = {}
    for key, amount in charges.items():
        if key in flavors:
            item = (flavors[key], key[1])
            items[item] = items.get(item, 0) + amount
    return items


def _flavors(
    snapshot: Snapshot, workload: Workload, place: Place, charges: dict[tuple[str, str], int]
) -> Iterator[FlavorWrong]:
    groups = snapshot.cluster_queues[place.cluster_queue].spec.resource_groups
    flavors = {(a.name, resource): flavor for a in place.pod_sets for resource, flavor in a.flavors}
    for pod_set, resource in charges:
        group = next((g for g in groups if resource in g.covered_resources), None)
        flavor = flavors.get((pod_set, resource))
        if resource == "pods" and group is None:
            continue
        if group is None:
            cause = f"ClusterQueue {place.cluster_queue} does not cover it"
        elif flavor is None:
            cause = "no flavor is assigned"
        elif flavor not in (f.name for f in group.flavors):
            cause = f"ClusterQueue {place.cluster_queue} has no flavor {flavor} for it"
        elif flavor not in snapshot.flavors:
            cause = f"flavor {flavor} does not exist"
        else:
            continue
        yield FlavorWrong(workload.key, pod_set, resource, cause)


def _closed(snapshot: Snapshot, workload: Workload, place: Place) -> str:
    """Why the workload may not be admitted through this queue; "" when it may."""
    if not workload.queue_name:
        return "the workload names no queue" if place.cluster_queue else ""
    local = snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
    if local is None:
        return f"LocalQueue {workload.namespace}/{workload.queue_name} does not exist"
    if local.spec.stop_policy != "None":
        return f"LocalQueue {local.metadata.key} is stopped ({local.spec.stop_policy})"
    if local.spec.cluster_queue != place.cluster_queue:
        return f"LocalQueue {local.metadata.key} leads to {local.spec.cluster_queue}"
    queue = snapshot.cluster_queues.get(place.cluster_queue)
    if queue is None:
        return "the ClusterQueue does not exist"
    if queue.spec.stop_policy != "None":
        return f"the ClusterQueue is stopped ({queue.spec.stop_policy})"
    namespace = snapshot.namespaces.get(workload.namespace)
    if not _selects(queue.spec.namespace_selector, namespace.metadata.labels if namespace else {}):
        return f"the ClusterQueue does not take namespace {workload.namespace}"
    return ""


def _selects(selector: LabelSelector | None, labels: dict[str, str]) -> bool:
    """A missing selector selects nothing, an empty one everything."""
    if selector is None:
        return False
    equal = all(labels.get(k) == v for k, v in selector.match_labels.items())
    return equal and all(_holds(r, labels.get(r.key)) for r in selector.match_expressions)


def _holds(requirement: LabelSelectorRequirement, value: str | None) -> bool:
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case _:
            return value is None


class Tree:
    """Queues and cohorts, what each was given and what its queues use. Amounts in thousandths."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._parents: dict[Holder, Holder] = {}
        self._children: dict[Holder, list[Holder]] = {}
        self._quotas: dict[Holder, dict[Item, ResourceQuota]] = {}
        self._used: dict[tuple[Holder, Item], int] = {}
        for name, queue in snapshot.cluster_queues.items():
            self._enter(Holder("ClusterQueue", name), queue.spec.cohort_name, queue.spec.resource_groups)
        for name, cohort in snapshot.cohorts.items():
            self._enter(Holder("Cohort", name), cohort.spec.parent_name, cohort.spec.resource_groups)

    def _enter(self, holder: Holder, parent: str, groups: tuple[ResourceGroup, ...]) -> None:
        self._quotas[holder] = {(f.name, r.name): r for g in groups for f in g.flavors for r in f.resources}
        if parent:
            self._parents[holder] = Holder("Cohort", parent)
            self._children.setdefault(Holder("Cohort", parent), []).append(holder)

    def offers(self, queue: Holder, item: Item) -> bool:
        return item in self._quotas[queue]

    def use(self, queue: Holder, item: Item, amount: int) -> None:
        self._used[queue, item] = self._used.get((queue, item), 0) + amount

    def path(self, holder: Holder) -> list[Holder]:
        """From the holder to its root; a cycle of cohorts ends where it closes."""
        path = [holder]
        while path[-1] in self._parents and self._parents[path[-1]] not in path:
            path.append(self._parents[path[-1]])
        return path

    def broken(self, queue: str) -> str:
        """Kueue admits nothing through cohorts that are their own ancestors."""
        top = self.path(Holder("ClusterQueue", queue))[-1]
        return "its cohorts form a cycle" if top in self._parents else ""

    def limit(self, holder: Holder, item: Item) -> int | None:
        """The most the holder may use; None where its parent alone bounds it."""
        quota = self._quotas.get(holder, {}).get(item)
        if holder not in self._parents:
            return self.quota(holder, item)
        if quota is None or quota.borrowing_limit is None:
            return None
        return self.quota(holder, item) + quota.borrowing_limit.milli

    def quota(self, holder: Holder, item: Item) -> int:
        own = self._quotas.get(holder, {}).get(item)
        lent = sum(self.quota(c, item) - self._local(c, item) for c in self._children.get(holder, ()))
        return (own.nominal_quota.milli if own else 0) + lent

    def usage(self, holder: Holder, item: Item) -> int:
        borrowed = (max(0, self.usage(c, item) - self._local(c, item)) for c in self._children.get(holder, ()))
        return self._used.get((holder, item), 0) + sum(borrowed)

    def _local(self, holder: Holder, item: Item) -> int:
        """What the holder keeps for itself: its quota above its lendingLimit."""
        quota = self._quotas.get(holder, {}).get(item)
        if quota is None or quota.lending_limit is None:
            return 0
        return max(0, self.quota(holder, item) - quota.lending_limit.milli)
