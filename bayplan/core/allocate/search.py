"""Exact search for devices: depth first, with a verdict.

In `upstream` order claims, requests and alternatives are taken as listed, candidates as the slices list them, and the
first solution wins, with upstream's errors (kubernetes/dynamic-resource-allocation). In `packed` order candidates that
lead to the same state are tried once, best first under `objective`, requests with few candidates come first, and what
`lookahead` refutes is not tried. In both, a position that failed is remembered by its state, so that no situation is
examined twice. The answer is an allocation, a proof that there is none, or "budget spent".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from bayplan.core.allocate.asks import MAX_DEVICES, Ask, Grant, Need
from bayplan.core.allocate.board import AllocationError, Board, Choice, Outcome, Verdict
from bayplan.core.allocate.components import PARTITIONS_MAX, State
from bayplan.core.allocate.constraints import Bound
from bayplan.core.allocate.lookahead import Lookahead
from bayplan.core.allocate.objective import Score
from bayplan.core.allocate.offers import Offers
from bayplan.core.allocate.selectors import SelectorError
from bayplan.core.allocate.sizes import Sizes

DEFAULT_BUDGET = 10_000
"""Work (devices looked at, states made) before a search gives up: some 50 ms."""

Near = Callable[[State, int], bool]
"""Which devices of a state may be used at all."""

Candidate = tuple[int, int, int, Grant, State]
"""Where to go on, slot, device, what it gives, state afterwards."""


class _Spent(Exception):
    pass


class Search:
    """One question on one board."""

    def __init__(
        self, offers: Offers, ask: Ask, board: Board, *, upstream: bool, budget: int, near: Near | None = None
    ) -> None:
        self._offers, self._ask, self._board = offers, ask, board
        self._upstream, self._budget, self._near = upstream, budget, near
        self._states = [s.state for s in board.slots]
        self._bound: tuple[Bound, ...] = (None,) * len(ask.constraints)
        self._chosen: list[Choice] = []
        self._given = [0] * len(ask.claims)
        self._admin = any(n.admin for want in ask.wants for n in want)
        # Exclusive devices of this ask with the claim they went to, and the shares of the request under way.
        self._marks: frozenset[tuple[int, int, int]] = frozenset()
        self._mine: frozenset[tuple[int, int]] = frozenset()
        self._failed: set[object] = set()
        self._ahead = Lookahead(offers, ask, board.slots)
        self._look = near is None and not (upstream and self._may_err())
        self._worked = self._work_so_far()
        self.steps = 0

    def run(self) -> Outcome:
        """Raises AllocationError or SelectorError where upstream reports an error, in upstream's order only."""
        self._sizes = Sizes(self._ask, self._board, self._offers.gates, strict=self._upstream)
        self._order = self._listed() if self._upstream else self._scarce_first()
        self._later = self._sizes.later(self._order)
        try:
            found = self._request(0)
        except _Spent:
            return Outcome(Verdict.UNDECIDED, (), self.steps)
        if found:
            return Outcome(Verdict.FOUND, tuple(sorted(self._chosen, key=lambda c: c.want)), self.steps)
        if self._upstream and self._board.invalid:
            raise AllocationError("invalid resource pools were encountered")
        return Outcome(Verdict.IMPOSSIBLE, (), self.steps)

    def _may_err(self) -> bool:
        """Whether upstream might report an error somewhere, which looking ahead must not hide."""
        templates = {t.id: t for state in self._states for t in state.kind.templates}
        for need in (n for want in self._ask.wants for n in want):
            if need.every or any(self._offers.fails(need, t) for t in templates.values()):
                return True
        return False

    def _listed(self) -> list[int]:
        return list(range(len(self._ask.wants)))

    def _scarce_first(self) -> list[int]:
        """Requests with few candidates come first: what fails, fails early. Prioritised lists keep their order.

        With admin access the order is part of the question: upstream gives no device that it looked at before.
        """
        if not self._ask.constraints or self._admin:
            return self._listed()
        room = [
            sum(len(self._offers.of(n, s, m)) for n in want for s, m in self._board.slots) - self._sizes.least[i]
            for i, want in enumerate(self._ask.wants)
        ]
        listed = [len(want) > 1 for want in self._ask.wants]
        return sorted(self._listed(), key=lambda i: (listed[i], 0 if listed[i] else room[i], i))

    # --- one request after another -------------------------------------------------------------------------------

    def _request(self, at: int) -> bool:
        if at == len(self._order):
            return True
        if self._refuted(at):
            return False
        mine, self._mine = self._mine, frozenset()
        found = any(self._start(at, need) for need in self._ask.wants[self._order[at]])
        self._mine = mine
        return found

    def _refuted(self, at: int) -> bool:
        """Whether looking ahead shows that the rest is hopeless; pays off where constraints or counters bind."""
        left = len(self._order) - at
        if not self._look or (left == 1 and not self._ask.constraints):
            return False
        self._spend(2 * left + 2 * len(self._ask.constraints))
        return self._ahead.hopeless(self._order[at:], self._states, self._bound)

    def _start(self, at: int, need: Need) -> bool:
        size = self._sizes.of(need)
        if size == 0 and need.every:
            return False
        if self._given[need.claim] + size + self._later[self._order[at]] > MAX_DEVICES:
            return False
        return self._take_all(at, need, 0) if need.every else self._pick(at, need, 0, 0)

    def _take_all(self, at: int, need: Need, k: int) -> bool:
        """Which comes first does not matter: if one cannot be had, there is no solution."""
        self._step()
        devices = self._sizes.all[need]
        if k == len(devices):
            return self._request(at + 1)
        slot, device = devices[k]
        found = self._candidate(need, slot, device, 0)
        if found is None:
            return False
        if not self._constrained(need, found[3]):
            if self._upstream:
                where, name = self._sizes.where(need), self._board.name(slot, device)
                raise AllocationError(
                    f"{where}: cannot add device {name} because a claim constraint would not be satisfied"
                )
            return False
        return self._try(at, need, found, partial(self._take_all, at, need, k + 1))

    def _pick(self, at: int, need: Need, k: int, start: int) -> bool:
        self._step()
        if k == need.count:
            return self._request(at + 1)
        key = self._position(at, need, k, start)
        if key in self._failed:
            return False
        for found in self._in_order(need, start) if self._upstream else self._best_first(need):
            if self._constrained(need, found[3]):
                go_on = partial(self._pick, at, need, k + 1, found[0])
                if self._try(at, need, found, go_on):
                    return True
        self._failed.add(key)
        return False

    def _try(self, at: int, need: Need, found: Candidate, then: Callable[[], bool]) -> bool:
        _, slot, device, grant, after = found
        before = self._states[slot], self._bound, self._marks, self._mine
        exclusive = not after.kind.templates[device].shareable
        self._states[slot] = after
        self._bound = self._joined(need, grant)
        if self._admin and exclusive:
            self._marks |= {(slot, device, need.claim)}
        if not exclusive:
            self._mine |= {(slot, device)}
        self._given[need.claim] += 1
        self._chosen.append(Choice(self._order[at], need, slot, device, grant))
        if then():
            return True
        self._chosen.pop()
        self._given[need.claim] -= 1
        self._states[slot], self._bound, self._marks, self._mine = before
        return False

    def _step(self) -> None:
        self.steps += 1
        self._spend(1)

    def _spend(self, work: int) -> None:
        self._budget -= work
        if self._budget + self._worked - self._work_so_far() <= 0:
            raise _Spent

    def _work_so_far(self) -> int:
        return self._offers.work + len(self._offers.machines.states)

    def _position(self, at: int, need: Need, k: int, start: int) -> object:
        """All that decides what can follow. Without admin access, equal components may change places."""
        slots: object
        if self._upstream or self._admin:
            slots = (tuple(s.id for s in self._states), self._marks, self._mine)
        else:
            own = {s: tuple(sorted(d for t, d in self._mine if t == s)) for s, _ in self._mine}
            boards = self._board.slots
            slots = tuple(sorted((s.id, boards[i].mask, own.get(i, ())) for i, s in enumerate(self._states)))
        return at, need, k, start, slots, self._bound, self._given[need.claim]

    # --- candidates ----------------------------------------------------------------------------------------------

    def _in_order(self, need: Need, start: int) -> Iterator[Candidate]:
        for i in range(start, len(self._board.sequence)):
            found = self._candidate(need, *self._board.sequence[i], i + 1)
            if found is not None:
                yield found

    def _candidate(self, need: Need, slot: int, device: int, go_on: int) -> Candidate | None:
        """The device for the need, if it can be had now. In use is looked at before selectors: those may fail."""
        self._budget -= 1
        state = self._states[slot]
        template = state.kind.templates[device]
        if self._marked(need, slot, device) or (state.busy >> device & 1 and not need.admin):
            return None
        try:
            grant = need.grant(template, self._offers.gates)
        except SelectorError as failure:
            if self._upstream:
                raise failure.on(self._board.name(slot, device), self._offers.gates) from None
            return None
        if grant is None:
            return None
        if need.admin:
            return go_on, slot, device, grant, state
        after = self._offers.machines.move(state, device, grant.units, grant.tenant)
        return None if after is None else (go_on, slot, device, grant, after)

    def _marked(self, need: Need, slot: int, device: int) -> bool:
        if (slot, device) in self._mine:
            return True
        if not self._marks:
            return False
        if need.admin:
            return (slot, device, need.claim) in self._marks
        return any(mark[:2] == (slot, device) for mark in self._marks)

    def _best_first(self, need: Need) -> Iterator[Candidate]:
        """One candidate for each state it can lead to, best first; of what is too large to be a GPU, cheapest first."""
        seen: set[object] = set()
        found: list[tuple[Score, int, int, Candidate]] = []
        large: list[int] = []
        special = {s for s, _ in self._mine} | {m[0] for m in self._marks}
        for slot, state in enumerate(self._states):
            mask = self._board.slots[slot].mask
            alike = slot if slot in special else (state.id, mask)
            if alike in seen:
                continue
            seen.add(alike)
            if len(state.kind.costs) > PARTITIONS_MAX:
                large.append(slot)
                continue
            for rank, device, grant, after in self._offers.of(need, state, mask):
                if not self._marked(need, slot, device) and (self._near is None or self._near(state, device)):
                    self._budget -= 1
                    found.append((rank, slot, device, (0, slot, device, grant, after)))
        found.sort(key=lambda f: f[:3])
        yield from (f[3] for f in found)
        for slot in large:
            yield from self._one_by_one(need, slot)

    def _one_by_one(self, need: Need, slot: int) -> Iterator[Candidate]:
        mask, state = self._board.slots[slot].mask, self._states[slot]
        for device in state.kind.cheapest:
            if mask >> device & 1 and (self._near is None or self._near(state, device)):
                candidate = self._candidate(need, slot, device, 0)
                if candidate is not None:
                    yield candidate

    # --- constraints ---------------------------------------------------------------------------------------------

    def _constrained(self, need: Need, grant: Grant) -> bool:
        parts = zip(need.constraints, need.parts, grant.values, strict=True)
        return all(part.admits(self._bound[i], values) for i, part, values in parts)

    def _joined(self, need: Need, grant: Grant) -> tuple[Bound, ...]:
        if not need.constraints:
            return self._bound
        bound = list(self._bound)
        for i, part, values in zip(need.constraints, need.parts, grant.values, strict=True):
            assert values is not None
            bound[i] = part.joined(bound[i], values)
        return tuple(bound)
