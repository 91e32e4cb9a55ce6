"""Which device of a node is taken depends on what is likely to be asked next, down to the starts of a partition.

Against every way there is: none would leave fewer of the likely requests stranded, counted here from NVIDIA's table.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.model.device import DeviceRequestAllocationResult
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.core.scenes import held, shares
from tests.devices import DRIVER, PARTITIONS
from tests.make import cluster

TABLE = {p.profile: p for p in PARTITIONS}
SMALL, ALL = ["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb"], ["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb"]


class Card(NamedTuple):
    """What is left of an A100: MiB, SMs, and its memory slices as bits."""

    memory: int = 80896
    sms: int = 98
    slices: int = 0

    def less(self, profile: str, start: int) -> Card | None:
        part = TABLE[profile]
        bits = ((1 << part.width) - 1) << start
        memory, sms = self.memory - part.a100[0], self.sms - part.a100[1]
        return None if memory < 0 or sms < 0 or self.slices & bits else Card(memory, sms, self.slices | bits)


@cache
def most(card: Card, profile: str) -> int:
    """How many partitions of one profile a card still has room for."""
    after = (card.less(profile, start) for start in TABLE[profile].starts)
    return max((1 + most(left, profile) for left in after if left), default=0)


def partition(card: int, profile: str, start: int) -> DeviceRequestAllocationResult:
    slug = profile.replace(".", "")
    name = f"gpu-{card}-mig-{slug}-{TABLE[profile].number}-{start}"
    return DeviceRequestAllocationResult("gpu", DRIVER, "a", name)


def chosen(world: Snapshot) -> str | None:
    """The device of workload `new`."""
    plan = decide(world, Policy(), now_s=100)
    assert audit(world, Policy(), plan) == ()
    for place in plan.placed():
        if place.workload == "default/new":
            return place.pods[0].claims[0].allocation.devices.results[0].device
    return None


@st.composite
def likely(draw: st.DrawFn, asks: list[str]) -> dict[str, int]:
    kinds = draw(st.lists(st.sampled_from(asks), min_size=1, max_size=3, unique=True))
    return {kind: draw(st.integers(5, 20)) for kind in kinds}


@settings(deadline=None, max_examples=60)
@given(
    before=st.lists(st.tuples(st.integers(0, 1), st.sampled_from(SMALL), st.integers(0, 6)), max_size=6),
    new=st.sampled_from(SMALL),
    mix=likely(ALL),
)
def test_a_partition_leaves_as_many_likely_ones_possible_as_any(
    before: list[tuple[int, str, int]], new: str, mix: dict[str, int]
) -> None:
    cards, results = [Card(), Card()], []
    for at, profile, start in before:
        after = cards[at].less(profile, start) if start in TABLE[profile].starts else None
        if after is not None:
            cards[at] = after
            results.append(partition(at, profile, start))
    asks = " ".join(f"m{i}:{many}x{profile}" for i, (profile, many) in enumerate(mix.items()))
    world = cluster("a=2:a100mig", f"new:{new}!9 {asks}").replace(claims=held(*results))
    ways = {
        partition(at, new, start).device: [left if i == at else c for i, c in enumerate(cards)]
        for at in (0, 1)
        for start in TABLE[new].starts
        if (left := cards[at].less(new, start))
    }
    device = chosen(world)
    assert (device is None) == (not ways)
    if device is not None:
        served = {name: _served(left, mix) for name, left in ways.items()}
        assert served[device] == max(served.values()), served


def _served(cards: list[Card], mix: dict[str, int]) -> int:
    """How many of the likely requests could be the next one."""
    return sum(many for profile, many in mix.items() if any(most(c, profile) for c in cards))


@pytest.mark.parametrize(
    ("mix", "start"),
    [
        pytest.param("m:9x2g.20gb", 6, id="two of 2g stay possible beside the last slice"),
        pytest.param("m:9x1g.20gb", 2, id="two of 1g.20gb do not need the second pair"),
    ],
)
def test_the_queue_decides_where_on_a_card_a_slice_is_cut(mix: str, start: int) -> None:
    """After a 2g.20gb at 0: starts 2 and 4 are left for 2g, 2, 4 and 6 for 1g.20gb."""
    world = cluster("a=1:a100mig", f"new:1g.10gb!9 {mix}").replace(claims=held(partition(0, "2g.20gb", 0)))
    found = chosen(world)
    assert found is not None
    left = Card().less("2g.20gb", 0)
    assert left is not None
    profile = mix.partition("x")[2]
    rooms = {s: most(c, profile) for s in range(7) if (c := left.less("1g.10gb", s))}
    assert rooms[int(found.rpartition("-")[2])] == max(rooms.values()) == rooms[start]


@pytest.mark.parametrize(
    ("mix", "card"),
    [
        pytest.param("m:9x12Gi", 1, id="36 + 36Gi hold six of 12Gi, 16 + 56Gi five"),
        pytest.param("m:9x40Gi", 0, id="16 + 56Gi hold one of 40Gi, 36 + 36Gi none"),
    ],
)
def test_a_share_goes_to_the_card_that_keeps_whole_multiples(mix: str, card: int) -> None:
    """20Gi on cards of which 36Gi and 56Gi are free."""
    assert (
        chosen(cluster("a=2:a100share", f"new:20Gi!9 {mix}").replace(claims=held(*shares("a", "44Gi", "24Gi"))))
        == f"gpu-{card}"
    )


def test_a_gang_heeds_the_queue_too() -> None:
    """Each of two 1g.10gb on a card of its own, at the start that costs nobody a 2g.20gb."""
    world = cluster("a=2:a100mig", "new:2x1g.10gb!9 m:9x2g.20gb").replace(
        claims=held(partition(0, "2g.20gb", 0), partition(1, "2g.20gb", 0))
    )
    plan = decide(world, Policy(), now_s=100)
    (new,) = (d for d in plan.placed() if d.workload == "default/new")
    first = new.pods[0].claims[0].allocation.devices.results[0].device
    assert first.endswith("-6")
