"""Why a workload waits: a closed set of types with numbers, Kueue's own reason words where they exist (KEP-10852).

A Reason is data. It is worded for people in one place, `bayplan.core.explain`.
"""

from __future__ import annotations

from bayplan.model.base import Value


class Holder(Value, frozen=True):
    """Who has what is missing: `amount` of `resource`, freed about `until_s` (0 = not known)."""

    workload: str
    queue: str = ""
    amount: int = 0
    until_s: int = 0
    priority: int = 0


class Reason(Value, frozen=True, tag_field="reason"):
    """Base of all reasons; the tag is the word written into conditions."""


class Deactivated(Reason, frozen=True, tag="Deactivated"):
    """`spec.active` is false."""


class Misconfigured(Reason, frozen=True, tag="Misconfigured"):
    """An object the workload names is missing or invalid: `field` is its path, `detail` what is wrong."""

    field: str
    detail: str


class NoMatchingFlavor(Reason, frozen=True, tag="NoMatchingFlavor"):
    """No flavor of the ClusterQueue agrees with the pod set's node selector, affinity and tolerations."""

    cluster_queue: str
    pod_set: str
    resource: str
    flavors: tuple[str, ...] = ()


class Suspended(Reason, frozen=True, tag="Suspended"):
    """A queue has a stopPolicy."""

    queue: str


class ExceedsMaxQuota(Reason, frozen=True, tag="ExceedsMaxQuota"):
    """The request is above all the quota the ClusterQueue could ever have: never, not now. Amounts in thousandths."""

    cluster_queue: str
    flavor: str
    resource: str
    requested_milli: int
    max_milli: int


class WaitingForQuota(Reason, frozen=True, tag="WaitingForQuota"):
    """Quota is in use now. Amounts in thousandths."""

    cluster_queue: str
    flavor: str
    resource: str
    requested_milli: int
    available_milli: int
    nominal_milli: int
    holders: tuple[Holder, ...] = ()


class TopologyPlacementFailed(Reason, frozen=True, tag="TopologyPlacementFailed"):
    """No domain holds the gang now.

    `pods_needed` of `pod_set` were wanted in one `level` (empty = anywhere); the best domain, `domain`, holds
    `pods_best`. `ever` says whether one would hold them with nothing running; if none would, `pods_best` is what the
    best one would hold then. `lacking` counts the nodes turned down,
    by cause (nodeSelector, taint, cpu, devices, …); `tenants` would have room but for another tenant's work on the same
    device, `isolation` on devices that isolate less than asked.
    """

    pod_set: str
    pods_needed: int
    pods_best: int
    level: str = ""
    domain: str = ""
    domains_examined: int = 0
    nodes_examined: int = 0
    ever: bool = True
    lacking: tuple[tuple[str, int], ...] = ()
    holders: tuple[Holder, ...] = ()


class DevicesNotFound(Reason, frozen=True, tag="DevicesNotFound"):
    """A claim can never be satisfied on this fleet: its class or selectors match nothing, or an expression fails."""

    claim: str
    request: str
    detail: str


class WaitingForPreemptedWorkloads(Reason, frozen=True, tag="WaitingForPreemptedWorkloads"):
    """Its victims are leaving."""

    victims: tuple[str, ...]
    domain: str = ""


class WaitingForHigherPriority(Reason, frozen=True, tag="WaitingForHigherPriority"):
    """Nobody may pass `head`: the head of its StrictFIFO queue, or one that has waited for too long.

    `cluster_queue` is empty where room is kept for the head, on nodes that would do.
    """

    head: str
    cluster_queue: str


class RoomKept(Reason, frozen=True, tag="RoomKept"):
    """It has waited for longer than it should: nobody later in the order starts on these `nodes` of `domain` now."""

    nodes: int
    domain: str = ""


class WaitingForDevices(Reason, frozen=True, tag="WaitingForDevices"):
    """Its devices are allocated; `device` of `claim` still lacks binding conditions, until `until_s` (0 = for ever)."""

    claim: str
    device: str
    conditions: tuple[str, ...]
    until_s: int = 0


class DeviceBindingFailed(Reason, frozen=True, tag="DeviceBindingFailed"):
    """An allocated device cannot be used: `condition` says so, or ("") its binding conditions took too long."""

    claim: str
    device: str
    condition: str = ""


class OnHold(Reason, frozen=True, tag="OnHold"):
    """It was evicted because it could not be completed, and is considered again at `until_s`."""

    until_s: int


class AuditFailed(Reason, frozen=True, tag="AuditFailed"):
    """What was decided was not carried out, because the audit found something wrong with it."""

    finding: str


class PendingEvaluation(Reason, frozen=True, tag="PendingEvaluation"):
    """Not looked at yet."""


AnyReason = (
    Deactivated
    | Misconfigured
    | NoMatchingFlavor
    | Suspended
    | ExceedsMaxQuota
    | WaitingForQuota
    | TopologyPlacementFailed
    | DevicesNotFound
    | WaitingForPreemptedWorkloads
    | WaitingForHigherPriority
    | RoomKept
    | WaitingForDevices
    | DeviceBindingFailed
    | OnHold
    | AuditFailed
    | PendingEvaluation
)
