"""What can be wrong with a plan: a closed set of types with numbers, each with one line for people.

A finding is never about the state the plan found (a queue whose quota was lowered, a node that lost memory): only what
the plan itself would add or decide is judged, so that an inherited excess does not stop a cluster.
"""

from __future__ import annotations

from bayplan.model.base import Value


class Finding(Value, frozen=True, tag_field="finding"):
    """Base of all findings; `str()` is one line."""


# Nodes


class NodeOverfull(Finding, frozen=True, tag="NodeOverfull"):
    """Amounts as in `Node.allocatable`."""

    node: str
    resource: str
    used: int
    allocatable: int

    def __str__(self) -> str:
        return f"node {self.node} would hold {self.used} of {self.resource}, {self.allocatable} are allocatable"


class NodeRefusesPod(Finding, frozen=True, tag="NodeRefusesPod"):
    pod: str
    node: str
    cause: str

    def __str__(self) -> str:
        return f"pod {self.pod} may not run on node {self.node}: {self.cause}"


# Devices


class DeviceMissing(Finding, frozen=True, tag="DeviceMissing"):
    """`cause` says whether the pool, its newest generation or the device is missing, or the node does not reach it."""

    claim: str
    device: str
    node: str
    cause: str

    def __str__(self) -> str:
        return f"claim {self.claim} is given device {self.device} on node {self.node}: {self.cause}"


class DeviceTainted(Finding, frozen=True, tag="DeviceTainted"):
    claim: str
    device: str
    taint: str

    def __str__(self) -> str:
        return f"claim {self.claim} is given device {self.device} and does not tolerate its taint {self.taint}"


class DeviceGivenTwice(Finding, frozen=True, tag="DeviceGivenTwice"):
    device: str
    claims: tuple[str, ...]

    def __str__(self) -> str:
        return f"device {self.device} is given to {len(self.claims)} claims: {', '.join(self.claims)}"


class CounterOverdrawn(Finding, frozen=True, tag="CounterOverdrawn"):
    """Amounts in billionths."""

    pool: str
    counter: str
    used_nano: int
    limit_nano: int

    def __str__(self) -> str:
        used, limit = _decimal(self.used_nano), _decimal(self.limit_nano)
        return f"counter {self.counter} of pool {self.pool} is drawn to {used} of {limit}"


class CapacityOverdrawn(Finding, frozen=True, tag="CapacityOverdrawn"):
    """Amounts in billionths."""

    device: str
    capacity: str
    used_nano: int
    limit_nano: int

    def __str__(self) -> str:
        used, limit = _decimal(self.used_nano), _decimal(self.limit_nano)
        return f"capacity {self.capacity} of device {self.device} is shared to {used} of {limit}"


class TenantsMixed(Finding, frozen=True, tag="TenantsMixed"):
    """Nothing but accounts keeps the users of the device apart."""

    device: str
    claim: str
    tenants: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"claim {self.claim} is given a share of device {self.device}, "
            f"which {', '.join(self.tenants)} would share with nothing to keep them apart"
        )


class IsolationTooWeak(Finding, frozen=True, tag="IsolationTooWeak"):
    claim: str
    device: str
    isolation: str
    isolation_wanted: str

    def __str__(self) -> str:
        return (
            f"claim {self.claim} is given device {self.device}, which isolates by {self.isolation}, "
            f"where {self.isolation_wanted} is asked for"
        )


# Claims


class ClaimUnserved(Finding, frozen=True, tag="ClaimUnserved"):
    pod: str
    claim: str

    def __str__(self) -> str:
        return f"pod {self.pod} is placed without devices for its claim {self.claim}"


class ClaimUnknown(Finding, frozen=True, tag="ClaimUnknown"):
    pod: str
    claim: str

    def __str__(self) -> str:
        return f"pod {self.pod} is given devices for claim {self.claim}, which it does not have"


class ClaimGivenTwice(Finding, frozen=True, tag="ClaimGivenTwice"):
    claim: str

    def __str__(self) -> str:
        return f"claim {self.claim} is given two different sets of devices"


