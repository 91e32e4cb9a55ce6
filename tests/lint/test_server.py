"""The embedded API server refuses what the linter refuses, and takes every object Bayplan makes itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bayplan.clusters.embedded.errors import ApiError
from bayplan.clusters.embedded.store import Store
from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects
from bayplan.lint import lint
from tests.lint.objects import ask, claim

CLAIMS = "resourceclaims.resource.k8s.io"
FLEET = """\
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {name: demo}
nodes:
- {name: h100, count: 1, gpu: h100-80gb, cpu: "192", memory: 2Ti}
- {name: a100-mig, count: 1, gpu: a100-80gb-mig, cpu: "128", memory: 1Ti}
- {name: a100-shared, count: 1, gpu: a100-80gb-shared, cpu: "128", memory: 1Ti}
cohort: research
teams:
- {name: team-a, quota: {h100: 8, a100-mig: 8, a100-shared: 8}}
priorities: {batch: 0}
work: []
"""


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    made.create("namespaces", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml"}})
    yield made
    made.close()


def test_a_claim_that_the_linter_refuses_is_refused_with_its_field_path(store: Store) -> None:
    with pytest.raises(ApiError) as refused:
        store.create(CLAIMS, "ml", claim(ask(count=-1, cel="device.(")))
    causes = refused.value.status()["details"]["causes"]
    assert refused.value.status_code == 422
    assert {(cause["field"], cause["reason"]) for cause in causes} == {
        ("spec.devices.requests[0].exactly.selectors[0].cel.expression", "FieldValueInvalid"),
        ("spec.devices.requests[0].exactly.count", "FieldValueInvalid"),
    }


def test_an_allocation_is_written_once(store: Store) -> None:
    made = store.create(CLAIMS, "ml", claim(ask()))
    result = {"request": "gpu", "driver": "gpu.example.com", "pool": "n", "device": "gpu-0"}
    allocated = store.update_status(
        CLAIMS, "ml", {**made, "status": {"allocation": {"devices": {"results": [result]}}}}
    )
    other = {"allocation": {"devices": {"results": [result | {"device": "gpu-1"}]}}}
    with pytest.raises(ApiError, match=r"status\.allocation: Invalid value"):
        store.update_status(CLAIMS, "ml", {**allocated, "status": other})


def test_what_bayplan_makes_of_a_fleet_file_has_nothing_wrong_with_it() -> None:
    fleet = parse_fleet(FLEET)
    notes = [note for each in lint(fleet_objects(fleet)) for note in each]
    assert [note for note in notes if note.severity == "error"] == []
