"""The loop: observe → decide → audit → journal → apply, once per change of the world and once per tick.

It is level-triggered: an event says only "look again". Changes that come close together are one cycle; a tick passes
even when nothing changes, because time itself ends leases and moves forecasts.
"""

from __future__ import annotations

from collections.abc import Callable

from bayplan.model.base import Value
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime.journal import Journal
from bayplan.runtime.ports import Applied, Audit, Clock, Cluster, Decide, Temporary, Without, text_of
from bayplan.runtime.prices import Pricer

TICK_S = 15  # the longest a forecast or a lease may be out of date
RETRY_S = 1  # what was refused is decided again after this time even if nothing else changes
ROUNDS_MAX = 4  # how often a plan is made smaller before nothing of it is carried out
DEBOUNCE_S = 0.05  # a gang's pods are created within this time of one another


class Cycle(Value, frozen=True):
    """One cycle, for whoever watches. What `findings` are about was not carried out: the decisions about the workloads
    in `left_out`, or, where `applied` is None, none at all."""

    now_s: int
    snapshot: Snapshot
    plan: Plan
    findings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    applied: Applied | None = None


class Loop:
    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        *,
        decide: Decide,
        audit: Audit,
        without: Without | None = None,
        policy: Policy | None = None,
        pricer: Pricer | None = None,
        journal: Journal | None = None,
        watcher: Callable[[Cycle], None] | None = None,
        failed: Callable[[Temporary], None] | None = None,
        tick_s: int = TICK_S,
    ) -> None:
        """`without` leaves out what findings are about (else a plan with findings is not carried out at all); `pricer`
        adds prices to the policy; `watcher` sees every cycle, `failed` every failure that will be tried again."""
        self.policy = policy or Policy()
        self._pricer = pricer
        self._cluster = cluster
        self._clock = clock
        self._decide = decide
        self._audit = audit
        self._without = without
        self._journal = journal
        self._watcher = watcher
        self._failed = failed
        self._tick_s = tick_s
        self._seen: Snapshot | None = None
        self._due_s = 0

    def cycle(self) -> Cycle:
        """One cycle, now. Raises Temporary or Permanent."""
        now_s = self._clock.now_s()
        snapshot = self._cluster.observe()
        policy = self._pricer(self.policy, snapshot, now_s) if self._pricer else self.policy
        plan = self._decide(snapshot, policy, now_s=now_s)
        sound, findings = self._sound(snapshot, policy, plan)
        if self._journal:
            self._journal.append(snapshot, policy, now_s, plan, findings)
        applied = None if sound is None else self._cluster.apply(sound)
        kept = sound.decisions if sound else ()
        left_out = tuple(dict.fromkeys(d.workload for d in plan.decisions if d not in kept)) if findings else ()
        cycle = Cycle(now_s, snapshot, plan, findings, left_out, applied)
        refused = applied is not None and bool(applied.conflicts)
        self._seen, self._due_s = snapshot, now_s + (min(RETRY_S, self._tick_s) if refused else self._tick_s)
        if self._watcher:
            self._watcher(cycle)
        return cycle

    def _sound(self, snapshot: Snapshot, policy: Policy, plan: Plan) -> tuple[Plan | None, tuple[str, ...]]:
        """What of the plan the audit has nothing against, None for nothing; and all that it found."""
        sound, found = plan, self._audit(snapshot, policy, plan)
        told: dict[str, None] = dict.fromkeys(text_of(found))
        for _ in range(ROUNDS_MAX):
            smaller = self._without(snapshot, sound, found) if found and self._without else sound
            if smaller is sound:
                break
            sound, found = smaller, self._audit(snapshot, policy, smaller)
            told |= dict.fromkeys(text_of(found))
        return None if found else sound, tuple(told)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Cycles until `stopped`. A Temporary failure is waited out; Permanent ends the loop."""
        while not stopped():
            try:
                if self._is_due():
                    self.cycle()
                elif self._cluster.wait(max(0, self._due_s - self._clock.now_s())):
                    self._clock.sleep(DEBOUNCE_S)
            except Temporary as error:
                if self._failed:
                    self._failed(error)
                self._clock.sleep(error.retry_s)

    def _is_due(self) -> bool:
        """Whether the tick has come or the world is not the one last decided on."""
        return self._clock.now_s() >= self._due_s or self._cluster.observe() is not self._seen
