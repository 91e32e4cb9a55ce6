"""The embedded cluster, wired: store, API server, controllers, kubelets, scheduler loop, journal and stream of work.

Two threads beside the caller's: the API server's, and the one that runs controllers, kubelets and the scheduler.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bayplan.app.clock import Clock
from bayplan.app.errors import BadInput
from bayplan.app.fleets import example_fleet, without_work
from bayplan.app.forecaster import Forecaster
from bayplan.app.home import Home
from bayplan.app.journal import BoundedJournal
from bayplan.app.kubeconfig import CLOCK_EXTENSION
from bayplan.app.stream import Stream
from bayplan.audit import audit, without
from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.body import EmbeddedCluster
from bayplan.clusters.embedded.disk import StoreFileError
from bayplan.clusters.embedded.errors import ApiError
from bayplan.clusters.embedded.kubeconfig import write_kubeconfig
from bayplan.clusters.embedded.server import AddressInUse, Server
from bayplan.clusters.simulator.fleetfile import Fleet
from bayplan.clusters.simulator.objects import fleet_objects
from bayplan.core import decide, describe
from bayplan.model import codec
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Applied, Cycle, JournalError, Loop, Pricer, Temporary
from bayplan.wire.kinds import group_kind

REAL_PAUSE_S = 0.5  # the longest the loop sleeps through a request to stop
IDLE_LOOK_S = 15  # seconds of the wall after which an unchanged world is looked at again
_FLEET = ("configmaps", "kube-system", "bayplan-fleet")


class Embedded:
    """A cluster that runs in this process until `stop`; `failure` is set if its loop has ended by itself."""

    def __init__(
        self,
        home: Home,
        fleet: Fleet | None = None,
        *,
        port: int = 0,
        speed: int = 1,
        stream: bool = True,
        policy: Policy | None = None,
        pricer: Pricer | None = None,
        watcher: Callable[[Cycle], None] | None = None,
    ) -> None:
        """Opens or creates the cluster of `home` and starts it.

        Without a fleet it is the one that lives there, else the example without its work.
        Raises BadInput (another fleet lives there, the port or the file is in use).
        """
        try:
            home.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput("--data", str(home.path), error.strerror or "cannot be made") from error
        self.home, self.policy, self._pricer = home, policy or Policy(), pricer
        self.clock = Clock(home.clock, speed=speed)
        self.failure: Exception | None = None
        self.hiccup = ""
        self._stopped = threading.Event()
        self.store = _open(home, self.clock)
        try:
            self.is_new, self.fleet = _furnish(self.store, fleet, home)
        except BadInput:
            self.store.close()
            raise
        self.forecaster = Forecaster(self.policy, self.clock.now_s)
        self.body = EmbeddedCluster(self.store, describe=describe, forecast=self.forecaster)
        self._paced = _Paced(
            self.body, self.clock, Stream(self.store, self.fleet, self.clock.now_s()) if stream else None
        )
        try:
            self.server = Server(self.store, port=port, pod_logs=self.body.kubelets.logs)
        except AddressInUse as error:
            self._close()
            raise BadInput("--port", "", str(error)) from error
        _kubeconfig(home.kubeconfig, self.server.url, self.clock)
        self._watcher = watcher
        self._thread = threading.Thread(target=self._run, name="bayplan-loop", daemon=True)
        self._thread.start()

    @property
    def kubectl(self) -> str:
        """The command line that looks into this cluster."""
        return f"kubectl --kubeconfig {_shown(self.home.kubeconfig)}"

    def wait(self, seconds: float) -> bool:
        """Waits for the loop to end by itself; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stops everything; what was acknowledged is on disk."""
        self._stopped.set()
        self._thread.join()
        self.server.stop()
        self._close()

    def _close(self) -> None:
        self.forecaster.close()
        self.body.close()
        self.store.close()
        self.clock.save()

    def _run(self) -> None:
        try:
            with BoundedJournal(self.home.journal, self.home.old_journal) as journal:
                Loop(
                    self._paced,
                    self.clock,
                    decide=decide,
                    audit=audit,
                    without=without,
                    policy=self.policy,
                    pricer=self._pricer,
                    journal=journal,
                    watcher=self._saw,
                    failed=self._failed,
                    tick_s=IDLE_LOOK_S * self.clock.speed,
                ).run(self._stopped.is_set)
        except (Exception, JournalError) as error:
            self.failure = error

    def _saw(self, cycle: Cycle) -> None:
        self.hiccup = cycle.findings[0] if cycle.findings else ""
        self.clock.save()
        if self._watcher:
            self._watcher(cycle)

    def _failed(self, error: Temporary) -> None:
        self.hiccup = str(error)


@contextmanager
def running(embedded: Embedded) -> Iterator[Embedded]:
    """Stops the cluster at the end, however it comes; a request to terminate is an interrupt like any other."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if _is_main_thread() else None
    try:
        yield embedded
    finally:
        embedded.stop()
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _Paced:
    """The body, with its waits in seconds of the wall and the stream of work fed in."""

    def __init__(self, body: EmbeddedCluster, clock: Clock, stream: Stream | None) -> None:
        self._body, self._clock, self._stream = body, clock, stream

    def observe(self) -> Snapshot:
        if self._stream is not None:
            self._stream.step(self._clock.now_s())
        return self._body.observe()

    def apply(self, plan: Plan) -> Applied:
        return self._body.apply(plan)

    def wait(self, seconds: float) -> bool:
        due = (self._body.due_s(), self._stream.due_s() if self._stream else None)
        ahead_s = min((at - self._clock.now() for at in due if at is not None), default=seconds)
        return self._body.wait(max(0.0, min(REAL_PAUSE_S, min(seconds, ahead_s) / self._clock.speed)))


