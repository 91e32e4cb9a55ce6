"""Prices for `decide`: the duals of the pattern LP over the work that is to come and what is still free.

Made outside the decision, refreshed as the fleet fills, and carried by the policy, so that the journal holds what a
decision was made with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bayplan.core.book import Book
from bayplan.core.needs import terms_of
from bayplan.core.setup import placer_for
from bayplan.core.stock import Mix, merged
from bayplan.model.policy import Policy
from bayplan.model.prices import ClassPrices, Prices
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload
from bayplan.runtime.patterns import UNIT_MILLI, Asked, Hardware, Solved, solve

WHOLE = 1000
MICRO_PER_MILLI = 1000


class Market(NamedTuple):
    """`prices`, and the GPU thousandths worth of work that could be served at most, pods without GPUs included."""

    prices: Prices
    served_milli: float


def market(snapshot: Snapshot, policy: Policy, coming: Sequence[Workload], scale: float = 1.0) -> Market:
    """The market of what is free in the snapshot for `scale` times the workloads that are to come.

    A pod without GPUs counts a thousandth of a GPU, and another one per core: little, but it will not be refused.
    Raises ImportError, in one line, without the `solver` extra.
    """
    placer = placer_for(snapshot, policy, coming)
    book, sigs = placer.book, placer.fleet.sigs
    samples = {book.node_class_of(sig): name for name, sig in sorted(sigs.items(), reverse=True) if sig >= 0}
    classes = tuple(cls for cls in sorted(samples) if book.kind(book.empty_of(cls)))
    asked = [
        _asked(book, weight * scale, shape, classes) for weight, shape in merged(book, _mix(book, snapshot, coming))
    ]
    states = Counter(sig for sig in sigs.values() if sig >= 0)
    solved = solve([_hardware(book, cls, states) for cls in classes], [a for a in asked if a.draws])
    prices = tuple(_prices(solved, i, samples[cls]) for i, cls in enumerate(classes))
    return Market(Prices(prices), solved.worth_milli)


def _mix(book: Book, snapshot: Snapshot, coming: Sequence[Workload]) -> Mix:
    weights: dict[int, int] = {}
    for workload in coming:
        terms = terms_of(workload, snapshot)
        for pod_set in workload.pod_sets:
            shape = book.shape(pod_set.template, terms)
            weights[shape] = weights.get(shape, 0) + pod_set.count
    return tuple((weight, shape) for shape, weight in sorted(weights.items()))


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
