"""The embedded cluster end to end: jobs wait, run, end and are evicted, with exact devices, in virtual time."""

from pathlib import Path

from bayplan.model import codec
from bayplan.model.device import ResourceClaimSpec
from bayplan.model.plan import Evict, Hold, Place, Plan, PodPlacement
from bayplan.model.reason import PendingEvaluation
from bayplan.runtime import Conflict
from bayplan.wire import patches
from tests.embedded.world import CLAIMS, JOBS, WORKLOADS, World

WHY, START = "bayplan.dev/why", "bayplan.dev/start"


def test_a_gang_runs_on_its_own_devices_and_gives_them_back() -> None:
    world = World("r1/a=8 r1/b=8", queues="team=16")
    world.job("train", "8", count=2)
    world.run(4)
    assert [p["spec"]["nodeName"] for p in world.pods("Running")] == ["a", "b"]
    assert len(world.devices_taken()) == 16
    world.run(12)
    assert world.conditions(JOBS, "train") == {"Complete": "CompletionsReached"}
    assert "Finished" in world.conditions(WORKLOADS, world.workload("train")["metadata"]["name"])
    assert world.devices_taken() == []


def test_a_job_without_room_waits_suspended_and_says_why() -> None:
    world = World("a=8", queues="team=8")
    world.job("first")
    world.run()
    world.job("second")
    world.run()
    second, workload = world.get(JOBS, "second"), world.workload("second")
    assert second["spec"]["suspend"]
    for about in (second, workload):
        assert "needs 8" in about["metadata"]["annotations"][WHY]
    waiting = {c["type"]: (c["status"], c["reason"]) for c in workload["status"]["conditions"]}
    assert waiting["QuotaReserved"] == ("False", "WaitingForQuota")
    world.run(13)
    assert not world.get(JOBS, "second")["spec"]["suspend"]
    notes = world.get(JOBS, "second")["metadata"]["annotations"]
    assert WHY not in notes
    assert START in notes


def test_the_second_of_two_gangs_gets_nothing_rather_than_half() -> None:
    world = World("r1/a=8 r1/b=8 r1/c=8", queues="team=64")
    world.job("one", "8", count=2)
    world.job("two", "8", count=2)
    world.run(3)
    assert [p["metadata"]["labels"]["job-name"] for p in world.pods()] == ["one", "one"]


def test_shares_of_one_card_go_to_one_card() -> None:
    world = World("a=1:a100share b=1:a100share", queues="team=8")
    for number in range(6):
        world.pod(f"serve-{number}", "12Gi", queue="team", runtime=None, restart="Always")
    world.run(4)
    assert len(world.pods("Running")) == 6
    assert len(set(world.devices_taken())) == 1


def test_a_more_important_gang_takes_the_place_of_a_lesser_one_and_hands_it_back() -> None:
    world = World("a=8", queues="team=8")
    world.priority("high", 100)
    world.job("low", runtime=60)
    world.run(3)
    world.job("high", priority="high", runtime=5)
    world.run(4)
    assert world.get(JOBS, "low")["spec"]["suspend"]
    assert world.conditions(WORKLOADS, world.workload("low")["metadata"]["name"])["Preempted"] == "InClusterQueue"
    assert "Preempted" in world.events(world.workload("low")["metadata"]["name"])
    assert [p["metadata"]["labels"]["job-name"] for p in world.pods("Running")] == ["high"]
    world.run(15)
    assert not world.get(JOBS, "low")["spec"]["suspend"]
    true = world.conditions(WORKLOADS, world.workload("low")["metadata"]["name"])
    assert {"Admitted", "QuotaReserved"} <= true.keys()
    assert "Preempted" not in true


def test_lone_pods_and_pods_of_services_are_admitted_one_by_one() -> None:
    world = World("a=8", queues="team=8")
    world.pod("notebook", "1", queue="team", runtime=None, restart="Always")
    world.run(3)
    assert world.pods("Running")[0]["spec"]["nodeName"] == "a"
    assert world.workload("notebook")["spec"]["podSets"][0]["count"] == 1
    world.store.delete("pods", "default", "notebook")
    world.run(2)
    assert (world.all("pods"), world.all(WORKLOADS), world.all(CLAIMS)) == ([], [], [])


def test_an_evicted_lone_pod_is_deleted() -> None:
    world = World("a=8", queues="team=8")
    world.priority("high", 100)
    world.pod("low", queue="team", runtime=600)
    world.run(3)
    world.pod("high", queue="team", priority="high", runtime=600)
    world.run(5)
    assert [p["metadata"]["name"] for p in world.pods()] == ["high"]


def test_a_plain_pod_group_runs_when_its_last_pod_has_come() -> None:
    world = World("a=8 b=8", queues="team=16")
    group = {"kueue.x-k8s.io/pod-group-name": "duo"}
    total = {"pod-group-total-count": "2"}
    world.pod("duo-0", queue="team", labels=group, **total)
    world.run(3)
    assert world.pods("Running") == []
    world.pod("duo-1", queue="team", labels=group, **total)
    world.run(3)
    assert sorted(p["spec"]["nodeName"] for p in world.pods("Running")) == ["a", "b"]
    world.run(12)
    assert world.conditions(WORKLOADS, "duo")["Finished"] == "Succeeded"


