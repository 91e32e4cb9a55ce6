"""The dialect of DRA: what a selector sees of a device, what it reads, what it may cost."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.cel import MAX_COST, DeviceView, EvalError, Semver, compile_selector
from bayplan.model.quantity import Quantity

GPU = DeviceView.of(
    "gpu.nvidia.com",
    [
        ("type", "gpu"),
        ("ready", True),
        ("index", 3),
        ("driverVersion", Semver.parse("550.1.0")),
        ("profiles", ("1g.10gb", "2g.20gb")),
        ("resource.kubernetes.io/pcieRoot", "pci0000:00"),
    ],
    [("memory", Quantity.parse("80Gi")), ("other.example.com/slots", Quantity.of(4))],
    allow_multiple_allocations=True,
)

MATCHES = {
    "device.driver == 'gpu.nvidia.com'": True,
    "device.allowMultipleAllocations": True,
    "device.attributes['gpu.nvidia.com'].type == 'gpu'": True,
    "device.attributes['gpu.nvidia.com']['type'] != 'gpu'": False,
    "device.attributes['gpu.nvidia.com'].ready": True,
    "device.attributes['gpu.nvidia.com'].index > 2": True,
    "device.attributes['gpu.nvidia.com'].index == true": False,
    "device.attributes['gpu.nvidia.com'].ready == 1": False,
    "device.attributes['gpu.nvidia.com'].driverVersion.isGreaterThan(semver('550.0.0'))": True,
    "device.attributes['gpu.nvidia.com'].driverVersion.major() == 550": True,
    "device.attributes['resource.kubernetes.io'].pcieRoot.startsWith('pci')": True,
    "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0": True,
    "device.capacity['gpu.nvidia.com'].memory == quantity('81920Mi')": True,
    "device.capacity['other.example.com'].slots.asInteger() == 4": True,
    "'nothing' in device.attributes['gpu.nvidia.com']": False,
    "'type' in device.attributes['gpu.nvidia.com']": True,
    "'type' in device.attributes['nowhere']": False,
    "'nowhere' in device.attributes": False,
    "'gpu.nvidia.com' in device.attributes": True,
    "has(device.attributes['gpu.nvidia.com'].type)": True,
    "has(device.attributes['nowhere'].type)": False,
    "has(device.driver)": True,
    "device.attributes['nowhere'] == {}": True,
    "device.attributes['nowhere'].size() == 0 && device.attributes.size() == 2": True,
    "device.attributes['gpu.nvidia.com'].?index.orValue(0) == 3": True,
    "device.attributes['nowhere'][?'index'].orValue(7) == 7": True,
    "device.attributes.?nowhere.hasValue()": True,
    "device.attributes['gpu.nvidia.com'].profiles.exists(p, p == '2g.20gb')": True,
    "device.attributes['gpu.nvidia.com'].profiles.includes('1g.10gb')": True,
    "device.attributes['gpu.nvidia.com'].type.includes('gpu')": True,
    "'1g.10gb' in device.attributes['gpu.nvidia.com'].profiles": True,
    "device.attributes.exists(d, d == 'resource.kubernetes.io')": True,
    "device.attributes['gpu.nvidia.com'].all(id, id != 'x')": True,
    "cel.bind(gpu, device.attributes['gpu.nvidia.com'], gpu.type == 'gpu' && gpu.index == 3)": True,
    "[1].exists(device, device == 1)": True,
    "device.attributes['gpu.nvidia.com'].type.matches('^g[pq]u$')": True,
}


@pytest.mark.parametrize(("expression", "expected"), MATCHES.items(), ids=MATCHES)
def test_selects(expression: str, expected: bool) -> None:
    assert compile_selector(expression).matches(GPU) is expected


ERRORS = {
    "device.attributes['gpu.nvidia.com'].nothing": "no such key: nothing",
    "device.attributes['nowhere'].nothing": "no such key: nothing",
    "device.attributes['gpu.nvidia.com'].type": "CEL result of type string could not be converted to bool",
    "device.attributes['gpu.nvidia.com'].type > 1": "no such overload",
    "device.attributes['gpu.nvidia.com'].type.isGreaterThan(semver('1.0.0'))": "no such overload",
    "device.attributes['gpu.nvidia.com'].type.exists(x, true)": "got 'types.String', expected iterable type",
    "device.attributes['gpu.nvidia.com'].driverVersion.all(x, true)": "got 'cel.Semver', expected iterable type",
}


@pytest.mark.parametrize(("expression", "message"), ERRORS.items(), ids=ERRORS)
def test_has_no_answer(expression: str, message: str) -> None:
    with pytest.raises(EvalError) as caught:
        compile_selector(expression).matches(GPU)
    assert message in str(caught.value)


def test_an_unsupported_attribute_breaks_selectors_that_do_not_read_it() -> None:
    device = DeviceView("d.example.com", unsupported="attribute x: unsupported attribute value")
    with pytest.raises(EvalError, match="attribute x: unsupported attribute value"):
        compile_selector("device.driver == 'd.example.com'").matches(device)


def test_a_name_without_domain_belongs_to_the_driver() -> None:
    device = DeviceView.of("d.example.com", [("x", 1), ("e.example.com/x", 2)])
    assert device.attributes == {"d.example.com": {"x": 1}, "e.example.com": {"x": 2}}


READS = {
    "true": (),
    "device.driver == 'x'": (("driver",),),
    "device.attributes['d'].a == 1 || device.attributes['d']['b'] == 2": (
        ("attributes", "d", "a"),
        ("attributes", "d", "b"),
    ),
    "has(device.attributes['d'].a) && device.capacity['d'].?m.hasValue()": (
        ("attributes", "d", "a"),
        ("capacity", "d", "m"),
    ),
    "'a' in device.attributes['d']": (("attributes", "d", "a"),),
    "'d' in device.attributes": (("attributes",),),
    "device.attributes['d'].exists(k, k == 'a') && device.attributes['d'].a == 1": (("attributes", "d"),),
    "cel.bind(g, device.attributes['d'], g.a == 1 && g.b == 2)": (("attributes", "d", "a"), ("attributes", "d", "b")),
    "cel.bind(g, device.attributes['d'].a, g == 1)": (("attributes", "d", "a"),),
    "device.attributes[device.driver].a == 1": (("attributes",), ("driver",)),
    "['a'].exists(k, device.attributes['d'][k] == 1)": (("attributes", "d"),),
    "device.allowMultipleAllocations": (("allowMultipleAllocations",),),
    "device == device": None,
    "[device].exists(d, d.driver == 'x')": None,
    "[1].exists(device, device == 1)": (),
}


@pytest.mark.parametrize(("expression", "reads"), READS.items(), ids=READS)
def test_reads(expression: str, reads: Any) -> None:
    assert compile_selector(expression).reads == reads


def test_devices_that_differ_only_where_a_selector_does_not_look_have_one_key() -> None:
    selector = compile_selector("device.attributes['d'].a == 1")
    base = DeviceView.of("d", [("a", 1), ("b", 1)])
    assert selector.key(base) == selector.key(DeviceView.of("d", [("a", 1), ("b", 2)]))
    assert selector.key(base) != selector.key(DeviceView.of("d", [("a", True), ("b", 1)]))
    assert selector.key(base) != selector.key(DeviceView.of("d", [("b", 1)]))
    assert hash(compile_selector("device == device").key(GPU)) == hash(compile_selector("device == device").key(GPU))


def test_compilation_is_remembered() -> None:
    assert compile_selector("device.driver == 'y'") is compile_selector("device.driver == 'y'")


COSTS = {
    "true": 0,
    "device.driver == 'dra.example.com'": 4,
    "device.attributes['d'].a == 'fish'": 5,
    "device.attributes.exists_one(x, x == 'dra.example.com')": 164,
    "cel.bind(dra, device.attributes['d'], dra.name)": 15,
    "device.attributes['d'].services.matches('[^a]?sym')": 18,
    "device.attributes['d'].services.split('example').size() >= 2": 19,
}


@pytest.mark.parametrize(("expression", "cost"), COSTS.items(), ids=COSTS)
def test_costs_at_most_what_upstream_estimates(expression: str, cost: int) -> None:
    assert compile_selector(expression).max_cost == cost


TOO_EXPENSIVE = [
    "lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))",
    "lists.range(9).map(a, lists.range(9)).size() > 0 && lists.range(1000).all(a, lists.range(1000).exists(b, b == a))",
    "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(a, lists.range(1000).all(b, 'x'.find('x').size() < lists.range(100).size()))",
]


@pytest.mark.parametrize("expression", TOO_EXPENSIVE)
def test_stops_at_the_cost_limit(expression: str) -> None:
    selector = compile_selector(expression)
    assert selector.max_cost > MAX_COST
    with pytest.raises(EvalError, match="actual cost limit exceeded"):
        selector.matches(GPU)


def test_the_cost_limit_is_no_error_that_logic_absorbs() -> None:
    expression = "lists.range(1000).all(a, lists.range(1000).all(b, true)) || true"
    with pytest.raises(EvalError, match="actual cost limit exceeded"):
        compile_selector(expression).matches(GPU)


def _doubled(times: int, step: str, last: str, first: str = "[1]") -> str:
    """`last` over variables v0..v`times`, each made of two of the one before."""
    for at in range(times, 0, -1):
        last = f"cel.bind(v{at}, {step.replace('x', f'v{at - 1}')}, {last})"
    return f"cel.bind(v0, {first}, {last})"


BOUNDED = {
    "equality of shared lists": (_doubled(50, "[x, x]", "v50 == v50"), "value has more than 100000 parts"),
    "search in shared lists": (_doubled(50, "[x, x]", "v50.indexOf(v49) == 0"), "value has more than 100000 parts"),
    "flattening": (_doubled(50, "[x, x]", "v50.flatten(50).size() > 0"), "more than 1000000 elements"),
    "joined lists": (_doubled(50, "x + x", "v50.size() > 0"), "more than 1000000 elements"),
    "joined strings": (_doubled(50, "x + x", "v50.size() > 0", "'a'"), "more than 1000000 elements"),
    "formatting": (_doubled(20, "[x, x]", "'%s'.format([v20]) == ''"), "longer than 1000000 characters"),
    "replacing": (_doubled(12, "x.replace('', x)", "v12.size() > 0", "'aa'"), "longer than 1000000 characters"),
    "matching": (_doubled(12, "x + x", "v12.matches('(a{500}){1,2}b')", "'aaaa'"), "more than 5000000 steps"),
    "finding all": (_doubled(10, "x + x", "v10.findAll('a(.*b)?') == []", "'aaaa'"), "more than 5000000 steps"),
}


@pytest.mark.parametrize(("expression", "message"), BOUNDED.values(), ids=BOUNDED)
def test_what_doubles_is_bounded(expression: str, message: str) -> None:
    with pytest.raises(EvalError) as caught:
        compile_selector(expression).matches(GPU)
    assert message in str(caught.value)


def test_types_that_double_are_bounded() -> None:
    assert compile_selector(_doubled(50, "{1: x, 2: x}", "true")).matches(GPU)
