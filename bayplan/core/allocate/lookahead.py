"""Proofs that what is still wanted cannot be had, without trying.

Every test counts generously, so a refusal is a proof: a request with too few devices left; requests that together
name fewer devices than they need; a counter too small for the cheapest devices that could do; a matchAttribute for
which no single value has enough devices; a distinctAttribute with too few different values. Sets of devices are bits
of one integer, slot after slot.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from bayplan.core.allocate.asks import Ask, Need
from bayplan.core.allocate.board import Slot
from bayplan.core.allocate.components import Kind, State
from bayplan.core.allocate.constraints import Bound
from bayplan.core.allocate.offers import Offers

Typed = tuple[str, int | bool | str]


class _Reach(NamedTuple):
    """The devices one need could ever have, per constraint of the ask those with each value, and per counter name the
    least that one of them takes."""

    devices: int
    values: dict[int, dict[Typed, int]]
    least: dict[str, int]


class _Demand(NamedTuple):
    """One request: at least `wanted` devices out of `devices`; `values` only of constraints that certainly bind it."""

    wanted: int
    devices: int
    values: dict[int, dict[Typed, int]]
    least: dict[str, int]


class Lookahead:
    """The tests, for one ask on one board."""

    def __init__(self, offers: Offers, ask: Ask, slots: Sequence[Slot]) -> None:
        self._offers, self._ask, self._slots = offers, ask, slots
        self._offsets = [0]
        for slot in slots:
            self._offsets.append(self._offsets[-1] + len(slot.state.kind.costs))
        self._shareable = sum(
            1 << offset + i
            for slot, offset in zip(slots, self._offsets, strict=False)
            for i, template in enumerate(slot.state.kind.templates)
            if template.shareable
        )
        self._reaches: dict[tuple[Hashable, tuple[int, ...]], _Reach] = {}
        self._costs = self._cheapest_first()
        self._matched_once = False

    def _cheapest_first(self) -> dict[str, list[tuple[int, int]]]:
        """Per counter name, what each device takes of it, with the device's bit; smallest first."""
        costs: dict[str, list[tuple[int, int]]] = {}
        names = sorted({n for s in self._slots for n in s.state.kind.counters})
        for name in names:
            found = []
            for slot, offset in zip(self._slots, self._offsets, strict=False):
                kind = slot.state.kind
                for i, cost in enumerate(kind.costs):
                    amount = sum(a for c, a in cost if kind.counters[c] == name)
                    found.append((0 if kind.templates[i].shareable else amount, 1 << offset + i))
            costs[name] = sorted(found)
        return costs

    def hopeless(self, wants: Sequence[int], states: Sequence[State], bound: Sequence[Bound]) -> bool:
        """Whether these requests cannot all be served from these states."""
        open_now = 0
        for state, slot, offset in zip(states, self._slots, self._offsets, strict=False):
            open_now |= (state.open & slot.mask) << offset
        demands = []
        for want in wants:
            demand = self._demand(self._ask.wants[want], bound, open_now)
            if demand is not None:
                if demand.devices.bit_count() < demand.wanted:
                    return True
                demands.append(demand)
        return (
            self._too_few(demands)
            or self._too_little(demands, states)
            or any(self._unmatched(i, demands, bound[i]) for i in range(len(self._ask.constraints)))
        )

    def _demand(self, alternatives: Sequence[Need], bound: Sequence[Bound], open_now: int) -> _Demand | None:
        """The least that one request needs, whichever alternative is taken; None when nothing can be said."""
        if any(n.every or n.admin or not n.count for n in alternatives):
            return None
        reaches = [self._reach(n) for n in alternatives]
        devices = 0
        for need, reach in zip(alternatives, reaches, strict=True):
            devices |= self._admitted(need, reach, bound)
        if len(alternatives) == 1:
            return _Demand(alternatives[0].count, devices & open_now, reaches[0].values, reaches[0].least)
        values: dict[int, dict[Typed, int]] = {}
        for i in alternatives[0].constraints:
            if all(i in n.constraints for n in alternatives):
                merged = values[i] = {}
                for reach in reaches:
                    for value, having in reach.values[i].items():
                        merged[value] = merged.get(value, 0) | having
        least = {name: min(r.least[name] for r in reaches) for name in self._costs}
        return _Demand(min(n.count for n in alternatives), devices & open_now, values, least)

    def _reach(self, need: Need) -> _Reach:
        key = (need.key, need.constraints)
        known = self._reaches.get(key)
        if known is None:
            known = self._reaches[key] = self._find(need)
        return known

    def _find(self, need: Need) -> _Reach:
        devices = 0
        values: dict[int, dict[Typed, int]] = {i: {} for i in need.constraints}
        for slot, offset in zip(self._slots, self._offsets, strict=False):
            kind: Kind = slot.state.kind
            for device in range(len(kind.costs)):
                grant = self._offers.grant(need, kind.templates[device]) if slot.mask >> device & 1 else None
                if grant is None or any(not v for v in grant.values):
                    continue
                bit = 1 << offset + device
                devices |= bit
                for i, own in zip(need.constraints, grant.values, strict=True):
                    for value in own or ():
                        values[i][value] = values[i].get(value, 0) | bit
        least = {
            name: next((amount for amount, bit in costs if bit & devices), 0) for name, costs in self._costs.items()
        }
        return _Reach(devices, values, least)

    def _admitted(self, need: Need, reach: _Reach, bound: Sequence[Bound]) -> int:
        devices = reach.devices
        for i, part in zip(need.constraints, need.parts, strict=True):
            known = bound[i]
            if known is not None:
                having = 0
                for value in known:
                    having |= reach.values[i].get(value, 0)
                devices &= ~having if part.distinct else having
        return devices

    def _too_few(self, demands: Sequence[_Demand]) -> bool:
        """Some requests together can have fewer devices than they need; shares are not counted."""
        exclusive = [d for d in demands if not d.devices & self._shareable]
        if not self._matched_once:
            self._matched_once = True
            return not _assignable([d.devices for d in exclusive for _ in range(d.wanted)])
        union = total = 0
        for demand in sorted(exclusive, key=lambda d: d.devices.bit_count()):
            union |= demand.devices
            total += demand.wanted
            if union.bit_count() < total:
                return True
        return False

    def _too_little(self, demands: Sequence[_Demand], states: Sequence[State]) -> bool:
        """Even the cheapest devices that could do exceed what is left of a counter, added up over components."""
        exclusive = [d for d in demands if not d.devices & self._shareable]
        wanted = sum(d.wanted for d in exclusive)
        union = 0
        for demand in exclusive:
            union |= demand.devices
        for name, costs in self._costs.items():
            together, missing = 0, wanted
            for amount, bit in costs:
                if not missing:
                    break
                if union & bit:
                    together, missing = together + amount, missing - 1
            least = max(together, sum(d.wanted * d.least[name] for d in exclusive))
            if least and least > self._left(name, states):
                return True
        return False

    def _left(self, name: str, states: Sequence[State]) -> int:
        return sum(
            max(0, remaining)
            for state in states
            for own, remaining in zip(state.kind.counters, state.remaining, strict=True)
            if own == name
        )

    def _unmatched(self, index: int, demands: Sequence[_Demand], bound: Bound) -> bool:
        concerned = [d for d in demands if index in d.values]
        wanted = sum(d.wanted for d in concerned)
        if not wanted:
            return False
        values = {v for d in concerned for v, having in d.values[index].items() if having & d.devices}
        if self._ask.constraints[index].distinct:
            return len(values - (bound or frozenset())) < wanted
        return not any(self._serves(index, v, concerned, wanted) for v in values if bound is None or v in bound)

    def _serves(self, index: int, value: Typed, concerned: Sequence[_Demand], wanted: int) -> bool:
        union = 0
        for demand in concerned:
            having = demand.values[index].get(value, 0) & demand.devices
            if having.bit_count() < demand.wanted:
                return False
            union |= having
        return bool(union & self._shareable) or union.bit_count() >= wanted


def _assignable(units: Sequence[int]) -> bool:
    """Whether every unit gets a device of its own from its set (augmenting paths)."""
    holder: dict[int, int] = {}

    def place(unit: int, seen: list[int]) -> bool:
        left = units[unit] & ~seen[0]
        while left:
            bit = left & -left
            seen[0] |= bit
            if bit not in holder or place(holder[bit], seen):
                holder[bit] = unit
                return True
            left = units[unit] & ~seen[0]
        return False

    return all(place(unit, [0]) for unit in range(len(units)))