def test_a_native_pod_group_is_a_gang() -> None:
    world = World("a=8 b=8", queues="team=16")
    spec = {"schedulingPolicy": {"gang": {"minCount": 2}}}
    for name in ("w-0", "w-1"):
        template = world.template("8")
        template["spec"]["schedulingGroup"] = {"podGroupName": "w"}
        world.store.create("pods", "default", {"metadata": {"name": name}, "spec": template["spec"]})
        world.run(2)
        assert world.pods("Running") == []
    world.store.create("podgroups.scheduling.k8s.io", "default", {"metadata": {"name": "w"}, "spec": spec})
    world.run(3)
    assert sorted(p["spec"]["nodeName"] for p in world.pods("Running")) == ["a", "b"]
    assert world.conditions("podgroups.scheduling.k8s.io", "w") == {"PodGroupInitiallyScheduled": "Scheduled"}


def test_pods_that_share_a_claim_share_its_node() -> None:
    world = World("a=8 b=8", queues="team=16")
    spec = world.store.get("resourceclaimtemplates.resource.k8s.io", "default", world.claim_template("1"))["spec"][
        "spec"
    ]
    world.store.create(CLAIMS, "default", {"metadata": {"name": "both"}, "spec": spec})
    for name in ("p", "q"):
        template = world.template("0", runtime=None, restart="Always")
        template["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "both"}]
        world.store.create("pods", "default", {"metadata": {"name": name}, "spec": template["spec"]})
        world.run(3)
    assert len({p["spec"]["nodeName"] for p in world.pods("Running")}) == 1
    assert [r["name"] for r in world.get(CLAIMS, "both")["status"]["reservedFor"]] == ["p", "q"]
    world.store.delete("pods", "default", "p")
    world.run(2)
    assert [r["name"] for r in world.get(CLAIMS, "both")["status"]["reservedFor"]] == ["q"]
    world.store.delete("pods", "default", "q")
    world.run(2)
    assert world.get(CLAIMS, "both")["status"].get("allocation") is None


def test_carrying_a_plan_out_twice_is_carrying_it_out_once() -> None:
    world = World("a=8 b=8", queues="team=16")
    world.job("train", "8", count=2)
    world.cluster.observe()
    cycle = world.loop.cycle()
    world.cluster.apply(cycle.plan)
    version = world.store.version
    again = world.cluster.apply(cycle.plan)
    assert world.store.version == version
    assert again.admitted == again.bound == ()


def test_what_the_world_has_overtaken_is_a_conflict_and_nothing_of_it_is_done() -> None:
    world = World("a=8", queues="team=8")
    world.job("train")
    snapshot = world.cluster.observe()
    key, workload = next(iter(snapshot.workloads.items()))
    place = Place(key, (), cluster_queue="team", resource_version=workload.resource_version)
    gone = PodPlacement("main", 0, "a", pod="default/nobody")
    plan = Plan(
        decisions=(
            Place(key, (gone,), cluster_queue="team", resource_version=workload.resource_version),
            Hold("default/ended", (PendingEvaluation(),)),
            Evict(key, "default/x", "InClusterQueue", resource_version="1"),
        )
    )
    applied = world.cluster.apply(plan)
    assert applied.conflicts == (
        Conflict(key, f"Place {key}", "pod default/nobody has ended"),
        Conflict("default/ended", "Hold default/ended", "Workload default/ended has ended"),
        Conflict(key, f"Evict {key}", f"Workload {key} has changed"),
    )
    assert world.cluster.observe().workloads[key].admission is None
    assert world.cluster.apply(Plan(decisions=(place,))).admitted == (key,)


def test_people_are_told_where_a_pod_went_and_forget_it_after_an_hour() -> None:
    world = World("a=8", queues="team=8")
    world.pod("p", "1", queue="team", runtime=None, restart="Always")
    world.run(2)
    told = next(e for e in world.all("events") if e["reason"] == "Scheduled")
    assert told["message"] == f"Successfully assigned default/p to a on {world.devices_taken()[0].partition('/')[2]}"
    world.at_s += 3600
    world.run(2)
    assert world.all("events") == []


def test_deciding_again_changes_nothing() -> None:
    world = World("r1/a=8 r1/b=8", queues="team=16")
    world.job("train", "8", count=2, runtime=600)
    world.job("wait", "8", count=2)
    world.run(5)
    version = world.store.version
    world.run(5)
    assert world.store.version == version


def test_objects_that_cannot_be_read_are_told_so_and_leave_the_rest_alone() -> None:
    world = World("a=8", queues="team=8")
    notes = {"bayplan.dev/runtime-seconds": "soon"}
    spec = {"podSets": [{"name": "main", "count": 1, "template": world.template("8")}]}
    world.store.create(WORKLOADS, "default", {"metadata": {"name": "bad", "annotations": notes}, "spec": spec})
    world.job("good")
    world.job("odd", runtime=None)
    odd = world.get(JOBS, "odd")
    world.store.patch(JOBS, "default", "odd", {"metadata": {"annotations": notes}})
    world.run(3)
    assert "Malformed" in world.events("bad")
    assert "Malformed" in world.events("odd")
    assert odd["spec"].get("suspend") in (False, None)
    assert [p["metadata"]["labels"]["job-name"] for p in world.pods("Running")][:1] == ["good"]


def test_a_cluster_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "cluster.db")
    world = World("a=8", queues="team=8", path=path)
    world.job("train", runtime=20)
    world.run()
    world.job("next", runtime=20)
    world.run(4)
    world.store.close()
    again = World(path=path)
    again.at_s = world.at_s + 30
    again.run(3)
    assert again.conditions(JOBS, "train") == {"Complete": "CompletionsReached"}
    assert [p["metadata"]["labels"]["job-name"] for p in again.pods("Running")] == ["next"]


