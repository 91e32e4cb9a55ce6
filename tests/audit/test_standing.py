"""Who stands where, however one got from one snapshot to the next; and the order of pods and claims tells nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.audit.standing import Standing
from bayplan.core import decide
from bayplan.model import codec
from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceClaimStatus,
)
from bayplan.model.plan import AnyDecision, Place
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.table import Line
from bayplan.model.workload import Pod
from tests.make import cluster

WHERE = ("", "a", "b")
CLAIMS = ("ns/c1", "ns/c2", "ns/c3")
POOLS = (("d", "p1"), ("d", "p2"), ("e", "p1"))


def a_pod(chance: random.Random, key: str) -> Pod:
    claims = tuple((f"c{i}", claim) for i, claim in enumerate(chance.sample(CLAIMS, chance.randrange(3))))
    owner = chance.choice(("", "ns/w1", "ns/w2"))
    return Pod(namespace="ns", name=key.removeprefix("ns/"), workload=owner, node=chance.choice(WHERE), claims=claims)


def a_claim(chance: random.Random, key: str) -> ResourceClaim:
    given = chance.sample(POOLS, chance.randrange(3))
    results = tuple(DeviceRequestAllocationResult(request="r", driver=d, pool=p, device="x") for d, p in given)
    allocation = AllocationResult(devices=DeviceAllocationResult(results=results)) if chance.randrange(3) else None
    name = Metadata(name=key.removeprefix("ns/"), namespace="ns")
    return ResourceClaim(metadata=name, status=ResourceClaimStatus(allocation=allocation))


def where_everybody_is(snapshot: Snapshot) -> dict[str, object]:
    """The same by going through everything."""
    pods = [p for _, p in sorted(snapshot.pods.items())]
    allocations = [(key, c.status.allocation) for key, c in sorted(snapshot.claims.items()) if c.status.allocation]
    return {
        "on": {node: [p for p in pods if p.node == node] for node in WHERE if node},
        "of": {owner: [p for p in pods if p.workload == owner] for owner in ("ns/w1", "ns/w2")},
        "using": {claim: [p for p in pods if claim in dict(p.claims).values()] for claim in CLAIMS},
        "holding": {
            pool: [(k, a) for k, a in allocations if pool in [(r.driver, r.pool) for r in a.devices.results]]
            for pool in POOLS
        },
    }


def test_what_differs_leads_to_what_one_finds_from_nothing() -> None:
    chance = random.Random(11)
    pods, claims = Line[Pod](), Line[ResourceClaim]()
    seen: list[Snapshot] = []
    for _ in range(200):
        seen = [*seen[-4:], Snapshot(pods=_next(chance, pods, a_pod), claims=_next(chance, claims, a_claim))]
        snapshot = chance.choice(seen)
        stands = Standing(snapshot)
        assert {
            "on": {node: stands.on(node) for node in WHERE if node},
            "of": {owner: stands.of(owner) for owner in ("ns/w1", "ns/w2")},
            "using": {claim: stands.using(claim) for claim in CLAIMS},
            "holding": {pool: list(stands.holding(pool)) for pool in POOLS},
        } == where_everybody_is(snapshot)


def _next(chance: random.Random, line: Line, make: Callable[[random.Random, str], object]) -> dict:
    keys = [f"ns/{make.__name__[2]}{chance.randrange(1, 9)}" for _ in range(chance.randrange(4))]
    return line.next({key: make(chance, key) if chance.randrange(4) else None for key in keys})


WORLDS = {
    "room": cluster("r1/a=8 r1/b=8 r2/c=8 r2/d=8", "big:2x8@rack one:3 two:4", running="old:2x2@a,b low:4@c"),
    "victims": cluster(
        "r1/a=8 r1/b=8 r2/c=8 r2/d=8", "high:2x8@rack!9 other:8!5", running="w:2x4@a,b x:4@a y:4@b z:8@c v:2x4@d,d"
    ),
    "quota": cluster("a=8 b=8", "one/head:8 one/s:8", running="two/x:2x4@a,b two/y:4@a", queues="one=8@all two=8@all"),
    "shares": cluster("a=2:a100share b=2:a100share", "s:12Gi t:3x20Gi u:8x40Gi", running="r:2x12Gi@a,b q:30Gi@b"),
    "cut": cluster("a=1:a100mig b=1:a100mig", "m:1g.10gb n:3g.40gb o:9x1g.10gb", running="k:1g.10gb@a l:2g.20gb@b"),
}


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_the_order_of_pods_and_claims_tells_nothing(world: Snapshot) -> None:
    policy = Policy()
    plan = decide(world, policy, now_s=100)
    wrong = msgspec.structs.replace(plan, decisions=tuple(_spoilt(d) for d in plan.decisions[1:]))
    assert audit(world, policy, plan) == ()
    findings = audit(world, policy, wrong)
    assert findings or not plan.placed()
    chance = random.Random(5)
    for _ in range(10):
        pods, claims = list(world.pods.items()), list(world.claims.items())
        chance.shuffle(pods)
        chance.shuffle(claims)
        other = world.replace(pods=dict(pods), claims=dict(claims))
        assert codec.to_json(decide(other, policy, now_s=100)) == codec.to_json(plan)
        assert audit(other, policy, wrong) == findings


def _spoilt(decision: AnyDecision) -> AnyDecision:
    """The same with all pods on one node, whatever is there."""
    if not isinstance(decision, Place):
        return decision
    return msgspec.structs.replace(decision, pods=tuple(msgspec.structs.replace(p, node="a") for p in decision.pods))
