"""The physical devices of a fleet: components, who owns them, and what is held of them.

A component belongs to the one node that all its devices are local to, or to nobody (`""`) when several nodes may reach
it. What is held is exact and by name; which state that makes a component is worked out by `components`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from bayplan.core.allocate.components import Component, Machines, State, Template, split
from bayplan.core.allocate.pools import DeviceId, PoolKey, Pools, Published, Reach
from bayplan.model.device import AllocationResult, DeviceRequestAllocationResult
from bayplan.model.node import Node


class Holding(NamedTuple):
    """One allocation of a device: `units` of its capacity for a share, None for the whole device.

    `tenant` is the catalogue's number of who has it, 0 where nobody asked.
    """

    device: int
    share_id: str
    units: tuple[int, ...] | None
    tenant: int = 0


class Taken:
    """What is taken of the components one owner has, in their order. Immutable; equal when the same is held."""

    __slots__ = ("_hash", "epoch", "held", "owner", "states")

    def __init__(self, owner: str, held: tuple[tuple[Holding, ...], ...], states: tuple[int, ...], epoch: int) -> None:
        self.owner = owner
        self.held = held
        self.states = states
        self.epoch = epoch
        self._hash: int | None = None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Taken) and self.owner == other.owner and self.held == other.held

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.owner, self.held))
        return self._hash


class Site(NamedTuple):
    """What one node reaches: its own components (indices), wide ones (indices and masks of devices), pool trouble."""

    own: tuple[int, ...]
    wide: tuple[tuple[int, int], ...]
    sequence: tuple[tuple[int, int], ...]
    unfinished: str
    invalid: bool


class Inventory:
    """Components of all pools some node reaches, found once; kinds can be given anew."""

    def __init__(self, pools: Pools, nodes: Mapping[str, Node], machines: Machines) -> None:
        self._pools, self._machines = pools, machines
        self.components: dict[str, list[Component]] = {"": []}
        self._where: dict[DeviceId, list[tuple[str, int, int]]] = {}
        self._at: dict[PoolKey, dict[tuple[int, int], tuple[str, int, int]]] = {}
        self.sites = {name: self._site(nodes[name]) for name in sorted(nodes)}

    def _site(self, node: Node) -> Site:
        own: dict[int, int] = {}
        wide: dict[int, int] = {}
        order: list[tuple[str, int, int]] = []
        reached = self._pools.reach(node)
        for reach in reached:
            if reach.complete and not reach.invalid:
                at = self._placed(reach.key)
                order += [at[place] for place in reach.places]
        for owner, index, device in order:
            masks = own if owner else wide
            masks[index] = masks.get(index, 0) | 1 << device
        slots = {(node.name, i): n for n, i in enumerate(own)} | {("", i): n for n, i in enumerate(wide, len(own))}
        return Site(
            own=tuple(own),
            wide=tuple(wide.items()),
            sequence=tuple((slots[owner, index], device) for owner, index, device in order),
            unfinished=_trouble(reached),
            invalid=any(r.invalid for r in reached),
        )

    def _placed(self, key: PoolKey) -> dict[tuple[int, int], tuple[str, int, int]]:
        """Where each device of the pool is: owner, component, device."""
        known = self._at.get(key)
        if known is not None:
            return known
        content = self._pools.content(key)
        at = self._at[key] = {}
        for members, sets in split(content.devices):
            owner = _owner(members)
            counters = {s: content.counters[s] for s in sets if s in content.counters}
            owned = self.components.setdefault(owner, [])
            for i, published in enumerate(members):
                here = (owner, len(owned), i)
                at[published.place] = here
                self._where.setdefault(published.id, []).append(here)
            owned.append(Component(self._machines.kind(members, counters), members, counters))
        return at

    def rekey(self) -> None:
        """Gives every component its kind again, after the machines were widened."""
        for owned in self.components.values():
            for component in owned:
                component.kind = self._machines.kind(component.members, component.counters)

    def templates(self) -> list[Template]:
        """Every sort of device there is, whoever owns it."""
        kinds = {c.kind.id: c.kind for owned in self.components.values() for c in owned}
        return list({t.id: t for kind in kinds.values() for t in kind.templates}.values())

    def holdings(
        self, owner: str, allocations: Iterable[AllocationResult], tenants: Iterable[int] = repeat(0)
    ) -> dict[int, list[Holding]]:
        """What these allocations, of these tenants, hold of the owner's components; admin access holds nothing."""
        found: dict[int, list[Holding]] = {}
        for allocation, tenant in zip(allocations, tenants, strict=False):
            for result in allocation.devices.results:
                if result.admin_access:
                    continue
                for whose, index, device in self._where.get((result.driver, result.pool, result.device), ()):
                    if whose == owner:
                        component = self.components[owner][index]
                        found.setdefault(index, []).append(_holding(component, device, result, tenant))
        return found

    def start(
        self, owner: str, allocations: Iterable[AllocationResult], epoch: int, tenants: Sequence[int] = ()
    ) -> Taken:
        """What these allocations, of these tenants if it is known, take of the owner's components."""
        held = self.holdings(owner, allocations, tenants or repeat(0))
        count = len(self.components.get(owner, ()))
        return self.taken(owner, tuple(tuple(sorted(held.get(i, ()), key=by_device)) for i in range(count)), epoch)

    def published(self, site: Site, node: str, slot: int, device: int) -> Published:
        """The device at a slot of the site, own components first."""
        own = len(site.own)
        owned = self.components[node] if slot < own else self.components[""]
        index = site.own[slot] if slot < own else site.wide[slot - own][0]
        return owned[index].members[device]

    def taken(self, owner: str, held: tuple[tuple[Holding, ...], ...], epoch: int) -> Taken:
        states = tuple(
            self.settled(component, holdings).id if holdings else component.kind.root.id
            for component, holdings in zip(self.components.get(owner, ()), held, strict=True)
        )
        return Taken(owner, held, states, epoch)

    def changed(self, taken: Taken, changes: Mapping[tuple[str, int], list[Holding]]) -> Taken:
        """What is taken when these components, by owner and index, hold this instead."""
        mine = {index: held for (owner, index), held in changes.items() if owner == taken.owner}
        if not mine:
            return taken
        held, states = list(taken.held), list(taken.states)
        for index, now in mine.items():
            held[index] = tuple(sorted(now, key=by_device))
            states[index] = self.settled(self.components[taken.owner][index], held[index]).id
        return Taken(taken.owner, tuple(held), tuple(states), taken.epoch)

    def give_back(self, taken: Taken, allocations: Iterable[AllocationResult]) -> Taken:
        """What is taken without these allocations; what is not held is left alone."""
        changes: dict[tuple[str, int], list[Holding]] = {}
        for index, freed in self.holdings(taken.owner, allocations).items():
            held = changes[taken.owner, index] = list(taken.held[index])
            for holding in freed:
                at = next((i for i, known in enumerate(held) if known[:3] == holding[:3]), -1)
                if at >= 0:
                    del held[at]
        return self.changed(taken, changes)

    def settled(self, component: Component, holdings: tuple[Holding, ...]) -> State:
        """The state a component is in when these are held."""
        return self._machines.forced(component.kind, [(h.device, h.units, h.tenant) for h in holdings])


def by_device(holding: Holding) -> tuple[int, str]:
    return holding.device, holding.share_id


def _holding(component: Component, device: int, result: DeviceRequestAllocationResult, tenant: int) -> Holding:
    template = component.kind.templates[device]
    shared = bool(result.share_id or result.consumed_capacity)
    if not shared:
        return Holding(device, "", None)
    amounts = result.consumed_capacity
    units = tuple(amounts[n].nano if n in amounts else 0 for n in template.names)
    return Holding(device, result.share_id, units, tenant if template.meets(units) else 0)


def _owner(members: tuple[Published, ...]) -> str:
    """The node all of a component's devices are local to, else ""."""
    nodes = {m.slice.spec.node_name for m in members}
    return nodes.pop() if len(nodes) == 1 else ""


def _trouble(reached: Iterable[Reach]) -> str:
    for reach in reached:
        if not reach.complete:
            return f"resource pool {reach.key[0]}/{reach.key[1]} is currently being updated"
        if reach.invalid:
            return f"resource pool {reach.key[0]}/{reach.key[1]} is currently invalid"
    return ""
