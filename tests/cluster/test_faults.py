"""What goes wrong in real clusters, and that it ends as if nothing had: killed, cut off, refused, deposed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from bayplan.app.scheduler import LEASE, NAMESPACE
from bayplan.clusters.kubernetes.body import REDISCOVER_S
from tests.cluster.checks import sound
from tests.cluster.process import Brain
from tests.cluster.proxy import FaultyProxy
from tests.cluster.world import World, job, pod, template
from tests.controlplane.run import ControlPlane

ELECTED = ("--leader-elect",)
PODS = 14


def work(world: World) -> None:
    """Two gangs, single GPUs and shares: fourteen pods that all fit."""
    world.fleet("h100 4 h100-80gb", "sh 1 a100-80gb-shared")
    world.create(template("one", gpus=1), template("four", gpus=4), template("share", memory="12Gi"))
    world.create(job("gang", pods=4, claim="four", rack=True), job("pair", pods=2, claim="four"))
    world.create(*(pod(f"p-{i}", claim="one") for i in range(4)), *(pod(f"s-{i}", claim="share") for i in range(4)))


def ends_well(world: World, seconds: float = 60) -> None:
    world.until_bound(PODS, seconds=seconds)
    world.eventually(lambda: sound(world) == [], 20, lambda: str(sound(world)))


@pytest.mark.parametrize("after", [1, 2, 4, 7, 11, 16, 23, 31])
def test_killed_before_any_write_and_started_again(plane: ControlPlane, world: World, after: int) -> None:
    work(world)
    proxy = FaultyProxy(plane, kill_after=after)
    try:
        with Brain(plane, server=proxy.url) as brain:
            assert proxy.on_kill.wait(30)
            brain.kill(signal.SIGKILL)
    finally:
        proxy.close()
    began = time.monotonic()
    with Brain(plane) as again:
        again.wait_ready()
        assert time.monotonic() - began < 15
        ends_well(world)


@pytest.mark.parametrize("seed", [1, 2])
def test_30_percent_of_the_writes_go_wrong(plane: ControlPlane, world: World, seed: int) -> None:
    proxy = FaultyProxy(plane, share=30, seed=seed)
    try:
        with Brain(plane, server=proxy.url) as brain:
            brain.wait_ready()
            work(world)
            ends_well(world, 90)
            assert proxy.failed > 5
    finally:
        proxy.close()


def test_watches_that_end_with_410_are_listed_anew(plane: ControlPlane, world: World) -> None:
    proxy = FaultyProxy(plane)
    try:
        with Brain(plane, server=proxy.url) as brain:
            brain.wait_ready()
            work(world)
            proxy.expire()
            world.eventually(lambda: proxy.expired > 5)
            ends_well(world)
            proxy.expire()
            world.create(pod("late", claim="one"))
            world.until_bound(PODS + 1)
            assert sound(world) == []
    finally:
        proxy.close()


def test_the_api_server_restarts_in_the_middle(plane: ControlPlane, world: World, brain: Brain) -> None:
    work(world)
    plane.stop("kube-apiserver", signal.SIGKILL)
    time.sleep(2)
    plane.start("kube-apiserver")
    plane.wait_ready()
    ends_well(world, 90)


def test_an_api_server_that_knows_nobody_yet_is_waited_for(plane: ControlPlane, world: World) -> None:
    """Right after its start it has read no roles, and refuses everybody for a moment."""
    proxy = FaultyProxy(plane)
    try:
        with Brain(plane, server=proxy.url) as brain:
            brain.wait_ready()
            proxy.forgets = True
            proxy.expire()
            work(world)
            time.sleep(REDISCOVER_S + 2)
            proxy.forgets = False
            ends_well(world, 90)
            assert brain.process is not None and brain.process.poll() is None
    finally:
        proxy.close()


def test_etcd_stands_still_for_a_while(plane: ControlPlane, world: World, brain: Brain) -> None:
    work(world)
    plane.pause("etcd")
    time.sleep(6)
    plane.resume("etcd")
    ends_well(world, 90)


@pytest.fixture
def lease(world: World) -> Iterator[str]:
    world.delete("Lease", LEASE, NAMESPACE)
    yield LEASE
    world.delete("Lease", LEASE, NAMESPACE)


def test_of_two_replicas_one_leads_and_the_other_takes_over(plane: ControlPlane, world: World, lease: str) -> None:
    with Brain(plane, *ELECTED) as one, Brain(plane, *ELECTED) as two:
        leader = world.eventually(lambda: next((b for b in (one, two) if leads(b)), None), 30)
        other = two if leader is one else one
        work(world)
        ends_well(world)
        assert not writes(other)
        assert leader.kill(signal.SIGTERM) == 0  # graceful: the lease is given up, nobody waits for its end
        began = time.monotonic()
        world.create(pod("late", claim="one"))
        world.until_bound(PODS + 1, seconds=30)
        assert leads(other) and time.monotonic() - began < 10
        assert sound(world) == []


def test_a_leader_whose_lease_is_stolen_ends_and_writes_nothing_more(
    plane: ControlPlane, world: World, lease: str
) -> None:
    with Brain(plane, *ELECTED) as brain:
        world.eventually(lambda: leads(brain), 30)
        world.patch("Lease", lease, {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}}, NAMESPACE)
        assert brain.process is not None
        assert brain.process.wait(15) == 1
        work(world)
        time.sleep(1)
        assert world.bound() == {}


def test_a_leader_that_slept_through_its_lease_writes_nothing(plane: ControlPlane, world: World, lease: str) -> None:
    work(world)
    with Brain(plane, *ELECTED) as sleeper:
        world.eventually(lambda: leads(sleeper), 30)
        ends_well(world)
        sleeper.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
        with Brain(plane, *ELECTED) as other:
            world.eventually(lambda: leads(other), 40)
            world.create(pod("late", claim="one"))
            sleeper.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
            world.until_bound(PODS + 1)
            assert sleeper.process.wait(15) == 1  # type: ignore[union-attr]
            assert sound(world) == []


def leads(brain: Brain) -> bool:
    return brain.probe("/metrics") == 200 and brain.metrics().get("bayplan_leader") == 1


def writes(brain: Brain) -> float:
    return sum(n for name, n in brain.metrics().items() if name.startswith("bayplan_api_writes_total"))
