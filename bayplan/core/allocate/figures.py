"""Figures about a board for people and scores: what is free, what of it is of use to an ask, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bayplan.core.allocate.asks import Ask, Need
from bayplan.core.allocate.board import Board, Slot
from bayplan.core.allocate.components import State
from bayplan.core.allocate.objective import free
from bayplan.core.allocate.offers import TALLY_MAX, Offers

ACCELERATORS = ("gpu", "tpu", "npu")


class Worth(NamedTuple):
    """What a state's devices are to an ask: GPU thousandths it could use, pods one after another, what one takes."""

    usable_milli: int
    pods: int
    milli_each: int


NO_WORTH = Worth(0, 0, 0)


class Misfit(NamedTuple):
    """Why an ask does not fit: the first request that fails alone or, if each fits alone, the last one.

    `matching` devices would do if they were free, `free` could be had now, `wanted` are asked for. `fits_empty`: an
    empty node of this kind would do. `undecided`: the search's budget was spent before a proof.
    """

    request: str
    wanted: int
    matching: int
    free: int
    fits_empty: bool
    undecided: bool


def is_gpu(state: State) -> bool:
    """Whether people count the component as a GPU (or TPU, NPU): by its driver's name, or because it has memory."""
    template = state.kind.templates[0]
    return any(word in template.driver for word in ACCELERATORS) or "memory" in template.names


def gpu_free(state: State) -> int:
    """Free thousandths, 0 for what is no GPU."""
    return free(state) if is_gpu(state) else 0


def free_milli(board: Board) -> tuple[int, ...]:
    """Free thousandths of each GPU, most first."""
    return tuple(sorted((free(slot.state) for slot in board.slots if is_gpu(slot.state)), reverse=True))


def usable_milli(offers: Offers, ask: Ask, board: Board) -> int:
    """Free thousandths on GPUs that could serve one device of the ask."""
    needs = [need for want in ask.wants for need in want]
    return sum(gpu_free(state) for state, mask in board.slots if any(offers.of(need, state, mask) for need in needs))


def worth(offers: Offers, ask: Ask, slots: Iterable[tuple[Slot, int]]) -> Worth | None:
    """What the slots, each there so many times, are to an ask; None where the ask's devices depend on one another."""
    if len(ask.wants) != 1 or len(ask.wants[0]) != 1 or ask.constraints:
        return None
    need = ask.wants[0][0]
    if need.every or need.admin or not need.count:
        return None
    usable = pods = each = 0
    for (state, mask), times in slots:
        part = _part(offers, need, state, mask)
        if part.pods > 1 and need.count > 1 and state.kind.templates[0].shareable:
            return None
        usable, pods, each = usable + part.usable_milli * times, pods + part.pods * times, max(each, part.milli_each)
    return Worth(usable, pods // need.count, each * need.count) if pods >= need.count else NO_WORTH


def _part(offers: Offers, need: Need, state: State, mask: int) -> Worth:
    """What one component is to a single device of a need, followed state by state until nothing is left."""
    key = ("worth", need.key, mask)
    chain: list[State] = []
    while key not in state.memo:
        ways = offers.of(need, state, mask)
        if not ways or ways[0].after is state:
            state.memo[key] = Worth(gpu_free(state), TALLY_MAX, 0) if ways else NO_WORTH
            break
        chain.append(state)
        state = ways[0].after
    for before in reversed(chain):
        after = state.memo[key]
        assert isinstance(after, Worth)
        before.memo[key] = Worth(gpu_free(before), after.pods + 1, gpu_free(before) - gpu_free(state))
        state = before
    found = state.memo[key]
    assert isinstance(found, Worth)
    return found


def misfit(offers: Offers, wants: Sequence[tuple[Need, ...]], now: Board, empty: Board) -> Misfit:
    """Which request lacks what; the best alternative speaks for a prioritised list."""
    worst: Misfit | None = None
    for want in wants:
        tallies = []
        for need in want:
            matching, available = offers.tally(need, empty), offers.tally(need, now)
            tallies.append((max(1, matching) if need.every else need.count, matching, available))
        wanted, matching, available = max(tallies, key=lambda t: (t[2] - t[0], t[1] - t[0]))
        worst = Misfit(want[0].name.partition("/")[0], wanted, matching, available, False, False)
        if available < wanted:
            break
    assert worst is not None, "an ask without requests always fits"
    return worst
