"""Every claim of a placed pod is served, and served with what it asks for (KEP-4381 and its successors).

Count or all of them, class and request selectors, one alternative of a prioritised list, match and distinct
constraints, tolerated taints, access for administration, and the capacity arithmetic of consumable capacity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bayplan.audit import extended
from bayplan.audit.aftermath import Aftermath, Given, Placed, claim_label
from bayplan.audit.arithmetic import all_differ, all_share, attribute_values, consumption
from bayplan.audit.findings import (
    AdminAccessWrong,
    AlternativesMixed,
    CapacityLacking,
    CapacityMiscounted,
    ClaimGivenTwice,
    ClaimOutOfReach,
    ClaimUnknown,
    ClaimUnserved,
    ClassMissing,
    ConstraintBroken,
    DeviceTainted,
    Finding,
    RequestMiscounted,
    RequestUnknown,
    SelectorUnmet,
)
from bayplan.audit.pools import DeviceId, Pools
from bayplan.audit.selectors import Selectors
from bayplan.model.device import (
    AllocationResult,
    Device,
    DeviceConstraint,
    DeviceRequest,
    DeviceRequestAllocationResult,
    DeviceSelector,
    DeviceSubRequest,
    DeviceTaint,
    DeviceToleration,
    ExactDeviceRequest,
)
from bayplan.model.workload import EXTENDED_CLAIM

DEVICES_MAX = 32  # of one claim: AllocationResultsMaxSize of resource.k8s.io/v1
ADMIN_LABEL = "resource.kubernetes.io/admin-access"

Asked = ExactDeviceRequest | DeviceSubRequest


class Served(NamedTuple):
    """A device given to a request; `device` is None where the node cannot use it, which `devices` finds."""

    identity: DeviceId
    device: Device | None
    result: DeviceRequestAllocationResult

    @property
    def label(self) -> str:
        return "/".join(self.identity)


def audit_claims(after: Aftermath, pools: Pools) -> Iterator[Finding]:
    yield from _pods(after)
    yield from _staying(after)
    judge = Judge(after, pools)
    for given in after.given:
        yield from judge.claim(given)


def _staying(after: Aftermath) -> Iterator[Finding]:
    """What is given now to a claim that pods use already selects their nodes, too."""
    given = {g.claim: g.allocation for g in after.given if g.claim in after.snapshot.claims}
    for pod in after.pods if given else ():
        for _, key in pod.claims if pod.node else ():
            if key in given:
                yield from _reach(after, pod.node, key, given[key])


def _pods(after: Aftermath) -> Iterator[Finding]:
    """Each claim of each placed pod has one allocation, and that one selects the pod's node."""
    allocations = dict(after.kept) | {g.claim: g.allocation for g in after.given}
    for placed in after.placed:
        names = {c.name for c in placed.placement.claims}
        for given in placed.placement.claims:
            label = claim_label(placed, given)
            if not _owns(after, placed, given.name, given.claim):
                yield ClaimUnknown(placed.label, given.claim or given.name)
            elif allocations[label] != given.allocation:
                yield ClaimGivenTwice(label)
            else:
                yield from _reach(after, placed.placement.node, label, given.allocation)
        for name in _needed(after, placed):
            if name not in names:
                key = _key(placed, name)
                if key not in allocations:
                    yield ClaimUnserved(placed.label, name)
                else:
                    yield from _reach(after, placed.placement.node, key, allocations[key])


def _needed(after: Aftermath, placed: Placed) -> list[str]:
    """The claims the pod must have devices for on its node."""
    template = placed.pod_set.template
    served = "DRAExtendedResource" in after.policy.features and template.extended
    special = extended.claim(after.snapshot, template, placed.placement.node) if served else None
    return [c.name for c in template.claims] + ([EXTENDED_CLAIM] if special else [])


def _key(placed: Placed, name: str) -> str:
    """The claim object behind a name of the pod's; "" while it is not made."""
    made = dict(placed.pod.claims).get(name, "") if placed.pod else ""
    return made or next((c.claim for c in placed.pod_set.template.claims if c.name == name), "")


def _owns(after: Aftermath, placed: Placed, name: str, claim: str) -> bool:
    return name in _needed(after, placed) and claim == _key(placed, name)


def _reach(after: Aftermath, where: str, claim: str, allocation: AllocationResult) -> Iterator[ClaimOutOfReach]:
    node = after.snapshot.nodes.get(where)
    selector = allocation.node_selector
    if node is not None and selector is not None and not selector.matches(node.name, node.labels):
        yield ClaimOutOfReach(claim, node.name)


