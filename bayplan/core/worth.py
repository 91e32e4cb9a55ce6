"""What a node is worth, at prices: its gaps at the price of gaps of that size, its cores at the price of a core.

A placement costs what the node is worth before it less what it is worth after. Under the duals of the pattern LP (see
`runtime/prices.py`) no placement costs less than the pod is worth, and those of an optimal filling cost exactly that;
so the cost beyond the GPU taken says how far a placement is from any optimal filling (Gilmore and Gomory, 1961).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from bayplan.core.book import Book
from bayplan.model.node import Node
from bayplan.model.prices import ClassPrices, Prices

MICRO_PER_MILLI = 1000


class Worths:
    """Worth of node states under one set of prices, remembered per state. `nodes` are those of the book."""

    def __init__(self, book: Book, nodes: Mapping[str, Node], prices: Prices) -> None:
        self._book = book
        self._classes = {book.node_class(nodes[p.like]): p for p in prices.classes if p.like in nodes}
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

    def _work_out(self, sig: int, prices: ClassPrices) -> int:
        view = self._book.view(sig)
        gaps = sum(_at(prices.gaps, free) - MICRO_PER_MILLI * free for free in view.gpu_free_milli)
        return gaps + prices.core_micro * view.cpu_free_milli // 1000


def _at(gaps: tuple[tuple[int, int], ...], free: int) -> int:
    at = bisect_right(gaps, free, key=lambda gap: gap[0])
    return gaps[at - 1][1] if at else 0
