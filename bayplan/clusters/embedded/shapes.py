"""The shapes of built-in objects: what is a map, a list, a string or a number, as far as any code here looks.

Checked before anything else reads an object, so that defaults, checks, collectors and printers need not wonder. A
shape is written as an example: `{"replicas": int, "containers": [CONTAINER], "limits": {"*": QUANTITY}}`.
"""

from __future__ import annotations

from typing import Any

from bayplan.clusters.embedded.errors import FieldError, bad_value
from bayplan.clusters.embedded.kinds import Kind

# A shape: a type, a list of one shape, or a map of fields ("*" stands for all others).
Shape = Any

ANY: Shape = object
QUANTITY: Shape = (str, int, float)
LABELS: Shape = {"*": str}
_WORDS: dict[Shape, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    (int, float): "a number",
    QUANTITY: "a quantity",
}


def check_shape(shape: Shape, value: Any, path: str) -> list[FieldError]:
    """Where the value does not have the shape; null stands for absent."""
    if value is None or shape is ANY:
        return []
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [bad_value(path, value, "expected an object")]
        rest = shape.get("*", ANY)
        at = path + "." if path else ""
        problems: list[FieldError] = []
        for key, item in value.items():
            inner = shape.get(key, rest)
            # Every write passes here: what is surely right is not looked at twice.
            if inner is not ANY and type(item) is not inner:
                problems += check_shape(inner, item, at + key)
        return problems
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [bad_value(path, value, "expected a list")]
        missing = [bad_value(f"{path}[{i}]", item, "expected a value") for i, item in enumerate(value) if item is None]
        return missing + [each for i, item in enumerate(value) for each in check_shape(shape[0], item, f"{path}[{i}]")]
    fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return [] if fits else [bad_value(path, value, f"expected {_WORDS[shape]}")]


def shape_of(kind: Kind) -> Shape:
    """The shape of a kind's objects; those of kinds not listed are only maps with metadata, spec and status."""
    return {"metadata": METADATA, **_SHAPES.get(kind.resource, {"spec": {}, "status": STATUS})}


METADATA: Shape = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "labels": LABELS,
    "annotations": LABELS,
    "finalizers": [str],
    "ownerReferences": [{"apiVersion": str, "kind": str, "name": str, "uid": str, "controller": bool}],
    "managedFields": [{"manager": str, "operation": str, "apiVersion": str, "time": str, "fieldsV1": {}}],
}
STATUS: Shape = {"conditions": [{"type": str, "status": str}]}
SELECTOR: Shape = {"matchLabels": LABELS, "matchExpressions": [{"key": str, "operator": str, "values": [str]}]}
TOLERATIONS: Shape = [{"key": str, "operator": str, "value": str, "effect": str}]
CONTAINER: Shape = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str}],
    "ports": [{"name": str, "containerPort": int, "protocol": str}],
    "resources": {"requests": {"*": QUANTITY}, "limits": {"*": QUANTITY}, "claims": [{"name": str}]},
    "volumeMounts": [{}],
}
POD_CLAIMS: Shape = [{"name": str, "resourceClaimName": str, "resourceClaimTemplateName": str}]
POD_SPEC: Shape = {
    "containers": [CONTAINER],
    "initContainers": [CONTAINER],
    "nodeName": str,
    "nodeSelector": LABELS,
    "schedulerName": str,
    "restartPolicy": str,
    "priority": int,
    "priorityClassName": str,
    "terminationGracePeriodSeconds": int,
    "tolerations": TOLERATIONS,
    "resourceClaims": POD_CLAIMS,
    "schedulingGates": [{"name": str}],
    "schedulingGroup": {"podGroupName": str},
    "volumes": [{"name": str}],
    "overhead": {"*": QUANTITY},
    "affinity": {},
}
TEMPLATE: Shape = {"metadata": METADATA, "spec": POD_SPEC}
JOB_SPEC: Shape = {
    "parallelism": int,
    "completions": int,
    "backoffLimit": int,
    "completionMode": str,
    "suspend": bool,
    "manualSelector": bool,
    "selector": SELECTOR,
    "template": TEMPLATE,
}
_REPLICATED: Shape = {"spec": {"replicas": int, "selector": SELECTOR, "template": TEMPLATE}, "status": STATUS}
_SELECTORS: Shape = [{"cel": {"expression": str}}]
_EXACT: Shape = {
    "deviceClassName": str,
    "allocationMode": str,
    "count": int,
    "selectors": _SELECTORS,
    "capacity": {"requests": {"*": QUANTITY}},
    "tolerations": TOLERATIONS,
}
_CONFIG: Shape = [{"requests": [str], "opaque": {"driver": str}}]
CLAIM_SPEC: Shape = {
    "devices": {
        "requests": [{"name": str, "exactly": _EXACT, "firstAvailable": [{"name": str, **_EXACT}]}],
        "constraints": [{"requests": [str], "matchAttribute": str, "distinctAttribute": str}],
        "config": _CONFIG,
    }
}
_COUNTERS: Shape = {"*": {"value": QUANTITY}}
_DEVICE: Shape = {
    "name": str,
    "attributes": {"*": {"string": str, "version": str, "int": int, "bool": bool}},
    "capacity": {"*": {"value": QUANTITY}},
    "taints": [{"key": str, "value": str, "effect": str}],
    "consumesCounters": [{"counterSet": str, "counters": _COUNTERS}],
    "bindingConditions": [str],
    "bindingFailureConditions": [str],
    "nodeName": str,
    "nodeSelector": {},
    "allNodes": bool,
}
_POD_GROUP: Shape = {
    "schedulingPolicy": {"basic": {}, "gang": {"minCount": int}},
    "resourceClaims": POD_CLAIMS,
}
_FLAVOR: Shape = {"name": str, "resources": [{"name": str, "nominalQuota": QUANTITY}]}
_SCHEMA_VERSION: Shape = {
    "name": str,
    "served": bool,
    "storage": bool,
    "schema": {"openAPIV3Schema": {}},
    "subresources": {
        "status": {},
        "scale": {"specReplicasPath": str, "statusReplicasPath": str, "labelSelectorPath": str},
    },
    "additionalPrinterColumns": [{"name": str, "type": str, "jsonPath": str, "priority": int, "description": str}],
    "selectableFields": [{"jsonPath": str}],
}
_PRIORITY: Shape = {"value": int, "globalDefault": bool, "preemptionPolicy": str}

