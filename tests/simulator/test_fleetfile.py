"""A fleet file is taken whole or refused with one line that names the file and the field."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import yaml

from bayplan.clusters.simulator.fleetfile import parse_fleet, read_fleet
from bayplan.clusters.simulator.hardware import MODELS, resource_slices
from bayplan.clusters.simulator.objects import BLOCK, POOL, RACK, fleet_objects, snapshot_of
from bayplan.clusters.simulator.stream import arrivals
from bayplan.wire.devices import resource_slice
from bayplan.wire.errors import Malformed
from tests.shared import shared

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fleet.yaml"

SMALL = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: small}
nodes:
- {name: h100, count: 5, gpu: h100-80gb, cpu: "96", memory: 1Ti, rackSize: 2, racksPerBlock: 2}
- {name: mig, count: 1, gpu: a100-80gb-mig, gpus: 2, cpu: "32", memory: 256Gi}
- {name: shared, count: 1, gpu: a100-80gb-shared, gpus: 1, cpu: "32", memory: 256Gi,
   taints: [{key: shared, effect: NoSchedule}]}
- {name: cpu, count: 2, cpu: "64", memory: 256Gi}
teams:
- {name: red, quota: {h100: 24, mig: 1}}
- {name: blue, weight: 3, quota: {h100: 16}}
priorities: {high: 10}
work:
- {name: gang, pods: [2], gpus: 8, nodes: h100, rack: required, everySeconds: 60, runtimeSeconds: [60, 600]}
- {name: slice, gpuMemory: 12Gi, nodes: shared, priority: high, teams: {red: 1}, first: 3, everySeconds: 60,
   runtimeSeconds: [60, 60]}
"""


def test_the_demo_fleet_is_a_few_hundred_gpu_nodes_of_four_kinds() -> None:
    snapshot = snapshot_of(fleet_objects(read_fleet(EXAMPLE)))
    pools = {n.labels[POOL] for n in snapshot.nodes.values()}
    assert len(snapshot.nodes) == 268
    assert pools == {"h100", "a100-mig", "a100-shared", "l40s"}
    assert set(snapshot.cluster_queues) == set(snapshot.namespaces) == {"team-a", "team-b", "team-c"}
    assert set(snapshot.device_classes) == {"gpu.nvidia.com", "mig.nvidia.com"}


def test_racks_and_blocks_are_filled_in_order() -> None:
    nodes = snapshot_of(fleet_objects(parse_fleet(SMALL))).nodes
    places = [(nodes[f"h100-00{i}"].labels[BLOCK], nodes[f"h100-00{i}"].labels[RACK]) for i in range(5)]
    assert places == [
        ("h100-b0", "h100-b0-r0"),
        ("h100-b0", "h100-b0-r0"),
        ("h100-b0", "h100-b0-r1"),
        ("h100-b0", "h100-b0-r1"),
        ("h100-b1", "h100-b1-r0"),
    ]


def test_quota_is_gpus_with_their_share_of_cpu_and_memory() -> None:
    spec = snapshot_of(fleet_objects(parse_fleet(SMALL))).cluster_queues["red"].spec
    quotas = {
        flavor.name: {r.name: str(r.nominal_quota) for r in flavor.resources}
        for flavor in spec.resource_groups[0].flavors
    }
    assert quotas == {
        "h100": {"cpu": "288", "memory": "3Ti", "nvidia.com/gpu": "24", "mig.nvidia.com": "0"},
        "mig": {"cpu": "16", "memory": "128Gi", "nvidia.com/gpu": "0", "mig.nvidia.com": "7"},
    }


def test_who_has_quota_of_tainted_nodes_tolerates_the_taint() -> None:
    snapshot = snapshot_of(fleet_objects(parse_fleet(SMALL)))
    tolerations = snapshot.flavors["shared"].spec.tolerations
    assert snapshot.nodes["shared-000"].admits(tolerations)
    assert not snapshot.nodes["shared-000"].admits(())


