"""A world on a real control plane, in one line: nodes with devices as their drivers publish them, queues, work."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import yaml

from bayplan.clusters.kubernetes.http import Access, Http
from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects
from bayplan.runtime.objects import ApiError
from tests.controlplane.run import ControlPlane, until

Json = dict[str, Any]

AT_ONCE = 8  # requests

PLURALS = {
    "Node": ("api/v1", "nodes", False),
    "Namespace": ("api/v1", "namespaces", False),
    "Pod": ("api/v1", "pods", True),
    "Job": ("apis/batch/v1", "jobs", True),
    "ResourceSlice": ("apis/resource.k8s.io/v1", "resourceslices", False),
    "DeviceClass": ("apis/resource.k8s.io/v1", "deviceclasses", False),
    "ResourceClaim": ("apis/resource.k8s.io/v1", "resourceclaims", True),
    "ResourceClaimTemplate": ("apis/resource.k8s.io/v1", "resourceclaimtemplates", True),
    "ClusterQueue": ("apis/kueue.x-k8s.io/v1beta2", "clusterqueues", False),
    "LocalQueue": ("apis/kueue.x-k8s.io/v1beta2", "localqueues", True),
    "ResourceFlavor": ("apis/kueue.x-k8s.io/v1beta2", "resourceflavors", False),
    "Topology": ("apis/kueue.x-k8s.io/v1beta2", "topologies", False),
    "WorkloadPriorityClass": ("apis/kueue.x-k8s.io/v1beta2", "workloadpriorityclasses", False),
    "Workload": ("apis/kueue.x-k8s.io/v1beta2", "workloads", True),
    "PriorityClass": ("apis/scheduling.k8s.io/v1", "priorityclasses", False),
    "PodGroup": ("apis/scheduling.k8s.io/v1alpha2", "podgroups", True),
    "Event": ("api/v1", "events", True),
    "Lease": ("apis/coordination.k8s.io/v1", "leases", True),
}

FLEET = """
apiVersion: bayplan.dev/v1
kind: Fleet
metadata: {{name: test}}
nodes:
{nodes}
cohort: all
teams:
- {{name: team-a, quota: {{{quota}}}}}
- {{name: team-b, quota: {{{quota}}}}}
priorities: {{high: 1000, low: 0}}
"""


def access(plane: ControlPlane, token: str = "", server: str = "") -> Access:
    """The API server as the owner of a token sees it; the admin's by default."""
    headers = {"Authorization": f"Bearer {token or plane.token}"}
    target = server or plane.url
    secure = target.startswith("https")
    return Access(target, lambda: headers, ssl.create_default_context(cafile=str(plane.authority)) if secure else None)


