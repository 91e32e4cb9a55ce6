"""Checks of resource.k8s.io objects: shapes, names, and the limits that keep one object bounded (KEP-4381 and its
successors 4815 partitionable, 5055 taints, 5075 consumable capacity; limits from k8s.io/api/resource/v1).

CEL is not compiled here: whoever opens the store hands in a validator that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.clusters.embedded.checks import (
    C_IDENTIFIER,
    DNS_SUBDOMAIN,
    QUALIFIED_NAME,
    Errors,
    each,
    items,
    label_name,
    mapping,
    named,
    one_of,
    quantity,
    sub,
    subdomain,
    unique,
    whole,
)
from bayplan.clusters.embedded.errors import FieldError, bad_value, missing, too_many

Object = Mapping[str, Any]

DEVICES_MAX = 128
# A slice whose devices have taints, counters or binding conditions may hold fewer: each of them is larger.
DETAILED_DEVICES_MAX = 64
SHARED_COUNTERS_MAX = 8
COUNTERS_MAX = 32
ATTRIBUTES_AND_CAPACITIES_MAX = 32
TAINTS_MAX = 16
CONSUMED_SETS_MAX = 2
BINDING_CONDITIONS_MAX = 4
REQUESTS_MAX = 32
SELECTORS_MAX = 32
CONSTRAINTS_MAX = 32
CONFIGS_MAX = 32
FIRST_AVAILABLE_MAX = 8
CLAIM_DEVICES_MAX = 32
RESERVED_FOR_MAX = 256
STRING_MAX = 64
_EXPRESSION_BYTES_MAX = 10 * 1024

_EFFECTS = ("NoSchedule", "NoExecute", "None")
_VALUES = ("int", "bool", "string", "version", "ints", "bools", "strings", "versions")
_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_LISTS = ("ints", "bools", "strings", "versions")
_DETAILS = ("taints", "consumesCounters")


def _at_most(path: str, value: Any, most: int) -> Errors:
    return [too_many(path, len(value), most)] if isinstance(value, (list, dict)) and len(value) > most else []


def _one_of_fields(path: str, value: Object, names: tuple[str, ...]) -> Errors:
    """Exactly one of the fields is set (false counts as not set)."""
    found = [name for name in names if value.get(name) not in (None, False, "")]
    listed = ", ".join(f"`{name}`" for name in names)
    if not found:
        return [FieldError(path, f"Required value: exactly one of {listed} is required", "FieldValueRequired")]
    if len(found) > 1:
        return [bad_value(path, dict(value), f"exactly one of {listed} is required, but multiple fields are set")]
    return []


# -- slices ---------------------------------------------------------------------------------------------------


def check_slice(obj: Object) -> Errors:
    spec = sub(obj, "spec")
    problems = _driver("spec.driver", spec.get("driver")) + _pool(sub(spec, "pool"))
    shared, devices = spec.get("sharedCounters"), spec.get("devices")
    if not shared:
        problems += _one_of_fields("spec", spec, ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"))
    if spec.get("nodeName"):
        problems += subdomain("spec.nodeName", spec["nodeName"])
    if shared and devices:
        problems.append(bad_value("spec", dict(spec), "only one of `sharedCounters` or `devices` is allowed"))
    problems += _at_most("spec.sharedCounters", shared, SHARED_COUNTERS_MAX)
    problems += each("spec.sharedCounters", shared, _counter_set)
    problems += unique("spec.sharedCounters", (sub(each).get("name") for each in items(shared)), "name")
    detailed = any(_is_detailed(sub(device)) for device in items(devices))
    problems += _at_most("spec.devices", devices, DETAILED_DEVICES_MAX if detailed else DEVICES_MAX)
    per_device = bool(spec.get("perDeviceNodeSelection"))
    problems += each("spec.devices", devices, lambda at, device: _device(at, device, per_device))
    return problems + unique("spec.devices", (sub(device).get("name") for device in items(devices)), "name")


def _is_detailed(device: Object) -> bool:
    values = sub(device, "attributes").values()
    return any(device.get(name) for name in _DETAILS) or any(
        sub(value).get(name) for value in values for name in _LISTS
    )


def _driver(path: str, value: Any) -> Errors:
    if isinstance(value, str) and len(value) > 63:
        return [bad_value(path, value, "must be no more than 63 characters")]
    return subdomain(path, value)


def _pool(pool: Object) -> Errors:
    name = pool.get("name")
    problems = [] if name else [missing("spec.pool.name")]
    for part in str(name or "").split("/") if name else ():
        problems += [bad_value("spec.pool.name", name, "its parts between / must be RFC 1123 subdomains")] * (
            not DNS_SUBDOMAIN.fullmatch(part)
        )
    problems += whole("spec.pool.generation", pool.get("generation", 0))
    return problems + whole("spec.pool.resourceSliceCount", pool.get("resourceSliceCount"), least=1, required=True)


def _counter_set(path: str, counters: Object) -> Errors:
    problems = label_name(f"{path}.name", counters.get("name"))
    return problems + _counters(f"{path}.counters", counters.get("counters"))


def _counters(path: str, counters: Any) -> Errors:
    if not counters:
        return [missing(path)]
    if problems := mapping(path, counters):
        return problems
    problems = _at_most(path, counters, COUNTERS_MAX)
    for name, counter in counters.items():
        problems += label_name(path, name)
        problems += quantity(f"{path}[{name}].value", sub(counter).get("value", ""))
    return problems


def _device(path: str, device: Object, per_device: bool) -> Errors:
    problems = label_name(f"{path}.name", device.get("name"))
    attributes, capacity = sub(device, "attributes"), sub(device, "capacity")
    if (count := len(attributes) + len(capacity)) > ATTRIBUTES_AND_CAPACITIES_MAX:
        why = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_AND_CAPACITIES_MAX}"
        problems.append(bad_value(path, count, why))
    for name, value in attributes.items():
        problems += _identifier(f"{path}.attributes", name) + _attribute(f"{path}.attributes[{name}]", value)
    for name, value in capacity.items():
        problems += _identifier(f"{path}.capacity", name)
        problems += quantity(f"{path}.capacity[{name}].value", sub(value).get("value", ""))
    taints = device.get("taints")
    problems += _at_most(f"{path}.taints", taints, TAINTS_MAX) + each(f"{path}.taints", taints, _taint)
    consumed = device.get("consumesCounters")
    problems += _at_most(f"{path}.consumesCounters", consumed, CONSUMED_SETS_MAX)
    problems += each(f"{path}.consumesCounters", consumed, _consumes)
    sets = (sub(each).get("counterSet") for each in items(consumed))
    problems += unique(f"{path}.consumesCounters", sets, "counterSet")
    problems += _binding_conditions(path, device)
    if per_device:
        problems += _one_of_fields(path, device, ("nodeName", "nodeSelector", "allNodes"))
    elif any(device.get(name) for name in ("nodeName", "nodeSelector", "allNodes")):
        why = "node selection of a device needs spec.perDeviceNodeSelection: true"
        problems.append(bad_value(path, dict(device), why))
    return problems


def _binding_conditions(path: str, device: Object) -> Errors:
    """Conditions to wait for and conditions that end the waiting: both or neither, and disjoint."""
    names = ("bindingConditions", "bindingFailureConditions")
    ready, failed = (items(device.get(name)) for name in names)
    problems: Errors = []
    for name, conditions in zip(names, (ready, failed), strict=True):
        problems += _at_most(f"{path}.{name}", conditions, BINDING_CONDITIONS_MAX)
        problems += unique(f"{path}.{name}", iter(conditions), "")
        for index, condition in enumerate(conditions):
            problems += named(f"{path}.{name}[{index}]", condition, QUALIFIED_NAME, "a condition type")
    if bool(ready) != bool(failed):
        name, other = names if failed else names[::-1]
        problems.append(bad_value(f"{path}.{name}", None, f"{name} are required to use {other}"))
    return problems + [
        bad_value(f"{path}.bindingFailureConditions[{index}]", each, "must not overlap with bindingConditions")
        for index, each in enumerate(failed)
        if each in ready
    ]


def _consumes(path: str, consumed: Object) -> Errors:
    problems = label_name(f"{path}.counterSet", consumed.get("counterSet"))
    return problems + _counters(f"{path}.counters", consumed.get("counters"))


def _identifier(path: str, name: str) -> Errors:
    """A qualified attribute or capacity name: an optional DNS domain and a C identifier of at most 32 characters."""
    domain, slash, short = name.rpartition("/")
    if slash and (len(domain) > 63 or not DNS_SUBDOMAIN.fullmatch(domain)):
        return [bad_value(path, name, "its domain must be an RFC 1123 subdomain of at most 63 characters")]
    if len(short) > 32 or not C_IDENTIFIER.fullmatch(short):
        return [bad_value(path, name, "must be a C identifier (A-Z a-z 0-9 _) of at most 32 characters")]
    return []


def _attribute(path: str, value: Any) -> Errors:
    if problems := mapping(path, value, required=True):
        return problems
    if len([name for name in _VALUES if value.get(name) is not None]) != 1:
        return [bad_value(path, value, "exactly one value must be specified")]
    text = value.get("string") or value.get("version")
    if text and len(str(text)) > STRING_MAX:
        return [FieldError(f"{path}", f"Too long: may not be more than {STRING_MAX} bytes", "FieldValueTooLong")]
    if value.get("version") and not _SEMVER.fullmatch(str(value["version"])):
        return [bad_value(f"{path}.version", value["version"], "must be a version of semver.org 2.0.0")]
    return []


def _taint(path: str, taint: Object) -> Errors:
    problems = [] if taint.get("key") else [missing(f"{path}.key")]
    return problems + one_of(f"{path}.effect", taint.get("effect") or None, _EFFECTS, required=True)


# -- claims and classes ---------------------------------------------------------------------------------------


def check_claim(obj: Object) -> Errors:
    return _claim_spec("spec", sub(obj, "spec"))


def check_claim_template(obj: Object) -> Errors:
    return _claim_spec("spec.spec", sub(obj, "spec", "spec"))


def _claim_spec(path: str, spec: Object) -> Errors:
    at = f"{path}.devices"
    if problems := mapping(at, spec.get("devices")):
        return problems
    devices = sub(spec, "devices")
    requests = devices.get("requests")
    problems = _at_most(f"{at}.requests", requests, REQUESTS_MAX)
    problems += each(f"{at}.requests", requests, _request)
    problems += unique(f"{at}.requests", (sub(request).get("name") for request in items(requests)), "name")
    known = list(_request_names(requests))
    problems += _at_most(f"{at}.constraints", devices.get("constraints"), CONSTRAINTS_MAX)
    problems += each(f"{at}.constraints", devices.get("constraints"), lambda p, c: _constraint(p, c, known))
    problems += _at_most(f"{at}.config", devices.get("config"), CONFIGS_MAX)
    return problems + each(f"{at}.config", devices.get("config"), lambda p, c: _config(p, c, known))


def _request_names(requests: Any) -> Iterator[str]:
    """What constraints and configs may refer to: `request` and `request/subrequest`."""
    for request in items(requests):
        name = str(sub(request).get("name"))
        yield name
        for inner in items(sub(request).get("firstAvailable")):
            yield f"{name}/{sub(inner).get('name')}"


def _request(path: str, request: Object) -> Errors:
    problems = label_name(f"{path}.name", request.get("name"))
    problems += _one_of_fields(path, request, ("exactly", "firstAvailable"))
    if "exactly" in request:
        problems += mapping(f"{path}.exactly", request["exactly"]) or _exact(f"{path}.exactly", request["exactly"])
    inner = request.get("firstAvailable")
    problems += _at_most(f"{path}.firstAvailable", inner, FIRST_AVAILABLE_MAX)
    problems += unique(f"{path}.firstAvailable", (sub(each).get("name") for each in items(inner)), "name")
    return problems + each(
        f"{path}.firstAvailable", inner, lambda at, each: label_name(f"{at}.name", each.get("name")) + _exact(at, each)
    )


def _exact(path: str, request: Object) -> Errors:
    problems = subdomain(f"{path}.deviceClassName", request.get("deviceClassName"))
    problems += _selectors(f"{path}.selectors", request.get("selectors"))
    mode = request.get("allocationMode", "ExactCount")
    problems += one_of(f"{path}.allocationMode", mode, ("All", "ExactCount"))
    if mode == "All" and request.get("count"):
        why = "must not be specified when allocationMode is 'All'"
        problems.append(bad_value(f"{path}.count", request["count"], why))
    elif mode == "ExactCount":
        problems += whole(f"{path}.count", request.get("count", 1), least=1)
    for name, amount in sub(request, "capacity", "requests").items():
        problems += quantity(f"{path}.capacity.requests[{name}]", amount)
    return problems + each(f"{path}.tolerations", request.get("tolerations"), _toleration)


def _toleration(path: str, toleration: Object) -> Errors:
    operator = toleration.get("operator") or "Equal"
    problems = one_of(f"{path}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and toleration.get("value"):
        problems.append(bad_value(f"{path}.value", toleration["value"], "must be empty for operator `Exists`"))
    return problems + one_of(f"{path}.effect", toleration.get("effect") or None, _EFFECTS)


def _selectors(path: str, selectors: Any) -> Errors:
    return _at_most(path, selectors, SELECTORS_MAX) + each(path, selectors, _selector)


def _selector(path: str, selector: Object) -> Errors:
    if not selector.get("cel"):
        return [missing(f"{path}.cel")]
    expression = sub(selector, "cel").get("expression")
    if not isinstance(expression, str) or not expression:
        return [missing(f"{path}.cel.expression")]
    if len(expression.encode()) > _EXPRESSION_BYTES_MAX:
        why = f"Too long: may not be more than {_EXPRESSION_BYTES_MAX} bytes"
        return [FieldError(f"{path}.cel.expression", why, "FieldValueTooLong")]
    return []


def _constraint(path: str, constraint: Object, known: list[str]) -> Errors:
    problems = _references(f"{path}.requests", constraint.get("requests"), known)
    problems += _one_of_fields(path, constraint, ("matchAttribute", "distinctAttribute"))
    for name in ("matchAttribute", "distinctAttribute"):
        value = constraint.get(name)
        if value and "/" not in str(value):
            problems.append(bad_value(f"{path}.{name}", value, "a domain is needed: domain/name"))
        elif value:
            problems += _identifier(f"{path}.{name}", str(value))
    return problems


def _config(path: str, config: Object, known: list[str]) -> Errors:
    problems = _references(f"{path}.requests", config.get("requests"), known)
    return problems + _opaque(path, config)


def _opaque(path: str, config: Object) -> Errors:
    if not config.get("opaque"):
        return [missing(f"{path}.opaque")]
    opaque = sub(config, "opaque")
    problems = _driver(f"{path}.opaque.driver", opaque.get("driver"))
    if opaque.get("parameters") is None:
        return [*problems, missing(f"{path}.opaque.parameters")]
    if not isinstance(opaque["parameters"], dict):
        problems.append(bad_value(f"{path}.opaque.parameters", opaque["parameters"], "must be a valid JSON object"))
    return problems


def _references(path: str, names: Any, known: list[str]) -> Errors:
    return [
        bad_value(f"{path}[{index}]", name, "must be the name of a request in the claim")
        for index, name in enumerate(items(names))
        if name not in known
    ]


def check_class(obj: Object) -> Errors:
    spec = sub(obj, "spec")
    problems = _selectors("spec.selectors", spec.get("selectors"))
    problems += _at_most("spec.config", spec.get("config"), CONFIGS_MAX)
    return problems + each("spec.config", spec.get("config"), _opaque)


def check_taint_rule(obj: Object) -> Errors:
    spec = sub(obj, "spec")
    return mapping("spec.taint", spec.get("taint"), required=True) or _taint("spec.taint", sub(spec, "taint"))
