"""Kubernetes' structured-parameters allocator: which devices a claim gets on a node (`dra_allocation.json`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bayplan.core.allocate import Answer, allocate
from bayplan.model.codec import from_builtins, to_builtins
from bayplan.model.device import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceClass,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceSlice,
)
from bayplan.model.node import Node
from bayplan.model.quantity import Quantity

BUDGET = 1_000_000
"""A case is about the answer, not about when to give up."""


def run(data: Any) -> Iterator[tuple[str, str, str]]:
    """One outcome per case and version."""
    for case in data["cases"]:
        for version in case["versions"]:
            number = version.split("-")[0].split(".")
            complaint = verdict(case, answer(case, (int(number[0]), int(number[1]))))
            yield f"{case['id']} ({version})", "failed" if complaint else "passed", complaint


def answer(case: Mapping[str, Any], release: tuple[int, int]) -> Answer:
    """What Bayplan answers under upstream's order."""
    node = case["node"]["metadata"]
    classes = [from_builtins(c, DeviceClass) for c in case["deviceClasses"]]
    return allocate(
        Node(name=node["name"], labels=node.get("labels") or {}),
        [from_builtins(c, ResourceClaim) for c in case["claims"]],
        [from_builtins(s, ResourceSlice) for s in case["resourceSlices"]],
        {c.metadata.name: c for c in classes},
        allocated=[_held(case["allocated"])],
        features=case["featureGates"],
        release=release,
        order="upstream",
        budget=BUDGET,
    )


def _held(allocated: Mapping[str, Any]) -> AllocationResult:
    """What is allocated already, as one allocation."""
    shares = {_name(d): d["shareID"] for d in allocated["sharedDevices"]}
    held = [_result(_name(d)) for d in allocated["devices"]]
    for consumed in allocated["consumedCapacity"]:
        amounts = {name: Quantity.parse(amount) for name, amount in consumed["consumedCapacity"].items()}
        held.append(_result(_name(consumed), shares.pop(_name(consumed), "some-share"), amounts))
    held += [_result(name, share) for name, share in shares.items()]
    return AllocationResult(devices=DeviceAllocationResult(results=tuple(held)))


def _name(device: Mapping[str, str]) -> tuple[str, str, str]:
    return device["driver"], device["pool"], device["device"]


def _result(
    name: tuple[str, str, str], share: str = "", amounts: dict[str, Quantity] | None = None
) -> DeviceRequestAllocationResult:
    driver, pool, device = name
    return DeviceRequestAllocationResult(
        request="", driver=driver, pool=pool, device=device, share_id=share, consumed_capacity=amounts or {}
    )


def verdict(case: Mapping[str, Any], got: Answer) -> str:
    """What is wrong with the answer; "" when it is as expected."""
    expect = case["expect"]
    if expect["error"] is not None:
        wanted = expect["error"]["contains"]
        return (
            "" if wanted in got.error else f"expected an error with {wanted!r}, got {got.error!r} {got.verdict.value}"
        )
    if got.error:
        return f"unexpected error: {got.error}"
    return _differs(expect["results"], got)


def _differs(expected: list[Any], got: Answer) -> str:
    if len(got.results) != len(expected):
        return f"{len(got.results)} allocations, expected {len(expected)} ({got.verdict.value})"
    left = [to_builtins(result) for result in got.results]
    for wanted in expected:
        exact = wanted["match"] == "exact"
        key = _normal(wanted["allocation"], exact)
        found = next((r for r in left if _normal(r, exact) == key), None)
        if found is None:
            return f"no allocation {key}; got " + "; ".join(_normal(r, exact) for r in left)
        left.remove(found)
    return ""


def _normal(allocation: Mapping[str, Any], exact: bool) -> str:
    """An allocation as comparable text; the order of devices and selector terms counts only where it is `exact`."""
    devices = allocation.get("devices") or {}
    results = [_device(r) for r in devices.get("results") or []]
    selector = _pruned(allocation.get("nodeSelector"))
    if not exact:
        results.sort(key=_text)
        selector = _sorted(selector)
    return _text([results, _pruned(devices.get("config") or []), selector])


def _device(result: Mapping[str, Any]) -> Any:
    kept = dict(_pruned(result))
    if "consumedCapacity" in kept:
        kept["consumedCapacity"] = {n: Quantity.parse(a).nano for n, a in kept["consumedCapacity"].items()}
    if "shareID" in kept:
        kept["shareID"] = "some share"
    return kept


def _pruned(value: Any) -> Any:
    """Without fields that are empty or at their default."""
    if isinstance(value, dict):
        kept = {k: _pruned(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in (None, [], {}, "", False)}
    return [_pruned(v) for v in value] if isinstance(value, list) else value


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _sorted(v) for k, v in value.items()}
    return sorted((_sorted(v) for v in value), key=_text) if isinstance(value, list) else value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
