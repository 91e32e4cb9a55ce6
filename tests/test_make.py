"""The language of worlds: what a line makes."""

from __future__ import annotations

import pytest

from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from tests.firstfit import NoRoom
from tests.make import GPU, LEVELS, MIG, cluster, gpu_node, place, workload


def _given(world: Snapshot, claim: str) -> list[str]:
    allocation = world.claims[f"default/{claim}"].status.allocation
    return [r.device for r in allocation.devices.results] if allocation else []


def test_nodes_stand_in_racks_and_blocks() -> None:
    world = cluster("b1/r1/a=8 r2/b=4 c*2=0")
    assert {n: (x.labels[LEVELS["block"]], x.labels[LEVELS["rack"]]) for n, x in world.nodes.items()} == {
        "a": ("b1", "r1"),
        "b": ("b0", "r2"),
        "c0": ("b0", "r0"),
        "c1": ("b0", "r0"),
    }
    assert [len(s.spec.devices) for s in world.slices] == [8, 4]


@pytest.mark.parametrize(
    ("model", "devices", "slices"), [("h100", 2, 1), ("a100share", 2, 1), ("a100mig", 50, 3), ("h100mig", 52, 3)]
)
def test_a_node_announces_its_gpus(model: str, devices: int, slices: int) -> None:
    _, made = gpu_node("a", 2, model)
    assert sum(len(s.spec.devices) for s in made) == devices
    assert [s.spec.pool.resource_slice_count for s in made] == [slices] * slices


def test_a_workload_reads_as_it_is_written() -> None:
    made = workload("team-b/gang:4x8!9@rack%600")
    (pods,) = made.pod_sets
    assert (made.queue_name, made.name, made.priority, made.runtime_s) == ("team-b", "gang", 9, 600)
    assert (pods.count, pods.topology.required, pods.topology.preferred) == (4, LEVELS["rack"], "")
    template = pods.template.claims[0].template
    assert template and template.devices.requests[0].exactly and template.devices.requests[0].exactly.count == 8


def test_pod_sets_are_added_up() -> None:
    made = workload("ray:4cpu+4x1~block")
    assert [(s.name, s.count, s.topology.preferred) for s in made.pod_sets] == [
        ("set-0", 1, LEVELS["block"]),
        ("set-1", 4, LEVELS["block"]),
    ]
    assert made.pod_sets[0].template.requests == (("cpu", 4000), ("pods", 1))


def test_running_work_holds_the_first_free_devices() -> None:
    world = cluster("a=2 b=1:a100share c=1:a100mig", running="x:1@a y:1@a s:2x12Gi@b m:2x3g.40gb@c g:2x4cpu@rack@a,b")
    assert _given(world, "y-main-0-gpu") == ["gpu-1"]
    assert _given(world, "s-main-1-gpu") == ["gpu-0"]
    assert _given(world, "m-main-1-gpu") == ["gpu-0-mig-3g40gb-9-4"]
    assert [world.pods[f"default/g-main-{i}"].node for i in range(2)] == ["a", "b"]
    admission = world.workloads["default/g"].admission
    assert admission and admission.pod_sets[0].nodes == (("a", 1), ("b", 1))


@pytest.mark.parametrize("running", ["x:3@a", "s:7x12Gi@b", "m:8x1g.10gb@c", "h:2x7g.80gb@c"])
def test_nothing_runs_where_there_is_no_room(running: str) -> None:
    with pytest.raises(NoRoom):
        cluster("a=2 b=1:a100share c=1:a100mig", running=running)


def test_queues_share_a_cohort_and_the_first_takes_what_names_none() -> None:
    world = cluster("a=8", "x:1 team-b/y:1", queues="team-a=16@org team-b=8@org")
    assert [w.queue_name for w in world.workloads.values()] == ["team-a", "team-b"]
    spec = world.cluster_queues["team-a"].spec
    quotas = {q.name: q.nominal_quota for q in spec.resource_groups[0].flavors[0].resources}
    assert spec.cohort_name == "org" and (quotas[GPU], quotas[MIG]) == (Quantity.of(16), Quantity.of(112))


def test_a_plain_plan_admits_through_the_queue() -> None:
    world = cluster("a=8 b=8", "gang:2x8", queues="team=16")
    made = place(world, "default/gang", "a", "b")
    assert made.cluster_queue == "team"
    assert made.pod_sets[0].flavors == ((GPU, "default"),)
    assert [p.node for p in made.pods] == ["a", "b"]


@pytest.mark.parametrize("text", ["gang", "gang:", "gang:8x", "gang:8:2", "g:1h"])
def test_a_word_that_is_no_workload_is_refused(text: str) -> None:
    with pytest.raises(AssertionError, match="not "):
        workload(text)
