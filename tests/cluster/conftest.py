"""Tests against a real control plane: run by `make test-cluster`, and only by it, for they need its programs built."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.process import Brain, installed
from tests.cluster.world import World
from tests.controlplane.run import ControlPlane

GATES = "GenericWorkload=true,GangScheduling=true,DRADeviceTaintRules=true,DRAWorkloadResourceClaims=true"

if os.environ.get("BAYPLAN_TEST_CLUSTER") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """One control plane for all tests, with Kueue's kinds and Bayplan's account in it."""
    with ControlPlane(gates=GATES, kueue=True) as plane:
        installed(plane)
        yield plane


@pytest.fixture
def world(plane: ControlPlane) -> Iterator[World]:
    """An empty cluster."""
    world = World(plane)
    try:
        yield world
        world.clear()
    finally:
        world.close()


@pytest.fixture
def brain(plane: ControlPlane, world: World) -> Iterator[Brain]:
    """A scheduler process, started and ready, under its own service account."""
    with Brain(plane) as brain:
        brain.wait_ready()
        yield brain
        print(f"--- {brain.log_path.name}\n{brain.log()[-4000:]}")  # shown where the test has failed
