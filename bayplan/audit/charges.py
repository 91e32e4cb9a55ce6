"""What a workload is charged against its quota, in thousandths of each resource's unit.

Plain requests are charged as they are; a DRA request charges its DeviceClass' extended resource name (else the class's
own name) one unit per device, and a share the fraction it asks of a device, never more than one. What only the chosen
devices tell (how many `All` are, which alternative of a prioritised list serves) is charged by them; what is open still
is charged the least it can come to, rounded down: the audit accuses only of what is certain. A claim that pods share is
charged once to each workload whose pods do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import cached_property
from typing import TypeVar

from bayplan.audit.aftermath import Aftermath, Placed
from bayplan.model.device import AllocationResult, DeviceRequest, DeviceSubRequest, ExactDeviceRequest
from bayplan.model.workload import PodClaim, PodSet, PodTemplate, Workload

Charges = dict[tuple[str, str], int]
"""Thousandths by (pod set, resource)."""

UNIT = 1000

_Key = TypeVar("_Key", bound=Hashable)

Asked = ExactDeviceRequest | DeviceSubRequest


class Charger:
    def __init__(self, after: Aftermath) -> None:
        self._after = after
        self._classes = after.snapshot.device_classes
        self._templates: dict[int, tuple[dict[str, int], bool]] = {}

    @cached_property
    def _placed(self) -> dict[tuple[str, str], list[Placed]]:
        """By workload and pod set."""
        found: dict[tuple[str, str], list[Placed]] = {}
        for p in self._after.placed:
            found.setdefault((p.name, p.pod_set.name), []).append(p)
        return found

    @cached_property
    def _largest(self) -> dict[str, int]:
        """The largest value, in billionths, of each capacity that can be shared."""
        largest: dict[str, int] = {}
        for spec in (s.spec for s in self._after.snapshot.slices):
            for device in spec.devices:
                for name, capacity in device.capacity.items() if device.allow_multiple_allocations else ():
                    largest[name] = max(largest.get(name, 0), capacity.value.nano)
        return largest

    def charges(self, workload: Workload) -> Charges:
        """The whole workload, all its pods, whether they exist yet or not."""
        total: Charges = {}
        shared: dict[str, None] = {}
        for pod_set in workload.pod_sets:
            for claim in pod_set.template.claims:
                if claim.claim and claim.claim not in shared:
                    shared[claim.claim] = None
                    for resource, amount in self._shared(claim):
                        _add(total, (pod_set.name, resource), amount)
            fixed, depends = self._fixed(pod_set.template)
            for resource, amount in fixed.items():
                _add(total, (pod_set.name, resource), amount * pod_set.count)
            for allocations in self._pods(workload.key, pod_set) if depends else ():
                for resource, amount in self._by_devices(pod_set.template, allocations):
                    _add(total, (pod_set.name, resource), amount)
        return {key: amount for key, amount in total.items() if amount}

    def _pods(self, workload: str, pod_set: PodSet) -> list[dict[str, AllocationResult]]:
        """The allocations of each pod by claim name, of placed and of staying pods, and none of those still missing."""
        placed = self._placed.get((workload, pod_set.name), [])
        found = [{g.asked.name: g.allocation for g in p.given} for p in placed]
        named = {p.placement.pod for p in placed}
        for pod in self._after.of(workload):
            if pod.claims and pod.pod_set == pod_set.name and pod.key not in named:
                kept = ((name, self._after.kept(key)) for name, key in pod.claims)
                found.append({name: has for name, has in kept if has is not None})
        return found[: pod_set.count] + [{}] * (pod_set.count - len(found))

    def _fixed(self, template: PodTemplate) -> tuple[dict[str, int], bool]:
        """What each pod is charged whatever its devices, and whether they have a say beyond that."""
        known = self._templates.get(id(template))
        if known is None:
            charged = {"pods": UNIT} | {r: n if r == "cpu" else UNIT * n for r, n in template.requests}
            own = [c.template for c in template.claims if c.template and not c.claim]
            requests = [r for spec in own for r in spec.devices.requests]
            for request in requests:
                if request.exactly is not None and not _depends(request):
                    _add(charged, self._resource(request.exactly), self._units(request.exactly))
            known = self._templates[id(template)] = charged, any(map(_depends, requests))
        return known

    def _by_devices(self, template: PodTemplate, allocations: dict[str, AllocationResult]) -> Iterator[tuple[str, int]]:
        for claim in template.claims:
            results = allocations[claim.name].devices.results if claim.name in allocations else ()
            own = claim.template if not claim.claim else None
            for request in filter(_depends, own.devices.requests if own else ()):
                served = [r.request for r in results if r.request.partition("/")[0] == request.name]
                yield from self._alternative(request, served)

    def _shared(self, claim: PodClaim) -> Iterator[tuple[str, int]]:
        known = self._after.snapshot.claims.get(claim.claim)
        spec = known.spec if known else claim.template
        allocation = self._after.held(claim.claim)
        for request in spec.devices.requests if spec else ():
            if request.exactly is not None and not _depends(request):
                yield self._resource(request.exactly), self._units(request.exactly)
            else:
                served = [r.request for r in allocation.devices.results] if allocation else []
                mine = [name for name in served if name.partition("/")[0] == request.name]
                yield from self._alternative(request, mine)

    def _alternative(self, request: DeviceRequest, served: list[str]) -> Iterator[tuple[str, int]]:
        """What a request with `All` or alternatives is charged, given the requests its devices are for."""
        if request.exactly is not None:
            yield self._resource(request.exactly), self._units(request.exactly, len(served))
            return
        chosen = [s for s in request.first_available if f"{request.name}/{s.name}" in served]
        open_ = chosen[:1] or request.first_available
        if len({self._resource(s) for s in open_}) == 1:
            yield self._resource(open_[0]), min(self._units(s, len(served)) for s in open_)

    def _units(self, asked: Asked, devices: int = 0) -> int:
        """Thousandths of `count` devices, or of all `devices` that were given."""
        if isinstance(asked, ExactDeviceRequest) and asked.admin_access:
            return 0
        count = asked.count if asked.allocation_mode != "All" else max(1, devices)
        requests = asked.capacity.requests if asked.capacity else {}
        if not requests:
            return UNIT * count
        shares = [UNIT * amount.nano // self._largest[n] for n, amount in requests.items() if self._largest.get(n)]
        return count * min(UNIT, max(shares, default=UNIT))

    def _resource(self, asked: Asked) -> str:
        known = self._classes.get(asked.device_class_name)
        return (known.spec.extended_resource_name if known else "") or asked.device_class_name


def _depends(request: DeviceRequest) -> bool:
    return request.exactly is None or request.exactly.allocation_mode == "All"


def _add(total: dict[_Key, int], key: _Key, amount: int) -> None:
    total[key] = total.get(key, 0) + amount
