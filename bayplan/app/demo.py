"""The demo: the example fleet and its stream of work, plus three jobs that make a point, and what they prove.

The points: services that ask for a slice share cards, six to an A100-80GB; two gangs that want the same rack never
hold half of it each; what can never fit is said to be never. Every number is read from the running cluster.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from bayplan.app.cards import cards
from bayplan.app.embedded import Embedded, running
from bayplan.app.fleets import example_fleet
from bayplan.app.home import demo_home
from bayplan.app.running import Watcher
from bayplan.app.submit import Wish, job_objects
from bayplan.app.views.queue import QueueRow, queue_view
from bayplan.app.views.status import Status, status
from bayplan.app.words import called
from bayplan.clusters.simulator import Fleet
from bayplan.clusters.simulator.objects import BLOCK, RACK
from bayplan.core import decide
from bayplan.model.base import Value
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload
from bayplan.runtime import Cycle

SPEED = 20  # a job of an hour ends in three minutes, so that things happen while somebody looks
TWINS = ("twin-a", "twin-b")
TWIN_RUNTIME = "5min"
NEVER = "moonshot"
STOCK = Policy(score="kube-scheduler", allocate="upstream")
"""kube-scheduler's default scoring, and the first device that fits."""


class Sharing(Value, frozen=True):
    """Services on shared cards, and what others would make of the same services."""

    services: int = 0
    cards: int = 0
    most_on_a_card: int = 0
    stock_cards: int = 0
    stock_nodes: int = 0


class Twin(Value, frozen=True):
    """A gang of `pods` pods of which `bound` have a node; times are seconds, 0 = not yet."""

    name: str
    pods: int = 0
    bound: int = 0
    started_s: int = 0
    ended_s: int = 0


class Report(Value, frozen=True):
    """What the demo showed."""

    status: Status
    sharing: Sharing
    twins: tuple[Twin, ...]
    rack: str
    gangs: int
    half_started: int
    cycles: int
    placed: int
    evicted: int
    findings: int
    waiting: tuple[QueueRow, ...]


class Demo(Watcher):
    """Watches the demo's cycles and keeps what its report needs."""

    def __init__(self) -> None:
        super().__init__()
        self.twins = {name: Twin(name) for name in TWINS}
        self.rack = ""
        self.whole: set[str] = set()
        self.half_started: set[str] = set()

    def __call__(self, cycle: Cycle) -> None:
        bound: dict[str, int] = {}
        for pod in cycle.snapshot.pods.values():
            if pod.node:
                bound[pod.workload] = bound.get(pod.workload, 0) + 1
        self._watch_gangs(cycle.snapshot, bound)
        self._watch_twins(cycle, bound)
        super().__call__(cycle)

    @property
    def is_over(self) -> bool:
        """Whether everything the demo wants to show has been seen."""
        first, second = self.twins.values()
        return bool(first.ended_s and second.started_s and second.bound == second.pods)

    def report(self) -> Report:
        """What was shown so far; a cycle must have passed."""
        cycle = self.cycle
        assert cycle is not None
        waiting = queue_view(cycle.snapshot, cycle.plan, {}, now_s=cycle.now_s).rows
        return Report(
            status=status(cycle.snapshot, cycle.now_s),
            sharing=sharing(cycle.snapshot, cycle.now_s),
            twins=tuple(self.twins.values()),
            rack=self.rack,
            gangs=len(self.whole),
            half_started=len(self.half_started),
            cycles=self.cycles,
            placed=self.placed,
            evicted=self.evicted,
            findings=self.findings,
            waiting=waiting,
        )

    def _watch_gangs(self, snapshot: Snapshot, bound: dict[str, int]) -> None:
        for key, workload in snapshot.workloads.items():
            if workload.count > 1 and key not in self.whole and bound.get(key):
                (self.whole if bound[key] == workload.count else self.half_started).add(key)

    def _watch_twins(self, cycle: Cycle, bound: dict[str, int]) -> None:
        there = {called(w): w for w in cycle.snapshot.workloads.values() if called(w) in self.twins}
        for name, twin in self.twins.items():
            workload = there.get(name)
            if workload is None:
                if twin.started_s and not twin.ended_s:
                    self.twins[name] = msgspec.structs.replace(twin, bound=0, ended_s=cycle.now_s)
                continue
            pods = bound.get(workload.key, 0)
            started_s = twin.started_s or (cycle.now_s if pods == workload.count else 0)
            self.twins[name] = Twin(name, workload.count, pods, started_s)


