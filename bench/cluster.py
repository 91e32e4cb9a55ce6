"""kube-scheduler and Bayplan on the same control plane: same nodes, same pods, one after the other.

`python -m bench cluster` builds the control plane if need be (`tests/controlplane`) and prints, per case and scheduler,
pods bound, pods per second, time to the last bind, the CPU per pod of the scheduler (its Events included) and of API
server and etcd, the share of the machine all of them used, its API writes per pod, and the GPUs its pods touched. Only
ratios mean anything: API server, etcd and controllers share the machine with what is measured, and where `busy` is
near 100 % it is their speed that counts. Bayplan runs on the Python that runs this: one built with profiles, as
Debian's and the image's are, needs less CPU than a plain build. `python -m bench feats` is about what is placed, not
how fast.
"""

from __future__ import annotations

import argparse
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bayplan.clusters.kubernetes.cache import Cache
from bayplan.clusters.kubernetes.http import Http
from bayplan.clusters.kubernetes.reflect import Reflector
from bayplan.clusters.kubernetes.served import Served
from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects
from tests.cluster.process import Brain, installed
from tests.cluster.world import World, access, fleet_text, pod, template
from tests.controlplane.run import ControlPlane, cpu_s, rss_bytes

Json = dict[str, Any]
CREATORS = 16
QUIET_S = 12.0  # nothing bound for this long: it will not come any more
EVENTS_S = 4.0
GATES = "GenericWorkload=true,GangScheduling=true"
PODS = Served("", "v1", "Pod", "pods", True)


class Case(NamedTuple):
    """A fleet of `nodes` nodes of one GPU model, and what each pod asks: a claim template's arguments, or nothing."""

    name: str
    model: str
    asks: Json
    pods_per_node: float
    gang: int = 0


CASES = (
    Case("plain", "h100-80gb", {}, 6),
    Case("exclusive", "h100-80gb", {"gpus": 1}, 6),
    Case("12Gi", "a100-80gb-shared", {"memory": "12Gi"}, 6),
    Case("mig", "a100-80gb-mig", {"profile": "1g.10gb"}, 6),
    Case("gangs", "h100-80gb", {"gpus": 1}, 6.4, gang=64),
)


class Result(NamedTuple):
    bound: int
    pods: int
    seconds: float
    cpu_ms: float
    plane_ms: float
    busy: float
    writes: float
    memory_mb: float
    gpus: int


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--mig-nodes", type=int, default=10, help="kube-scheduler's time grows with their square")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pods", type=int, default=1000, help="the most pods of a case")
    parser.add_argument("--seconds", type=float, default=120, help="the most time for a case")
    parser.add_argument("--only", default=",".join(c.name for c in CASES))
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    print(
        f"{'case':10} {'scheduler':15} {'bound':>11} {'pods/s':>7} {'last s':>7} {'CPU ms/pod':>11} "
        f"{'API+etcd':>9} {'busy %':>7} {'writes/pod':>11} {'RSS MB':>7} {'GPUs':>5}"
    )
    with ControlPlane(gates=GATES, kueue=True) as plane:
        installed(plane)
        for _ in range(chosen.rounds):
            for case in (c for c in CASES if c.name in names):
                nodes = chosen.mig_nodes if case.name == "mig" else chosen.nodes
                for scheduler in ("kube-scheduler", "bayplan"):
                    show(case, scheduler, run(plane, case, scheduler, nodes, chosen.pods, chosen.seconds))
    return 0


def show(case: Case, scheduler: str, result: Result) -> None:
    per_second = result.bound / result.seconds if result.seconds else 0
    print(
        f"{case.name:10} {scheduler:15} {result.bound:5}/{result.pods:<5} {per_second:7.1f} {result.seconds:7.1f} "
        f"{result.cpu_ms:11.2f} {result.plane_ms:9.1f} {result.busy:7.0f} {result.writes:11.2f} "
        f"{result.memory_mb:7.0f} {result.gpus:5}",
        flush=True,
    )


def run(plane: ControlPlane, case: Case, scheduler: str, nodes: int, most: int, seconds: float) -> Result:
    world = World(plane)
    try:
        furnish(world, f"n {nodes} {case.model}")
        count = min(most, int(nodes * case.pods_per_node)) // max(1, case.gang) * max(1, case.gang)
        if case.asks:
            world.create(template("ask", **case.asks))
        with running(plane, scheduler) as watched:
            return measure(plane, world, watched, list(pods(case, scheduler, count)), seconds)
    finally:
        clear(world)
        world.close()


def furnish(world: World, group: str) -> None:
    """The fleet, several objects at a time."""
    made = fleet_objects(parse_fleet(fleet_text(group), "fleet.yaml"))
    first = [o for o in made if o["kind"] == "Namespace"]
    world.create(*first)
    with ThreadPoolExecutor(CREATORS) as pool:
        list(pool.map(world.create, (o for o in made if o["kind"] != "Namespace")))


def clear(world: World) -> None:
    """Most of what there is goes many at a time; the world sees to the rest."""
    with ThreadPoolExecutor(CREATORS) as pool:
        for kind in ("Pod", "ResourceSlice", "Node"):
            meta = [o["metadata"] for o in world.all(kind)]
            list(pool.map(lambda m, k=kind: world.delete(k, m["name"], m.get("namespace", ""), grace=0), meta))  # type: ignore[misc]
    world.clear()


