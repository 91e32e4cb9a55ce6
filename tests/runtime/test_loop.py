"""The loop: observe → decide → audit → journal → apply, when it is time and not otherwise."""

from pathlib import Path

import pytest

from bayplan.core import decide
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Applied, Cycle, Journal, Loop, Permanent, Pricer, Temporary, read, replay
from tests.make import cluster


class Scripted:
    """A cluster that shows one snapshot after another, and a clock that stands still unless it is waited on."""

    def __init__(self, *shows: Snapshot | Exception) -> None:
        self.shows = list(shows)
        self.applied: list[Plan] = []
        self.at_s = 100
        self.slept: list[float] = []

    def observe(self) -> Snapshot:
        shown = self.shows[0]
        if isinstance(shown, Exception):
            raise self.shows.pop(0)  # type: ignore[misc]
        return shown

    def apply(self, plan: Plan) -> Applied:
        self.applied.append(plan)
        return Applied()

    def wait(self, seconds: float) -> bool:
        """The next snapshot appears; after the last one only time passes."""
        if len(self.shows) > 1:
            self.shows.pop(0)
            return True
        self.at_s += max(1, int(seconds))
        return False

    def now_s(self) -> int:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def one(revision: str) -> Snapshot:
    return Snapshot(revision=revision)


def plan_of(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
    return Plan(revision=snapshot.revision)


def clean(snapshot: Snapshot, policy: Policy, plan: Plan) -> tuple[str, ...]:
    return ()


def run(world: Scripted, cycles: int, **more: object) -> list[Cycle]:
    seen: list[Cycle] = []
    options = {"decide": plan_of, "audit": clean, "watcher": seen.append, "tick_s": 10} | more
    Loop(world, world, **options).run(lambda: len(seen) >= cycles)  # type: ignore[arg-type]
    return seen


def test_every_new_snapshot_is_decided_once() -> None:
    same = one("b")
    world = Scripted(one("a"), same, same, one("c"))
    assert [c.plan.revision for c in run(world, 3)] == ["a", "b", "c"]
    assert [p.revision for p in world.applied] == ["a", "b", "c"]


def test_a_tick_decides_an_unchanged_world_again() -> None:
    assert [c.now_s for c in run(Scripted(one("a")), 3)] == [100, 110, 120]


def test_prices_are_journalled_with_what_was_decided_at_them(tmp_path: Path) -> None:
    pytest.importorskip("highspy", reason="needs the solver extra")
    world = Scripted(cluster("a=1:a100share b=1:a100share", "z:10Gi", running="x:40Gi@a y:30Gi@b"))
    with Journal(tmp_path / "j.gz") as journal:
        run(world, 1, decide=decide, pricer=Pricer(), journal=journal)
    (entry,) = read(tmp_path / "j.gz")
    assert entry.policy.prices is not None and entry.policy.prices.classes
    assert [again.same for again in replay(tmp_path / "j.gz", decide)] == [True]


def test_a_plan_with_findings_is_journalled_and_not_carried_out(tmp_path: Path) -> None:
    world = Scripted(one("a"))
    with Journal(tmp_path / "j.gz") as journal:
        cycles = run(world, 1, audit=lambda s, p, plan: ("a pod\n  too many",), journal=journal)
    assert world.applied == []
    assert cycles[0].applied is None
    assert cycles[0].findings == ("a pod too many",)
    assert [e.plan.revision for e in read(tmp_path / "j.gz")] == ["a"]


def test_a_temporary_failure_is_waited_out_and_told() -> None:
    told: list[Temporary] = []
    world = Scripted(Temporary("no route", retry_s=7), one("a"))
    assert len(run(world, 1, failed=told.append)) == 1
    assert world.slept == [7]
    assert [str(t) for t in told] == ["no route"]


def test_a_permanent_failure_ends_the_loop() -> None:
    with pytest.raises(Permanent, match="no such API"):
        run(Scripted(Permanent("no such API")), 1)