def _open(home: Home, clock: Clock) -> Store:
    try:
        return Store(str(home.database), now=clock.date)
    except StoreFileError as error:
        raise BadInput("--data", "", f"{error} (is `bayplan up` running there already?)") from error


def _furnish(store: Store, fleet: Fleet | None, home: Home) -> tuple[bool, Fleet]:
    """Fills a new cluster with its fleet; whether it was new, and the fleet. Raises BadInput if another lives there."""
    marker = store.find(*_FLEET)
    if marker is not None:
        lives = codec.from_json(marker["data"]["fleet"], Fleet)
        if fleet is not None and fleet.metadata.name != lives.metadata.name:
            there = f"{home.path} holds the fleet {lives.metadata.name!r}"
            raise BadInput("--fleet", "", f"{there}; name another directory with --data")
        return False, fleet or lives
    fleet = fleet or without_work(example_fleet())
    resources = {(k.group, k.kind): k.resource for k in store.kinds}
    marker = {"metadata": {"name": _FLEET[2]}, "data": {"fleet": codec.to_json(fleet).decode()}}
    try:
        with store.transaction():
            for obj in fleet_objects(fleet):
                resource = resources.get(group_kind(obj))
                if resource is None:
                    raise BadInput("--fleet", f"objects: {obj['kind']}", "no such kind in the embedded cluster")
                store.create(resource, obj["metadata"].get("namespace"), obj)
            store.create(*_FLEET[:2], marker)
    except ApiError as error:
        raise BadInput("--fleet", "", error.message) from error
    return True, fleet


def _kubeconfig(path: Path, url: str, clock: Clock) -> None:
    """The kubeconfig, with the cluster's time beside its address (kubectl passes over extensions)."""
    write_kubeconfig(path, url)
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    time = {"began": clock.began, "start": clock.start, "speed": clock.speed}
    config["clusters"][0]["cluster"]["extensions"] = [{"name": CLOCK_EXTENSION, "extension": time}]
    partial = path.with_name(path.name + ".partial")
    partial.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    partial.replace(path)


def _shown(path: Path) -> str:
    """The path as one would type it here."""
    full = path.resolve()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)
