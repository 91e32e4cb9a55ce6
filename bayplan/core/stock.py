"""What a node's free GPUs are worth to the pods that are likely to come.

Measured in thousandths of a GPU, as a loss: what is free on a node but of no use. Two measures, each an expectation
over the mix: `next`, to one more pod (fragmentation as in Weng et al., USENIX ATC 2023), and `filled`, to as many pods
of one shape as still fit, CPU and memory included.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from bayplan.core.allocate import Worth
from bayplan.core.book import Book

Mix: TypeAlias = tuple[tuple[int, int], ...]
"""What is likely to be asked next: (weight, shape)."""

WHOLE = 1000
COVER_PERCENT = 95  # the most frequent shapes up to this part of the mix count; the tail is noise (FGD's figure)
SHAPES_MAX = 64
WHOLE_SHARE_PERCENT = 10
KEPT = 4  # of these remembered: a queue often stays the same from one cycle to the next, and so do its losses


class Loss(NamedTuple):
    """`free` thousandths, and how many of them are lost, times `Stock.scale`."""

    free: int
    next: int
    filled: int


class _Asked(NamedTuple):
    weight: int
    shape: int
    needs: tuple[tuple[int, int], ...]
    ask: int


class _Short(NamedTuple):
    """What `pods` pods of one shape `need` of a resource, `each` for a pod; `at` is the shape's place in the mix."""

    need: int
    each: int
    at: int


class _Served(NamedTuple):
    """A device state on nodes of one class, as long as nothing but devices runs short.

    `shorts` holds, by resource, the shapes that could run short of it, the largest need first.
    """

    loss: Loss
    worths: Mapping[int, Worth]
    shorts: tuple[tuple[int, tuple[_Short, ...]], ...]


class Stock:
    """Losses under one mix, remembered per node state.

    `whole_share` is the percentage of the mix that is taken to be whole GPUs, whatever the mix says.
    """

    def __init__(self, book: Book, mix: Mix, whole_share: int = WHOLE_SHARE_PERCENT) -> None:
        self._book = book
        self._asked = tuple(
            _Asked(weight * (100 - whole_share), shape, book.needs(shape), book.ask(shape))
            for weight, shape in _typical(merged(book, mix))
        )
        self._asks = tuple(dict.fromkeys(a.ask for a in self._asked))
        self._weight = asked = sum(a.weight for a in self._asked)
        self._whole_weight = asked * whole_share // (100 - whole_share) if asked else whole_share
        self.scale = max(1, asked + self._whole_weight)
        self._losses: dict[int, Loss] = {}
        self._known: dict[tuple[int, int], _Served] = {}
        self._worths: dict[tuple[int, int], dict[int, Worth]] = {}
        self._on: dict[int, tuple[tuple[int, _Asked], ...]] = {}

    def loss(self, sig: int) -> Loss:
        """What is free on a node in this state, and lost."""
        known = self._losses.get(sig)
        if known is None:
            known = self._losses[sig] = self._loss(sig)
        return known

    def _loss(self, sig: int) -> Loss:
        book = self._book
        served = self._served(book.node_class_of(sig), book.state(sig))
        (total, next_, filled), free = served.loss, book.free(sig)
        fewer: dict[int, int] = {}
        for resource, shorts in served.shorts:
            there = free[resource]
            for need, each, at in shorts:
                if need <= there:
                    break
                pods = max(0, there // each)
                fewer[at] = min(pods, fewer.get(at, pods))
        for at, pods in fewer.items():
            asked = self._asked[at]
            usable, most, each = served.worths[asked.ask]
            if not pods:
                next_ += asked.weight * usable
            filled += asked.weight * (min(total, most * each) - min(total, pods * each))
        return Loss(total, next_, filled)

    def _served(self, cls: int, state: int) -> _Served:
        known = self._known.get((cls, state))
        if known is None:
            known = self._known[cls, state] = self._work_out(cls, state)
        return known

    def _work_out(self, cls: int, state: int) -> _Served:
        book, kind = self._book, self._book.kind_of(cls)
        gpus = book.catalog.free_milli(kind, state) if kind else ()
        total = sum(gpus)
        if not total:
            return _Served(Loss(0, 0, 0), {}, ())
        by_ask = self._worths.get((kind, state))
        if by_ask is None:
            worths = book.catalog.worths(kind, state, self._asks)
            by_ask = self._worths[kind, state] = dict(zip(self._asks, worths, strict=True))
        next_ = filled = self._weight * total + self._whole_weight * (total - WHOLE * gpus.count(WHOLE))
        shorts: dict[int, list[_Short]] = {}
        for at, asked in self._admitted(cls):
            usable, pods, each = by_ask[asked.ask]
            if pods:
                next_ -= asked.weight * usable
                filled -= asked.weight * min(total, pods * each)
                for resource, amount in asked.needs:
                    if amount:
                        shorts.setdefault(resource, []).append(_Short(amount * pods, amount, at))
        by_need = tuple((r, tuple(sorted(found, reverse=True))) for r, found in sorted(shorts.items()))
        return _Served(Loss(total, next_, filled), by_ask, by_need)

    def _admitted(self, cls: int) -> tuple[tuple[int, _Asked], ...]:
        """What of the mix may run on nodes of the class at all, with its place in the mix."""
        known = self._on.get(cls)
        if known is None:
            admits = self._book.admits
            known = self._on[cls] = tuple((i, a) for i, a in enumerate(self._asked) if admits(cls, a.shape))
        return known


@lru_cache(maxsize=KEPT)
def stock_of(book: Book, mix: Mix, whole_share: int = WHOLE_SHARE_PERCENT) -> Stock:
    """The Stock of this mix, with the losses it has worked out before."""
    return Stock(book, mix, whole_share)


def merged(book: Book, mix: Mix) -> Mix:
    """The mix with shapes that differ in memory alone counted as their most frequent one: GPU nodes run out of CPU."""
    weights: dict[object, int] = {}
    best: dict[object, tuple[int, int]] = {}
    for weight, shape in mix:
        template = book.template(shape)
        needs = tuple(n for n in book.needs(shape) if book.resources[n[0]] != "memory")
        key = (book.ask(shape), needs, template.node_selector, template.node_affinity, template.tolerations)
        weights[key] = weights.get(key, 0) + weight
        best[key] = max(best.get(key, (0, 0)), (weight, -shape))
    return tuple((weight, -best[key][1]) for key, weight in weights.items())


def _typical(mix: Mix) -> list[tuple[int, int]]:
    """The most frequent shapes that together make up COVER_PERCENT of the mix."""
    total, covered = sum(weight for weight, _ in mix), 0
    chosen: list[tuple[int, int]] = []
    for weight, shape in sorted(mix, key=lambda m: (-m[0], m[1])):
        if covered * 100 >= total * COVER_PERCENT or len(chosen) == SHAPES_MAX:
            break
        chosen.append((weight, shape))
        covered += weight
    return chosen
