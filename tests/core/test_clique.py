"""The NVLink domain of a node is a label; gangs stay in one where it has room."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.core import asks, decide
from bayplan.model.base import Metadata
from bayplan.model.policy import Policy
from bayplan.model.queue import Topology, TopologyLevel, TopologySpec
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import TopologyRequest
from tests.make import cluster

CLIQUE = "nvidia.com/gpu.clique"
ORDER = {"a": "0", "b": "1", "c": "0", "d": "1", "e": "1", "f": "2"}


def world(workloads: str, *, running: str = "", **topology: str) -> Snapshot:
    """Six nodes of one rack in the NVLink domains 0 (a, c), 1 (b, d, e) and 2 (f)."""
    snapshot = cluster(" ".join(f"r0/{n}=4" for n in ORDER), workloads, running=running)
    nodes = {
        n: msgspec.structs.replace(node, labels=node.labels | {CLIQUE: ORDER[n]}) for n, node in snapshot.nodes.items()
    }
    asking = {
        k: msgspec.structs.replace(
            w,
            pod_sets=tuple(msgspec.structs.replace(s, topology=TopologyRequest(**topology)) for s in w.pod_sets),
        )
        for k, w in snapshot.workloads.items()
    }
    return snapshot.replace(nodes=nodes, workloads=asking)


def kueue(*labels: str) -> dict[str, Topology]:
    levels = tuple(TopologyLevel(node_label=label) for label in labels)
    return {"default": Topology(metadata=Metadata(name="default"), spec=TopologySpec(levels=levels))}


def nodes_of(snapshot: Snapshot) -> set[str]:
    plan = decide(snapshot, Policy(), now_s=100)
    assert audit(snapshot, Policy(), plan) == ()
    return {p.node for d in plan.placed() for p in d.pods}


@pytest.mark.parametrize(
    "topology", [{}, {"preferred": CLIQUE}, {"required": CLIQUE}], ids=["unasked", "preferred", "required"]
)
@pytest.mark.parametrize(
    "levels",
    [(), ("topology.bayplan.dev/block", CLIQUE, "kubernetes.io/hostname"), (CLIQUE, "kubernetes.io/hostname")],
    ids=["by label", "a level of a Topology", "the level of a Topology"],
)
def test_a_gang_stays_in_one_nvlink_domain(levels: tuple[str, ...], topology: dict[str, str]) -> None:
    world_ = world("gang:3x4", **topology).replace(topologies=kueue(*levels) if levels else {})
    assert nodes_of(world_) == {"b", "d", "e"}
    assert nodes_of(world("gang:2x4", **topology).replace(topologies=world_.topologies)) == {"a", "c"}


def test_where_none_has_room_it_crosses_or_waits() -> None:
    busy = "old:4@b"
    assert len(nodes_of(world("gang:3x4", running=busy))) == 3
    assert nodes_of(world("gang:3x4", running=busy, required=CLIQUE)) == set()


def test_its_name_is_known() -> None:
    (gang,) = world("gang:3x4", required=CLIQUE).workloads.values()
    assert asks(gang).endswith("in one NVLink clique")
