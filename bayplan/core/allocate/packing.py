"""The best of several solutions: stay on one PCIe root, cost least, keep whole GPUs whole, stay on one NUMA node.

The first solution of a search is greedy. When an ask takes several devices, searches confined to one NUMA node are run
beside it, and for devices of several sorts (a GPU and a NIC) searches confined to one PCIe root, or to the fewest that
do; all solutions are ranked. One that is less close than another that takes as much is not offered, so that nobody
trades closeness away later.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from typing import NamedTuple

from bayplan.core.allocate.asks import Ask
from bayplan.core.allocate.board import Board, Choice, Outcome, Verdict
from bayplan.core.allocate.components import Machines
from bayplan.core.allocate.nearness import NUMA, ROOT, Map, Places, Spot
from bayplan.core.allocate.objective import free, score
from bayplan.core.allocate.offers import Offers
from bayplan.core.allocate.search import Near, Search

SETS_MAX = 256
"""Sets of PCIe roots looked at: all there are of eight roots, a node's usual number."""


class Rank(NamedTuple):
    """Smaller is better. `left` is what is left where devices were taken: a NUMA node is filled up, too."""

    preference: int
    taken: int
    roots: int
    cost: int
    opened: int
    numas: int
    lost: int
    left: int

    def farther(self, best: Rank) -> bool:
        """Whether a solution with this rank is less close than the best, or not what was asked for first."""
        return self[:3] > best[:3] or self.numas > best.numas


def solve(offers: Offers, ask: Ask, board: Board, *, upstream: bool, budget: int) -> tuple[Outcome, list[Outcome]]:
    """The answer, and the solutions worth choosing from, best first."""
    answer = Search(offers, ask, board, upstream=upstream, budget=budget).run()
    if upstream or not ask.several() or answer.verdict is Verdict.IMPOSSIBLE:
        return answer, [answer] if answer.verdict is Verdict.FOUND else []
    places = Map(board, by_root=ask.mixed())
    found = [answer] if answer.verdict is Verdict.FOUND else []

    def confined(roots: Places, numas: Places) -> bool:
        near = _within(places, roots, numas)
        outcome = Search(offers, ask, board, upstream=False, budget=budget // 4, near=near).run()
        if outcome.verdict is Verdict.FOUND:
            found.append(outcome)
        return outcome.verdict is Verdict.FOUND

    if ask.mixed():
        single, several = _roots(offers, ask, places)
        if not [roots for roots in single if confined(roots, frozenset())]:
            any(confined(roots, frozenset()) for roots in several)
    numas = places.places(NUMA)
    for numa in numas if len(numas) > 1 else ():
        confined(frozenset(), frozenset((numa,)))
    ranked = sorted((_rank(offers.machines, ask, board, places, o.choices), i) for i, o in enumerate(found))
    solutions = [found[i] for rank, i in ranked if not rank.farther(ranked[0][0])]
    return (solutions[0] if solutions else answer), solutions


def _within(places: Map, roots: Places, numas: Places) -> Near:
    """Devices at these places; one that says of no such place where it is may be anywhere."""

    def near(spot: Spot) -> bool:
        return not (roots and spot.roots and roots.isdisjoint(spot.roots)) and not (
            numas and spot.numas and numas.isdisjoint(spot.numas)
        )

    return lambda state, device: near(places.spot(state.kind.templates[device]))


def _roots(offers: Offers, ask: Ask, places: Map) -> tuple[list[Places], list[Places]]:
    """The roots that may serve the ask alone; and sets of several that may, few before many and those on few NUMA nodes
    before those on many."""
    known = places.places(ROOT)
    if not known:
        return [], []
    free = {root: _free(offers, ask, places.within(ROOT, root)) for root in known}
    rootless = _free(offers, ask, places.within(ROOT, ""))
    beside = {root: _numas_of(places, root) for root in known}

    def serves(roots: Sequence[str]) -> bool:
        return all(
            any(
                many + sum(free[r][want][i] for r in roots) >= (1 if need.every else need.count)
                for i, (need, many) in enumerate(zip(ask.wants[want], rootless[want], strict=True))
            )
            for want in range(len(ask.wants))
        )

    sets: list[tuple[str, ...]] = []
    for size in range(2, len(known) + 1):
        sets += islice(combinations(known, size), SETS_MAX - len(sets))
    sets.sort(key=lambda roots: (len(roots), len(frozenset().union(*(beside[r] for r in roots)))))
    single = [frozenset((root,)) for root in known if serves((root,))]
    return single, [frozenset(roots) for roots in sets if serves(roots)]


def _free(offers: Offers, ask: Ask, here: Board) -> list[list[int]]:
    """How many devices each request, and each of its alternatives, could have here."""
    return [[offers.tally(need, here) for need in want] for want in ask.wants]


def _numas_of(places: Map, root: str) -> Places:
    """The NUMA nodes of what is at a root alone."""
    slots = places.within(ROOT, root).slots
    spots = [places.spot(t) for s, m in slots for i, t in enumerate(s.kind.templates) if m >> i & 1]
    return frozenset(numa for spot in spots if len(spot.roots) == 1 for numa in spot.numas)


def _rank(machines: Machines, ask: Ask, board: Board, places: Map, choices: Sequence[Choice]) -> Rank:
    states = [s.state for s in board.slots]
    taken = cost = opened = lost = 0
    for choice in choices:
        before = states[choice.slot]
        grant = choice.grant
        after = before if choice.need.admin else machines.move(before, choice.device, grant.units, grant.tenant)
        if after is None:
            continue
        each = score(machines, before, after)
        cost, opened, lost = cost + each.cost, opened + each.opened, lost + each.lost
        taken += free(before) - free(after)
        states[choice.slot] = after
    roots, numas = places.apart(choices)
    here = {numa for spot in places.chosen(choices) for numa in spot.numas}
    left = sum(free(s) for s in states if any(not here.isdisjoint(places.spot(t).numas) for t in s.kind.templates))
    return Rank(ask.preference((c.want, c.need) for c in choices), taken, roots, cost, opened, numas, lost, left)
