"""What claims can say, request by request, in both orders."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from bayplan.core.allocate.board import Verdict
from bayplan.core.allocate.single import Answer, allocate
from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    DeviceClaim,
    DeviceClaimConfiguration,
    DeviceClass,
    DeviceClassConfiguration,
    DeviceClassSpec,
    OpaqueDeviceConfiguration,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceSlice,
)
from bayplan.model.node import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tests.allocate.worlds import (
    NODE,
    amount,
    claim,
    classes,
    device,
    distinct,
    either,
    holding,
    is_,
    match,
    names,
    request,
    slice_of,
)

ORDERS = ("packed", "upstream")


class Case(NamedTuple):
    """A world, what is held, what is asked, and what comes of it ("" = nothing)."""

    slices: list[ResourceSlice]
    claims: list[ResourceClaim]
    expected: str
    held: list[AllocationResult] = []


TWO = [slice_of(device("d", "kind=x root=r1"), device("e", "kind=y root=r2"))]
PAIRS = [
    slice_of(
        device("g0", "kind=gpu root=r0"),
        device("g1", "kind=gpu root=r1"),
        device("n1", "kind=nic root=r1"),
        device("n2", "kind=nic root=r2"),
    )
]
LISTS = [slice_of(device("c", "root=a+b"), device("d", "root=b+c"), device("e", "root=c+d"))]
MIG = [
    slice_of(
        device("whole", "size=big", uses={"m": 4}),
        device("half-0", "size=half", uses={"m": 2}),
        device("half-1", "size=half", uses={"m": 2}),
        counters={"gpu": {"m": 4}},
    )
]
SHARED = [slice_of(device("s0", memory="80Gi", shared=True), device("s1", memory="80Gi", shared=True))]

CASES = {
    "one of two": Case(TWO, [claim(request())], "d"),
    "by selector": Case(TWO, [claim(request("r", is_("kind", "y")))], "e"),
    "more than there are": Case(TWO, [claim(request(count=3))], ""),
    "all of them": Case(TWO, [claim(request(everything=True))], "d e"),
    "all, but one is taken": Case(TWO, [claim(request(everything=True))], "", [holding("d")]),
    "all that match": Case(TWO, [claim(request("r", is_("kind", "y"), everything=True))], "e", [holding("d")]),
    "all of nothing": Case(TWO, [claim(request("r", is_("kind", "z"), everything=True))], ""),
    "several claims": Case(TWO, [claim(request()), claim(request())], "d | e"),
    "what is held is not given": Case(TWO, [claim(request())], "e", [holding("d")]),
    "a later request forces an earlier one": Case(
        TWO, [claim(request("any"), request("x", is_("kind", "x")))], "any:e x:d"
    ),
    "the first alternative": Case(
        TWO, [claim(either("r", request("y", is_("kind", "y")), request("x", is_("kind", "x"))))], "r/y:e"
    ),
    "the second when the first is taken": Case(
        TWO, [claim(either("r", request("y", is_("kind", "y")), request("x")))], "r/x:d", [holding("e")]
    ),
    "a GPU and a NIC under one root": Case(
        PAIRS,
        [claim(request("gpu", is_("kind", "gpu")), request("nic", is_("kind", "nic")), match("root"))],
        "gpu:g1 nic:n1",
    ),
    "no root has both": Case(
        PAIRS,
        [claim(request("gpu", is_("kind", "gpu")), request("nic", is_("kind", "nic")), match("root"))],
        "",
        [holding("n1")],
    ),
    "a constraint on other requests does not bind": Case(
        PAIRS, [claim(request("gpu", is_("kind", "gpu")), request("nic", is_("kind", "nic")), match("root", "gpu"))],
        "gpu:g0 nic:n1",
    ),
    "a constraint reaches alternatives through their request": Case(
        PAIRS,
        [
            claim(
                either("gpu", request("a", is_("kind", "gpu"))), request("nic", is_("kind", "nic")),
                match("root", "gpu", "nic"),
            )
        ],
        "gpu/a:g1 nic:n1",
    ),
    "lists match by intersection": Case(LISTS, [claim(request(count=2), match("root"))], "c d"),
    "three lists without a common element": Case(LISTS, [claim(request(count=3), match("root"))], ""),
    "lists are distinct when disjoint": Case(LISTS, [claim(request(count=2), distinct("root"))], "c e"),
    "distinct looks at every earlier device": Case(
        [slice_of(device("a", "g=1"), device("b", "g=2"), device("c", "g=1"), device("d", "g=3"))],
        [claim(request(count=3), distinct("g"))],
        "a b d",
    ),
    "an attribute that is not set matches nothing": Case(
        [slice_of("d", "e")], [claim(request(count=2), match("root"))], ""
    ),
    "values of different types differ": Case(
        [slice_of(device("d", "g=1"), device("e", "g=x"))], [claim(request(count=2), match("g"))], ""
    ),
    "the whole GPU or its parts": Case(MIG, [claim(request("r", is_("size", "big")))], "", [holding("half-1")]),
    "parts side by side": Case(MIG, [claim(request("r", is_("size", "half"), count=2))], "half-0 half-1"),
    "no parts of a whole that is taken": Case(MIG, [claim(request("r", is_("size", "half")))], "", [holding("whole")]),
    "counters are counted across claims": Case(
        MIG, [claim(request("r", is_("size", "half"))), claim(request("r", is_("size", "big")))], ""
    ),
    "a share of what is left": Case(SHARED, [claim(request(memory="12Gi"))], "s0", [holding("s0", memory="68Gi")]),
    "a share that does not fit goes on": Case(
        SHARED, [claim(request(memory="12Gi"))], "s1", [holding("s0", memory="70Gi")]
    ),
    "one request never gets two shares of one device": Case(
        SHARED, [claim(request(count=2, memory="1Gi"))], "s0 s1"
    ),
    "two requests may": Case(
        SHARED, [claim(request("a", memory="1Gi"), request("b", memory="1Gi"))], "a:s0 b:s0"
    ),
    "without capacity it is the whole device": Case(SHARED, [claim(request())], "s1", [holding("s0", memory="1Gi")]),
    "a device once taken whole is not shared": Case(SHARED, [claim(request(memory="1Gi"))], "s1", [holding("s0")]),
    "more than any device has": Case(SHARED, [claim(request(memory="81Gi"))], ""),
    "a tainted device is left": Case([slice_of(device("d", taints="bad:NoSchedule"), "e")], [claim(request())], "e"),
    "admin access sees what is taken": Case(
        [slice_of("d")], [claim(request(admin=True))], "d", [holding("d")]
    ),
    "admin access takes nothing": Case([slice_of("d")], [claim(request()), claim(request(admin=True))], "d | d"),
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_allocates(case: Case, order: str) -> None:
    answer = allocate(NODE, case.claims, case.slices, classes(), allocated=case.held, order=order)
    assert names(answer.results) == case.expected
    assert answer.error == ""
    assert answer.verdict is (Verdict.FOUND if case.expected else Verdict.IMPOSSIBLE)


# --- errors, in upstream's words -------------------------------------------------------------------------------------

NOT_BOOL = 'device.attributes["gpu.test"].kind'


def ask(*parts: object, features: tuple[str, ...] | None = None, slices: list[ResourceSlice] = TWO) -> Answer:
    more = {} if features is None else {"features": features}
    return allocate(NODE, [claim(*parts)], slices, classes(bad="noSuch"), order="upstream", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ask(request(of="none")), "claim claim, request r: could not retrieve device class none"),
        (ask(request(of="")), "claim claim, request r: missing device class name"),
        (ask(request(of="bad")), "class bad: selector #0: CEL compile error"),
        (ask(request("r", NOT_BOOL)), "claim claim: selector #0 on device gpu.test/pool/d: CEL runtime error"),
        (ask(request(count=33)), "claim claim: number of requested devices 33 exceeds the claim limit of 32"),
        (ask(request(admin=True), features=()), "admin access is requested, but the feature is disabled"),
        (ask(either("r", request("s")), features=()), "has subrequests, but the DRAPrioritizedList feature is"),
        (ask(request(memory="1"), features=()), "has capacity requests, but the DRAConsumableCapacity"),
        (ask(request(everything=True), match("kind")), "cannot add device gpu.test/pool/e because a claim constraint"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_upstream_errors(answer: Answer, error: str) -> None:
    assert error in answer.error
    assert answer.results == ()


def test_packed_passes_over_devices_on_which_a_selector_fails() -> None:
    slices = [slice_of("bare", device("d", "kind=x"))]
    assert names(allocate(NODE, [claim(request("r", is_("kind", "x")))], slices, classes()).results) == "d"
    assert "no such key" in ask(request("r", is_("kind", "x")), slices=slices).error


# --- results ---------------------------------------------------------------------------------------------------------


def test_shares_have_ids_of_their_own_and_say_what_they_take() -> None:
    answer = allocate(NODE, [claim(request("a", memory="1Gi"), request("b", memory="2Gi"))], SHARED, classes())
    one, other = answer.results[0].devices.results
    assert one.share_id != other.share_id
    assert [len(part) for part in one.share_id.split("-")] == [8, 4, 4, 4, 12]
    assert (one.consumed_capacity, other.consumed_capacity) == ({"memory": amount("1Gi")}, {"memory": amount("2Gi")})


def test_configuration_comes_from_the_class_once_and_then_from_the_claim() -> None:
    def params(value: str) -> OpaqueDeviceConfiguration:
        return OpaqueDeviceConfiguration("gpu.test", {"from": value})

    known = {
        "any": DeviceClass(Metadata(name="any"), DeviceClassSpec(config=(DeviceClassConfiguration(params("class")),)))
    }
    asked = ResourceClaimSpec(
        DeviceClaim(
            requests=(request("a"), request("b")),
            config=(
                DeviceClaimConfiguration(("a",), params("claim, a")),
                DeviceClaimConfiguration((), params("claim, all")),
                DeviceClaimConfiguration(("c",), params("nobody")),
            ),
        )
    )
    for release, of_class in (((1, 36), ("a", "b")), ((1, 37), ())):
        answer = allocate(NODE, [ResourceClaim(Metadata(name="c"), asked)], TWO, known, release=release)
        found = [
            (e.source, e.requests, e.opaque.parameters["from"]) for e in answer.results[0].devices.config if e.opaque
        ]
        assert found == [
            ("FromClass", of_class, "class"),
            ("FromClaim", ("a",), "claim, a"),
            ("FromClaim", (), "claim, all"),
        ]


def selector_of(*slices: ResourceSlice, count: int) -> NodeSelector | None:
    answer = allocate(NODE, [claim(request(count=count))], slices, classes())
    return answer.results[0].node_selector


def test_the_result_stays_where_its_devices_can_be_reached() -> None:
    zone = NodeSelectorRequirement("zone", "In", ("a",))
    here = NodeSelector((NodeSelectorTerm(match_fields=(NodeSelectorRequirement("metadata.name", "In", ("node",)),)),))
    selected = slice_of("d", pool="1", node="", node_selector=NodeSelector((NodeSelectorTerm((zone,)),)))
    anywhere = slice_of("e", pool="2", node="", all_nodes=True)
    bound = slice_of(device("f", binds_to_node=True), pool="3", node="", all_nodes=True)
    assert selector_of(slice_of("d"), count=1) == here
    assert selector_of(anywhere, count=1) is None
    assert selector_of(selected, anywhere, count=2) == NodeSelector((NodeSelectorTerm((zone,)),))
    assert selector_of(selected, bound, count=2) == here
