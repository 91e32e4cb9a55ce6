"""Which allocation is better: cost least, keep whole GPUs whole, keep options open, fit tightly.

A device costs what it takes and what it *strands*: what is left of a GPU and no combination of its devices can use. So
a claim that a slice would do is not given the whole card, which strands nothing. Among choices that cost equally, one
that leaves untouched GPUs untouched is better, then one that keeps more of the larger partitions possible, then the
tighter fit. All figures are thousandths of a GPU. The idea that what counts is what remains usable is fragmentation
gradient descent's (Weng et al., USENIX ATC 2023); here it is measured on the hardware's own partitions.
"""

from __future__ import annotations

from typing import NamedTuple

from bayplan.core.allocate.components import PARTITIONS_MAX, Kind, Machines, State

WHOLE = 1000
COVER_BUDGET = 200
"""Sets of devices looked at to find the best cover of what is left; beyond, the best found so far counts."""

SORTS_MAX = 16
"""Sizes of partitions a GPU has at most (MIG: 8). Odd hardware is judged by what is free alone."""


class Score(NamedTuple):
    """Smaller is better. `cost` is what is taken and what is stranded by it."""

    cost: int
    opened: int
    lost: int
    left: int


def score(machines: Machines, before: State, after: State) -> Score:
    """What taking a device costs a component."""
    if before is after:
        return Score(0, 0, 0, 0)
    lost = stranded(machines, after) - stranded(machines, before)
    return Score(
        free(before) - free(after) + lost,
        int(before is before.kind.root),
        options(machines, before) - options(machines, after),
        free(after),
    )


def free(state: State) -> int:
    """What is not taken, used shares included."""
    known = state.memo.get("free")
    if known is None:
        known = state.memo["free"] = _free(state)
    assert isinstance(known, int)
    return known


def _free(state: State) -> int:
    kind = state.kind
    if not kind.limits:
        return sum(_unused(state, i) for i in range(len(kind.costs))) // len(kind.costs)
    shares = sum(w * _unused(state, i) // WHOLE for i, w in enumerate(kind.weights) if state.used[i] is not None)
    return min(WHOLE, _left(state) + shares)


def _left(state: State) -> int:
    """What the counters still allow."""
    at = state.kind.measure
    return WHOLE if at < 0 else max(0, state.remaining[at]) * WHOLE // state.kind.limits[at]


def _unused(state: State, device: int) -> int:
    """Thousandths of one device that are free."""
    if state.busy >> device & 1:
        return 0
    used, limits = state.used[device], state.kind.templates[device].limits
    if used is None:
        return WHOLE
    return min((max(0, m - u) * WHOLE // m for u, m in zip(used, limits, strict=True) if m), default=WHOLE)


def _is_partitioned(kind: Kind) -> bool:
    few = len(kind.costs) <= PARTITIONS_MAX and len({t.id for t in kind.templates}) <= SORTS_MAX
    return kind.measure >= 0 and few


def stranded(machines: Machines, state: State) -> int:
    """What is free but cannot be covered by any combination of devices."""
    known = state.memo.get("stranded")
    if known is None:
        known = state.memo["stranded"] = _stranded(machines, state) if _is_partitioned(state.kind) else 0
    assert isinstance(known, int)
    return known


def _stranded(machines: Machines, state: State) -> int:
    weights = state.kind.weights
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    exclusive = [i for i in order if weights[i] and state.used[i] is None and state.open >> i & 1]
    left = _left(state)
    return left - _Cover(machines, weights, exclusive).best(state, left)


class _Cover:
    """Branch and bound over sets of devices, largest first."""

    def __init__(self, machines: Machines, weights: tuple[int, ...], order: list[int]) -> None:
        self._machines, self._weights, self._order = machines, weights, order
        self._found = 0
        self._budget = COVER_BUDGET

    def best(self, state: State, left: int) -> int:
        self._extend(state, 0, 0, left)
        return self._found

    def _extend(self, state: State, covered: int, start: int, left: int) -> None:
        self._found = max(self._found, covered)
        self._budget -= 1
        for i in range(start, len(self._order)):
            if self._budget <= 0 or covered + left <= self._found:
                return
            device = self._order[i]
            after = self._machines.move(state, device, state.kind.templates[device].limits)
            if after is not None:
                weight = self._weights[device]
                self._extend(after, covered + weight, i + 1, left - weight)


def options(machines: Machines, state: State) -> int:
    """How much could still be had of each sort of device, added up over the sorts."""
    known = state.memo.get("options")
    if known is None:
        known = state.memo["options"] = _options(machines, state) if _is_partitioned(state.kind) else 0
    assert isinstance(known, int)
    return known


def _options(machines: Machines, state: State) -> int:
    sorts: dict[tuple[int, int], list[int]] = {}
    for i, template in enumerate(state.kind.templates):
        if state.open >> i & 1:
            sorts.setdefault((template.id, state.kind.weights[i]), []).append(i)
    return sum(weight * _most(machines, state, devices) for (_, weight), devices in sorts.items() if weight)


def _most(machines: Machines, state: State, devices: list[int]) -> int:
    """How many of these fit side by side, taken in order from either end: exact for placements along a line."""
    return max(_count(machines, state, devices), _count(machines, state, devices[::-1]))


def _count(machines: Machines, state: State, devices: list[int]) -> int:
    count = 0
    for device in devices:
        after = machines.move(state, device, state.kind.templates[device].limits)
        if after is not None:
            state, count = after, count + 1
    return count