class ClaimOutOfReach(Finding, frozen=True, tag="ClaimOutOfReach"):
    claim: str
    node: str

    def __str__(self) -> str:
        return f"the allocation of claim {self.claim} does not select node {self.node}, where its pod is placed"


class DeviceNotReady(Finding, frozen=True, tag="DeviceNotReady"):
    pod: str
    claim: str
    device: str
    cause: str

    def __str__(self) -> str:
        return f"pod {self.pod} would be bound while device {self.device} of claim {self.claim} is {self.cause}"


class RequestUnknown(Finding, frozen=True, tag="RequestUnknown"):
    claim: str
    request: str

    def __str__(self) -> str:
        return f"claim {self.claim} is given devices for {self.request}, which it does not request"


class RequestMiscounted(Finding, frozen=True, tag="RequestMiscounted"):
    claim: str
    request: str
    devices: int
    devices_wanted: int

    def __str__(self) -> str:
        return f"request {self.request} of claim {self.claim} is given {self.devices} devices of {self.devices_wanted}"


class AlternativesMixed(Finding, frozen=True, tag="AlternativesMixed"):
    claim: str
    request: str
    alternatives: tuple[str, ...]

    def __str__(self) -> str:
        return f"request {self.request} of claim {self.claim} is served by two of its alternatives: " + ", ".join(
            self.alternatives
        )


class ClassMissing(Finding, frozen=True, tag="ClassMissing"):
    claim: str
    request: str
    device_class: str

    def __str__(self) -> str:
        return f"request {self.request} of claim {self.claim} names device class {self.device_class}, which is missing"


class SelectorUnmet(Finding, frozen=True, tag="SelectorUnmet"):
    """`detail` is the expression, or the error it ended in."""

    claim: str
    request: str
    device: str
    detail: str

    def __str__(self) -> str:
        return f"device {self.device} does not match request {self.request} of claim {self.claim}: {self.detail}"


class ConstraintBroken(Finding, frozen=True, tag="ConstraintBroken"):
    """`rule` is matchAttribute or distinctAttribute."""

    claim: str
    rule: str
    attribute: str

    def __str__(self) -> str:
        return f"the devices of claim {self.claim} break {self.rule} {self.attribute}"


class AdminAccessWrong(Finding, frozen=True, tag="AdminAccessWrong"):
    claim: str
    request: str
    cause: str

    def __str__(self) -> str:
        return f"request {self.request} of claim {self.claim}: {self.cause}"


class CapacityLacking(Finding, frozen=True, tag="CapacityLacking"):
    """The device cannot serve the capacity asked for; amounts in billionths, `most_nano` 0 = the device has none."""

    claim: str
    device: str
    capacity: str
    requested_nano: int
    most_nano: int

    def __str__(self) -> str:
        return (
            f"claim {self.claim} asks {_decimal(self.requested_nano)} of {self.capacity}, "
            f"device {self.device} gives at most {_decimal(self.most_nano)}"
        )


class CapacityMiscounted(Finding, frozen=True, tag="CapacityMiscounted"):
    """Amounts in billionths."""

    claim: str
    device: str
    capacity: str
    consumed_nano: int
    wanted_nano: int

    def __str__(self) -> str:
        return (
            f"claim {self.claim} consumes {_decimal(self.consumed_nano)} of {self.capacity} of device {self.device}, "
            f"its request and the device's policy make {_decimal(self.wanted_nano)}"
        )


# Gangs


class GangTorn(Finding, frozen=True, tag="GangTorn"):
    """`pods` counts bound and placed ones."""

    workload: str
    pod_set: str
    pods: int
    pods_wanted: int

    def __str__(self) -> str:
        return f"workload {self.workload} would run {self.pods} of {self.pods_wanted} pods of {self.pod_set}"


class PodPlacedTwice(Finding, frozen=True, tag="PodPlacedTwice"):
    workload: str
    pod: str

    def __str__(self) -> str:
        return f"pod {self.pod} of workload {self.workload} is placed twice, or has been bound already"


class PodUnknown(Finding, frozen=True, tag="PodUnknown"):
    workload: str
    pod: str

    def __str__(self) -> str:
        return f"pod {self.pod} is placed and is no pod of workload {self.workload}"


