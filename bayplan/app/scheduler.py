"""The scheduler of a real cluster: the same loop as everywhere, made leader by a Lease, watched over HTTP.

Several replicas may run; one leads, the others keep their mirrors warm. `run` returns when it is told to stop or when
the lease is lost: a deposed leader ends, and whoever started it starts it again.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from bayplan.app.errors import BadInput
from bayplan.app.identity import access
from bayplan.app.pricing import pricer
from bayplan.audit import audit, without
from bayplan.clusters.kubernetes.body import KubernetesCluster
from bayplan.clusters.kubernetes.http import Http
from bayplan.clusters.kubernetes.identity import own_namespace
from bayplan.clusters.kubernetes.lease import Leadership
from bayplan.core import decide, describe
from bayplan.model.base import Value
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Applied, Cycle, Journal, JournalError, Loop, Permanent, Temporary
from bayplan.runtime.clock import SystemClock
from bayplan.runtime.metrics import Counter, Gauge, Histogram, exposition

NAMESPACE = "bayplan-system"
LEASE = "bayplan-scheduler"
RECOVERY_TIMEOUT_S = Policy().recovery_timeout_s
STANDBY_S = 0.5

_log = logging.getLogger("bayplan.scheduler")


class Settings(Value, frozen=True):
    """What an administrator chooses. `listen` is HOST:PORT for health and metrics, "" for none.

    `recovery_timeout_s` and `reserve_after_s` are the policy's; what a Kueue admits is a Kueue's to evict.
    """

    namespace: str = ""
    lease: str = LEASE
    elect: bool = True
    queues: str = "bayplan"
    listen: str = "127.0.0.1:8080"
    journal: str = ""
    prices: bool = False
    identity: str = ""
    recovery_timeout_s: int = RECOVERY_TIMEOUT_S
    reserve_after_s: int = 0


class Scheduler:
    def __init__(self, kubeconfig: Path | None, settings: Settings, policy: Policy | None = None) -> None:
        """Raises BadInput, Unreachable."""
        timeout_s = 0 if settings.queues == "kueue" else settings.recovery_timeout_s
        self.settings = settings
        self.policy = msgspec.structs.replace(
            policy or Policy(), recovery_timeout_s=timeout_s, reserve_after_s=settings.reserve_after_s
        )
        self._pricer = pricer() if settings.prices else None
        reached = access(kubeconfig)
        self.meter = Meter()
        self._stopped = threading.Event()
        self._http = Http(reached)  # of its own, so that a renewal never queues behind other requests
        identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        namespace = settings.namespace or own_namespace() or NAMESPACE
        self.leadership = Leadership(self._http, namespace, settings.lease, identity) if settings.elect else None
        self.cluster = KubernetesCluster(
            reached, describe=describe, queues=settings.queues, may_write=self._may_write, now=time.time
        )
        self.server = Health(settings.listen, self._is_healthy, self._is_ready, self._metrics)

    def run(self) -> bool:
        """Runs until `stop`, or until the lease is lost: then the answer is False. Raises Permanent."""
        self.server.start()
        try:
            if self.leadership is not None:
                self.leadership.start()
            if not self._stand_by():
                return True
            self._lead()
            return self._stopped.is_set()
        finally:
            self._end()

    def stop(self) -> None:
        """The cycle in progress is finished, the lease given up, and `run` returns."""
        self._stopped.set()

    # --- following and leading -----------------------------------------------------------------------------------

    def _stand_by(self) -> bool:
        """Keeps the mirrors warm until this process leads; whether it does."""
        while not self._stopped.is_set():
            try:
                self.cluster.keep_up()
                if self.leadership is None or self.leadership.wait(0):
                    self.cluster.resync()
                    self.meter.leader.set(1)
                    return True
            except Temporary as error:
                self._failed(error)
            self._stopped.wait(STANDBY_S)
        return False

    def _lead(self) -> None:
        journal = self._journal()
        try:
            Loop(
                Timed(self.cluster, self.meter),
                SystemClock(),
                decide=self.meter.timed_decide,
                audit=audit,
                without=without,
                policy=self.policy,
                pricer=self._pricer,
                journal=journal,
                watcher=self._saw,
                failed=self._failed,
            ).run(lambda: self._stopped.is_set() or not self._leads())
        finally:
            if journal is not None:
                journal.close()

    def _journal(self) -> Journal | None:
        if not self.settings.journal:
            return None
        try:
            return Journal(Path(self.settings.journal))
        except (OSError, JournalError) as error:
            raise BadInput("--journal", "", str(error)) from error

    def _leads(self) -> bool:
        return self.leadership is None or not self.leadership.lost.is_set()

    def _may_write(self) -> bool:
        return self.leadership is None or self.leadership.held()

    def _end(self) -> None:
        self.meter.leader.set(0)
        if self.leadership is not None:
            self.leadership.stop()
        self.cluster.close()
        self._http.close()
        self.server.stop()

    # --- what others see -----------------------------------------------------------------------------------------

    def _saw(self, cycle: Cycle) -> None:
        self.meter.saw(cycle)
        for finding in cycle.findings:
            _log.error("the audit objects", extra={"finding": finding})
        for workload in cycle.left_out:
            _log.error("a decision was not carried out", extra={"workload": workload})
        if cycle.applied is None:
            return
        for name in ("admitted", "evicted"):
            if done := getattr(cycle.applied, name):
                _log.info(name, extra={"workloads": done})
        for conflict in cycle.applied.conflicts:
            _log.info("conflict", extra={"workload": conflict.workload, "reason": conflict.message})

    def _failed(self, error: Temporary) -> None:
        self.meter.failures.add()
        _log.warning("%s", error)

    def _is_healthy(self) -> bool:
        return self._leads()

    def _is_ready(self) -> bool:
        return self.cluster.ready

    def _metrics(self) -> str:
        return self.meter.text(self.cluster)


class Meter:
    """Everything that is counted."""

    def __init__(self) -> None:
        self.cycles = Histogram("bayplan_cycle_duration_seconds", "Time of each part of a cycle.")
        self.attempts = Counter("bayplan_decisions_total", "Decisions taken, by kind.")
        self.admitted = Counter("bayplan_admitted_workloads_total", "Workloads admitted.")
        self.bound = Counter("bayplan_bound_pods_total", "Pods bound to nodes.")
        self.evicted = Counter("bayplan_evicted_workloads_total", "Workloads evicted, by reason.")
        self.conflicts = Counter("bayplan_conflicts_total", "Decisions the world had overtaken.")
        self.findings = Counter("bayplan_audit_findings_total", "Findings of the audit.")
        self.left_out = Counter("bayplan_left_out_workloads_total", "Workloads whose decision the audit kept back.")
        self.failures = Counter("bayplan_cycle_failures_total", "Cycles that could not run.")
        self.pending = Gauge("bayplan_pending_workloads", "Workloads that wait, by the first reason.")
        self.nodes = Gauge("bayplan_nodes", "Nodes in the last snapshot.")
        self.leader = Gauge("bayplan_leader", "1 while this process leads.")
        self.requests = Gauge("bayplan_api_writes_total", "Writes to the API server, by verb, resource and code.")
        self.requests.kind = "counter"
        self.cpu = Gauge("process_cpu_seconds_total", "User and system CPU time.")
        self.cpu.kind = "counter"
        self.memory = Gauge("process_resident_memory_bytes", "Resident memory.")
        self.build = Gauge("bayplan_build_info", "Always 1; the version is in the label.")
        self.build.set(1, version=version("bayplan"))
        self.leader.set(0)

    def timed_decide(self, snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
        began = time.perf_counter()
        plan = decide(snapshot, policy, now_s=now_s)
        self.cycles.observe(time.perf_counter() - began, phase="decide")
        return plan

    def saw(self, cycle: Cycle) -> None:
        waiting: dict[str, int] = {}
        for hold in cycle.plan.held():
            word = str(hold.reasons[0].__struct_config__.tag) if hold.reasons else "Pending"
            waiting[word] = waiting.get(word, 0) + 1
        self.pending.replace({(("reason", word),): count for word, count in waiting.items()})
        self.nodes.set(len(cycle.snapshot.nodes))
        for decision in cycle.plan.decisions:
            self.attempts.add(1, decision=type(decision).__name__.lower())
        self.findings.add(len(cycle.findings))
        self.left_out.add(len(cycle.left_out))
        if cycle.applied is not None:
            self.admitted.add(len(cycle.applied.admitted))
            self.bound.add(len(cycle.applied.bound))
            self.conflicts.add(len(cycle.applied.conflicts))
            gone = frozenset(cycle.applied.evicted)
            for evict in cycle.plan.evicted():
                if evict.workload in gone:
                    self.evicted.add(1, reason=evict.reason)

    def text(self, cluster: KubernetesCluster) -> str:
        counts = dict(cluster.objects.counts.by_kind)
        self.requests.replace(
            {(("code", c), ("resource", r), ("verb", v)): float(n) for (v, r, c), n in counts.items()}
        )
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu.set(usage.ru_utime + usage.ru_stime)
        self.memory.set(_resident_bytes())
        return exposition(m for m in vars(self).values() if isinstance(m, Counter | Histogram))


class Timed:
    """A cluster whose parts of the cycle are timed."""

    def __init__(self, cluster: KubernetesCluster, meter: Meter) -> None:
        self._cluster, self._meter = cluster, meter

    def observe(self) -> Snapshot:
        return self._cluster.observe()

    def apply(self, plan: Plan) -> Applied:
        began = time.perf_counter()
        applied = self._cluster.apply(plan)
        self._meter.cycles.observe(time.perf_counter() - began, phase="apply")
        return applied

    def wait(self, seconds: float) -> bool:
        return self._cluster.wait(min(seconds, STANDBY_S))  # to notice soon that the lease is lost


class Health:
    """`/healthz`, `/readyz` and `/metrics` in a thread."""

    def __init__(
        self, listen: str, healthy: Callable[[], bool], ready: Callable[[], bool], metrics: Callable[[], str]
    ) -> None:
        """Raises BadInput where the address cannot be had."""
        answers: dict[str, Callable[[], tuple[int, str]]] = {
            "/healthz": lambda: (200, "ok") if healthy() else (500, "not healthy"),
            "/readyz": lambda: (200, "ok") if ready() else (503, "not ready"),
            "/metrics": lambda: (200, metrics()),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, text = answers.get(self.path.partition("?")[0], lambda: (404, "not found"))()
                body = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Probes and scrapes are no news."""

        self._server: ThreadingHTTPServer | None = None
        if listen:
            host, _, port = listen.rpartition(":")
            try:
                self._server = ThreadingHTTPServer((host, int(port)), Handler)
            except (OSError, ValueError) as error:
                raise BadInput("--listen", "", f"cannot listen on {listen!r}: {error}") from error

    @property
    def port(self) -> int:
        return int(self._server.server_address[1]) if self._server else 0

    def start(self) -> None:
        if self._server:
            threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()


_LINES = msgspec.json.Encoder(enc_hook=str)


class _JsonLines(logging.Formatter):
    """One JSON object per line; what is passed as `extra` becomes fields."""

    _KNOWN = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"ts": at, "level": record.levelname.lower(), "logger": record.name}
        line["msg"] = record.getMessage()
        line |= {k: v for k, v in vars(record).items() if k not in self._KNOWN and k != "message"}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return _LINES.encode(line).decode()


def log_json(level: int = logging.INFO) -> None:
    """Logs of this process as JSON lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger("bayplan")
    root.handlers, root.propagate = [handler], False
    root.setLevel(level)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


__all__ = ["RECOVERY_TIMEOUT_S", "Permanent", "Scheduler", "Settings", "log_json"]
