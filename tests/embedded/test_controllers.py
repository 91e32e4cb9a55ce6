"""The controllers, each by itself: no scheduler runs here; `bind` puts pods on nodes by hand."""

import pytest

from bayplan.clusters.embedded.controllers.job import completed_indexes, ranges
from tests.embedded.world import CLAIMS, DEPLOYMENTS, JOBS, JOBSETS, REPLICA_SETS, TEMPLATES, WORKLOADS, World


def bind(world: World, *, seconds: int = 0) -> None:
    """Every pod that waits gets the node "a"; then some seconds pass."""
    world.settle()
    for pod in world.pods():
        if not pod["spec"].get("nodeName"):
            world.store.bind("default", pod["metadata"]["name"], "a")
    world.settle(seconds)


def job(world: World, name: str = "j", *, count: int = 1, indexed: bool = True, **more: object) -> None:
    """A Job outside any queue, whose pods ask for nothing."""
    mode = {"completionMode": "Indexed" if indexed else "NonIndexed"}
    spec = more.pop("spec", {})
    assert isinstance(spec, dict)
    world.job(name, "0", count=count, queue="", spec=mode | spec, **more)


# --- Job ---------------------------------------------------------------------------------------------------------


def test_a_job_runs_each_index_once() -> None:
    world = World("a=8")
    job(world, count=3, spec={"parallelism": 2}, runtime=5)
    bind(world, seconds=2)
    assert world.get(JOBS, "j")["status"]["active"] == 2
    assert world.get(JOBS, "j")["status"]["ready"] == 2
    world.settle(5)
    assert world.get(JOBS, "j")["status"]["completedIndexes"] == "0,1"
    bind(world, seconds=7)
    status = world.get(JOBS, "j")["status"]
    assert (status["succeeded"], status["completedIndexes"], status.get("active")) == (3, "0-2", None)
    assert world.conditions(JOBS, "j") == {"Complete": "CompletionsReached"}
    assert "Completed" in world.events("j")


def test_a_failed_pod_is_tried_again_after_a_while_up_to_the_limit() -> None:
    world = World("a=8")
    job(world, spec={"backoffLimit": 1}, runtime=1, exit_code=3)
    bind(world, seconds=3)
    assert len(world.pods()) == 1, "not at once"
    world.settle(11)
    assert len(world.pods()) == 2
    bind(world, seconds=3)
    assert world.conditions(JOBS, "j") == {"Failed": "BackoffLimitExceeded"}
    assert world.get(JOBS, "j")["status"]["failed"] == 2


def test_a_job_that_takes_too_long_fails() -> None:
    world = World("a=8")
    job(world, spec={"activeDeadlineSeconds": 5}, runtime=60)
    bind(world, seconds=4)
    assert world.conditions(JOBS, "j") == {}
    world.settle(3)
    assert world.conditions(JOBS, "j") == {"Failed": "DeadlineExceeded"}
    assert world.pods() == []


def test_a_suspended_job_keeps_what_it_completed() -> None:
    world = World("a=8")
    job(world, count=2, spec={"parallelism": 1}, runtime=2)
    bind(world, seconds=3)
    world.settle()
    bind(world, seconds=1)
    world.store.patch(JOBS, "default", "j", {"spec": {"suspend": True}})
    world.settle(2)
    assert world.conditions(JOBS, "j") == {"Suspended": "JobSuspended"}
    assert [p["status"]["phase"] for p in world.pods()] == ["Succeeded"]
    world.store.patch(JOBS, "default", "j", {"spec": {"suspend": False}})
    bind(world, seconds=4)
    assert world.get(JOBS, "j")["status"]["completedIndexes"] == "0,1"


def test_without_completions_one_success_is_enough() -> None:
    world = World("a=8")
    job(world, indexed=False, spec={"completions": None, "parallelism": 2}, runtime=2)
    bind(world, seconds=4)
    assert world.conditions(JOBS, "j") == {"Complete": "CompletionsReached"}


def test_fewer_pods_are_kept_when_parallelism_shrinks() -> None:
    world = World("a=8")
    job(world, indexed=False, count=4, runtime=60)
    bind(world, seconds=2)
    world.store.patch(JOBS, "default", "j", {"spec": {"parallelism": 1}})
    world.settle(2)
    assert len(world.pods("Running")) == 1


