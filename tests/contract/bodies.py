"""Three bodies behind the one port, each with a way for users to reach its API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from bayplan.audit import audit, without
from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.body import EmbeddedCluster
from bayplan.clusters.embedded.controllers import claims, job, lost
from bayplan.clusters.embedded.kubelet import Kubelets
from bayplan.clusters.embedded.server import Server
from bayplan.clusters.kubernetes.body import KubernetesCluster
from bayplan.core import decide, describe
from bayplan.runtime import Cluster, Cycle, Loop
from bayplan.runtime.clock import SystemClock
from bayplan.runtime.controllers.queue import Controllers
from bayplan.runtime.ports import Temporary
from tests.cluster.world import World, access
from tests.controlplane.run import ControlPlane

CLAIM_CONTROLLERS = (claims.GROUP_CLAIMS, claims.POD_CLAIMS, claims.CONSUMERS)


class Leaping(SystemClock):
    """The wall clock, some time ahead."""

    ahead_s = 0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def now_s(self) -> int:
        return int(self.now())


class Body:
    """A cluster and its users' view of it."""

    def __init__(self, cluster: Cluster, world: World, clock: Leaping) -> None:
        self.cluster, self.world = cluster, world
        self.findings: list[str] = []
        self._clock = clock
        self._loop = Loop(cluster, clock, decide=decide, audit=audit, without=without, watcher=self._saw)

    def leap(self, seconds: int) -> None:
        """So much time passes for the scheduler."""
        self._clock.ahead_s += seconds

    def cycle(self) -> Cycle:
        return self._loop.cycle()

    def until(self, true: Callable[[], Any], seconds: float = 20) -> Any:
        """Cycles until something is so, and returns it; a cluster that is out of touch for a while is asked again."""
        end = time.monotonic() + seconds
        last: object = None
        while True:
            try:
                cycle = self.cycle()
                last = cycle.plan.decisions, cycle.findings
            except Temporary as error:
                last = error
            found = true()
            if found:
                return found
            assert time.monotonic() < end, (self.world.describe(), last)
            self.cluster.wait(0.1)

    def settled(self) -> None:
        """Cycles until nothing happens any more."""
        end, quiet = time.monotonic() + 20, 0
        while quiet < 3:
            before = self.cluster.observe()
            applied = self.cycle().applied
            time.sleep(0.1)
            quiet = quiet + 1 if self.cluster.observe() is before and not (applied and applied.bound) else 0
            assert time.monotonic() < end, "the cluster does not come to rest"

    def _saw(self, cycle: Cycle) -> None:
        self.findings += cycle.findings


@contextmanager
def embedded() -> Iterator[Body]:
    """The store in this process."""
    store, clock = _store()
    server = Server(store)
    cluster = EmbeddedCluster(store, describe=describe)
    try:
        yield Body(cluster, World(_as_plane(server.url)), clock)
    finally:
        cluster.close()
        server.stop()
        store.close()


@contextmanager
def embedded_over_http() -> Iterator[Body]:
    """The body of real clusters, served by the embedded API server; its controllers and kubelets run beside it."""
    store, clock = _store()
    server = Server(store)
    stop = threading.Event()
    platform = Controllers[Store](store, (job.CONTROLLER, *CLAIM_CONTROLLERS, lost.LOST))
    kubelets = Kubelets(store)

    def run() -> None:
        while not stop.wait(0.02):
            now_s = clock.now_s()
            platform.step(now_s)
            kubelets.step(now_s)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    plane = _as_plane(server.url)
    cluster = KubernetesCluster(access(plane), describe=describe, now=clock.now)
    try:
        cluster.connect()
        yield Body(cluster, World(plane), clock)
    finally:
        cluster.close()
        stop.set()
        thread.join()
        server.stop()
        store.close()


@contextmanager
def real(plane: ControlPlane) -> Iterator[Body]:
    """A real API server."""
    world, clock = World(plane), Leaping()
    cluster = KubernetesCluster(access(plane), describe=describe, now=clock.now)
    try:
        cluster.connect()
        yield Body(cluster, world, clock)
        world.clear()
    finally:
        cluster.close()
        world.close()


def _store() -> tuple[Store, Leaping]:
    clock = Leaping()
    return Store(now=lambda: datetime.fromtimestamp(clock.now(), UTC)), clock


def _as_plane(url: str) -> ControlPlane:
    return cast(ControlPlane, SimpleNamespace(url=url, token="", authority=None))
