"""The nodes as one cycle sees them, and trials on top.

A `Fleet` says in which state every node is. A `Trial` is an overlay in which pods are put and victims released to see
whether a gang fits; a trial that fails is dropped, one that succeeds is absorbed. Nothing is ever undone.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bayplan.core.allocate import Taken
from bayplan.core.book import Book, Option
from bayplan.model.device import AllocationResult
from bayplan.model.node import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod


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
        for found in snapshot.slices:
            spec = found.spec
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


class Fleet:
    """Every node's signature and devices, and the nodes of each signature in rank order."""

    def __init__(self, snapshot: Snapshot, book: Book, rank: Mapping[str, int]) -> None:
        self.book, self.rank = book, rank
        self.homes = Homes(snapshot)
        self.names = sorted(snapshot.nodes, key=rank.__getitem__)
        used = _used(snapshot.pods.values(), book)
        held = self._held(snapshot)
        catalog = book.catalog
        self.shared: Taken = catalog.start("", held.get("", ()))
        self.taken: dict[str, Taken] = {}
        self.sigs: dict[str, int] = {}
        self._members: dict[int, list[int]] = {}
        for name in self.names:
            node = snapshot.nodes[name]
            self.taken[name] = catalog.start(name, held.get(name, ()))
            free = _free(node, used.get(name, {}), book)
            state = catalog.state(name, self.taken[name], self.shared)
            self._enter(name, book.signature(book.node_class(node), free, state))
        self.original: Mapping[str, int] = dict(self.sigs)

    def _held(self, snapshot: Snapshot) -> dict[str, list[AllocationResult]]:
        held: dict[str, list[AllocationResult]] = {}
        for _, claim in sorted(snapshot.claims.items()):
            if claim.status.allocation is not None:
                for home, allocation in self.homes.of(claim.status.allocation).items():
                    held.setdefault(home, []).append(allocation)
        return held

    def _enter(self, node: str, sig: int) -> None:
        self.sigs[node] = sig
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

    def states(self) -> list[int]:
        """Signatures that some node has (or had: `first` tells)."""
        return list(self._members)

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
        return Put(node, shape, given)

    def release(self, pods: Iterable[Pod], allocations: Iterable[AllocationResult]) -> None:
        """Frees what these bound pods use and what these claims hold."""
        book = self.fleet.book
        for pod in pods:
            before = self.sig(pod.node) if pod.node in self.fleet.sigs else -1
            if before >= 0:
                free = list(book.free(before))
                for i, amount in book.amounts(pod.requests):
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


def _used(pods: Iterable[Pod], book: Book) -> dict[str, dict[int, int]]:
    used: dict[str, dict[int, int]] = {}
    for pod in pods:
        if pod.node:
            amounts = used.setdefault(pod.node, {})
            for i, amount in book.amounts(pod.requests):
                amounts[i] = amounts.get(i, 0) + amount
    return used


def _free(node: Node, used: Mapping[int, int], book: Book) -> tuple[int, ...]:
    return tuple(node.allocatable.get(r, 0) - used.get(i, 0) for i, r in enumerate(book.resources))
