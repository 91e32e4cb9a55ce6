"""A day of virtual time in which plans are refused, lost and carried out by half, and nodes go and come back."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from typing import Any

import msgspec
import pytest

from bayplan.app.stream import Stream
from bayplan.audit import audit
from bayplan.clusters.embedded.body import EmbeddedCluster
from bayplan.clusters.embedded.store import Store
from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects
from bayplan.core import decide, describe
from bayplan.model.plan import Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Applied, Cycle, Loop, Temporary
from bayplan.wire.kinds import group_kind
from tests.cluster.checks import half_bound, over_allocated
from tests.day import DAY_S, FLEET

Json = dict[str, Any]

DRAIN_S = 6 * 3600  # the longest job may have been evicted just before its end
START_S = 1_800_000_000
GRACE_S = 3 * Policy().recovery_timeout_s  # pods that are placed and not bound have twice as long as those without
LOOK_S = 120


class Day:
    """The Cluster port over an embedded cluster, the clock it lives by, and what goes wrong, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.at_s = float(START_S)
        self.ends_s = START_S + DAY_S
        self.store = Store(now=lambda: datetime.fromtimestamp(self.at_s, UTC), uids=counted())
        self.resources = {(k.group, k.kind): k.resource for k in self.store.kinds}
        self.went_wrong: Counter[str] = Counter()
        self.bound = self.evicted = self.finished = 0
        self._random = random.Random(seed)
        self._body = EmbeddedCluster(self.store, describe=describe)
        fleet = parse_fleet(FLEET)
        self._hardware: dict[str, list[Json]] = {}
        for obj in fleet_objects(fleet):
            self._create(obj)
            node = obj["metadata"]["name"] if obj["kind"] == "Node" else obj.get("spec", {}).get("nodeName")
            if node:
                self._hardware.setdefault(node, []).append(obj)
        self._stream = Stream(self.store, fleet, START_S)
        self._outages = sorted(
            (START_S + at_s, o.node, on)
            for o in fleet.outages
            for at_s, on in ((o.at_seconds, False), (o.at_seconds + o.seconds, True))
        )
        self._next_look_s = START_S
        self._halves: dict[str, float] = {}

    # --- the ports -----------------------------------------------------------------------------------------------

    def observe(self) -> Snapshot:
        if self.at_s < self.ends_s:
            self._stream.step(int(self.at_s))
        while self._outages and self._outages[0][0] <= self.at_s:
            self._turn(*self._outages.pop(0)[1:])
        snapshot = self._body.observe()
        self._look()
        return snapshot

    def apply(self, plan: Plan) -> Applied:
        if not plan.placed() and not plan.evicted():
            return self._body.apply(plan)
        happens = self._random.choices(("", "refused", "lost", "stale", "half", "killed"), (70, 6, 6, 6, 6, 6))[0]
        self.went_wrong[happens] += 1
        match happens:
            case "refused":
                raise Temporary("nothing was written")
            case "stale":
                plan = Plan(tuple(msgspec.structs.replace(d, resource_version="1") for d in plan.decisions))
            case "half":
                plan = Plan(tuple(_half(d) if isinstance(d, Place) else d for d in plan.decisions))
        applied = self._body.apply(plan)
        self.bound += len(applied.bound)
        self.evicted += len(applied.evicted)
        if happens == "killed":
            self._body.close()
            self._body = EmbeddedCluster(self.store, describe=describe)
        if happens in ("lost", "half"):
            raise Temporary("nobody knows what was written")
        return applied

    def wait(self, seconds: float) -> bool:
        due = [self.at_s + seconds, self._body.due_s(), self._stream.due_s() if self.at_s < self.ends_s else None]
        due += [at_s for at_s, *_ in self._outages[:1]]
        self.at_s = max(self.at_s + 1, min(d for d in due if d is not None))
        return True

    def now_s(self) -> int:
        return int(self.at_s)

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds

    # --- what happens --------------------------------------------------------------------------------------------

    def _turn(self, node: str, on: bool) -> None:
        self.went_wrong["node back" if on else "node lost"] += 1
        for obj in self._hardware[node]:
            resource, name = self.resources[group_kind(obj)], obj["metadata"]["name"]
            is_there = self.store.find(resource, None, name) is not None
            if on and not is_there:
                self._create(obj)
            elif not on and is_there:
                self.store.delete(resource, None, name)

    def _create(self, obj: Json) -> None:
        self.store.create(self.resources[group_kind(obj)], obj["metadata"].get("namespace"), obj)

    # --- what is so ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Nothing is over-allocated, ever; no gang stays bound in part."""
        if self.at_s < self._next_look_s:
            return
        self._next_look_s = int(self.at_s) + LOOK_S
        assert list(over_allocated(self)) == [], self.now_s() - START_S
        halves = [line.partition(":")[0] for line in half_bound(self)]
        self._halves = {gang: self._halves.get(gang, self.at_s) for gang in halves}
        stuck = [gang for gang, since_s in self._halves.items() if self.at_s - since_s > GRACE_S]
        assert stuck == [], (self.now_s() - START_S, stuck)
        for job in filter(_is_over, self.all("Job")):  # its user has seen it
            self.finished += 1
            self.store.delete("jobs.batch", job["metadata"]["namespace"], job["metadata"]["name"])

    def all(self, kind: str, namespace: str = "") -> list[Json]:
        resource = next(r for (_, k), r in self.resources.items() if k == kind)
        return self.store.list(resource, namespace or None)[0]


def counted() -> Any:
    numbers = count(1)
    return lambda: f"00000000-0000-4000-8000-{next(numbers):012d}"


def _half(place: Place) -> Place:
    return msgspec.structs.replace(place, pods=place.pods[: (len(place.pods) + 1) // 2])


def service(name: str, team: str, replicas: int) -> Json:
    """A Deployment of shares that runs all day."""
    container = {
        "name": "main",
        "image": "chat:1",
        "resources": {"requests": {"cpu": "1"}, "claims": [{"name": "gpu"}]},
    }
    spec = {
        "schedulerName": "bayplan",
        "containers": [container],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "chat"}],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": team},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@pytest.mark.parametrize("seed", [1])
def test_after_a_day_of_misfortunes_everything_has_run_and_nothing_is_left(seed: int) -> None:
    day = Day(seed)
    day.store.create("deployments.apps", "blue", service("answers", "blue", 6))
    cycles: list[Cycle] = []

    def saw(cycle: Cycle) -> None:
        assert cycle.findings == ()
        cycles.append(cycle)

    loop = Loop(day, day, decide=decide, audit=audit, watcher=saw, tick_s=600)
    loop.run(lambda: day.at_s > day.ends_s)
    assert len([p for p in day.all("Pod", "blue") if p["metadata"]["name"].startswith("answers")]) == 6
    day.store.delete("deployments.apps", "blue", "answers")
    loop.run(lambda: day.at_s > day.ends_s + DRAIN_S)
    print(len(cycles), day.went_wrong, day.bound, day.evicted, day.finished)
    assert min(day.went_wrong[w] for w in ("refused", "lost", "stale", "half", "killed", "node lost")) > 5
    assert day.finished > 300 and day.evicted > 10
    assert day.all("Job") == [] and day.all("Pod") == [] and day.all("Workload") == []
    assert day.all("ResourceClaim") == []


def _is_over(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)
