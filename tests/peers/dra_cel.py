"""`dra_cel.json`: DRA device selectors, what they must not compile to, and whether they match a device.

`maxCost` is upstream's static estimate, a figure for people: a difference is told in the detail of a passed case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.cel import CompileError, DeviceView, EvalError, Selector, Semver, SemverError, compile_selector
from bayplan.model.quantity import Quantity

_LISTS = ("ints", "bools", "strings", "versions")


def run(data: Any) -> Iterator[tuple[str, str, str]]:
    for case in data["cases"]:
        for gate in _list_gates(case):
            yield _outcome(case, bool(case["consumableCapacity"]), gate, case["id"])
    for case in data.get("featureCombinations", ()):
        features = case["features"]
        capacity, lists = "DRAConsumableCapacity" in features, "DRAListTypeAttributes" in features
        yield _outcome(case, capacity, lists, case["name"])


def _list_gates(case: dict[str, Any]) -> tuple[bool, ...]:
    """The gate as the case sets it; null: it must not matter."""
    gate = case["listTypeAttributes"]
    return (False, True) if gate is None else (gate,)


def _outcome(case: dict[str, Any], capacity: bool, lists: bool, name: str) -> tuple[str, str, str]:
    stored = case["environment"] == "StoredExpressions"
    # In 1.36 an attribute list is of no supported type while the gate is off.
    rejects_lists = not lists and case["versions"] == ["1.36.2"]
    wrong, note = _judged(case, capacity or stored, lists or stored, rejects_lists)
    return f"{name} (lists {'on' if lists else 'off'})", "failed" if wrong else "passed", wrong or note


def _judged(case: dict[str, Any], capacity: bool, lists: bool, rejects_lists: bool) -> tuple[str, str]:
    """What is wrong, "" if nothing; and a remark."""
    expect = case["expect"]
    wanted_error = expect.get("compileErrorContains")
    must_compile = wanted_error is None and expect.get("compiles", True)
    try:
        selector = compile_selector(case["expression"], consumable_capacity=capacity, list_attributes=lists)
    except CompileError as error:
        if must_compile:
            return f"does not compile: {error}", ""
        ok = any((wanted_error or "") in problem for problem in (str(error), *error.problems))
        return ("" if ok else f"compile error {str(error)!r}, expected {wanted_error!r}"), ""
    if not must_compile:
        return f"compiles, expected {wanted_error or 'an error'!r}", ""
    cost = expect.get("maxCost", selector.max_cost)
    note = "" if cost == selector.max_cost else f"max cost {selector.max_cost}, upstream {cost}"
    return _matched(selector, _view(case["device"], rejects_lists), expect), note


def _matched(selector: Selector, device: DeviceView, expect: dict[str, Any]) -> str:
    wanted_error = expect.get("matchErrorContains")
    try:
        matches = selector.matches(device)
    except EvalError as error:
        if wanted_error is None:
            return f"error {str(error)!r}, expected {expect['match']}"
        return "" if wanted_error in str(error) else f"error {str(error)!r}, expected {wanted_error!r}"
    if wanted_error is not None:
        return f"{matches}, expected error {wanted_error!r}"
    return "" if matches == expect["match"] else f"{matches}, expected {expect['match']}"


def _view(device: dict[str, Any], rejects_lists: bool) -> DeviceView:
    attributes, unsupported = [], ""
    for name, value in device.get("attributes", {}).items():
        try:
            attributes.append((name, _attribute(value, rejects_lists)))
        except (SemverError, LookupError) as error:
            reason = "unsupported attribute value" if isinstance(error, LookupError) else str(error)
            unsupported = unsupported or f"attribute {name}: {reason}"
    capacity = [(name, Quantity.parse(held["value"])) for name, held in device.get("capacity", {}).items()]
    several = bool(device.get("allowMultipleAllocations"))
    return DeviceView.of(device.get("driver", ""), attributes, capacity, several, unsupported)


def _attribute(value: dict[str, Any], rejects_lists: bool) -> Any:
    if rejects_lists and any(key in value for key in _LISTS):
        raise LookupError
    for key, held in value.items():
        if key == "version":
            return Semver.parse(held)
        if key == "versions":
            return tuple(map(Semver.parse, held))
        if key in _LISTS:
            return tuple(held)
        if key in ("int", "bool", "string"):
            return held
    raise LookupError