class TopologyBroken(Finding, frozen=True, tag="TopologyBroken"):
    workload: str
    pod_set: str
    level: str
    domains: tuple[str, ...]

    def __str__(self) -> str:
        where = ", ".join(d or "(no label)" for d in self.domains)
        return f"{self.pod_set} of workload {self.workload} requires one {self.level} and is placed in {where}"


class AssignmentUntrue(Finding, frozen=True, tag="AssignmentUntrue"):
    workload: str
    pod_set: str
    detail: str

    def __str__(self) -> str:
        return f"the admission of workload {self.workload} says of {self.pod_set} what its pods do not: {self.detail}"


# Quota


class QuotaExceeded(Finding, frozen=True, tag="QuotaExceeded"):
    """`holder` is a ClusterQueue, or a Cohort whose subtree lends more than it has. Amounts in thousandths."""

    holder: str
    flavor: str
    resource: str
    used_milli: int
    limit_milli: int

    def __str__(self) -> str:
        used, limit = _decimal(self.used_milli, 3), _decimal(self.limit_milli, 3)
        return f"{self.holder} would use {used} of {self.resource} in flavor {self.flavor}, its limit is {limit}"


class FlavorWrong(Finding, frozen=True, tag="FlavorWrong"):
    workload: str
    pod_set: str
    resource: str
    cause: str

    def __str__(self) -> str:
        return f"{self.pod_set} of workload {self.workload} uses {self.resource}: {self.cause}"


class QueueClosed(Finding, frozen=True, tag="QueueClosed"):
    workload: str
    queue: str
    cause: str

    def __str__(self) -> str:
        return f"workload {self.workload} is admitted through {self.queue}: {self.cause}"


# The plan


class WorkloadForgotten(Finding, frozen=True, tag="WorkloadForgotten"):
    workload: str

    def __str__(self) -> str:
        return f"pending workload {self.workload} is neither placed nor held"


class WorkloadDecidedTwice(Finding, frozen=True, tag="WorkloadDecidedTwice"):
    workload: str
    decisions: tuple[str, ...]

    def __str__(self) -> str:
        return f"workload {self.workload} is decided {len(self.decisions)} times: {', '.join(self.decisions)}"


class WorkloadUnknown(Finding, frozen=True, tag="WorkloadUnknown"):
    workload: str
    decision: str

    def __str__(self) -> str:
        return f"{self.decision} names workload {self.workload}, which is not in the snapshot"


class WorkloadInactive(Finding, frozen=True, tag="WorkloadInactive"):
    workload: str

    def __str__(self) -> str:
        return f"workload {self.workload} is placed though it is not active"


class HoldUnexplained(Finding, frozen=True, tag="HoldUnexplained"):
    workload: str

    def __str__(self) -> str:
        return f"workload {self.workload} is held without a reason"


class EvictionUnfounded(Finding, frozen=True, tag="EvictionUnfounded"):
    workload: str
    preemptor: str
    cause: str

    def __str__(self) -> str:
        return f"workload {self.workload} is evicted for {self.preemptor or 'nobody'}: {self.cause}"


class DeallocationUnfounded(Finding, frozen=True, tag="DeallocationUnfounded"):
    workload: str
    claim: str
    cause: str

    def __str__(self) -> str:
        return f"claim {self.claim} of workload {self.workload} loses its devices: {self.cause}"


class EvictedAndPlaced(Finding, frozen=True, tag="EvictedAndPlaced"):
    workload: str

    def __str__(self) -> str:
        return f"workload {self.workload} is both evicted and placed"


class PlanStale(Finding, frozen=True, tag="PlanStale"):
    """The plan, or one decision, rests on another version than the snapshot's."""

    subject: str
    version: str
    version_wanted: str

    def __str__(self) -> str:
        return f"{self.subject} rests on version {self.version}, the snapshot has {self.version_wanted}"


def _decimal(amount: int, digits: int = 9) -> str:
    """An amount of 10**-digits as people write it: 1500 thousandths are 1.5."""
    whole, part = divmod(abs(amount), 10**digits)
    text = f"{whole}.{part:0{digits}}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text
