"""Against every assignment there is: nothing is missed, nothing is given that is not there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core.allocate import Catalog
from bayplan.core.allocate.board import Verdict
from bayplan.core.allocate.single import allocate
from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    Device,
    DeviceConstraint,
    DeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceSlice,
)
from tests.allocate import oracle
from tests.allocate.worlds import NODE, claim, classes, device, distinct, either, is_, match, request, slice_of, spec

CLASSES = classes()
CONSTRAINTS: list[list[DeviceConstraint]] = [
    [],
    [],
    [match("group")],
    [distinct("group")],
    [match("group", "r0")],
    [match("sort"), distinct("group")],
]


@st.composite
def devices(draw: st.DrawFn) -> list[Device]:
    made = []
    for i in range(draw(st.integers(1, 5))):
        attributes = [f"sort={draw(st.sampled_from('xy'))}"]
        attributes += draw(st.sampled_from([[], ["group=a"], ["group=b"], ["group=a+b"], ["group=b+c"]]))
        shared = draw(st.booleans())
        made.append(
            device(
                f"d{i}",
                " ".join(attributes),
                taints=draw(st.sampled_from(["", "", "bad:NoSchedule", "note:None"])),
                memory=draw(st.sampled_from(["", "4", "6"])) if not shared else draw(st.sampled_from(["4", "6"])),
                shared=shared,
                uses=draw(st.sampled_from([None, {"m": 1}, {"m": 2}, {"m": 2, "k": 1}])),
                of=draw(st.sampled_from(["s1", "s2"])),
            )
        )
    return made


@st.composite
def requests(draw: st.DrawFn, name: str) -> DeviceRequest:
    def one(own: str) -> DeviceRequest:
        mode = draw(st.sampled_from(["one", "one", "two", "all"]))
        return request(
            own,
            *draw(st.sampled_from([(), (is_("sort", "x"),), (is_("sort", "y"),)])),
            count=2 if mode == "two" else 1,
            everything=mode == "all",
            tolerates=draw(st.sampled_from(["", "bad"])),
            memory=draw(st.sampled_from(["", "2", "3"])),
            admin=own == name and draw(st.integers(0, 9)) == 0,
        )

    return either(name, one("first"), one("second")) if draw(st.integers(0, 3)) == 0 else one(name)


@st.composite
def claims(draw: st.DrawFn) -> list[ResourceClaimSpec]:
    made = []
    for _ in range(draw(st.integers(1, 2))):
        asked = [draw(requests(f"r{j}")) for j in range(draw(st.integers(1, 2)))]
        made.append(spec(*asked, *draw(st.sampled_from(CONSTRAINTS))))
    return made


@st.composite
def pools(draw: st.DrawFn) -> list[ResourceSlice]:
    counters = {s: {"m": draw(st.integers(2, 4)), "k": draw(st.integers(0, 2))} for s in ("s1", "s2")}
    own = draw(devices())
    if draw(st.booleans()):
        return [slice_of(*own, counters=counters)]
    return [slice_of(*own, count=2, name="a"), slice_of(count=2, name="b", counters=counters)]


def as_given(specs: Sequence[ResourceClaimSpec], results: Sequence[AllocationResult]) -> list[oracle.Given]:
    found = []
    for i, result in enumerate(results):
        for r in result.devices.results:
            memory = r.consumed_capacity["memory"].nano if "memory" in r.consumed_capacity else 0
            found.append(oracle.Given(i, r.request, r.device, memory, bool(r.admin_access)))
    return found


def check(
    slices: Sequence[ResourceSlice],
    held: Sequence[oracle.Given],
    specs: Sequence[ResourceClaimSpec],
    results: Sequence[AllocationResult],
) -> None:
    """Every request is served in full by devices it may have, and nothing is given twice."""
    given_ = as_given(specs, results)
    by_name = {d.name: d for s in slices for d in s.spec.devices}
    for i, wanted in enumerate(specs):
        for asked in wanted.devices.requests:
            mine = [g for g in given_ if g.claim == i and g.request.partition("/")[0] == asked.name]
            assert mine
            wish = oracle.wish_of(specs, i, mine[0].request)
            assert all(g.request == mine[0].request and oracle.serves(by_name[g.device], wish) for g in mine)
            assert wish.allocation_mode == "All" or len(mine) == wish.count
    assert oracle.valid(slices, held, specs, given_)


@settings(max_examples=250, deadline=None)
@given(pools(), claims(), st.sampled_from(["packed", "upstream"]))
def test_finds_an_allocation_exactly_when_there_is_one(
    slices: list[ResourceSlice], specs: list[ResourceClaimSpec], order: str
) -> None:
    asked = [ResourceClaim(metadata=Metadata(name=f"c{i}"), spec=s) for i, s in enumerate(specs)]
    answer = allocate(NODE, asked, slices, CLASSES, order=order)
    if answer.verdict is Verdict.FOUND:
        check(slices, [], specs, answer.results)
    elif not answer.error:
        assert answer.verdict is Verdict.IMPOSSIBLE
        assert not oracle.solvable(slices, [], specs)


@settings(max_examples=150, deadline=None)
@given(pools(), st.lists(claims(), min_size=1, max_size=3), st.sampled_from(["packed", "upstream"]))
def test_pod_after_pod_the_catalogue_gives_what_is_there_and_no_more(
    slices: list[ResourceSlice], pods: list[list[ResourceClaimSpec]], order: str
) -> None:
    catalog = Catalog(slices, CLASSES, {"node": NODE}, order=order)
    asks = [catalog.ask(tuple(p)) for p in pods]
    taken, shared = catalog.start("node", ()), catalog.start("", ())
    kind = catalog.kind("node")
    held: list[oracle.Given] = []
    allocations: list[AllocationResult] = []
    for specs, ask in zip(pods, asks, strict=True):
        state = catalog.state("node", taken, shared)
        fits = catalog.fits(kind, state, ask)
        if not fits:
            assert order == "upstream" or not oracle.solvable(slices, held, specs)
            continue
        before = taken
        taken, shared, results = catalog.take("node", taken, shared, fits[0])
        check(slices, held, specs, results)
        assert catalog.state("node", taken, shared) == fits[0].after
        assert catalog.start("node", [*allocations, *results]) == taken
        assert catalog.state("node", catalog.give_back("node", taken, results), shared) == catalog.state(
            "node", before, shared
        )
        allocations += results
        held += [g for g in as_given(specs, results) if not g.admin]


@pytest.mark.parametrize("order", ["packed", "upstream"])
def test_a_claim_of_nothing_is_served(order: str) -> None:
    assert allocate(NODE, [claim()], [slice_of("d")], CLASSES, order=order).verdict is Verdict.FOUND
