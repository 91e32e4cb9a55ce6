"""The quota tree: what Kueue's own tables call available may be admitted, and not a thousandth more."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.audit import audit
from bayplan.audit.findings import QuotaExceeded
from bayplan.model.base import Metadata
from bayplan.model.node import Node
from bayplan.model.plan import Place, Plan, PodPlacement
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.queue import (
    ClusterQueue,
    ClusterQueueSpec,
    Cohort,
    CohortSpec,
    FlavorQuotas,
    LabelSelector,
    LocalQueue,
    LocalQueueSpec,
    Namespace,
    ResourceFlavor,
    ResourceGroup,
    ResourceQuota,
)
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Admission, PodSet, PodSetAssignment, PodTemplate, Workload
from tests.shared import ROOT, shared_json

TABLE = "peers/kueue_quota.json"
CASES = [c for c in shared_json(TABLE)["cases"] if c["kind"] == "available"] if (ROOT / TABLE).exists() else []
ASKED = [
    (case, queue, entry)
    for case in CASES
    for queue, entries in case["expect"]["available"].items()
    for entry in entries
    if entry["resource"] == "cpu"
]


@pytest.mark.parametrize(
    ("case", "queue", "entry"), ASKED, ids=[f"{c['name']}: {q} {e['flavor']}" for c, q, e in ASKED]
)
def test_what_is_available_is_the_limit(case: dict[str, Any], queue: str, entry: dict[str, Any]) -> None:
    world = _world(case)
    if entry["amount"]:
        assert _asking(world, queue, entry, entry["amount"]) == ()
    (finding,) = {f.resource: f for f in _asking(world, queue, entry, entry["amount"] + 1)}.values()
    assert isinstance(finding, QuotaExceeded)


def _asking(world: Snapshot, queue: str, entry: dict[str, Any], amount: int) -> tuple[Any, ...]:
    asking = _workload("asking", queue, amount)
    pod = PodPlacement(pod_set="main", index=0, node="n")
    assignment = PodSetAssignment(name="main", flavors=(("cpu", entry["flavor"]),), nodes=(("n", 1),))
    place = Place(asking.key, pods=(pod,), cluster_queue=queue, pod_sets=(assignment,))
    return audit(world.with_workload(asking), Policy(), Plan(decisions=(place,)))


def _workload(name: str, queue: str, amount: int, flavor: str = "") -> Workload:
    assignment = PodSetAssignment(name="main", flavors=(("cpu", flavor),))
    return Workload(
        namespace="default",
        name=name,
        queue_name=queue,
        pod_sets=(PodSet(name="main", count=1, template=PodTemplate(requests=(("cpu", amount),))),),
        admission=Admission(cluster_queue=queue, pod_sets=(assignment,)) if flavor else None,
    )


def _world(case: dict[str, Any]) -> Snapshot:
    queues = {
        q["name"]: ClusterQueue(
            metadata=Metadata(name=q["name"]),
            spec=ClusterQueueSpec(
                resource_groups=_groups(q), cohort_name=q["cohort"] or "", namespace_selector=LabelSelector()
            ),
        )
        for q in case["cluster_queues"]
    }
    used = [
        _workload(f"{queue}-{i}", queue, entry["amount"], entry["flavor"])
        for queue, entries in case["usage"].items()
        for i, entry in enumerate(entries)
        if entry["resource"] == "cpu"
    ]
    return Snapshot(
        nodes={"n": Node(name="n", allocatable={"cpu": 10**12})},
        workloads={w.key: w for w in used},
        namespaces={"default": Namespace(metadata=Metadata(name="default"))},
        cluster_queues=queues,
        cohorts={
            c["name"]: Cohort(
                metadata=Metadata(name=c["name"]),
                spec=CohortSpec(parent_name=c["parent"] or "", resource_groups=_groups(c)),
            )
            for c in case["cohorts"]
        },
        local_queues={
            f"default/{name}": LocalQueue(
                metadata=Metadata(name=name, namespace="default"), spec=LocalQueueSpec(cluster_queue=name)
            )
            for name in queues
        },
        flavors={name: ResourceFlavor(metadata=Metadata(name=name)) for name in ("red", "blue", "default")},
    )


def _groups(holder: dict[str, Any]) -> tuple[ResourceGroup, ...]:
    """One resource group per resource, its flavors in the table's order."""
    flavors: dict[str, list[FlavorQuotas]] = {}
    for q in holder["quotas"]:
        quota = ResourceQuota(
            name=q["resource"],
            nominal_quota=Quantity.parse(f"{q['nominal']}m"),
            borrowing_limit=_milli(q.get("borrowing_limit")),
            lending_limit=_milli(q.get("lending_limit")),
        )
        flavors.setdefault(q["resource"], []).append(FlavorQuotas(name=q["flavor"], resources=(quota,)))
    return tuple(ResourceGroup(covered_resources=(r,), flavors=tuple(f)) for r, f in flavors.items())


def _milli(amount: int | None) -> Quantity | None:
    return None if amount is None else Quantity.parse(f"{amount}m")
