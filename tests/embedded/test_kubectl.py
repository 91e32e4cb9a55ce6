"""Stock kubectl against the embedded server: the verbs people use, by what they see."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.kubeconfig import write_kubeconfig
from bayplan.clusters.embedded.server import Server
from tests.controlplane.build import programs
from tests.embedded.objects import Object, config_map, deployment, job, owned, pod, widget, widget_definition

if os.environ.get("BAYPLAN_TEST_CLUSTER") == "1":
    KUBECTL: str | None = str(programs()["kubectl"])
else:
    KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH and $KUBECTL is not set")


class Kubectl:
    """kubectl with a kubeconfig and a discovery cache of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._config = write_kubeconfig(folder / "kubeconfig", url)

    def run(self, *arguments: str, given: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(KUBECTL), "--kubeconfig", str(self._config), "--cache-dir", str(self._folder / "cache")]
        return subprocess.run(
            [*command, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self._folder,
            env=os.environ | environment,
        )

    def __call__(self, *arguments: str, given: str | None = None, **environment: str) -> str:
        """What a successful command prints."""
        done = self.run(*arguments, given=given, **environment)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, given: str | None = None) -> str:
        """What a failing command prints as its error."""
        done = self.run(*arguments, given=given)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture
def kubectl(store: Store, tmp_path: Path) -> Iterator[Kubectl]:
    with Server(store, pod_logs=lambda namespace, name: f"step 1 of {name}\n") as server:
        yield Kubectl(tmp_path, server.url)


def manifest(*objects: Object) -> str:
    return yaml.safe_dump_all(objects)


def words(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_get_shows_why_and_start(kubectl: Kubectl, store: Store) -> None:
    notes = {"bayplan.dev/why": "needs-8-GPUs", "bayplan.dev/start": "14:25"}
    store.create("pods", "default", pod("a") | {"metadata": {"name": "a", "annotations": notes}})
    assert words(kubectl("get", "pods")) == [
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "WHY", "START"],
        ["a", "0/1", "Pending", "0", "0s", "needs-8-GPUs", "14:25"],
    ]
    store.bind("default", "a", "n1")
    wide = words(kubectl("get", "pods", "-o", "wide"))
    assert wide[0][7:9] == ["IP", "NODE"]
    assert wide[1][7:9] == ["<none>", "n1"]


def test_get_in_every_form(kubectl: Kubectl, store: Store) -> None:
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "y"})):
        store.create("pods", "default", pod(name, labels=labels))
    store.create("pods", "kube-system", pod("c"))
    assert kubectl("get", "pods", "-o", "name").split() == ["pod/a", "pod/b"]
    assert kubectl("get", "pods", "-l", "app=x", "-o", "name").split() == ["pod/a"]
    assert kubectl("get", "pods", "--field-selector", "metadata.name=b", "-o", "name").split() == ["pod/b"]
    assert yaml.safe_load(kubectl("get", "pod", "a", "-o", "yaml")) == store.get("pods", "default", "a")
    assert len(yaml.safe_load(kubectl("get", "pods", "-o", "json"))["items"]) == 2
    columns = kubectl("get", "po", "-A", "-o", "custom-columns=NS:.metadata.namespace,N:.metadata.name")
    assert words(columns) == [["NS", "N"], ["default", "a"], ["default", "b"], ["kube-system", "c"]]
    labelled = words(kubectl("get", "pods", "-L", "app", "--no-headers", "--sort-by=.metadata.labels.app"))
    assert [(row[0], row[-1]) for row in labelled] == [("a", "x"), ("b", "y")]
    assert 'pods "zzz" not found' in kubectl.fails("get", "pod", "zzz")
    assert "pod/a" in kubectl("get", "all")


def test_describe_reads_what_the_store_fills_in(kubectl: Kubectl, store: Store) -> None:
    store.create("pods", "default", pod("a"))
    store.create("deployments.apps", "default", deployment())
    store.create("jobs.batch", "default", job())
    meta = {"name": "e1"}
    about = {
        "kind": "Pod",
        "name": "a",
        "namespace": "default",
        "uid": store.get("pods", "default", "a")["metadata"]["uid"],
    }
    store.create(
        "events",
        "default",
        {"metadata": meta, "involvedObject": about, "reason": "Held", "message": "waits for 8 GPUs"},
    )
    assert "waits for 8 GPUs" in kubectl("describe", "pod", "a")
    assert "2 desired" in kubectl("describe", "deployment", "web")
    assert "Parallelism:" in kubectl("describe", "job", "j")
    assert words(kubectl("get", "events"))[1][1:4] == ["Held", "pod/a", "waits"]


