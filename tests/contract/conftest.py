"""The bodies the contract runs against; the real API server only under `make test-cluster`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.contract.bodies import Body, embedded, embedded_over_http, real
from tests.controlplane.run import ControlPlane

GATES = "GenericWorkload=true,GangScheduling=true,DRAWorkloadResourceClaims=true,DRANodeAllocatableResources=true"
WITH_REAL = os.environ.get("BAYPLAN_TEST_CLUSTER") == "1"


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane | None]:
    if not WITH_REAL:
        yield None
        return
    with ControlPlane(gates=GATES, kueue=True) as plane:
        yield plane


@pytest.fixture(params=["embedded", "embedded over HTTP", *(["a real API server"] if WITH_REAL else [])])
def body(request: pytest.FixtureRequest, control_plane: ControlPlane | None) -> Iterator[Body]:
    if request.param == "a real API server":
        assert control_plane is not None
        made = real(control_plane)
    else:
        made = embedded() if request.param == "embedded" else embedded_over_http()
    with made as body:
        yield body
