"""Killed in the middle of a thousand bindings: nothing is bound twice, no device given twice, everything is bound."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.checks import sound
from tests.cluster.history import History, Seen
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


def on(node: str) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"nodeName": node} if node else {}}


def given(name: str, *devices: str) -> dict[str, Any]:
    results = [{"driver": "d", "pool": "n", "device": d} for d in devices]
    status = {"allocation": {"devices": {"results": results}}} if devices else {}
    return {"metadata": {"name": name}, "status": status}


@pytest.mark.parametrize(
    ("pods", "claims", "says"),
    [
        pytest.param([on(""), on("a"), on("a")], [given("x", "0"), given("y", "1")], [], id="as it should be"),
        pytest.param([on("a"), on("b")], [], ["pod p was on a and is on b"], id="bound twice"),
        pytest.param([], [given("x", "0"), given("x", "1")], ["claim x had"], id="another device"),
        pytest.param([], [given("x", "0"), given("y", "0")], ["device ('d', 'n', '0') was"], id="given twice"),
        pytest.param([], [given("x", "0"), given("x"), given("y", "0")], [], id="given on"),
    ],
)
def test_the_history_tells_what_must_not_be(pods: list[Any], claims: list[Any], says: list[str]) -> None:
    seen = Seen()
    for pod in pods:
        seen.pod("MODIFIED", pod)
    for claim in claims:
        seen.claim("MODIFIED", claim)
    assert [found.startswith(said) for found, said in zip(seen.problems, says, strict=True)] == [True] * len(says)
