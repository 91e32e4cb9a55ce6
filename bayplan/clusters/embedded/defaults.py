"""Defaults that a reader of the API relies on (Kubernetes `pkg/apis/*/v1/defaults.go`): kubectl's `describe`
dereferences them, controllers count by them, and schedulers read `spec.priority`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayplan.clusters.embedded.errors import forbidden
from bayplan.clusters.embedded.kinds import Kind

Object = dict[str, Any]
PriorityLookup = Callable[[str], Object | None]

# The two classes every cluster has; pods of the system may name them without anyone creating them.
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def with_defaults(kind: Kind, obj: Object, old: Mapping[str, Any] | None, priority_class: PriorityLookup) -> Object:
    """The object with the defaults of its kind filled in; `obj` is the caller's own copy and may be changed."""
    fill = _FILLERS.get(kind.resource)
    if fill and _shaped(obj):
        fill(obj)
    if kind.resource == "pods" and old is None and _shaped(obj):
        _set_priority(obj, priority_class)
    return obj


def _shaped(obj: Object) -> bool:
    """Whether spec is a map: a malformed one is left for validation to name."""
    return isinstance(obj.get("spec", {}), dict)


def _put(target: Object, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def _namespace(obj: Object) -> None:
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")
    labels = obj["metadata"].get("labels")
    if (labels is None or isinstance(labels, dict)) and obj["metadata"].get("name"):
        obj["metadata"]["labels"] = (labels or {}) | {"kubernetes.io/metadata.name": obj["metadata"]["name"]}


def _pod(obj: Object) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    _pod_spec(spec)
    _put(spec, serviceAccountName="default", enableServiceLinks=True)
    _put(obj, status={"phase": "Pending", "qosClass": _qos_class(spec)})


def _pod_spec(spec: Object) -> None:
    _put(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
        securityContext={},
    )
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            if isinstance(container, dict):
                _container(container)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    latest = image.endswith(":latest") or ":" not in image.rpartition("/")[2]
    _put(
        container,
        imagePullPolicy="Always" if latest else "IfNotPresent",
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or ():
        if isinstance(port, dict):
            _put(port, protocol="TCP")
    resources = container["resources"]
    if isinstance(resources, dict) and isinstance(resources.get("limits"), dict):
        requests = resources.get("requests") or {}
        if isinstance(requests, dict):
            resources["requests"] = resources["limits"] | requests


def _qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed when every container limits cpu and memory to what it requests, BestEffort when none asks."""
    asked, guaranteed = False, True
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        resources = container.get("resources") if isinstance(container, dict) else None
        resources = resources if isinstance(resources, dict) else {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            asked = asked or name in requests or name in limits
            guaranteed = guaranteed and name in limits and requests.get(name, limits[name]) == limits[name]
    return "BestEffort" if not asked else "Guaranteed" if guaranteed else "Burstable"


def _set_priority(pod: Object, priority_class: PriorityLookup) -> None:
    spec = pod.get("spec")
    if not isinstance(spec, dict):
        return
    name = spec.get("priorityClassName", "")
    if name in _SYSTEM_PRIORITIES:
        spec["priority"] = _SYSTEM_PRIORITIES[name]
        return
    found = priority_class(name)
    if found is None and name:
        why = f"no PriorityClass with name {name} was found"
        raise forbidden("pods", str(pod["metadata"].get("name", "")), why)
    if found is not None:
        spec["priorityClassName"] = found["metadata"]["name"]
        spec["priority"] = found["value"]
        _put(spec, preemptionPolicy=found.get("preemptionPolicy", "PreemptLowerPriority"))
    else:
        _put(spec, priority=0, preemptionPolicy="PreemptLowerPriority")


def _template(obj: Object) -> None:
    template = (obj.get("spec") or {}).get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        if isinstance(template.get("spec"), dict):
            _pod_spec(template["spec"])


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _template(obj)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    _put(spec, replicas=1, strategy=rolling, revisionHistoryLimit=10, progressDeadlineSeconds=600)


def _replica_set(obj: Object) -> None:
    _template(obj)
    _put(obj.setdefault("spec", {}), replicas=1)


def _stateful_set(obj: Object) -> None:
    _template(obj)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    _put(
        obj.setdefault("spec", {}),
        replicas=1,
        podManagementPolicy="OrderedReady",
        updateStrategy=rolling,
        revisionHistoryLimit=10,
    )


def _daemon_set(obj: Object) -> None:
    _template(obj)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    _put(obj.setdefault("spec", {}), updateStrategy=rolling, revisionHistoryLimit=10)


def _job(obj: Object) -> None:
    """Counts, and unless manualSelector is set the selector that ties pods to this very job."""
    spec = obj.setdefault("spec", {})
    _template(obj)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _put(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False, manualSelector=False)
    _put(spec, podReplacementPolicy="TerminatingOrFailed")
    uid, name = obj["metadata"].get("uid"), obj["metadata"].get("name")
    if not spec["manualSelector"] and spec.get("selector") is None and uid and isinstance(spec.get("template"), dict):
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        labels = {"controller-uid": uid, "job-name": name}
        labels |= {f"batch.kubernetes.io/{key}": value for key, value in labels.items()}
        meta = spec["template"]["metadata"] or {}
        spec["template"]["metadata"] = meta | {"labels": (meta.get("labels") or {}) | labels}


def _cron_job(obj: Object) -> None:
    _put(
        obj.setdefault("spec", {}),
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _put(spec, type="ClusterIP", sessionAffinity="None", clusterIP="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports") or ():
        if isinstance(port, dict):
            _put(port, protocol="TCP", targetPort=port.get("port"))


def _claim_volume(obj: Object) -> None:
    _put(obj.setdefault("spec", {}), volumeMode="Filesystem")
    _put(obj, status={"phase": "Pending"})


def _secret(obj: Object) -> None:
    _put(obj, type="Opaque")


def _priority(obj: Object) -> None:
    _put(obj, preemptionPolicy="PreemptLowerPriority")


def _claim(obj: Object) -> None:
    spec = obj.get("spec")
    if isinstance(spec, dict):
        _device_requests(spec)


def _claim_template(obj: Object) -> None:
    inner = (obj.get("spec") or {}).get("spec")
    if isinstance(inner, dict):
        _device_requests(inner)


def _device_requests(spec: Object) -> None:
    """`exactly` asks for one device unless it says otherwise (resource.k8s.io/v1 defaults)."""
    devices = spec.get("devices")
    for request in (devices.get("requests") if isinstance(devices, dict) else None) or ():
        if isinstance(request, dict):
            exact = [request["exactly"]] if isinstance(request.get("exactly"), dict) else []
            for each in [*exact, *(sub for sub in request.get("firstAvailable") or () if isinstance(sub, dict))]:
                _put(each, allocationMode="ExactCount")
                if each["allocationMode"] == "ExactCount":
                    _put(each, count=1)


_FILLERS: dict[str, Callable[[Object], None]] = {
    "namespaces": _namespace,
    "pods": _pod,
    "services": _service,
    "secrets": _secret,
    "persistentvolumeclaims": _claim_volume,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "priorityclasses.scheduling.k8s.io": _priority,
    "resourceclaims.resource.k8s.io": _claim,
    "resourceclaimtemplates.resource.k8s.io": _claim_template,
}
