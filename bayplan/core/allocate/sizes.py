"""How many devices each request takes: a count, or every device it selects (allocation mode All)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bayplan.core.allocate.asks import MAX_DEVICES, Ask, Need
from bayplan.core.allocate.board import AllocationError, Board
from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.selectors import SelectorError

Places = tuple[tuple[int, int], ...]


class Sizes:
    """Sizes of one ask on one board. Raises AllocationError and SelectorError when `strict`, as upstream would."""

    def __init__(self, ask: Ask, board: Board, gates: Gates, *, strict: bool) -> None:
        self._ask, self._board, self._gates, self._strict = ask, board, gates, strict
        self.all: dict[Need, Places] = {n: self._everything(n) for want in ask.wants for n in want if n.every}
        self.least = [min(self.of(n) for n in want) for want in ask.wants]
        if strict:
            self._check_limit()

    def of(self, need: Need) -> int:
        return len(self.all[need]) if need.every else need.count

    def later(self, order: Sequence[int]) -> dict[int, int]:
        """Per request, the least that requests of its claim after it in `order` take."""
        sums: dict[int, int] = {}
        later: dict[int, int] = {}
        for want in reversed(order):
            claim = self._ask.wants[want][0].claim
            later[want] = sums.get(claim, 0)
            sums[claim] = later[want] + self.least[want]
        return later

    def where(self, need: Need) -> str:
        """For messages."""
        return f"claim {self._ask.names[need.claim]}, request {need.name.rpartition('/')[2]}"

    def _check_limit(self) -> None:
        for claim, name in enumerate(self._ask.names):
            total = sum(n for n, want in zip(self.least, self._ask.wants, strict=True) if want[0].claim == claim)
            if total > MAX_DEVICES:
                text = f"number of requested devices {total} exceeds the claim limit of {MAX_DEVICES}"
                raise AllocationError(f"claim {name}: {text}")

    def _everything(self, need: Need) -> Places:
        """Every device the need selects that still has the capacity it asks for; none from a pool in doubt."""
        if self._board.unfinished:
            if self._strict:
                raise AllocationError(f"{self.where(need)}: asks for all devices, but {self._board.unfinished}")
            return ()
        return tuple(at for at in self._board.sequence or self._everywhere() if self._belongs(need, *at))

    def _everywhere(self) -> Iterator[tuple[int, int]]:
        for slot, (state, mask) in enumerate(self._board.slots):
            for device in range(len(state.kind.templates)):
                if mask >> device & 1:
                    yield slot, device

    def _belongs(self, need: Need, slot: int, device: int) -> bool:
        state = self._board.slots[slot].state
        template = state.kind.templates[device]
        try:
            if not need.selects(template, self._gates):
                return False
        except SelectorError as failure:
            if self._strict:
                raise failure.on(self._board.name(slot, device), self._gates) from None
            return False
        amounts = need.amounts(template) if self._gates.consumable else ()
        if amounts is None:
            return False
        used = state.used[device] if template.shareable else None
        return used is None or all(
            u + a.nano <= most for u, a, most in zip(used, amounts, template.limits, strict=True)
        )
