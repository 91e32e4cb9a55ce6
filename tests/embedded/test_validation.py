"""Bad objects are refused with the path of every wrong field; real ones from the field are taken."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bayplan.clusters.embedded import ApiError, FieldError, Store
from bayplan.clusters.embedded.errors import bad_value
from bayplan.clusters.embedded.kinds import Kind
from tests.embedded.objects import config_map, deployment, job, pod, raises, widget, widget_definition
from tests.shared import shared

Object = dict[str, Any]


def container(**fields: Any) -> Object:
    return {"containers": [{"name": "c", "image": "i", **fields}]}


def gpu_slice(**spec: Any) -> Object:
    pool = {"name": "n1", "generation": 1, "resourceSliceCount": 1}
    devices = [{"name": "gpu-0"}]
    spec = {"driver": "gpu.example.com", "nodeName": "n1", "pool": pool, "devices": devices, **spec}
    return {"metadata": {"name": "s"}, "spec": spec}


def claim(*requests: Object, **devices: Any) -> Object:
    return {"metadata": {"name": "c"}, "spec": {"devices": {"requests": list(requests), **devices}}}


def request(name: str = "r", **exactly: Any) -> Object:
    return {"name": name, "exactly": {"deviceClassName": "gpu", **exactly}}


def devices(count: int, **more: Any) -> list[Object]:
    return [{"name": f"gpu-{number}", **more} for number in range(count)]


TAINTED = {"taints": [{"key": "x", "effect": "NoSchedule"}]}
FLAVOR = {"name": "h100", "resources": [{"name": "cpu", "nominalQuota": "1 core"}]}
RESOURCES = {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}

CASES: list[tuple[str, str, Object, str]] = [
    ("a name with capitals", "configmaps", config_map("Upper"), 'metadata.name: Invalid value: "Upper"'),
    ("no name", "configmaps", {"metadata": {}}, "metadata.name: Required value"),
    ("a label that is too long", "pods", pod(labels={"a": "x" * 64}), "metadata.labels: Invalid value"),
    ("data that is a number", "configmaps", config_map() | {"data": {"a": 1}}, "data[a]: Invalid value: 1: expected"),
    ("a pod without containers", "pods", {"metadata": {"name": "p"}, "spec": {}}, "spec.containers: Required value"),
    ("a pod without a spec", "pods", {"metadata": {"name": "p"}}, "spec: Required value"),
    ("a spec that is a list", "pods", {"metadata": {"name": "p"}, "spec": []}, "spec: Invalid value: array"),
    ("a container without an image", "pods", pod(containers=[{"name": "c"}]), "spec.containers[0].image: Required"),
    ("an impossible quantity", "pods", pod(**container(resources={"requests": {"cpu": "much"}})), "requests[cpu]"),
    (
        "a request above its limit",
        "pods",
        pod(**container(resources=RESOURCES)),
        "must be less than or equal to cpu limit",
    ),
    ("half a GPU", "pods", pod(**container(resources={"requests": {"x.io/gpu": "500m"}})), "must be an integer"),
    ("an env value that is a number", "pods", pod(**container(env=[{"name": "A", "value": 1}])), "env[0].value"),
    ("two containers of one name", "pods", pod(containers=[{"name": "c", "image": "i"}] * 2), "Duplicate value"),
    ("a claim the pod lacks", "pods", pod(**container(resources={"claims": [{"name": "gpu"}]})), "resourceClaims"),
    ("a job that always restarts", "jobs.batch", job(template={"spec": container()}), "template.spec.restartPolicy"),
    ("a negative parallelism", "jobs.batch", job(parallelism=-1), "spec.parallelism: Invalid value: -1"),
    ("an indexed job without a count", "jobs.batch", job(completionMode="Indexed", parallelism=2), "spec.completions"),
    ("a selector that misses", "deployments.apps", deployment(selector={"matchLabels": {"a": "b"}}), "does not match"),
    ("a deployment without selector", "deployments.apps", deployment(selector=None), "spec.selector: Required value"),
    (
        "a quota that is no quantity",
        "clusterqueues.kueue.x-k8s.io",
        {
            "metadata": {"name": "q"},
            "spec": {"resourceGroups": [{"coveredResources": ["cpu"], "flavors": [FLAVOR]}]},
        },
        "spec.resourceGroups[0].flavors[0].resources[0].nominalQuota: Invalid value",
    ),
    ("a slice of 129 devices", "resourceslices.resource.k8s.io", gpu_slice(devices=devices(129)), "Too many: 129"),
    (
        "65 devices with taints",
        "resourceslices.resource.k8s.io",
        gpu_slice(devices=devices(65, **TAINTED)),
        "spec.devices: Too many: 65: must have at most 64 items",
    ),
    ("two devices of one name", "resourceslices.resource.k8s.io", gpu_slice(devices=devices(1) * 2), "Duplicate value"),
    ("a slice for no node", "resourceslices.resource.k8s.io", gpu_slice(nodeName=None), "exactly one of `nodeName`"),
    (
        "a capacity that is no quantity",
        "resourceslices.resource.k8s.io",
        gpu_slice(devices=[{"name": "g", "capacity": {"memory": {"value": "80 GB"}}}]),
        "spec.devices[0].capacity[memory].value: Wrong type",
    ),
    ("no devices asked for", "resourceclaims.resource.k8s.io", claim(request(count=0)), "exactly.count: Invalid value"),
    (
        "all, and a number",
        "resourceclaims.resource.k8s.io",
        claim(request(allocationMode="All", count=2)),
        "exactly.count",
    ),
    (
        "a constraint on an unknown request",
        "resourceclaims.resource.k8s.io",
        claim(request(), constraints=[{"requests": ["x"], "matchAttribute": "a.io/b"}]),
        "spec.devices.constraints[0].requests[0]: Invalid value",
    ),
    (
        "a definition of the wrong name",
        "customresourcedefinitions.apiextensions.k8s.io",
        widget_definition() | {"metadata": {"name": "widgets"}},
        "metadata.name: Invalid value",
    ),
]


@pytest.mark.parametrize(("resource", "obj", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_is_refused_with_the_path_of_the_field(store: Store, resource: str, obj: Object, message: str) -> None:
    namespace = "default" if store.kinds.of(resource).namespaced else None
    with raises(422, "Invalid", message):
        store.create(resource, namespace, obj)


def test_every_wrong_field_is_named_at_once(store: Store) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("jobs.batch", "default", job(parallelism=-1, completions=-1))
    fields = [cause["field"] for cause in caught.value.details["causes"]]
    assert fields == ["spec.parallelism", "spec.completions"]


def test_a_validator_that_the_caller_hands_in_is_heard() -> None:
    def judge(kind: Kind, obj: Any, old: Any) -> list[FieldError]:
        wrong = kind.resource == "configmaps" and obj["data"].get("a") == "bad"
        return [bad_value("data[a]", "bad", "we do not like it")] if wrong else []

    store = Store(validators=[judge])
    with raises(422, "Invalid", 'ConfigMap "cm" is invalid: data[a]: Invalid value: "bad": we do not like it'):
        store.create("configmaps", "default", config_map(a="bad"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: should be greater than or equal to 1"),
        ({"size": "big"}, 'spec.size: Invalid value: "big": must be of type integer'),
        ({"size": None}, "spec.size: Required value"),
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"code": "A1"}, "spec.code: Invalid value: \"A1\": should match '^[a-z]+$'"),
        ({"parts": [{"id": 1}]}, "spec.parts[0].id: Invalid value: 1: must be of type string"),
    ],
)
def test_a_custom_resource_is_held_to_its_schema(store: Store, spec: Object, message: str) -> None:
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    with raises(422, "Invalid", message):
        store.create("widgets.example.com", "default", widget(**spec))


def test_a_custom_resource_is_pruned_and_defaulted(store: Store) -> None:
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    made = store.create("widgets.example.com", "default", widget(size=2, unknown=1))
    assert made["spec"] == {"size": 2, "color": "red"}


def test_real_objects_from_the_field_are_taken(store: Store) -> None:
    taken = 0
    for path in sorted(shared("fixtures").rglob("*.yaml")):
        if path.name == "amd-mi300x-autopartition.yaml":
            continue  # published with a step that exceeds its capacity, which the API refuses
        for document in yaml.safe_load_all(path.read_text()):
            for obj in (document or {}).get("items") or [document or {}]:
                kind = store.kinds.of_object(obj)
                if kind is not None:
                    namespace = obj["metadata"].get("namespace", "default") if kind.namespaced else None
                    if namespace and store.find("namespaces", None, namespace) is None:
                        store.create("namespaces", None, {"metadata": {"name": namespace}})
                    store.create(kind.resource, namespace, obj)
                    taken += 1
    assert taken >= 40
