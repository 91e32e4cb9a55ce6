"""Whatever people do to it, in whatever order: no device twice, nothing left behind, everybody gets a turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayplan.clusters.embedded.errors import ApiError
from tests.embedded.world import CLAIMS, JOBS, WORKLOADS, World

Deed = tuple[Callable[..., None], tuple]


def start(world: World, count: int, gpus: int, runtime: int, priority: str, fails: bool) -> None:
    name = f"j{world.store.version}"
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": 5}
    world.job(name, str(gpus), count=count, runtime=runtime, priority=priority, exit_code=int(fails), spec=spec)


def lone(world: World, gpus: int, runtime: int) -> None:
    world.pod(f"p{world.store.version}", str(gpus), queue="team", runtime=runtime)


def delete_job(world: World, nth: int) -> None:
    jobs = world.all(JOBS)
    if jobs:
        world.store.delete(JOBS, "default", jobs[nth % len(jobs)]["metadata"]["name"])


def delete_pod(world: World, nth: int) -> None:
    pods = world.pods()
    if pods:
        world.store.delete("pods", "default", pods[nth % len(pods)]["metadata"]["name"])


def deactivate(world: World, nth: int) -> None:
    workloads = world.all(WORKLOADS)
    if workloads:
        name = workloads[nth % len(workloads)]["metadata"]["name"]
        world.store.patch(WORKLOADS, "default", name, {"spec": {"active": nth % 2 == 0}})


def cordon(world: World, nth: int) -> None:
    world.store.patch("nodes", None, "abc"[nth % 3], {"spec": {"unschedulable": nth % 2 == 0}})


SMALL = st.integers(0, 9)
DEEDS = st.one_of(
    st.tuples(
        st.just(start),
        st.tuples(
            st.integers(1, 3),
            st.sampled_from([1, 4, 8]),
            st.integers(1, 9),
            st.sampled_from(["", "high"]),
            st.booleans(),
        ),
    ),
    st.tuples(st.just(lone), st.tuples(st.sampled_from([1, 8]), st.integers(1, 9))),
    *(st.tuples(st.just(deed), st.tuples(SMALL)) for deed in (delete_job, delete_pod, deactivate, cordon)),
    st.tuples(st.just(World.run), st.tuples(st.integers(1, 5))),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DEEDS, max_size=14))
def test_any_history_is_sound_and_comes_to_an_end(history: list[Deed]) -> None:
    world = World("r1/a=8 r1/b=8 r2/c=8", queues="team=24")
    world.priority("high", 100)
    for deed, arguments in history:
        deed(world, *arguments)
        world.cycle()
        taken = world.devices_taken()
        assert len(taken) == len(set(taken)), "a device was given twice"
    for workload in world.all(WORKLOADS):
        world.store.patch(WORKLOADS, "default", workload["metadata"]["name"], {"spec": {"active": True}})
    for node in "abc":
        world.store.patch("nodes", None, node, {"spec": {"unschedulable": False}})
    world.run(150)
    assert world.devices_taken() == []
    assert world.all(CLAIMS) == []
    assert world.all(JOBS) == []
    assert [p["metadata"]["name"] for p in world.pods() if p["status"]["phase"] in ("Pending", "Running")] == []


def test_a_world_repeats_exactly() -> None:
    def history() -> list[bytes]:
        world = World("r1/a=8 r1/b=8", queues="team=16")
        for count in (1, 2, 2, 1):
            world.job(f"j{count}-{world.store.version}", "8", count=count, runtime=4)
            world.run(3)
        world.run(20)
        return [r.raw for resource in (JOBS, WORKLOADS, "pods", "events") for r in world.store.rows(resource)[0]]

    assert history() == history()


def test_two_writers_do_not_stop_the_controllers() -> None:
    world = World("a=8", queues="team=8")
    world.job("j", runtime=600)
    for number in range(5):
        world.run()
        world.store.patch(JOBS, "default", "j", {"metadata": {"labels": {"edited": str(number)}}})
    assert len(world.pods("Running")) == 1
    with pytest.raises(ApiError):
        world.store.bind("default", world.pods()[0]["metadata"]["name"], "b")
