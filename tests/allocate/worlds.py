"""Devices, classes and claims in one line each.

Everything belongs to driver `gpu.test`, pool `pool` and node `node` unless said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    CapacityRequestPolicy,
    CapacityRequirements,
    CELDeviceSelector,
    Counter,
    CounterSet,
    Device,
    DeviceAllocationResult,
    DeviceAttribute,
    DeviceCapacity,
    DeviceClaim,
    DeviceClass,
    DeviceClassSpec,
    DeviceConstraint,
    DeviceCounterConsumption,
    DeviceRequest,
    DeviceRequestAllocationResult,
    DeviceSelector,
    DeviceSubRequest,
    DeviceTaint,
    DeviceToleration,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)
from bayplan.model.node import Node
from bayplan.model.quantity import Quantity

DRIVER = "gpu.test"
NODE = Node(name="node", labels={"zone": "a"})


def amount(text: str | int) -> Quantity:
    return Quantity.parse(str(text))


def attribute(text: str) -> DeviceAttribute:
    """`7` is an int, `true` a bool, `a+b` a list, `v1.2.3` a version, anything else a string."""
    if "+" in text:
        return DeviceAttribute(strings=tuple(t for t in text.split("+") if t))
    if re.fullmatch(r"-?\d+", text):
        return DeviceAttribute(int_=int(text))
    if re.fullmatch(r"v\d+\.\d+\.\d+", text):
        return DeviceAttribute(version=text[1:])
    if text in ("true", "false"):
        return DeviceAttribute(bool_=text == "true")
    return DeviceAttribute(string=text)


def device(
    name: str,
    attributes: str = "",
    *,
    taints: str = "",
    memory: str = "",
    shared: bool = False,
    policy: CapacityRequestPolicy | None = None,
    uses: Mapping[str, int | str] | None = None,
    of: str = "gpu",
    **fields: object,
) -> Device:
    """`attributes` are `name=value` words; `taints` are `key:effect` words; `uses` counters of counter set `of`."""
    capacity = {"memory": DeviceCapacity(amount(memory), policy)} if memory else {}
    consumption = (
        (DeviceCounterConsumption(of, {n: Counter(amount(v)) for n, v in uses.items()}),) if uses is not None else ()
    )
    return Device(
        name=name,
        attributes={n: attribute(v) for n, _, v in (w.partition("=") for w in attributes.split())},
        capacity=capacity,
        consumes_counters=consumption,
        taints=tuple(DeviceTaint(key=k, effect=e) for k, _, e in (w.partition(":") for w in taints.split())),
        allow_multiple_allocations=shared,
        **fields,  # type: ignore[arg-type]
    )


def slice_of(
    *devices: Device | str,
    node: str = "node",
    pool: str = "pool",
    driver: str = DRIVER,
    name: str = "",
    generation: int = 1,
    count: int = 1,
    counters: Mapping[str, Mapping[str, int | str]] | None = None,
    **fields: object,
) -> ResourceSlice:
    """One slice; `counters` maps counter sets to counters."""
    sets = tuple(
        CounterSet(name=s, counters={n: Counter(amount(v)) for n, v in c.items()}) for s, c in (counters or {}).items()
    )
    spec = ResourceSliceSpec(
        driver=driver,
        pool=ResourcePool(name=pool, generation=generation, resource_slice_count=count),
        node_name=node,
        devices=tuple(device(d) if isinstance(d, str) else d for d in devices),
        shared_counters=sets,
        **fields,  # type: ignore[arg-type]
    )
    return ResourceSlice(spec=spec, metadata=Metadata(name=name or f"{driver}-{pool}-{generation}"))


def selectors(*expressions: str) -> tuple[DeviceSelector, ...]:
    return tuple(DeviceSelector(CELDeviceSelector(e)) for e in expressions)


def classes(**expressions: str) -> dict[str, DeviceClass]:
    """Classes by name; `any` takes everything."""
    known = {"any": "true", **expressions}
    return {n: DeviceClass(Metadata(name=n), DeviceClassSpec(selectors(e) if e else ())) for n, e in known.items()}


def is_(name: str, value: str) -> str:
    """A selector: the driver's own attribute has this string."""
    return f'device.attributes["{DRIVER}"].{name} == "{value}"'


def tolerations(words: str) -> tuple[DeviceToleration, ...]:
    return tuple(DeviceToleration(key=w, operator="Exists") for w in words.split())


def request(
    name: str = "r",
    *where: str,
    of: str = "any",
    count: int = 1,
    everything: bool = False,
    tolerates: str = "",
    memory: str = "",
    admin: bool = False,
) -> DeviceRequest:
    return DeviceRequest(
        name=name,
        exactly=ExactDeviceRequest(
            device_class_name=of,
            selectors=selectors(*where),
            allocation_mode="All" if everything else "ExactCount",
            count=count,
            admin_access=admin,
            tolerations=tolerations(tolerates),
            capacity=CapacityRequirements({"memory": amount(memory)}) if memory else None,
        ),
    )


def either(name: str, *alternatives: DeviceRequest) -> DeviceRequest:
    """A prioritised list of requests."""
    subs = []
    for alternative in alternatives:
        exact = alternative.exactly
        assert exact is not None
        subs.append(
            DeviceSubRequest(
                name=alternative.name,
                device_class_name=exact.device_class_name,
                selectors=exact.selectors,
                allocation_mode=exact.allocation_mode,
                count=exact.count,
                tolerations=exact.tolerations,
                capacity=exact.capacity,
            )
        )
    return DeviceRequest(name=name, first_available=tuple(subs))


def match(attribute: str, *requests: str) -> DeviceConstraint:
    return DeviceConstraint(requests=requests, match_attribute=f"{DRIVER}/{attribute}")


def distinct(attribute: str, *requests: str) -> DeviceConstraint:
    return DeviceConstraint(requests=requests, distinct_attribute=f"{DRIVER}/{attribute}")


def spec(*parts: DeviceRequest | DeviceConstraint) -> ResourceClaimSpec:
    """What a claim asks: requests and constraints in any order."""
    return ResourceClaimSpec(
        DeviceClaim(
            requests=tuple(p for p in parts if isinstance(p, DeviceRequest)),
            constraints=tuple(p for p in parts if isinstance(p, DeviceConstraint)),
        )
    )


def claim(*parts: DeviceRequest | DeviceConstraint, name: str = "claim") -> ResourceClaim:
    return ResourceClaim(metadata=Metadata(name=name), spec=spec(*parts))


def holding(*names: str, memory: str = "", pool: str = "pool") -> AllocationResult:
    """An allocation of these devices, or of shares of them."""
    shares = {"memory": amount(memory)} if memory else {}
    return AllocationResult(
        devices=DeviceAllocationResult(
            results=tuple(
                DeviceRequestAllocationResult(
                    request="r",
                    driver=DRIVER,
                    pool=pool,
                    device=n,
                    share_id=f"share-{i}-{n}" if memory else "",
                    consumed_capacity=shares,
                )
                for i, n in enumerate(names)
            )
        )
    )


def names(results: Iterable[AllocationResult]) -> str:
    """What was allocated: claims separated by ` | `, each as `request:device` words (plain device for request `r`)."""
    return " | ".join(
        " ".join(d.device if d.request == "r" else f"{d.request}:{d.device}" for d in result.devices.results)
        for result in results
    )
