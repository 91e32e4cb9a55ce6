"""Who is kept from whom, by what."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.core.allocate.isolation import Isolation, of_allocation, of_device
from bayplan.model.device import Device, DeviceAllocationConfiguration, OpaqueDeviceConfiguration
from tests.allocate.worlds import device, holding

MPS = {"sharing": {"strategy": "MPS", "mpsConfig": {"defaultPinnedDeviceMemoryLimit": "12Gi"}}}
MPS_WITHOUT_LIMIT = {"sharing": {"strategy": "MPS"}}
TIME_SLICING = {"sharing": {"strategy": "TimeSlicing"}}


@pytest.mark.parametrize(
    ("what", "parameters", "expected"),
    [
        pytest.param(device("gpu"), [], "hardware", id="a whole GPU nobody else can have"),
        pytest.param(device("mig", "type=mig"), [], "hardware", id="a MIG instance"),
        pytest.param(device("p", "type=amdgpu-partition", shared=True), [], "hardware", id="an AMD partition"),
        pytest.param(device("gpu", memory="80Gi", shared=True), [], "none", id="a consumable share"),
        pytest.param(device("gpu"), [MPS], "memory-limit", id="MPS with a memory limit"),
        pytest.param(device("gpu"), [MPS_WITHOUT_LIMIT], "none", id="MPS without a limit"),
        pytest.param(device("gpu"), [TIME_SLICING], "none", id="time slicing"),
        pytest.param(device("gpu", shared=True), [MPS], "none", id="MPS does not mend a consumable share"),
        pytest.param(device("gpu"), [{"other": 1}, "text"], "hardware", id="parameters about something else"),
    ],
)
def test_class_of_a_device(what: Device, parameters: list[object], expected: str) -> None:
    assert of_device(what, parameters) == expected


def test_a_claim_is_as_weak_as_its_weakest_device() -> None:
    devices = {("gpu.test", "pool", "a"): device("a"), ("gpu.test", "pool", "b"): device("b", shared=True)}
    assert of_allocation(holding("a"), devices) is Isolation.HARDWARE
    assert of_allocation(holding("a", "b"), devices) is Isolation.NONE
    assert of_allocation(holding("gone"), devices) is Isolation.NONE


@pytest.mark.parametrize(
    ("requests", "driver", "expected"),
    [((), "gpu.test", "none"), (("r",), "gpu.test", "none"), (("s",), "gpu.test", "hardware"), ((), "x", "hardware")],
)
def test_configuration_counts_for_its_requests_and_driver(
    requests: tuple[str, ...], driver: str, expected: str
) -> None:
    entry = DeviceAllocationConfiguration("FromClaim", requests, OpaqueDeviceConfiguration(driver, TIME_SLICING))
    plain = holding("a")
    configured = msgspec.structs.replace(plain, devices=msgspec.structs.replace(plain.devices, config=(entry,)))
    assert of_allocation(configured, {("gpu.test", "pool", "a"): device("a")}) == expected


def test_stronger_satisfies_weaker_and_not_the_reverse() -> None:
    assert Isolation.HARDWARE.satisfies(Isolation.NONE)
    assert Isolation.NONE.satisfies(Isolation.NONE)
    assert not Isolation.MEMORY_LIMIT.satisfies(Isolation.HARDWARE)
