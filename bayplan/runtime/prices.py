"""Prices for `decide`: the duals of the pattern LP over the work that is to come and what is still free.

Made outside the decision, refreshed as the fleet fills, and carried by the policy, so that the journal holds what a
decision was made with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from bayplan.core.book import Book
from bayplan.core.extended import Extended
from bayplan.core.history import recent
from bayplan.core.place import Placer
from bayplan.core.setup import placer_for
from bayplan.core.stock import merged
from bayplan.model.policy import Policy
from bayplan.model.prices import ClassPrices, Prices
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload
from bayplan.runtime.patterns import UNIT_MILLI, Asked, Hardware, Patterns, Solved, highs, solve

WHOLE = 1000
MICRO_PER_MILLI = 1000
AHEAD_PERCENT = 10  # of the fleet: 15 is as good on openb; at 30 a market refuses awkward work, which nobody may


PERIOD_S = 300  # how long prices stand in a loop: the market of openb's 1,213 nodes takes 0.2 s of CPU to work out


class Pricer:
    """Keeps the prices of a loop up to date: made anew every PERIOD_S for what waits and what has run."""

    def __init__(self) -> None:
        """Raises ImportError, in one line, without the `solver` extra."""
        highs()
        self._prices: Prices | None = None
        self._known: Patterns = ()
        self._due_s = 0

    def __call__(self, policy: Policy, snapshot: Snapshot, now_s: int) -> Policy:
        """The policy with the prices of this moment."""
        if self._prices is None or now_s >= self._due_s:
            self._due_s = now_s + PERIOD_S
            likely = [w for w in snapshot.workloads.values() if w.admission is None]
            ran = recent((w for w in snapshot.workloads.values() if w.admission), policy.half_life_s, now_s)
            self._prices, _, self._known = market(snapshot, policy, likely, self._known, ran)
        return msgspec.structs.replace(policy, prices=self._prices)


class Market(NamedTuple):
    """`prices`, and the GPU thousandths worth of work that could be served at most, pods without GPUs included.

    `patterns` make the next market of the same nodes cheaper.
    """

    prices: Prices
    served_milli: float
    patterns: Patterns


def market(
    snapshot: Snapshot,
    policy: Policy,
    likely: Sequence[Workload],
    known: Patterns = (),
    ran: Sequence[tuple[int, Workload]] = (),
) -> Market:
    """The market of what is free in the snapshot, for work like the `likely` and what `ran` of late, by its weight: as
    much as there is room for, and a bit.

    With less demand than room what is left over would be worth nothing; with much more the market would dream of
    refusing whatever is awkward. Raises ImportError, in one line, without the `solver` extra.
    """
    by_devices = Extended(snapshot, policy).ways
    likely = [by_devices(w)[-1] for w in likely]
    ran = [(weight, by_devices(w)[-1]) for weight, w in ran]
    return _market(placer_for(snapshot, policy, likely, ran=ran), known, filling=True)


def bound_milli(snapshot: Snapshot, policy: Policy, coming: Sequence[Workload]) -> float:
    """How much of this very work could be served at most, in thousandths of a GPU. Raises ImportError like market."""
    return _market(placer_for(snapshot, policy, coming), (), filling=False).served_milli


def _market(placer: Placer, known: Patterns, *, filling: bool) -> Market:
    book, sigs = placer.book, placer.fleet.sigs
    samples = {book.node_class_of(sig): name for name, sig in sorted(sigs.items(), reverse=True) if sig >= 0}
    classes = tuple(cls for cls in sorted(samples) if book.kind(book.empty_of(cls)))
    states = Counter(sig for sig in sigs.values() if sig >= 0)
    hardware = [_hardware(book, cls, states) for cls in classes]
    asked = [_asked(book, weight, shape, classes) for weight, shape in merged(book, placer.mix)]
    asked = [a for a in asked if a.draws]
    if not asked:
        return Market(Prices(), 0.0, known)
    if filling:
        wanted = _room_milli(hardware) / max(1.0, sum(a.amount * a.worth_milli for a in asked))
        asked = [a._replace(amount=a.amount * wanted) for a in asked]
    solved = solve(hardware, asked, known)
    prices = tuple(_prices(solved, i, samples[cls]) for i, cls in enumerate(classes))
    return Market(Prices(prices), solved.worth_milli, solved.patterns)


def _room_milli(hardware: Sequence[Hardware]) -> float:
    """Thousandths free, and some of the fleet's more."""
    gpus = sum(sum(h.gaps.values()) for h in hardware)
    return sum(free * count for h in hardware for free, count in h.gaps.items()) + gpus * WHOLE * AHEAD_PERCENT / 100


def _hardware(book: Book, cls: int, states: Mapping[int, int]) -> Hardware:
    gaps: Counter[int] = Counter()
    cpu = 0
    for sig, nodes in states.items():
        if book.node_class_of(sig) == cls:
            view = book.view(sig)
            cpu += nodes * view.cpu_free_milli
            for free in view.gpu_free_milli:
                gaps[free] += nodes
    return Hardware(gaps, cpu)


def _asked(book: Book, amount: float, shape: int, classes: Sequence[int]) -> Asked:
    cpu = sum(a for i, a in book.needs(shape) if book.resources[i] == "cpu")
    draws = {i: drawn for i, cls in enumerate(classes) if (drawn := _drawn(book, shape, cls)) is not None}
    worth = max((size * gpus for size, gpus in draws.values()), default=0) or 1 + cpu / 1000
    return Asked(amount, worth, cpu, draws)


def _drawn(book: Book, shape: int, cls: int) -> tuple[int, int] | None:
    """(thousandths of each GPU, GPUs) that one such pod takes of an empty node of the class; None where it cannot run.

    A pod that takes different parts of several GPUs counts as the largest of each.
    """
    empty = book.empty_of(cls)
    options = book.options(empty, shape)
    if not options:
        return None
    taken = [WHOLE - free for free in book.view(options[0].after).gpu_free_milli if free < WHOLE]
    return max(taken, default=0), len(taken)


def _prices(solved: Solved, at: int, like: str) -> ClassPrices:
    gaps: list[tuple[int, int]] = []
    for units, worth in enumerate(solved.gaps[at]):
        micro = round(worth * MICRO_PER_MILLI)
        if micro > (gaps[-1][1] if gaps else 0):
            gaps.append((units * UNIT_MILLI, micro))
    return ClassPrices(like=like, core_micro=round(solved.cores[at] * MICRO_PER_MILLI), gaps=tuple(gaps))
