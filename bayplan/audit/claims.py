"""Every claim of a placed pod is served, and served with what it asks for (KEP-4381 and its successors).

Count or all of them, class and request selectors, one alternative of a prioritised list, match and distinct
constraints, tolerated taints, access for administration, and the capacity arithmetic of consumable capacity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bayplan.audit import extended
from bayplan.audit.aftermath import Aftermath, Given, Placed, Served
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
from bayplan.audit.selectors import Matcher, Selectors
from bayplan.model.device import (
    AllocationResult,
    Device,
    DeviceClass,
    DeviceConstraint,
    DeviceRequest,
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


def audit_claims(after: Aftermath, pools: Pools) -> Iterator[Finding]:
    yield from _pods(after)
    yield from _staying(after)
    judge = Judge(after, pools)
    for given in after.given.values():
        yield from judge.claim(given)


def _staying(after: Aftermath) -> Iterator[Finding]:
    """What is given now to a claim that pods use already selects their nodes, too."""
    for claim, given in after.given.items():
        for pod in after.using(claim) if claim in after.snapshot.claims else ():
            if pod.node:
                yield from _reach(after, pod.node, claim, given.allocation)


def _pods(after: Aftermath) -> Iterator[Finding]:
    """Each claim of each placed pod has one allocation, and that one selects the pod's node."""
    for placed in after.placed:
        needed = _needed(after, placed)
        for given in placed.given:
            if given.asked.name not in needed or given.asked.claim != _key(placed, given.asked.name):
                yield ClaimUnknown(placed.label, given.asked.claim or given.asked.name)
            elif (held := after.held(given.claim)) is not given.allocation and held != given.allocation:
                yield ClaimGivenTwice(given.claim)
            else:
                yield from _reach(after, given.node, given.claim, given.allocation)
        names = [given.asked.name for given in placed.given]
        for name in needed:
            if name not in names:
                key = _key(placed, name)
                held = after.held(key)
                if held is None:
                    yield ClaimUnserved(placed.label, name)
                else:
                    yield from _reach(after, placed.placement.node, key, held)


def _needed(after: Aftermath, placed: Placed) -> list[str]:
    """The claims the pod must have devices for on its node."""
    template = placed.pod_set.template
    served = "DRAExtendedResource" in after.policy.features and template.extended
    special = extended.claim(after.snapshot, template, placed.placement.node) if served else None
    names = [c.name for c in template.claims]
    return [*names, EXTENDED_CLAIM] if special else names


def _key(placed: Placed, name: str) -> str:
    """The claim object behind a name of the pod's; "" while it is not made."""
    for known, claim in placed.pod.claims if placed.pod else ():
        if known == name and claim:
            return claim
    for asked in placed.pod_set.template.claims:
        if asked.name == name:
            return asked.claim
    return ""


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
        self._matchers: dict[tuple[str, tuple[DeviceSelector, ...]], Matcher] = {}
        self._matching: dict[tuple[str, str, tuple[DeviceSelector, ...], object], list[DeviceId]] = {}

    def claim(self, given: Given) -> Iterator[Finding]:
        if given.spec is None:
            return
        if len(given.served) > DEVICES_MAX:
            yield RequestMiscounted(given.claim, "(all)", len(given.served), DEVICES_MAX)
        served: dict[str, list[Served]] = {}
        for one in given.served:
            served.setdefault(one.result.request, []).append(one)
        known: dict[str, Asked] = {}
        for request in given.spec.devices.requests:
            asked = _alternatives(request)
            known |= asked
            names = [name for name in asked if name in served] or list(asked)[:1]
            if not names:
                yield ClassMissing(given.claim, request.name, "(none)")
            elif len(names) > 1:
                yield AlternativesMixed(given.claim, request.name, tuple(names))
            else:
                yield from self._request(given, names[0], asked[names[0]], served.get(names[0], []))
        for name in served:
            if name not in known:
                yield RequestUnknown(given.claim, name)
        for constraint in given.spec.devices.constraints:
            yield from _constraint(given.claim, constraint, served)

    def _request(self, given: Given, name: str, asked: Asked, served: Sequence[Served]) -> Iterator[Finding]:
        device_class = self._after.snapshot.device_classes.get(asked.device_class_name)
        if device_class is None:
            yield ClassMissing(given.claim, name, asked.device_class_name)
            return
        yield from self._count(given, name, asked, served)
        wanted = isinstance(asked, ExactDeviceRequest) and asked.admin_access
        if wanted or any(one.result.admin_access for one in served):
            yield from self._admin(given, name, wanted, served)
        matcher = self._matcher(asked, device_class)
        for one in served:
            if one.seen is None:
                continue
            unmet = matcher.unmet(one.seen)
            if unmet:
                yield SelectorUnmet(given.claim, name, one.label, unmet)
            for taint in self._pools.taints(one.identity, one.seen.device):
                if not any(_tolerates(t, taint) for t in asked.tolerations):
                    yield DeviceTainted(given.claim, one.label, f"{taint.key}={taint.value}:{taint.effect}")
            if asked.capacity is not None or one.seen.device.allow_multiple_allocations:
                yield from self._capacity(given, asked, one, one.seen.device)

    def _matcher(self, asked: Asked, device_class: DeviceClass) -> Matcher:
        """The selectors of a request and its class, made ready once."""
        known = self._matchers.get((asked.device_class_name, asked.selectors))
        if known is None:
            known = self._selectors.matcher(device_class.spec.selectors + asked.selectors)
            self._matchers[asked.device_class_name, asked.selectors] = known
        return known

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
            matcher = self._matcher(asked, self._after.snapshot.device_classes[asked.device_class_name])
            self._matching[key] = sorted(
                seen.identity
                for seen in self._pools.of_node(node)
                if _large_enough(asked, seen.device) and not matcher.unmet(seen)
            )
        return self._matching[key]

    def _admin(self, given: Given, name: str, wanted: bool, served: Sequence[Served]) -> Iterator[AdminAccessWrong]:
        if any(bool(s.result.admin_access) != wanted for s in served):
            not_ = "" if wanted else "not "
            yield AdminAccessWrong(given.claim, name, f"its devices should {not_}be given for administration")
        namespace = self._after.snapshot.namespaces.get(given.namespace) if wanted else None
        if wanted and (namespace is None or namespace.metadata.labels.get(ADMIN_LABEL) != "true"):
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
        attribute_values(
            one.seen.device, one.result.driver, constraint.match_attribute or constraint.distinct_attribute
        )
        for name, group in served.items()
        if not constraint.requests or name in constraint.requests or name.partition("/")[0] in constraint.requests
        for one in group
        if one.seen is not None
    ]
    if constraint.match_attribute and not all_share(values):
        yield ConstraintBroken(claim, "matchAttribute", constraint.match_attribute)
    if constraint.distinct_attribute and not all_differ(values):
        yield ConstraintBroken(claim, "distinctAttribute", constraint.distinct_attribute)
