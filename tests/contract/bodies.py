"""Three bodies behind the one port, each with a way for users to reach its API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from bayplan.audit import audit
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
from tests.cluster.world import World, access
from tests.controlplane.run import ControlPlane


class Body:
    """A cluster and its users' view of it."""

    def __init__(self, cluster: Cluster, world: World) -> None:
        self.cluster, self.world = cluster, world
        self.findings: list[str] = []
        self._loop = Loop(cluster, SystemClock(), decide=decide, audit=audit, watcher=self._saw)

    def cycle(self) -> Cycle:
        return self._loop.cycle()

    def until(self, true: Callable[[], Any], seconds: float = 20) -> Any:
        """Cycles until something is so, and returns it."""
        end = time.monotonic() + seconds
        while True:
            cycle = self.cycle()
            found = true()
            if found:
                return found
            assert time.monotonic() < end, (self.world.describe(), cycle.plan.decisions, cycle.findings)
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
    store = Store()
    server = Server(store)
    cluster = EmbeddedCluster(store, describe=describe)
    try:
        yield Body(cluster, World(_as_plane(server.url)))
    finally:
        cluster.close()
        server.stop()
        store.close()


@contextmanager
def embedded_over_http() -> Iterator[Body]:
    """The body of real clusters, served by the embedded API server; its controllers and kubelets run beside it."""
    store = Store()
    server = Server(store)
    stop = threading.Event()
    platform = Controllers[Store](store, (job.CONTROLLER, claims.POD_CLAIMS, claims.CONSUMERS, lost.LOST))
    kubelets = Kubelets(store)

    def run() -> None:
        while not stop.wait(0.02):
            now_s = int(time.time())
            platform.step(now_s)
            kubelets.step(now_s)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    plane = _as_plane(server.url)
    cluster = KubernetesCluster(access(plane), describe=describe)
    try:
        cluster.connect()
        yield Body(cluster, World(plane))
    finally:
        cluster.close()
        stop.set()
        thread.join()
        server.stop()
        store.close()


@contextmanager
def real(plane: ControlPlane) -> Iterator[Body]:
    """A real API server."""
    world = World(plane)
    cluster = KubernetesCluster(access(plane), describe=describe)
    try:
        cluster.connect()
        yield Body(cluster, world)
        world.clear()
    finally:
        cluster.close()
        world.close()


def _as_plane(url: str) -> ControlPlane:
    return cast(ControlPlane, SimpleNamespace(url=url, token="", authority=None))
