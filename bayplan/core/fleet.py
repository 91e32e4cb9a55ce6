"""The nodes as one cycle sees them, and trials on top.

A `Fleet` says in which state every node is. A `Trial` is an overlay in which pods are put and victims released to see
whether a gang fits; a trial that fails is dropped, one that succeeds is absorbed. Nothing is ever undone.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from itertools import takewhile
from typing import NamedTuple, TypeVar

from bayplan.core.allocate import Charge, Separation, Taken, charges, total
from bayplan.core.book import Book, Option
from bayplan.model.device import AllocationResult, Device, ResourceClaim
from bayplan.model.node import Node
from bayplan.model.plan import Apart, ApartRequest
from bayplan.model.snapshot import Snapshot
from bayplan.model.table import differences
from bayplan.model.workload import Amounts, Pod

T = TypeVar("T")


def ranks(nodes: Iterable[str], seed: int) -> dict[str, int]:
    """The order in which equally good nodes are taken: by name, or a permutation fixed by `seed`."""
    names = sorted(nodes)
    if seed:
        names.sort(key=lambda n: hashlib.blake2b(f"{seed}:{n}".encode(), digest_size=8).digest())
    return {name: i for i, name in enumerate(names)}


class Homes:
    """Which node the devices of a pool belong to: `""` for pools that several nodes reach."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._pools: dict[tuple[str, str], str] = {}
        self._devices: dict[tuple[str, str, str], str] = {}
        self._charging: dict[tuple[str, str, str], tuple[int, Device]] = {}
        for found in snapshot.slices:
            spec = found.spec
            self._charging |= {
                (spec.driver, spec.pool.name, d.name): (spec.pool.generation, d)
                for d in spec.devices
                if d.node_allocatable_resources
                and spec.pool.generation >= self._charging.get((spec.driver, spec.pool.name, d.name), (0, d))[0]
            }
            if spec.per_device_node_selection:
                for device in spec.devices:
                    self._devices[spec.driver, spec.pool.name, device.name] = device.node_name
            else:
                self._pools[spec.driver, spec.pool.name] = spec.node_name

    def of(self, allocation: AllocationResult) -> dict[str, AllocationResult]:
        """The allocation, by each node (or `""`) that owns some of its devices."""
        homes = {}
        for given in allocation.devices.results:
            default = self._pools.get((given.driver, given.pool), "")
            homes[self._devices.get((given.driver, given.pool, given.device), default)] = allocation
        return homes

    def charged(self, pod: Pod, claims: Mapping[str, ResourceClaim]) -> Amounts:
        """What the devices of a pod take of the node's own resources."""
        if not self._charging or not pod.claims:
            return ()
        found: list[Charge] = []
        containers = dict(pod.containers)
        for at, (_, key) in enumerate(pod.claims):
            allocation = claims[key].status.allocation if key in claims else None
            for given in allocation.devices.results if allocation is not None else ():
                known = self._charging.get((given.driver, given.pool, given.device))
                if known is not None and not given.admin_access:
                    found += charges(at, known[1], given.consumed_capacity)
        return total(found, {i: containers.get(name, 1) for i, (name, _) in enumerate(pod.claims)})


