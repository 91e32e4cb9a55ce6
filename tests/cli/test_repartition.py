"""`bayplan plan --repartition`: what people read of a proposal, and of none."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from tests.cli.scene import Scene, playing
from tests.shared import shared

FLEET = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: static}
nodes:
- {name: a100, count: 1, cpu: "64", memory: 512Gi}
- {name: dynamic, count: 1, gpu: a100-80gb-mig, gpus: 1, cpu: "64", memory: 512Gi}
teams:
- {name: team-a, quota: {a100: 1}}
"""
PODS = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: piece, namespace: team-a}
spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: mig.nvidia.com, selectors: [{cel:
  {expression: "device.attributes['gpu.nvidia.com'].profile == '2g.20gb'"}}]}}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: team-a}
spec:
  replicas: 3
  template:
    spec:
      schedulerName: bayplan
      nodeSelector: {kubernetes.io/hostname: a100-000}
      resourceClaims: [{name: gpu, resourceClaimTemplateName: piece}]
      containers: [{name: main, image: x, resources: {claims: [{name: gpu}]}}]
"""


@pytest.fixture
def static(tmp_path: Path) -> Scene:
    """A card cut into 3g, 2g and two 1g, and one that is cut on demand."""
    fleet = yaml.safe_load(FLEET)
    [announced] = yaml.safe_load_all(shared("fixtures/nvidia-a100-static-mig.yaml").read_text())
    del announced["metadata"]["ownerReferences"]
    announced["spec"]["nodeName"] = announced["spec"]["pool"]["name"] = "a100-000"
    fleet["objects"] = [announced]
    (tmp_path / "pods.yaml").write_text(PODS)
    with playing(tmp_path, yaml.safe_dump(fleet)) as made:
        yield made


def test_a_proposal_names_cards_gain_and_who_starts(static: Scene) -> None:
    ran = static.bayplan("plan --repartition pods.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == dedent("""
        NODE      GPU    NOW                            BETTER
        a100-000  gpu-0  2g.20gb, 2 × 1g.10gb, 3g.40gb  3 × 2g.20gb, 1g.10gb

        +0.5 GPUs at work, 2 workloads more would start now: chat-1 and chat-2
        nothing was changed: cut the cards anew once nobody uses them
        1 node with dynamic MIG: every plan picks partitions
        """).lstrip("\n")


def test_a_proposal_in_json_has_every_field(static: Scene) -> None:
    told = static.bayplan("plan --repartition -o json pods.yaml").json
    assert told["kind"] == "Repartition"
    assert told["layouts"][0]["after"] == ["2g.20gb", "2g.20gb", "2g.20gb", "1g.10gb"]
    assert (told["gain_milli"], told["starts"], told["dynamic"]) == (500, ["chat-1", "chat-2"], 1)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        pytest.param("plan --repartition", 1, "nothing waits; the 1 GPU cut beforehand", id="an empty queue"),
        pytest.param(
            "plan", 2, "expected a file of Kubernetes objects, or --repartition", id="neither file nor option"
        ),
    ],
)
def test_where_there_is_nothing_to_propose_it_says_so(static: Scene, line: str, code: int, said: str) -> None:
    ran = static.bayplan(line)
    assert ran.code == code
    assert said in ran.out + ran.err


def test_a_fleet_without_cut_cards_has_nothing_to_cut(scene: Scene) -> None:
    ran = scene.bayplan("plan --repartition")
    assert (ran.code, ran.out) == (1, "no GPU here is cut by MIG beforehand; there is nothing to cut anew\n")
