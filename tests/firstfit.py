"""The plainest of schedulers: the first free devices of the nodes one names. For worlds in progress and plans to audit.

It knows the claims `tests.make.claim` writes (one `exactly` request of NVIDIA's classes) and nothing of quota or order.
"""

from __future__ import annotations

from collections import Counter as Tally

from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    Device,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
)
from bayplan.model.node import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from bayplan.model.plan import ClaimAllocation, Place, PodPlacement
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, PodSet, PodSetAssignment, Workload
from tests.devices import DRIVER, GPU, MIG

Cells = dict[tuple[str, ...], int]
"""What devices use up, by place: a device itself, the memory shared of it, or a counter of its pool."""


class NoRoom(Exception):
    """The node has not enough free devices."""


class Shelf:
    """The devices of a snapshot and what is taken of them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.devices: dict[str, list[Device]] = {}
        self.limit: Cells = {}
        self.used: Tally[tuple[str, ...]] = Tally()
        for spec in (s.spec for s in snapshot.slices):
            self.devices.setdefault(spec.node_name, []).extend(spec.devices)
            for counters in spec.shared_counters:
                for name, counter in counters.counters.items():
                    self.limit[spec.pool.name, counters.name, name] = counter.value.nano
        by_name = {(node, d.name): d for node, devices in self.devices.items() for d in devices}
        for allocation in (c.status.allocation for c in snapshot.claims.values()):
            for result in allocation.devices.results if allocation else ():
                device = by_name[result.pool, result.device]
                self.used.update(self._cells(result.pool, device, result.consumed_capacity))

    def take(self, node: str, spec: ResourceClaimSpec) -> AllocationResult:
        """Allocates the claim on the node; raises NoRoom, with nothing taken back."""
        request = spec.devices.requests[0]
        asked = request.exactly
        assert asked is not None, "Shelf knows only `exactly`"
        results: list[DeviceRequestAllocationResult] = []
        for device in self.devices.get(node, ()):
            share = _share(device, asked)
            cells = self._cells(node, device, share)
            if len(results) < asked.count and _suits(device, asked) and self._free(cells):
                self.used.update(cells)
                results.append(
                    DeviceRequestAllocationResult(
                        request=request.name, driver=DRIVER, pool=node, device=device.name, consumed_capacity=share
                    )
                )
        if len(results) < asked.count:
            raise NoRoom(f"{node} has {len(results)} of {asked.count} free {asked.device_class_name}")
        name = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,))
        return AllocationResult(
            devices=DeviceAllocationResult(results=tuple(results)),
            node_selector=NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(name,)),)),
        )

    def _free(self, cells: Cells) -> bool:
        return all(self.used[cell] + amount <= self.limit[cell] for cell, amount in cells.items())

    def _cells(self, node: str, device: Device, share: dict[str, Quantity]) -> Cells:
        if device.allow_multiple_allocations:
            for name, capacity in device.capacity.items():
                self.limit[node, device.name, name] = capacity.value.nano
            return {(node, device.name, name): amount.nano for name, amount in share.items()}
        self.limit[node, device.name] = 1
        return {(node, device.name): 1} | {
            (node, consumed.counter_set, name): counter.value.nano
            for consumed in device.consumes_counters
            for name, counter in consumed.counters.items()
        }


def _suits(device: Device, asked: ExactDeviceRequest) -> bool:
    attributes = {name: a.string for name, a in device.attributes.items()}
    if attributes["type"] != ("mig" if asked.device_class_name == MIG else "gpu"):
        return False
    return all(s.cel and f"'{attributes.get('profile')}'" in s.cel.expression for s in asked.selectors)


def _share(device: Device, asked: ExactDeviceRequest) -> dict[str, Quantity]:
    if not device.allow_multiple_allocations:
        return {}
    wanted = asked.capacity.requests if asked.capacity else {}
    return {name: wanted.get(name, capacity.value) for name, capacity in device.capacity.items()}


def with_pods(snapshot: Snapshot, key: str) -> Snapshot:
    """The workload's pods and claims as its controllers make them: neither bound nor allocated."""
    made = snapshot.workloads[key]
    pods: dict[str, Pod] = {}
    claims: dict[str, ResourceClaim] = {}
    for pod_set in made.pod_sets:
        for i in range(pod_set.count):
            pod = _pod(made, pod_set, i)
            pods[pod.key] = pod
            for (_, claim), asked in zip(pod.claims, pod_set.template.claims, strict=True):
                metadata = Metadata(name=claim.partition("/")[2], namespace="default")
                claims[claim] = ResourceClaim(metadata=metadata, spec=asked.template or ResourceClaimSpec())
    return snapshot.replace(pods=snapshot.pods | pods, claims=snapshot.claims | claims)


def _pod(workload: Workload, pod_set: PodSet, index: int) -> Pod:
    name = f"{workload.name}-{pod_set.name}-{index}"
    return Pod(
        namespace=workload.namespace,
        name=name,
        uid=f"uid-{name}",
        workload=workload.key,
        pod_set=pod_set.name,
        index=index,
        requests=pod_set.template.requests,
        claims=tuple((c.name, f"{workload.namespace}/{name}-{c.name}") for c in pod_set.template.claims),
        priority=workload.priority,
    )


def place(snapshot: Snapshot, key: str, *nodes: str, shelf: Shelf | None = None) -> Place:
    """The workload on these nodes, filled rank by rank with the first free devices (of `shelf`, if given)."""
    workload, shelf = snapshot.workloads[key], shelf or Shelf(snapshot)
    pods = {(p.pod_set, p.index): p for p in snapshot.pods.values() if p.workload == key}
    queue = snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
    ranks = [(s, i) for s in workload.pod_sets for i in range(s.count)]
    hosts = [nodes[rank * len(nodes) // len(ranks)] for rank in range(len(ranks))]
    return Place(
        workload=key,
        pods=tuple(
            _placement(shelf, s, i, node, pods.get((s.name, i))) for (s, i), node in zip(ranks, hosts, strict=True)
        ),
        cluster_queue=queue.spec.cluster_queue if queue else "",
        pod_sets=tuple(
            PodSetAssignment(
                name=s.name,
                flavors=tuple((r, "default") for r in _charged(s) if r != "pods") if queue else (),
                nodes=tuple(Tally(n for (t, _), n in zip(ranks, hosts, strict=True) if t is s).items()),
            )
            for s in workload.pod_sets
        ),
        resource_version=workload.resource_version,
    )


def _placement(shelf: Shelf, pod_set: PodSet, index: int, node: str, pod: Pod | None) -> PodPlacement:
    made = dict(pod.claims) if pod else {}
    given = tuple(
        ClaimAllocation(c.name, made.get(c.name, ""), shelf.take(node, c.template or ResourceClaimSpec()))
        for c in pod_set.template.claims
    )
    return PodPlacement(pod_set=pod_set.name, index=index, node=node, pod=pod.key if pod else "", claims=given)


def _charged(pod_set: PodSet) -> tuple[str, ...]:
    """Quota resources the pod set is charged for: plain requests, and its device classes by their resource name."""
    requests = (r.exactly for c in pod_set.template.claims if c.template for r in c.template.devices.requests)
    classes = {MIG if r.device_class_name == MIG else GPU for r in requests if r}
    return (*(name for name, _ in pod_set.template.requests), *sorted(classes))
