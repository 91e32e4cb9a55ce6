"""What Kubernetes' own allocator gives in its test tables is right by definition: the auditor must agree."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.audit import audit
from bayplan.model.base import Metadata
from bayplan.model.codec import from_builtins
from bayplan.model.device import AllocationResult, DeviceClass, ResourceClaim, ResourceClaimStatus, ResourceSlice
from bayplan.model.node import Node
from bayplan.model.plan import ClaimAllocation, Place, Plan, PodPlacement
from bayplan.model.policy import Policy
from bayplan.model.queue import Namespace
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodSet, PodSetAssignment, PodTemplate, Workload
from tests.shared import ROOT, shared_json

TABLE = "peers/dra_allocation.json"
CASES = [c for c in shared_json(TABLE)["cases"] if c["expect"]["results"]] if (ROOT / TABLE).exists() else []


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_agrees_with_upstream(case: dict[str, Any]) -> None:
    policy = Policy(features=tuple(case["featureGates"]), share_between_tenants=True)
    assert audit(_snapshot(case), policy, _plan(case)) == ()


def _snapshot(case: dict[str, Any]) -> Snapshot:
    metadata = case["node"]["metadata"]
    node = Node(name=metadata["name"], labels=metadata.get("labels", {}), allocatable={"pods": 9})
    specs = [from_builtins(c, ResourceClaim).spec for c in case["claims"]]
    claims = tuple(PodClaim(name=f"c{i}", template=spec) for i, spec in enumerate(specs))
    workload = Workload(
        namespace="default", name="w", pod_sets=(PodSet(name="main", count=1, template=PodTemplate(claims=claims)),)
    )
    classes = [from_builtins(c, DeviceClass) for c in case["deviceClasses"]]
    label = {"resource.kubernetes.io/admin-access": "true"}
    return Snapshot(
        nodes={node.name: node},
        workloads={workload.key: workload},
        claims={"other/held": ResourceClaim(metadata=Metadata(name="held", namespace="other"), status=_held(case))},
        slices=tuple(from_builtins(s, ResourceSlice) for s in case["resourceSlices"]),
        device_classes={c.metadata.name: c for c in classes},
        namespaces={"default": Namespace(metadata=Metadata(name="default", labels=label))},
    )


def _held(case: dict[str, Any]) -> ResourceClaimStatus:
    """Devices in use before: whole ones, and shares with what they consume."""
    before = case["allocated"]
    results = [*before["devices"], *before["consumedCapacity"]]
    return from_builtins(
        {"allocation": {"devices": {"results": [{"request": "held", **r} for r in results]}}}, ResourceClaimStatus
    )


def _plan(case: dict[str, Any]) -> Plan:
    given = []
    for i, expected in enumerate(case["expect"]["results"]):
        # The table's share ids are all the same placeholder.
        results = [{k: v for k, v in r.items() if k != "shareID"} for r in expected["allocation"]["devices"]["results"]]
        whole = expected["allocation"] | {"devices": {"results": results}}
        given.append(ClaimAllocation(name=f"c{i}", claim="", allocation=from_builtins(whole, AllocationResult)))
    node = case["node"]["metadata"]["name"]
    pod = PodPlacement(pod_set="main", index=0, node=node, claims=tuple(given))
    assignment = PodSetAssignment(name="main", nodes=((node, 1),))
    awaited = any(r.binding_conditions for c in given for r in c.allocation.devices.results)
    return Plan(decisions=(Place("default/w", pods=(pod,), pod_sets=(assignment,), prepares=awaited),))