@pytest.mark.parametrize(
    ("fixture", "model", "node", "gpus"),
    [
        pytest.param("nvidia-h100-hgx8.yaml", "h100-80gb", "hgx-node-0", 8, id="whole H100s"),
        pytest.param("nvidia-a100-80gb-dynamic-mig.yaml", "a100-80gb-mig", "a100-node-0", 2, id="A100 partitions"),
        pytest.param("nvidia-h100-dynamic-mig.yaml", "h100-80gb-mig", "h100-node-0", 1, id="H100 partitions"),
        pytest.param("nvidia-h100-shares-memory.yaml", "h100-80gb-shared", "share-node-0", 2, id="H100 memory shares"),
    ],
)
def test_devices_are_what_the_driver_announces(fixture: str, model: str, node: str, gpus: int) -> None:
    given = [resource_slice(o) for o in yaml.safe_load_all(shared(f"fixtures/{fixture}").read_text())]
    made = [resource_slice(o) for o in resource_slices(node, MODELS[model], gpus)]
    theirs, ours = ({d.name: d for s in slices for d in s.spec.devices} for slices in (given, made))
    assert ours.keys() == theirs.keys()
    for name, device in theirs.items():
        own_ids = {"uuid", "parentUUID", "addressingMode"}
        assert ours[name].capacity == device.capacity
        assert ours[name].consumes_counters == device.consumes_counters
        assert ours[name].allow_multiple_allocations == device.allow_multiple_allocations
        assert {k: v for k, v in ours[name].attributes.items() if k not in own_ids} == {
            k: v for k, v in device.attributes.items() if k not in own_ids
        }
    counters = [s.spec.shared_counters for s in given if s.spec.shared_counters]
    assert [s.spec.shared_counters for s in made if s.spec.shared_counters] == counters


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("count: 5", "count: 0", "nodes[0].count: expected 1 to 20000, got 0", id="no nodes"),
        pytest.param("rackSize", "rakSize", "nodes[0]: object contains unknown field 'rakSize'", id="unknown field"),
        pytest.param("gpu: h100-80gb", "gpu: h300", "nodes[0].gpu: expected a GPU model", id="unknown GPU model"),
        pytest.param("gpus: 2", "gpus: 9", "nodes[1].gpus: expected 1 to 8, got 9", id="too many GPUs in a node"),
        pytest.param("memory: 1Ti", "memory: 1Tx", "nodes[0].memory: quantities must match", id="not a quantity"),
        pytest.param('cpu: "96"', 'cpu: "-1"', "nodes[0].cpu: expected a quantity above 0, got -1", id="negative CPU"),
        pytest.param("name: mig,", "name: h100,", "nodes[1].name: 'h100' is there twice", id="two groups of one name"),
        pytest.param("name: gang", "name: Gang_1", "work[0].name: expected up to 40 of a-z", id="not a name"),
        pytest.param("{h100: 16}", "{h200: 16}", "teams[1].quota.h200: expected a node group", id="quota of nothing"),
        pytest.param("{red: 1}", "{grey: 1}", "work[1].teams.grey: expected a team", id="work of nobody"),
        pytest.param("gpus: 8", "gpus: 8, partition: 1g.10gb", "work[0].partition: expected one of", id="two asks"),
        pytest.param("nodes: h100", "nodes: mig", "work[0].gpus: the nodes of 'mig' have at most 0", id="no whole GPU"),
        pytest.param("12Gi", "100Gi", "work[1].gpuMemory: the nodes of 'shared' share at most", id="share too large"),
        pytest.param("[60, 600]", "[600, 60]", "work[0].runtimeSeconds: expected [shortest, longest]", id="swapped"),
        pytest.param("priority: high", "priority: top", "work[1].priority: expected a priority class", id="priority"),
        pytest.param(
            "work:",
            "outages: [{node: h100-005, atSeconds: 1, seconds: 1}]\nwork:",
            "outages[0].node: expected a node as cpu-000, got 'h100-005'",
            id="outage of nothing",
        ),
        pytest.param(
            "work:",
            "outages: [{node: h100-004, atSeconds: 1, seconds: 0}]\nwork:",
            "outages[0].seconds: expected 1 to",
            id="outage of no time",
        ),
        pytest.param("kind: Fleet", "kind: Flet", "kind: invalid enum value 'Flet'", id="another kind"),
        pytest.param("nodes:\n", "nodes: [\n", "line ", id="not YAML"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, says: str) -> None:
    assert old in SMALL
    with pytest.raises(Malformed) as error:
        parse_fleet(SMALL.replace(old, new, 1), "small.yaml")
    assert str(error.value).startswith(f"small.yaml: {says}")
    assert "\n" not in str(error.value)


def test_the_stream_is_the_same_every_time_and_one_kind_of_work_does_not_move_another() -> None:
    fleet = parse_fleet(SMALL)
    first = list(islice(arrivals(fleet), 50))
    assert first == list(islice(arrivals(fleet), 50))
    assert [a.at_s for a in first] == sorted(a.at_s for a in first)
    alone = parse_fleet(SMALL[: SMALL.index("- {name: slice")])
    gangs = [a for a in first if a.work.name == "gang"]
    assert gangs == list(islice(arrivals(alone), len(gangs)))


def test_a_job_and_its_workload_ask_for_the_same() -> None:
    gang = next(a for a in arrivals(parse_fleet(SMALL)) if a.work.name == "gang")
    job, workload = gang.job(), gang.workload()
    pod_set = workload.pod_sets[0]
    assert (job["metadata"]["namespace"], job["metadata"]["name"]) == (workload.namespace, workload.name)
    assert job["spec"]["parallelism"] == pod_set.count == 2
    assert job["spec"]["suspend"]
    assert pod_set.topology.required == RACK
    claim = pod_set.template.claims[0].template
    assert claim is not None
    assert claim.devices.requests[0].exactly is not None
    assert claim.devices.requests[0].exactly.count == 8


def test_first_jobs_are_there_at_the_start() -> None:
    starts = [a.at_s for a in islice(arrivals(parse_fleet(SMALL)), 3)]
    assert starts == [0, 0, 0]
