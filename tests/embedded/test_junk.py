"""Whatever is sent, the answer is an object or a refusal, never a defect; and what is stored can be shown."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.clusters.embedded import ApiError, Store
from bayplan.clusters.embedded.fieldnames import unknown_fields
from bayplan.clusters.embedded.protobuf import MAGIC, decode_simple_object
from bayplan.clusters.embedded.tables import columns_of, table
from tests.embedded.objects import Object, config_map, deployment, job, pod, widget_definition

CONDITIONS = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-02T12:00:00Z"}]}
CLAIM = {
    "devices": {
        "requests": [
            {"name": "r", "exactly": {"deviceClassName": "gpu", "selectors": [{"cel": {"expression": "true"}}]}}
        ],
        "constraints": [{"requests": ["r"], "matchAttribute": "a.io/b"}],
        "config": [{"opaque": {"driver": "d.io", "parameters": {"a": 1}}}],
    }
}
DEVICE = {
    "name": "gpu-0",
    "attributes": {"type": {"string": "gpu"}},
    "capacity": {"memory": {"value": "80Gi"}},
    "taints": [{"key": "k", "effect": "NoSchedule"}],
    "consumesCounters": [{"counterSet": "s", "counters": {"memory": {"value": "1"}}}],
}
POOL = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
TEMPLATE = job()["spec"]["template"]
GROUP = {
    "coveredResources": ["cpu"],
    "flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": "1"}]}],
}
FULL_POD = pod(
    "x",
    labels={"a": "b"},
    tolerations=[{"key": "a", "operator": "Exists"}],
    resourceClaims=[{"name": "c", "resourceClaimName": "c"}],
    volumes=[{"name": "v", "emptyDir": {}}],
    schedulingGates=[{"name": "g"}],
    nodeSelector={"a": "b"},
)
FULL_POD["spec"]["containers"][0] |= {
    "env": [{"name": "A", "value": "1"}],
    "ports": [{"containerPort": 80}],
    "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}, "claims": [{"name": "c"}]},
}


def named(**fields: Any) -> Object:
    return {"metadata": {"name": "x", "labels": {"a": "b"}, "finalizers": ["a.io/b"]}, **fields}


SAMPLES: list[tuple[str, Object]] = [
    ("pods", FULL_POD | {"status": CONDITIONS | {"containerStatuses": [{"ready": True, "state": {"running": {}}}]}}),
    ("nodes", named(spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}, status={"allocatable": {"cpu": "1"}})),
    ("configmaps", config_map("x", a="1")),
    ("services", named(spec={"ports": [{"port": 80}], "selector": {"a": "b"}})),
    ("events", named(involvedObject={"kind": "Pod", "name": "p"}, message="m", lastTimestamp="2026-11-02T12:00:00Z")),
    ("namespaces", named(spec={"finalizers": ["kubernetes"]})),
    ("deployments.apps", deployment("x") | {"status": {"readyReplicas": 1}}),
    ("jobs.batch", job("x") | {"status": CONDITIONS | {"startTime": "2026-11-02T12:00:00Z"}}),
    ("cronjobs.batch", named(spec={"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}})),
    (
        "jobsets.jobset.x-k8s.io",
        named(spec={"replicatedJobs": [{"name": "r", "replicas": 1, "template": {"spec": {"template": TEMPLATE}}}]}),
    ),
    ("podgroups.scheduling.k8s.io", named(spec={"schedulingPolicy": {"gang": {"minCount": 1}}}, status=CONDITIONS)),
    ("priorityclasses.scheduling.k8s.io", named(value=1)),
    ("resourceclaims.resource.k8s.io", named(spec=CLAIM, status={"allocation": {"devices": {"results": []}}})),
    ("resourceclaimtemplates.resource.k8s.io", named(spec={"spec": CLAIM})),
    ("deviceclasses.resource.k8s.io", named(spec={"selectors": [{"cel": {"expression": "true"}}]})),
    (
        "resourceslices.resource.k8s.io",
        named(spec={"driver": "d.io", "nodeName": "n", "pool": POOL, "devices": [DEVICE]}),
    ),
    ("clusterqueues.kueue.x-k8s.io", named(spec={"resourceGroups": [GROUP]})),
    ("workloads.kueue.x-k8s.io", named(spec={"podSets": [{"name": "m", "count": 1, "template": TEMPLATE}]})),
    ("topologies.kueue.x-k8s.io", named(spec={"levels": [{"nodeLabel": "rack"}]})),
    ("customresourcedefinitions.apiextensions.k8s.io", widget_definition()),
]

junk = st.sampled_from([None, True, 0, -1, 1.5, "", "x", "-", [], ["x"], [None], [[]], {}, {"x": None}, {"": {}}, [{}]])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, item in children for each in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = new
    return changed


def show(store: Store, resource: str) -> None:
    """Render everything of a resource as kubectl would have it."""
    kind = store.kinds.of(resource)
    objects = store.list(resource)[0]
    table(columns_of(kind, kind.versions[0], store), objects, datetime(2026, 11, 2, tzinfo=UTC), metadata={})


@pytest.mark.parametrize(("resource", "sample"), SAMPLES, ids=[resource for resource, _ in SAMPLES])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_junk_in_any_place_is_refused_or_taken_and_shown(resource: str, sample: Object, data: st.DataObject) -> None:
    store = Store()
    path = data.draw(st.sampled_from([each for each in places(sample) if each]))
    obj = replaced(sample, path, data.draw(junk))
    kind = store.kinds.of(resource)
    namespace = "default" if kind.namespaced else None
    unknown_fields(kind, obj)
    for write in (
        lambda: store.create(resource, namespace, obj),
        lambda: store.create(resource, namespace, sample),
        lambda: store.patch(resource, namespace, sample["metadata"]["name"], obj, "strategic"),
        lambda: store.patch(resource, namespace, sample["metadata"]["name"], obj, "apply", manager="m", force=True),
        lambda: store.update(resource, namespace, obj, subresource="status"),
        lambda: store.delete(resource, namespace, sample["metadata"]["name"]),
    ):
        try:
            write()
        except ApiError as error:
            assert error.status_code < 500, error
        show(store, resource)


# What `kubectl create namespace team` sends.
META = b"\n\x04team\x12\x00\x1a\x00"
NAMESPACE = MAGIC + b"\n\x0f\n\x02v1\x12\tNamespace\x12\x10\n\x0a" + META + b'\x12\x00\x1a\x00\x1a\x00"\x00'


def test_a_simple_protobuf_body_is_read() -> None:
    assert decode_simple_object(NAMESPACE) == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}


@given(st.binary(max_size=40), st.integers(0, len(NAMESPACE)), st.integers(0, 12))
def test_a_broken_protobuf_body_is_read_or_declined(noise: bytes, at: int, dropped: int) -> None:
    for body in (MAGIC + noise, NAMESPACE[:at] + noise + NAMESPACE[at + dropped :]):
        found = decode_simple_object(body)
        assert found is None or isinstance(found["metadata"], dict)
