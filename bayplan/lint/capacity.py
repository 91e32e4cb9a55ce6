"""The capacity of a device and the policy by which shares of it are given out (KEP-5075 `requestPolicy`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.lint.rules import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    Finding,
    Json,
    Rule,
    child,
    finding,
    listed,
    mapping,
    obj,
    quantity,
)
from bayplan.model.quantity import Quantity

VALID_VALUES_MAX = 10

_POLICY = obj(
    {
        "default": quantity,
        "validValues": listed(quantity, VALID_VALUES_MAX),
        "validRange": obj({"min": quantity, "max": quantity, "step": quantity}),
    }
)
_PARTS: dict[str, Rule] = {"value": quantity, "requestPolicy": _POLICY}


def _no_policy(value: Json, path: str) -> Iterator[Finding]:
    if value.get("requestPolicy") is not None:
        yield finding(child(path, "requestPolicy"), FORBIDDEN, None, "allowMultipleAllocations must be true")


def _policy(value: Json, path: str) -> Iterator[Finding]:
    policy, at = mapping(value.get("requestPolicy")), child(path, "requestPolicy")
    given = [name for name in ("validValues", "validRange") if policy.get(name)]
    if len(given) > 1:
        yield finding(at, FORBIDDEN, None, "validValues and validRange exclude one another")
    elif given and policy.get("default") is None:
        yield finding(child(at, "default"), REQUIRED, None, f"required when {given[0]} is defined")
    elif given:
        size, default = _amount(value.get("value", 0)), _amount(policy["default"])
        check = _valid_values if given[0] == "validValues" else _valid_range
        yield from check(policy[given[0]], size, default, child(at, given[0]))


def _amount(value: Any) -> Quantity:
    return Quantity.of_json(value)


def _valid_values(values: list[Any], size: Quantity, default: Quantity, path: str) -> Iterator[Finding]:
    """Ascending, none twice, none above the capacity, the default among them (of too many, none counts)."""
    amounts = [_amount(value) for value in values]
    for index in range(1, len(amounts)):
        if amounts[index - 1] > amounts[index]:
            at = f"{path}[{index}]"
            yield finding(at, INVALID, str(amounts[index]), "values must be sorted in ascending order")
    counted = amounts if len(amounts) <= VALID_VALUES_MAX else []
    for index, amount in enumerate(counted):
        at = f"{path}[{index}]"
        if amount > size:
            yield finding(at, INVALID, str(amount), f"is larger than the capacity value: {size}")
        if amount in amounts[:index]:
            yield finding(at, DUPLICATE, str(amount.value))
    if default not in counted:
        yield finding(path, INVALID, str(default), "the default is not one of the valid values")


def _valid_range(spec: Json, size: Quantity, default: Quantity, path: str) -> Iterator[Finding]:
    """min ≤ default ≤ max ≤ capacity, and default and max whole steps above min."""
    if spec.get("min") is None:
        yield finding(child(path, "min"), REQUIRED, None, "required when validRange is defined")
        return
    low = _amount(spec["min"])
    high = None if spec.get("max") is None else _amount(spec["max"])
    wrong = [
        ("min", low, low > size, f"min is larger than capacity value: {size}"),
        ("min", default, default < low, f"default is less than min: {low}"),
    ]
    if high is not None:
        wrong += [
            ("max", low, low > high, f"min is larger than max: {high}"),
            ("max", high, high > size, f"max is larger than capacity value: {size}"),
            ("max", default, default > high, f"default is more than max: {high}"),
        ]
    yield from (
        finding(child(path, name), INVALID, str(value), why) for name, value, is_wrong, why in wrong if is_wrong
    )
    if spec.get("step") is not None:
        yield from _steps(_amount(spec["step"]), low, [default] if high is None else [default, high], size, path)


def _steps(step: Quantity, low: Quantity, stops: list[Quantity], size: Quantity, path: str) -> Iterator[Finding]:
    at = child(path, "step")
    if step.nano <= 0:
        yield finding(at, INVALID, str(step), "must be greater than zero")
        return
    if low + step > size:
        yield finding(at, INVALID, str(step), f"one step above min is {low + step}, more than the capacity: {size}")
    for stop in stops:
        if (stop - low).nano % step.nano:
            yield finding(at, INVALID, str(stop), f"is not a whole number of steps of {step} above {low}")


plain_capacity: Rule = obj(_PARTS, _no_policy)
"""Of a device that goes to one claim at a time."""
shared_capacity: Rule = obj(_PARTS, _policy)
"""Of a device that several claims share."""
