"""The embedded cluster as a body: the store, its controllers and its kubelets behind the one port.

Nothing here has a thread. `observe` and `apply` let the controllers and kubelets do what is due, so whoever calls them
in a loop runs the whole cluster; the HTTP server beside it only reads and writes the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from bayplan.clusters.embedded.controllers import CONTROLLERS, OURS, Controllers
from bayplan.clusters.embedded.errors import ApiError
from bayplan.clusters.embedded.kubelet import Kubelets, Pace
from bayplan.clusters.embedded.store import Store
from bayplan.clusters.embedded.watch import Watch
from bayplan.model.plan import Plan
from bayplan.model.snapshot import Snapshot
from bayplan.runtime.carrying import Carrier
from bayplan.runtime.controllers import events
from bayplan.runtime.mirror import KINDS, GroupKind, Mirror
from bayplan.runtime.ports import Applied, Describe
from bayplan.wire.errors import Malformed

Forecast = Callable[[Plan, Snapshot], Mapping[str, str]]
"""When held workloads are expected to start, in words, by workload."""

# Rounds in which controllers and kubelets answer one another before the caller gets its turn; what is left is done
# at the next call. A chain is job → pods → claims → …: some five rounds.
ROUNDS_MAX = 50


class EmbeddedCluster:
    """The `Cluster` port over a store. One thread calls it; others may use the store meanwhile."""

    def __init__(
        self, store: Store, *, describe: Describe, forecast: Forecast | None = None, pace: Pace | None = None
    ) -> None:
        """`describe` words a hold for people (WHY), `forecast` says when holds are expected to end (START)."""
        self.store = store
        self.kubelets = Kubelets(store, pace)
        self._controllers = Controllers(store, CONTROLLERS)
        self._mirror = Mirror()
        self._carrier = Carrier(store, self._mirror, describe, whose=OURS)
        self._forecast = forecast
        self._watch: Watch | None = None
        self._kinds: dict[str, GroupKind] = {}
        self._revision = -1
        self._told: dict[str, Malformed] = {}
        self._changed = threading.Event()
        self._stop = store.subscribe(lambda version: self._changed.set())

    def observe(self) -> Snapshot:
        """The cluster now, after everything that is due has happened."""
        self._changed.clear()
        self.settle()
        self._follow()
        return self._mirror.snapshot()

    def apply(self, plan: Plan) -> Applied:
        """Carries the plan out; what the world has overtaken is a Conflict."""
        self._follow()
        seen = self._mirror.snapshot()
        starts = self._forecast(plan, seen) if self._forecast else {}
        applied = self._carrier.carry_out(plan, seen, starts, self._now_s())
        self.settle()
        return applied

    def wait(self, seconds: float) -> bool:
        """Until something is written, or due, or the time is over."""
        due_s = self.due_s()
        if due_s is not None and due_s - self._now_s() < seconds:
            self._changed.wait(max(0, due_s - self._now_s()))
            return True
        return self._changed.wait(seconds)

    def settle(self) -> None:
        """Controllers and kubelets do what is due, and what follows from that."""
        now_s = self._now_s()
        for _ in range(ROUNDS_MAX):
            worked = self._controllers.step(now_s)
            worked |= self.kubelets.step(now_s)
            if not worked:
                return

    def due_s(self) -> int | None:
        """The next second at which something happens by itself; None if nothing will."""
        due = (self._controllers.due_s(), self.kubelets.due_s())
        return min((at for at in due if at is not None), default=None)

    def close(self) -> None:
        self._stop()

    def _now_s(self) -> int:
        return int(self.store.now().timestamp())

    # --- the mirror ----------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Brings the mirror up to date with the store."""
        if self._watch is None or self._revision != self.store.kinds.revision:
            self._start()
        else:
            try:
                changes = self._watch.poll()
            except ApiError:
                # Too far behind the store's history: everything is read anew.
                self._start()
                changes = []
            for change in changes:
                record, kind = change.record, self._kinds[change.record.resource]
                key = f"{record.namespace}/{record.name}" if record.namespace else record.name
                if change.type == "DELETED":
                    self._mirror.drop(kind, key, str(change.version))
                else:
                    self._mirror.put(kind, key, record.raw, str(change.version))
        self._tell_problems()

    def _start(self) -> None:
        self._revision = self.store.kinds.revision
        served = {(k.group, k.kind): k.resource for k in self.store.kinds}
        self._kinds = {served[kind]: kind for kind in KINDS if kind in served}
        if self._watch is not None:
            self._watch.close()
        self._watch = self.store.watch(tuple(self._kinds))
        fresh = Mirror()
        for resource, kind in self._kinds.items():
            for record in self.store.rows(resource)[0]:
                key = f"{record.namespace}/{record.name}" if record.namespace else record.name
                fresh.put(kind, key, record.raw, str(self.store.version))
        self._mirror = self._carrier.mirror = fresh

    def _tell_problems(self) -> None:
        """A Warning on every object that cannot be read and is therefore left out."""
        problems = self._mirror.problems
        if problems.keys() == self._told.keys():
            return
        fresh = {name: error for name, error in problems.items() if name not in self._told}
        self._told = dict(problems)
        for name, error in fresh.items():
            kind, _, key = name.partition(" ")
            resource = next((r for r, (_, k) in self._kinds.items() if k == kind), "")
            namespace, _, short = key.rpartition("/")
            about = self.store.find(resource, namespace or None, short) if resource else None
            if about is not None:
                events.record(self.store, about, "Malformed", str(error), self._now_s(), warning=True)