_SHAPES: dict[str, Shape] = {
    "pods": {"spec": POD_SPEC, "status": {"phase": str, **STATUS}},
    "nodes": {"spec": {"taints": [{"key": str, "effect": str}]}, "status": STATUS},
    "services": {"spec": {"ports": [{"port": int, "protocol": str}], "selector": LABELS}, "status": STATUS},
    "configmaps": {"data": {}, "binaryData": {}, "immutable": bool},
    "secrets": {"data": {}, "stringData": {}, "type": str, "immutable": bool},
    "events": {"involvedObject": LABELS, "reason": str, "type": str, "message": str},
    "persistentvolumeclaims": {"spec": {}, "status": STATUS},
    "deployments.apps": _REPLICATED,
    "replicasets.apps": _REPLICATED,
    "statefulsets.apps": _REPLICATED,
    "daemonsets.apps": _REPLICATED,
    "jobs.batch": {"spec": JOB_SPEC, "status": STATUS},
    "cronjobs.batch": {"spec": {"schedule": str, "jobTemplate": {"spec": JOB_SPEC}}, "status": STATUS},
    "jobsets.jobset.x-k8s.io": {
        "spec": {"replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": JOB_SPEC}}], "suspend": bool},
        "status": STATUS,
    },
    "podgroups.scheduling.k8s.io": {"spec": _POD_GROUP, "status": STATUS},
    "workloads.scheduling.k8s.io": {"spec": {"podGroupTemplates": [_POD_GROUP]}, "status": STATUS},
    "priorityclasses.scheduling.k8s.io": _PRIORITY,
    "workloadpriorityclasses.kueue.x-k8s.io": _PRIORITY,
    "resourceclaims.resource.k8s.io": {"spec": CLAIM_SPEC, "status": {"reservedFor": [{}], "allocation": {}}},
    "resourceclaimtemplates.resource.k8s.io": {"spec": {"spec": CLAIM_SPEC}},
    "deviceclasses.resource.k8s.io": {"spec": {"selectors": _SELECTORS, "config": _CONFIG}},
    "devicetaintrules.resource.k8s.io": {"spec": {"taint": {"key": str, "effect": str}}, "status": STATUS},
    "resourceslices.resource.k8s.io": {
        "spec": {
            "driver": str,
            "nodeName": str,
            "nodeSelector": {},
            "allNodes": bool,
            "perDeviceNodeSelection": bool,
            "pool": {"name": str, "generation": int, "resourceSliceCount": int},
            "sharedCounters": [{"name": str, "counters": _COUNTERS}],
            "devices": [_DEVICE],
        }
    },
    "clusterqueues.kueue.x-k8s.io": {
        "spec": {"cohortName": str, "resourceGroups": [{"coveredResources": [str], "flavors": [_FLAVOR]}]},
        "status": STATUS,
    },
    "localqueues.kueue.x-k8s.io": {"spec": {"clusterQueue": str}, "status": STATUS},
    "workloads.kueue.x-k8s.io": {
        "spec": {"queueName": str, "podSets": [{"name": str, "count": int, "template": TEMPLATE}]},
        "status": STATUS,
    },
    "topologies.kueue.x-k8s.io": {"spec": {"levels": [{"nodeLabel": str}]}},
    "customresourcedefinitions.apiextensions.k8s.io": {
        "spec": {
            "group": str,
            "scope": str,
            "names": {"plural": str, "singular": str, "kind": str, "shortNames": [str], "categories": [str]},
            "versions": [_SCHEMA_VERSION],
        },
        "status": {"conditions": [{"type": str, "status": str}]},
    },
}