class Occupancy:
    """Who is on which node: pods, claims, and the signature they leave the node in.

    Immutable. `seeing` gives the occupancy of another snapshot of the same nodes and devices, at the cost of what
    differs: an unchanged pod or claim is the same object in both.
    """

    def __init__(self, snapshot: Snapshot, book: Book) -> None:
        self.book, self.nodes = book, snapshot.nodes
        self.homes = Homes(snapshot)
        self._pods: dict[str, Pod] = {}
        self._claims: dict[str, ResourceClaim] = {}
        self.pods_on: dict[str, dict[str, Pod]] = {}
        self._claims_on: dict[str, dict[str, AllocationResult]] = {}
        self.shared: Taken = book.catalog.start("", ())
        self.taken: dict[str, Taken] = {}
        self.sigs: dict[str, int] = {}
        self._settle(snapshot.nodes)

    def seeing(self, snapshot: Snapshot) -> Occupancy:
        """The occupancy of a snapshot with the same nodes, slices and device classes."""
        other = copy(self)
        other._pods, other._claims = snapshot.pods, snapshot.claims
        other.pods_on, other._claims_on = dict(self.pods_on), dict(self._claims_on)
        other.taken, other.sigs = dict(self.taken), dict(self.sigs)
        touched = other._move_pods(self._pods) | other._move_claims(self._claims)
        if "" in touched:
            allocations = other._claims_on.get("", {})
            other.shared = other._start("", allocations)
            other._settle(self.nodes)
        else:
            other._settle(touched)
        return other

    def _move_pods(self, before: Mapping[str, Pod]) -> set[str]:
        touched: set[str] = set()
        fresh: set[str] = set()
        for key, old, new in differences(before, self._pods):
            for pod, gone in ((old, True), (new, False)):
                if pod is not None and pod.node:
                    touched.add(pod.node)
                    _amend(self.pods_on, fresh, pod.node, key, None if gone else pod)
        return touched

    def _move_claims(self, before: Mapping[str, ResourceClaim]) -> set[str]:
        touched: set[str] = set()
        fresh: set[str] = set()
        for key, old, new in differences(before, self._claims):
            for claim, gone in ((old, True), (new, False)):
                allocation = claim.status.allocation if claim is not None else None
                for home in self.homes.of(allocation) if allocation is not None else ():
                    touched.add(home)
                    _amend(self._claims_on, fresh, home, key, None if gone else allocation)
        return touched

    def _settle(self, nodes: Iterable[str]) -> None:
        """Works the signatures of these nodes out from who is on them."""
        book, catalog = self.book, self.book.catalog
        for name in nodes:
            node = self.nodes.get(name)
            if node is None:
                continue
            self.taken[name] = self._start(name, self._claims_on.get(name, {}))
            pods = self.pods_on.get(name, {}).values()
            free = _free(node, (a for p in pods for a in (p.requests, self.charged(p))), book)
            state = catalog.state(name, self.taken[name], self.shared)
            self.sigs[name] = book.signature(book.node_class(node), free, state)

    def charged(self, pod: Pod) -> Amounts:
        """What the devices of a pod take of the node's own resources."""
        return self.homes.charged(pod, self._claims) if self.book.catalog.charges else ()

    def _start(self, owner: str, held: Mapping[str, AllocationResult]) -> Taken:
        """What these claims take; whose a claim is, its namespace says."""
        keys = sorted(held)
        tenants = () if self.book.mixing else tuple(k.partition("/")[0] for k in keys)
        return self.book.catalog.start(owner, tuple(held[k] for k in keys), tenants)


class Fleet:
    """Every node's signature and devices in one cycle, and the nodes of each signature in rank order."""

    def __init__(self, occupancy: Occupancy, rank: Mapping[str, int]) -> None:
        self.book, self.rank, self.homes, self.charged = occupancy.book, rank, occupancy.homes, occupancy.charged
        self.pods_on: Mapping[str, Mapping[str, Pod]] = occupancy.pods_on
        self.names = list(rank)
        self.shared = occupancy.shared
        self.taken = dict(occupancy.taken)
        self.original: Mapping[str, int] = occupancy.sigs
        self.sigs: dict[str, int] = dict(occupancy.sigs)
        self.changes = 0
        self._changed: dict[str, int] = {}
        self._members: dict[int, list[int]] = {}
        for at, sig in enumerate(map(self.sigs.__getitem__, self.names)):
            known = self._members.get(sig)
            if known is None:
                self._members[sig] = [at]
            else:
                known.append(at)

    def _enter(self, node: str, sig: int) -> None:
        self.sigs[node] = sig
        self._changed.pop(node, None)
        self._changed[node] = self.changes
        self.changes += 1
        heapq.heappush(self._members.setdefault(sig, []), self.rank[node])

    def first(self, sig: int) -> str | None:
        """The lowest-ranked node in this state."""
        ranked = self._members.get(sig)
        while ranked:
            node = self.names[ranked[0]]
            if self.sigs.get(node) == sig:
                return node
            heapq.heappop(ranked)
        self._members.pop(sig, None)
        return None

    def changed(self, since: int) -> list[str]:
        """The nodes that went into another state after the first `since` changes, each once."""
        recent = reversed(self._changed.items())
        return [node for node, _ in takewhile(lambda change: change[1] >= since, recent)]

    def states(self) -> list[int]:
        """Signatures that some node has."""
        return [sig for sig in dict.fromkeys(self.sigs.values()) if sig >= 0]

    def absorb(self, trial: Trial) -> None:
        """Takes a successful trial over."""
        assert trial.fleet is self
        self.taken.update(trial.taken)
        for node, sig in trial.sigs.items():
            self._enter(node, sig)
        if trial.shared is not self.shared:
            self.shared = trial.shared
            for node in self.names:
                if node not in trial.sigs:
                    self._enter(node, trial.sig(node))

    def close(self, nodes: Iterable[str]) -> None:
        """Takes nodes out of this cycle: what is free there is promised to somebody."""
        for node in nodes:
            self.sigs[node] = -1