class World:
    """The cluster as its administrator and its users see it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.http = Http(access(plane))
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def close(self) -> None:
        self._pool.shutdown()
        self.http.close()

    # --- requests ------------------------------------------------------------------------------------------------

    def create(self, *objects: Mapping[str, Any]) -> list[Json]:
        """Creates objects; a Node's or claim's status is written, too. One that exists already is left as it is."""
        return [self._create(dict(o)) for o in objects]

    def create_at_once(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """The same, several at a time, in no order."""
        list(self._pool.map(self.create, objects))

    def get(self, kind: str, name: str, namespace: str = "") -> Json | None:
        try:
            return self._json("GET", _path(kind, namespace, name))
        except ApiError as error:
            if error.status_code == 404:
                return None
            raise

    def all(self, kind: str, namespace: str = "") -> list[Json]:
        try:
            return [{"kind": kind, **o} for o in self._json("GET", _path(kind, namespace))["items"]]
        except ApiError as error:
            if error.status_code == 404:
                return []
            raise

    def patch(self, kind: str, name: str, patch: Json, namespace: str = "", sub: str = "") -> Json:
        return self._json("PATCH", _path(kind, namespace, name, sub), patch, "application/merge-patch+json")

    def delete(self, kind: str, name: str, namespace: str = "", grace: int | None = None) -> None:
        options: Json = {"propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self._json("DELETE", _path(kind, namespace, name), options)
        except ApiError as error:
            if error.status_code != 404:
                raise

    def _create(self, obj: Json) -> Json:
        kind, meta = obj["kind"], obj["metadata"]
        try:
            made = self._json("POST", _path(kind, meta.get("namespace", "")), obj)
        except ApiError as error:
            if error.status_code != 409:
                raise
            return obj
        if kind == "Node" and obj.get("status"):
            self.patch(kind, meta["name"], {"status": obj["status"], "spec": {"taints": None}}, sub="status")
            taints = (obj.get("spec") or {}).get("taints")
            self.patch(kind, meta["name"], {"spec": {"taints": taints}})
        return made

    def _json(self, verb: str, path: str, body: Any = None, kind: str = "application/json") -> Json:
        data = None if body is None else msgspec.json.encode(body)
        found: Json = msgspec.json.decode(self.http.request(verb, path, data, kind=kind).body)
        return found

    # --- furniture -----------------------------------------------------------------------------------------------

    def fleet(self, *groups: str, queues: bool = True) -> None:
        """Nodes, devices, classes and queues: `h100 4 h100-80gb` is four nodes of eight GPUs each, racks of two."""
        made = fleet_objects(parse_fleet(fleet_text(*groups), "fleet.yaml"))
        wanted = [o for o in made if queues or not o["apiVersion"].startswith("kueue.x-k8s.io/")]
        self.create(*sorted(wanted, key=lambda o: o["kind"] != "Namespace"))

    def clear(self) -> None:
        """Takes away all work and all hardware, and waits until it is gone."""
        for kind in ("Job", "Pod", "PodGroup", "ResourceClaim", "ResourceClaimTemplate", "Workload"):
            list(self._pool.map(self._clear_one, self.all(kind)))
        for kind in ("ResourceSlice", "Node", "DeviceClass", "ClusterQueue", "ResourceFlavor", "Topology"):
            list(self._pool.map(self._clear_one, self.all(kind)))
        self.eventually(lambda: not any(map(self.all, ("Pod", "ResourceClaim", "ClusterQueue"))), 60)

    def _clear_one(self, obj: Json) -> None:
        kind, meta = obj["kind"], obj["metadata"]
        namespace = meta.get("namespace", "")
        if meta.get("finalizers") and kind in ("PodGroup", "Pod"):
            with contextlib.suppress(ApiError):  # it may have gone with its job in between
                self.patch(kind, meta["name"], {"metadata": {"finalizers": None}}, namespace)
        self.delete(kind, meta["name"], namespace, grace=0)

    # --- looking -------------------------------------------------------------------------------------------------

    def bound(self, namespace: str = "") -> dict[str, str]:
        """Node by name, of the pods that have one and live."""
        return {
            p["metadata"]["name"]: p["spec"]["nodeName"]
            for p in self.all("Pod", namespace)
            if p["spec"].get("nodeName") and not p["metadata"].get("deletionTimestamp")
        }

    def eventually(self, true: Callable[[], Any], seconds: float = 30, why: Callable[[], str] = lambda: "") -> Any:
        return until(true, seconds, lambda: why() or self.describe(), every_s=0.2)

    def until_bound(self, count: int, namespace: str = "", seconds: float = 30) -> dict[str, str]:
        """Waits for exactly as many bound pods and returns them."""
        return dict(self.eventually(lambda: len(b := self.bound(namespace)) == count and b, seconds))

    def describe(self) -> str:
        pods = [
            f"{p['metadata']['name']}: {p['spec'].get('nodeName', '-')} "
            f"{(p['metadata'].get('annotations') or {}).get('bayplan.dev/why', '')}"
            for p in self.all("Pod")
        ]
        work = [
            f"{w['metadata']['name']}: {true_conditions(w)} "
            f"{(w['metadata'].get('annotations') or {}).get('bayplan.dev/why', '')}"
            for w in self.all("Workload")
        ]
        return f"pods {pods} workloads {work}"


def fleet_text(*groups: str) -> str:
    """A fleet file of these groups and two teams."""
    nodes, quota = [], []
    for group in groups:
        name, count, gpu, *more = group.split()
        fields = {"cpu": '"64"', "memory": "512Gi", "rackSize": "2"} | dict(m.split("=", 1) for m in more)
        extra = "".join(f", {k}: {v}" for k, v in fields.items())
        nodes.append(f"- {{name: {name}, count: {count}, gpu: {gpu}{extra}}}")
        quota.append(f"{name}: {int(count) * 8}")
    return FLEET.format(nodes="\n".join(nodes), quota=", ".join(quota))


def true_conditions(obj: Json) -> list[str]:
    return [c["type"] for c in (obj.get("status") or {}).get("conditions") or () if c["status"] == "True"]


def pod(name: str, *, namespace: str = "team-a", claim: str = "", cpu: str = "1", **spec: Any) -> Json:
    """A pod for Bayplan; `claim` names a ResourceClaimTemplate, `=NAME` a ResourceClaim."""
    limits = {"requests": {"cpu": cpu, "memory": "1Gi"}}
    body: Json = {
        "schedulerName": "bayplan",
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "example.org/c:1", "resources": limits}],
    } | spec
    if claim:
        source = {"resourceClaimName": claim[1:]} if claim.startswith("=") else {"resourceClaimTemplateName": claim}
        body["resourceClaims"] = [{"name": "gpu", **source}]
        body["containers"][0]["resources"] = limits | {"claims": [{"name": "gpu"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": body}


def pod_group(name: str, *, pods: int, claim: str = "", namespace: str = "team-a") -> Json:
    """A gang of `pods`; `claim` names the ResourceClaimTemplate of the claim "gpu" that they share."""
    spec: Json = {"schedulingPolicy": {"gang": {"minCount": pods}}}
    if claim:
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": claim}]
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": metadata, "spec": spec}


def job(
    name: str,
    *,
    pods: int,
    claim: str = "",
    namespace: str = "team-a",
    queue: str = "",
    priority: str = "",
    rack: bool = False,
    cpu: str = "1",
    **spec: Any,
) -> Json:
    """A Job of so many pods at once, in its namespace's queue."""
    made = pod(name, namespace=namespace, claim=claim, cpu=cpu, **spec)
    labels = {"kueue.x-k8s.io/queue-name": queue or namespace}
    if priority:
        labels["kueue.x-k8s.io/priority-class"] = priority
    annotations = {"kueue.x-k8s.io/podset-required-topology": "topology.bayplan.dev/rack"} if rack else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "parallelism": pods,
            "completions": pods,
            "completionMode": "Indexed",
            "suspend": True,
            "backoffLimit": 100,
            "template": {"metadata": {"annotations": annotations}, "spec": made["spec"]},
        },
    }


