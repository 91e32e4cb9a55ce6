"""What the API refuses, by field path and type; upstream's own tables run as `tests.peers dra_validation`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.lint import Gates, lint, validate, validate_status, validate_strictly
from tests.lint.objects import Json, ask, claim, device, device_class, resource_slice, share
from tests.peers import dra_validation
from tests.shared import shared_json

D = "spec.devices"
R = f"{D}.requests[0]"


def test_upstream_tables_agree_on_every_case_that_is_json() -> None:
    outcomes = list(dra_validation.run(shared_json("peers/dra_validation.json")))
    assert [(name, detail) for name, outcome, detail in outcomes if outcome == "failed"] == []
    assert sum(outcome == "skipped" for _, outcome, _ in outcomes) <= len(outcomes) // 50


def _many(count: int, **more: Any) -> list[Json]:
    return [device(f"gpu-{i}", **more) for i in range(count)]


CREATE = [
    ("a plain claim", claim(ask()), []),
    ("a claim of nothing", {**claim(), "spec": {}}, []),
    ("33 requests", claim(*[ask(f"r{i}") for i in range(33)]), [(f"{D}.requests", "Too many")]),
    ("two requests of one name", claim(ask("a"), ask("a")), [(f"{D}.requests[1]", "Duplicate value")]),
    ("no request form", claim({"name": "a"}), [(R, "Required value")]),
    ("a request without a class", claim(ask(cls="")), [(f"{R}.exactly.deviceClassName", "Required value")]),
    (
        "more tolerations than 16",
        claim(ask(tolerations=[{"operator": "Exists"}] * 17)),
        [(f"{R}.exactly.tolerations", "Too many")],
    ),
    (
        "Exists with a value",
        claim(ask(tolerations=[{"operator": "Exists", "value": "x"}])),
        [(f"{R}.exactly.tolerations[0].value", "Invalid value")],
    ),
    (
        "a selector that is no CEL",
        claim(ask(cel="device.(")),
        [(f"{R}.exactly.selectors[0].cel.expression", "Invalid value")],
    ),
    ("a constraint of no attribute", claim(ask(), constraints=[{}]), [(f"{D}.constraints[0]", "Required value")]),
    (
        "config for nobody",
        claim(ask(), config=[{"requests": ["x"], "opaque": {"driver": "d", "parameters": {}}}]),
        [(f"{D}.config[0].requests[0]", "Invalid value")],
    ),
    (
        "parameters that are a list",
        claim(ask(), config=[{"opaque": {"driver": "d", "parameters": [1]}}]),
        [(f"{D}.config[0].opaque.parameters", "Invalid value")],
    ),
    ("a count that is text", claim(ask(count="2")), [(f"{R}.exactly.count", "Wrong type")]),
    ("requests that are no list", claim() | {"spec": {"devices": {"requests": {}}}}, [(f"{D}.requests", "Wrong type")]),
    (
        "a capacity that is no quantity",
        claim(ask(capacity=share("12 GB"))),
        [(f"{R}.exactly.capacity.requests[memory]", "Wrong type")],
    ),
    ("a plain slice", resource_slice("n", device("gpu-0", type="gpu")), []),
    ("128 plain devices", resource_slice("n", *_many(128)), []),
    ("129 plain devices", resource_slice("n", *_many(129)), [(D, "Too many")]),
    (
        "65 devices, one tainted",
        resource_slice("n", *_many(64), device("t") | {"taints": [{"key": "k", "effect": "NoSchedule"}]}),
        [(D, "Too many")],
    ),
    (
        "a policy without sharing",
        resource_slice(
            "n", device("g") | {"capacity": {"memory": {"value": "1Gi", "requestPolicy": {"default": "1Gi"}}}}
        ),
        [(f"{D}[0].capacity[memory].requestPolicy", "Forbidden")],
    ),
    (
        "three sets of counters consumed",
        resource_slice(
            "n",
            device("g")
            | {"consumesCounters": [{"counterSet": f"s{i}", "counters": {"m": {"value": "1"}}} for i in range(3)]},
        ),
        [(f"{D}[0].consumesCounters", "Too many")],
    ),
    (
        "counters beside devices",
        resource_slice("n", device("g"), sharedCounters=[{"name": "s", "counters": {"m": {"value": "1"}}}]),
        [("spec", "Invalid value")],
    ),
    (
        "a device of one node in a slice of one node",
        resource_slice("n", device("g") | {"nodeName": "n"}),
        [(f"{D}[0]", "Invalid value")],
    ),
    (
        "node operations half skipped",
        resource_slice("n", device("g"), skipNodeOperations=["NodePrepareResources"]),
        [("spec.skipNodeOperations", "Invalid value")],
    ),
    (
        "a partition type nobody has",
        resource_slice("n", device("g"), partitionTypeAttribute="d.io/profile"),
        [("spec.partitionTypeAttribute", "Invalid value")],
    ),
    (
        "a mapping to a missing capacity",
        resource_slice(
            "n",
            device("g")
            | {"nodeAllocatableResources": {"cpu": {"mapping": {"capacityKey": "x", "capacityMultiplier": "1"}}}},
        ),
        [(f"{D}[0].nodeAllocatableResources[cpu].mapping.capacityKey", "Not found")],
    ),
    ("a class for nvidia.com/gpu", device_class("gpu", "true", "nvidia.com/gpu"), []),
    ("a class for cpu", device_class("gpu", "true", "cpu"), [("spec.extendedResourceName", "Invalid value")]),
    (
        "a class in a namespace",
        device_class("gpu") | {"metadata": {"name": "gpu", "namespace": "x"}},
        [("metadata.namespace", "Forbidden")],
    ),
    ("another group", claim() | {"apiVersion": "example.com/v1"}, []),
    ("an older shape", claim() | {"apiVersion": "resource.k8s.io/v1beta1"}, []),
]


@pytest.mark.parametrize(("obj", "expected"), [row[1:] for row in CREATE], ids=[row[0] for row in CREATE])
def test_created_is(obj: Json, expected: list[tuple[str, str]]) -> None:
    assert [(found.path, found.type) for found in validate(obj)] == expected


def test_a_field_nobody_knows_is_found_by_the_linter_and_dropped_by_the_server() -> None:
    obj = claim({"name": "gpu", "deviceClassName": "gpu"})
    unknown = (f"{R}.deviceClassName", "Unknown field")
    assert unknown in [(found.path, found.type) for found in validate_strictly(obj)]
    assert unknown not in [(found.path, found.type) for found in validate(obj)]


def _with(obj: Json, *path: str, value: Any) -> Json:
    changed = copy.deepcopy(obj)
    at = changed
    for step in path[:-1]:
        at = at.setdefault(step, {})
    at[path[-1]] = value
    return changed


TAINTED = resource_slice("n", device("g") | {"taints": [{"key": "k", "effect": "Odd"}]})
UPDATES = [
    ("nothing changed", claim(ask()), claim(ask()), []),
    ("another count", claim(ask()), claim(ask(count=2)), [("spec", "Invalid value")]),
    ("another name", claim(ask()), claim(ask(), name="other"), [("metadata.name", "Invalid value")]),
    (
        "another driver",
        resource_slice("n"),
        _with(resource_slice("n"), "spec", "driver", value="other"),
        [("spec.driver", "Invalid value")],
    ),
    ("an odd taint that was stored", TAINTED, _with(TAINTED, "metadata", "labels", value={"a": "b"}), []),
    (
        "a selector stored before",
        device_class("c", "nonsense("),
        _with(device_class("c", "nonsense("), "metadata", "labels", value={}),
        [],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), [row[1:] for row in UPDATES], ids=[row[0] for row in UPDATES])
def test_changed_is(old: Json, new: Json, expected: list[tuple[str, str]]) -> None:
    assert [(found.path, found.type) for found in validate(new, old)] == expected


RESULT = {"request": "gpu", "driver": "d", "pool": "p", "device": "g"}
ALLOCATED = {"devices": {"results": [RESULT]}}
POD = {"resource": "pods", "name": "p", "uid": "1"}
STATUS = [
    ("an allocation", {}, {"allocation": ALLOCATED, "reservedFor": [POD]}, []),
    (
        "a result for no request",
        {},
        {"allocation": {"devices": {"results": [RESULT | {"request": "x"}]}}},
        [("status.allocation.devices.results[0].request", "Invalid value")],
    ),
    (
        "another allocation",
        {"allocation": ALLOCATED},
        {"allocation": {"devices": {}}},
        [("status.allocation", "Invalid value")],
    ),
    ("no allocation any more", {"allocation": ALLOCATED}, {}, []),
    ("a pod without an allocation", {}, {"reservedFor": [POD]}, [("status.reservedFor", "Forbidden")]),
    (
        "the status of a device that is not ours",
        {"allocation": ALLOCATED},
        {"allocation": ALLOCATED, "devices": [{"driver": "d", "pool": "p", "device": "other"}]},
        [("status.devices[0]", "Invalid value")],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), [row[1:] for row in STATUS], ids=[row[0] for row in STATUS])
def test_status_of_a_claim(old: Json, new: Json, expected: list[tuple[str, str]]) -> None:
    before, after = ({**claim(ask()), "status": status} for status in (old, new))
    assert [(found.path, found.type) for found in validate_status(after, before)] == expected
    assert [(found.path, found.type) for found in validate(after, before)] == expected


def test_a_gate_that_is_off_refuses_its_selector() -> None:
    obj = claim(ask(cel="device.allowMultipleAllocations"))
    assert validate(obj) == []
    assert len(validate(obj, gates=Gates(consumable_capacity=False))) == 1


def test_a_finding_reads_as_the_api_server_says_it() -> None:
    (found,) = validate(claim(ask(count=0)))
    assert str(found) == "spec.devices.requests[0].exactly.count: Invalid value: 0: must be greater than zero"


# -- anything a file may hold

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "1Gi", "a/b", "All", "Exists"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "a"]), inner, max_size=2),
)
SAMPLES = [
    claim(
        ask(cel="device.driver == 'x'", tolerations=[{"key": "a"}], capacity=share("1Gi")),
        constraints=[{"matchAttribute": "a/b"}],
    ),
    claim({"name": "a", "firstAvailable": [ask()["exactly"] | {"name": "b"}]}, kind="ResourceClaimTemplate"),
    TAINTED,
    device_class("c", "true", "a/b"),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in places(each, (*path, key)))]


@given(st.data())
def test_no_shape_of_an_object_makes_it_fail(data: st.DataObject) -> None:
    obj = copy.deepcopy(data.draw(st.sampled_from(SAMPLES)))
    path = data.draw(st.sampled_from([place for place in places(obj) if len(place) > 1 or place == ("spec",)]))
    at = obj
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = data.draw(JSON)
    assert all(found.path and found.type for found in validate_strictly(obj))
    lint([obj], [resource_slice("n", device("g")), device_class("gpu", "device.driver == 'gpu.example.com'")])
