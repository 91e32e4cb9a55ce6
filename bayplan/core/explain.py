"""The words for people: what a workload needs, the best there is, who holds the rest and until when.

Reasons are data with numbers; this is the only place that words them. Every sentence has the same order: need, best,
holders. Numbers, names and times; no UIDs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from bayplan.core import census
from bayplan.core.quota import Charges
from bayplan.core.topology import Forest
from bayplan.model.device import DeviceSubRequest, ExactDeviceRequest, ResourceClaimSpec
from bayplan.model.plan import AnyDecision, Apart, ApartRequest, Hold
from bayplan.model.reason import (
    AnyReason,
    AuditFailed,
    Deactivated,
    DeviceBindingFailed,
    DevicesNotFound,
    ExceedsMaxQuota,
    Holder,
    Misconfigured,
    NoMatchingFlavor,
    OnHold,
    PendingEvaluation,
    RoomKept,
    Suspended,
    TopologyPlacementFailed,
    WaitingForDevices,
    WaitingForHigherPriority,
    WaitingForPreemptedWorkloads,
    WaitingForQuota,
)
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, PodTemplate, Workload

HOLDERS_MAX = 3  # holders named per reason: more is a list nobody reads

_PROSPECTS: tuple[type, ...] = (
    WaitingForDevices,
    DeviceBindingFailed,
    WaitingForPreemptedWorkloads,
    TopologyPlacementFailed,
    WaitingForQuota,
    WaitingForHigherPriority,
    RoomKept,
    PendingEvaluation,
    OnHold,
    AuditFailed,
    Suspended,
    Deactivated,
    NoMatchingFlavor,
    DevicesNotFound,
    ExceedsMaxQuota,
    Misconfigured,
)


def prospect(reason: AnyReason) -> tuple[int, int]:
    """Sorts the reason of the flavor that comes closest to letting the workload start first."""
    never = isinstance(reason, TopologyPlacementFailed) and not reason.ever
    return int(never), _PROSPECTS.index(type(reason))


def is_never(reason: AnyReason) -> bool:
    """Whether waiting alone cannot help: something has to be changed."""
    if isinstance(reason, TopologyPlacementFailed):
        return not reason.ever
    return isinstance(reason, ExceedsMaxQuota | NoMatchingFlavor | DevicesNotFound | Misconfigured | Deactivated)


# --- who holds what is missing -----------------------------------------------------------------------------------


def with_holders(
    decisions: Iterable[AnyDecision],
    snapshot: Snapshot,
    forest: Forest,
    pods_on: Mapping[str, Mapping[str, Pod]],
    charges: Mapping[str, Charges],
) -> tuple[AnyDecision, ...]:
    """The decisions, with every hold's quota and topology reasons naming the workloads in the way."""
    finder = _Holders(snapshot, forest, pods_on, charges)
    return tuple(_named(d, finder) if isinstance(d, Hold) else d for d in decisions)


def _named(hold: Hold, finder: _Holders) -> Hold:
    reasons = tuple(finder.complete(r) for r in hold.reasons)
    return hold if reasons == hold.reasons else msgspec.structs.replace(hold, reasons=reasons)


class _Holders:
    def __init__(
        self,
        snapshot: Snapshot,
        forest: Forest,
        pods_on: Mapping[str, Mapping[str, Pod]],
        charges: Mapping[str, Charges],
    ) -> None:
        self._snapshot, self._forest, self._pods_on, self._charges = snapshot, forest, pods_on, charges
        self._in_domain: dict[tuple[str, str], tuple[Holder, ...]] = {}
        self._of_cell: dict[tuple[str, str, str], tuple[Holder, ...]] = {}

    def complete(self, reason: AnyReason) -> AnyReason:
        if isinstance(reason, TopologyPlacementFailed) and reason.ever:
            return msgspec.structs.replace(reason, holders=self._domain(reason.level, reason.domain))
        if isinstance(reason, WaitingForQuota):
            return msgspec.structs.replace(
                reason, holders=self._quota(reason.cluster_queue, reason.flavor, reason.resource)
            )
        return reason

    def _domain(self, level: str, name: str) -> tuple[Holder, ...]:
        key = level, name
        if key not in self._in_domain:
            tree = self._forest.tree(level) if level else self._forest.default
            nodes = next((d.nodes for d in tree.domains(level) if d.name == name), ())
            devices = census.devices_on(self._snapshot, self._pods_on)
            held: dict[str, int] = {}
            for node in nodes:
                for owner, many in devices.get(node, {}).items():
                    held[owner] = held.get(owner, 0) + many
            self._in_domain[key] = self._top(held)
        return self._in_domain[key]

    def _quota(self, queue: str, flavor: str, resource: str) -> tuple[Holder, ...]:
        key = queue, flavor, resource
        if key not in self._of_cell:
            cohort = self._cohort(queue)
            held = {}
            for name, charges in self._charges.items():
                admission = self._snapshot.workloads[name].admission
                if admission and self._cohort(admission.cluster_queue) == cohort:
                    held[name] = charges.get((flavor, resource), 0)
            self._of_cell[key] = self._top({k: v for k, v in held.items() if v})
        return self._of_cell[key]

    def _cohort(self, queue: str) -> str:
        found = self._snapshot.cluster_queues.get(queue)
        return (found.spec.cohort_name if found else "") or queue

    def _top(self, held: Mapping[str, int]) -> tuple[Holder, ...]:
        largest = sorted(held.items(), key=lambda h: (-h[1], h[0]))[:HOLDERS_MAX]
        return tuple(self._holder(name, amount) for name, amount in largest)

    def _holder(self, name: str, amount: int) -> Holder:
        workload = self._snapshot.workloads.get(name)
        if workload is None:
            return Holder(name, amount=amount)
        admission = workload.admission
        until_s = admission.admitted_s + workload.runtime_s if admission and workload.runtime_s else 0
        return Holder(name, workload.queue_name, amount, until_s, workload.priority)