def test_an_ended_job_goes_when_its_time_to_live_is_over() -> None:
    world = World("a=8")
    job(world, spec={"ttlSecondsAfterFinished": 10}, runtime=1)
    bind(world, seconds=5)
    assert world.conditions(JOBS, "j")
    world.settle(10)
    assert (world.all(JOBS), world.pods()) == ([], [])


RANGES = [
    ("none", [], ""),
    ("one", [4], "4"),
    ("two in a row stay two", [1, 2], "1,2"),
    ("three in a row are a range", [1, 2, 3], "1-3"),
    ("runs and singles", [9, 0, 1, 2, 5, 7], "0-2,5,7,9"),
]


@pytest.mark.parametrize(("indexes", "text"), [r[1:] for r in RANGES], ids=[r[0] for r in RANGES])
def test_completed_indexes_are_spelled(indexes: list[int], text: str) -> None:
    assert ranges(indexes) == text
    assert completed_indexes({"status": {"completedIndexes": text}}) == frozenset(indexes)


# --- JobSet ------------------------------------------------------------------------------------------------------


def jobset(world: World, *sets: tuple[str, int, dict], **spec: object) -> None:
    """A JobSet of (name, replicas, options of `World.template`)."""
    once = {"completionMode": "Indexed", "completions": 1, "parallelism": 1, "backoffLimit": 0}
    replicated = [
        {"name": name, "replicas": replicas, "template": {"spec": {**once, "template": world.template("0", **options)}}}
        for name, replicas, options in sets
    ]
    world.store.create(JOBSETS, "default", {"metadata": {"name": "s"}, "spec": {"replicatedJobs": replicated, **spec}})


def test_a_jobset_runs_its_jobs_and_completes_with_the_last() -> None:
    world = World("a=8")
    jobset(world, ("driver", 1, {"runtime": 2}), ("worker", 2, {"runtime": 5}))
    bind(world, seconds=2)
    assert [j["metadata"]["name"] for j in world.all(JOBS)] == ["s-driver-0", "s-worker-0", "s-worker-1"]
    assert world.pods()[0]["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-name"] == "s"
    world.settle(2)
    by_name = {r["name"]: r for r in world.get(JOBSETS, "s")["status"]["replicatedJobsStatus"]}
    assert (by_name["driver"]["succeeded"], by_name["worker"]["ready"]) == (1, 2)
    world.settle(4)
    assert world.conditions(JOBSETS, "s") == {"Completed": "AllJobsCompleted"}


def test_a_jobset_may_succeed_with_any_of_its_targets() -> None:
    world = World("a=8")
    policy = {"operator": "Any", "targetReplicatedJobs": ["driver"]}
    jobset(world, ("driver", 1, {"runtime": 1}), ("worker", 1, {"runtime": 60}), successPolicy=policy)
    bind(world, seconds=5)
    assert world.conditions(JOBSETS, "s") == {"Completed": "AllJobsCompleted"}
    assert world.pods("Running") == []


def test_a_failed_job_restarts_the_whole_jobset_while_its_policy_allows() -> None:
    world = World("a=8")
    jobset(world, ("driver", 1, {"runtime": 1, "exit_code": 1}), ("worker", 1, {}), failurePolicy={"maxRestarts": 1})
    bind(world, seconds=5)
    assert world.get(JOBSETS, "s")["status"]["restarts"] == 1
    bind(world, seconds=5)
    assert world.conditions(JOBSETS, "s") == {"Failed": "ReachedMaxRestarts"}
    assert "Restarting" in world.events("s")


def test_without_a_failure_policy_a_failed_job_fails_the_set() -> None:
    world = World("a=8")
    jobset(world, ("driver", 1, {"runtime": 1, "exit_code": 1}))
    bind(world, seconds=4)
    assert world.conditions(JOBSETS, "s") == {"Failed": "FailedJobs"}


def test_a_suspended_jobset_makes_suspended_jobs() -> None:
    world = World("a=8")
    jobset(world, ("worker", 2, {}), suspend=True)
    world.settle()
    assert [j["spec"]["suspend"] for j in world.all(JOBS)] == [True, True]
    assert (world.pods(), world.conditions(JOBSETS, "s")) == ([], {"Suspended": "SuspendedJobs"})
    world.store.patch(JOBSETS, "default", "s", {"spec": {"suspend": False}})
    bind(world, seconds=2)
    assert len(world.pods("Running")) == 2
    world.store.patch(JOBSETS, "default", "s", {"spec": {"suspend": True}})
    world.settle(3)
    assert world.pods() == []


