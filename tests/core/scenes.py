"""A plan in words: `{"low": "a", "gang": "a b", "big": "held: WaitingForQuota", "old": "evicted by high"}`."""

from __future__ import annotations

from bayplan.core import decide
from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceClaimStatus,
)
from bayplan.model.plan import Evict, Hold, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from tests.devices import DRIVER, LEVELS

POLICY = Policy(levels=(LEVELS["block"], LEVELS["rack"], "kubernetes.io/hostname"))


def decided(snapshot: Snapshot, *, now_s: int = 1000, policy: Policy = POLICY) -> dict[str, str]:
    """What becomes of each workload, by its name, in the order of the plan."""
    return in_words(decide(snapshot, policy, now_s=now_s))


def in_words(plan: Plan) -> dict[str, str]:
    return {d.workload.partition("/")[2]: _words(d) for d in plan.decisions}


def _words(decision: Place | Hold | Evict) -> str:
    match decision:
        case Place():
            return " ".join(p.node for p in decision.pods)
        case Evict():
            return f"evicted by {decision.preemptor.partition('/')[2]} ({decision.reason})"
        case Hold():
            return "held: " + " ".join(str(r.__struct_config__.tag) for r in decision.reasons)


def held(*results: DeviceRequestAllocationResult) -> dict[str, ResourceClaim]:
    """Claims of namespace "default" that hold these devices."""
    return {
        f"default/old-{i}": ResourceClaim(
            metadata=Metadata(name=f"old-{i}", namespace="default"),
            status=ResourceClaimStatus(allocation=AllocationResult(DeviceAllocationResult((r,)))),
        )
        for i, r in enumerate(results)
    }


def shares(node: str, *amounts: str) -> list[DeviceRequestAllocationResult]:
    """A share of each of the node's cards, in order."""
    return [
        DeviceRequestAllocationResult(
            "gpu", DRIVER, node, f"gpu-{i}", share_id=f"s{i}", consumed_capacity={"memory": Quantity.parse(amount)}
        )
        for i, amount in enumerate(amounts)
    ]
