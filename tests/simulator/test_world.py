"""Small worlds with known answers: virtual time, and what the figures of a run mean."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bayplan.clusters.simulator.meter import Meter, usage
from bayplan.clusters.simulator.scenario import read_scenario
from bayplan.clusters.simulator.simulate import simulate
from bayplan.clusters.simulator.world import Job, Outage, Progress, Scenario, World
from bayplan.core.score import SCORES
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.make import cluster, workload


def scenario(world: Snapshot, jobs: str) -> Scenario:
    """`"AT+SECONDS=workload …"`: a job of `tests.make.workload` that arrives at AT and runs SECONDS."""
    made = []
    for token in jobs.split():
        times, _, text = token.partition("=")
        at, _, seconds = times.partition("+")
        made.append(Job(int(at), workload(text, created_s=int(at)), int(seconds)))
    return Scenario("test", world, tuple(made))


def run(world: str, jobs: str, **options: object) -> dict[str, object]:
    result = World(scenario(cluster(world), jobs), Policy(), **options).run()  # type: ignore[arg-type]
    return msgspec.structs.asdict(result)


def test_a_second_job_waits_for_the_first() -> None:
    result = run("a=8", "0+100=one:8 10+100=two:8")
    assert (result["finished"], result["ended_s"]) == (2, 200)
    assert msgspec.structs.astuple(result["wait"]) == (45, 90, 90, 90)  # type: ignore[arg-type]
    assert msgspec.structs.astuple(result["completion"]) == (145, 190, 190, 190)  # type: ignore[arg-type]


def test_jobs_that_fit_side_by_side_do_not_wait() -> None:
    result = run("a=8", "0+100=one:4 0+50=two:4")
    assert (result["ended_s"], result["gpu_hours"]) == (100, round(600 / 3600, 2))


def test_utilisation_is_measured_until_the_last_arrival() -> None:
    result = run("a=8", "0+100=one:4 200+100=two:8")
    assert result["utilisation"] == pytest.approx(25.0)


def test_what_can_never_start_is_left_waiting() -> None:
    result = run("a=8", "0+100=one:16 0+10=two:8")
    assert (result["finished"], result["waiting"], result["running"]) == (1, 1, 0)


def test_an_evicted_job_starts_again_from_the_beginning() -> None:
    result = run("a=8", "0+100=low:8 40+10=high:8!9")
    assert (result["finished"], result["evictions"], result["ended_s"]) == (2, 1, 150)
    assert result["lost_gpu_hours"] == round(8 * 40 / 3600, 2)


def test_a_job_whose_node_fails_starts_again_elsewhere_or_when_the_node_is_back() -> None:
    jobs = scenario(cluster("r1/a=8 r1/b=8"), "0+100=gang:2x8 0+50=late:8")
    result = World(jobs._replace(outages=(Outage(40, "a", 20), Outage(500, "b", 9))), Policy()).run()
    assert (result.finished, result.interrupted, result.evictions) == (2, 1, 0)
    assert result.ended_s == 190  # late takes b at 40, the gang both again at 90
    assert result.lost_gpu_hours == round(16 * 40 / 3600, 2)


def test_decisions_may_be_taken_in_turns_of_some_seconds() -> None:
    result = run("a=8", "1+100=one:4 2+100=two:4 3+100=three:4", cycle_s=60)
    assert result["cycles"] == 3  # at 1, 61 and 121 s
    assert result["ended_s"] == 121 + 100


def test_a_run_may_be_cut_short() -> None:
    result = World(scenario(cluster("a=8"), "0+100=one:8 10+100=two:8"), Policy()).run(until_s=120)
    assert (result.finished, result.running, result.waiting) == (1, 1, 0)


def test_progress_is_told_after_every_step() -> None:
    seen: list[Progress] = []
    World(scenario(cluster("a=8"), "0+100=one:8 10+100=two:8"), Policy()).run(progress=seen.append)
    assert [(p.now_s, p.arrived, p.finished) for p in seen] == [(0, 1, 0), (10, 2, 0), (100, 2, 1), (200, 2, 2)]


def test_the_same_world_runs_the_same_twice() -> None:
    jobs = " ".join(f"{i * 7}+{50 + i % 5 * 40}=j{i}:{(1, 2, 4, 8)[i % 4]}" for i in range(30))
    world = scenario(cluster("r1/a=8 r1/b=8 r2/c=8"), jobs)
    assert World(world, Policy()).run() == World(world, Policy()).run()


def test_only_the_policy_under_test_is_asked() -> None:
    asked: list[int] = []

    def nobody(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Plan:
        asked.append(now_s)
        return Plan()

    result = World(scenario(cluster("a=8"), "0+5=one:8 10+5=two:8"), Policy(), decide=nobody).run()
    assert (asked, result.finished, result.waiting) == ([0, 10], 0, 2)


def with_cpu(job: Job, cores: int) -> Job:
    """The job with this much CPU asked for each pod."""
    pod_set = job.workload.pod_sets[0]
    template = msgspec.structs.replace(pod_set.template, requests=(("cpu", 1000 * cores), *pod_set.template.requests))
    changed = msgspec.structs.replace(pod_set, template=template)
    return job._replace(workload=msgspec.structs.replace(job.workload, pod_sets=(changed,)))


@pytest.mark.parametrize(
    ("score", "cards", "nodes"),
    [
        pytest.param("stranding", 1, 1, id="ours: one card"),
        pytest.param("kube-scheduler", 3, 3, id="kube-scheduler: a card on every node"),
    ],
)
def test_six_shares_of_12gi_are_packed(score: str, cards: int, nodes: int) -> None:
    jobs = " ".join(f"{i}+1000=chat{i}:12Gi" for i in range(6))
    chats = scenario(cluster("a=2 b=2 c=2", gpu="a100share"), jobs)
    world = World(chats._replace(jobs=tuple(with_cpu(j, 4) for j in chats.jobs)), Policy(score=score))
    world.run(until_s=500)
    allocations = [c.status.allocation for c in world.snapshot.claims.values()]
    given = [r for a in allocations if a for r in a.devices.results]
    assert len(given) == 6
    assert len({(r.pool, r.device) for r in given}) == cards
    assert len({p.node for p in world.snapshot.pods.values()}) == nodes


@pytest.mark.parametrize("score", sorted(SCORES))
def test_every_score_runs_every_kind_of_device(score: str) -> None:
    world = cluster("a=2 b=2:a100share c=2:a100mig d=2:h100mig")
    jobs = "0+60=whole:2 0+60=share:12Gi 0+60=part:1g.20gb 5+60=more:1 6+60=last:3g.40gb"
    (result,) = simulate(scenario(world, jobs), [score])
    assert (result.policy, result.finished, result.waiting) == (score, 5, 0)


def test_an_unknown_score_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match=r"policy\.score: expected one of .*best-fit.*, got 'worst'"):
        simulate(scenario(cluster("a=8"), "0+1=one:1"), ["stranding", "worst"])


@pytest.mark.parametrize(
    ("world", "gpus"),
    [
        pytest.param("a=8 b=4", 12, id="whole GPUs"),
        pytest.param("a=8:a100mig b=2:h100mig", 10, id="cards cut in partitions count once"),
        pytest.param("a=8:a100share", 8, id="shared cards"),
        pytest.param("a=8:plugin", 8, id="GPUs of a device plugin"),
    ],
)
def test_capacity_is_physical_gpus(world: str, gpus: int) -> None:
    assert Meter(cluster(world)).capacity_milli == 1000 * gpus


@pytest.mark.parametrize(
    ("world", "running", "held_milli"),
    [
        pytest.param("a=8", "x:4@a", 4000, id="four whole GPUs"),
        pytest.param("a=1:a100share", "x:12Gi@a", 150, id="a share by its memory"),
        pytest.param("a=1:a100mig", "x:3g.40gb@a", 496, id="a partition by its memory"),
    ],
)
def test_what_a_claim_holds_is_thousandths_of_a_card(world: str, running: str, held_milli: int) -> None:
    snapshot = cluster(world, running=running)
    meter = Meter(snapshot)
    allocations = [c.status.allocation for c in snapshot.claims.values()]
    assert sum(meter.held_milli(a) for a in allocations if a) == held_milli


def test_half_used_cards_strand_what_no_whole_gpu_can_use() -> None:
    world = cluster("a=2:a100share", running="x:40Gi@a")
    whole = [workload("next:1")]
    seen = usage(world, Policy(), whole)
    assert (seen.free_milli, seen.stranded_milli, seen.cards, seen.nodes) == (1500, 500, 1, 1)


def test_waste_is_what_is_held_and_not_needed() -> None:
    jobs = scenario(cluster("a=1 b=1:a100share c=1:a100mig", gpu="a100"), "0+100=whole:1 100+1=end:4cpu")
    needs = tuple(j._replace(used_gpu_bytes=12 << 30) for j in jobs.jobs)
    result = World(jobs._replace(jobs=needs), Policy()).run()
    assert result.waste == 85.0
    assert [q.waste for q in result.queues] == [85.0]


def test_the_twelve_gig_scenario_shows_what_each_way_of_asking_wastes() -> None:
    path = Path(__file__).resolve().parents[2] / "examples" / "scenarios" / "twelve-gig.yaml"
    (result,) = simulate(read_scenario(path, hours=1), until_s=1800, cycle_s=300)
    waste = {q.name: q.waste for q in result.queues}
    assert waste["whole"] == 85.0
    assert 35.0 < waste["mig"] < 45.0
    assert waste["memory"] < 10.0