# --- wording -----------------------------------------------------------------------------------------------------


def describe(hold: Hold, snapshot: Snapshot) -> str:
    """One line for an annotation, an event or a condition: the first reason of a hold."""
    workload = snapshot.workloads.get(hold.workload)
    need = asks(workload) if workload else hold.workload
    return f"needs {need}; {says(hold.reasons[0])}" if hold.reasons else f"needs {need}"


def asks(workload: Workload) -> str:
    """What a workload needs: `64 gpu.nvidia.com (8 pods × 8) in one rack`."""
    return " + ".join(
        _pod_set(s.count, s.template, s.topology.required, s.topology.preferred) for s in workload.pod_sets
    )


def _pod_set(count: int, template: PodTemplate, required: str, preferred: str) -> str:
    each = " + ".join(_devices(template)) or _scalars(template)
    text = each if count == 1 else f"{count} pods × {each}"
    if required:
        return f"{text} in one {level_name(required)}"
    return f"{text}, if possible in one {level_name(preferred)}" if preferred else text


def _devices(template: PodTemplate) -> list[str]:
    found = [d for c in template.claims if c.template is not None for d in _claim(c.template)]
    return found + [f"{a} {r}" for r, a in template.requests if "/" in r]


def _claim(spec: ResourceClaimSpec) -> list[str]:
    texts = []
    for request in spec.devices.requests:
        if request.exactly is not None:
            texts.append(_request(request.exactly))
        else:
            texts.append(" or ".join(_request(r) for r in request.first_available))
    return texts


def _request(request: ExactDeviceRequest | DeviceSubRequest) -> str:
    if request.capacity is not None and request.capacity.requests:
        shares = ", ".join(f"{q} {name}" for name, q in sorted(request.capacity.requests.items()))
        text = f"{shares} of one {request.device_class_name}"
        return text if request.count == 1 else f"{request.count} × {text}"
    many = "all" if request.allocation_mode == "All" else str(request.count)
    return f"{many} {request.device_class_name}"


def _scalars(template: PodTemplate) -> str:
    amounts = dict(template.requests)
    parts = []
    if amounts.get("cpu"):
        parts.append(f"{amounts['cpu'] / 1000:g} cpu")
    if amounts.get("memory"):
        parts.append(f"{amounts['memory'] / 2**30:.3g}Gi memory")
    return " + ".join(parts) or "one pod"


def level_name(label: str) -> str:
    """`rack` for `topology.bayplan.dev/rack`, `host` for the hostname label."""
    known = {"kubernetes.io/hostname": "host", "nvidia.com/gpu.clique": "NVLink clique"}
    return known.get(label) or label.rpartition("/")[2]


