"""Questions, compiled: what a pod's claims want, request by request.

A `Need` is one request, or one alternative of a prioritised list (KEP-4816). What it wants of a device (selectors,
tolerations, capacity) does not depend on what is taken, so it is worked out once per template.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from bayplan.core.allocate.capacity import Amounts, consumed
from bayplan.core.allocate.components import Template
from bayplan.core.allocate.constraints import Constraint, Values, lookup, values_of
from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.isolation import of_device
from bayplan.core.allocate.selectors import Matcher, SelectorError
from bayplan.model.codec import to_json
from bayplan.model.device import (
    DeviceClass,
    DeviceRequest,
    DeviceSubRequest,
    DeviceTaint,
    DeviceToleration,
    ExactDeviceRequest,
    ResourceClaimSpec,
)
from bayplan.model.isolation import Isolation

MAX_DEVICES = 32
"""Devices one claim may hold (resource.k8s.io/v1 AllocationResultsMaxSize)."""

NUMA_NAMES = (
    "resource.kubernetes.io/numaNode",
    "dra.net/numaNode",
    "dra.cpu/numaNodeID",
    "gpu.amd.com/numaNode",
    "gpu.nvidia.com/numaNode",
)
"""Before KEP-6072 every driver had its own name for the NUMA node."""

ROOT_NAMES = ("resource.kubernetes.io/pcieRoot",)


class Unservable(Exception):
    """No node can ever serve the claims; the message is upstream's. `request` is empty when it concerns the claim."""

    def __init__(self, message: str, request: str = "") -> None:
        super().__init__(message)
        self.request = request


class Grant(NamedTuple):
    """What a template gives a need: `amounts` of its capacity (empty unless shared), `values` per constraint.

    `tenant` is the need's where users of the device are not kept apart, else 0.
    """

    amounts: Amounts
    units: tuple[int, ...]
    values: tuple[Values | None, ...]
    tenant: int


class Whose(NamedTuple):
    """For whom something is asked (0 = nobody minds), and the least isolation that is accepted."""

    tenant: int = 0
    least: Isolation = Isolation.NONE


FOR_ANYONE = Whose()


class Need:
    """One request of a claim. `name` is how results call it, `constraints` index the ask's constraints.

    Admin access takes nothing and needs nothing to be free. Needs with equal `key` get the same from every device;
    within an ask they share `grants`.
    """

    __slots__ = (
        "_grants",
        "admin",
        "claim",
        "constraints",
        "count",
        "every",
        "key",
        "matcher",
        "name",
        "parameters",
        "parts",
        "spec",
        "whose",
    )

    def __init__(
        self,
        claim: int,
        name: str,
        spec: ExactDeviceRequest | DeviceSubRequest,
        matcher: Matcher,
        constraints: tuple[tuple[int, Constraint], ...],
        grants: dict[Hashable, dict[int, Grant | SelectorError | None]],
        whose: Whose,
        parameters: tuple[tuple[str, Any], ...],
    ) -> None:
        self.claim = claim
        self.name = name
        self.spec = spec
        self.matcher = matcher
        self.constraints = tuple(i for i, _ in constraints)
        self.parts = tuple(c for _, c in constraints)
        self.every = spec.allocation_mode == "All"
        self.count = spec.count
        self.admin = isinstance(spec, ExactDeviceRequest) and spec.admin_access
        self.whose = FOR_ANYONE if self.admin else whose
        self.parameters = parameters
        config = parameters if self.whose.least is not Isolation.NONE else ()
        wish = (spec.device_class_name, spec.selectors, spec.tolerations, spec.capacity, self.admin, config)
        self.key: Hashable = (to_json(wish), tuple((c.attribute, c.distinct) for c in self.parts), self.whose)
        self._grants = grants.setdefault(self.key, {})

    def selects(self, template: Template, gates: Gates) -> bool:
        """Whether the device is one the request means, whatever is taken. Raises SelectorError."""
        if template.device.binding_conditions and not gates.binding:
            return False
        return self.matcher.matches(template.view)

    def grant(self, template: Template, gates: Gates) -> Grant | None:
        """What a device of this template would give; None if it never can. Raises SelectorError."""
        known = self._grants.get(template.id, ...)
        if known is ...:
            try:
                known = self._granted(template, gates)
            except SelectorError as failure:
                known = failure
            self._grants[template.id] = known
        if isinstance(known, SelectorError):
            raise known
        return known

    def _granted(self, template: Template, gates: Gates) -> Grant | None:
        if not self.selects(template, gates) or (template.device.consumes_counters and not gates.partitionable):
            return None
        amounts = self.amounts(template) if gates.consumable else ()
        if amounts is None or (gates.taints and _repelled(template.device.taints, self.spec.tolerations)):
            return None
        if not template.shareable:
            amounts = ()
        least = self.whose.least
        if least is not Isolation.NONE and not self.isolation(template).satisfies(least):
            return None
        found = tuple(
            values_of(lookup(template.driver, template.device, c.attribute), lists=gates.lists) for c in self.parts
        )
        units = tuple(a.nano for a in amounts)
        return Grant(amounts, units, found, self.whose.tenant if template.meets(units) else 0)

    def isolation(self, template: Template) -> Isolation:
        """What would keep the need's user of such a device from others, the claim's configuration included."""
        parameters = (p for d, p in self.parameters if d == template.driver)
        consumed = dict(zip(template.names, self.amounts(template) or (), strict=False))
        return of_device(template.device, parameters, template.driver, consumed)

    def amounts(self, template: Template) -> Amounts | None:
        """What one share would take of each capacity; None when the device cannot serve that."""
        wanted = self.spec.capacity.requests if self.spec.capacity is not None else {}
        return consumed(wanted, template.device.capacity)


