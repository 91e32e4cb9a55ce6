"""How long a cycle takes in a large cluster that is already full of work: one new gang among 50,000 running pods.

    python -m bench mirror [--nodes 5000] [--pods 50000]

Objects go in as the JSON an API server sends. Each round a gang of 64 pods with 8 GPUs each arrives, is decided about
and audited, and goes again; meanwhile some pods of others end and as many start, with a GPU each. Printed are the
milliseconds of CPU of each step.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from bayplan.audit import audit
from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects
from bayplan.core import decide
from bayplan.model.policy import Policy
from bayplan.runtime.mirror import KINDS, WORKLOAD, GroupKind, Mirror
from bayplan.wire.assignment import topology_assignment
from bayplan.wire.kinds import group_kind
from bayplan.wire.names import NO_QUEUE
from bayplan.wire.names import WORKLOAD as WORKLOAD_NAME
from tests.cluster.world import claim_spec, fleet_text, template

Json = dict[str, Any]
T = TypeVar("T")
CLAIM: GroupKind = ("resource.k8s.io", "ResourceClaim")
GPUS = 8
PER_WORKLOAD = 100
GANG_PODS = 64
SPARE_PERCENT = 20
CHURN = 20
ROUNDS = 7


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench mirror", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--churn", type=int, default=CHURN, help="pods of others that come and go per round")
    chosen = parser.parse_args(arguments)
    mirror = Mirror()
    began = time.process_time()
    read = 0
    for obj in cluster(chosen.nodes, chosen.pods):
        put(mirror, obj)
        read += 1
    mirror.snapshot()
    print(f"first reading of {read} objects, their making included: {time.process_time() - began:.1f} s")
    gc.collect()
    gc.freeze()
    steps: dict[str, list[float]] = {}
    others = [*strangers(chosen.nodes, chosen.churn)]
    for number in range(ROUNDS):
        change(mirror, others[number % 2 :: 2], others[(number + 1) % 2 :: 2])
        cycle(mirror, number, steps)
    for name, seconds in steps.items():
        warm = sorted(seconds[1:])
        print(f"{name:10} first {seconds[0]:7.1f} ms   median {statistics.median(warm):7.1f}   worst {warm[-1]:7.1f}")
    return 0


def cycle(mirror: Mirror, number: int, steps: dict[str, list[float]]) -> None:
    """A gang arrives and is placed; what it took."""

    def timed(name: str, work: Callable[[], T]) -> T:
        began = time.process_time()
        result = work()
        steps.setdefault(name, []).append(1000 * (time.process_time() - began))
        return result

    obj = workload(f"gang-{number}", GANG_PODS, GPUS)
    put(mirror, obj)
    snapshot = timed("snapshot", mirror.snapshot)
    plan = timed("decide", lambda: decide(snapshot, Policy(), now_s=1))
    findings = timed("audit", lambda: audit(snapshot, Policy(), plan))
    assert not findings, findings[0]
    (place,) = plan.placed()
    assert len(place.pods) == GANG_PODS
    mirror.drop(WORKLOAD, place.workload)
    steps.setdefault("cycle", []).append(sum(steps[name][-1] for name in ("snapshot", "decide", "audit")))


def change(mirror: Mirror, come: Sequence[tuple[Json, Json]], gone: Sequence[tuple[Json, Json]]) -> None:
    for pair in gone:
        for obj in pair:
            mirror.drop(group_kind(obj), f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
    for pair in come:
        for obj in pair:
            put(mirror, obj)


def put(mirror: Mirror, obj: Json) -> None:
    kind, meta = group_kind(obj), obj["metadata"]
    key = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
    if kind in KINDS:
        mirror.put(kind, key, msgspec.json.encode(obj), meta.get("resourceVersion", ""))


def cluster(nodes: int, pods: int) -> Iterator[Json]:
    """Nodes in racks, and running work on all but the last of them: GPUs by claims, then plain pods."""
    objects = fleet(nodes)
    yield from objects
    yield template("ask", gpus=GPUS) | {"metadata": {"name": "ask", "namespace": "team-a"}}
    names = sorted(o["metadata"]["name"] for o in objects if o["kind"] == "Node")
    slices = {o["spec"]["nodeName"]: o["spec"] for o in objects if o["kind"] == "ResourceSlice"}
    used = names[: -spare(nodes)]
    for index in range(pods):
        node, turn = used[index % len(used)], index // len(used)
        owner = f"run-{index // PER_WORKLOAD}"
        if index % PER_WORKLOAD == 0:
            yield running(owner, [used[(index + i) % len(used)] for i in range(min(PER_WORKLOAD, pods - index))])
        claim = turn < GPUS
        yield bound(f"{owner}-{index % PER_WORKLOAD}", owner, node, claim)
        if claim:
            spec = slices[node]
            yield held(f"{owner}-{index % PER_WORKLOAD}", spec["pool"]["name"], spec["devices"][turn]["name"], node)


def strangers(nodes: int, churn: int) -> Iterator[tuple[Json, Json]]:
    """Pods in no Workload with a GPU each on the last nodes, twice as many as there are at a time."""
    slices = [o["spec"] for o in fleet(nodes) if o["kind"] == "ResourceSlice"]
    last = sorted(slices, key=lambda spec: str(spec["nodeName"]))[-spare(nodes) // 2 :]
    for index in range(2 * churn):
        spec, name = last[index % len(last)], f"other-{index}"
        pod = bound(name, "", spec["nodeName"], claim=True)
        del pod["metadata"]["annotations"]
        device = spec["devices"][index // len(last)]["name"]
        yield pod, held(name, spec["pool"]["name"], device, spec["nodeName"])


def fleet(nodes: int) -> list[Json]:
    return fleet_objects(parse_fleet(fleet_text(f"n {nodes} h100-80gb rackSize=16"), "fleet.yaml"))


def spare(nodes: int) -> int:
    return max(1, nodes * SPARE_PERCENT // 100)


def workload(name: str, pods: int, gpus: int) -> Json:
    """A pending Workload in a queue."""
    asked = {"cpu": "1", "memory": "1Gi"}
    spec: Json = {"containers": [{"name": "c", "image": "example.org/c:1", "resources": {"requests": asked}}]}
    if gpus:
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "ask"}]
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": named(name) | {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"queueName": "team-a", "podSets": [{"name": "main", "count": pods, "template": {"spec": spec}}]},
    }


def running(name: str, nodes: Sequence[str]) -> Json:
    """An admitted Workload in no queue, one pod on each of these nodes."""
    made = workload(name, len(nodes), 0)
    del made["spec"]["queueName"]
    counts = {node: nodes.count(node) for node in nodes} if len(set(nodes)) < len(nodes) else dict.fromkeys(nodes, 1)
    given = {"name": "main", "count": len(nodes), "topologyAssignment": topology_assignment(tuple(counts.items()))}
    since = {"status": "True", "reason": "Admitted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return made | {
        "status": {
            "admission": {"clusterQueue": NO_QUEUE, "podSetAssignments": [given]},
            "conditions": [{"type": "QuotaReserved"} | since, {"type": "Admitted"} | since],
        }
    }


def bound(name: str, owner: str, node: str, claim: bool) -> Json:
    pod = workload(name, 1, 0)["spec"]["podSets"][0]["template"]["spec"]
    spec = pod | {"nodeName": node, "schedulerName": "bayplan"}
    status: Json = {"phase": "Running"}
    if claim:
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimName": name}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": named(name) | {"annotations": {WORKLOAD_NAME: owner}},
        "spec": spec,
        "status": status,
    }


def held(name: str, pool: str, device: str, node: str) -> Json:
    """A claim that has one GPU, reserved for the pod of its name."""
    result = {"request": "gpu", "driver": "gpu.nvidia.com", "pool": pool, "device": device}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": named(name),
        "spec": claim_spec(gpus=1),
        "status": {
            "allocation": {"devices": {"results": [result]}, "nodeSelector": {"nodeSelectorTerms": [term]}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": f"u-{name}"}],
        },
    }


def named(name: str) -> Json:
    return {"name": name, "namespace": "team-a", "uid": f"u-{name}", "resourceVersion": "1"}


if __name__ == "__main__":
    raise SystemExit(main())
