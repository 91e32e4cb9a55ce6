"""A day of virtual time in which plans are refused, lost and carried out by half, and nodes go and come back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
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
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Applied, Cycle, Loop, Temporary
from bayplan.wire.kinds import group_kind
from tests.cluster.checks import half_bound, left_over, over_allocated

Json = dict[str, Any]

DAY_S = 24 * 3600
DRAIN_S = 6 * 3600  # the longest job may have been evicted just before its end
START_S = 1_800_000_000
GRACE_S = 300  # how long a gang may be bound in part: until the next cycles have bound the rest
LOOK_S = 60

FLEET = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: day}
seed: 3
nodes:
- {name: h100, count: 8, gpu: h100-80gb, cpu: "96", memory: 1Ti, rackSize: 4}
- {name: mig, count: 2, gpu: a100-80gb-mig, gpus: 4, cpu: "64", memory: 512Gi}
- {name: shared, count: 2, gpu: a100-80gb-shared, gpus: 4, cpu: "64", memory: 512Gi}
teams:
- {name: red, quota: {h100: 32, mig: 4, shared: 4}}
- {name: blue, quota: {h100: 32, mig: 4, shared: 4}}
priorities: {production: 1000, research: 100, batch: 0}
work:
- {name: pretrain, pods: [4], gpus: 8, nodes: h100, rack: required, priority: research, everySeconds: 7200,
   runtimeSeconds: [1800, 5400]}
- {name: finetune, pods: [2, 3], gpus: 4, nodes: h100, rack: preferred, priority: research, everySeconds: 2400,
   runtimeSeconds: [600, 3600]}
- {name: sweep, gpus: 1, nodes: h100, priority: batch, first: 20, everySeconds: 600, runtimeSeconds: [120, 3600]}
- {name: notebook, partition: 1g.20gb, nodes: mig, priority: research, everySeconds: 1200,
   runtimeSeconds: [600, 5400]}
- {name: chat, gpuMemory: 12Gi, nodes: shared, priority: production, everySeconds: 1200, runtimeSeconds: [900, 7200]}
"""


class Day:
    """The Cluster port over an embedded cluster, the clock it lives by, and what goes wrong, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.at_s = float(START_S)
        self.ends_s = START_S + DAY_S
        self.store = Store(now=lambda: datetime.fromtimestamp(self.at_s, UTC), uids=counted())
        self.resources = {(k.group, k.kind): k.resource for k in self.store.kinds}
        self.went_wrong: Counter[str] = Counter()
        self.bound = self.evicted = 0
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
        self._outages = sorted(self._draw_outages())
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

    def _draw_outages(self) -> Iterator[tuple[float, str, bool]]:
        """(when, node, whether it comes back): every two hours somewhere, for up to an hour."""
        at_s = float(START_S)
        while (at_s := at_s + self._random.expovariate(1 / 7200)) < self.ends_s:
            node = self._random.choice(sorted(self._hardware))
            yield at_s, node, False
            yield at_s + self._random.uniform(60, 3600), node, True

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
        self._halves = {gang: self._halves.get(gang, self.at_s) for gang in half_bound(self)}
        stuck = [gang for gang, since_s in self._halves.items() if self.at_s - since_s > GRACE_S]
        assert stuck == [], (self.now_s() - START_S, stuck)

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
    container = {"name": "main", "image": "chat:1", "resources": {"requests": {"cpu": "1"}, "claims": [{"name": "gpu"}]}}
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
    print(len(cycles), day.went_wrong, day.bound, day.evicted)
    assert min(day.went_wrong[w] for w in ("refused", "lost", "stale", "half", "killed", "node lost")) > 5
    assert day.bound > 300 and day.evicted > 10
    assert [j["metadata"]["name"] for j in day.all("Job") if not _is_over(j)] == []
    assert [p for p in day.all("Pod") if p["status"]["phase"] in ("Pending", "Running")] == []
    assert day.all("ResourceClaim") == [] and list(left_over(day)) == []


def _is_over(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)
