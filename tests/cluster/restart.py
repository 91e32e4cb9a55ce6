"""A scheduler that is killed with many bindings under way, and the one that comes after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from tests.cluster.history import History
from tests.cluster.process import Brain
from tests.cluster.world import World, pod, template
from tests.controlplane.run import ControlPlane

GPUS = 8  # per node


class Restart(NamedTuple):
    """Seconds from the start of the process that comes after to its readiness, first and last binding."""

    bound_before: int
    ready_s: float
    first_s: float
    last_s: float


def furnish(world: World, pods: int) -> None:
    """As many pods as GPUs, each with its claim made, and nobody to bind them."""
    world.fleet(f"n {pods // GPUS} h100-80gb")
    world.create(template("one", gpus=1))
    world.create_at_once(pod(f"p-{i}", claim="one", cpu="100m") for i in range(pods))
    world.eventually(lambda: len(world.all("ResourceClaim")) == pods, 120)


def kill_and_restart(plane: ControlPlane, history: History, pods: int, at: int) -> Restart:
    """Kills a scheduler as soon as `at` pods are bound, and lets the next one finish."""
    with Brain(plane) as brain:
        _wait(lambda: history.bound >= at, 120)
        brain.kill()
    _quiet(history)
    before = history.bound
    began = time.monotonic()
    with Brain(plane) as again:
        again.wait_ready(60)
        ready_s = time.monotonic() - began
        _wait(lambda: history.bound > before, 60)
        first_s = time.monotonic() - began
        _wait(lambda: history.bound >= pods, 240)
        return Restart(before, ready_s, first_s, time.monotonic() - began)


def _quiet(history: History) -> None:
    """What the dead one had sent has arrived."""
    seen = -1
    while seen != history.bound:
        seen = history.bound
        time.sleep(0.5)


def _wait(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        time.sleep(0.01)
