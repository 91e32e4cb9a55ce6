"""What is placed, not how fast: scenes in which one decision differs from a queue of single ones, on a real API server.

    python -m bench feats [--only gang,...]

Each scene is played for kube-scheduler and for Bayplan on the same control plane, and what became of it is printed.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.cluster import clear, gpus, running
from tests.cluster.process import installed
from tests.cluster.world import World, pod, template
from tests.controlplane.run import ControlPlane

Json = dict[str, Any]
GATES = "GenericWorkload=true,GangScheduling=true,TopologyAwareWorkloadScheduling=true"
RACK = "topology.bayplan.dev/rack"
RESERVE_AFTER_S = 5  # a gang waits so long before Bayplan keeps room for it; kube-scheduler has no such thing
SETTLE_S = 12.0  # kube-scheduler tries what it refused again at the latest after ten seconds


class Scene(NamedTuple):
    """`play` gets the world and the scheduler's name for pods, and says what became of it."""

    name: str
    about: str
    fleet: str
    play: Callable[[World, str], str]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench feats", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(s.name for s in SCENES))
    chosen = parser.parse_args(arguments).only.split(",")
    with ControlPlane(gates=GATES, kueue=True) as plane:
        installed(plane)
        for scene in (s for s in SCENES if s.name in chosen):
            print(f"{scene.name}: {scene.about}")
            for scheduler in ("kube-scheduler", "bayplan"):
                print(f"    {scheduler:15} {play(plane, scene, scheduler)}", flush=True)
    return 0


def play(plane: ControlPlane, scene: Scene, scheduler: str) -> str:
    world = World(plane)
    try:
        world.fleet(scene.fleet)
        world.create(*(priority_class(name, value) for name, value in (("urgent", 1000), ("idle", 10))))
        world.create(*(template(f"gpu-{n}", gpus=n) for n in (1, 4, 8)), template("share", memory="12Gi"))
        with running(plane, scheduler, "--reserve-after", str(RESERVE_AFTER_S)):
            return scene.play(world, "default-scheduler" if scheduler == "kube-scheduler" else scheduler)
    finally:
        clear(world)
        world.close()


# --- the scenes --------------------------------------------------------------------------------------------------


def displaces(world: World, scheduler: str) -> str:
    fill(world, scheduler, 8)
    world.create(one("urgent", scheduler, 1, priorityClassName="urgent"))
    nodes = settled(world)
    low = sum(1 for name in nodes if name.startswith("low-"))
    return f"the urgent pod {'runs' if 'urgent' in nodes else 'waits'}, {low} of 8 others run"


def rack_gang(world: World, scheduler: str) -> str:
    fill(world, scheduler, 32)
    world.create(group("gang", 4, topology=RACK))
    world.create(*(one(f"g-{i}", scheduler, 4, "gang", priorityClassName="urgent") for i in range(4)))
    nodes = settled(world)
    gang = [node for name, node in nodes.items() if name.startswith("g-")]
    racks = {n["metadata"]["name"]: n["metadata"]["labels"][RACK] for n in world.all("Node")}
    low = sum(1 for name in nodes if name.startswith("low-"))
    return f"{len(gang)} of 4 pods of the gang run, in {len({racks[n] for n in gang})} racks; {low} of 32 others run"


def pinned(world: World, scheduler: str) -> str:
    world.create(group("gang", 3))
    first, *others = (n["metadata"]["name"] for n in world.all("Node"))
    # the first node has most room, so that whoever takes the pods one by one puts a flexible one there
    busy = [(f"busy-{i}", {"kubernetes.io/hostname": node}) for i, node in enumerate(others)]
    world.create(*(pod(name, cpu="32", schedulerName=scheduler, nodeSelector=where) for name, where in busy))
    world.until_bound(len(busy))
    world.create(*(one(f"flexible-{i}", scheduler, 8, "gang") for i in range(2)))
    world.create(one("pinned", scheduler, 8, "gang", nodeSelector={"kubernetes.io/hostname": first}))
    return f"{len(settled(world)) - len(busy)} of 3 pods run"


def starves(world: World, scheduler: str) -> str:
    fill(world, scheduler, 16)
    world.create(group("gang", 2))
    world.create(*(one(f"g-{i}", scheduler, 8, "gang") for i in range(2)))
    overtook = 0
    for turn in range(32):
        nodes = world.bound()
        if any(name.startswith("g-") for name in nodes):
            break
        world.create(one(f"late-{turn}", scheduler, 1))
        oldest = sorted(nodes, key=lambda n: (n.startswith("late-"), int(n.rpartition("-")[2])))
        if oldest:
            world.delete("Pod", oldest[0], "team-a", grace=0)
        time.sleep(1)
        overtook = sum(1 for name in world.bound() if name.startswith("late-"))
    runs = sum(1 for name in settled(world) if name.startswith("g-"))
    return f"{runs} of 2 pods of the gang run; {overtook} of the pods that came after it run in its place"


def shares(world: World, scheduler: str) -> str:
    made = [pod(f"s-{i}", claim="share", cpu="100m", schedulerName=scheduler) for i in range(24)]
    world.create(*made)
    nodes = settled(world)
    return f"{len(nodes)} of 24 pods run on {gpus(world)} GPUs of {len(Counter(nodes.values()))} nodes"


SCENES = (
    Scene("priority", "an urgent pod, every GPU held by less important ones", "n 1 h100-80gb", displaces),
    Scene("rack", "an urgent gang that must stand in one rack, both racks full", "n 4 h100-80gb", rack_gang),
    Scene("pinned", "a gang of two pods for any of three nodes and one for the first", "n 3 h100-80gb", pinned),
    Scene("gang", "a gang for the whole cluster, single pods arriving as others end", "n 2 h100-80gb", starves),
    Scene("shares", "24 × 12Gi, four nodes of eight GPUs of 80Gi", "n 4 a100-80gb-shared", shares),
)


# --- furniture ---------------------------------------------------------------------------------------------------


def fill(world: World, scheduler: str, count: int) -> None:
    world.create(*(one(f"low-{i}", scheduler, 1, priorityClassName="idle") for i in range(count)))
    world.until_bound(count, seconds=60)


def settled(world: World) -> dict[str, str]:
    """Node by pod once nothing has changed for a while."""
    since, last = time.monotonic(), world.bound()
    while time.monotonic() - since < SETTLE_S:
        time.sleep(0.5)
        now = world.bound()
        if now != last:
            since, last = time.monotonic(), now
    return last


def one(name: str, scheduler: str, count: int, gang: str = "", **spec: Any) -> Json:
    """A pod with so many GPUs of one node."""
    member = {"schedulingGroup": {"podGroupName": gang}} if gang else {}
    return pod(name, claim=f"gpu-{count}", cpu="100m", schedulerName=scheduler, **member, **spec)


def group(name: str, pods: int, topology: str = "") -> Json:
    spec: Json = {"schedulingPolicy": {"gang": {"minCount": pods}}}
    if topology:
        spec["schedulingConstraints"] = {"topology": [{"key": topology}]}
    meta = {"name": name, "namespace": "team-a"}
    return {"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": meta, "spec": spec}


def priority_class(name: str, value: int) -> Json:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "globalDefault": False,
    }


if __name__ == "__main__":
    raise SystemExit(main())
