"""Killed in the middle of a thousand bindings: nothing is bound twice, no device given twice, everything is bound."""

from __future__ import annotations

from tests.cluster.checks import sound
from tests.cluster.history import History
from tests.cluster.restart import furnish, kill_and_restart
from tests.cluster.world import World
from tests.controlplane.run import ControlPlane

PODS = 1000


def test_killed_in_the_middle_of_a_thousand_bindings(plane: ControlPlane, world: World) -> None:
    furnish(world, PODS)
    with History(plane) as history:
        restart = kill_and_restart(plane, history, PODS, at=PODS // 3)
        print(restart)
        assert restart.bound_before < PODS
        world.until_bound(PODS)
        assert history.problems == []
    assert sound(world) == []
