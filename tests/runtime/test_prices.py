"""Prices: the pattern LP has the answers one can work out by hand, and `decide` heeds what it is given."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core import decide
from bayplan.model.codec import from_json, to_json
from bayplan.model.plan import Place
from bayplan.model.policy import Policy
from bayplan.model.prices import ClassPrices, Prices
from bayplan.model.snapshot import Snapshot
from bayplan.runtime.patterns import UNIT_MILLI, Asked, Hardware, solve
from bayplan.runtime.prices import PERIOD_S, Pricer, market
from tests.core.test_extended import asking
from tests.make import cluster

solver = pytest.mark.skipif(importlib.util.find_spec("highspy") is None, reason="needs the solver extra")


def hardware(gaps: Mapping[int, int], cores: int = 1000) -> Hardware:
    return Hardware(gaps, cores * 1000)


def asked(amount: float, milli: int, *, gpus: int = 1, cores: int = 0, on: tuple[int, ...] = (0,)) -> Asked:
    return Asked(amount, milli * gpus, cores * 1000, dict.fromkeys(on, (milli, gpus)))


@solver
@pytest.mark.parametrize(
    ("fleet", "asks", "served_milli"),
    [
        pytest.param([hardware({1000: 4})], [asked(4, 1000)], 4000, id="whole GPUs fill whole GPUs"),
        pytest.param([hardware({1000: 4})], [asked(9, 600)], 2400, id="of 600 thousandths only one fits a GPU"),
        pytest.param([hardware({1000: 4})], [asked(4, 600), asked(4, 400)], 4000, id="600 and 400 share a GPU"),
        pytest.param([hardware({1000: 2})], [asked(9, 300), asked(2, 400)], 2000, id="300, 300 and 400 fill a GPU"),
        pytest.param([hardware({500: 4})], [asked(4, 600), asked(2, 400)], 800, id="a gap holds what it has room for"),
        pytest.param([hardware({1000: 8})], [asked(2, 1000, gpus=8)], 8000, id="a pod of eight takes eight"),
        pytest.param([hardware({1000: 8}, 4)], [asked(8, 1000, cores=2)], 2000, id="cores end before GPUs do"),
        pytest.param(
            [hardware({1000: 1}), hardware({1000: 1})],
            [asked(1, 1000, on=(0, 1)), asked(1, 1000, on=(0,))],
            2000,
            id="who may run anywhere leaves the place to who may not",
        ),
        pytest.param([], [], 0, id="nothing holds nothing"),
    ],
)
def test_what_can_be_served(fleet: list[Hardware], asks: list[Asked], served_milli: int) -> None:
    assert solve(fleet, asks).worth_milli == pytest.approx(served_milli)


@solver
def test_a_gap_is_worth_what_still_fits_it() -> None:
    gaps = solve([hardware({1000: 2})], [asked(9, 600), asked(9, 400)]).gaps[0]
    worth = {at * UNIT_MILLI: worth for at, worth in enumerate(gaps)}
    assert worth[390] == 0
    assert worth[400] == worth[590] == pytest.approx(400)
    assert worth[600] == worth[790] == pytest.approx(600)
    assert worth[1000] == pytest.approx(1000)


@solver
def test_what_nobody_lacks_is_worth_nothing() -> None:
    solved = solve([hardware({1000: 4})], [asked(1, 1000, cores=1)])
    assert max(solved.gaps[0]) == 0 and solved.cores == (0,)


@solver
@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.integers(1, 100).map(lambda u: u * 10), st.integers(1, 5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 100).map(lambda u: u * 10)), min_size=1, max_size=5),
)
def test_the_bound_is_never_below_first_fit(gaps: dict[int, int], pods: list[tuple[int, int]]) -> None:
    free = [gap for gap, count in gaps.items() for _ in range(count)]
    served = 0
    for milli in (milli for amount, milli in pods for _ in range(amount)):
        fitting = [i for i, gap in enumerate(free) if gap >= milli]
        if fitting:
            free[fitting[0]] -= milli
            served += milli
    solved = solve([hardware(gaps)], [asked(amount, milli) for amount, milli in pods])
    assert solved.worth_milli >= served - 1e-6
    assert list(solved.gaps[0]) == sorted(solved.gaps[0])


def world(text: str) -> Snapshot:
    return cluster("a=1:a100share b=1:a100share", text, running="x:40Gi@a y:30Gi@b")


def where(snapshot: Snapshot, policy: Policy) -> list[str]:
    return [p.node for d in decide(snapshot, policy, now_s=0).decisions if isinstance(d, Place) for p in d.pods]


@pytest.mark.parametrize(
    ("gaps", "node"),
    [
        pytest.param(((500, 500_000), (625, 510_000)), "b", id="the larger gap where the smaller is dear"),
        pytest.param(((500, 100_000), (625, 625_000)), "a", id="the smaller gap where the larger is dear"),
    ],
)
def test_a_pod_goes_where_it_costs_least_at_prices(gaps: tuple[tuple[int, int], ...], node: str) -> None:
    prices = Prices((ClassPrices(like="a", gaps=gaps),))
    assert where(world("z:10Gi"), Policy(prices=prices)) == [node]


def test_prices_of_nodes_that_are_gone_change_nothing() -> None:
    prices = Prices((ClassPrices(like="gone", core_micro=1_000_000, gaps=((1, 1_000_000),)),))
    assert where(world("z:10Gi"), Policy(prices=prices)) == where(world("z:10Gi"), Policy())


def test_prices_survive_the_journal() -> None:
    policy = Policy(prices=Prices((ClassPrices(like="a", core_micro=7, gaps=((500, 400_000),)),)))
    assert from_json(to_json(policy), Policy) == policy


@solver
def test_a_market_prices_what_is_free_and_the_same_market_prices_the_same() -> None:
    snapshot = world("z:30Gi w:40Gi v:10Gi u:30Gi")
    coming = [w for w in snapshot.workloads.values() if w.admission is None]
    one, other = market(snapshot, Policy(), coming), market(snapshot, Policy(), coming)
    assert one == other
    assert [p.like for p in one.prices.classes] == ["a"]
    assert 0 < one.served_milli <= 500 + 625
    assert where(snapshot, Policy(prices=one.prices))


@solver
def test_extended_resources_that_devices_serve_are_priced_like_claims() -> None:
    claims, names = cluster("a=4 b=4", "x:3 y:2"), asking(cluster("a=4 b=4", "x:3"), 3)
    other = asking(cluster("a=4 b=4", "y:2"), 2)
    names = names.replace(workloads=names.workloads | other.workloads)
    by_claim, by_name = (market(s, Policy(), list(s.workloads.values())) for s in (claims, names))
    assert by_name.prices == by_claim.prices and by_name.served_milli == by_claim.served_milli > 0


@solver
def test_the_solver_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    solve([hardware({1000: 4})], [asked(4, 600)])
    assert capfd.readouterr() == ("", "")


def test_without_the_solver_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    with pytest.raises(ImportError, match=r"bayplan\[solver\]"):
        solve([], [])


@solver
def test_a_pricer_makes_prices_anew_when_theirs_are_old() -> None:
    pricer, full = Pricer(), world("z:10Gi")
    empty = cluster("a=1:a100share b=1:a100share", "z:10Gi")
    first = pricer(Policy(), empty, 0).prices
    assert first is not None and first.classes
    assert pricer(Policy(), full, PERIOD_S - 1).prices is first
    assert pricer(Policy(), full, PERIOD_S).prices is not first
