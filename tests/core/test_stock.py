"""What free GPUs are worth to the pods that are likely to come, and which nodes are scarce."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core import scarcity
from bayplan.core.place import Placer
from bayplan.core.setup import placer_for
from bayplan.core.stock import Mix, Stock
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.make import cluster


def mix_of(world: Snapshot) -> tuple[Placer, Mix]:
    """A placer, and every pending workload of the world as the mix."""
    pending = [w for w in world.workloads.values() if w.admission is None]
    placer = placer_for(world, Policy(), pending)
    weights: dict[int, int] = {}
    for workload in pending:
        for pod_set in workload.pod_sets:
            shape = placer.book.shape(pod_set.template)
            weights[shape] = weights.get(shape, 0) + pod_set.count
    return placer, tuple((weight, shape) for shape, weight in weights.items())


@pytest.mark.parametrize(
    ("nodes", "running", "mix", "next_milli", "filled_milli"),
    [
        pytest.param("a=8", "", "x:1", 0, 0, id="single GPUs use everything"),
        pytest.param("a=8", "", "x:16", 8000, 8000, id="what fits nowhere loses everything"),
        pytest.param("a=8", "", "x:3", 0, 2000, id="three at a time leave two of eight"),
        pytest.param("a=8", "y:1@a", "x:8", 7000, 7000, id="one taken spoils a node for eight"),
        pytest.param("a=1:a100share", "y:40Gi@a", "x:1", 500, 500, id="half a card is no use to a whole-GPU pod"),
        pytest.param("a=1:a100share", "", "x:30Gi", 0, 250, id="two shares of 30Gi leave a quarter of 80Gi"),
        pytest.param("a=8", "", "x:1 y:16", 4000, 4000, id="of two equally likely pods one could run"),
        pytest.param("a=8", "", "x:4cpu", 8000, 8000, id="pods without GPUs use none"),
    ],
)
def test_losses(nodes: str, running: str, mix: str, next_milli: int, filled_milli: int) -> None:
    placer, likely = mix_of(cluster(nodes, mix, running=running))
    stock = Stock(placer.book, likely, whole_share=0)
    loss = stock.loss(placer.fleet.sigs["a"])
    assert (loss.next, loss.filled) == (next_milli * stock.scale, filled_milli * stock.scale)


def test_cpu_limits_what_a_node_can_be_filled_with() -> None:
    """96 cores: three pods of 30 cores leave five of eight GPUs without a host."""
    world = cluster("a=8", "x:1")
    (workload,) = world.workloads.values()
    (pod_set,) = workload.pod_sets
    template = msgspec.structs.replace(pod_set.template, requests=(("cpu", 30_000), ("pods", 1)))
    hungry = msgspec.structs.replace(workload, pod_sets=(msgspec.structs.replace(pod_set, template=template),))
    placer, likely = mix_of(world.with_workload(hungry))
    stock = Stock(placer.book, likely, whole_share=0)
    loss = stock.loss(placer.fleet.sigs["a"])
    assert (loss.next, loss.filled) == (0, 5000 * stock.scale)


def test_some_whole_gpus_are_always_likely() -> None:
    placer, likely = mix_of(cluster("a=1:a100share", "x:20Gi", running="y:40Gi@a"))
    stock = Stock(placer.book, likely)
    assert stock.loss(placer.fleet.sigs["a"]).next * 10 == 500 * stock.scale


@given(
    nodes=st.lists(st.sampled_from(["8", "4:a100share", "2:a100mig", "2:h100mig"]), min_size=1, max_size=3),
    asks=st.lists(
        st.sampled_from(["1", "2", "8", "12Gi", "40Gi", "1g.10gb", "3g.40gb", "8cpu"]), min_size=1, max_size=6
    ),
)
@settings(max_examples=40, deadline=None)
def test_no_more_is_lost_than_is_free_and_prices_balance(nodes: list[str], asks: list[str]) -> None:
    named = " ".join(f"n{i}={size}" for i, size in enumerate(nodes))
    placer, likely = mix_of(cluster(named, " ".join(f"w{i}:{a}" for i, a in enumerate(asks))))
    stock = Stock(placer.book, likely)
    for sig in placer.fleet.sigs.values():
        free, next_, filled = stock.loss(sig)
        assert 0 <= next_ <= free * stock.scale
        assert 0 <= filled <= free * stock.scale
    supply: dict[int, int] = {}
    for sig in placer.fleet.sigs.values():
        cls = placer.book.node_class_of(sig)
        supply[cls] = supply.get(cls, 0) + stock.loss(sig).free
    priced = scarcity.prices(placer.book, likely)
    assert abs(sum(priced.get(cls, 0) * there for cls, there in supply.items())) <= sum(supply.values())


def test_nothing_is_scarce_while_everything_runs_everywhere() -> None:
    placer, likely = mix_of(cluster("a=8:a100 b=8:h100", "x:1 y:2 z:4"))
    assert scarcity.prices(placer.book, likely) == {}


def test_what_only_some_nodes_can_do_makes_them_scarce() -> None:
    waiting = " ".join(["x:1", *(f"p{i}:1g.10gb" for i in range(9))])
    placer, likely = mix_of(cluster("a=2:h100mig b=2:h100", waiting))
    priced = scarcity.prices(placer.book, likely)
    mig, plain = (priced[placer.book.node_class_of(placer.fleet.sigs[n])] for n in ("a", "b"))
    assert mig > 100 > -100 > plain
