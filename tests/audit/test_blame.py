"""One wrong decision is left out, with what depends on it; the others are carried out."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bayplan.audit import audit, without
from bayplan.core import decide
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Journal, Loop, read
from tests.audit.plans import evict, node, plan, pod, queue
from tests.core.scenes import in_words
from tests.make import cluster
from tests.runtime.test_loop import Scripted

change = msgspec.structs.replace


def rest(spoilt: tuple[Snapshot, Plan]) -> dict[str, str]:
    """What is left of a plan once what is found is left out; the audit has nothing against it."""
    world, wrong = spoilt
    found = audit(world, Policy(), wrong)
    assert found
    smaller = without(world, wrong, found)
    assert audit(world, Policy(), smaller) == ()
    return in_words(smaller)


def test_a_wrong_pod_takes_its_gang_and_nobody_else() -> None:
    world = cluster("a=8 b=8 c=8 d=8", "bad:2x8 good:8 later:8")
    made = plan(world, bad="a,b", good="c")
    assert rest(pod("bad", 0, node="d")(world, made)) == {
        "good": "c",
        "bad": "held: AuditFailed",
        "later": "held: PendingEvaluation",
    }


def test_a_node_too_small_takes_all_that_the_plan_puts_there() -> None:
    world = cluster("a=0 b=0", "one:4cpu two:4cpu other:4cpu")
    made = plan(world, one="a", two="a", other="b")
    assert rest(node("a", allocatable={"cpu": 5000, "pods": 9})(world, made)) == {
        "other": "b",
        "one": "held: AuditFailed",
        "two": "held: AuditFailed",
    }


def test_a_queue_over_its_quota_takes_its_admissions_and_no_other_queues() -> None:
    world = cluster("a=8 b=8", "team/one:4 team/two:4 rest/other:8", queues="team=8 rest=8")
    made = plan(world, one="a", two="a", other="b")
    groups = world.cluster_queues["team"].spec.resource_groups
    (flavor,) = groups[0].flavors
    small = change(flavor, resources=tuple(change(r, nominal_quota=Quantity.of(7)) for r in flavor.resources))
    shrunk = queue("team", resource_groups=(change(groups[0], flavors=(small,)),))
    assert rest(shrunk(world, made)) == {"other": "b", "one": "held: AuditFailed", "two": "held: AuditFailed"}


def test_nobody_is_ended_for_one_who_does_not_start() -> None:
    world = cluster("a=8 b=8 c=8", "high:8!9 other:8", running="low:8!1@a")
    made = plan(world, evict("low", "high"), high="a", other="b")
    assert rest(pod("high", 0, node="c")(world, made)) == {"other": "b", "high": "held: AuditFailed"}


def test_an_eviction_without_a_right_takes_who_starts_on_it() -> None:
    world = cluster("a=8 b=8", "low:8!1 other:8", running="high:8!9@a")
    made = plan(world, evict("high", "low"), low="a", other="b")
    assert rest((world, made)) == {"other": "b", "low": "held: AuditFailed"}


def test_a_forgotten_workload_is_held_and_the_others_start() -> None:
    world = cluster("a=8 b=8", "one:8 two:8")
    made = plan(world, one="a", two="b")
    assert rest((world, change(made, decisions=made.decisions[:1]))) == {"one": "a", "two": "held: AuditFailed"}


def test_the_loop_carries_out_the_rest_and_says_what_was_left_out(tmp_path: Path) -> None:
    snapshot = cluster("a=8 b=8", "bad:8 good:8")

    def spoilt(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
        made = decide(snapshot, policy, now_s=now_s)
        return pod("bad", 0, node="b")(snapshot, made)[1]

    body = Scripted(snapshot)
    with Journal(tmp_path / "j.gz") as journal:
        cycle = Loop(body, body, decide=spoilt, audit=audit, without=without, journal=journal).cycle()
    assert [in_words(p) for p in body.applied] == [{"good": "b", "bad": "held: AuditFailed"}]
    assert cycle.left_out == ("default/bad",) and cycle.findings
    (entry,) = read(tmp_path / "j.gz")
    assert entry.findings == cycle.findings
    assert entry.plan == cycle.plan, "what was decided is journalled, not what was left of it"
