"""Which changes of a lone pod are worth a look at its Workload."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from bayplan.runtime.controllers.pods import Whose, pod_controller
from bayplan.runtime.objects import Change, Objects, Record
from bayplan.workloads.translate import merged

POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "1"}},
    "spec": {"schedulerName": "bayplan", "containers": [{"name": "main"}]},
    "status": {"phase": "Pending"},
}


def record(pod: Any, version: int) -> Record:
    return Record("pods", "n", "p", "u", version, msgspec.json.encode(pod), {}, {}, (), False)


@pytest.mark.parametrize(
    ("patch", "looked_at"),
    [
        ({"metadata": {"resourceVersion": "7", "managedFields": [{"manager": "m"}]}}, False),
        ({"status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu"}]}}, False),
        ({"status": {"phase": "Succeeded"}}, True),
        ({"metadata": {"labels": {"a": "2"}}}, True),
        ({"metadata": {"annotations": {"bayplan.dev/runtime-seconds": "60"}}}, True),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, True),
        ({"spec": {"nodeName": "a"}}, True),
    ],
)
def test_a_lone_pod_is_looked_at_for_what_its_workload_is_made_of(patch: Any, looked_at: bool) -> None:
    keys = pod_controller(Whose()).keys
    assert keys is not None
    change = Change(2, "MODIFIED", record(merged(POD, patch), 2), record(POD, 1))
    assert list(keys(cast(Objects, None), change)) == ([("n", "pod/p")] if looked_at else [])
