"""`dra_validation.json`: API validation of resource.k8s.io, by upstream's test tables.

Compared are the verdict, and field path and type of every error, regardless of their order (upstream walks maps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bayplan.lint import Finding, Gates, validate, validate_status
from bayplan.lint.capacity import shared_capacity
from bayplan.lint.rules import Json

Case = dict[str, Any]
NOT_JSON = "the object cannot be written as JSON (raw parameters that are not), so nobody can send it"


def run(data: Any) -> Iterator[tuple[str, str, str]]:
    for case in data["cases"]:
        name = f"{case['func']}/{case['name']}"
        if not case["portable"]:
            yield name, "skipped", NOT_JSON
            continue
        difference = _difference(_CHECKS[case["func"]](_as_written(case["case"])), case["expect"]["errors"])
        yield name, "failed" if difference else "passed", difference


def _difference(found: list[Finding], expected: list[dict[str, str]]) -> str:
    ours = sorted((each.path, each.type) for each in found)
    theirs = sorted((each["field"], each["type"]) for each in expected)
    if ours == theirs:
        return ""
    extra, missing = list(ours), []
    for each in theirs:
        if each in extra:
            extra.remove(each)
        else:
            missing.append(each)
    return f"too much: {extra}; missing: {missing}"


def _gates(case: Case) -> Gates:
    # A case without the switch runs with upstream's default, where it makes no difference to what is checked.
    return Gates(consumable_capacity=case.get("consumableCapacityFeatureGate", True))


def _deleted(obj: Json) -> Json:
    """Go's zero time is null in JSON, and yet upstream's test object is being deleted."""
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata and metadata["deletionTimestamp"] is None:
        return {**obj, "metadata": {**metadata, "deletionTimestamp": "0001-01-01T00:00:00Z"}}
    return obj


def _as_written(value: Any) -> Any:
    """Upstream measures raw parameters and writes them with a blank after the colon, which parsed JSON has lost: the
    text beside it gets a letter more."""
    if isinstance(value, list):
        return [_as_written(each) for each in value]
    if not isinstance(value, dict):
        return value
    raw = {name: value[name] for name in ("parameters", "data") if isinstance(value.get(name), dict)}
    padded = {name: {**each, "str": each["str"] + "x"} for name, each in raw.items() if "str" in each}
    return {name: padded.get(name) or _as_written(each) for name, each in value.items()}


def _create(field: str) -> Callable[[Case], list[Finding]]:
    return lambda case: validate(case[field], gates=_gates(case))


def _update(new: str, old: str) -> Callable[[Case], list[Finding]]:
    return lambda case: validate(case[new], case[old], _gates(case))


def _status(new: str, old: str) -> Callable[[Case], list[Finding]]:
    return lambda case: validate_status(_deleted(case[new]), _deleted(case[old]), _gates(case))


def _capacity(case: Case) -> list[Finding]:
    return list(shared_capacity(case["capacity"], "spec.devices.capacity"))


_CHECKS: dict[str, Callable[[Case], list[Finding]]] = {
    "TestValidateClaim": _create("claim"),
    "TestValidateClaimUpdate": _update("updated", "oldClaim"),
    "TestValidateClaimStatusUpdate": _status("updated", "oldClaim"),
    "TestValidateClaimTemplate": _create("template"),
    "TestValidateClaimTemplateUpdate": _update("updated", "oldClaimTemplate"),
    "TestValidateClass": _create("class"),
    "TestValidateClassUpdate": _update("updated", "oldClass"),
    "TestValidateResourceSlice": _create("slice"),
    "TestValidateResourceSliceUpdate": _update("updated", "oldResourceSlice"),
    "TestValidateDeviceCapacity": _capacity,
    "TestValidateDeviceTaint": _create("taintRule"),
    "TestValidateDeviceTaintUpdate": _update("updated", "old"),
    "TestValidateResourcePoolStatusRequest": _create("request"),
    "TestValidateResourcePoolStatusRequestUpdate": _update("newRequest", "oldRequest"),
    "TestValidateResourcePoolStatusRequestStatusUpdate": _status("newRequest", "oldRequest"),
}
