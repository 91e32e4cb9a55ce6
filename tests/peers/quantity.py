"""`quantity.json`: a list of strings and what k8s.io/apimachinery makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from bayplan.model.quantity import NANO, Quantity, QuantityError


def run(data: Any) -> Iterator[tuple[str, str, str]]:
    for case in data:
        differences = list(_differences(case))
        yield repr(case["in"]), "failed" if differences else "passed", "; ".join(differences)


def _differences(case: dict[str, Any]) -> Iterator[str]:
    expected_error = case.get("error")
    try:
        quantity = Quantity.parse(case["in"])
    except QuantityError as error:
        if str(error) != expected_error:
            yield f"error {str(error)!r}, expected {expected_error!r}"
        return
    if expected_error is not None:
        yield f"parsed as {quantity}, expected error {expected_error!r}"
        return
    got = {
        "canonical": str(quantity),
        "format": quantity.format,
        "value": quantity.value,
        "milliValue": quantity.milli,
    }
    for field, value in got.items():
        # null: upstream's figure does not fit 64 bits.
        if case[field] is not None and case[field] != value:
            yield f"{field} {value!r}, expected {case[field]!r}"
    if Decimal(case["decimal"]) * NANO != quantity.nano:
        yield f"amount {quantity.nano}e-9, expected {case['decimal']}"
