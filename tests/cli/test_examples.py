"""What lies in examples/jobs starts on the fleet in examples/fleet.yaml, the way its comments say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bayplan.app.fleets import example_fleet
from bayplan.app.manifest import add, read_manifest
from bayplan.app.observed import mirrored, observed
from bayplan.app.views.plan import plan_view
from bayplan.clusters.simulator import fleet_objects
from bayplan.model.policy import Policy
from bayplan.wire.kinds import group_kind

JOBS = Path(__file__).parents[2] / "examples" / "jobs"


@pytest.fixture(scope="module")
def listed() -> dict[tuple[str, str], list[bytes]]:
    """The example fleet as an API server lists it."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for obj in fleet_objects(example_fleet()):
        found.setdefault(group_kind(obj), []).append(msgspec.json.encode(obj))
    return found


@pytest.mark.parametrize(
    ("file", "pods", "nodes", "rack"),
    [
        pytest.param("train.yaml", 8, 8, "h100-b0-r0", id="a gang of 64 gets a rack"),
        pytest.param("service.yaml", 6, 1, "", id="six services get one node"),
        pytest.param("single.yaml", 1, 1, "", id="a job of one GPU goes anywhere"),
    ],
)
def test_examples_start_as_they_say(
    listed: dict[tuple[str, str], list[bytes]], file: str, pods: int, nodes: int, rack: str
) -> None:
    mirror = mirrored(listed)
    seen = observed(mirror, (), 1_772_020_800)
    view = plan_view(add(seen, mirror, file, read_manifest(JOBS / file, "default")), Policy())
    assert view.starts
    spots = [spot for answer in view.answers for spot in answer.where]
    assert (sum(s.pods for s in spots), len({s.node for s in spots})) == (pods, nodes)
    assert view.answers[0].domain.rpartition("/")[2] == rack or not rack
