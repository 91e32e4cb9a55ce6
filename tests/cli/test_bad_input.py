"""Bad input gets one line that names the file, the field and what was expected, and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bayplan.cli import main
from tests.cli.scene import FLEET, Scene, playing

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: train, namespace: team-a, labels: {kueue.x-k8s.io/queue-name: team-a}}
spec:
  parallelism: 2
  template:
    spec:
      containers: [{name: main, image: x, resources: {requests: {cpu: "4"}}}]
"""
TEMPLATE = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: gpu, namespace: team-a}
spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com,
  selectors: [{cel: {expression: "device.driver == "}}]}}]}}}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with playing(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def scene(cluster: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """One cluster for all: bad input leaves it as it was."""
    monkeypatch.chdir(cluster.folder)
    (cluster.folder / "fleet.yaml").write_text(FLEET)
    cluster.bayplan("queue")
    return cluster


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("kind: [", "job.yaml: line 1: ", id="YAML that does not parse is told by its line"),
        pytest.param("just words", "job.yaml: expected Kubernetes objects, got str", id="a text is no object"),
        pytest.param(
            "kind: Job", "job.yaml: apiVersion: is required on every object", id="an object has an apiVersion"
        ),
        pytest.param(
            "{apiVersion: batch/v1, kind: Job}", "job.yaml: Job: metadata.name: is required", id="an object has a name"
        ),
        pytest.param(
            JOB.replace('"4"', "4 cores"), "job.yaml: Workload team-a/", id="an impossible quantity is told by its path"
        ),
        pytest.param(
            JOB.replace("parallelism: 2", "parallelism: two"),
            "job.yaml: Job team-a/train: spec.parallelism: expected a whole number, got 'two'",
            id="a word is no number of pods",
        ),
        pytest.param(
            JOB.replace("labels: {kueue.x-k8s.io/queue-name: team-a}", "labels: {}"),
            "job.yaml: Job team-a/train is not Bayplan's: expected the label kueue.x-k8s.io/queue-name",
            id="a job of another scheduler is said to be one",
        ),
        pytest.param(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}",
            "job.yaml: expected a Job, JobSet, Deployment, Pod or another kind of job; the file has none",
            id="a file without work has no plan",
        ),
        pytest.param(
            TEMPLATE,
            "job.yaml: ResourceClaimTemplate team-a/gpu: spec.spec.devices.requests[0].exactly.selectors[0].cel.expr",
            id="a selector that does not compile is told by its path",
        ),
    ],
)
def test_plan_tells_what_is_wrong_with_a_file(scene: Scene, text: str, told: str) -> None:
    (scene.folder / "job.yaml").write_text(text)
    assert_told(scene, "plan job.yaml", told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("plan nothing.yaml", "nothing.yaml: No such file or directory"),
        ("run --gpus 1 -- x", "--queue: expected one of team-a/team-a, team-b/team-b"),
        (
            "run --gpus 1 -q team-x -- x",
            "--queue: expected a queue, got 'team-x'; there are: team-a/team-a, team-b/team-b",
        ),
        ("run --gpu-memory much -q team-a -- x", "--gpu-memory: expected a quantity such as 12Gi, got 'much'"),
        ("run --gpu-memory 12Gi --gpus 2 -q team-a -- x", "--gpu-memory: a share is of one GPU"),
        ("run --memory -1Gi -q team-a -- x", "--memory: expected a quantity above 0, got '-1Gi'"),
        ("run --name No_Name -q team-a -- x", "--name: expected up to 52 of a-z, 0-9 and '-', got 'No_Name'"),
        ("run --topology shelf -q team-a -- x", "--topology: expected one of block, rack, hostname, got 'shelf'"),
        ("run --priority vip -q team-a -- x", "--priority: expected one of batch, production, got 'vip'"),
        ("run --runtime soon -q team-a -- x", "--runtime: expected a time such as 90s, 30min, 2h or 1h30m, got 'soon'"),
        ("run --gpus many -q team-a -- x", "Invalid value for '--gpus'"),
        ("map --rack r99", "--rack: no rack, block or node with GPUs is called 'r99'"),
        ("map --svg no/such/folder.svg", "--svg: no/such/folder.svg: No such file or directory"),
        ("queue --kubeconfig nowhere", "nowhere: no such kubeconfig file"),
        ("why", "Missing argument"),
        ("qeue", "No such command 'qeue'. Did you mean 'queue'?"),
        ("replay nowhere.gz", "nowhere.gz: No such file or directory"),
        ("replay kubeconfig", "kubeconfig: byte 0: not a journal, or damaged"),
        ("simulate fleet.yaml --policy worst-fit", "--policy: expected some of "),
        ("simulate nowhere.csv", "nowhere.csv: No such file or directory"),
        ("up --fleet kubeconfig --data other", "kubeconfig: "),
        ("up --fleet fleet.yaml --data fleet.yaml", "--data: fleet.yaml: File exists"),
        ("queue -o yaml", "Invalid value for '--output' / '-o'"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(scene: Scene, line: str, told: str) -> None:
    assert_told(scene, line, told)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("gpu: h100-80gb, cpu", "fleet.yaml: nodes[0].gpu: expected a GPU model"),
        ("count: 4", "fleet.yaml: nodes[0].count: expected 1 to 20000, got 0"),
        ("quota: {h100: 24", "fleet.yaml: teams[0].quota.h200: expected a node group (h100, a100), got 'h200'"),
        ("rackSize: 2", "fleet.yaml: "),
    ],
)
def test_a_wrong_fleet_file_starts_nothing(scene: Scene, wrong: str, told: str) -> None:
    changed = {
        "gpu: h100-80gb, cpu": "gpu: h1000, cpu",
        "count: 4": "count: 0",
        "quota: {h100: 24": "quota: {h200: 24",
        "rackSize: 2": "rackSise: 2",
    }[wrong]
    (scene.folder / "fleet.yaml").write_text(FLEET.replace(wrong, changed, 1))
    assert_told(scene, "up --fleet fleet.yaml --data other", told)
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("config", "code", "told"),
    [
        ("not: a kubeconfig", 2, "kube: current-context: expected one of contexts, got ''"),
        ("- 1", 2, "kube: expected a kubeconfig"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]",
            2,
            "kube: contexts.cluster: expected one of",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\n"
            "clusters: [{name: b, cluster: {server: x}}]",
            2,
            "kube: clusters.cluster.server: expected an http or https address, got 'x'",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: b}}]\n"
            "clusters: [{name: b, cluster: {server: 'http://127.0.0.1:9'}}]",
            3,
            "http://127.0.0.1:9 does not answer",
        ),
    ],
)
def test_a_wrong_kubeconfig_is_told_by_its_field(scene: Scene, config: str, code: int, told: str) -> None:
    (scene.folder / "kube").write_text(config)
    assert_told(scene, "queue --kubeconfig kube", told, code)


def test_no_cluster_at_all_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue"]) == 3
    assert capsys.readouterr().err.startswith("bayplan: no cluster: start one with `bayplan up`")


def test_what_the_api_refuses_is_told_in_its_own_words(scene: Scene) -> None:
    line = "run --gpus 1 -q team-a --name twice -- x"
    assert scene.bayplan(line).code == 0
    assert_told(scene, line, 'resourceclaimtemplates.resource.k8s.io "twice" already exists')


def assert_told(scene: Scene, line: str, told: str, code: int = 2) -> None:
    before = scene.store.version
    ran = scene.bayplan(line)
    assert ran.code == code, ran
    assert ran.out == ""
    assert ran.err.startswith(f"bayplan: {told}"), ran.err
    assert ran.err.count("\n") == 1
    assert scene.store.version == before, "nothing is half applied"