class Ask:
    """All claims of a pod as one question: per request its alternatives, in order."""

    __slots__ = ("claims", "constraints", "names", "wants")

    def __init__(
        self,
        claims: tuple[ResourceClaimSpec, ...],
        names: tuple[str, ...],
        wants: list[tuple[Need, ...]],
        constraints: list[Constraint],
    ) -> None:
        self.claims = claims
        self.names = names
        self.wants = tuple(wants)
        self.constraints = tuple(constraints)

    def reads(self) -> frozenset[tuple[str, ...]] | None:
        """Every path that selectors and constraints read, and the places of devices where these should be close."""
        paths = frozenset(_path(c.attribute) for c in self.constraints)
        for need in (n for want in self.wants for n in want):
            own = need.matcher.reads()
            if own is None:
                return None
            paths |= own
        if self.several():
            paths |= frozenset(map(_path, NUMA_NAMES))
        if self.mixed():
            paths |= frozenset(map(_path, ROOT_NAMES))
        return paths

    def several(self) -> bool:
        """Whether it may take more than one device."""
        return len(self.wants) > 1 or any(n.every or n.count > 1 for want in self.wants for n in want)

    def mixed(self) -> bool:
        """Whether it may take devices of more than one sort, as a GPU and a NIC: then PCIe roots matter, too.

        Told by the classes, because every root that is told apart makes one more sort of GPU.
        """
        return len({n.spec.device_class_name for want in self.wants for n in want}) > 1 and len(self.wants) > 1

    def preference(self, taken: Iterable[tuple[int, Need]]) -> int:
        """Adds up which alternatives of prioritised lists were taken, 0 = the first of each."""
        return sum(self.wants[want].index(need) for want, need in dict.fromkeys(taken))


def _path(attribute: str) -> tuple[str, ...]:
    domain, _, name = attribute.rpartition("/")
    return "attributes", domain, name


def compile_ask(
    claims: tuple[ResourceClaimSpec, ...],
    names: tuple[str, ...],
    classes: Mapping[str, DeviceClass],
    gates: Gates,
    whose: Whose = FOR_ANYONE,
) -> Ask:
    """The claims as a question; `names` are for messages. Raises Unservable."""
    constraints: list[Constraint] = []
    wants: list[tuple[Need, ...]] = []
    grants: dict[Hashable, dict[int, Grant | SelectorError | None]] = {}
    for index, (spec, name) in enumerate(zip(claims, names, strict=True)):
        first = len(constraints)
        constraints += [
            Constraint(
                index, not given.match_attribute, given.match_attribute or given.distinct_attribute, given.requests
            )
            for given in spec.devices.constraints
        ]
        numbered = tuple(enumerate(constraints))[first:]
        for request in spec.devices.requests:
            wants.append(_alternatives(index, name, request, numbered, classes, gates, grants, spec, whose))
        for i, (_, given) in enumerate(numbered):
            if not given.attribute or (given.distinct and not gates.consumable):
                raise Unservable(f"claim {name}, constraint #{i}: empty constraint (unsupported constraint type?)")
    return Ask(claims, names, wants, constraints)


