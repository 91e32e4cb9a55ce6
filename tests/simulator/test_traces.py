"""Traces become snapshots and workloads; a bad row is named by file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.clusters.simulator.meter import usage
from bayplan.clusters.simulator.openb import capacity_milli, read_nodes, read_pods, total_milli, workload_of
from bayplan.clusters.simulator.packing import arrivals, pack, pack_at_random
from bayplan.clusters.simulator.philly import read_philly
from bayplan.clusters.simulator.scenario import read_scenario
from bayplan.model.policy import Policy
from bayplan.wire.errors import Malformed
from tests.shared import shared

NODES = """sn,cpu_milli,memory_mib,gpu,model
n0,64000,262144,2,P100
n1,96000,393216,4,T4
n2,32000,131072,0,
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
p0,4000,4096,1,500,,LS,Running,100,400,100
p1,4000,4096,1,500,T4|P100,LS,Running,110,210,110
p2,8000,4096,4,1000,T4,LS,Running,120,520,120
p3,8000,4096,0,0,,LS,Running,130,330,130
p4,4000,4096,1,600,P100,LS,Running,140,440,140
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "openb_node_list_gpu_node.csv").write_text(NODES)
    (tmp_path / "pods.csv").write_text(PODS)
    return tmp_path


def test_a_gpu_is_a_thousand_thousandths(folder: Path) -> None:
    fleet = read_nodes(folder / "openb_node_list_gpu_node.csv")
    assert capacity_milli(fleet) == 6000
    assert total_milli(read_pods(folder / "pods.csv")) == 5600
    assert fleet.nodes["n1"].allocatable == {"cpu": 96000, "memory": 384 << 30, "pods": 1001}


def test_allowed_models_become_a_selector_and_a_share_a_capacity(folder: Path) -> None:
    pod = read_pods(folder / "pods.csv")[1]
    assert pod.models == ("P100", "T4")
    claim = workload_of(pod).pod_sets[0].template.claims[0].template
    assert claim is not None
    exactly = claim.devices.requests[0].exactly
    assert exactly is not None and exactly.capacity is not None and exactly.selectors[0].cel is not None
    assert "model in ['P100', 'T4']" in exactly.selectors[0].cel.expression
    assert str(exactly.capacity.requests["milli"]) == "500"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("p0,4000", "p0,four", "pods.csv: line 2: cpu_milli: expected a whole number", id="not a number"),
        pytest.param("1,500,,", "1,1500,,", "pods.csv: line 2: gpu_milli: expected 1 to 1000", id="more than a GPU"),
        pytest.param("4,1000,T4", "4,500,T4", "pods.csv: line 4: gpu_milli: expected 1000 for 4", id="halves of four"),
        pytest.param("gpu_milli,", "milli,", "pods.csv: line 1: gpu_milli: expected the columns", id="column missing"),
    ],
)
def test_a_bad_row_is_named(folder: Path, old: str, new: str, says: str) -> None:
    (folder / "pods.csv").write_text(PODS.replace(old, new, 1))
    with pytest.raises(Malformed) as error:
        read_pods(folder / "pods.csv")
    assert str(error.value).startswith(says)


def test_arrivals_are_all_pods_once_then_redraws_up_to_the_inflation(folder: Path) -> None:
    pods = read_pods(folder / "pods.csv")
    queue = arrivals(pods, 6000, seed=42)
    assert sorted(queue[:5]) == sorted(pods)
    assert total_milli(queue) <= 7800
    assert queue == arrivals(pods, 6000, seed=42)
    assert queue != arrivals(pods, 6000, seed=43)


def test_what_does_not_fit_the_inflated_fleet_is_dropped_from_the_queue(folder: Path) -> None:
    pods = read_pods(folder / "pods.csv")
    assert total_milli(arrivals(pods, 2000, seed=42)) <= 2600


@pytest.mark.parametrize("score", ["stranding", "fgd", "best-fit", "first-fit", "gpu-packing", "random"])
def test_a_fleet_that_holds_everything_drops_nothing(folder: Path, score: str) -> None:
    fleet = read_nodes(folder / "openb_node_list_gpu_node.csv")
    pods = read_pods(folder / "pods.csv")
    packed = pack_at_random(fleet, pods, Policy(), 1) if score == "random" else pack(fleet, pods, Policy(score=score))
    constrained = score == "random"  # a random choice may put a share where the four whole GPUs should go
    assert packed.placed + packed.dropped == 5
    assert constrained or packed.dropped == 0
    assert constrained or packed.allocation[93] == pytest.approx(100 * 5600 / 6000, abs=10)


def test_nothing_is_stranded_while_every_pod_fits_everywhere(folder: Path) -> None:
    fleet = read_nodes(folder / "openb_node_list_gpu_node.csv")
    half = workload_of(read_pods(folder / "pods.csv")[0])
    assert usage(fleet, Policy(), [half]) == (6000, 0, 0, 0)


def test_an_openb_list_is_a_scenario_with_the_times_of_the_trace(folder: Path) -> None:
    scenario = read_scenario(folder / "pods.csv", hours=0)
    assert [(j.at_s, j.runtime_s) for j in scenario.jobs] == [(0, 300), (10, 100), (20, 400), (30, 200), (40, 300)]


PHILLY = """timestamp,duration,num_gpus,gpu_time,cluster
2017-10-09 08:00:00,60.0,1,60.0,aa
2017-10-09 07:00:00,3600.0,16,57600.0,bb
2017-10-10 07:00:00,30.5,12,366.0,aa
"""


def test_philly_jobs_become_gangs_of_at_most_a_node_each(tmp_path: Path) -> None:
    (tmp_path / "philly.csv").write_text(PHILLY)
    scenario = read_philly(tmp_path / "philly.csv", gpus=32)
    assert len(scenario.cluster.nodes) == 4
    shapes = [(j.at_s, j.runtime_s, j.workload.namespace, j.workload.count) for j in scenario.jobs]
    assert shapes == [(0, 3600, "vc-bb", 2), (3600, 60, "vc-aa", 1), (86400, 30, "vc-aa", 3)]
    assert [dict(j.workload.pod_sets[0].template.requests)["nvidia.com/gpu"] for j in scenario.jobs] == [8, 1, 4]


def test_philly_days_are_chosen_by_date(tmp_path: Path) -> None:
    (tmp_path / "philly.csv").write_text(PHILLY)
    assert len(read_philly(tmp_path / "philly.csv", start="2017-10-10").jobs) == 1
    assert len(read_philly(tmp_path / "philly.csv", end="2017-10-10").jobs) == 2


def test_the_real_traces_are_read() -> None:
    folder = shared("traces")
    fleet = read_nodes(folder / "openb/openb_node_list_gpu_node.csv")
    pods = read_pods(folder / "openb/openb_pod_list_gpuspec33.csv")
    assert (len(fleet.nodes), capacity_milli(fleet), len(pods)) == (1213, 6_212_000, 8152)
    october = read_philly(folder / "philly/philly.csv", start="2017-10-09", end="2017-11-06")
    assert len(october.jobs) == 38_489