def test_apply_diff_and_apply_again(kubectl: Kubectl, store: Store) -> None:
    first = manifest(deployment(), config_map(a="1", b="1"))
    assert kubectl("apply", "-f", "-", given=first) == "deployment.apps/web created\nconfigmap/cm created\n"
    assert kubectl("apply", "-f", "-", given=first) == "deployment.apps/web unchanged\nconfigmap/cm unchanged\n"
    changed = deployment(replicas=5)
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "X", "value": "1"}]
    second = manifest(changed, config_map(a="2"))
    difference = kubectl.run("diff", "-f", "-", given=second)
    assert difference.returncode == 1
    assert "+  replicas: 5" in difference.stdout
    assert store.get("deployments.apps", "default", "web")["spec"]["replicas"] == 2
    assert "configured" in kubectl("apply", "-f", "-", given=second)
    assert store.get("configmaps", "default", "cm")["data"] == {"a": "2"}
    assert kubectl.run("diff", "-f", "-", given=second).returncode == 0


def test_server_side_apply_names_the_manager_in_the_way(kubectl: Kubectl, store: Store) -> None:
    kubectl("apply", "--server-side", "--field-manager=first", "-f", "-", given=manifest(config_map(a="1")))
    second = ["apply", "--server-side", "--field-manager=second", "-f", "-"]
    error = kubectl.fails(*second, given=manifest(config_map(a="2")))
    assert 'Apply failed with 1 conflict: conflict with "first": .data.a' in error.replace(" using v1", "")
    kubectl(*second, "--force-conflicts", given=manifest(config_map(a="2")))
    assert store.get("configmaps", "default", "cm")["data"] == {"a": "2"}


def test_server_side_apply_takes_over_from_client_side(kubectl: Kubectl, store: Store) -> None:
    kubectl("apply", "-f", "-", given=manifest(config_map(a="1", b="1")))
    kubectl("apply", "--server-side", "-f", "-", given=manifest(config_map(a="2")))
    assert store.get("configmaps", "default", "cm")["data"] == {"a": "2"}


def test_create_run_label_annotate_scale_patch_replace(kubectl: Kubectl, store: Store) -> None:
    kubectl("create", "-f", "-", given=manifest(deployment()))
    assert "already exists" in kubectl.fails("create", "-f", "-", given=manifest(deployment()))
    kubectl("run", "p", "--image=python:3", "--labels=a=1", "--", "sleep", "9")
    kubectl("label", "pod", "p", "b=2")
    kubectl("label", "pod", "p", "a-")
    kubectl("annotate", "pods", "--all", "note=hello")
    meta = store.get("pods", "default", "p")["metadata"]
    assert (meta["labels"], meta["annotations"]) == ({"b": "2"}, {"note": "hello"})
    kubectl("scale", "deployment", "web", "--replicas=7")
    sidecar = '{"spec":{"template":{"spec":{"containers":[{"name":"s","image":"i"}]}}}}'
    kubectl("patch", "deployment", "web", "-p", sidecar)
    kubectl("patch", "deployment", "web", "--type=json", "-p", '[{"op":"add","path":"/spec/paused","value":true}]')
    kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"minReadySeconds":3}}')
    kubectl("set", "image", "deployment/web", "c=nginx:2")
    spec = store.get("deployments.apps", "default", "web")["spec"]
    assert (spec["replicas"], spec["paused"], spec["minReadySeconds"]) == (7, True, 3)
    assert [(c["name"], c["image"]) for c in spec["template"]["spec"]["containers"]] == [("s", "i"), ("c", "nginx:2")]
    kubectl("replace", "-f", "-", given=manifest(deployment(replicas=1)))
    assert store.get("deployments.apps", "default", "web")["spec"]["replicas"] == 1
    kubectl("edit", "deployment", "web", KUBE_EDITOR="sed -i s/nginx:1/nginx:9/")
    assert "nginx:9" in kubectl("get", "deployment", "web", "-o", "yaml")
    assert kubectl("logs", "p") == "step 1 of p\n"


def test_nodes_are_cordoned_and_tainted(kubectl: Kubectl, store: Store) -> None:
    store.create("nodes", None, {"metadata": {"name": "n1"}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}})
    kubectl("cordon", "n1")
    kubectl("taint", "nodes", "n1", "a=b:NoSchedule", "c=d:NoExecute")
    kubectl("taint", "nodes", "n1", "a-")
    assert [taint["key"] for taint in store.get("nodes", None, "n1")["spec"]["taints"]] == ["c"]
    assert words(kubectl("get", "nodes"))[1] == ["n1", "Unknown,SchedulingDisabled", "<none>", "0s", "8"]


def test_nodes_show_the_gpus_of_their_slices(kubectl: Kubectl, store: Store) -> None:
    store.create("nodes", None, {"metadata": {"name": "n1"}})
    devices = [{"name": f"gpu-{i}", "attributes": {"type": {"string": "gpu"}}} for i in range(4)]
    devices.append({"name": "mig-0", "attributes": {"type": {"string": "mig"}}})
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.nvidia.com", "nodeName": "n1", "pool": pool, "devices": devices}
    store.create("resourceslices.resource.k8s.io", None, {"metadata": {"name": "s"}, "spec": spec})
    assert words(kubectl("get", "nodes"))[1][-1] == "4"


