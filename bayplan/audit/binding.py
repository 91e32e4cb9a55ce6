"""No pod is bound before its devices are ready: every binding condition true, no failure condition true (KEP-5007).

Devices that the plan itself allocates have not been seen by their driver yet: where they have binding conditions, the
placement may only prepare.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.audit.aftermath import Aftermath, Placed, claim_label
from bayplan.audit.findings import DeviceNotReady
from bayplan.model.device import AllocationResult
from bayplan.model.snapshot import Snapshot


def audit_binding(after: Aftermath) -> Iterator[DeviceNotReady]:
    preparing = {p.workload for p in after.plan.placed() if p.prepares}
    given = {g.claim: g.allocation for g in after.given}
    for placed in after.placed:
        if placed.workload.key not in preparing:
            for claim in _claims(placed):
                if claim in given:
                    yield from _not_ready(placed.label, claim, given[claim], frozenset())
                elif claim in after.kept:
                    yield from _not_ready(placed.label, claim, after.kept[claim], _true(after.snapshot, claim))


def _claims(placed: Placed) -> Iterator[str]:
    """The claims the pod has or is given, each once."""
    named = [claim_label(placed, c) for c in placed.placement.claims]
    named += [key for _, key in placed.pod.claims] if placed.pod else []
    yield from dict.fromkeys(named)


def _true(snapshot: Snapshot, claim: str) -> frozenset[tuple[str, ...]]:
    """(driver, pool, device, share, condition) of everything that is true of the claim's devices."""
    return frozenset(
        (d.driver, d.pool, d.device, d.share_id, c.type)
        for d in snapshot.claims[claim].status.devices
        for c in d.conditions
        if c.status == "True"
    )


def _not_ready(
    pod: str, claim: str, allocation: AllocationResult, true: frozenset[tuple[str, ...]]
) -> Iterator[DeviceNotReady]:
    for result in allocation.devices.results:
        identity = result.driver, result.pool, result.device, result.share_id
        label = "/".join(identity[:3])
        for condition in result.binding_conditions:
            if (*identity, condition) not in true:
                yield DeviceNotReady(pod, claim, label, f"not {condition}")
        for condition in result.binding_failure_conditions if result.binding_conditions else ():
            if (*identity, condition) in true:
                yield DeviceNotReady(pod, claim, label, condition)
