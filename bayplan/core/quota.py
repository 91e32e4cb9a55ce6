"""Quota: what a ClusterQueue may use, alone and through its cohort (Kueue's quota tree, KEP-79 and KEP-2175).

All amounts are thousandths (`milli`), so that millicores, bytes, whole devices and fractions of a shared device add up
in one integer arithmetic. A device request is charged to its DeviceClass' `extendedResourceName` (else to the class
name), one device each; a share of consumable capacity is charged the largest fraction of a device it asks for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import product
from typing import NamedTuple, TypeVar

from bayplan.model.device import AllocationResult, DeviceRequest, DeviceSubRequest, ExactDeviceRequest, ResourceSlice
from bayplan.model.queue import ClusterQueue, ResourceFlavor, ResourceGroup
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodTemplate, Workload

_Key = TypeVar("_Key", bound=Hashable)

Cell = tuple[str, str]
"""(flavor, resource)"""

Charges = dict[Cell, int]
MILLI = 1000


class _Limits(NamedTuple):
    nominal: int
    borrowing: int | None
    lending: int | None


class Short(NamedTuple):
    """A cell that lacks room: thousandths requested, available now, and available at the very best."""

    cell: Cell
    requested: int
    available: int
    potential: int
    nominal: int


class Quotas:
    """The quota tree with its usage. Immutable: `adding` and `removing` give another one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._parent: dict[str, str] = {}
        self._limits: dict[tuple[str, Cell], _Limits] = {}
        self._children: dict[str, list[str]] = {}
        self._usage: dict[tuple[str, Cell], int] = {}
        for name, cohort in snapshot.cohorts.items():
            self._grow("cohort/" + name, cohort.spec.parent_name, cohort.spec.resource_groups)
        for name, queue in snapshot.cluster_queues.items():
            self._grow(name, queue.spec.cohort_name, queue.spec.resource_groups)
        self._subtree: dict[tuple[str, Cell], int] = {}
        self._potential: dict[tuple[str, Cell], int] = {}

    def _grow(self, node: str, parent: str, groups: Iterable[ResourceGroup]) -> None:
        if parent:
            self._parent[node] = "cohort/" + parent
            self._children.setdefault("cohort/" + parent, []).append(node)
        for group in groups:
            for flavor in group.flavors:
                for q in flavor.resources:
                    borrowing = q.borrowing_limit.milli if q.borrowing_limit is not None else None
                    lending = q.lending_limit.milli if q.lending_limit is not None else None
                    self._limits[node, (flavor.name, q.name)] = _Limits(q.nominal_quota.milli, borrowing, lending)

    # --- the algebra ---------------------------------------------------------------------------------------------

    def nominal(self, node: str, cell: Cell) -> int:
        limits = self._limits.get((node, cell))
        return limits.nominal if limits else 0

    def usage(self, node: str, cell: Cell) -> int:
        return self._usage.get((node, cell), 0)

    def subtree(self, node: str, cell: Cell) -> int:
        """Nominal quota of the node and of what its children lend it."""
        known = self._subtree.get((node, cell))
        if known is None:
            lent = sum(self.subtree(c, cell) - self._local(c, cell) for c in self._children.get(node, ()))
            known = self._subtree[node, cell] = self.nominal(node, cell) + lent
        return known

    def _local(self, node: str, cell: Cell) -> int:
        """What the node keeps for itself because of its lending limit."""
        limits = self._limits.get((node, cell))
        return 0 if limits is None or limits.lending is None else max(0, self.subtree(node, cell) - limits.lending)

    def available(self, node: str, cell: Cell) -> int:
        """What the node can still use now, borrowing included; negative where it is over its quota."""
        parent = self._parent.get(node)
        usage, subtree = self.usage(node, cell), self.subtree(node, cell)
        if parent is None:
            return subtree - usage
        local = self._local(node, cell)
        above = self.available(parent, cell)
        limits = self._limits.get((node, cell))
        if limits is not None and limits.borrowing is not None:
            stored = subtree - local
            above = min(above, stored - max(0, usage - local) + limits.borrowing)
        return max(0, local - usage) + above

    def potential(self, node: str, cell: Cell) -> int:
        """What it could use with nothing else running."""
        known = self._potential.get((node, cell))
        if known is None:
            parent = self._parent.get(node)
            known = self.subtree(node, cell)
            if parent is not None:
                limits = self._limits.get((node, cell))
                known = self._local(node, cell) + self.potential(parent, cell)
                if limits is not None and limits.borrowing is not None:
                    known = min(known, self.subtree(node, cell) + limits.borrowing)
            self._potential[node, cell] = known
        return known

    def adding(self, *charged: tuple[str, Mapping[Cell, int]]) -> Quotas:
        """With these (queue, charges) in use too."""
        return self._with(charged, 1)

    def removing(self, *charged: tuple[str, Mapping[Cell, int]]) -> Quotas:
        """Without the use of these (queue, charges)."""
        return self._with(charged, -1)

    def _with(self, charged: Iterable[tuple[str, Mapping[Cell, int]]], sign: int) -> Quotas:
        usage = dict(self._usage)
        for queue, charges in charged:
            for cell, amount in charges.items():
                self._push(usage, queue, cell, sign * amount)
        other = object.__new__(Quotas)
        other.__dict__.update(self.__dict__, _usage=usage)
        return other

    def _push(self, usage: dict[tuple[str, Cell], int], node: str, cell: Cell, amount: int) -> None:
        """Adds to the node; what goes beyond its guaranteed part is felt by its cohort."""
        local, before = self._local(node, cell), usage.get((node, cell), 0)
        after = usage[node, cell] = before + amount
        above = max(0, after - local) - max(0, before - local)
        parent = self._parent.get(node)
        if above and parent is not None:
            self._push(usage, parent, cell, above)

    # --- questions -----------------------------------------------------------------------------------------------

    def short(self, queue: str, charges: Mapping[Cell, int]) -> Short | None:
        """The first cell without room for the charges; None when all fit."""
        for cell, amount in sorted(charges.items()):
            available = self.available(queue, cell)
            if amount > available:
                return Short(cell, amount, available, self.potential(queue, cell), self.nominal(queue, cell))
        return None

    def exceeds_nominal(self, queue: str, charges: Mapping[Cell, int]) -> bool:
        """Whether the charges would make the queue borrow."""
        return any(self.usage(queue, c) + amount > self.nominal(queue, c) for c, amount in charges.items() if amount)

    def borrowing(self, queue: str, cells: Iterable[Cell]) -> bool:
        """Whether the queue uses more than its nominal quota of one of the cells."""
        return any(self.usage(queue, c) > self.nominal(queue, c) for c in cells)

    def cohort(self, queue: str) -> str:
        """The root of the queue's cohort tree; a queue alone is its own."""
        node = queue
        while node in self._parent:
            node = self._parent[node]
        return node


