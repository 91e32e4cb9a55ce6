"""Which devices a node reaches."""

from __future__ import annotations

import pytest

from bayplan.core.allocate.single import allocate
from bayplan.model.base import Metadata
from bayplan.model.device import (
    Device,
    DeviceTaint,
    DeviceTaintRule,
    DeviceTaintRuleSpec,
    DeviceTaintSelector,
    ResourceSlice,
)
from bayplan.model.node import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tests.allocate.worlds import NODE, claim, classes, device, names, request, slice_of

ZONE_A = NodeSelector((NodeSelectorTerm((NodeSelectorRequirement("zone", "In", ("a",)),)),))
ZONE_B = NodeSelector((NodeSelectorTerm((NodeSelectorRequirement("zone", "In", ("b",)),)),))


def old(*devices: str, **fields: object) -> ResourceSlice:
    return slice_of(*devices, name="old", generation=1, **fields)  # type: ignore[arg-type]


def new(*devices: str, **fields: object) -> ResourceSlice:
    return slice_of(*devices, name="new", generation=2, **fields)  # type: ignore[arg-type]


def per_device(*devices: Device, **fields: object) -> ResourceSlice:
    return slice_of(*devices, node="", per_device_node_selection=True, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        pytest.param([slice_of("d")], "d", id="a slice of the node"),
        pytest.param([slice_of("d", node="other")], "", id="a slice of another node"),
        pytest.param([slice_of("d", node="", all_nodes=True)], "d", id="a slice for all nodes"),
        pytest.param([slice_of("d", node="", node_selector=ZONE_A)], "d", id="a slice for nodes like it"),
        pytest.param([slice_of("d", node="", node_selector=ZONE_B)], "", id="a slice for other nodes"),
        pytest.param([slice_of("d", node="")], "", id="a slice for nobody"),
        pytest.param(
            [per_device(device("d", node_name="other"), device("e", node_name="node"))], "e", id="devices choose nodes"
        ),
        pytest.param(
            [per_device(device("d", node_selector=ZONE_B), device("e", all_nodes=True))], "e", id="devices select nodes"
        ),
        pytest.param([old("d"), new("e")], "e", id="the newest generation counts"),
        pytest.param([old("d"), new("e", node="other")], "d", id="a newer one for other nodes goes unnoticed"),
        pytest.param(
            [old("d", count=2), new("e", node="other")], "", id="but not when slices of the old one are missing"
        ),
        pytest.param([slice_of("d", count=2)], "", id="an incomplete pool gives nothing"),
        pytest.param(
            [slice_of("d", count=2, name="1"), slice_of("e", count=2, name="2", node="other")],
            "d",
            id="slices of other nodes complete a pool",
        ),
        pytest.param([slice_of("d", "d")], "", id="a device named twice makes the pool invalid"),
        pytest.param([slice_of("d", "d", pool="p"), slice_of("e", pool="q")], "e", id="another pool is still good"),
        pytest.param([slice_of(device("d", uses={"m": 1}))], "", id="a counter set nobody publishes"),
        pytest.param(
            [slice_of(device("d", uses={"x": 1}), counters={"gpu": {"m": 1}})], "", id="a counter nobody publishes"
        ),
        pytest.param(
            [slice_of(device("d", uses={"m": 1}), counters={"gpu": {"m": 1}})], "d", id="devices and counters together"
        ),
        pytest.param(
            [
                slice_of(device("d", uses={"m": 1}), count=2, name="1"),
                slice_of(count=2, name="2", node="other", counters={"gpu": {"m": 1}}),
            ],
            "d",
            id="counters in a slice for another node",
        ),
    ],
)
def test_reach(slices: list[ResourceSlice], expected: str) -> None:
    answer = allocate(NODE, [claim(request())], slices, classes())
    assert names(answer.results) == expected


@pytest.mark.parametrize(
    ("slices", "error"),
    [
        ([slice_of("d", count=2)], "asks for all devices, but resource pool gpu.test/pool is currently being updated"),
        ([slice_of("d", "d")], "asks for all devices, but resource pool gpu.test/pool is currently invalid"),
    ],
)
def test_all_devices_cannot_be_had_of_a_pool_in_doubt(slices: list[ResourceSlice], error: str) -> None:
    everything = [claim(request(everything=True))]
    assert error in allocate(NODE, everything, slices, classes(), order="upstream").error
    assert allocate(NODE, everything, slices, classes()).results == ()


def test_upstream_takes_pools_and_slices_by_name_and_binding_conditions_last() -> None:
    slices = [
        slice_of(device("bound", binding_conditions=("ready",)), pool="a"),
        slice_of("late", pool="c"),
        slice_of("second", pool="b", name="2", count=2),
        slice_of("first", pool="b", name="1", count=2),
    ]
    answer = allocate(NODE, [claim(request(count=4))], slices, classes(), order="upstream")
    assert names(answer.results) == "first second late bound"


def rule(effect: str = "NoSchedule", *, driver: str = "", pool: str = "", name: str = "") -> DeviceTaintRule:
    selector = DeviceTaintSelector(driver=driver, pool=pool, device=name)
    return DeviceTaintRule(Metadata(name="rule"), DeviceTaintRuleSpec(DeviceTaint("bad", effect), selector))


@pytest.mark.parametrize(
    ("rules", "tolerates", "expected"),
    [
        pytest.param([rule(name="d")], "", "e", id="a rule taints the device it names"),
        pytest.param([rule(name="d")], "bad", "d", id="a toleration lifts it"),
        pytest.param([rule(pool="pool")], "", "", id="a rule taints a pool"),
        pytest.param([rule(driver="gpu.test", pool="other")], "", "d", id="all of a rule's words must agree"),
        pytest.param([rule()], "", "", id="an empty selector means every device"),
        pytest.param([rule("NoExecute", name="d")], "", "e", id="NoExecute repels, too"),
        pytest.param([rule("None")], "", "d", id="None only reports"),
    ],
)
def test_taint_rules(rules: list[DeviceTaintRule], tolerates: str, expected: str) -> None:
    asked = [claim(request(tolerates=tolerates))]
    answer = allocate(NODE, asked, [slice_of("d", "e")], classes(), taint_rules=rules)
    assert names(answer.results) == expected


def test_a_node_without_slices_has_nothing() -> None:
    assert allocate(Node(name="bare"), [claim(request())], [slice_of("d")], classes()).results == ()
