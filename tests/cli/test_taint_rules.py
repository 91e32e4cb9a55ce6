"""What people are told heeds DeviceTaintRules, in whichever version the server has them."""

from __future__ import annotations

import pytest

from bayplan.app import client
from tests.cli.scene import Scene

RULE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceTaintRule",
    "metadata": {"name": "away"},
    "spec": {"deviceSelector": {"driver": "gpu.nvidia.com"}, "taint": {"key": "example.com/t", "effect": "NoSchedule"}},
}
LATER = "apis/resource.k8s.io/v9/devicetaintrules"


@pytest.mark.parametrize("served", ["v1", "v1beta2"])
def test_a_plan_heeds_a_rule_that_taints_every_gpu(scene: Scene, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if served != "v1":
        monkeypatch.setitem(client._PLACES, ("resource.k8s.io", "DeviceTaintRule"), LATER)
        monkeypatch.setitem(client._BEFORE, LATER, f"apis/resource.k8s.io/{served}/devicetaintrules")
    (scene.folder / "job.yaml").write_text(scene.bayplan("run --gpus 1 -q team-b --dry-run --name one -- x").out)
    file = scene.folder / "job.yaml"
    assert scene.bayplan(f"plan {file}").code == 0
    scene.store.create("devicetaintrules.resource.k8s.io", None, RULE)
    assert scene.bayplan(f"plan {file}").code == 1
