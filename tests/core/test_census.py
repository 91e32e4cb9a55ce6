"""Who uses a claim, waits, or leaves, and which claims are orphans, however one got from one snapshot to the next."""

from __future__ import annotations

import random

from bayplan.core import census
from bayplan.model.base import Metadata
from bayplan.model.device import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceClaimStatus,
)
from bayplan.model.snapshot import Snapshot
from bayplan.model.table import Line
from bayplan.model.workload import Pod

NAMES = ("p1", "p2", "p3", "p4")
CLAIMS = ("ns/c1", "ns/c2", "ns/c3")


def a_pod(chance: random.Random) -> Pod:
    name, uid = chance.choice(NAMES), f"u{chance.randrange(3)}"
    node, leaves = chance.choice(("", "a")), chance.randrange(2) == 0
    claims = tuple((f"c{i}", c) for i, c in enumerate(chance.sample(CLAIMS, chance.randrange(3))))
    return Pod(namespace="ns", name=name, uid=uid, node=node, terminating=leaves, claims=claims)


def a_claim(chance: random.Random) -> ResourceClaim:
    users = tuple(
        ResourceClaimConsumerReference(resource="pods", name=name, uid=f"u{chance.randrange(3)}")
        for name in chance.sample(NAMES, chance.randrange(3))
    )
    if chance.randrange(5) == 0:
        group = ResourceClaimConsumerReference("podgroups", "g", "ug", "scheduling.k8s.io")
        users = (*users, group)
    results = (DeviceRequestAllocationResult("r", "d", "p", "x"),) * chance.randrange(3)
    allocation = AllocationResult(DeviceAllocationResult(results)) if chance.randrange(4) else None
    name = chance.choice(CLAIMS).removeprefix("ns/")
    status = ResourceClaimStatus(allocation=allocation, reserved_for=users)
    return ResourceClaim(metadata=Metadata(name=name, namespace="ns"), status=status)


def orphaned(claim: ResourceClaim, pods: dict[str, Pod]) -> bool:
    users = claim.status.reserved_for
    living = {(p.namespace, p.name, p.uid) for p in pods.values()}
    gone = all((claim.metadata.namespace, u.name, u.uid) not in living and not u.of_group for u in users)
    return claim.status.allocation is not None and users != () and gone


def devices_of(pod: Pod, snapshot: Snapshot) -> int:
    claims = [snapshot.claims[key] for _, key in pod.claims if key in snapshot.claims]
    return sum(len(c.status.allocation.devices.results) for c in claims if c.status.allocation)


def test_what_differs_leads_to_what_one_finds_from_nothing() -> None:
    chance, pods, claims = random.Random(3), Line[Pod](), Line[ResourceClaim]()
    seen: list[Snapshot] = []
    met = set()
    for _ in range(300):
        fresh = {p.key: p if chance.randrange(4) else None for p in (a_pod(chance) for _ in range(2))}
        made = {c.metadata.key: c if chance.randrange(4) else None for c in (a_claim(chance),)}
        seen = [*seen[-3:], Snapshot(pods=pods.next(fresh), claims=claims.next(made))]
        now = chance.choice(seen)
        assert census.waiting(now) == {k: p for k, p in now.pods.items() if not p.node}
        assert census.leaving(now) == tuple(p for _, p in sorted(now.pods.items()) if p.node and p.terminating)
        for claim in CLAIMS:
            users = {k: p for k, p in now.pods.items() if claim in dict(p.claims).values()}
            assert census.users(now, claim) == users
        on = {"a": {k: p for k, p in now.pods.items() if p.node == "a"}}
        devices = census.devices_on(now, on).get("a", {})
        assert devices == {k: n for k, p in on["a"].items() if (n := devices_of(p, now))}
        expected = {k for k, c in now.claims.items() if orphaned(c, now.pods)}
        assert census.orphans(now).keys() == expected
        met |= expected
    assert met == {*CLAIMS}
