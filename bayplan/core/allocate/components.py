"""Physical GPUs as small state machines.

Devices that draw on the same counter sets (the partitions of a GPU), or one device alone, are a *component*; nothing
that happens in one component matters to another. Components that look alike to every question in play share a `Kind`;
what is taken in one is a `State` of its kind, and taking a device leads to another state. Kinds, states and moves are
interned, so equal situations anywhere in a fleet are one object, worked out once.

All amounts are billionths (`Quantity.nano`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.isolation import of_device
from bayplan.core.allocate.pools import Published
from bayplan.core.allocate.selectors import unsupported, view
from bayplan.model.device import CounterSet, Device
from bayplan.model.isolation import Isolation

Units = tuple[int, ...]
Cost = tuple[tuple[int, int], ...]
"""(counter, amount) pairs."""

Reads = frozenset[tuple[str, ...]] | None
"""Paths that selectors and constraints read; None when they may read anything."""


PARTITIONS_MAX = 40
"""Devices that a GPU is cut into at most (MIG: 26). What has more is no GPU, and not worth the finer treatment."""


MIXED = -1
"""The tenant of a device that several tenants share: nobody else may join them."""

# What drivers say of a model rather than of one device. Telling devices apart by these from the start costs nothing,
# and spares most later questions a new epoch.
DESCRIPTIVE = (
    "accelerator",
    "addressingMode",
    "architecture",
    "brand",
    "chipCount",
    "computePartition",
    "cudaComputeCapability",
    "cudaDriverVersion",
    "deviceID",
    "driverVersion",
    "family",
    "health",
    "memoryPartition",
    "model",
    "mtu",
    "partitionProfile",
    "productName",
    "profile",
    "rdma",
    "sriov",
    "topology",
    "tpuGen",
    "type",
)


class Template:
    """Devices that no question in play can tell apart; `device` is one of them.

    `open_plan` says that nothing keeps the users of a shareable device apart, so that they should be of one tenant.
    """

    __slots__ = ("broken", "device", "driver", "id", "limits", "names", "open_plan", "shareable", "view")

    def __init__(self, id: int, driver: str, device: Device, gates: Gates) -> None:
        self.id = id
        self.driver = driver
        self.device = device
        self.shareable = device.allow_multiple_allocations and gates.consumable
        self.open_plan = self.shareable and of_device(device, driver=driver) is Isolation.NONE
        self.names = tuple(sorted(device.capacity))
        self.limits: Units = tuple(device.capacity[n].value.nano for n in self.names) if self.shareable else ()
        self.broken = unsupported(device, gates)
        self.view = view(driver, device, self.broken)

    def meets(self, units: Units) -> bool:
        """Whether who has a share of this size may meet others on the device, with nothing to keep them apart."""
        return self.open_plan and any(u < most for u, most in zip(units, self.limits, strict=True))


class Kind:
    """What a component is: its devices, what each takes of the counters, and how much of those there is.

    `measure` is the counter that says how much of the GPU something is (-1 without), `weights` how many thousandths
    of the GPU each device is by that measure. `cheapest` orders the devices by what they take of all counters.
    """

    __slots__ = ("cheapest", "costs", "counters", "id", "limits", "measure", "root", "templates", "weights")

    def __init__(
        self,
        id: int,
        templates: tuple[Template, ...],
        costs: tuple[Cost, ...],
        counters: tuple[str, ...],
        limits: Units,
    ) -> None:
        self.id = id
        self.templates = templates
        self.costs = costs
        self.counters = counters
        self.limits = limits
        self.measure = _measure(counters, limits)
        self.weights = _weights(self)
        parts = [sum(a * 1000 // limits[c] for c, a in cost if limits[c] > 0) for cost in costs]
        self.cheapest = tuple(sorted(range(len(parts)), key=lambda i: (parts[i], i)))
        self.root: State


def _measure(counters: Sequence[str], limits: Units) -> int:
    """The memory, else the first counter that is not zero."""
    counting = [i for i, limit in enumerate(limits) if limit > 0]
    return next((i for i in counting if counters[i] == "memory"), counting[0] if counting else -1)


def _weights(kind: Kind) -> tuple[int, ...]:
    if kind.measure < 0:
        return (1000,) * len(kind.costs)
    return tuple(dict(cost).get(kind.measure, 0) * 1000 // kind.limits[kind.measure] for cost in kind.costs)


class State:
    """What is left of a component.

    `busy` marks exclusive devices that are taken though counters would still allow them; `used` holds, per shareable
    device, what its shares take, or None without shares. `tenants` says whose each device is (0 = nobody's) where that
    matters, and is empty where it does not.
    """

    __slots__ = ("_open", "busy", "id", "kind", "memo", "moves", "remaining", "tenants", "used")

    def __init__(
        self,
        id: int,
        kind: Kind,
        remaining: Units,
        busy: int,
        used: tuple[Units | None, ...],
        tenants: tuple[int, ...] = (),
    ) -> None:
        self.id = id
        self.kind = kind
        self.remaining = remaining
        self.busy = busy
        self.used = used
        self.tenants = tenants
        self._open = -1
        self.moves: dict[tuple[int, Units, int], State | None] = {}
        self.memo: dict[Hashable, object] = {}

    def is_open(self, device: int) -> bool:
        """Whether the device can still be had; for a shareable one, whether it may be."""
        if self.busy >> device & 1:
            return False
        return self.used[device] is not None or all(self.remaining[c] >= a for c, a in self.kind.costs[device])

    @property
    def open(self) -> int:
        """The devices that are open, as bits."""
        if self._open < 0:
            self._open = sum(1 << i for i in range(len(self.kind.costs)) if self.is_open(i))
        return self._open


class Machines:
    """Interns templates, kinds and states. Ids count from 1."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self._templates: dict[Hashable, Template] = {}
        self._kinds: dict[Hashable, Kind] = {}
        self._states: dict[Hashable, State] = {}
        self._names: dict[str, frozenset[str]] = {}
        self.states: list[State] = []
        self.reads: Reads = frozenset()
        self._widened = 0

    def widen(self, reads: Reads) -> bool:
        """Makes `reads` part of what tells devices apart; True if it was not already."""
        if self.reads is None or (reads is not None and reads <= self.reads):
            return False
        self.reads = None if reads is None else self.reads | reads
        self._names.clear()
        self._widened += 1
        return True

    def kind(self, members: tuple[Published, ...], counters: Mapping[str, CounterSet]) -> Kind:
        """The kind of a component that draws on `counters`."""
        templates = tuple([self.template(m.id[0], m.device) for m in members])
        if not counters:
            return self._interned((), tuple([t.id for t in templates]), ((),) * len(members), (), templates)
        names = [(s, c) for s in sorted(counters) for c in sorted(counters[s].counters)]
        index = {name: i for i, name in enumerate(names)}
        limits = tuple(counters[s].counters[c].value.nano for s, c in names)
        costs = tuple(_cost(m.device, index) for m in members)
        return self._interned(limits, tuple(t.id for t in templates), costs, tuple(c for _, c in names), templates)

    def _interned(
        self,
        limits: Units,
        ids: tuple[int, ...],
        costs: tuple[Cost, ...],
        counters: tuple[str, ...],
        templates: tuple[Template, ...],
    ) -> Kind:
        key = (limits, ids, costs, counters)
        known = self._kinds.get(key)
        if known is None:
            known = self._kinds[key] = Kind(len(self._kinds) + 1, templates, costs, counters, limits)
            known.root = self.state(known, limits, 0, (None,) * len(templates))
        return known

    def template(self, driver: str, device: Device) -> Template:
        key = (
            driver,
            self._widened,  # what could not be told apart before is not one template with what can be now
            self._read(driver, device),
            frozenset(device.capacity.items()),
            device.allow_multiple_allocations,
            tuple((t.key, t.value, t.effect) for t in device.taints),
            device.binds_to_node,
            device.binding_conditions,
            device.binding_failure_conditions,
            bool(device.consumes_counters),
            frozenset(device.node_allocatable_resources.items()) if device.node_allocatable_resources else (),
            unsupported(device, self._gates),
        )
        known = self._templates.get(key)
        if known is None:
            known = self._templates[key] = Template(len(self._templates) + 1, driver, device, self._gates)
        return known

    def _read(self, driver: str, device: Device) -> Hashable:
        """The attributes that questions in play read, whatever the driver's spelling."""
        if self.reads is None:
            return frozenset(device.attributes.items())
        names = self._names.get(driver)
        if names is None:
            names = self._names[driver] = frozenset(n for path in self.reads for n in _spellings(driver, path))
        return frozenset([(name, device.attributes[name]) for name in names & device.attributes.keys()])

    def state(
        self,
        kind: Kind,
        remaining: Units,
        busy: int,
        used: tuple[Units | None, ...],
        tenants: tuple[int, ...] = (),
    ) -> State:
        """The interned state. Devices that counters rule out anyway are not marked busy: that makes states alike."""
        if kind.limits and len(kind.costs) <= PARTITIONS_MAX:
            for i in range(busy.bit_length()):
                exclusive = busy >> i & 1 and not kind.templates[i].shareable
                if exclusive and any(remaining[c] < amount for c, amount in kind.costs[i]):
                    busy &= ~(1 << i)
        key = (kind.id, remaining, busy, used, tenants)
        known = self._states.get(key)
        if known is None:
            known = self._states[key] = State(len(self.states) + 1, kind, remaining, busy, used, tenants)
            self.states.append(known)
        return known

    def move(self, state: State, device: int, amounts: Units, tenant: int = 0) -> State | None:
        """The state after one more allocation of a device, for a tenant where that matters; None if it does not fit."""
        key = (device, amounts, tenant)
        if key in state.moves:
            return state.moves[key]
        fits = self.fits(state, device, amounts, tenant)
        after = state.moves[key] = self._moved(state, device, amounts, tenant) if fits else None
        return after

    def fits(self, state: State, device: int, amounts: Units, tenant: int = 0) -> bool:
        """Whether one more allocation of a device fits."""
        template, used = state.kind.templates[device], state.used[device]
        if not state.is_open(device) or (tenant and state.tenants and state.tenants[device] not in (0, tenant)):
            return False
        if not template.shareable:
            return True
        before = (0,) * len(amounts) if used is None else used
        return all(u + a <= most for u, a, most in zip(before, amounts, template.limits, strict=True))

    def forced(self, kind: Kind, holdings: Iterable[tuple[int, Units | None, int]]) -> State:
        """The state with these devices taken, for these tenants, whether they fit or not.

        Shares without amounts take everything.
        """
        state = kind.root
        busy, used, remaining = 0, list(state.used), list(state.remaining)
        tenants = state.tenants
        for device, amounts, tenant in holdings:
            template = kind.templates[device]
            if tenant:
                tenants = _joined(kind, tenants, device, tenant)
            first = used[device] is None and not busy >> device & 1
            if amounts is None or not template.shareable:
                busy |= 1 << device
            else:
                before = used[device] or (0,) * len(amounts)
                used[device] = tuple(u + a for u, a in zip(before, amounts, strict=True))
            if first:
                for c, amount in kind.costs[device]:
                    remaining[c] -= amount
        return self.state(kind, tuple(remaining), busy, tuple(used), tenants)

    def _moved(self, state: State, device: int, amounts: Units, tenant: int) -> State:
        kind, used = state.kind, state.used
        before = used[device]
        remaining = state.remaining
        if before is None and kind.costs[device]:
            left = list(remaining)
            for c, amount in kind.costs[device]:
                left[c] -= amount
            remaining = tuple(left)
        if not kind.templates[device].shareable:
            return self.state(kind, remaining, state.busy | 1 << device, used, state.tenants)
        now = amounts if before is None else tuple(u + a for u, a in zip(before, amounts, strict=True))
        tenants = _joined(kind, state.tenants, device, tenant) if tenant else state.tenants
        return self.state(kind, remaining, state.busy, (*used[:device], now, *used[device + 1 :]), tenants)


def _joined(kind: Kind, tenants: tuple[int, ...], device: int, tenant: int) -> tuple[int, ...]:
    """Whose the devices are once this tenant has a share of one."""
    before = tenants or (0,) * len(kind.costs)
    now = tenant if before[device] in (0, tenant) else MIXED
    return (*before[:device], now, *before[device + 1 :])


class Component:
    """One physical GPU (or other device): its kind, its members in upstream's order, and the counters they draw on."""

    __slots__ = ("counters", "kind", "members")

    def __init__(self, kind: Kind, members: tuple[Published, ...], counters: Mapping[str, CounterSet]) -> None:
        self.kind = kind
        self.members = members
        self.counters = counters


def split(devices: Iterable[Published]) -> list[tuple[tuple[Published, ...], tuple[str, ...]]]:
    """A pool's devices grouped by the counter sets they share, with the sets of each group; order is kept."""
    group_of: dict[str, int] = {}
    groups: list[list[Published]] = []
    sets: list[list[str]] = []
    for published in devices:
        if not published.device.consumes_counters:
            groups.append([published])
            sets.append([])
            continue
        wanted = [u.counter_set for u in published.device.consumes_counters]
        known = sorted({group_of[s] for s in wanted if s in group_of})
        if not known:
            known = [len(groups)]
            groups.append([])
            sets.append([])
        target = known[0]
        for other in known[1:]:
            groups[target] += groups[other]
            sets[target] += sets[other]
            groups[other], sets[other] = [], []
        groups[target].append(published)
        sets[target] += [s for s in wanted if s not in group_of]
        group_of |= dict.fromkeys(sets[target], target)
    return [
        (tuple(sorted(g, key=lambda p: p.place)), tuple(dict.fromkeys(s)))
        for g, s in zip(groups, sets, strict=True)
        if g
    ]


def _cost(device: Device, index: Mapping[tuple[str, str], int]) -> Cost:
    cost: dict[int, int] = {}
    for use in device.consumes_counters:
        for name, counter in use.counters.items():
            at = index[use.counter_set, name]
            cost[at] = cost.get(at, 0) + counter.value.nano
    return tuple(sorted(cost.items()))


def _spellings(driver: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The names under which a driver may publish an attribute path ("attributes", domain, name)."""
    _, domain, name = path
    qualified = f"{domain}/{name}"
    return (qualified, name) if domain == driver else (qualified,)
