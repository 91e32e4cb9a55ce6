"""How much memory of each GPU a claim says it needs, where that may be less than what it gets.

Said in one of three ways, the plainest first: the annotation `bayplan.dev/gpu-memory` on the claim (from its template's
`spec.metadata`), the request's own `capacity`, or a lower bound in a CEL selector.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bayplan.model.device import DeviceSubRequest, ExactDeviceRequest, ResourceClaim, ResourceClaimSpec
from bayplan.model.quantity import Quantity, QuantityError
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod
from bayplan.wire.names import GPU_MEMORY

_AT_LEAST = re.compile(
    r"""\.memory\s*\.(?:compareTo\(\s*quantity\((['"])(?P<a>[^'"]+)\1\)\s*\)\s*>=?\s*0"""
    r"""|isGreaterThan\(\s*quantity\((['"])(?P<b>[^'"]+)\3\)\s*\))"""
)


def specs(snapshot: Snapshot) -> dict[str, ResourceClaimSpec]:
    """What every claim asks; a claim that was planned and does not exist yet asks what its pod's template does."""
    found = {key: claim.spec for key, claim in snapshot.claims.items() if claim.spec.devices.requests}
    for pod in snapshot.pods.values():
        for name, key in pod.claims:
            if key not in found and (spec := _template(snapshot, pod, name)) is not None:
                found[key] = spec
    return found


def memory(claim: ResourceClaim, spec: ResourceClaimSpec | None, request: str) -> Quantity | None:
    """Memory that each device of `request` (`main`, or `main/sub`) is needed for; None where nobody says."""
    declared = _quantity(claim.metadata.annotations.get(GPU_MEMORY, ""))
    if declared is not None:
        return declared
    asked = _request(spec, request) if spec is not None else None
    if asked is None:
        return None
    wanted = asked.capacity.requests if asked.capacity is not None else {}
    named = (amount for name, amount in sorted(wanted.items()) if name.rpartition("/")[2] == "memory")
    return next(named, None) or max(_bounds(asked), default=None)


def _template(snapshot: Snapshot, pod: Pod, name: str) -> ResourceClaimSpec | None:
    workload = snapshot.workloads.get(pod.workload)
    sets = workload.pod_sets if workload else ()
    asked = (c.template for s in sets if s.name == pod.pod_set for c in s.template.claims if c.name == name)
    return next(asked, None)


def _request(spec: ResourceClaimSpec, name: str) -> ExactDeviceRequest | DeviceSubRequest | None:
    main, _, sub = name.partition("/")
    for request in spec.devices.requests:
        if request.name == main:
            return next((s for s in request.first_available if s.name == sub), request.exactly)
    return None


def _bounds(asked: ExactDeviceRequest | DeviceSubRequest) -> Iterator[Quantity]:
    """The least memory that selectors demand; an expression with alternatives demands nothing for sure."""
    for selector in asked.selectors:
        text = selector.cel.expression if selector.cel else ""
        if "||" in text or "?" in text:
            continue
        for match in _AT_LEAST.finditer(text):
            bound = _quantity(match["a"] or match["b"])
            if bound is not None:
                yield bound


def _quantity(text: str) -> Quantity | None:
    try:
        found = Quantity.parse(text)
    except QuantityError:
        return None
    return found if found.nano > 0 else None
