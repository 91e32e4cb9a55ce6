"""What of a workload is still to be placed: groups of pods that ask the same.

Pods of a set mostly ask the same and are one `Need`. They part where claims do: a pod whose claims are allocated
already (somebody stopped between two writes) only has to reach those devices, and of the pods that share one claim the
first has it allocated and the others follow to where its devices are reachable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bayplan.core.allocate import Terms
from bayplan.core.book import Book
from bayplan.core.place import Need
from bayplan.core.quota import on_flavors
from bayplan.core.topology import Forest
from bayplan.model.device import AllocationResult
from bayplan.model.isolation import strongest
from bayplan.model.node import NodeSelector
from bayplan.model.queue import ResourceFlavor
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, PodClaim, PodSet, PodTemplate, Workload

Members = tuple[Pod | None, ...]
"""The pods of a need; None for one that does not exist yet."""

Held = Callable[[str], AllocationResult | None]
"""The allocation of a claim by its key."""


class Wanted(NamedTuple):
    """The needs of a workload, and the pods of each in the order in which they are put."""

    needs: tuple[Need, ...]
    members: tuple[Members, ...]


class _Group(NamedTuple):
    template: PodTemplate
    near: tuple[NodeSelector, ...]
    members: list[Pod | None]


def terms_of(workload: Workload, snapshot: Snapshot) -> Terms:
    """On what terms a workload's pods take devices: its namespace is the tenant, its queues may demand isolation."""
    local = snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
    name = local.spec.cluster_queue if local else ""
    if workload.admission is not None:
        name = workload.admission.cluster_queue
    queue = snapshot.cluster_queues.get(name)
    if local is None and queue is None:
        return Terms(workload.namespace)
    return Terms(workload.namespace, strongest(q.isolation for q in (local, queue) if q is not None))


def wanted(
    workload: Workload,
    pods: Sequence[Pod],
    assigned: Mapping[str, Mapping[str, str]],
    flavors: Mapping[str, ResourceFlavor],
    book: Book,
    forest: Forest,
    held: Held,
    terms: Terms,
) -> Wanted:
    """What is missing of `workload`, of which `pods` exist, under the flavors `assigned[pod set][resource]`."""
    needs: list[Need] = []
    members: list[Members] = []
    heads: dict[str, int] = {}
    for pod_set in workload.pod_sets:
        template = on_flavors(pod_set.template, assigned.get(pod_set.name, {}).values(), flavors)
        mine = [p for p in pods if p.pod_set == pod_set.name]
        used = [p.node for p in mine if p.node]
        level = pod_set.topology.required
        pinned, home = _pinned(workload, pod_set, used), forest.home(level, used) if level else ()
        for group in _groups(template, pod_set.count, mine, held):
            for part, follows in _by_sharing(group, heads, len(needs)):
                count = len(part.members)
                chosen = tuple(pinned[:count]) if len(pinned) >= count else ()
                del pinned[:count]
                shape = book.shape(part.template, terms)
                needs.append(Need(pod_set.name, shape, count, pod_set.topology, chosen, (*home, *part.near), follows))
                members.append(tuple(part.members))
    return Wanted(tuple(needs), tuple(members))


def _groups(template: PodTemplate, count: int, pods: Sequence[Pod], held: Held) -> list[_Group]:
    """The missing pods of a set, by what their claims still ask for."""
    missing = max(0, count - sum(1 for p in pods if p.node))
    unbound = [p for p in pods if not p.node][:missing]
    users = Counter(key for p in pods for _, key in p.claims) if pods else {}
    groups: dict[tuple[tuple[NodeSelector, ...], tuple[tuple[str, str], ...]], _Group] = {}
    for pod in (*unbound, None) if missing > len(unbound) else unbound:
        keys = {name: key for name, key in pod.claims if users[key] > 1} if pod else {}
        claims = tuple(_shared(c, keys) for c in template.claims) if keys else template.claims
        open_claims, near = _outstanding(claims, dict(pod.claims) if pod else {}, held)
        part = template if open_claims == template.claims else _with_claims(template, open_claims)
        key = near, tuple((c.name, c.claim) for c in open_claims)
        alike = [pod] if pod else [None] * (missing - len(unbound))
        groups.setdefault(key, _Group(part, near, [])).members.extend(alike)
    return list(groups.values())


def _shared(claim: PodClaim, keys: Mapping[str, str]) -> PodClaim:
    """The claim, known to be shared where several pods have the one of that key."""
    key = keys.get(claim.name, "")
    return msgspec.structs.replace(claim, claim=key) if key and not claim.claim else claim


def _outstanding(
    claims: tuple[PodClaim, ...], keys: Mapping[str, str], held: Held
) -> tuple[tuple[PodClaim, ...], tuple[NodeSelector, ...]]:
    """The claims without devices, and where the devices of the others can be reached from."""
    open_claims, near = [], []
    for claim in claims:
        allocation = held(keys.get(claim.name) or claim.claim)
        if allocation is None:
            open_claims.append(claim)
        elif allocation.node_selector is not None:
            near.append(allocation.node_selector)
    return tuple(open_claims), tuple(near)


def _by_sharing(group: _Group, heads: dict[str, int], at: int) -> list[tuple[_Group, tuple[int, ...]]]:
    """The group, parted where several pods share a claim that nobody has allocated yet.

    `heads` maps such claims to the number of the need that allocates them; `at` is the number of the next need.
    """
    shared = [c for c in group.template.claims if c.claim and c.template is not None]
    if not shared:
        return [(group, ())]
    follows = tuple(sorted({heads[c.claim] for c in shared if c.claim in heads}))
    left = tuple(c for c in group.template.claims if c not in shared or c.claim not in heads)
    template = group.template if len(left) == len(group.template.claims) else _with_claims(group.template, left)
    fresh = [c for c in shared if c.claim not in heads]
    if not fresh:
        return [(_Group(template, group.near, group.members), follows)]
    heads.update({c.claim: at for c in fresh})
    first = _Group(template, group.near, group.members[:1]), follows
    if len(group.members) == 1:
        return [first]
    rest = _with_claims(template, tuple(c for c in left if c not in fresh))
    return [first, (_Group(rest, group.near, group.members[1:]), (*follows, at))]


def _with_claims(template: PodTemplate, claims: tuple[PodClaim, ...]) -> PodTemplate:
    return msgspec.structs.replace(template, claims=claims)


def _pinned(workload: Workload, pod_set: PodSet, used: list[str]) -> list[str]:
    """The nodes of the admission that no bound pod of the set stands on yet, one per missing pod."""
    admission = workload.admission
    if admission is None:
        return []
    chosen = next((s.nodes for s in admission.pod_sets if s.name == pod_set.name), ())
    left: list[str] = []
    for node, count in chosen:
        left += [node] * max(0, count - used.count(node))
    return left
