"""A day in which nodes fail, in virtual time: every plan is audited, and at its end nothing is left."""

from __future__ import annotations

from bayplan.audit import audit
from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.scenario import of_fleet
from bayplan.clusters.simulator.world import World
from bayplan.core import decide
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.day import FLEET, HOURS


def test_every_plan_of_a_day_is_sound_and_everything_runs_to_its_end() -> None:
    def audited(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
        plan = decide(snapshot, policy, now_s=now_s)
        assert audit(snapshot, policy, plan) == (), now_s
        return plan

    scenario = of_fleet(parse_fleet(FLEET), HOURS)
    world = World(scenario, Policy(), decide=audited)
    result = world.run()
    assert result.finished == len(scenario.jobs) > 300
    assert result.interrupted > 5 and result.evictions > 10
    assert (world.snapshot.workloads, world.snapshot.pods, world.snapshot.claims) == ({}, {}, {})
