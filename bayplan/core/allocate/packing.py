"""The best of several solutions: cost least, keep whole GPUs whole, stay on one NUMA node, fit tightly.

The first solution of a search is greedy. When an ask takes several devices, searches confined to one NUMA node are run
beside it and all solutions are ranked. GPUs and NICs that must share a PCIe root say so by constraint; closeness is
what is wanted of everyone else.
"""

from __future__ import annotations

from collections.abc import Sequence

from bayplan.core.allocate.asks import NUMA_NAMES, Ask
from bayplan.core.allocate.board import Board, Choice, Outcome, Verdict
from bayplan.core.allocate.components import Machines, State, Template
from bayplan.core.allocate.constraints import lookup, values_of
from bayplan.core.allocate.objective import free, score
from bayplan.core.allocate.offers import Offers
from bayplan.core.allocate.search import Near, Search

Numa = tuple[str, int | bool | str] | None
Rank = tuple[int, int, int, int, int]


def solve(offers: Offers, ask: Ask, board: Board, *, upstream: bool, budget: int) -> tuple[Outcome, list[Outcome]]:
    """The answer, and all solutions found, best first."""
    answer = Search(offers, ask, board, upstream=upstream, budget=budget).run()
    if upstream or not ask.several() or answer.verdict is Verdict.IMPOSSIBLE:
        return answer, [answer] if answer.verdict is Verdict.FOUND else []
    numas = _numas(board)
    found = [answer] if answer.verdict is Verdict.FOUND else []
    for numa in numas if len(numas) > 1 else ():
        confined = Search(offers, ask, board, upstream=False, budget=budget // 4, near=_within(numa)).run()
        if confined.verdict is Verdict.FOUND:
            found.append(confined)
    ranked = sorted(range(len(found)), key=lambda i: (_rank(offers.machines, board, found[i].choices), i))
    solutions = [found[i] for i in ranked]
    return (solutions[0] if solutions else answer), solutions


def _within(numa: Numa) -> Near:
    return lambda state, device: _at(state, device) in (None, numa)


def _numas(board: Board) -> Sequence[Numa]:
    found = {_at(state, i) for state, _ in board.slots for i in range(len(state.kind.templates))}
    return sorted((n for n in found if n is not None), key=str)


def _at(state: State, device: int) -> Numa:
    return numa_of(state.kind.templates[device])


def numa_of(template: Template) -> Numa:
    """The NUMA node under whichever name the driver publishes; None when unknown or more than one."""
    for name in NUMA_NAMES:
        values = values_of(lookup(template.driver, template.device, name), lists=True)
        if values is not None:
            return next(iter(values)) if len(values) == 1 else None
    return None


def _rank(machines: Machines, board: Board, choices: Sequence[Choice]) -> Rank:
    """Smaller is better. What is left is counted where the devices were taken: a NUMA node is filled up, too."""
    states = [s.state for s in board.slots]
    cost = opened = lost = 0
    for choice in choices:
        before = states[choice.slot]
        grant = choice.grant
        after = before if choice.need.admin else machines.move(before, choice.device, grant.units, grant.tenant)
        if after is None:
            continue
        each = score(machines, before, after)
        cost, opened, lost = cost + each.cost, opened + each.opened, lost + each.lost
        states[choice.slot] = after
    numas = {_at(states[c.slot], c.device) for c in choices}
    left = sum(free(s) for s in states if any(_at(s, i) in numas for i in range(len(s.kind.templates))))
    return cost, opened, len(numas), lost, left