def test_wait_ends_when_something_is_written_or_due() -> None:
    world = World("a=8", queues="team=8")
    world.cluster.observe()
    assert not world.cluster.wait(0)
    world.job("train")
    assert world.cluster.wait(0)
    world.cycle()
    world.at_s += 1
    assert world.cluster.due_s() == world.at_s
    assert world.cluster.wait(60), "the pods start now"


def test_a_pod_that_asks_for_an_extended_resource_is_served_by_devices() -> None:
    """Its claim is made, named in its status as kube-scheduler would, and goes with it (KEP-5004)."""
    world = World("a=4", queues="team=4")
    needs = {"cpu": "1", "nvidia.com/gpu": "2"}
    template = world.template("0")
    template["spec"]["containers"][0]["resources"] = {"requests": needs, "limits": needs}
    labels = {"kueue.x-k8s.io/queue-name": "team"}
    job = {"metadata": {"name": "job", "labels": labels}, "spec": {"template": template}}
    world.store.create(JOBS, "default", job)
    world.run(3)
    (pod,) = world.pods("Running")
    (claim,) = world.all(CLAIMS)
    assert claim["metadata"]["annotations"] == {"resource.kubernetes.io/extended-resource-claim": "true"}
    assert claim["metadata"]["name"].startswith(f"{pod['metadata']['name']}-extended-resources-")
    assert pod["status"]["extendedResourceClaimStatus"] == {
        "resourceClaimName": claim["metadata"]["name"],
        "requestMappings": [
            {
                "containerName": "main",
                "resourceName": "nvidia.com/gpu",
                "requestName": "container-0-request-1",
            }
        ],
    }
    assert claim["status"]["reservedFor"][0]["uid"] == pod["metadata"]["uid"]
    assert world.devices_taken() == ["a/gpu-0", "a/gpu-1"]
    world.run(20)
    assert not world.all(CLAIMS) and not world.pods("Running")


def test_a_gang_of_1_35_runs_when_its_last_pod_has_come() -> None:
    """scheduling.k8s.io/v1alpha1: the groups stand in the native Workload, the pods name both."""
    world = World("a=8 b=8")
    groups = [{"name": "workers", "policy": {"gang": {"minCount": 2}}}, {"name": "rest", "policy": {"basic": {}}}]
    for number in range(3):
        template = world.template("8" if number < 2 else "0", runtime=5)
        group = "workers" if number < 2 else "rest"
        template["spec"] |= {"workloadRef": {"name": "w", "podGroup": group}, "schedulerName": "bayplan"}
        world.run(3)
        assert world.pods("Running") == []
        world.store.create("pods", "default", {"metadata": {"name": f"p{number}"}, "spec": template["spec"]})
    world.run(2)
    assert world.pods("Running") == []
    world.store.create(
        "workloads.scheduling.k8s.io", "default", {"metadata": {"name": "w"}, "spec": {"podGroups": groups}}
    )
    world.run(4)
    assert len(world.pods("Running")) == 3
    (gang,) = [w for w in world.all(WORKLOADS) if w["metadata"]["name"] == "w.workers"]
    assert [s["count"] for s in gang["spec"]["podSets"]] == [2]


def test_an_extended_claim_that_was_made_before_somebody_stopped_is_taken_up() -> None:
    world = World("a=4")
    needs = {"nvidia.com/gpu": "1"}
    template = world.template("0")
    template["spec"] |= {"schedulerName": "bayplan"}
    template["spec"]["containers"][0]["resources"] = {"limits": needs, "requests": needs}
    pod = world.store.create("pods", "default", {"metadata": {"name": "p"}, "spec": template["spec"]})
    request = {"name": "container-0-request-0", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    spec = codec.from_builtins({"devices": {"requests": [request]}}, ResourceClaimSpec)
    world.store.create(CLAIMS, "default", patches.extended_claim(pod, spec))
    world.run(3)
    assert len(world.all(CLAIMS)) == 1 and world.devices_taken() == ["a/gpu-0"]
