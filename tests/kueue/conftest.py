"""Tests beside a running Kueue: run by `make test-kueue`, and only by it, for its manager takes minutes to build."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bayplan.app.install import install
from bayplan.app.manifests import Options
from tests.cluster.world import World
from tests.controlplane.kueue import Kueue
from tests.controlplane.run import ControlPlane

if os.environ.get("BAYPLAN_TEST_KUEUE") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane with a Kueue that runs, and Bayplan's account for the place beside it."""
    with ControlPlane() as plane, Kueue(plane):
        admin = plane.kubeconfig(plane.token, "admin.kubeconfig")
        list(install(admin, Options(replicas=0, queues="kueue")))
        yield plane


@pytest.fixture
def world(plane: ControlPlane) -> Iterator[World]:
    world = World(plane)
    try:
        yield world
        world.clear()
    finally:
        world.close()