@contextmanager
def running_demo() -> Iterator[tuple[Embedded, Demo]]:
    """A fresh demo cluster beside that of `bayplan up`, and who watches it; gone at the end. Raises BadInput."""
    at, demo = demo_home(), Demo()
    shutil.rmtree(at.path, ignore_errors=True)
    fleet, demo.rack = demo_fleet(example_fleet())
    try:
        with running(Embedded(at, fleet, speed=SPEED, watcher=demo)) as embedded:
            yield embedded, demo
    finally:
        shutil.rmtree(at.path, ignore_errors=True)


def demo_fleet(fleet: Fleet) -> tuple[Fleet, str]:
    """The fleet with the demo's three jobs in it, and the rack that two of them want."""
    group = max(fleet.nodes, key=lambda g: g.units if g.model and g.model.mode == "whole" else 0)
    last = (group.count - 1) // group.rack_size
    rack = f"{group.name}-b{last // group.racks_per_block}-r{last % group.racks_per_block}"
    first, second, *_ = (t.name for t in fleet.teams)
    highest = max(fleet.priorities, key=lambda name: fleet.priorities[name], default="")
    objects: list[dict[str, Any]] = []
    # the twins belong to one team at its highest priority, so that neither can be ended for the other
    for name, team in ((TWINS[0], second), (TWINS[1], second), (NEVER, first)):
        nodes = group.rack_size * (2 if name == NEVER else 1)
        wish = Wish(
            command=("python", "train.py"),
            name=name,
            nodes=nodes,
            gpus=group.gpus_per_node,
            topology="rack",
            is_required=True,
            priority=highest if name in TWINS else "",
            runtime=TWIN_RUNTIME,
        )
        made = job_objects(wish, team, team, RACK)
        pod = made[-1]["spec"]["template"]["spec"]
        pod["nodeSelector"] = {"bayplan.dev/pool": group.name} if name == NEVER else {RACK: rack, BLOCK: rack[:-3]}
        objects += made
    return msgspec.structs.replace(fleet, objects=fleet.objects + tuple(objects)), rack


def sharing(snapshot: Snapshot, now_s: int) -> Sharing:
    """How services that ask for a part of a card stand now, and how kube-scheduler would put the same services."""
    services = {key: w for key, w in snapshot.workloads.items() if w.admission and _is_slice(w)}
    holders: dict[tuple[str, str], int] = {}
    for listed in cards(snapshot).values():
        for card in listed:
            many = sum(1 for s in card.shares if s.holder in services)
            if many:
                holders[card.node, card.name] = many
    stock = _stock(snapshot, services, now_s)
    return Sharing(
        services=sum(holders.values()),
        cards=len(holders),
        most_on_a_card=max(holders.values(), default=0),
        stock_cards=len(stock),
        stock_nodes=len({node for node, _ in stock}),
    )


def _stock(snapshot: Snapshot, services: dict[str, Workload], now_s: int) -> set[tuple[str, str]]:
    """(node, device) of the services if kube-scheduler's scoring had placed them, one after another."""
    world = snapshot.without(*services)
    for workload in services.values():
        world = world.with_workload(msgspec.structs.replace(workload, admission=None))
    waiting = {k: w for k, w in world.workloads.items() if w.admission or k in services}
    plan: Plan = decide(world.replace(workloads=waiting), STOCK, now_s=now_s)
    return {
        (pod.node, given.device)
        for place in plan.placed()
        if place.workload in services
        for pod in place.pods
        for claim in pod.claims
        for given in claim.allocation.devices.results
    }


def _is_slice(workload: Workload) -> bool:
    requests = (
        r for s in workload.pod_sets for c in s.template.claims if c.template for r in c.template.devices.requests
    )
    return any(r.exactly is not None and r.exactly.capacity is not None for r in requests)
