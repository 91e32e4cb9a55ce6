"""Random plans: a correct one is clean, any single break is found, and nothing is changed by looking."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.audit import audit
from bayplan.model.codec import to_json
from bayplan.model.plan import AnyDecision, Hold, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.reason import PendingEvaluation
from bayplan.model.snapshot import Snapshot
from tests.audit.plans import Spoil, change, decisions, device, node, of, pod, results, workload
from tests.firstfit import NoRoom
from tests.make import Shelf, cluster, place

NODES = ("r1/a=4", "r1/b=2", "r2/c=2:a100share", "r2/d=1:a100mig", "r2/e=4:plugin")
ASKS = ("1", "2", "4", "2x1", "2x2@rack", "12Gi", "3x20Gi", "1g.10gb", "2x2g.20gb", "2gpu", "2x1gpu", "8cpu", "1+2x1")
WAITS = (PendingEvaluation(),)

asks = st.lists(st.sampled_from(ASKS), min_size=1, max_size=7)
choice = st.randoms(use_true_random=False)


def _first_fit(world: Snapshot) -> Plan:
    """Each workload, in order, on the first node that has room for all of it."""
    shelf, made, left = Shelf(world), [], {n.name: n.allocatable.get("nvidia.com/gpu", 0) for n in world.nodes.values()}
    for key, asked in world.workloads.items():
        if asked.admission is None:
            made.append(_somewhere(world, key, shelf, left))
    return Plan(decisions=tuple(made))


def _somewhere(world: Snapshot, key: str, shelf: Shelf, left: dict[str, int]) -> AnyDecision:
    plugin = sum(s.count * dict(s.template.requests).get("nvidia.com/gpu", 0) for s in world.workloads[key].pod_sets)
    for name in world.nodes:
        before = shelf.used.copy()
        try:
            if plugin <= left[name]:
                found = place(world, key, name, shelf=shelf)
                left[name] -= plugin
                return found
        except NoRoom:
            shelf.used = before
    return Hold(key, reasons=WAITS)


def _breaks(plan: Plan) -> list[Spoil]:
    """Changes that make this plan wrong."""
    found: list[Spoil] = [lambda s, p: (s, change(p, decisions=()))]
    for decision in plan.decisions:
        name = decision.workload.partition("/")[2]
        found.append(decisions(lambda all_, d=decision: tuple(x for x in all_ if x is not d)))
        found.append(decisions(lambda all_, d=decision: (*all_, d)))
        found.append(workload(name, active=False) if isinstance(decision, Place) else of(name, _silent))
        if isinstance(decision, Place):
            found += _breaks_of_place(decision, name)
    return found


def _breaks_of_place(decision: Place, name: str) -> list[Spoil]:
    at = len(decision.pods) - 1
    last = decision.pods[at]
    found = [
        of(name, lambda d: change(d, pods=d.pods[:-1])),
        of(name, lambda d: change(d, pod_sets=())),
        pod(name, at, node="nowhere"),
        pod(name, at, index=99),
        node(last.node, ready=False),
        node(last.node, allocatable={}, unschedulable=True),
    ]
    if last.claims:
        found += [
            pod(name, at, claims=()),
            device(name, at, device="gpu-99"),
            device(name, at, request="other"),
            results(name, lambda r: (*r, r[0]), at),
            results(name, lambda r: r[1:], at),
        ]
    return found


def _silent(hold: Hold) -> Hold:
    return change(hold, reasons=())


def _world(wanted: list[str]) -> Snapshot:
    pending = " ".join(f"w{i}:{ask}" for i, ask in enumerate(wanted))
    return cluster(" ".join(NODES), pending, running="old:1@a svc:30Gi@c m:3g.40gb@d")


@settings(max_examples=60, deadline=None)
@given(wanted=asks)
def test_a_correct_plan_is_clean(wanted: list[str]) -> None:
    world = _world(wanted)
    assert audit(world, Policy(), _first_fit(world)) == ()


@settings(max_examples=120, deadline=None)
@given(wanted=asks, random=choice)
def test_any_single_break_is_found(wanted: list[str], random: Random) -> None:
    world = _world(wanted)
    plan = _first_fit(world)
    spoil = random.choice(_breaks(plan))
    spoilt, wrong = spoil(world, plan)
    assert audit(spoilt, Policy(), wrong) != ()


@settings(max_examples=20, deadline=None)
@given(wanted=asks)
def test_looking_changes_nothing_and_says_the_same_again(wanted: list[str]) -> None:
    world = _world(wanted)
    plan = Plan(decisions=_first_fit(world).decisions[1:])
    before = to_json(world), to_json(plan)
    first = audit(world, Policy(), plan)
    assert audit(world, Policy(), plan) == first != ()
    assert (to_json(world), to_json(plan)) == before


@settings(max_examples=30, deadline=None)
@given(wanted=asks)
def test_a_plan_carried_out_leaves_room_for_an_empty_one(wanted: list[str]) -> None:
    world = _world(wanted)
    for decision in _first_fit(world).placed():
        world = world.placing(decision)
    assert audit(world, Policy(), Plan(decisions=tuple(_held(world)))) == ()


def _held(world: Snapshot) -> list[Hold]:
    return [Hold(key, reasons=WAITS) for key, w in world.workloads.items() if w.admission is None]
