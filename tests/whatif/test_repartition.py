"""MIG layouts for the queue: found by trying, verified by `decide`, never on a card that somebody uses."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core import decide
from bayplan.model import codec
from bayplan.model.device import DeviceAttribute, ResourceSlice
from bayplan.model.mig import A100_PROFILES, H100_PROFILES, MEMORY_SLICES, Profile, packings
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.whatif import Repartition, repartition
from tests.make import cluster, mig_slices, workload
from tests.shared import shared

POLICY = Policy()
MIXED = ("2g.20gb@0", "1g.10gb@2", "1g.10gb@3", "3g.40gb@4")


def cut(name: str, *cards: tuple[str, ...], running: str = "", queue: str = "") -> Snapshot:
    """A node whose A100s were cut before their driver started, `profile@start` by card."""
    world = cluster(f"{name}={len(cards)}:none", "")
    [announced] = [s for s in mig_slices(name, 1) if s.spec.devices]
    devices = []
    for minor, pieces in enumerate(cards):
        for piece in pieces:
            profile, _, start = piece.partition("@")
            like = next(
                d
                for d in announced.spec.devices
                if d.attributes["profile"].string == profile and d.name.endswith(f"-{start}")
            )
            attributes = like.attributes | {"parentUUID": DeviceAttribute(string=f"GPU-{minor}")}
            named = like.name.replace("gpu-0", f"gpu-{minor}")
            devices.append(msgspec.structs.replace(like, name=named, attributes=attributes, consumes_counters=()))
    pool = msgspec.structs.replace(announced.spec.pool, resource_slice_count=1)
    spec = msgspec.structs.replace(announced.spec, devices=tuple(devices), pool=pool)
    world = world.replace(slices=(msgspec.structs.replace(announced, spec=spec),))
    for i, token in enumerate(running.split()):
        world = world.with_workload(workload(token, created_s=i + 1))
    for place in decide(world, POLICY, now_s=9).placed():
        world = world.placing(place, now_s=9)
    for i, token in enumerate(queue.split()):
        world = world.with_workload(workload(token, created_s=i + 20))
    return world


def proposed(world: Snapshot) -> Repartition:
    return repartition(world, POLICY, now_s=99)


@pytest.mark.parametrize(
    ("queue", "after", "gain"),
    [
        pytest.param("a:1g.20gb b:1g.20gb c:1g.20gb d:1g.20gb", ["4 × 1g.20gb"], 1000, id="four of 20 GB"),
        pytest.param("a:7g.80gb", ["1 × 7g.80gb"], 1000, id="one that wants all of it"),
        pytest.param("a:3g.40gb b:3g.40gb", ["2 × 3g.40gb"], 500, id="a second half beside the first"),
        pytest.param("a:7x1g.10gb", ["7 × 1g.10gb"], 875, id="a gang of seven small ones"),
    ],
)
def test_the_layout_that_fits_the_queue_is_found(queue: str, after: list[str], gain: int) -> None:
    found = proposed(cut("a", MIXED, queue=queue))
    assert [
        ", ".join(f"{p.count(n)} × {n}" for n in dict.fromkeys(p)) for p in (x.after for x in found.layouts)
    ] == after
    assert found.gain_milli == gain
    assert not found.delayed


@pytest.mark.parametrize(
    ("world", "counts"),
    [
        pytest.param(cut("a", MIXED), (1, 1, 0), id="nothing waits"),
        pytest.param(cut("a", MIXED, queue="x:2g.20gb"), (1, 1, 1), id="what waits fits as it is"),
        pytest.param(cut("a", MIXED, running="y:1g.10gb", queue="x:7g.80gb"), (1, 0, 1), id="somebody uses the card"),
        pytest.param(cut("a", MIXED, queue="x:2x7g.80gb"), (1, 1, 1), id="a gang that no layout holds"),
        pytest.param(cluster("a=2:a100mig", "x:3x7g.80gb"), (0, 0, 1), id="the driver cuts on demand"),
    ],
)
def test_nothing_is_proposed_where(world: Snapshot, counts: tuple[int, int, int]) -> None:
    found = proposed(world)
    assert (found.layouts, found.starts, found.gain_milli) == ((), (), 0)
    assert (found.static, found.free, found.waiting) == counts


def test_cards_are_cut_differently_where_the_queue_is_mixed_and_only_as_many_as_needed() -> None:
    found = proposed(cut("a", MIXED, MIXED, MIXED, queue="x:7g.80gb y:3g.40gb z:2g.20gb"))
    assert [layout.after for layout in found.layouts] == [("7g.80gb",)]
    assert found.starts == ("default/x",)


def test_a_card_that_is_being_left_is_free() -> None:
    world = cut("a", MIXED, running="old:3g.40gb", queue="x:7g.80gb")
    leaving = {k: msgspec.structs.replace(p, terminating=True) for k, p in world.pods.items()}
    assert proposed(world.replace(pods=leaving)).starts == ("default/x",)


def test_dynamic_nodes_are_counted() -> None:
    assert proposed(cluster("a=2:a100mig b=1:a100mig", "x:7g.80gb")).dynamic == 2


def test_the_fixture_of_a_real_driver_is_read() -> None:
    text = shared("fixtures/nvidia-a100-static-mig.yaml").read_text()
    slices = tuple(codec.from_builtins(d, ResourceSlice) for d in yaml.safe_load_all(text))
    world = cluster("a100-static-0=1:none", "x:4x1g.20gb").replace(slices=slices)
    [layout] = proposed(world).layouts
    assert layout.before == ("2g.20gb", "1g.10gb", "1g.10gb", "3g.40gb")
    assert layout.after == ("1g.20gb",) * 4


ASKS = st.sampled_from(["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "7g.80gb", "2x1g.20gb"])


@settings(max_examples=15)
@given(st.integers(1, 2), st.lists(ASKS, max_size=5))
def test_a_proposal_starts_more_than_it_delays(cards: int, asks: list[str]) -> None:
    queue = " ".join(f"w{i}:{ask}" for i, ask in enumerate(asks))
    world = cut("a", *[MIXED] * cards, queue=queue)
    found = proposed(world)
    assert bool(found.layouts) == (len(found.starts) > len(found.delayed)) == bool(found.starts)
    assert proposed(world) == found


@pytest.mark.parametrize("profiles", [A100_PROFILES, H100_PROFILES], ids=["A100", "H100"])
def test_packings_are_within_the_card_and_nothing_fits_beside_them(profiles: tuple[Profile, ...]) -> None:
    whole = profiles[-1].engines
    for packing in packings(profiles):
        slots = [s for p in packing for s in range(p.start, p.start + p.profile.width)]
        assert len(set(slots)) == len(slots) <= MEMORY_SLICES
        left = [m - sum(p.profile.engines[i] for p in packing) for i, m in enumerate(whole)]
        assert min(left) >= 0
        for extra in profiles:
            fits = all(n <= m for n, m in zip(extra.engines, left, strict=True))
            free = [s for s in extra.starts if not set(range(s, s + extra.width)) & set(slots)]
            assert not (fits and free), (packing, extra.name)
