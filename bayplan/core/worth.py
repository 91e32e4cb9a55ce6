"""What a node is worth, at prices: its gaps at the price of gaps of that size, its cores at the price of a core.

A placement costs what the node is worth before it less what it is worth after. Under the duals of the pattern LP (see
`runtime/prices.py`) no placement costs less than the pod is worth, and those of an optimal filling cost exactly that;
so the cost beyond the GPU taken says how far a placement is from any optimal filling (Gilmore and Gomory, 1961).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from bayplan.core.book import Book
from bayplan.model.node import Node
from bayplan.model.prices import ClassPrices, Prices

MICRO_PER_MILLI = 1000
WHOLE = 1000


class Worths:
    """Worth of node states under one set of prices, remembered per state. `nodes` are those of the book."""

    def __init__(self, book: Book, nodes: Mapping[str, Node], prices: Prices) -> None:
        self._book = book
        self._classes = {book.node_class(nodes[p.like]): _Class.of(p) for p in prices.classes if p.like in nodes}
        self._known: dict[int, int] = {}

    def beyond_milli(self, before: int, after: int) -> float:
        """What going from one state of a node to the other costs beyond the GPU thousandths it takes."""
        if self._book.node_class_of(before) not in self._classes:
            return 0.0
        return (self._premium(before) - self._premium(after)) / MICRO_PER_MILLI

    def _premium(self, sig: int) -> int:
        """Worth less the face value of what is free, in millionths of a GPU."""
        known = self._known.get(sig)
        if known is None:
            known = self._known[sig] = self._work_out(sig, self._classes[self._book.node_class_of(sig)])
        return known

    def _work_out(self, sig: int, prices: _Class) -> int:
        view = self._book.view(sig)
        gaps = sum(map(prices.premiums.__getitem__, view.gpu_free_milli))
        return gaps + prices.core_micro * view.cpu_free_milli // 1000


class _Class(NamedTuple):
    """A core's price, and for 0 to 1000 free thousandths of one GPU what the gap is worth beyond its face value."""

    core_micro: int
    premiums: tuple[int, ...]

    @classmethod
    def of(cls, prices: ClassPrices) -> _Class:
        sizes, worths = [size for size, _ in prices.gaps], [0, *(worth for _, worth in prices.gaps)]
        at = (worths[bisect_right(sizes, free)] - MICRO_PER_MILLI * free for free in range(WHOLE + 1))
        return cls(prices.core_micro, tuple(at))
