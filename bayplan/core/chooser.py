"""Where one pod runs best: the way on a node in a given state, the node of the fleet."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace

from bayplan.core.book import Option
from bayplan.core.fleet import Fleet
from bayplan.core.score import Loss, Score

APART = 1000  # more than any node score: who asks for a GPU and a NIC together wants them together


class _Ranking:
    """The states that can run a pod of one shape, as a heap of (-score, rank, state) after `seen` changes."""

    def __init__(self, seen: int, heap: list[tuple[int, int, int]]) -> None:
        self.seen, self.heap = seen, heap
        heapify(heap)


class Chooser:
    """Choosing for one cycle, under the node score in force."""

    def __init__(self, fleet: Fleet, score: Score, loss: Loss | None) -> None:
        self._fleet, self._book = fleet, fleet.book
        self._score, self._loss = score, loss
        self._best: dict[int, dict[int, tuple[int, Option] | None]] = {}
        self._rankings: dict[int, _Ranking] = {}

    def best_option(self, sig: int, shape: int) -> tuple[int, Option] | None:
        """The best way to run one pod on a node in this state, with its score."""
        memo = self._best.setdefault(shape, {})
        if sig not in memo:
            memo[sig] = self._choose(sig, shape)
        return memo[sig]

    def _choose(self, sig: int, shape: int) -> tuple[int, Option] | None:
        """Scores are coarse, so that nodes are often equal; ways on one node are told apart by what exactly is lost."""
        options = self._book.options(sig, shape)
        if not options:
            return None
        scores = [self._score(sig, shape, o) - _distance(o) for o in options]
        best = max(scores)
        alike = [o for o, score in zip(options, scores, strict=True) if score == best]
        loss = self._loss
        return best, min(alike, key=lambda o: loss(o.after)) if loss and len(alike) > 1 else alike[0]

    def best_node(self, shape: int) -> tuple[str, Option] | None:
        """The best node of the fleet; only nodes that changed since the shape was last asked are looked at."""
        fleet, ranking = self._fleet, self._rankings.get(shape)
        if ranking is None:
            able = (sig for sig in fleet.states() if self._book.options(sig, shape))
            ranked = [found for sig in able if (found := self._ranked(sig, fleet.first(sig), shape)) is not None]
            ranking = self._rankings[shape] = _Ranking(fleet.changes, ranked)
        for node in fleet.changed(ranking.seen):
            found = self._ranked(fleet.sigs[node], node, shape)
            if found is not None:
                heappush(ranking.heap, found)
        ranking.seen = fleet.changes
        while ranking.heap:
            score, rank, sig = ranking.heap[0]
            first = fleet.first(sig)
            if first is None:
                heappop(ranking.heap)
            elif fleet.rank[first] != rank:
                heapreplace(ranking.heap, (score, fleet.rank[first], sig))
            else:
                best = self.best_option(sig, shape)
                return best and (first, best[1])
        return None

    def _ranked(self, sig: int, node: str | None, shape: int) -> tuple[int, int, int] | None:
        """The entry of a state that this node is in; None where no pod can run."""
        best = self.best_option(sig, shape) if sig >= 0 else None
        return (-best[0], self._fleet.rank[node], sig) if node is not None and best is not None else None


def _distance(option: Option) -> int:
    """What it costs that a GPU and its NIC, asked for together, would be on different PCIe roots."""
    apart = option.fit.apart if option.fit is not None else None
    return APART if apart is not None and apart.level == "pcieRoot" else 0
