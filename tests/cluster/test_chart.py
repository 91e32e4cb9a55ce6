"""The chart as the real Helm sees it: it renders what `bayplan install` applies, and the API server takes it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bayplan.app.manifests import Options, manifests
from bayplan.app.scheduler import NAMESPACE
from tests.controlplane.build import helm
from tests.controlplane.run import ControlPlane

CHART = str(Path(__file__).parents[2] / "deploy" / "chart")
NAMED = ("bayplan", CHART, "--namespace", NAMESPACE)


def run(*arguments: str) -> str:
    done = subprocess.run([str(helm()), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_helm_finds_nothing_wrong() -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in run("lint", "--strict", CHART)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        pytest.param((), Options(), id="as it comes"),
        pytest.param(("crds=false",), Options(crds=False), id="without Kueue's kinds"),
        pytest.param(("queues=kueue",), Options(queues="kueue"), id="beside a Kueue"),
        pytest.param(("replicas=3", "image=here/bayplan:1"), Options(replicas=3, image="here/bayplan:1"), id="tuned"),
        pytest.param(
            ("prices=true", "reserveAfter=1000000", "recoveryTimeout=0"),
            Options(prices=True, reserve_after_s=1_000_000, recovery_timeout_s=0),
            id="the scheduler's options",
        ),
    ],
)
def test_helm_renders_what_install_applies(values: tuple[str, ...], options: Options) -> None:
    chosen = [f"--set={v}" for v in values]
    rendered = [d for d in yaml.safe_load_all(run("template", *NAMED, *chosen)) if d]
    applied = [o for o in manifests(options) if o["kind"] != "Namespace"]  # Helm makes the one it installs into
    assert _by_name(rendered) == _by_name(applied)


def test_the_api_server_takes_what_helm_installs(plane: ControlPlane) -> None:
    admin = str(plane.kubeconfig(plane.token, "admin.kubeconfig"))
    run("install", *NAMED, "--kubeconfig", admin, "--dry-run=server", "--take-ownership", "--set=crds=false")


def _by_name(objects: list[Any]) -> dict[tuple[str, str], Any]:
    found = {(o["kind"], o["metadata"]["name"]): o for o in objects}
    assert len(found) == len(objects)
    return found
