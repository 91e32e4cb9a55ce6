"""A real API server behind the Cluster port: the replica followed into Snapshots, plans carried out by patches.

Bayplan is one writer among many here. It binds only pods that name it as their scheduler, counts what everyone else's
pods use, and rests every write on the version it decided from. With `queues="kueue"` the admission of Workloads is
Kueue's: only what Kueue has admitted is placed, and nothing is admitted, suspended or evicted. Without it, a Kueue that
runs here is refused: two would admit the same jobs.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from bayplan.clusters.kubernetes.cache import LOCAL, Cache
from bayplan.clusters.kubernetes.http import Access, Http, Unreachable
from bayplan.clusters.kubernetes.objects import EVENTS, PODS, WORKLOADS, Replica
from bayplan.clusters.kubernetes.reflect import Reflector
from bayplan.clusters.kubernetes.served import Catalogue, Served, discover
from bayplan.model.plan import Evict, Hold, Plan
from bayplan.model.snapshot import Snapshot
from bayplan.model.table import Groups
from bayplan.model.workload import Pod, Workload
from bayplan.runtime.carrying import Carrier
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import Controller
from bayplan.runtime.controllers.claims import consumers, left_behind
from bayplan.runtime.controllers.pods import NATIVE, POD_GROUPS, Whose, pod_controller
from bayplan.runtime.controllers.queue import Controllers
from bayplan.runtime.controllers.workload import job_controllers
from bayplan.runtime.mirror import KINDS, WORKLOAD, GroupKind, Mirror
from bayplan.runtime.objects import ApiError, Change, Objects, Record
from bayplan.runtime.ports import Applied, Describe, Permanent, Temporary
from bayplan.wire.errors import Malformed
from bayplan.workloads import KINDS as JOB_KINDS

Forecast = Callable[[Plan, Snapshot], Mapping[str, str]]

REQUIRED = ("pods", "nodes", "namespaces", "resourceclaims.resource.k8s.io", "resourceslices.resource.k8s.io")
"""Without these there is nothing to decide about."""
OUT_OF_TOUCH_S = 120  # a mirror that has heard nothing for this long is no ground for a decision
REDISCOVER_S = 10  # how soon a new custom resource is noticed
SYNC_S = 60
PATIENCE_S = 60  # people are told a new wording at most this often; other components have as long to do their work
GARBAGE = 50_000  # objects between two looks for cycles: nearly all die by themselves, and JSON is made of them
CYCLES_ROUNDS = 4  # rounds of controllers before a decision; what they cause arrives by the watches

CLUSTER_QUEUES = "clusterqueues.kueue.x-k8s.io"
KUEUE_WAS_HERE = b'"kueue.x-k8s.io/resource-in-use"'
"""The finalizer that Kueue's manager, and nobody else, puts on every ClusterQueue."""

_LOCAL_WORKLOADS = Served("kueue.x-k8s.io", "v1beta2", "Workload", "workloads", True)

_log = logging.getLogger("bayplan.kubernetes")