def template(name: str, *, namespace: str = "team-a", gpus: int = 0, memory: str = "", profile: str = "") -> Json:
    """A ResourceClaimTemplate: whole GPUs, memory of a shared one, or a MIG partition."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"spec": claim_spec(gpus=gpus, memory=memory, profile=profile)},
    }


def claim_spec(*, gpus: int = 0, memory: str = "", profile: str = "") -> Json:
    request: Json = {"deviceClassName": "gpu.nvidia.com"}
    if gpus:
        request |= {"allocationMode": "ExactCount", "count": gpus}
    elif memory:
        shared = _cel("device.allowMultipleAllocations")
        request |= {"capacity": {"requests": {"memory": memory}}, "selectors": [shared]}
    else:
        wanted = f"device.attributes['gpu.nvidia.com'].profile == '{profile}'"
        request = {"deviceClassName": "mig.nvidia.com", "selectors": [_cel(wanted)]}
    return {"devices": {"requests": [{"name": "gpu", "exactly": request}]}}


def _cel(expression: str) -> Json:
    return {"cel": {"expression": expression}}


def _path(kind: str, namespace: str = "", name: str = "", sub: str = "") -> str:
    root, plural, namespaced = PLURALS[kind]
    space = ["namespaces", namespace] if namespaced and namespace else []
    return "/".join(p for p in (root, *space, plural, name, sub) if p)


def documents(text: str) -> Iterable[Json]:
    return [d for d in yaml.safe_load_all(text) if d]
