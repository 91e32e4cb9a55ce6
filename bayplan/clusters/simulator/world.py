"""A cluster in virtual time: jobs arrive, `decide` places them, they run and end.

The clock jumps from event to event; all events of one second happen before the decision of that second: ends, nodes
that go and come, arrivals. A decision is asked for only when something happened, at most every `cycle_s` seconds, and
carried out on the snapshot with the same what-ifs everything else uses (`placing`, `without`), so that nothing here can
place differently from the live loop. A job that is evicted, or loses a node under it, starts again from the beginning.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import NamedTuple

import msgspec

from bayplan.clusters.simulator.meter import Meter, Usage, extended_milli, usage
from bayplan.clusters.simulator.result import QueueResult, Result, Spread
from bayplan.core import decide
from bayplan.model.plan import Evict, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload
from bayplan.runtime import Pricer

Decide = Callable[..., Plan]
SAMPLES_MAX = 50  # how GPUs are used is worked out this often in a run, not at every event
MIX_JOBS_MAX = 2000  # the first so many jobs say what is likely to be asked
SETTLE_MAX = 8  # decisions in one second: evictions free room at once, which is decided again


class Job(NamedTuple):
    """A workload that arrives at `at_s` and, once placed, runs for `runtime_s` seconds.

    `used_gpu_bytes` is the memory it really needs of each GPU it gets, 0 = all it asked for.
    """

    at_s: int
    workload: Workload
    runtime_s: int
    used_gpu_bytes: int = 0


class Outage(NamedTuple):
    """A node that is gone, with its devices, from `at_s` for `seconds`."""

    at_s: int
    node: str
    seconds: int


class Scenario(NamedTuple):
    """A cluster, the jobs that come to it in order of arrival, and what of it fails."""

    name: str
    cluster: Snapshot
    jobs: tuple[Job, ...]
    outages: tuple[Outage, ...] = ()


class Progress(NamedTuple):
    """How far a run is."""

    now_s: int
    arrived: int
    finished: int
    jobs: int


class _Kind(IntEnum):
    END = 0
    OUTAGE = 1
    ARRIVAL = 2


class _Event(NamedTuple):
    """`key` is the workload, or the node; `serial` makes ties total, and tells an end from one that was made void."""

    at_s: int
    kind: _Kind
    serial: int
    key: str


class _Run(NamedTuple):
    """A job that runs: since when, for whom, and its GPUs in thousandths."""

    started_s: int
    namespace: str
    serial: int
    held_milli: int
    needed_milli: int


class World:
    """One run. `decide` is the brain under test; `cycle_s` the shortest time between two decisions.

    `named` is what the result calls the policy, by default its score.
    """

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy,
        *,
        cycle_s: int = 1,
        decide: Decide = decide,
        pricer: Pricer | None = None,
        named: str = "",
    ) -> None:
        assert cycle_s >= 1
        self.snapshot, self.policy = scenario.cluster, policy
        self.now_s, self._named = 0, named or policy.score
        self._scenario, self._cycle_s, self._decide, self._pricer = scenario, cycle_s, decide, pricer
        self._jobs = {j.workload.key: j for j in scenario.jobs}
        assert len(self._jobs) == len(scenario.jobs), "jobs of a scenario have different names"
        self._meter = Meter(scenario.cluster)
        self._mix = [j.workload for j in scenario.jobs[:MIX_JOBS_MAX]]
        self._events = [_Event(j.at_s, _Kind.ARRIVAL, i, j.workload.key) for i, j in enumerate(scenario.jobs)]
        for outage in scenario.outages:
            assert outage.node in scenario.cluster.nodes, outage
            for at_s in (outage.at_s, outage.at_s + outage.seconds):
                self._events.append(_Event(at_s, _Kind.OUTAGE, len(self._events), outage.node))
        heapq.heapify(self._events)
        self._serial = len(self._events)
        self._running: dict[str, _Run] = {}
        self._dirty, self._decided_s = False, -cycle_s
        self._tally = _Tally(self._meter.capacity_milli)
        last_s = max((j.at_s for j in scenario.jobs), default=0)
        self._sample_s, self._next_sample_s, self._last_s = max(1, last_s // SAMPLES_MAX), 0, last_s

    def run(self, until_s: int = 0, progress: Callable[[Progress], None] | None = None) -> Result:
        """Runs to the end of all work that can run, or to `until_s`."""
        while True:
            at_s = self._next_s()
            if at_s is None or (until_s and at_s > until_s):
                break
            self._step(at_s)
            if progress is not None:
                progress(Progress(self.now_s, self._tally.arrived, len(self._tally.completions), len(self._jobs)))
        return self._tally.result(self._scenario.name, self._named, self.now_s, len(self._running))

    def _next_s(self) -> int | None:
        """The next second in which something happens: an event, or a decision that had to wait for its cycle."""
        due = self._decided_s + self._cycle_s if self._asks_for_decision else None
        is_over = not self.snapshot.workloads and self._tally.arrived == len(self._jobs)
        event = self._events[0].at_s if self._events and not is_over else None
        return event if due is None else due if event is None else min(due, event)

    @property
    def _asks_for_decision(self) -> bool:
        return self._dirty and len(self.snapshot.workloads) > len(self._running)

    def _step(self, at_s: int) -> None:
        self._advance(at_s)
        while self._events and self._events[0].at_s == at_s:
            event = heapq.heappop(self._events)
            if event.kind is _Kind.ARRIVAL:
                self._arrive(event.key)
            elif event.kind is _Kind.OUTAGE:
                self._fail()
            else:
                self._end(event)
        if self._asks_for_decision and at_s >= self._decided_s + self._cycle_s:
            self._settle()
        if at_s >= self._next_sample_s and at_s <= self._last_s:
            self._tally.samples.append(usage(self.snapshot, self.policy, self._mix))
            self._next_sample_s = at_s + self._sample_s

    def _advance(self, at_s: int) -> None:
        if self.now_s < self._last_s:
            self._tally.hold(self._running.values(), min(at_s, self._last_s) - self.now_s)
        self.now_s = at_s

    def _arrive(self, key: str) -> None:
        workload = msgspec.structs.replace(self._jobs[key].workload, created_s=self.now_s)
        self.snapshot = self.snapshot.with_workload(workload)
        self._tally.arrived += 1
        self._dirty = True

    def _end(self, event: _Event) -> None:
        run = self._running.get(event.key)
        if run is None or run.serial != event.serial:
            return
        job = self._jobs[event.key]
        del self._running[event.key]
        self.snapshot = self.snapshot.without(event.key)
        self._tally.finish(job, run, self.now_s)
        self._dirty = True

    def _fail(self) -> None:
        """The nodes there are now, and the jobs of those that have gone wait again."""
        whole = self._scenario.cluster
        gone = {o.node for o in self._scenario.outages if o.at_s <= self.now_s < o.at_s + o.seconds}
        for key in {p.workload: None for p in self.snapshot.pods.values() if p.node in gone}:
            self._tally.interrupted += self._stop(key)
        self.snapshot = self.snapshot.replace(
            nodes={k: n for k, n in whole.nodes.items() if k not in gone},
            slices=tuple(s for s in whole.slices if s.spec.node_name not in gone),
        )
        self._dirty = True

    def _settle(self) -> None:
        """Decides until nothing is evicted any more; everything takes effect in this second."""
        for _ in range(SETTLE_MAX):
            policy = self._pricer(self.policy, self.snapshot, self.now_s) if self._pricer else self.policy
            plan = self._decide(self.snapshot, policy, now_s=self.now_s)
            self._tally.cycles += 1
            for decision in plan.decisions:
                if isinstance(decision, Evict):
                    self._tally.evictions += self._stop(decision.workload)
                elif isinstance(decision, Place):
                    self._place(decision)
            self.snapshot = self.snapshot.told(plan)
            if not plan.evicted():
                break
        self._dirty, self._decided_s = False, self.now_s

    def _place(self, place: Place) -> None:
        self.snapshot = self.snapshot.placing(place, now_s=self.now_s)
        workload, job = self.snapshot.workloads[place.workload], self._jobs[place.workload]
        asked = {(s.name, c.name): c.template for s in workload.pod_sets for c in s.template.claims}
        held = needed = extended_milli(workload)
        for pod in place.pods:
            for claim in pod.claims:
                held += self._meter.held_milli(claim.allocation)
                template = asked.get((pod.pod_set, claim.name))
                needed += self._meter.needed_milli(claim.allocation, template, job.used_gpu_bytes)
        self._serial += 1
        self._running[place.workload] = _Run(self.now_s, workload.namespace, self._serial, held, needed)
        ends_s = self.now_s + max(1, job.runtime_s)
        heapq.heappush(self._events, _Event(ends_s, _Kind.END, self._serial, place.workload))

    def _stop(self, key: str) -> bool:
        """Ends a job that runs, to wait again from the beginning; whether it ran."""
        run = self._running.pop(key, None)
        if run is None:
            return False
        workload = msgspec.structs.replace(self.snapshot.workloads[key], admission=None)
        self.snapshot = self.snapshot.without(key).with_workload(workload)
        self._tally.lose(run, self.now_s)
        return True


class _Tally:
    """Sums over a run. GPU time is in thousandths of a GPU times seconds."""

    def __init__(self, capacity_milli: int) -> None:
        self.capacity_milli = capacity_milli
        self.arrived = self.cycles = self.evictions = self.interrupted = 0
        self.completions: list[tuple[str, int, int, int]] = []
        self._held: dict[str, int] = {}
        self._needed: dict[str, int] = {}
        self._span_s = self._worked = self._lost = 0
        self.samples: list[Usage] = []

    def hold(self, runs: Iterable[_Run], seconds: int) -> None:
        for run in runs:
            self._held[run.namespace] = self._held.get(run.namespace, 0) + run.held_milli * seconds
            self._needed[run.namespace] = self._needed.get(run.namespace, 0) + run.needed_milli * seconds
        self._span_s += seconds

    def finish(self, job: Job, run: _Run, now_s: int) -> None:
        worked = run.held_milli * (now_s - run.started_s)
        self._worked += worked
        self.completions.append((job.workload.namespace, run.started_s - job.at_s, now_s - job.at_s, worked))

    def lose(self, run: _Run, now_s: int) -> None:
        self._lost += run.held_milli * (now_s - run.started_s)

    def result(self, scenario: str, policy: str, ended_s: int, running: int) -> Result:
        held = sum(self._held.values())
        return Result(
            scenario=scenario,
            policy=policy,
            jobs=self.arrived,
            finished=len(self.completions),
            waiting=self.arrived - len(self.completions) - running,
            running=running,
            ended_s=ended_s,
            capacity_gpus=self.capacity_milli / 1000,
            utilisation=_percent(held, self.capacity_milli * self._span_s),
            stranded=_percent(sum(u.stranded_milli for u in self.samples), sum(u.free_milli for u in self.samples)),
            cards=_mean([u.cards for u in self.samples]),
            nodes=_mean([u.nodes for u in self.samples]),
            waste=_percent(held - sum(self._needed.values()), held),
            gpu_hours=_hours(self._worked),
            lost_gpu_hours=_hours(self._lost),
            evictions=self.evictions,
            interrupted=self.interrupted,
            cycles=self.cycles,
            wait=Spread.of([wait for _, wait, _, _ in self.completions]),
            completion=Spread.of([whole for _, _, whole, _ in self.completions]),
            queues=tuple(self._queue(name) for name in sorted({c[0] for c in self.completions} | self._held.keys())),
        )

    def _queue(self, name: str) -> QueueResult:
        mine = [c for c in self.completions if c[0] == name]
        waits = Spread.of([wait for _, wait, _, _ in mine])
        held = self._held.get(name, 0)
        waste = _percent(held - self._needed.get(name, 0), held)
        return QueueResult(name, len(mine), waits, _hours(sum(worked for *_, worked in mine)), waste)


def _mean(counts: list[int]) -> float:
    return round(sum(counts) / len(counts), 1) if counts else 0.0


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _hours(milli_seconds: int) -> float:
    return round(milli_seconds / 1000 / 3600, 2)