def test_a_dependent_job_waits() -> None:
    world = World("a=8")
    jobset(world, ("driver", 1, {"runtime": 60}), ("worker", 1, {}))
    spec = world.get(JOBSETS, "s")["spec"]
    spec["replicatedJobs"][1]["dependsOn"] = [{"name": "driver", "status": "Ready"}]
    world.store.patch(JOBSETS, "default", "s", {"spec": spec})
    world.settle()
    assert [j["metadata"]["name"] for j in world.all(JOBS)] == ["s-driver-0"]
    bind(world, seconds=2)
    assert len(world.all(JOBS)) == 2


# --- ReplicaSet, Deployment --------------------------------------------------------------------------------------


def deployment(world: World, replicas: int = 2, **spec: object) -> None:
    template = world.template("0", runtime=None, restart="Always")
    template["metadata"]["labels"] = {"app": "d"}
    labels = {"kueue.x-k8s.io/queue-name": "team"}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": "d"}}, "template": template, **spec}
    world.store.create(DEPLOYMENTS, "default", {"metadata": {"name": "d", "labels": labels}, "spec": body})


def images(world: World) -> list[str]:
    return sorted(p["spec"]["containers"][0]["image"] for p in world.pods() if "deletionTimestamp" not in p["metadata"])


def update(world: World) -> None:
    template = world.get(DEPLOYMENTS, "d")["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "work:2"
    world.store.patch(DEPLOYMENTS, "default", "d", {"spec": {"template": template}})


def test_a_deployment_keeps_its_replicas_in_its_queue() -> None:
    world = World("a=8")
    deployment(world, 2)
    bind(world, seconds=2)
    status = world.get(DEPLOYMENTS, "d")["status"]
    assert (status["replicas"], status["availableReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert {p["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] for p in world.pods()} == {"team"}
    world.store.delete("pods", "default", world.pods()[0]["metadata"]["name"])
    bind(world, seconds=3)
    assert len(world.pods("Running")) == 2
    world.store.patch(DEPLOYMENTS, "default", "d", {"spec": {"replicas": 1}})
    world.settle(2)
    assert len(world.pods("Running")) == 1


def test_a_rollout_never_falls_below_what_must_be_available() -> None:
    world = World("a=8")
    deployment(world, 4)
    bind(world, seconds=2)
    update(world)
    for _ in range(12):
        bind(world, seconds=1)
        available = world.get(DEPLOYMENTS, "d")["status"].get("availableReplicas", 0)
        assert available >= 3
        assert len([p for p in world.pods() if "deletionTimestamp" not in p["metadata"]]) <= 5
    assert images(world) == ["work:2"] * 4
    assert [s["spec"]["replicas"] for s in world.all(REPLICA_SETS)].count(4) == 1


def test_recreate_stops_the_old_pods_first() -> None:
    world = World("a=8")
    deployment(world, 2, strategy={"type": "Recreate"})
    bind(world, seconds=2)
    update(world)
    seen = []
    for _ in range(6):
        bind(world, seconds=1)
        seen.append(images(world))
    assert ["work:1", "work:2"] not in [sorted(set(s)) for s in seen]
    assert seen[-1] == ["work:2"] * 2


def test_old_revisions_are_kept_as_far_as_asked() -> None:
    world = World("a=8")
    deployment(world, 1, revisionHistoryLimit=0)
    bind(world, seconds=2)
    update(world)
    for _ in range(6):
        bind(world, seconds=1)
    assert len(world.all(REPLICA_SETS)) == 1


# --- claims ------------------------------------------------------------------------------------------------------


def test_a_pod_gets_its_claims_and_they_go_when_it_has_ended() -> None:
    world = World("a=8")
    world.pod("p", "1", runtime=2)
    world.settle()
    claim = world.all(CLAIMS)[0]
    assert claim["metadata"]["annotations"] == {"resource.kubernetes.io/pod-claim-name": "gpu"}
    assert claim["metadata"]["ownerReferences"][0]["name"] == "p"
    statuses = world.get("pods", "p")["status"]["resourceClaimStatuses"]
    assert statuses == [{"name": "gpu", "resourceClaimName": claim["metadata"]["name"]}]
    bind(world, seconds=4)
    assert world.all(CLAIMS) == []


def test_a_pod_waits_for_a_claim_template_that_comes_late() -> None:
    world = World("a=8")
    name = world.claim_template("1")
    template = world.get(TEMPLATES, name)
    world.store.delete(TEMPLATES, "default", name)
    spec = world.template("0")["spec"] | {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": name}]}
    world.store.create("pods", "default", {"metadata": {"name": "p"}, "spec": spec})
    world.settle()
    assert "FailedResourceClaimCreation" in world.events("p")
    world.store.create(TEMPLATES, "default", {"metadata": {"name": name}, "spec": template["spec"]})
    world.settle()
    assert len(world.all(CLAIMS)) == 1


# --- Workloads ---------------------------------------------------------------------------------------------------


def test_a_job_in_a_queue_is_held_back_before_it_makes_a_pod() -> None:
    world = World("a=8", queues="team=8")
    world.job("j", count=4)
    world.settle()
    assert (world.get(JOBS, "j")["spec"]["suspend"], world.pods()) == (True, [])
    assert world.workload("j")["spec"]["podSets"][0]["count"] == 4


def test_a_workload_follows_its_job_until_it_is_admitted() -> None:
    world = World("a=8 b=8", queues="team=16")
    world.job("j")
    world.settle()
    world.store.patch(JOBS, "default", "j", {"spec": {"parallelism": 2, "completions": 2}})
    world.settle()
    assert world.workload("j")["spec"]["podSets"][0]["count"] == 2


def test_the_jobs_of_a_jobset_have_no_workload_of_their_own() -> None:
    world = World("a=8", queues="team=8")
    jobset(world, ("worker", 2, {}))
    world.store.patch(JOBSETS, "default", "s", {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}})
    world.run(5)
    assert [w["metadata"]["ownerReferences"][0]["kind"] for w in world.all(WORKLOADS)] == ["JobSet"]
    assert len(world.pods("Running")) == 2
    assert {p["metadata"]["labels"]["kueue.x-k8s.io/podset"] for p in world.pods()} == {"worker"}
    ranks = {p["metadata"]["annotations"]["bayplan.dev/parallelism"] for p in world.pods()}
    assert ranks == {"1"}


def test_pods_that_ended_for_good_give_up_their_place() -> None:
    world = World("a=8 b=8", queues="team=16")
    world.job("j", count=2, runtime=None, spec={"completionMode": "Indexed"})
    world.run(3)
    first = world.pods("Running")[0]["metadata"]["name"]
    world.store.patch("pods", "default", first, {"status": {"phase": "Succeeded"}}, subresource="status")
    world.run(2)
    assert world.workload("j")["status"]["reclaimablePods"] == [{"name": "main", "count": 1}]
    assert len(world.cluster.observe().workloads) == 1
    assert world.cycle().plan.decisions == ()


def test_a_pod_bound_by_hand_is_nobodys_to_admit() -> None:
    world = World("a=8")
    spec = world.template("0")["spec"] | {"nodeName": "a"}
    world.store.create("pods", "default", {"metadata": {"name": "static"}, "spec": spec})
    world.settle(2)
    assert world.all(WORKLOADS) == []
    assert world.get("pods", "static")["status"]["phase"] == "Running"


def test_the_pods_of_a_lost_node_go_with_it() -> None:
    world = World("a=8")
    world.pod("p", "0", runtime=None, restart="Always")
    bind(world, seconds=2)
    world.store.delete("nodes", None, "a")
    world.settle()
    assert world.pods() == []


# --- the work queue ----------------------------------------------------------------------------------------------


def test_what_the_api_refuses_is_told_and_tried_again() -> None:
    world = World("a=8")
    job(world, priority="urgent", runtime=1)
    world.settle()
    assert world.pods() == []
    assert "FailedReconcile" in world.events("j")
    world.priority("urgent", 5)
    world.settle(6)
    assert [p["spec"]["priority"] for p in world.pods()] == [5]


def test_falling_behind_the_stores_history_is_made_good() -> None:
    world = World("a=8", queues="team=8")
    world.settle()
    world.job("j")
    world.store.compact()
    world.run(3)
    assert len(world.pods("Running")) == 1