class Put(NamedTuple):
    """A pod put on a node in a trial, with one allocation per claim of its ask."""

    node: str
    shape: int
    allocations: tuple[AllocationResult, ...]
    separation: Separation | None = None

    def apart(self, claims: Sequence[str]) -> Apart | None:
        """Whether its devices are less close than they might be; `claims` are the names of the ask's claims."""
        if self.separation is None:
            return None
        level, closest, parts = self.separation
        clear = len({p.request for p in parts}) == len(parts)
        names = [p.request if clear else f"{claims[p.claim]}/{p.request}" for p in parts]
        requests = (ApartRequest(n, *p[2:]) for n, p in zip(names, parts, strict=True))
        return Apart(level, closest, tuple(requests))


class Trial:
    """A fleet with some changes on top."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.shared = fleet.shared
        self.sigs: dict[str, int] = {}
        self.taken: dict[str, Taken] = {}
        self._stale = False

    def child(self) -> Trial:
        """A copy to try something further on."""
        copy = Trial(self.fleet)
        copy.shared, copy._stale = self.shared, self._stale
        copy.sigs, copy.taken = dict(self.sigs), dict(self.taken)
        return copy

    def sig(self, node: str) -> int:
        """The node's state in this trial; -1 for a closed node."""
        known = self.sigs.get(node)
        if known is None:
            known = self.fleet.sigs[node]
            if self._stale and known >= 0:
                book = self.fleet.book
                state = book.catalog.state(node, self.taken.get(node, self.fleet.taken[node]), self.shared)
                known = self.sigs[node] = book.at(known, book.free(known), state)
        return known

    def reader(self) -> Callable[[str], int]:
        """`sig` for many nodes, as long as the trial stays as it is."""
        return self.sig if self.touched else self.fleet.sigs.__getitem__

    @property
    def touched(self) -> bool:
        return bool(self.sigs) or self._stale

    def put(self, node: str, shape: int, option: Option) -> Put:
        """Runs one pod of `shape` on the node as `option` says."""
        self.sig(node)
        if option.fit is None:
            self.sigs[node] = option.after
            return Put(node, shape, ())
        catalog = self.fleet.book.catalog
        taken = self.taken.get(node, self.fleet.taken[node])
        self.taken[node], shared, given = catalog.take(node, taken, self.shared, option.fit)
        self._share(shared)
        self.sigs[node] = option.after
        return Put(node, shape, given, option.fit.apart)

    def release(self, pods: Iterable[Pod], allocations: Iterable[AllocationResult]) -> None:
        """Frees what these bound pods use and what these claims hold."""
        book = self.fleet.book
        for pod in pods:
            before = self.sig(pod.node) if pod.node in self.fleet.sigs else -1
            if before >= 0:
                free = list(book.free(before))
                for i, amount in (*book.amounts(pod.requests), *book.amounts(self.fleet.charged(pod))):
                    free[i] += amount
                self.sigs[pod.node] = book.at(before, tuple(free), book.state(before))
        for allocation in allocations:
            for home in self.fleet.homes.of(allocation):
                self._give_back(home, allocation)

    def _give_back(self, home: str, allocation: AllocationResult) -> None:
        catalog, book = self.fleet.book.catalog, self.fleet.book
        if not home:
            self._share(catalog.give_back("", self.shared, (allocation,)))
        elif home in self.fleet.sigs and self.sig(home) >= 0:
            before = self.sig(home)
            self.taken[home] = catalog.give_back(home, self.taken.get(home, self.fleet.taken[home]), (allocation,))
            state = catalog.state(home, self.taken[home], self.shared)
            self.sigs[home] = book.at(before, book.free(before), state)

    def _share(self, shared: Taken) -> None:
        if shared is self.shared or shared == self.shared:
            return
        self.shared, self._stale = shared, True
        catalog, book = self.fleet.book.catalog, self.fleet.book
        for node, sig in list(self.sigs.items()):
            if sig >= 0:
                state = catalog.state(node, self.taken.get(node, self.fleet.taken[node]), shared)
                self.sigs[node] = book.at(sig, book.free(sig), state)


def _amend(on: dict[str, dict[str, T]], fresh: set[str], node: str, key: str, value: T | None) -> None:
    """Sets or removes an entry in the node's own dict, which is copied the first time."""
    if node not in fresh:
        fresh.add(node)
        on[node] = dict(on.get(node, {}))
    if value is None:
        on[node].pop(key, None)
    else:
        on[node][key] = value


def _free(node: Node, taken: Iterable[Amounts], book: Book) -> tuple[int, ...]:
    free = [node.allocatable.get(r, 0) for r in book.resources]
    for amounts in taken:
        for i, amount in book.amounts(amounts):
            free[i] -= amount
    return tuple(free)
