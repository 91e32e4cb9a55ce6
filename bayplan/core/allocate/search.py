"""Exact search for devices: depth first, with a verdict.

Claims, requests and alternatives are taken as listed. In `upstream` order candidates are tried as the slices list
them and the first solution wins, with upstream's errors (kubernetes/dynamic-resource-allocation). In `packed` order
candidates that lead to the same state are tried once, best first under `objective`. In both, a position that failed
is remembered by its state, so no situation is examined twice, and a look ahead gives up when some later request has too
few devices left. The answer is an allocation, a proof that there is none, or "budget spent": they are told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from bayplan.core.allocate.asks import MAX_DEVICES, Ask, Grant, Need
from bayplan.core.allocate.components import Machines, State
from bayplan.core.allocate.constraints import Bound
from bayplan.core.allocate.gates import Gates
from bayplan.core.allocate.objective import Score, score
from bayplan.core.allocate.selectors import SelectorError

DEFAULT_BUDGET = 20_000
"""Candidates looked at before a search gives up: some 50 ms."""


TALLY_MAX = 100_000
"""More than this many free places is as good as any number."""


class Verdict(Enum):
    FOUND = "found"
    IMPOSSIBLE = "impossible"
    UNDECIDED = "undecided"


class AllocationError(Exception):
    """Upstream would fail the node with this message rather than say that nothing fits."""


class Slot(NamedTuple):
    """A component as a node sees it: its state, and which of its devices the node reaches (-1 = all)."""

    state: State
    mask: int


class Board(NamedTuple):
    """What a node offers. `sequence` lists (slot, device) in upstream's order; `name` is for messages.

    `unfinished` says which pool is incomplete or invalid, so that nobody can have all devices; `invalid` whether one
    is invalid.
    """

    slots: tuple[Slot, ...]
    sequence: tuple[tuple[int, int], ...] = ()
    unfinished: str = ""
    invalid: bool = False
    name: Callable[[int, int], str] = lambda slot, device: f"{slot}/{device}"


class Choice(NamedTuple):
    """One device for one need."""

    want: int
    need: Need
    slot: int
    device: int
    grant: Grant


class Outcome(NamedTuple):
    verdict: Verdict
    choices: tuple[Choice, ...]
    steps: int


class _Spent(Exception):
    pass


Candidate = tuple[int, int, int, Grant, State]
"""Where to go on, slot, device, what it gives, state afterwards."""


class Search:
    """One question on one board."""

    def __init__(
        self,
        machines: Machines,
        gates: Gates,
        ask: Ask,
        board: Board,
        *,
        upstream: bool,
        budget: int = DEFAULT_BUDGET,
        near: Callable[[State, int], bool] | None = None,
    ) -> None:
        self._machines, self._gates, self._ask, self._board = machines, gates, ask, board
        self._upstream, self._budget, self._near = upstream, budget, near
        self._states = [s.state for s in board.slots]
        self._bound: tuple[Bound, ...] = (None,) * len(ask.constraints)
        self._chosen: list[Choice] = []
        self._given = [0] * len(ask.claims)
        self._admin = any(n.admin for want in ask.wants for n in want)
        self._marks: frozenset[tuple[int, int, int]] = frozenset()
        self._mine: frozenset[tuple[int, int]] = frozenset()
        self._failed: set[object] = set()
        self._all: dict[int, tuple[tuple[int, int], ...]] = {}
        self._after: list[int] = []
        self.steps = 0

    def run(self) -> Outcome:
        """Raises AllocationError or SelectorError where upstream reports an error, in upstream's order only."""
        self._size_up()
        try:
            found = self._want(0)
        except _Spent:
            return Outcome(Verdict.UNDECIDED, (), self.steps)
        if found:
            return Outcome(Verdict.FOUND, tuple(self._chosen), self.steps)
        if self._upstream and self._board.invalid:
            raise AllocationError("invalid resource pools were encountered")
        return Outcome(Verdict.IMPOSSIBLE, (), self.steps)

    # --- sizes ---------------------------------------------------------------------------------------------------

    def _size_up(self) -> None:
        """How many devices every need takes, and the least that later requests of the same claim will."""
        least = []
        for want in self._ask.wants:
            for need in want:
                if need.every:
                    self._all[id(need)] = self._everything(need)
            least.append(min(self._size(n) for n in want))
        for i, want in enumerate(self._ask.wants):
            claim = want[0].claim
            later = range(i + 1, len(least))
            self._after.append(sum(least[j] for j in later if self._ask.wants[j][0].claim == claim))
        for claim in range(len(self._ask.claims)):
            total = sum(n for n, want in zip(least, self._ask.wants, strict=True) if want[0].claim == claim)
            if total > MAX_DEVICES and self._upstream:
                text = f"number of requested devices {total} exceeds the claim limit of {MAX_DEVICES}"
                raise AllocationError(f"claim {self._ask.names[claim]}: {text}")

    def _size(self, need: Need) -> int:
        return len(self._all[id(need)]) if need.every else need.count

    def _everything(self, need: Need) -> tuple[tuple[int, int], ...]:
        """Every device the need selects that still has the capacity it asks for."""
        if self._board.unfinished:
            if self._upstream:
                raise AllocationError(f"{self._where(need)}: asks for all devices, but {self._board.unfinished}")
            return ()
        found = []
        for slot, device in self._board.sequence or self._everywhere():
            state = self._states[slot]
            template = state.kind.templates[device]
            if not self._selected(need, slot, device):
                continue
            amounts = need.amounts(template) if self._gates.consumable else ()
            used = state.used[device] if template.shareable else None
            if amounts is None or (
                used is not None
                and any(u + a.nano > most for u, a, most in zip(used, amounts, template.limits, strict=True))
            ):
                continue
            found.append((slot, device))
        return tuple(found)

    def _selected(self, need: Need, slot: int, device: int) -> bool:
        template = self._states[slot].kind.templates[device]
        try:
            return need.selects(template, self._name(slot, device), self._gates)
        except SelectorError:
            if self._upstream:
                raise
            return False

    def _everywhere(self) -> Iterator[tuple[int, int]]:
        for slot, (state, mask) in enumerate(self._board.slots):
            for device in range(len(state.kind.templates)):
                if mask >> device & 1:
                    yield slot, device

    def _name(self, slot: int, device: int) -> str:
        return self._board.name(slot, device) if self._upstream else ""

    def _where(self, need: Need) -> str:
        return f"claim {self._ask.names[need.claim]}, request {need.name.rpartition('/')[2]}"

    # --- the search ----------------------------------------------------------------------------------------------

    def _want(self, want: int) -> bool:
        if want == len(self._ask.wants):
            return True
        alternatives = self._ask.wants[want]
        if want and self._ask.wants[want - 1][0].claim != alternatives[0].claim and self._hopeless(want):
            return False
        mine, self._mine = self._mine, frozenset()
        found = any(self._start(want, need) for need in alternatives)
        self._mine = mine
        return found

    def _start(self, want: int, need: Need) -> bool:
        size = self._size(need)
        if size == 0 and need.every:
            return False
        if self._given[need.claim] + size + self._after[want] > MAX_DEVICES:
            return False
        if need.every:
            return self._take_all(want, need, 0)
        return self._pick(want, need, 0, 0)

    def _take_all(self, want: int, need: Need, k: int) -> bool:
        """Which comes first does not matter: if one cannot be had, there is no solution."""
        self._step()
        devices = self._all[id(need)]
        if k == len(devices):
            return self._want(want + 1)
        slot, device = devices[k]
        found = self._candidate(need, slot, device, 0)
        if found is None:
            return False
        if not self._constrained(need, found[3]):
            if self._upstream:
                text = f"cannot add device {self._name(slot, device)} because a claim constraint would not be satisfied"
                raise AllocationError(f"{self._where(need)}: {text}")
            return False
        return self._try(want, need, found, lambda: self._take_all(want, need, k + 1))

    def _pick(self, want: int, need: Need, k: int, start: int) -> bool:
        self._step()
        if k == need.count:
            return self._want(want + 1)
        key = self._position(want, need, k, start)
        if key in self._failed:
            return False
        candidates = self._in_order(need, start) if self._upstream else self._best_first(need)
        for found in candidates:
            if self._constrained(need, found[3]):
                go_on = found[0]
                if self._try(want, need, found, lambda: self._pick(want, need, k + 1, go_on)):  # noqa: B023
                    return True
        self._failed.add(key)
        return False

    def _try(self, want: int, need: Need, found: Candidate, then: Callable[[], bool]) -> bool:
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
        self._chosen.append(Choice(want, need, slot, device, grant))
        if then():
            return True
        self._chosen.pop()
        self._given[need.claim] -= 1
        self._states[slot], self._bound, self._marks, self._mine = before
        return False

    def _step(self) -> None:
        self.steps += 1
        if self._budget <= 0:
            raise _Spent

    def _position(self, want: int, need: Need, k: int, start: int) -> object:
        """All that decides what can follow. Without admin access, equal components may change places."""
        slots: object
        if self._upstream or self._admin:
            slots = (tuple(s.id for s in self._states), self._marks, self._mine)
        else:
            mine = self._mine
            own = {s: tuple(sorted(d for t, d in mine if t == s)) for s, _ in mine} if mine else {}
            slots = tuple(sorted((s.id, self._board.slots[i].mask, own.get(i, ())) for i, s in enumerate(self._states)))
        return want, need.name, k, start, slots, self._bound, self._given[need.claim]

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
            grant = need.grant(template, self._name(slot, device), self._gates)
        except SelectorError:
            if self._upstream:
                raise
            return None
        if grant is None:
            return None
        if need.admin and not template.shareable:
            return go_on, slot, device, grant, state
        after = self._machines.move(state, device, grant.units)
        return None if after is None else (go_on, slot, device, grant, after)

    def _marked(self, need: Need, slot: int, device: int) -> bool:
        if (slot, device) in self._mine:
            return True
        if not self._marks:
            return False
        if need.admin:
            return (slot, device, need.claim) in self._marks
        return any(mark[:2] == (slot, device) for mark in self._marks)

    def _best_first(self, need: Need) -> list[Candidate]:
        """One candidate for each state it can lead to, best first."""
        seen: set[object] = set()
        found: list[tuple[Score, int, int, Candidate]] = []
        own = self._mine or self._marks
        for slot, state in enumerate(self._states):
            mask = self._board.slots[slot].mask
            alike: object = (state.id, mask)
            if own and (any(s == slot for s, _ in self._mine) or any(m[0] == slot for m in self._marks)):
                alike = slot
            if alike in seen:
                continue
            seen.add(alike)
            for rank, device, grant, after in self._options(need, state, mask):
                if not self._marked(need, slot, device):
                    self._budget -= 1
                    if self._near is None or self._near(state, device):
                        found.append((rank, slot, device, (0, slot, device, grant, after)))
        found.sort(key=lambda f: f[:3])
        return [f[3] for f in found]

    def _options(self, need: Need, state: State, mask: int) -> Sequence[tuple[Score, int, Grant, State]]:
        """What the need can take of a component in this state: one device per template and state it leads to."""
        known = state.memo.get((need, mask))
        if known is None:
            known = state.memo[need, mask] = self._work_out(need, state, mask)
        return known  # type: ignore[return-value]

    def _work_out(self, need: Need, state: State, mask: int) -> list[tuple[Score, int, Grant, State]]:
        options: dict[object, tuple[Score, int, Grant, State]] = {}
        for device, template in enumerate(state.kind.templates):
            if not mask >> device & 1:
                continue
            try:
                grant = need.grant(template, "", self._gates)
            except SelectorError:
                continue
            if grant is None:
                continue
            watched = need.admin and not template.shareable
            after = state if watched else self._machines.move(state, device, grant.units)
            if after is not None:
                alike = (after.id, template.id, device if watched or template.shareable else 0)
                options.setdefault(alike, (score(self._machines, state, after), device, grant, after))
        return sorted(options.values(), key=lambda o: o[:2])

    # --- one device at a time ------------------------------------------------------------------------------------

    def singles(self, need: Need) -> list[tuple[int, int, Grant]]:
        """Every way to serve one device of the need, best first."""
        return [(slot, device, grant) for _, slot, device, grant, _ in self._best_first(need)]

    def offers(self, need: Need, slot: int) -> bool:
        """Whether a component has a device for the need."""
        return bool(self._options(need, self._states[slot], self._board.slots[slot].mask))

    def tally(self, need: Need) -> int:
        """How many devices or shares the need could take of the board, one after another."""
        total = 0
        for state, mask in self._board.slots:
            if need.admin:
                total += len(self._options(need, state, mask))
                continue
            while total < TALLY_MAX and (options := self._options(need, state, mask)):
                if options[0][3] is state:
                    break
                state, total = options[0][3], total + 1
        return total

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

    def _hopeless(self, want: int) -> bool:
        return False


def solve(machines: Machines, gates: Gates, ask: Ask, board: Board, *, upstream: bool, budget: int) -> Outcome:
    """The answer to an ask on a board."""
    return Search(machines, gates, ask, board, upstream=upstream, budget=budget).run()