def says(reason: AnyReason) -> str:
    """A reason in a sentence."""
    match reason:
        case TopologyPlacementFailed():
            return _says_topology(reason)
        case WaitingForQuota():
            return (
                f"queue {reason.cluster_queue} has {_milli(max(0, reason.available_milli), reason.resource)} of "
                f"{_milli(reason.nominal_milli, reason.resource)} {reason.resource} ({reason.flavor}) free, "
                f"{_milli(reason.requested_milli, reason.resource)} asked{_holders(reason.holders, reason.resource)}"
            )
        case ExceedsMaxQuota():
            return (
                f"queue {reason.cluster_queue} can never have {_milli(reason.requested_milli, reason.resource)} "
                f"{reason.resource} ({reason.flavor}): at most {_milli(reason.max_milli, reason.resource)}"
            )
        case WaitingForPreemptedWorkloads():
            leaving = _list(reason.victims) + " to leave" if reason.victims else "devices that are being given back"
            return f"waits for {leaving}"
        case WaitingForHigherPriority():
            if not reason.cluster_queue:
                return f"{reason.head} has waited too long: where there is room, it is kept for that one"
            return f"{reason.head} is before it, and nobody may pass it in queue {reason.cluster_queue}"
        case RoomKept():
            where = f"of {reason.domain} " if reason.domain else ""
            return f"has waited too long: {reason.nodes} nodes {where}are kept for it until those that run there end"
        case NoMatchingFlavor():
            offered = ", ".join(reason.flavors) or "none"
            return f"no flavor of queue {reason.cluster_queue} ({offered}) suits pod set {reason.pod_set}"
        case Misconfigured():
            return f"{reason.field}: {reason.detail}"
        case DevicesNotFound():
            return f"claim {reason.claim or 'of the pod'}, request {reason.request}: {reason.detail}"
        case WaitingForDevices():
            missing = ", ".join(reason.conditions)
            return f"has its devices; {reason.device} of claim {reason.claim} is not {missing} yet"
        case DeviceBindingFailed():
            cause = f"is {reason.condition}" if reason.condition else "took too long to be made ready"
            return f"device {reason.device} of claim {reason.claim} {cause}; others are sought"
        case OnHold():
            return f"evicted because it could not be completed; considered again at {_clock(reason.until_s)}"
        case AuditFailed():
            return f"its placement was not carried out, the audit objects: {reason.finding}"
        case Suspended():
            return f"{reason.queue} is stopped"
        case Deactivated():
            return "it is not active (spec.active: false)"
        case PendingEvaluation():
            return "not looked at yet"


def says_apart(apart: Apart) -> str:
    """Where devices that are less close than they might be are, and what is missing at the place that came closest."""
    level = {"pcieRoot": "PCIe root", "numaNode": "NUMA node"}[apart.level]
    given = " and ".join(f"{r.request} on {', '.join(r.places)}" for r in apart.requests)
    missing = ", ".join(_missing(r) for r in apart.requests if r.free < r.wanted)
    closest = f": {level} {apart.closest} comes closest, with {missing}" if missing else ""
    return f"its devices share no {level} ({given}){closest}"


def _missing(asked: ApartRequest) -> str:
    if not asked.there:
        return f"no {asked.request} ({asked.wanted} wanted)"
    return f"{asked.free} of {asked.there} {asked.request} free ({asked.wanted} wanted)"


def _says_topology(reason: TopologyPlacementFailed) -> str:
    where = f"one {level_name(reason.level)}" if reason.level else "the fleet"
    never = "" if reason.ever else "never fits: "
    if not reason.level and reason.pods_needed == 1:
        best = f"no node of {reason.nodes_examined} has room ({_lacking(reason)})"
    else:
        at = f"{level_name(reason.level)} {reason.domain}" if reason.level else where
        best = f"{at} holds {reason.pods_best} of {reason.pods_needed} pods"
        best = f"the best of {reason.domains_examined}, {best}" if reason.level else best
        if reason.lacking:
            best += f" ({_lacking(reason)})"
    return never + best + _holders(reason.holders, "devices")


def _lacking(reason: TopologyPlacementFailed) -> str:
    words = {"devices": "lack free devices", "taint": "are tainted", "nodeSelector": "do not match its nodeSelector"}
    words |= {
        "devicePlugin": "offer it by device plugin only",
        "tenants": "have room only beside another tenant's work",
        "isolation": "have room only where less isolates it than asked",
    }
    words |= {"affinity": "do not match its affinity", "notReady": "are not ready", "reserved": "are promised"}
    return ", ".join(f"{n} {words.get(cause, 'lack ' + cause)}" for cause, n in reason.lacking[:3])


def _holders(holders: tuple[Holder, ...], resource: str) -> str:
    if not holders:
        return ""
    return "; held by " + _list(
        tuple(f"{h.workload} ({_milli(h.amount, resource) if resource != 'devices' else h.amount})" for h in holders)
    )


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names[:HOLDERS_MAX]) + (
        f" and {len(names) - HOLDERS_MAX} more" if len(names) > HOLDERS_MAX else ""
    )


def _clock(at_s: int) -> str:
    """The time of day in UTC."""
    return f"{at_s // 3600 % 24:02}:{at_s // 60 % 60:02}:{at_s % 60:02} UTC"


def _milli(amount: int, resource: str) -> str:
    if resource == "memory":
        return f"{amount / 1000 / 2**30:.4g}Gi"
    return f"{amount / 1000:g}"
