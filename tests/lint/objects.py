"""Objects in one line: claims by their requests, slices by their devices, queues by their quota."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
DRIVER = "gpu.example.com"


def claim(*requests: Json, kind: str = "ResourceClaim", name: str = "claim", **devices: Any) -> Json:
    spec: Json = {"devices": {"requests": list(requests), **devices}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "ml"},
        "spec": spec if kind == "ResourceClaim" else {"spec": spec},
    }


def ask(name: str = "gpu", cls: str = "gpu", cel: str = "", **more: Any) -> Json:
    """A request for one device, or (`count`) some."""
    exactly: Json = {"deviceClassName": cls, "allocationMode": "ExactCount", "count": 1, **more}
    if cel:
        exactly["selectors"] = [{"cel": {"expression": cel}}]
    return {"name": name, "exactly": exactly}


def share(amount: str) -> Json:
    return {"requests": {"memory": amount}}


def device(name: str, memory: str = "80Gi", shared: bool = False, **attributes: Any) -> Json:
    made: Json = {
        "name": name,
        "attributes": {key: {_type(value): value} for key, value in attributes.items()},
        "capacity": {"memory": {"value": memory}},
    }
    return made | ({"allowMultipleAllocations": True} if shared else {})


def _type(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "string"


def resource_slice(node: str, *devices: Json, driver: str = DRIVER, **spec: Any) -> Json:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{driver}"},
        "spec": {
            "driver": driver,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": list(devices),
            **spec,
        },
    }


def device_class(name: str, cel: str = "", extended: str = "") -> Json:
    spec: Json = {"selectors": [{"cel": {"expression": cel}}]} if cel else {}
    if extended:
        spec["extendedResourceName"] = extended
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def kueue(kind: str, name: str, namespace: str = "", **spec: Any) -> Json:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": metadata, "spec": spec}


def cluster_queue(name: str = "team", *resources: Json, flavor: str = "default", **spec: Any) -> Json:
    """A queue of one flavor. A resource is `quota("cpu", …)`."""
    groups = [
        {
            "coveredResources": [each["name"] for each in resources],
            "flavors": [{"name": flavor, "resources": list(resources)}],
        }
    ]
    return kueue("ClusterQueue", name, **{"namespaceSelector": {}, "resourceGroups": groups, **spec})


def quota(resource: str = "cpu", nominal: Any = 8, **limits: Any) -> Json:
    return {"name": resource, "nominalQuota": nominal, **limits}


def job(parallelism: int = 1, queue: str = "", annotations: Json | None = None, **pod: Any) -> Json:
    labels = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    template = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": [container()], **pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train", "namespace": "ml", "labels": labels},
        "spec": {"parallelism": parallelism, "completions": parallelism, "template": template},
    }


def container(limits: Json | None = None, **requests: Any) -> Json:
    return {"name": "main", "resources": {"requests": requests, "limits": limits or {}}}
