"""Adversarial claims end: with an allocation, a proof, or a spent budget, told apart."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from bayplan.core.allocate.board import Verdict
from bayplan.core.allocate.single import allocate
from bayplan.model.device import DeviceConstraint, DeviceRequest, ResourceSlice
from tests.allocate.worlds import NODE, claim, classes, device, distinct, either, is_, match, request, slice_of

COUNT = 64
WANTED = 32


def counted(
    total: int, *, attributes: str = "group=g{half} eighth=e{eighth} id=i{i}", spread: int = 1
) -> list[ResourceSlice]:
    """64 devices on one counter set of `total`; device i takes 1 + 7i mod `spread`."""
    own = [
        device(
            f"d{i:02}",
            attributes.format(i=i, half=i % 2, eighth=i % 8),
            uses={"m": 1 + 7 * i % spread},
        )
        for i in range(COUNT)
    ]
    return [slice_of(*own, counters={"gpu": {"m": total}})]


def ones(*where: str) -> list[DeviceRequest]:
    return [request(f"r{i}", *where) for i in range(WANTED)]


def each_but_one() -> list[DeviceRequest]:
    """32 requests no two of which mean the same devices."""
    return [request(f"r{i}", f'device.attributes["gpu.test"].id != "i{i}"') for i in range(WANTED)]


class Hard(NamedTuple):
    slices: list[ResourceSlice]
    parts: list[DeviceRequest | DeviceConstraint]
    verdict: Verdict


FOUND, IMPOSSIBLE, UNDECIDED = Verdict.FOUND, Verdict.IMPOSSIBLE, Verdict.UNDECIDED
PLENTY = 10_000
HALVES = "group={half}"
ALTERNATIVES = [
    either(f"r{i}", *(request(f"s{j}", is_("eighth", f"e{(i + j) % 8}")) for j in range(8))) for i in range(WANTED)
]

CASES = {
    "all alike and all different": Hard(counted(PLENTY), [*ones(), match("group"), distinct("group")], IMPOSSIBLE),
    "exactly one half has enough": Hard(counted(PLENTY), [*ones(), match("group")], FOUND),
    "no value has enough": Hard(counted(PLENTY), [*ones(), match("eighth")], IMPOSSIBLE),
    "one request of 32 over too small groups": Hard(
        counted(PLENTY), [request(count=WANTED), match("eighth")], IMPOSSIBLE
    ),
    "too few different values": Hard(counted(PLENTY), [*ones(), distinct("eighth")], IMPOSSIBLE),
    "just enough different values": Hard(counted(PLENTY), [*ones(), distinct("id")], FOUND),
    "one unit short": Hard(counted(WANTED - 1), ones(), IMPOSSIBLE),
    "one unit short, every request different": Hard(counted(WANTED - 1), each_but_one(), IMPOSSIBLE),
    "just enough units": Hard(counted(WANTED), each_but_one(), FOUND),
    "even the cheapest devices are too dear": Hard(counted(110, spread=13), each_but_one(), IMPOSSIBLE),
    "contradicting constraints on parts of the requests": Hard(
        counted(PLENTY),
        [*each_but_one(), match("group", "r0", "r1"), match("eighth", "r1", "r2"), distinct("group", "r0", "r2")],
        IMPOSSIBLE,
    ),
    "a chain that asks too much of every group": Hard(
        counted(PLENTY), [*each_but_one(), *(match("eighth", f"r{i}", f"r{i + 1}") for i in range(31))], UNDECIDED
    ),
    "prioritised lists, one unit short": Hard(counted(WANTED - 1), list(ALTERNATIVES), IMPOSSIBLE),
    "prioritised lists, no group large enough": Hard(counted(PLENTY), [*ALTERNATIVES, match("eighth")], IMPOSSIBLE),
}


@pytest.mark.parametrize("order", ["packed", "upstream"])
@pytest.mark.parametrize("hard", CASES.values(), ids=CASES.keys())
def test_ends_with_a_verdict(hard: Hard, order: str) -> None:
    answer = allocate(NODE, [claim(*hard.parts)], hard.slices, classes(), order=order)
    assert answer.verdict is hard.verdict
    assert bool(answer.results) == (hard.verdict is FOUND)
    assert answer.steps < 500


@pytest.mark.parametrize("order", ["packed", "upstream"])
def test_a_larger_budget_turns_undecided_into_an_answer(order: str) -> None:
    slices = counted(PLENTY, attributes="list=a{eighth}+b{half}+c{i}")
    asked = claim(*(request(f"r{i}") for i in range(4)), distinct("list"))
    small = allocate(NODE, [asked], slices, classes(), order=order, budget=300)
    large = allocate(NODE, [asked], slices, classes(), order=order, budget=100_000)
    assert (small.verdict, large.verdict) == (UNDECIDED, IMPOSSIBLE)
