"""Which nodes are scarce: a price per class of nodes, from who may run where.

Every shape of the mix spreads its demand over the classes it may run on, keeping off those that are loaded; what load a
class ends up with above the fleet's mean is its price. A shape that could go anywhere then leaves a model that others
must have. The whole mix counts, rare shapes too: scarce models are asked for by few. It stands in for the duals of a
transport problem, which it approaches as SHARPNESS grows, without a solver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bayplan.core.book import Book
from bayplan.core.stock import Mix, merged

WHOLE = 1000
SHARPNESS = 4  # how decidedly a flexible shape keeps off loaded classes
ROUNDS = 60  # of the damped balance; it moves by less than a thousandth after 40
DAMPING = 0.25  # with SHARPNESS the largest step that never overshoots while no class is asked for twice over

Classes = tuple[int, ...]


class _Group(NamedTuple):
    """Node classes on which the same shapes run, and the GPU thousandths on them."""

    classes: Classes
    supply: int


def prices(book: Book, mix: Mix) -> dict[int, int]:
    """Load above the fleet's mean in thousandths, by node class with GPUs; {} while every shape runs on all of them.

    Demand above what there is is scaled down to it: beyond full, more of the same changes no preference.
    """
    shapes = merged(book, mix)
    asks = tuple(dict.fromkeys(book.ask(shape) for _, shape in shapes))
    runs: dict[frozenset[int], _Group] = {}
    demand: dict[int, int] = {}
    for cls, nodes in sorted(book.nodes_per_class().items()):
        sig = book.empty_of(cls)
        kind, state = book.kind(sig), book.state(sig)
        supply = nodes * sum(book.catalog.free_milli(kind, state)) if kind else 0
        if not supply:
            continue
        worth = dict(zip(asks, book.catalog.worths(kind, state, asks), strict=True))
        able = [i for i, (_, shape) in enumerate(shapes) if worth[book.ask(shape)].pods and _fits(book, sig, shape)]
        demand |= {i: shapes[i][0] * worth[book.ask(shapes[i][1])].milli_each for i in able}
        before = runs.get(frozenset(able), _Group((), 0))
        runs[frozenset(able)] = _Group((*before.classes, cls), before.supply + supply)
    if len(runs) < 2:
        return {}
    loads = _balanced(_wanted(demand, list(runs)), [group.supply for group in runs.values()])
    return {cls: load for group, load in zip(runs.values(), loads, strict=True) for cls in group.classes}


def _fits(book: Book, empty: int, shape: int) -> bool:
    free = book.free(empty)
    return book.admits(book.node_class_of(empty), shape) and all(a <= free[i] for i, a in book.needs(shape))


def _wanted(demand: Mapping[int, int], able: Sequence[frozenset[int]]) -> dict[tuple[int, ...], int]:
    """Demand by the groups it may go to."""
    wanted: dict[tuple[int, ...], int] = {}
    for shape, amount in sorted(demand.items()):
        where = tuple(g for g, shapes in enumerate(able) if shape in shapes)
        wanted[where] = wanted.get(where, 0) + amount
    return wanted


def _balanced(wanted: Mapping[tuple[int, ...], int], supply: Sequence[int]) -> list[int]:
    """Load of each group above the mean, in thousandths, once flexible demand keeps off loaded groups."""
    asked, there = sum(wanted.values()), sum(supply)
    scale = min(1.0, there / asked) if asked else 0.0
    loads = [1.0] * len(supply)
    for _ in range(ROUNDS):
        given = [0.0] * len(supply)
        for where, amount in wanted.items():
            pull = [supply[g] * math.exp(-SHARPNESS * loads[g]) for g in where]
            whole = sum(pull)
            for g, part in zip(where, pull, strict=True):
                given[g] += amount * scale * part / whole
        loads = [old + DAMPING * (new / have - old) for old, new, have in zip(loads, given, supply, strict=True)]
    mean = sum(load * have for load, have in zip(loads, supply, strict=True)) / there
    return [round(WHOLE * (load - mean)) for load in loads]
