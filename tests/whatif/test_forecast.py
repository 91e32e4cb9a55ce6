"""When waiting workloads start, and what would let them start sooner."""

from __future__ import annotations

from bayplan.whatif import Remedy, Start, forecast, remedies
from tests.core.scenes import POLICY
from tests.make import cluster


def test_what_fits_now_starts_now() -> None:
    assert forecast(cluster("a=8", "x:8"), POLICY, now_s=50) == {"default/x": Start(50, 50)}


def test_what_waits_starts_when_the_one_before_it_ends() -> None:
    snapshot = cluster("a=8", "x:8%100 y:8", running="old:8%300@a")
    assert forecast(snapshot, POLICY, now_s=10) == {
        "default/x": Start(301, 301, ("default/old",)),
        "default/y": Start(401, 401, ("default/old", "default/x")),
    }


def test_ends_close_together_and_far_off_are_taken_as_one() -> None:
    snapshot = cluster("a=8 b=8", "x:2x8", running="soon:4%100@a late:4%1000@a later:8%1010@b")
    assert forecast(snapshot, POLICY, now_s=10)["default/x"] == Start(
        1013, 1002, ("default/soon", "default/late", "default/later")
    )


def test_what_waits_for_a_service_has_no_start() -> None:
    assert forecast(cluster("a=8", "x:8", running="service:8@a"), POLICY, now_s=10) == {}


def test_a_preemptor_starts_once_its_victims_have_left() -> None:
    starts = forecast(cluster("a=8", "high:8!9", running="low:8@a"), POLICY, now_s=10)
    assert starts["default/high"] == Start(10, 10)


def test_a_forecast_for_one_ends_with_its_start() -> None:
    snapshot = cluster("a=8", "x:8%100 y:8%100 z:8", running="old:8%300@a")
    assert "default/z" not in forecast(snapshot, POLICY, now_s=10, only="default/x")


def test_a_gang_that_wants_one_rack_could_start_in_two() -> None:
    snapshot = cluster("r1/a=8 r2/b=8", "gang:2x8@rack")
    assert Remedy("with rack preferred instead of required", "b0") in remedies(
        snapshot, POLICY, "default/gang", now_s=1
    )


def test_fewer_pods_are_found_by_halving() -> None:
    snapshot = cluster("a=8 b=8 c=8", "gang:5x8")
    assert [r.change for r in remedies(snapshot, POLICY, "default/gang", now_s=1)] == ["with 3 of 5 pods"]


def test_another_queue_with_room_is_named() -> None:
    snapshot = cluster("a=8 b=8", "mine/x:2x8", queues="mine=8 yours=16")
    assert [r.change for r in remedies(snapshot, POLICY, "default/x", now_s=1)] == [
        "in queue default/yours",
        "with 1 of 2 pods",
    ]


def test_a_higher_priority_says_whom_it_would_end() -> None:
    snapshot = cluster("a=8", "x:8", running="old:8@a")
    assert remedies(snapshot, POLICY, "default/x", now_s=1) == (
        Remedy("with priority 1 (now 0)", evicts=("default/old",)),
    )


def test_what_is_before_it_in_the_queue_stays_before_it() -> None:
    snapshot = cluster("a=8", "first:8!5 x:8")
    assert all("with priority" in r.change for r in remedies(snapshot, POLICY, "default/x", now_s=1))
