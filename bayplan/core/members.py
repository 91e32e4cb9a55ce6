"""A found placement, written down pod by pod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bayplan.core.book import Book, claims_asked
from bayplan.core.fleet import Put
from bayplan.core.needs import Wanted
from bayplan.model.plan import ClaimAllocation, PodPlacement
from bayplan.model.workload import EXTENDED_CLAIM, Pod, PodClaim, PodSet, PodSetAssignment, Workload


def placements(
    workload: Workload, pods: Sequence[Pod], wanted: Wanted, puts: Iterable[tuple[Put, ...]], book: Book
) -> tuple[PodPlacement, ...]:
    """Where each missing pod of the workload is put, of which `pods` exist; the others get ranks of their own."""
    fresh = {s.name: _free_ranks(pods, s) for s in workload.pod_sets}
    found: list[PodPlacement] = []
    for need, members, group in zip(*wanted, puts, strict=True):
        asked = claims_asked(book.template(need.shape))
        for pod, put in zip(members, group, strict=True):
            index = pod.index if pod is not None and pod.index >= 0 else next(fresh[need.pod_set])
            key = pod.key if pod is not None else ""
            apart = put.apart([c.name for c in asked])
            found.append(PodPlacement(need.pod_set, index, put.node, key, _given(asked, put, pod), apart))
    return tuple(found)


def assignment(
    pod_set: PodSet, placed: Iterable[PodPlacement], flavors: Mapping[str, Mapping[str, str]]
) -> PodSetAssignment:
    """What admission says of a pod set: its flavors, and how many pods each node gets."""
    nodes: dict[str, int] = {}
    for placement in placed:
        if placement.pod_set == pod_set.name:
            nodes[placement.node] = nodes.get(placement.node, 0) + 1
    chosen = tuple(sorted(flavors.get(pod_set.name, {}).items()))
    return PodSetAssignment(pod_set.name, chosen, tuple(nodes.items()))


def _free_ranks(pods: Sequence[Pod], pod_set: PodSet) -> Iterator[int]:
    """Ranks that no pod of the set has."""
    taken = {p.index for p in pods if p.pod_set == pod_set.name}
    return (i for i in range(pod_set.count + len(taken)) if i not in taken)


def _given(asked: tuple[PodClaim, ...], put: Put, pod: Pod | None) -> tuple[ClaimAllocation, ...]:
    known = dict(pod.claims) if pod is not None else {}
    return tuple(
        ClaimAllocation(
            c.name, known.get(c.name, c.claim), allocation, c.template if c.name == EXTENDED_CLAIM else None
        )
        for c, allocation in zip(asked, put.allocations, strict=True)
    )
