"""What a client of the Kubernetes API may rely on, asked of the store in process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.disk import Disk, StoreFileError
from bayplan.clusters.embedded.errors import internal
from tests.embedded.conftest import Clock, counted_uids
from tests.embedded.objects import config_map, deployment, job, pod, raises, widget, widget_definition

JOBS, DEPLOYMENTS, CLAIMS = "jobs.batch", "deployments.apps", "resourceclaims.resource.k8s.io"


def test_a_new_object_gets_identity_version_and_time(store: Store) -> None:
    made = store.create("configmaps", "default", config_map(a="1"))
    assert made["metadata"]["uid"]
    assert made["metadata"]["namespace"] == "default"
    assert made["metadata"]["creationTimestamp"] == "2026-11-02T12:00:00Z"
    assert int(made["metadata"]["resourceVersion"]) == store.version


def test_versions_grow_over_all_resources(store: Store) -> None:
    first = store.create("configmaps", "default", config_map())
    second = store.create("pods", "default", pod())
    assert int(second["metadata"]["resourceVersion"]) == int(first["metadata"]["resourceVersion"]) + 1


def test_what_is_returned_belongs_to_the_caller(store: Store) -> None:
    made = store.create("configmaps", "default", config_map(a="1"))
    made["data"]["a"] = "changed"
    assert store.get("configmaps", "default", "cm")["data"] == {"a": "1"}


def test_a_name_is_taken_once(store: Store) -> None:
    store.create("configmaps", "default", config_map())
    with raises(409, "AlreadyExists", 'configmaps "cm" already exists'):
        store.create("configmaps", "default", config_map())


def test_generate_name_appends_five_letters_that_a_seeded_world_repeats(clock: Clock) -> None:
    def names() -> list[str]:
        store = Store(now=clock, uids=counted_uids())
        obj = config_map() | {"metadata": {"generateName": "run-"}}
        return [store.create("configmaps", "default", obj)["metadata"]["name"] for _ in range(3)]

    assert names() == names()
    assert len(set(names())) == 3
    assert all(len(name) == len("run-") + 5 for name in names())


def test_an_update_from_a_stale_copy_is_a_conflict(store: Store) -> None:
    stale = store.create("configmaps", "default", config_map(a="1"))
    store.patch("configmaps", "default", "cm", {"data": {"a": "2"}})
    with raises(409, "Conflict", "the object has been modified"):
        store.update("configmaps", "default", stale | {"data": {"a": "3"}})


def test_an_update_without_a_version_is_not_a_conflict(store: Store) -> None:
    store.create("configmaps", "default", config_map(a="1"))
    assert store.update("configmaps", "default", config_map(a="3"))["data"] == {"a": "3"}


def test_an_update_of_another_incarnation_is_a_conflict(store: Store) -> None:
    old = store.create("configmaps", "default", config_map())
    store.delete("configmaps", "default", "cm")
    store.create("configmaps", "default", config_map())
    del old["metadata"]["resourceVersion"]
    with raises(409, "Conflict", "UID in precondition"):
        store.update("configmaps", "default", old)


def test_writing_the_same_again_makes_no_version(store: Store) -> None:
    made = store.create("deployments.apps", "default", deployment())
    version = store.version
    store.update(DEPLOYMENTS, "default", made)
    store.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 2}})
    assert store.version == version


def test_generation_counts_changes_of_the_spec_only(store: Store) -> None:
    store.create(DEPLOYMENTS, "default", deployment())
    steps = [
        ({"metadata": {"labels": {"a": "b"}}}, "", 1),
        ({"status": {"replicas": 1}}, "status", 1),
        ({"spec": {"replicas": 3}}, "", 2),
    ]
    for patch, subresource, generation in steps:
        written = store.patch(DEPLOYMENTS, "default", "web", patch, subresource=subresource).decode()
        assert written["metadata"]["generation"] == generation


def test_create_drops_the_status_and_main_writes_do_not_touch_it(store: Store) -> None:
    made = store.create(JOBS, "default", job() | {"status": {"active": 9}})
    assert "status" not in made
    store.patch(JOBS, "default", "j", {"status": {"active": 1}}, subresource="status")
    written = store.update(JOBS, "default", made | {"metadata": {"name": "j", "labels": {"x": "y"}}, "status": {}})
    assert written["status"] == {"active": 1}


def test_a_status_write_touches_nothing_else(store: Store) -> None:
    made = store.create(JOBS, "default", job(parallelism=2))
    made["spec"]["parallelism"] = 9
    made["metadata"]["labels"] = {"x": "y"}
    made["status"] = {"active": 1}
    written = store.update_status(JOBS, "default", made)
    assert (written["status"], written["spec"]["parallelism"]) == ({"active": 1}, 2)
    assert "labels" not in written["metadata"]


def test_nothing_is_created_in_a_namespace_that_does_not_exist(store: Store) -> None:
    with raises(404, "NotFound", 'namespaces "nowhere" not found'):
        store.create("pods", "nowhere", pod())


def test_the_namespace_of_object_and_request_must_agree(store: Store) -> None:
    with raises(400, "BadRequest", "does not match the namespace sent on the request"):
        store.create("pods", "default", pod() | {"metadata": {"name": "p", "namespace": "kube-system"}})


def test_a_resource_that_is_not_served_is_not_found(store: Store) -> None:
    with raises(404, "NotFound", "gadgets.example.com is not served"):
        store.list("gadgets.example.com")


def test_a_list_is_ordered_and_tells_its_version(store: Store) -> None:
    for name in ("b", "a", "c"):
        store.create("configmaps", "default", config_map(name))
    store.create("configmaps", "kube-system", config_map("0"))
    items, version = store.list("configmaps")
    names = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    assert names == [("default", "a"), ("default", "b"), ("default", "c"), ("kube-system", "0")]
    assert version == store.version
    assert [item["metadata"]["name"] for item in store.list("configmaps", "kube-system")[0]] == ["0"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=web", ["a", "b"]),
        ("app==web,tier=1", ["a"]),
        ("app!=web", ["c", "d"]),
        ("app in (web, db)", ["a", "b", "c"]),
        ("app notin (web)", ["c", "d"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c", "d"]),
        ("tier>1", ["b"]),
        ("tier<2", ["a"]),
        ("", ["a", "b", "c", "d"]),
    ],
)
def test_a_label_selector_selects(store: Store, selector: str, names: list[str]) -> None:
    labels = {"a": {"app": "web", "tier": "1"}, "b": {"app": "web", "tier": "2"}, "c": {"app": "db"}, "d": {}}
    for name, each in labels.items():
        store.create("pods", "default", pod(name, labels=each))
    found, _ = store.list("pods", label_selector=selector)
    assert [item["metadata"]["name"] for item in found] == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.namespace!=default", []),
        ("spec.nodeName=", ["b"]),
        ("spec.nodeName=n1", ["a"]),
        ("status.phase!=Running,spec.nodeName!=n1", ["b"]),
    ],
)
def test_a_field_selector_selects(store: Store, selector: str, names: list[str]) -> None:
    for name in ("a", "b"):
        store.create("pods", "default", pod(name))
    store.bind("default", "a", "n1")
    found, _ = store.list("pods", field_selector=selector)
    assert [item["metadata"]["name"] for item in found] == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_selector": "a=b=c"}, "unable to parse requirement"),
        ({"label_selector": "a in b"}, "unable to parse requirement"),
        ({"field_selector": "spec.color=red"}, 'field label not supported for Pod: "spec.color"'),
        ({"field_selector": "nonsense"}, "invalid field selector"),
    ],
)
def test_a_selector_that_does_not_parse_is_a_bad_request(store: Store, options: dict[str, str], message: str) -> None:
    with raises(400, "BadRequest", message):
        store.list("pods", **options)  # type: ignore[arg-type]


def test_binding_gives_a_pod_its_node_once(store: Store) -> None:
    store.create("pods", "default", pod())
    bound = store.bind("default", "p", "n1", annotations={"why": "it fits"})
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["metadata"]["annotations"] == {"why": "it fits"}
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    with raises(409, "Conflict", "already assigned to node 'n1'"):
        store.bind("default", "p", "n2")


@pytest.mark.parametrize(
    ("resource", "obj", "patch", "field"),
    [
        (JOBS, job(), {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}, "spec.template"),
        (JOBS, job(completions=2), {"spec": {"completions": 3}}, "spec.completions"),
        (DEPLOYMENTS, deployment(), {"spec": {"selector": {"matchLabels": {"b": "c"}}}}, "spec.selector"),
        ("pods", pod(), {"spec": {"nodeName": "n1"}}, "spec"),
        (
            CLAIMS,
            {
                "metadata": {"name": "c"},
                "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}},
            },
            {"spec": {"devices": {"requests": []}}},
            "spec",
        ),
        (
            "podgroups.scheduling.k8s.io",
            {"metadata": {"name": "g"}, "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}},
            {"spec": {"schedulingPolicy": {"basic": {}, "gang": None}}},
            "spec",
        ),
        ("configmaps", config_map(a="1") | {"immutable": True}, {"data": {"a": "2"}}, "data"),
    ],
    ids=[
        "the template of a running job",
        "the completions of a job",
        "the selector of a deployment",
        "the node of a pod, except by binding",
        "the spec of a claim",
        "the policy of a pod group",
        "the data of an immutable config map",
    ],
)
def test_an_immutable_field_stays(store: Store, resource: str, obj: dict, patch: dict, field: str) -> None:  # type: ignore[type-arg]
    made = store.create(resource, "default", obj)
    name = made["metadata"]["name"]
    with raises(422, "Invalid", f"{field}: "):
        store.patch(resource, "default", name, patch)
    assert store.get(resource, "default", name) == made


@pytest.mark.parametrize(
    ("resource", "obj", "patch"),
    [
        (JOBS, job(suspend=True), {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}, "suspend": False}}),
        ("pods", pod(), {"spec": {"tolerations": [{"operator": "Exists"}]}}),
        ("pods", pod(schedulingGates=[{"name": "g"}]), {"spec": {"schedulingGates": None, "nodeSelector": {"a": "b"}}}),
        (
            "podgroups.scheduling.k8s.io",
            {"metadata": {"name": "g"}, "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}},
            {"spec": {"schedulingPolicy": {"gang": {"minCount": 3}}}},
        ),
    ],
    ids=[
        "the placement of a suspended job",
        "another toleration of a pod",
        "the last gate of a pod, and where it may go",
        "the size of a gang",
    ],
)
def test_a_field_that_may_change_changes(store: Store, resource: str, obj: dict, patch: dict) -> None:  # type: ignore[type-arg]
    made = store.create(resource, "default", obj)
    assert store.patch(resource, "default", made["metadata"]["name"], patch).decode() != made


def test_defaults_that_readers_rely_on(store: Store) -> None:
    made = store.create("pods", "default", pod())
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["spec"]["schedulerName"] == "default-scheduler"
    assert made["spec"]["priority"] == 0
    made = store.create(JOBS, "default", job())
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == "j"
    assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_pod_takes_the_value_of_its_priority_class(store: Store) -> None:
    store.create("priorityclasses.scheduling.k8s.io", None, {"metadata": {"name": "high"}, "value": 9})
    assert store.create("pods", "default", pod(priorityClassName="high"))["spec"]["priority"] == 9
    with raises(403, "Forbidden", "no PriorityClass with name low was found"):
        store.create("pods", "default", pod("q", priorityClassName="low"))


def test_a_dry_run_answers_and_leaves_no_trace(store: Store) -> None:
    version = store.version
    watch = store.watch(["pods"])
    assert store.create("pods", "default", pod(), dry_run=True)["metadata"]["uid"]
    assert (store.find("pods", "default", "p"), store.version, watch.poll()) == (None, version, [])
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition(), dry_run=True)
    assert "widgets.example.com" not in store.kinds


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    store.create("configmaps", "default", config_map(a="1"))
    version = store.version
    with raises(409, "AlreadyExists"), store.transaction():
        store.patch("configmaps", "default", "cm", {"data": {"a": "2"}})
        store.create("pods", "default", pod())
        store.create("configmaps", "default", config_map())
    assert store.get("configmaps", "default", "cm")["data"] == {"a": "1"}
    assert (store.find("pods", "default", "p"), store.version) == (None, version)


def test_a_failed_write_inside_a_transaction_undoes_only_itself(store: Store) -> None:
    with store.transaction():
        store.create("configmaps", "default", config_map())
        with raises(409, "AlreadyExists"):
            store.create("configmaps", "default", config_map())
        store.create("pods", "default", pod())
    assert store.find("configmaps", "default", "cm")
    assert store.find("pods", "default", "p")


def test_opening_the_file_again_finds_the_cluster(tmp_path: Path) -> None:
    path = str(tmp_path / "cluster.db")
    store = Store(path)
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    store.create("widgets.example.com", "default", widget(size=3))
    store.create("pods", "default", pod())
    store.delete("pods", "default", "p")
    version = store.version
    store.close()
    again = Store(path)
    assert again.version == version
    assert again.get("widgets.example.com", "default", "w")["spec"]["size"] == 3
    assert again.find("pods", "default", "p") is None
    with raises(410, "Expired"):
        again.watch(["pods"], since=version - 1).poll()
    again.close()


def test_a_write_that_the_disk_refuses_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "cluster.db"))
    store.create("configmaps", "default", config_map(a="1"))
    version, watch = store.version, store.watch(["configmaps"])

    def full(*arguments: object) -> None:
        raise internal("the cluster's store could not be written: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Disk, "commit", full)
        with raises(500, "InternalError", "disk is full"):
            store.patch("configmaps", "default", "cm", {"data": {"a": "2"}})
        with raises(500, "InternalError", "disk is full"):
            store.delete("configmaps", "default", "cm")
    assert store.get("configmaps", "default", "cm")["data"] == {"a": "1"}
    assert (store.version, watch.poll()) == (version, [])
    store.patch("configmaps", "default", "cm", {"data": {"a": "3"}})
    store.close()
    again = Store(str(tmp_path / "cluster.db"))
    assert again.get("configmaps", "default", "cm")["data"] == {"a": "3"}
    again.close()


def test_a_file_serves_one_process_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "cluster.db")
    store = Store(path)
    with pytest.raises(StoreFileError, match="another process uses it"):
        Store(path)
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cluster.db"
    path.write_text("not a database, but long enough to be looked at as one: " * 40)
    with pytest.raises(StoreFileError, match=r"cluster\.db: cannot open the cluster's store: file is not a database"):
        Store(str(path))


def test_a_definition_of_a_built_in_kind_changes_nothing(store: Store) -> None:
    definition = widget_definition()
    definition["metadata"]["name"] = "workloads.kueue.x-k8s.io"
    definition["spec"]["group"] = "kueue.x-k8s.io"
    definition["spec"]["names"] = {"plural": "workloads", "kind": "Workload"}
    definitions = "customresourcedefinitions.apiextensions.k8s.io"
    store.create(definitions, None, definition)
    assert not store.kinds.of("workloads.kueue.x-k8s.io").custom
    store.delete(definitions, None, "workloads.kueue.x-k8s.io")
    assert "workloads.kueue.x-k8s.io" in store.kinds
