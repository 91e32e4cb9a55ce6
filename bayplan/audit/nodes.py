"""No node over its allocatable, no pod on a node it may not use (core/v1 scheduling rules, plainly).

Checked only where the plan puts a pod. A placed pod that exists is charged what it requests itself, one that does not
exist yet what its template requests, and both what their devices take; every pod also takes one of `pods` where the
node bounds them.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.audit import extended
from bayplan.audit.aftermath import Aftermath, Placed, tolerations
from bayplan.audit.allocatable import Allocatable
from bayplan.audit.findings import Finding, NodeOverfull, NodeRefusesPod
from bayplan.audit.pools import Pools
from bayplan.model.node import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import EXTENDED_CLAIM, Amounts, Pod


def audit_nodes(after: Aftermath, pools: Pools) -> Iterator[Finding]:
    yield from _overfull(after, Allocatable(after, pools))
    refusals: dict[tuple[int, int, str], str] = {}
    for placed in after.placed:
        # Pods of one pod set are one question per node.
        key = (id(placed.pod_set), id(placed.assignment), placed.placement.node)
        if key not in refusals:
            refusals[key] = _refusal(after.snapshot, placed)
        if refusals[key]:
            yield NodeRefusesPod(placed.label, placed.placement.node, refusals[key])


def _overfull(after: Aftermath, devices: Allocatable) -> Iterator[Finding]:
    used: dict[str, dict[str, int]] = {}
    for placed in after.placed:
        node = placed.placement.node
        if node in after.snapshot.nodes:
            if node not in used:
                used[node] = _staying(after, devices, node)
            if not (placed.pod and placed.pod.node):
                requests = placed.pod.requests if placed.pod else placed.pod_set.template.requests
                served = _is_special(placed.pod) or EXTENDED_CLAIM in [g.asked.name for g in placed.given]
                _charge(used[node], _scalar(after.snapshot, node, requests) if served else requests)
                _add(used[node], devices.placed(placed))
    for name, amounts in used.items():
        allocatable = after.snapshot.nodes[name].allocatable
        for resource, amount in amounts.items():
            limit = allocatable.get(resource, amount if resource == "pods" else 0)
            if amount > limit:
                yield NodeOverfull(name, resource, amount, limit)


def _staying(after: Aftermath, devices: Allocatable, node: str) -> dict[str, int]:
    """What the pods that stay take of a node."""
    used: dict[str, int] = {}
    for pod in after.on(node):
        _charge(used, _scalar(after.snapshot, node, pod.requests) if _is_special(pod) else pod.requests)
        _add(used, devices.staying(pod))
    return used


def _is_special(pod: Pod | None) -> bool:
    """Whether a claim that nobody wrote serves some of what it requests."""
    return pod is not None and any(name == EXTENDED_CLAIM for name, _ in pod.claims)


def _scalar(snapshot: Snapshot, node: str, requests: Amounts) -> Amounts:
    """What a pod takes of the node itself where a claim serves the rest of what it requests."""
    return tuple((r, n) for r, n in requests if extended.offers(snapshot, node, r) or not extended.backing(snapshot, r))


def _charge(used: dict[str, int], requests: Amounts) -> None:
    """Whoever asks for no `pods` takes one of them."""
    pods = 1
    for resource, amount in requests:
        if resource == "pods":
            pods = 0
        used[resource] = used.get(resource, 0) + amount
    used["pods"] = used.get("pods", 0) + pods


def _add(used: dict[str, int], amounts: Amounts) -> None:
    for resource, amount in amounts:
        used[resource] = used.get(resource, 0) + amount


def _refusal(snapshot: Snapshot, placed: Placed) -> str:
    """Why the node may not run the pod; "" when it may."""
    node = snapshot.nodes.get(placed.placement.node)
    if node is None:
        return "it does not exist"
    if not node.ready:
        return "it is not ready"
    template = placed.pod_set.template
    for key, value in (*template.node_selector, *_flavor_labels(snapshot, placed)):
        if node.labels.get(key) != value:
            return f"its label {key} is not {value}"
    if template.node_affinity is not None and not template.node_affinity.matches(node.name, node.labels):
        return "the required node affinity does not match"
    return "" if node.admits(tolerations(snapshot, placed)) else _barrier(node)


def _barrier(node: Node) -> str:
    taints = ", ".join(f"{t.key}={t.value}:{t.effect}" for t in node.taints if t.effect != "PreferNoSchedule")
    return f"taints {taints} are not tolerated" if taints else "it is cordoned"


def _flavor_labels(snapshot: Snapshot, placed: Placed) -> Iterator[tuple[str, str]]:
    for _, flavor in placed.assignment.flavors if placed.assignment else ():
        if flavor in snapshot.flavors:
            yield from snapshot.flavors[flavor].spec.node_labels.items()
