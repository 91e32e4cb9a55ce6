"""What ran of late is part of the request mix, and fades."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.core import decide
from bayplan.core.history import QUEUED, RECENT_MAX, recent
from bayplan.model.node import Node
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Admission
from tests.core.scenes import held, shares
from tests.make import cluster, workload

DAY_S = 86_400


def card(running: str, *, age_s: int = 0, half_life_s: int = DAY_S) -> str:
    """The card that a lone 20Gi gets on a node where 36Gi and 56Gi are free, when that runs elsewhere for so long."""
    world = cluster("a=2:a100share b=8:a100share", "new:20Gi", running=running)
    world = world.replace(claims=world.claims | held(*shares("a", "44Gi", "24Gi")), nodes=_cordoned(world, "b"))
    plan = decide(world, Policy(half_life_s=half_life_s), now_s=10 + age_s)
    (new,) = plan.placed()
    assert decide(world, Policy(half_life_s=half_life_s), now_s=10 + age_s) == plan
    return new.pods[0].claims[0].allocation.devices.results[0].device


def _cordoned(world: Snapshot, name: str) -> dict[str, Node]:
    return world.nodes | {name: msgspec.structs.replace(world.nodes[name], unschedulable=True)}


TWELVES = " ".join(f"t{i}:12Gi@b" for i in range(9))
FORTIES = " ".join(f"f{i}:40Gi@b" for i in range(9))


def test_with_an_empty_queue_the_mix_is_what_ran_of_late() -> None:
    assert (card(TWELVES), card(FORTIES)) == ("gpu-1", "gpu-0")


def test_what_ran_long_ago_does_not_count() -> None:
    assert card(TWELVES, age_s=90 * DAY_S) == card(TWELVES, half_life_s=0) == card("")


@pytest.mark.parametrize(
    ("age_s", "weight"),
    [(-5, QUEUED), (0, QUEUED), (DAY_S, QUEUED // 2), (DAY_S // 2, QUEUED * 3 // 4), (2 * DAY_S, QUEUED // 4)],
)
def test_half_as_much_after_a_half_life(age_s: int, weight: int) -> None:
    ran = msgspec.structs.replace(workload("x:1"), admission=Admission("q", admitted_s=1000))
    assert [w for w, _ in recent([ran], DAY_S, 1000 + age_s)] == [weight]


def test_never_more_with_time_and_nothing_in_the_end() -> None:
    ran = msgspec.structs.replace(workload("x:1"), admission=Admission("q", admitted_s=0))
    weights = [sum(w for w, _ in recent([ran], DAY_S, hour * 3600)) for hour in range(400)]
    assert weights == sorted(weights, reverse=True) and weights[-1] == 0


def test_the_latest_count_and_none_where_the_policy_says_so() -> None:
    ran = [msgspec.structs.replace(workload(f"x{i}:1"), admission=Admission("q", admitted_s=i)) for i in range(1000)]
    assert {w.name for _, w in recent(ran, DAY_S, 1000)} == {f"x{i}" for i in range(1000 - RECENT_MAX, 1000)}
    assert recent(ran, 0, 1000) == []