class KubernetesCluster:
    """The `Cluster` port over one API server. One thread calls it; the watches have threads of their own."""

    def __init__(
        self,
        access: Access,
        *,
        describe: Describe,
        forecast: Forecast | None = None,
        queues: str = "bayplan",
        may_write: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`queues` says whose the admission of Workloads is: `bayplan` or `kueue`. Asks nothing of the server yet."""
        assert queues in ("bayplan", "kueue"), queues
        self._queues, self._now, self._forecast = queues, now, forecast
        self._http = Http(access)
        self.cache = Cache()
        self.kinds = Catalogue()
        self.objects = Replica(self._http, self.cache, self.kinds, may_write=may_write, now=now)
        self._whose = Whose(adopts=True)
        self._controllers = Controllers[Objects](self.objects, self._own_controllers())
        self._mirror = Mirror()
        self._carrier = Carrier(
            self.objects,
            self._mirror,
            describe,
            whose=self._whose,
            patience_s=PATIENCE_S,
            admits=queues == "bayplan",
        )
        self._reflectors: dict[Served, Reflector] = {}
        self._followed: dict[str, GroupKind] = {}
        self._cursor = self.cache.follow(())
        self._discovered_s = -REDISCOVER_S * 2.0
        self._told: dict[str, Malformed] = {}
        self._frozen = False
        self._kueue = ""
        self._seen: tuple[Snapshot, Snapshot] | None = None
        self._of_workload = Groups[str, Pod](lambda pod: [pod.workload] if pod.workload else [])

    # --- the port ------------------------------------------------------------------------------------------------

    def observe(self) -> Snapshot:
        """The cluster now, once every mirror is complete. Raises Temporary, Permanent."""
        self._connect()
        self.objects.tell(overdue=True)
        self.cache.changed.clear()
        now_s = int(self._now())
        for _ in range(CYCLES_ROUNDS):
            if not self._controllers.step(now_s):
                break
        self._follow()
        snapshot = self._mirror.snapshot()
        if not self._frozen:
            gc.collect()
            gc.freeze()
            gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
            self._frozen = True
        if self._seen is None or self._seen[0] is not snapshot:
            self._seen = snapshot, self._decidable(snapshot)
        return self._seen[1]

    def apply(self, plan: Plan) -> Applied:
        """Carries the plan out; what the world has overtaken is a Conflict. Raises Temporary."""
        self._follow()
        seen = self._mirror.snapshot()
        if self._queues == "kueue":
            plan = Plan(tuple(d for d in plan.decisions if self._is_ours(d.workload, d, seen)), plan.revision)
        starts = self._forecast(plan, seen) if self._forecast else {}
        return self._carrier.carry_out(plan, seen, starts, int(self._now()))

    def wait(self, seconds: float) -> bool:
        """Until a watch brings something, something is due, or the time is over; Events are told meanwhile."""
        while not self.cache.changed.is_set() and self.objects.tell():
            pass
        due_s = self._controllers.due_s()
        if due_s is not None and due_s - self._now() < seconds:
            self.cache.changed.wait(max(0.0, due_s - self._now()))
            return True
        return self.cache.changed.wait(seconds)

    # --- staying in touch ----------------------------------------------------------------------------------------

    def connect(self, seconds: float = SYNC_S) -> None:
        """Waits until every mirror is complete. Raises Temporary, Permanent."""
        end = time.monotonic() + seconds
        while True:
            try:
                self._connect()
                return
            except Temporary:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def keep_up(self) -> None:
        """Follows the cluster without touching it: what a replica that does not lead does.

        Raises Temporary, Permanent.
        """
        self._connect()
        self._follow()

    def resync(self, resources: Iterable[str] = (PODS, "resourceclaims.resource.k8s.io", WORKLOADS)) -> None:
        """Reads these resources anew: who has just become leader decides on nothing older. Raises Temporary."""
        for served, reflector in list(self._reflectors.items()):
            if served.resource in resources:
                try:
                    reflector.resync()
                except (ApiError, Unreachable) as error:
                    raise Temporary(f"{served.resource} cannot be listed: {error}") from error

    @property
    def ready(self) -> bool:
        """Whether every mirror is complete and in touch."""
        return bool(self._reflectors) and not self._lagging()

    def close(self) -> None:
        for reflector in self._reflectors.values():
            reflector.stop()
        self._http.close()
        for reflector in self._reflectors.values():
            reflector.join(2)

    def _connect(self) -> None:
        if time.monotonic() - self._discovered_s > REDISCOVER_S:
            self._discover()
        lagging = self._lagging()
        if lagging:
            raise Temporary(f"not in touch yet with {', '.join(lagging[:3])}", retry_s=1)

    def _lagging(self) -> list[str]:
        """Resources whose mirror is not complete, or has heard nothing for too long, and why."""
        stale_s = time.monotonic() - OUT_OF_TOUCH_S
        return [
            f"{r.served.resource} ({r.trouble or 'listing'})"
            for r in self._reflectors.values()
            if not r.synced.is_set() or (r.heard_s < stale_s and r.trouble is not None)
        ]

    def _discover(self) -> None:
        """Follows what is served by now; what an API server that has just started says is not believed."""
        if self._reflectors and not self._is_up():
            return  # the watches notice by themselves
        try:
            found = discover(self._http)
        except Unreachable as error:
            if self._reflectors:
                return
            raise Temporary(f"the API server does not answer: {error}", retry_s=1) from error
        except ApiError as error:
            if error.status_code in (401, 403) and not self._reflectors:
                raise Permanent(f"the API server refuses us: {error.message}") from error
            raise Temporary(f"discovery fails: {error.message}", retry_s=1) from error
        served = {s.resource: s for s in found}
        lacking = [r for r in REQUIRED if r not in served]
        if lacking:
            raise Permanent(f"the API server does not serve {', '.join(lacking)}: Kubernetes 1.34 or newer is needed")
        self._discovered_s = time.monotonic()
        wanted = self._wanted(found)
        # Workloads of lone pods live here even where Kueue's kinds do not.
        if self.kinds.replace(wanted if WORKLOADS in served else [*wanted, _LOCAL_WORKLOADS]):
            self._reflect()

    def _is_up(self) -> bool:
        """Whether the API server calls itself ready: until then it may know neither roles nor custom resources."""
        try:
            self._http.request("GET", "readyz")
        except (ApiError, Unreachable):
            return False
        return True

    def _wanted(self, found: Sequence[Served]) -> list[Served]:
        """What is read or written: everything a Snapshot is made of, jobs, groups, and Events."""
        read = {*KINDS, *((k.group, k.kind) for k in JOB_KINDS)}
        also = (POD_GROUPS, EVENTS, *(NATIVE for s in found if s.resource == NATIVE and s.version == "v1alpha1"))
        return [s for s in found if (s.group, s.kind) in read or s.resource in also]

    def _reflect(self) -> None:
        """Follows what is served now, and nothing else."""
        wanted = {s for s in self.kinds if s.resource != EVENTS and s is not _LOCAL_WORKLOADS}
        for served in list(self._reflectors):
            if served not in wanted:
                self._reflectors.pop(served).stop()
                self.cache.replace(served.resource, (), 1 << 62)
        for served in sorted(wanted, key=lambda s: s.resource):
            if served not in self._reflectors:
                self._reflectors[served] = Reflector(self._http, served, self.cache)
                self._reflectors[served].start()
        self._cursor.close()
        self._followed = {s.resource: (s.group, s.kind) for s in wanted if (s.group, s.kind) in KINDS}
        self._followed[WORKLOADS] = WORKLOAD
        self._cursor = self.cache.follow(tuple(self._followed))
        fresh = Mirror()
        for resource, kind in self._followed.items():
            for record in self.cache.rows(resource)[0]:
                fresh.put(kind, _key(record.namespace, record.name), record.raw, str(record.version))
                self._look_for_kueue(record)
        self._mirror = self._carrier.mirror = fresh

    # --- the mirror ----------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        latest = {change.record.key: change for change in self._cursor.poll()}  # what it was in between does not matter
        for change in latest.values():
            self._take(change)
        if self._kueue:
            raise Permanent(
                f"a Kueue admits jobs here (ClusterQueue {self._kueue} carries its finalizer): run with --queues=kueue "
                "beside it, or remove the finalizer kueue.x-k8s.io/resource-in-use where it is gone"
            )
        self._tell_problems()

    def _take(self, change: Change) -> None:
        record, kind = change.record, self._followed[change.record.resource]
        key = _key(record.namespace, record.name)
        if change.type == "DELETED":
            self._mirror.drop(kind, key, str(change.version))
        else:
            self._mirror.put(kind, key, record.raw, str(change.version))
            self._look_for_kueue(record)

    def _tell_problems(self) -> None:
        """A Warning on every object that cannot be read and is therefore left out."""
        problems = self._mirror.problems
        if problems.keys() == self._told.keys():
            return
        fresh = {name: error for name, error in problems.items() if name not in self._told}
        self._told = dict(problems)
        for name, error in fresh.items():
            kind, _, key = name.partition(" ")
            _log.warning("%s is left out: %s", name, error)
            resource = next((r for r, (_, k) in self._followed.items() if k == kind), "")
            namespace, _, short = key.rpartition("/")
            about = self.objects.find(resource, namespace or None, short) if resource else None
            if about is not None:
                events.record(self.objects, about, "Malformed", str(error), int(self._now()), warning=True)

    # --- beside Kueue --------------------------------------------------------------------------------------------

    def _look_for_kueue(self, record: Record) -> None:
        if self._queues == "bayplan" and record.resource == CLUSTER_QUEUES and KUEUE_WAS_HERE in record.raw:
            self._kueue = record.name

    def _own_controllers(self) -> tuple[Controller[Objects], ...]:
        ours = pod_controller(self._whose), consumers(left_behind, PATIENCE_S)
        return (*job_controllers(), *ours) if self._queues == "bayplan" else ours

    def _decidable(self, snapshot: Snapshot) -> Snapshot:
        """Without the Workloads that are not ours to decide about, or not yet.

        One that was evicted waits until its pods have left; what they hold is a foreign pod's until then. Nobody can
        tell when a pod leaves whose node is lost, so that one is not waited for. A lone pod waits for the claims that
        are about to be made for it, as it does at kube-scheduler.
        """
        kept = snapshot.workloads
        if self._queues == "kueue":
            kept = {k: w for k, w in kept.items() if w.admission or w.uid.startswith(LOCAL)}
        pending = {k: w for k, w in kept.items() if not w.admission}
        if not pending:
            return snapshot if kept is snapshot.workloads else snapshot.replace(workloads=kept)
        early = frozenset(k for k, w in pending.items() if w.uid.startswith(LOCAL) and _lacks_claims(w, snapshot))
        if early:
            kept = {k: w for k, w in kept.items() if k not in early}
        pods = self._of_workload.of(snapshot.pods)
        leaving = {
            k: mine for k in pending if (mine := pods.get(k)) and any(_stands(p, snapshot) for p in mine.values())
        }
        if not leaving:
            return snapshot if kept is snapshot.workloads else snapshot.replace(workloads=kept)
        foreign = {
            k: msgspec.structs.replace(p, workload="", pod_set="") for mine in leaving.values() for k, p in mine.items()
        }
        return snapshot.replace(
            workloads={k: w for k, w in kept.items() if k not in leaving}, pods=snapshot.pods | foreign
        )

    def _is_ours(self, workload: str, decision: object, seen: Snapshot) -> bool:
        """Whether a decision may be carried out beside a Kueue: anything about a lone pod, else binding alone."""
        found = seen.workloads.get(workload)
        return found is None or found.uid.startswith(LOCAL) or not isinstance(decision, Evict | Hold)


def _stands(pod: Pod, snapshot: Snapshot) -> bool:
    """Whether a pod is on a node, and will be known to have left it."""
    node = snapshot.nodes.get(pod.node)
    return bool(pod.node) and (not pod.terminating or (node is not None and node.ready))


def _lacks_claims(workload: Workload, snapshot: Snapshot) -> bool:
    """Whether a lone pod's claims are still to be made, from templates that are there."""
    pod = snapshot.pods.get(f"{workload.namespace}/{workload.owner.removeprefix('Pod/')}")
    made = dict(pod.claims) if pod else {}
    asked = workload.pod_sets[0].template.claims
    return any(c.template is not None and c.name not in made for c in asked)


def _key(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
