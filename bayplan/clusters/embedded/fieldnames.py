"""Field validation (KEP-2885): names in a manifest that the API does not know, so that a typo is not silence.

`kubectl apply` asks for `Strict`, which refuses; `Warn` answers with a warning. Custom resources are held to their
schema. Of the built-in kinds only the places where typos cost most are listed: the top of the object, pod specs,
containers and job specs; what lies deeper is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.clusters.embedded.errors import ApiError
from bayplan.clusters.embedded.kinds import Kind

Schema = Mapping[str, Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TOP = _names("apiVersion kind metadata spec status")
_METADATA = _names(
    "name generateName namespace labels annotations finalizers ownerReferences uid resourceVersion generation"
    " creationTimestamp deletionTimestamp deletionGracePeriodSeconds managedFields selfLink"
)
_POD_SPEC = _names(
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks"
    " ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets"
    " initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates"
    " resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates schedulingGroup"
    " securityContext serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain"
    " terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes workloadRef"
)
_CONTAINER = _names(
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy"
    " resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce targetContainerName"
    " terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
_RESOURCES = _names("requests limits claims")
_JOB_SPEC = _names(
    "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector"
    " maxFailedIndexes parallelism podFailurePolicy podReplacementPolicy scheduling selector successPolicy suspend"
    " template ttlSecondsAfterFinished"
)
_DEPLOYMENT_SPEC = _names(
    "minReadySeconds paused progressDeadlineSeconds replicas revisionHistoryLimit selector strategy template"
)
_REPLICA_SET_SPEC = _names("minReadySeconds replicas selector template")
_SPECS = {"jobs.batch": _JOB_SPEC, "deployments.apps": _DEPLOYMENT_SPEC, "replicasets.apps": _REPLICA_SET_SPEC}
_OTHER_TOPS = {
    "configmaps": _names("data binaryData immutable"),
    "secrets": _names("data stringData immutable type"),
    "priorityclasses.scheduling.k8s.io": _names("value globalDefault description preemptionPolicy"),
    "workloadpriorityclasses.kueue.x-k8s.io": _names("value description"),
}
# Kinds whose top holds only the usual fields.
_PLAIN = ("pods", "namespaces", "nodes", "persistentvolumeclaims")


def unknown_fields(kind: Kind, obj: Mapping[str, Any]) -> list[str]:
    """The paths of fields that the kind does not have, as far as its fields are known here."""
    version = str(obj.get("apiVersion", "")).rpartition("/")[2]
    if schema := kind.schemas.get(version):
        rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
        found = _outside_schema(schema, rest, "")
    elif kind.custom:
        found = []
    else:
        found = _unknown_built_in(kind, obj)
    return found + _outside(_METADATA, obj.get("metadata"), "metadata")


def refuse_unknown_fields(kind: Kind, obj: Mapping[str, Any]) -> None:
    """ApiError 400 naming the unknown fields, if there are any."""
    if found := unknown_fields(kind, obj):
        shown = ", ".join(f'unknown field "{path}"' for path in found)
        raise ApiError(400, "BadRequest", f"{kind.kind}: strict decoding error: {shown}")


def _outside(known: frozenset[str], value: Any, path: str) -> list[str]:
    """The keys of a map that are not known; the directives of a strategic patch begin with $."""
    if not isinstance(value, Mapping):
        return []
    return [f"{path}.{key}" if path else key for key in value if key not in known and key[:1] != "$"]


def _unknown_built_in(kind: Kind, obj: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    if kind.resource in _SPECS or kind.resource in _PLAIN:
        found += _outside(_TOP, obj, "")
    elif kind.resource in _OTHER_TOPS:
        found += _outside(_OTHER_TOPS[kind.resource] | {"apiVersion", "kind", "metadata"}, obj, "")
    spec = obj.get("spec")
    if kind.resource == "pods":
        found += _in_pod_spec(spec, "spec")
    elif kind.resource in _SPECS:
        found += _outside(_SPECS[kind.resource], spec, "spec")
        template = spec.get("template") if isinstance(spec, Mapping) else None
        found += _outside(_names("metadata spec"), template, "spec.template")
        found += _in_pod_spec(template.get("spec") if isinstance(template, Mapping) else None, "spec.template.spec")
    return found


def _in_pod_spec(spec: Any, path: str) -> list[str]:
    found = _outside(_POD_SPEC, spec, path)
    for field in ("initContainers", "containers"):
        containers = spec.get(field) if isinstance(spec, Mapping) else None
        for index, container in enumerate(containers if isinstance(containers, list) else []):
            at = f"{path}.{field}[{index}]"
            found += _outside(_CONTAINER, container, at)
            resources = container.get("resources") if isinstance(container, Mapping) else None
            found += _outside(_RESOURCES, resources, f"{at}.resources")
    return found


def _outside_schema(schema: Schema, value: Any, path: str) -> list[str]:
    if isinstance(value, list):
        inner = schema.get("items") or {}
        return [each for i, item in enumerate(value) for each in _outside_schema(inner, item, f"{path}[{i}]")]
    if not isinstance(value, Mapping) or schema.get("type") != "object":
        return []
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    if schema.get("x-kubernetes-embedded-resource"):
        return []
    found: list[str] = []
    for key, item in value.items():
        at = f"{path}.{key}" if path else key
        if key in properties:
            found += _outside_schema(properties[key], item, at)
        elif isinstance(extra, Mapping):
            found += _outside_schema(extra, item, at)
        elif not extra and not schema.get("x-kubernetes-preserve-unknown-fields"):
            found.append(at)
    return found