def pods(case: Case, scheduler: str, count: int) -> Iterator[Json]:
    for index in range(count):
        made = pod(f"p-{index}", claim="ask" if case.asks else "", cpu="100m")
        made["spec"]["containers"][0]["resources"]["requests"]["memory"] = "64Mi"
        made["spec"]["schedulerName"] = "default-scheduler" if scheduler == "kube-scheduler" else scheduler
        if case.gang:
            made["spec"]["schedulingGroup"] = {"podGroupName": f"gang-{index // case.gang}"}
        yield made


def groups(made: Sequence[Json]) -> list[Json]:
    counts: dict[str, int] = {}
    for each in made:
        name = (each["spec"].get("schedulingGroup") or {}).get("podGroupName")
        if name:
            counts[name] = counts.get(name, 0) + 1
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1alpha2",
            "kind": "PodGroup",
            "metadata": {"name": name, "namespace": "team-a"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": count}}},
        }
        for name, count in counts.items()
    ]


def measure(plane: ControlPlane, world: World, watched: Watched, made: Sequence[Json], limit_s: float) -> Result:
    http, cache = Http(access(plane)), Cache()
    reflector = Reflector(http, PODS, cache)
    cursor = cache.follow(("pods",))
    reflector.start()
    reflector.synced.wait(20)
    world.create(*groups(made))
    cpu, api, all_s, writes = watched.cpu_s(), plane_cpu_s(plane), busy_s(), watched.writes()
    began = last = time.monotonic()
    bound: set[str] = set()
    with ThreadPoolExecutor(CREATORS) as pool:
        created = [pool.submit(world.create, each) for each in made]
        while len(bound) < len(made) and time.monotonic() < min(last + QUIET_S, began + limit_s):
            cache.changed.wait(0.2)
            cache.changed.clear()
            for change in cursor.poll():
                if b'"nodeName":' in change.record.raw and change.record.name not in bound:
                    bound.add(change.record.name)
                    last = time.monotonic()
        all_s = busy_s() - all_s
        took_s = time.monotonic() - began
        for each in created:
            each.result()
    time.sleep(EVENTS_S)  # Events still under way are a part of the cost
    cpu = watched.cpu_s() - cpu
    api = plane_cpu_s(plane) - api
    result = Result(
        len(bound),
        len(made),
        last - began,
        cpu * 1000 / max(1, len(bound)),
        api * 1000 / max(1, len(bound)),
        100 * all_s / (took_s * (os.cpu_count() or 1)),
        (watched.writes() - writes) / max(1, len(bound)),
        watched.memory_bytes() / 1e6,
        gpus(world),
    )
    reflector.stop()
    http.close()
    return result


def plane_cpu_s(plane: ControlPlane) -> float:
    return plane.cpu_s("kube-apiserver") + plane.cpu_s("etcd")


def busy_s() -> float:
    """CPU seconds the whole machine has been at work (all but idle, waiting for disks, and guests)."""
    user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def gpus(world: World) -> int:
    """GPUs that any claim has a part of."""
    touched = set()
    for claim in world.all("ResourceClaim"):
        devices = ((claim.get("status") or {}).get("allocation") or {}).get("devices") or {}
        for each in devices.get("results") or ():
            touched.add((each["pool"], re.sub(r"-mig.*", "", each["device"])))
    return len(touched)


class Watched:
    """A scheduler that runs, and what it has used."""

    def __init__(self, start: Callable[[], None], stop: Callable[[], None], pid: Callable[[], int]) -> None:
        self._start, self._stop, self._pid = start, stop, pid
        self.writes: Callable[[], float] = lambda: 0.0

    def __enter__(self) -> Watched:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def cpu_s(self) -> float:
        return cpu_s(self._pid())

    def memory_bytes(self) -> int:
        return rss_bytes(self._pid())


def running(plane: ControlPlane, scheduler: str, *options: str) -> Watched:
    """`options` are Bayplan's."""
    if scheduler == "kube-scheduler":
        return _kube_scheduler(plane)
    return _bayplan(plane, *options)


def _kube_scheduler(plane: ControlPlane) -> Watched:
    def start() -> None:
        plane.start("kube-scheduler")
        time.sleep(6)

    watched = Watched(start, lambda: plane.stop("kube-scheduler"), lambda: plane.processes["kube-scheduler"].pid)

    def writes() -> float:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"https://127.0.0.1:{plane.ports['sched']}/metrics"
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        mine = [s for s in lines if s.startswith("rest_client_requests_total") and 'method="GET"' not in s]
        return sum(float(s.rpartition(" ")[2]) for s in mine)

    watched.writes = writes
    return watched


def _bayplan(plane: ControlPlane, *options: str) -> Watched:
    brain = Brain(plane, "--no-leader-elect", *options)
    watched = Watched(brain.wait_ready, lambda: void(brain.kill()), lambda: brain.pid)
    watched.writes = lambda: sum(n for k, n in brain.metrics().items() if k.startswith("bayplan_api_writes_total"))
    return watched


def void(_: object) -> None:
    """For a callback whose answer nobody wants."""


if __name__ == "__main__":
    raise SystemExit(main())
