"""The nouns of resource.k8s.io/v1 (Dynamic Resource Allocation, KEP-4381 and its successors)."""

from __future__ import annotations

from typing import Any

import msgspec

from bayplan.model.base import Metadata, Noun
from bayplan.model.node import NodeSelector
from bayplan.model.quantity import Quantity


class DeviceAttribute(Noun, frozen=True):
    """One attribute; exactly one field is set. None set means a type this version does not know."""

    int_: int | None = msgspec.field(default=None, name="int")
    bool_: bool | None = msgspec.field(default=None, name="bool")
    string: str | None = None
    version: str | None = None
    ints: tuple[int, ...] | None = None
    bools: tuple[bool, ...] | None = None
    strings: tuple[str, ...] | None = None
    versions: tuple[str, ...] | None = None


class CapacityRequestPolicyRange(Noun, frozen=True):
    min: Quantity
    max: Quantity | None = None
    step: Quantity | None = None


class CapacityRequestPolicy(Noun, frozen=True):
    default: Quantity | None = None
    valid_values: tuple[Quantity, ...] = ()
    valid_range: CapacityRequestPolicyRange | None = None


class DeviceCapacity(Noun, frozen=True):
    value: Quantity
    request_policy: CapacityRequestPolicy | None = None


class Counter(Noun, frozen=True):
    value: Quantity


class CounterSet(Noun, frozen=True):
    name: str
    counters: dict[str, Counter] = {}


class DeviceCounterConsumption(Noun, frozen=True):
    counter_set: str
    counters: dict[str, Counter] = {}


class DeviceTaint(Noun, frozen=True):
    """`effect` is NoSchedule, NoExecute or None (report only)."""

    key: str
    effect: str
    value: str = ""
    time_added: str = ""


