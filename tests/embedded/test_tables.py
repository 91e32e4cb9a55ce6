"""What people see in `kubectl get`: durations, words for states, and the columns of each kind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.columns import human_duration
from bayplan.clusters.embedded.jsonpath import find
from bayplan.clusters.embedded.tables import columns_of, table
from tests.embedded.objects import Object, deployment, job, pod, widget, widget_definition

NOW = datetime(2026, 11, 2, 13, 0, tzinfo=UTC)


def shown(store: Store, resource: str, obj: Object) -> dict[str, Any]:
    """The cells of one object by column, without the wide ones."""
    kind = store.kinds.of(resource)
    obj = {"metadata": {"name": "x", "creationTimestamp": "2026-11-02T12:00:00Z"}, **obj}
    made = table(columns_of(kind, kind.versions[0], store), [obj], NOW, metadata={})
    cells = zip(made["columnDefinitions"], made["rows"][0]["cells"], strict=True)
    return {column["name"]: cell for column, cell in cells if not column["priority"]}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (11 * 60, "11m"),
        (179 * 60, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (9 * 3600 + 300, "9h"),
        (50 * 3600, "2d2h"),
        (10 * 86400 + 3600, "10d"),
        (800 * 86400, "2y70d"),
        (-1, "0s"),
        (-9, "<invalid>"),
    ],
)
def test_a_duration_is_as_precise_as_it_matters(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def status(**fields: Any) -> Object:
    return {**pod(), "status": fields, "metadata": {"name": "x"}}


GATED = {"type": "PodScheduled", "reason": "SchedulingGated"}
DONE = {"state": {"terminated": {"reason": "Completed"}}}


@pytest.mark.parametrize(
    ("obj", "word"),
    [
        (status(phase="Running"), "Running"),
        (status(phase="Failed", reason="Evicted"), "Evicted"),
        (
            status(phase="Pending", conditions=[GATED]),
            "SchedulingGated",
        ),
        (
            status(phase="Succeeded", containerStatuses=[DONE]),
            "Completed",
        ),
        (status(phase="Running", containerStatuses=[{"state": {"waiting": {"reason": "CrashLoop"}}}]), "CrashLoop"),
        (status(phase="Running") | {"metadata": {"name": "x", "deletionTimestamp": "t"}}, "Terminating"),
        (status(), "Unknown"),
        (status(phase="Running", containerStatuses=7), "<invalid>"),
    ],
)
def test_the_state_of_a_pod_is_one_word(store: Store, obj: Object, word: str) -> None:
    assert shown(store, "pods", obj)["Status"] == word


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (
            "jobs.batch",
            job(completions=4)
            | {"status": {"succeeded": 1, "startTime": "2026-11-02T12:55:00Z"}}
            | {"metadata": {"name": "x", "creationTimestamp": "2026-11-02T12:00:00Z"}},
            {"Status": "Running", "Completions": "1/4", "Duration": "5m", "Age": "60m"},
        ),
        (
            "deployments.apps",
            {"spec": deployment()["spec"], "status": {"readyReplicas": 1, "updatedReplicas": 2}},
            {"Ready": "1/2", "Up-to-date": 2, "Available": 0},
        ),
        (
            "workloads.kueue.x-k8s.io",
            {
                "spec": {"queueName": "q"},
                "status": {
                    "admission": {"clusterQueue": "team-a"},
                    "conditions": [{"type": "QuotaReserved", "status": "True"}, {"type": "Admitted", "status": "True"}],
                },
            },
            {"Queue": "q", "Reserved in": "team-a", "Admitted": "True", "Why": "", "Start": ""},
        ),
        (
            "resourceclaims.resource.k8s.io",
            {"status": {"allocation": {"devices": {}}, "reservedFor": [{"name": "p"}]}},
            {"State": "allocated,reserved"},
        ),
        ("resourceclaims.resource.k8s.io", {}, {"State": "pending"}),
        (
            "events",
            {"involvedObject": {"kind": "Pod", "name": "p"}, "lastTimestamp": "2026-11-02T12:59:00Z", "reason": "Held"},
            {"Last Seen": "60s", "Reason": "Held", "Object": "pod/p"},
        ),
        (
            "clusterqueues.kueue.x-k8s.io",
            {"spec": {"cohortName": "all"}, "status": {"pendingWorkloads": 3}},
            {"Cohort": "all", "Pending workloads": 3, "Admitted workloads": 0},
        ),
        ("leases.coordination.k8s.io", {"spec": {"holderIdentity": "me"}}, {"Holder": "me"}),
        ("topologies.kueue.x-k8s.io", {}, {"Name": "x", "Age": "60m"}),
    ],
)
def test_the_columns_of_a_kind(store: Store, resource: str, obj: Object, expected: Object) -> None:
    cells = shown(store, resource, obj)
    assert {name: cells[name] for name in expected} == expected


def test_a_custom_resource_shows_its_own_columns(store: Store) -> None:
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    assert shown(store, "widgets.example.com", widget(size=3)) == {"Name": "w", "Size": 3}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("{.a.b}", [1]),
        ("$.a['x.y/z']", [2]),
        (".a.x\\.y/z", [2]),
        (".l[0].n", ["p"]),
        (".l[-1].n", ["q"]),
        (".l[*].n", ["p", "q"]),
        ('.l[?(@.t=="B")].n', ["q"]),
        (".nothing.here", []),
        (".l[9]", []),
        ("(((", []),
    ],
)
def test_a_json_path_finds(path: str, found: list[Any]) -> None:
    obj = {"a": {"b": 1, "x.y/z": 2}, "l": [{"t": "A", "n": "p"}, {"t": "B", "n": "q"}]}
    assert find(path, obj) == found
