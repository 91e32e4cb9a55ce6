"""No pod is bound before its devices are ready: every binding condition true, no failure condition true (KEP-5007).

Devices that the plan itself allocates have not been seen by their driver yet: where they have binding conditions, the
placement may only prepare.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.audit.aftermath import Aftermath, Placed
from bayplan.audit.findings import DeviceNotReady
from bayplan.model.device import AllocationResult
from bayplan.model.snapshot import Snapshot


def audit_binding(after: Aftermath) -> Iterator[DeviceNotReady]:
    preparing = {p.workload for p in after.plan.placed() if p.prepares}
    for placed in after.placed:
        if placed.name not in preparing:
            for claim in _claims(placed):
                kept, given = after.kept(claim), after.given.get(claim)
                if kept is not None:
                    yield from _not_ready(placed.label, claim, kept, _true(after.snapshot, claim))
                elif given is not None:
                    yield from _not_ready(placed.label, claim, given.allocation, frozenset())


def _claims(placed: Placed) -> list[str]:
    """The claims the pod has or is given, each once."""
    given = [g.claim for g in placed.given]
    return given + [key for _, key in placed.pod.claims if key not in given] if placed.pod else given


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
