"""What a component offers a need, worked out once per state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bayplan.core.allocate.asks import Grant, Need
from bayplan.core.allocate.board import Board
from bayplan.core.allocate.components import Machines, State, Template
from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.objective import Score, score
from bayplan.core.allocate.selectors import SelectorError

TALLY_MAX = 100_000
"""More than this many free places is as good as any number."""


class Offer(NamedTuple):
    """A device the need can have, at what cost, and the component's state afterwards."""

    score: Score
    device: int
    grant: Grant
    after: State


class Offers:
    """Offers of all states; a device on which a selector fails offers nothing."""

    def __init__(self, machines: Machines, gates: Gates) -> None:
        self.machines, self.gates = machines, gates
        self.work = 0  # devices looked at so far

    def of(self, need: Need, state: State, mask: int) -> Sequence[Offer]:
        """Best first. Devices of one template that lead to the same state are one offer."""
        known = state.memo.get((need.key, mask))
        if known is None:
            known = state.memo[need.key, mask] = self._work_out(need, state, mask)
        return known  # type: ignore[return-value]

    def _work_out(self, need: Need, state: State, mask: int) -> tuple[Offer, ...]:
        found: dict[object, Offer] = {}
        for device, template in enumerate(state.kind.templates):
            if not mask >> device & 1:
                continue
            self.work += 1
            grant = self.grant(need, template)
            if grant is None:
                continue
            after = state if need.admin else self.machines.move(state, device, grant.units, grant.tenant)
            if after is not None:
                alike = (after.id, template.id, device if need.admin or template.shareable else 0)
                if alike not in found:
                    found[alike] = Offer(score(self.machines, state, after), device, grant, after)
        return tuple(sorted(found.values(), key=lambda o: o[:2]))

    def grant(self, need: Need, template: Template) -> Grant | None:
        """What a device of this template gives; None where it never can, or a selector fails."""
        try:
            return need.grant(template, self.gates)
        except SelectorError:
            return None

    def fails(self, need: Need, template: Template) -> bool:
        """Whether a selector fails on devices of this template."""
        try:
            need.grant(template, self.gates)
        except SelectorError:
            return True
        return False

    def tally(self, need: Need, board: Board) -> int:
        """How many devices or shares the need could take of the board, one after another."""
        total = 0
        for state, mask in board.slots:
            offers = self.of(need, state, mask)
            if need.admin:
                total += len(offers)
                continue
            while offers and total < TALLY_MAX and offers[0].after is not state:
                state, total = offers[0].after, total + 1
                offers = self.of(need, state, mask)
        return total
