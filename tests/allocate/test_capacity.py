"""What one share takes (KEP-5075)."""

from __future__ import annotations

import pytest

from bayplan.core.allocate.capacity import consumed
from bayplan.model.device import CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity
from tests.allocate.worlds import amount


def steps(least: str, most: str = "", step: str = "", default: str = "") -> CapacityRequestPolicy:
    valid = CapacityRequestPolicyRange(
        min=amount(least), max=amount(most) if most else None, step=amount(step) if step else None
    )
    return CapacityRequestPolicy(default=amount(default) if default else None, valid_range=valid)


def values(*valid: str, default: str = "") -> CapacityRequestPolicy:
    return CapacityRequestPolicy(
        default=amount(default) if default else None, valid_values=tuple(amount(v) for v in valid)
    )


@pytest.mark.parametrize(
    ("asked", "policy", "expected"),
    [
        pytest.param("12Gi", None, "12Gi", id="without a policy: as asked"),
        pytest.param("", None, "80Gi", id="not asked, no policy: the whole capacity"),
        pytest.param("81Gi", None, "", id="more than there is"),
        pytest.param("", steps("1Gi", default="4Gi"), "4Gi", id="not asked: the default"),
        pytest.param("", steps("1Gi"), "80Gi", id="not asked, a policy without default: the whole capacity"),
        pytest.param("1Mi", steps("1Gi"), "1Gi", id="below the range: its minimum"),
        pytest.param("5Gi", steps("1Gi", step="2Gi"), "5Gi", id="on a step"),
        pytest.param("4Gi", steps("1Gi", step="2Gi"), "5Gi", id="between steps: counted from the minimum, upwards"),
        pytest.param("9Gi", steps("1Gi", most="8Gi"), "", id="above the range"),
        pytest.param("8Gi", steps("1Gi", most="8Gi", step="4Gi"), "", id="rounded above the range"),
        pytest.param("80Gi", steps("3Gi", step="7Gi"), "80Gi", id="exactly the last step"),
        pytest.param("3Gi", values("2Gi", "4Gi"), "4Gi", id="the smallest valid value that is large enough"),
        pytest.param("5Gi", values("2Gi", "4Gi"), "", id="above all valid values"),
        pytest.param("", values("2Gi", "4Gi", default="2Gi"), "2Gi", id="not asked: the default valid value"),
    ],
)
def test_amount(asked: str, policy: CapacityRequestPolicy | None, expected: str) -> None:
    requests = {"memory": amount(asked)} if asked else {}
    taken = consumed(requests, {"memory": DeviceCapacity(amount("80Gi"), policy)})
    assert taken == ((amount(expected),) if expected else None)


def test_a_capacity_the_device_lacks_rules_it_out() -> None:
    assert consumed({"cores": amount(1)}, {"memory": DeviceCapacity(amount(1))}) is None


def test_amounts_are_in_the_order_of_names() -> None:
    capacity = {"b": DeviceCapacity(amount(2)), "a": DeviceCapacity(amount(1))}
    assert consumed({}, capacity) == (amount(1), amount(2))
