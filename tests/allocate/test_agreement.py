"""The catalogue answers for every node what a search on that node alone answers, whatever has been taken where."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core.allocate import Catalog
from bayplan.core.allocate.board import Verdict
from bayplan.core.allocate.single import allocate
from bayplan.model.base import Metadata
from bayplan.model.device import AllocationResult, ResourceClaim, ResourceClaimSpec, ResourceSlice
from bayplan.model.node import Node
from tests.allocate.test_exact import claims, devices
from tests.allocate.worlds import classes, slice_of

CLASSES = classes()
NODES = {name: Node(name=name) for name in ("a", "b")}


@st.composite
def fleets(draw: st.DrawFn) -> list[ResourceSlice]:
    """Pools of two nodes: equal or not, and perhaps one that both reach, or whose devices choose their node."""
    counters = {s: {"m": draw(st.integers(2, 4)), "k": draw(st.integers(0, 2))} for s in ("s1", "s2")}
    local = draw(devices())
    other = local if draw(st.booleans()) else draw(devices())
    made = [
        slice_of(*local, node="a", pool="a", counters=counters),
        slice_of(*other, node="b", pool="b", counters=counters),
    ]
    reach = draw(st.sampled_from(["nobody", "all", "each"]))
    if reach == "all":
        made.append(slice_of(*draw(devices()), node="", pool="wide", all_nodes=True, counters=counters))
    if reach == "each":
        own = [msgspec.structs.replace(d, node_name=draw(st.sampled_from("ab"))) for d in draw(devices())]
        made.append(slice_of(*own, node="", pool="wide", per_device_node_selection=True, counters=counters))
    return made


@settings(max_examples=120, deadline=None)
@given(fleets(), st.lists(st.tuples(st.sampled_from("ab"), claims()), min_size=1, max_size=4))
def test_catalogue_and_single_search_agree(
    slices: list[ResourceSlice], pods: list[tuple[str, list[ResourceClaimSpec]]]
) -> None:
    catalog = Catalog(slices, CLASSES, NODES)
    asks = [catalog.ask(tuple(specs)) for _, specs in pods]
    taken, shared = {n: catalog.start(n, ()) for n in NODES}, catalog.start("", ())
    held: list[AllocationResult] = []
    for (node, specs), ask in zip(pods, asks, strict=True):
        asked = [ResourceClaim(metadata=Metadata(name=f"c{i}"), spec=s) for i, s in enumerate(specs)]
        alone = allocate(NODES[node], asked, slices, CLASSES, allocated=held)
        fits = catalog.fits(catalog.kind(node), catalog.state(node, taken[node], shared), ask)
        assert bool(fits) == (alone.verdict is Verdict.FOUND)
        assert catalog.problem(ask) is None or not fits
        if fits:
            taken[node], shared, results = catalog.take(node, taken[node], shared, fits[0])
            held += results
            assert catalog.state(node, taken[node], shared) == fits[0].after
    assert {n: catalog.start(n, held) for n in NODES} == taken
    assert catalog.start("", held) == shared