class DeviceToleration(Noun, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class NodeAllocatableMapping(Noun, frozen=True):
    """What a device is of a node's resource: `device_multiplier` each, or a multiple of a capacity it gives."""

    capacity_key: str = ""
    capacity_multiplier: Quantity | None = None
    device_multiplier: Quantity | None = None


class NodeAllocatableOverhead(Noun, frozen=True):
    """What using a device costs beside: once per pod, and per container that refers to the claim."""

    per_pod: Quantity | None = None
    per_container: Quantity | None = None


class NodeAllocatableResource(Noun, frozen=True):
    mapping: NodeAllocatableMapping | None = None
    overhead: NodeAllocatableOverhead | None = None


class Device(Noun, frozen=True):
    name: str
    attributes: dict[str, DeviceAttribute] = {}
    capacity: dict[str, DeviceCapacity] = {}
    consumes_counters: tuple[DeviceCounterConsumption, ...] = ()
    node_name: str = ""
    node_selector: NodeSelector | None = None
    all_nodes: bool = False
    taints: tuple[DeviceTaint, ...] = ()
    binds_to_node: bool = False
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    allow_multiple_allocations: bool = False
    node_allocatable_resources: dict[str, NodeAllocatableResource] = {}


class ResourcePool(Noun, frozen=True):
    name: str
    generation: int = 0
    resource_slice_count: int = 1


class ResourceSliceSpec(Noun, frozen=True):
    driver: str
    pool: ResourcePool
    node_name: str = ""
    node_selector: NodeSelector | None = None
    all_nodes: bool = False
    per_device_node_selection: bool = False
    devices: tuple[Device, ...] = ()
    shared_counters: tuple[CounterSet, ...] = ()


class ResourceSlice(Noun, frozen=True):
    spec: ResourceSliceSpec
    metadata: Metadata = Metadata()


class CELDeviceSelector(Noun, frozen=True):
    expression: str


class DeviceSelector(Noun, frozen=True):
    cel: CELDeviceSelector | None = None


class OpaqueDeviceConfiguration(Noun, frozen=True):
    driver: str
    parameters: Any = None


class DeviceClassConfiguration(Noun, frozen=True):
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceClassSpec(Noun, frozen=True):
    selectors: tuple[DeviceSelector, ...] = ()
    config: tuple[DeviceClassConfiguration, ...] = ()
    extended_resource_name: str = ""


class DeviceClass(Noun, frozen=True):
    metadata: Metadata
    spec: DeviceClassSpec = DeviceClassSpec()


class CapacityRequirements(Noun, frozen=True):
    requests: dict[str, Quantity] = {}


class ExactDeviceRequest(Noun, frozen=True):
    """`exactly` of a request. `allocation_mode` is ExactCount (`count`, default 1) or All."""

    device_class_name: str
    selectors: tuple[DeviceSelector, ...] = ()
    allocation_mode: str = "ExactCount"
    count: int = 1
    admin_access: bool = False
    tolerations: tuple[DeviceToleration, ...] = ()
    capacity: CapacityRequirements | None = None


class DeviceSubRequest(Noun, frozen=True):
    """One alternative of `firstAvailable`."""

    name: str
    device_class_name: str
    selectors: tuple[DeviceSelector, ...] = ()
    allocation_mode: str = "ExactCount"
    count: int = 1
    tolerations: tuple[DeviceToleration, ...] = ()
    capacity: CapacityRequirements | None = None


class DeviceRequest(Noun, frozen=True):
    name: str
    exactly: ExactDeviceRequest | None = None
    first_available: tuple[DeviceSubRequest, ...] = ()


class DeviceConstraint(Noun, frozen=True):
    requests: tuple[str, ...] = ()
    match_attribute: str = ""
    distinct_attribute: str = ""


class DeviceClaimConfiguration(Noun, frozen=True):
    requests: tuple[str, ...] = ()
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceClaim(Noun, frozen=True):
    """`spec.devices` of a claim: what is asked."""

    requests: tuple[DeviceRequest, ...] = ()
    constraints: tuple[DeviceConstraint, ...] = ()
    config: tuple[DeviceClaimConfiguration, ...] = ()


class ResourceClaimSpec(Noun, frozen=True):
    devices: DeviceClaim = DeviceClaim()


class DeviceRequestAllocationResult(Noun, frozen=True):
    """One device, or one share of it, given to a request (`main`, or `main/sub` of a prioritised list)."""

    request: str
    driver: str
    pool: str
    device: str
    admin_access: bool | None = None
    tolerations: tuple[DeviceToleration, ...] = ()
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    share_id: str = msgspec.field(default="", name="shareID")
    consumed_capacity: dict[str, Quantity] = {}


class DeviceAllocationConfiguration(Noun, frozen=True):
    """`source` is FromClass or FromClaim."""

    source: str
    requests: tuple[str, ...] = ()
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceAllocationResult(Noun, frozen=True):
    results: tuple[DeviceRequestAllocationResult, ...] = ()
    config: tuple[DeviceAllocationConfiguration, ...] = ()


class AllocationResult(Noun, frozen=True):
    devices: DeviceAllocationResult = DeviceAllocationResult()
    node_selector: NodeSelector | None = None
    allocation_timestamp: str = ""


class ResourceClaimConsumerReference(Noun, frozen=True):
    resource: str
    name: str
    uid: str
    api_group: str = ""

    @property
    def of_group(self) -> bool:
        """Whether this is a PodGroup, for all of its pods (KEP-5729)."""
        return (self.api_group, self.resource) == ("scheduling.k8s.io", "podgroups")


class DeviceCondition(Noun, frozen=True):
    type: str
    status: str = "Unknown"


class AllocatedDeviceStatus(Noun, frozen=True):
    """What a device's driver says of it since it was allocated (KEP-4817)."""

    driver: str
    pool: str
    device: str
    share_id: str = msgspec.field(default="", name="shareID")
    conditions: tuple[DeviceCondition, ...] = ()


class ResourceClaimStatus(Noun, frozen=True):
    """`allocated_s` is the second of the allocation's timestamp, 0 where it has none."""

    allocation: AllocationResult | None = None
    reserved_for: tuple[ResourceClaimConsumerReference, ...] = ()
    devices: tuple[AllocatedDeviceStatus, ...] = ()
    allocated_s: int = 0


class ResourceClaim(Noun, frozen=True):
    metadata: Metadata
    spec: ResourceClaimSpec = ResourceClaimSpec()
    status: ResourceClaimStatus = ResourceClaimStatus()


class ResourceClaimTemplateSpec(Noun, frozen=True):
    spec: ResourceClaimSpec = ResourceClaimSpec()


class ResourceClaimTemplate(Noun, frozen=True):
    metadata: Metadata
    spec: ResourceClaimTemplateSpec = ResourceClaimTemplateSpec()


class DeviceTaintSelector(Noun, frozen=True):
    """Which devices a DeviceTaintRule touches; an empty selector touches all."""

    driver: str = ""
    pool: str = ""
    device: str = ""


class DeviceTaintRuleSpec(Noun, frozen=True):
    taint: DeviceTaint
    device_selector: DeviceTaintSelector | None = None


class DeviceTaintRule(Noun, frozen=True):
    metadata: Metadata
    spec: DeviceTaintRuleSpec
