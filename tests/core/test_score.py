"""Node scores on small worlds: where each policy puts the next pod."""

from __future__ import annotations

import pytest

from bayplan.core import decide
from bayplan.core.score import SCORES
from bayplan.model.plan import Place
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.make import cluster


def node_of(world: Snapshot, name: str, **policy: object) -> str:
    """The node of the one pod of workload `name`."""
    plan = decide(world, Policy(**policy), now_s=100)  # type: ignore[arg-type]
    found = next(d for d in plan.decisions if d.workload == f"default/{name}")
    assert isinstance(found, Place)
    return found.pods[0].node


@pytest.mark.parametrize(
    ("score", "nodes", "running", "asks", "node"),
    [
        pytest.param("first-fit", "a=8 b=2", "", "new:1", "a", id="first-fit takes the first name"),
        pytest.param("best-fit", "a=8 b=2", "", "new:1", "b", id="best-fit leaves the least over"),
        pytest.param("dot-product", "a=8 b=2", "", "new:1", "b", id="dot-product avoids plenty"),
        pytest.param("gpu-packing", "a=2:a100share b=2:a100share", "x:12Gi@b", "new:12Gi", "b", id="packing shares"),
        pytest.param("gpu-packing", "a=8 b=8", "x:1@b", "new:1", "b", id="packing prefers a node in use"),
        pytest.param("gpu-clustering", "a=8 b=8 c=8:a100share", "x:1@b", "new:1", "b", id="clustering joins its kind"),
        pytest.param("kube-scheduler", "a=8 b=8", "x:8cpu@a", "new:8cpu", "b", id="kube-scheduler spreads"),
        pytest.param("fgd", "a=8 b=8", "x:4@b", "new:4 big:8", "b", id="fgd keeps eight GPUs for eight"),
        pytest.param("stranding", "a=8 b=8", "x:4@b", "new:4 big:8", "b", id="ours keeps eight GPUs for eight"),
        pytest.param("stranding", "a=8 b=8", "x:1@b", "new:1", "b", id="ours keeps whole nodes whole"),
        pytest.param("stranding", "a=2:a100share b=2:a100share", "x:12Gi@b", "new:12Gi", "b", id="ours fills a card"),
        pytest.param("stranding", "a=2:a100mig b=2:a100mig", "x:1g.20gb@b", "new:1g.20gb", "b", id="ours fills MIG"),
    ],
)
def test_where_the_next_pod_goes(score: str, nodes: str, running: str, asks: str, node: str) -> None:
    assert node_of(cluster(nodes, asks, running=running), "new", score=score) == node


def test_the_sixth_share_goes_to_the_card_that_five_left_a_gap_on() -> None:
    running = " ".join(f"x{i}:12Gi@b" for i in range(5))
    assert node_of(cluster("a=1 b=1", "new:12Gi", running=running, gpu="a100share"), "new") == "b"


def test_a_scarce_model_is_left_to_those_who_need_it() -> None:
    """Single GPUs could go anywhere; the first node in name order is the only one that can be cut in partitions."""
    waiting = " ".join(["new:1", *(f"part{i}:1g.10gb" for i in range(14))])
    assert node_of(cluster("a=2:h100mig b=2:h100", waiting), "new") == "b"


def test_equal_nodes_are_taken_by_name_or_by_the_policys_seed() -> None:
    world = cluster("n*20=8", "new:1")
    assert node_of(world, "new") == "n0"
    assert len({node_of(world, "new", seed=s) for s in range(1, 6)}) > 1


@pytest.mark.parametrize("score", sorted(SCORES))
def test_every_score_decides_the_same_twice(score: str) -> None:
    world = cluster("a=8 b=4:a100share c=2:a100mig", "one:1 two:12Gi three:1g.10gb four:2 five:4cpu")
    first = decide(world, Policy(score=score), now_s=100)
    assert decide(world, Policy(score=score), now_s=100) == first
    assert len(first.placed()) == 5