def _alternatives(
    index: int,
    claim: str,
    request: DeviceRequest,
    constraints: tuple[tuple[int, Constraint], ...],
    classes: Mapping[str, DeviceClass],
    gates: Gates,
    grants: dict[Hashable, dict[int, Grant | SelectorError | None]],
    asked: ResourceClaimSpec,
    whose: Whose,
) -> tuple[Need, ...]:
    where = f"claim {claim}, request {request.name}"
    if request.first_available and not gates.prioritized_list:
        raise Unservable(f"{where}: has subrequests, but the DRAPrioritizedList feature is disabled", request.name)
    if request.exactly is None and not request.first_available:
        raise Unservable(
            f"{where}: neither exactly nor firstAvailable is set (unsupported request type?)", request.name
        )
    options: list[tuple[str, str, ExactDeviceRequest | DeviceSubRequest]] = [
        (f"{request.name}/{sub.name}", f"claim {claim}, subrequest {sub.name}", sub) for sub in request.first_available
    ]
    if not options and request.exactly is not None:
        options = [(request.name, where, request.exactly)]
    needs = []
    for name, place, spec in options:
        if spec.capacity is not None and not gates.consumable:
            text = "has capacity requests, but the DRAConsumableCapacity feature is disabled"
            raise Unservable(f"{place}: {text}", name)
    for name, _, spec in options:
        own = name.rpartition("/")[2]
        _validate(f"claim {claim}, request {own}", name, spec, classes, gates)
        matcher = Matcher(spec.device_class_name, classes[spec.device_class_name].spec.selectors, claim, spec.selectors)
        bound = tuple((i, c) for i, c in constraints if c.covers(request.name, name))
        parameters = _parameters(name, asked, classes[spec.device_class_name])
        needs.append(Need(index, name, spec, matcher, bound, grants, whose, parameters))
    return tuple(needs)


def _parameters(request: str, asked: ResourceClaimSpec, known: DeviceClass) -> tuple[tuple[str, Any], ...]:
    """The drivers' parameters that go with a request, of its class and of its claim."""
    names = (request, request.partition("/")[0])
    own = (c.opaque for c in asked.devices.config if not c.requests or any(n in c.requests for n in names))
    return tuple((o.driver, o.parameters) for o in (*(c.opaque for c in known.spec.config), *own) if o is not None)


def _validate(
    where: str,
    name: str,
    spec: ExactDeviceRequest | DeviceSubRequest,
    classes: Mapping[str, DeviceClass],
    gates: Gates,
) -> None:
    for i, selector in enumerate(spec.selectors):
        if selector.cel is None:
            raise Unservable(f"{where}, selector #{i}: CEL expression empty (unsupported selector type?)", name)
    if isinstance(spec, ExactDeviceRequest) and spec.admin_access and not gates.admin_access:
        raise Unservable(f"{where}: admin access is requested, but the feature is disabled", name)
    if not spec.device_class_name:
        raise Unservable(f"{where}: missing device class name (unsupported request type?)", name)
    if spec.device_class_name not in classes:
        raise Unservable(f"{where}: could not retrieve device class {spec.device_class_name}: not found", name)
    if spec.allocation_mode not in ("ExactCount", "All"):
        raise Unservable(f"{where}: unsupported count mode {spec.allocation_mode}", name)


def _repelled(taints: tuple[DeviceTaint, ...], tolerations: tuple[DeviceToleration, ...]) -> bool:
    """Effects other than NoSchedule and NoExecute are reports."""
    return any(
        taint.effect in ("NoSchedule", "NoExecute") and not any(_tolerates(t, taint) for t in tolerations)
        for taint in taints
    )


def _tolerates(toleration: DeviceToleration, taint: DeviceTaint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and toleration.value == taint.value