class Tariff:
    """What a pod template is charged, and under which flavors."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._classes = snapshot.device_classes
        self._fractions: dict[tuple[tuple[str, int], ...], int] = {}
        self._shareable = _shareable(snapshot.slices)

    def resources(self, template: PodTemplate, covered: frozenset[str]) -> dict[str, int]:
        """Thousandths per resource that one pod is charged, were it alone."""
        charged = self._own(template, covered)
        for claim in template.claims:
            if claim.claim:
                _add(charged, self._shared(claim, covered))
        return charged

    def _own(self, template: PodTemplate, covered: frozenset[str]) -> dict[str, int]:
        """What every pod is charged: what it requests, and the claims made for it alone."""
        charged: dict[str, int] = {}
        for resource, amount in template.requests:
            if resource != "pods" or "pods" in covered:
                charged[resource] = charged.get(resource, 0) + (amount if resource == "cpu" else amount * MILLI)
        for claim in template.claims:
            if claim.template is not None and not claim.claim:
                for request in claim.template.devices.requests:
                    _add(charged, self._request(request.exactly, request.first_available, covered))
        return charged

    def _shared(self, claim: PodClaim, covered: frozenset[str]) -> dict[str, int]:
        """What a claim that pods share is charged, whether it has its devices yet or not."""
        known = self._snapshot.claims.get(claim.claim)
        spec = known.spec if known is not None else claim.template
        allocation = known.status.allocation if known is not None else None
        served = [r.request for r in allocation.devices.results] if allocation is not None else []
        charged: dict[str, int] = {}
        for request in spec.devices.requests if spec is not None else ():
            asked = self._request(request.exactly, request.first_available, covered)
            times = max(1, served.count(request.name)) if _is_all(request) else 1
            _add(charged, {resource: amount * times for resource, amount in asked.items()})
        return charged

    def _request(
        self, exactly: ExactDeviceRequest | None, alternatives: tuple[DeviceSubRequest, ...], covered: frozenset[str]
    ) -> dict[str, int]:
        """A prioritised list is charged the most that any of its alternatives in a covered resource would be."""
        if exactly is not None:
            return {} if exactly.admin_access else {self.resource(exactly.device_class_name): self._amount(exactly)}
        charged: dict[str, int] = {}
        for alternative in alternatives:
            resource = self.resource(alternative.device_class_name)
            if resource in covered or not covered:
                charged[resource] = max(charged.get(resource, 0), self._amount(alternative))
        if not charged and alternatives:
            first = alternatives[0]
            charged[self.resource(first.device_class_name)] = self._amount(first)
        return charged

    @staticmethod
    def open_ended(template: PodTemplate) -> bool:
        """Whether a request asks for All devices, of which only an allocation tells the number."""
        return any(_is_all(r) for c in template.claims if c.template is not None for r in c.template.devices.requests)

    def by_devices(
        self, template: PodTemplate, given: Mapping[str, AllocationResult], flavors: Mapping[str, str]
    ) -> Charges:
        """What one pod's All requests are charged beyond one device each, from its allocations by claim name."""
        extra: Charges = {}
        for claim in template.claims:
            if claim.template is None or claim.name not in given:
                continue
            served = [r.request for r in given[claim.name].devices.results]
            for request in claim.template.devices.requests:
                if request.exactly is not None and _is_all(request) and not request.exactly.admin_access:
                    resource = self.resource(request.exactly.device_class_name)
                    more = (served.count(request.name) - 1) * MILLI
                    if more > 0 and resource in flavors:
                        cell = flavors[resource], resource
                        extra[cell] = extra.get(cell, 0) + more
        return extra

    def resource(self, device_class: str) -> str:
        """The quota resource of a device class."""
        known = self._classes.get(device_class)
        return (known.spec.extended_resource_name if known else "") or device_class

    def _amount(self, request: ExactDeviceRequest | DeviceSubRequest) -> int:
        if request.capacity is None or not request.capacity.requests:
            return request.count * MILLI
        return request.count * self._fraction(tuple(sorted((k, q.nano) for k, q in request.capacity.requests.items())))

    def _fraction(self, asked: tuple[tuple[str, int], ...]) -> int:
        known = self._fractions.get(asked)
        if known is None:
            shares = [
                max(-(-nano * MILLI // total[name]) for name, nano in asked)
                for total in self._shareable
                if all(total.get(name, 0) >= nano > 0 for name, nano in asked)
            ]
            known = self._fractions[asked] = max(shares, default=MILLI)
        return known

    def flavors(self, queue: ClusterQueue, template: PodTemplate) -> tuple[dict[str, str], ...]:
        """Every resource → flavor assignment a pod set may have, in the queue's order; () when some group has none."""
        groups = queue.spec.resource_groups
        covered = frozenset(r for g in groups for r in g.covered_resources)
        wanted = self.resources(template, covered)
        choices: list[list[dict[str, str]]] = []
        for group in groups:
            mine = [r for r in wanted if r in group.covered_resources]
            if mine:
                usable = [f.name for f in group.flavors if self._agrees(f.name, template)]
                choices.append([dict.fromkeys(mine, f) for f in usable])
        return tuple({k: v for part in combo for k, v in part.items()} for combo in product(*choices))

    def _agrees(self, flavor: str, template: PodTemplate) -> bool:
        known = self._snapshot.flavors.get(flavor)
        if known is None:
            return False
        selector = dict(template.node_selector)
        if any(selector.get(k, v) != v for k, v in known.spec.node_labels.items()):
            return False
        tolerations = (*template.tolerations, *known.spec.tolerations)
        return all(
            t.effect == "PreferNoSchedule" or any(x.tolerates(t) for x in tolerations) for t in known.spec.node_taints
        )

    def uncovered(self, queue: ClusterQueue, template: PodTemplate) -> str:
        """A resource the pod asks for that the queue has no quota of; `""` when all are covered."""
        covered = frozenset(r for g in queue.spec.resource_groups for r in g.covered_resources)
        missing = [r for r, amount in self.resources(template, covered).items() if amount and r not in covered]
        return min(missing, default="")

    def charges(self, queue: ClusterQueue, workload: Workload, flavors: Mapping[str, Mapping[str, str]]) -> Charges:
        """Thousandths per cell of all the workload's pods, with `flavors[pod set][resource]`.

        A claim that pods of it share is charged once, to the first pod set.
        """
        covered = frozenset(r for g in queue.spec.resource_groups for r in g.covered_resources)
        charged: Charges = {}
        seen: set[str] = set()
        for pod_set in workload.pod_sets:
            chosen = flavors.get(pod_set.name, {})
            each = self._own(pod_set.template, covered)
            amounts = {resource: amount * pod_set.count for resource, amount in each.items()}
            for claim in pod_set.template.claims:
                if claim.claim and claim.claim not in seen:
                    seen.add(claim.claim)
                    _add(amounts, self._shared(claim, covered))
            _add(charged, {(chosen[r], r): amount for r, amount in amounts.items() if r in chosen})
        return charged


def _add(total: dict[_Key, int], more: Mapping[_Key, int]) -> None:
    for key, amount in more.items():
        total[key] = total.get(key, 0) + amount


_last: list[tuple[tuple[ResourceSlice, ...], list[dict[str, int]]]] = [((), [])]


def _shareable(slices: tuple[ResourceSlice, ...]) -> list[dict[str, int]]:
    """The capacities, in billionths, of each sort of device that can be shared; slices are known by identity."""
    if _last[0][0] is not slices:
        devices = (d for s in slices for d in s.spec.devices if d.allow_multiple_allocations)
        found = ({name: c.value.nano for name, c in d.capacity.items()} for d in devices)
        _last[0] = slices, list({tuple(sorted(c.items())): c for c in found}.values())
    return _last[0][1]


def _is_all(request: DeviceRequest) -> bool:
    return request.exactly is not None and request.exactly.allocation_mode == "All"


def on_flavors(template: PodTemplate, chosen: Iterable[str], flavors: Mapping[str, ResourceFlavor]) -> PodTemplate:
    """The template as its flavors confine it: their node labels and tolerations added."""
    known = flavors.keys() & set(chosen)  # one that was deleted confines nobody any more
    if not known:
        return template
    labels, tolerations = dict(template.node_selector), template.tolerations
    for name in sorted(known):
        spec = flavors[name].spec
        labels |= spec.node_labels
        tolerations += tuple(t for t in spec.tolerations if t not in tolerations)
    if labels == dict(template.node_selector) and tolerations == template.tolerations:
        return template
    return PodTemplate(
        requests=template.requests,
        claims=template.claims,
        node_selector=tuple(sorted(labels.items())),
        node_affinity=template.node_affinity,
        tolerations=tolerations,
    )