def test_delete_takes_dependents_along(kubectl: Kubectl, store: Store) -> None:
    made = store.create("jobs.batch", "default", job())
    store.create("pods", "default", owned(pod("child"), made))
    for name, labels in (("x", {"a": "1"}), ("y", {"a": "2"})):
        store.create("pods", "default", pod(name, labels=labels))
    assert kubectl("delete", "job", "j").startswith('job.batch "j" deleted')  # newer ones name the namespace, too
    kubectl("delete", "pods", "-l", "a=1")
    assert [item["metadata"]["name"] for item in store.list("pods")[0]] == ["y"]
    kubectl("delete", "pods", "--all")
    kubectl("apply", "-f", "-", given=manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}))
    store.create("configmaps", "team", config_map())
    kubectl("delete", "namespace", "team")
    assert store.find("namespaces", None, "team") is None


def later(action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.4, action)
    timer.start()
    return timer


def test_wait_sees_a_condition_and_a_deletion(kubectl: Kubectl, store: Store) -> None:
    store.create("pods", "default", pod("p"))
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    later(lambda: store.patch("pods", "default", "p", ready, subresource="status"))
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    later(lambda: store.delete("pods", "default", "p"))
    assert "condition met" in kubectl("wait", "--for=delete", "pod/p", "--timeout=20s")


def test_get_w_follows(kubectl: Kubectl, store: Store) -> None:
    store.create("pods", "default", pod("p"))
    arguments = ["--kubeconfig", str(kubectl._config), "--cache-dir", str(kubectl._folder / "cache")]
    watching = subprocess.Popen([str(KUBECTL), *arguments, "get", "pods", "-w"], stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    try:
        seen = [watching.stdout.readline().split()[:1], watching.stdout.readline().split()[:3]]
        store.patch("pods", "default", "p", {"status": {"phase": "Running"}}, subresource="status")
        seen.append(watching.stdout.readline().split()[:3])
        assert seen == [["NAME"], ["p", "0/1", "Pending"], ["p", "0/1", "Running"]]
    finally:
        watching.terminate()
        watching.wait()


def test_custom_resources_work_like_built_in_ones(kubectl: Kubectl, store: Store) -> None:
    kubectl("apply", "-f", "-", given=manifest(widget_definition()))
    kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=20s")
    kubectl("apply", "-f", "-", given=manifest(widget(size=3)))
    assert words(kubectl("get", "wd")) == [["NAME", "SIZE"], ["w", "3"]]
    kubectl("scale", "widget", "w", "--replicas=5")
    kubectl("patch", "widget", "w", "--subresource=status", "--type=merge", "-p", '{"status":{"size":2}}')
    found = store.get("widgets.example.com", "default", "w")
    assert (found["spec"], found["status"]) == ({"size": 5, "color": "red"}, {"size": 2})
    error = kubectl.fails("apply", "-f", "-", given=manifest(widget(size=0)))
    assert error.strip().endswith("spec.size: Invalid value: 0: should be greater than or equal to 1")
    assert "color" in kubectl("explain", "widget.spec")


def test_what_is_served_is_listed(kubectl: Kubectl) -> None:
    listed = kubectl("api-resources")
    for line in ("pods", "jobs", "resourceclaims", "clusterqueues", "jobsets", "podgroups", "priorityclasses"):
        assert f"\n{line} " in listed
    assert "No resources found" in kubectl.run("get", "workloads").stderr
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"


def test_the_simple_creates_that_send_protobuf_work(kubectl: Kubectl, store: Store) -> None:
    assert kubectl("create", "namespace", "team") == "namespace/team created\n"
    kubectl("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=grün", "-n", "team")
    kubectl("create", "serviceaccount", "robot", "-n", "team")
    assert store.get("configmaps", "team", "settings")["data"] == {"a": "1", "b": "grün"}
    assert store.get("serviceaccounts", "team", "robot")
    assert "already exists" in kubectl.fails("create", "namespace", "team")


@pytest.mark.parametrize("arguments", [["job", "j", "--image=i"], ["deployment", "d", "--image=i"]])
def test_protobuf_is_refused_with_the_way_round_which_works(kubectl: Kubectl, arguments: list[str]) -> None:
    error = kubectl.fails("create", *arguments)
    assert "JSON and YAML, not protobuf" in error
    assert "kubectl apply -f -" in error
    written = kubectl("create", *arguments, "--dry-run=client", "-o", "yaml")
    assert "created" in kubectl("apply", "-f", "-", given=written)


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (pod("p", containers=[{"name": "c"}]), "spec.containers[0].image: Required value"),
        (job(parallelism=-1), "spec.parallelism: Invalid value: -1"),
        (pod("Upper"), 'metadata.name: Invalid value: "Upper"'),
        (pod("p", contaners=[]), 'unknown field "spec.contaners"'),
    ],
)
def test_a_bad_object_is_one_line_with_the_field(kubectl: Kubectl, store: Store, obj: Object, message: str) -> None:
    error = kubectl.fails("apply", "-f", "-", given=manifest(obj))
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert store.list("pods")[0] == []


def test_dry_runs_change_nothing(kubectl: Kubectl, store: Store) -> None:
    version = store.version
    kubectl("apply", "--dry-run=server", "-f", "-", given=manifest(pod()))
    kubectl("run", "p", "--image=i", "--dry-run=server")
    assert store.version == version