class Judge:
    """Compares what claims are given with what they ask for."""

    def __init__(self, after: Aftermath, pools: Pools) -> None:
        self._after, self._pools = after, pools
        self._selectors = Selectors(after.policy)
        self._shares = "DRAConsumableCapacity" in after.policy.features
        self._matching: dict[tuple[str, str, tuple[DeviceSelector, ...], object], list[DeviceId]] = {}

    def claim(self, given: Given) -> Iterator[Finding]:
        if given.spec is None:
            return
        results = given.allocation.devices.results
        if len(results) > DEVICES_MAX:
            yield RequestMiscounted(given.claim, "(all)", len(results), DEVICES_MAX)
        served: dict[str, list[Served]] = {}
        for result in results:
            served.setdefault(result.request, []).append(self._serve(given, result))
        for request in given.spec.devices.requests:
            asked = _alternatives(request)
            names = [name for name in asked if name in served] or list(asked)[:1]
            if not names:
                yield ClassMissing(given.claim, request.name, "(none)")
            elif len(names) > 1:
                yield AlternativesMixed(given.claim, request.name, tuple(names))
            else:
                yield from self._request(given, names[0], asked[names[0]], served.get(names[0], []))
        known = {name for request in given.spec.devices.requests for name in _alternatives(request)}
        for name in served:
            if name not in known:
                yield RequestUnknown(given.claim, name)
        for constraint in given.spec.devices.constraints:
            yield from _constraint(given.claim, constraint, served)

    def _serve(self, given: Given, result: DeviceRequestAllocationResult) -> Served:
        identity = (result.driver, result.pool, result.device)
        device = self._pools.find(identity, given.node)
        return Served(identity, None if isinstance(device, str) else device, result)

    def _request(self, given: Given, name: str, asked: Asked, served: Sequence[Served]) -> Iterator[Finding]:
        device_class = self._after.snapshot.device_classes.get(asked.device_class_name)
        if device_class is None:
            yield ClassMissing(given.claim, name, asked.device_class_name)
            return
        yield from self._count(given, name, asked, served)
        yield from self._admin(given, name, asked, served)
        selectors = device_class.spec.selectors + asked.selectors
        for one in served:
            if one.device is None:
                continue
            unmet = self._selectors.unmet(selectors, one.identity, one.device)
            if unmet:
                yield SelectorUnmet(given.claim, name, one.label, unmet)
            for taint in self._pools.taints(one.identity, one.device):
                if not any(_tolerates(t, taint) for t in asked.tolerations):
                    yield DeviceTainted(given.claim, one.label, f"{taint.key}={taint.value}:{taint.effect}")
            yield from self._capacity(given, asked, one, one.device)

    def _count(self, given: Given, name: str, asked: Asked, served: Sequence[Served]) -> Iterator[RequestMiscounted]:
        if asked.allocation_mode != "All":
            if len(served) != asked.count:
                yield RequestMiscounted(given.claim, name, len(served), asked.count)
            return
        matching = self._all(given.node, asked)
        if not matching or sorted(s.identity for s in served) != matching:
            yield RequestMiscounted(given.claim, name, len(served), max(1, len(matching)))

    def _all(self, node: str, asked: Asked) -> list[DeviceId]:
        """Every device the node can use that matches."""
        key = (
            node,
            asked.device_class_name,
            asked.selectors,
            tuple(asked.capacity.requests.items()) if asked.capacity else (),
        )
        if key not in self._matching:
            selectors = self._after.snapshot.device_classes[asked.device_class_name].spec.selectors + asked.selectors
            self._matching[key] = sorted(
                identity
                for identity, device in self._pools.of_node(node)
                if _large_enough(asked, device) and not self._selectors.unmet(selectors, identity, device)
            )
        return self._matching[key]

    def _admin(self, given: Given, name: str, asked: Asked, served: Sequence[Served]) -> Iterator[AdminAccessWrong]:
        wanted = isinstance(asked, ExactDeviceRequest) and asked.admin_access
        if any(bool(s.result.admin_access) != wanted for s in served):
            not_ = "" if wanted else "not "
            yield AdminAccessWrong(given.claim, name, f"its devices should {not_}be given for administration")
        namespace = self._after.snapshot.namespaces.get(given.namespace)
        labels = namespace.metadata.labels if namespace else {}
        if wanted and labels.get(ADMIN_LABEL) != "true":
            yield AdminAccessWrong(given.claim, name, f"namespace {given.namespace} lacks the label {ADMIN_LABEL}=true")

    def _capacity(self, given: Given, asked: Asked, one: Served, device: Device) -> Iterator[Finding]:
        """Each capacity asked for is there; each capacity of a shared device is consumed as its policy says."""
        shared = self._shares and device.allow_multiple_allocations
        requests = asked.capacity.requests if asked.capacity else {}
        for name in requests:
            if name not in device.capacity:
                yield CapacityLacking(given.claim, one.label, name, requests[name].nano, 0)
        for name, capacity in device.capacity.items() if shared or requests else ():
            if not shared and name not in requests:
                continue
            requested = requests[name].nano if name in requests else None
            wanted, most = consumption(capacity, requested)
            consumed = one.result.consumed_capacity[name].nano if name in one.result.consumed_capacity else 0
            if wanted > most:
                yield CapacityLacking(given.claim, one.label, name, wanted, most)
            elif consumed != (wanted if shared else 0):
                yield CapacityMiscounted(given.claim, one.label, name, consumed, wanted if shared else 0)


def _alternatives(request: DeviceRequest) -> dict[str, Asked]:
    """What may serve a request, by the name its results carry."""
    if request.exactly is not None:
        return {request.name: request.exactly}
    return {f"{request.name}/{sub.name}": sub for sub in request.first_available}


def _large_enough(asked: Asked, device: Device) -> bool:
    requests = asked.capacity.requests if asked.capacity else {}
    for name, amount in requests.items():
        wanted, most = consumption(device.capacity[name], amount.nano) if name in device.capacity else (1, 0)
        if wanted > most:
            return False
    return True


def _tolerates(toleration: DeviceToleration, taint: DeviceTaint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (bool(toleration.key) and toleration.value == taint.value)


def _constraint(claim: str, constraint: DeviceConstraint, served: Mapping[str, list[Served]]) -> Iterator[Finding]:
    """A constraint on `main` also covers `main/sub`; one that names no request covers all."""
    values = [
        attribute_values(one.device, one.result.driver, constraint.match_attribute or constraint.distinct_attribute)
        for name, group in served.items()
        if not constraint.requests or name in constraint.requests or name.partition("/")[0] in constraint.requests
        for one in group
        if one.device is not None
    ]
    if constraint.match_attribute and not all_share(values):
        yield ConstraintBroken(claim, "matchAttribute", constraint.match_attribute)
    if constraint.distinct_attribute and not all_differ(values):
        yield ConstraintBroken(claim, "distinctAttribute", constraint.distinct_attribute)
