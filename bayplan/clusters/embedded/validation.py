"""Checks of the kinds we know, with the field path of everything wrong (Kubernetes `pkg/apis/*/validation`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bayplan.clusters.embedded.checks import (
    Errors,
    each,
    items,
    label_name,
    mapping,
    one_of,
    quantities,
    quantity,
    sub,
    subdomain,
    unique,
    whole,
)
from bayplan.clusters.embedded.crds import CRD_RESOURCE, check_crd
from bayplan.clusters.embedded.errors import FieldError, bad_value, forbidden_field, missing, too_many
from bayplan.clusters.embedded.kinds import Kind
from bayplan.clusters.embedded.meta import check_label
from bayplan.clusters.embedded.selectors import selector_of
from bayplan.model.quantity import Quantity

Object = Mapping[str, Any]

POD_GROUP_CLAIMS_MAX = 4


def check_object(kind: Kind, obj: Object) -> list[FieldError]:
    """What is wrong with the object's content; its metadata is checked elsewhere."""
    check = _CHECKS.get(kind.resource)
    if check is None:
        return []
    return mapping("spec", obj.get("spec")) or check(obj)


# -- pods -----------------------------------------------------------------------------------------------------


def _pod(pod: Object) -> Errors:
    return _pod_spec("spec", pod.get("spec"))


def _pod_spec(path: str, spec: Any) -> Errors:
    if problems := mapping(path, spec, required=True):
        return problems
    containers = [*items(spec.get("containers")), *items(spec.get("initContainers"))]
    problems = [] if spec.get("containers") else [missing(f"{path}.containers")]
    problems += each(f"{path}.containers", spec.get("containers"), _container)
    problems += each(f"{path}.initContainers", spec.get("initContainers"), _container)
    problems += unique(f"{path}.containers", (sub(item).get("name") for item in containers), "name")
    problems += one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never"))
    problems += each(f"{path}.volumes", spec.get("volumes"), lambda at, v: label_name(f"{at}.name", v.get("name")))
    problems += each(f"{path}.tolerations", spec.get("tolerations"), _toleration)
    problems += each(f"{path}.resourceClaims", spec.get("resourceClaims"), _pod_claim)
    problems += _labels(f"{path}.nodeSelector", spec.get("nodeSelector"))
    problems += quantities(f"{path}.overhead", spec.get("overhead"))
    return problems + _claims_used(path, spec, containers)


def _container(path: str, container: Object) -> Errors:
    problems = label_name(f"{path}.name", container.get("name"))
    if not container.get("image"):
        problems.append(missing(f"{path}.image"))
    problems += each(f"{path}.env", container.get("env"), _env)
    problems += each(f"{path}.ports", container.get("ports"), _port)
    return problems + _resources(f"{path}.resources", container.get("resources"))


def _env(path: str, env: Object) -> Errors:
    problems = [] if env.get("name") else [missing(f"{path}.name")]
    if "value" in env and not isinstance(env["value"], str):
        problems.append(bad_value(f"{path}.value", env["value"], 'expected a string: write it in quotes ("1")'))
    return problems


def _port(path: str, port: Object) -> Errors:
    number = port.get("containerPort")
    problems = whole(f"{path}.containerPort", number, least=1, required=True)
    if not problems and isinstance(number, int) and number > 65535:
        problems.append(bad_value(f"{path}.containerPort", number, "must be between 1 and 65535, inclusive"))
    return problems + one_of(f"{path}.protocol", port.get("protocol"), ("TCP", "UDP", "SCTP"))


def _resources(path: str, resources: Any) -> Errors:
    if problems := mapping(path, resources):
        return problems
    resources = resources or {}
    problems = quantities(f"{path}.requests", resources.get("requests"))
    problems += quantities(f"{path}.limits", resources.get("limits"))
    if problems:
        return problems
    requests, limits = sub(resources, "requests"), sub(resources, "limits")
    for name, asked in requests.items():
        limit = limits.get(name)
        at = f"{path}.requests"
        if limit is not None and Quantity.of_json(asked) > Quantity.of_json(limit):
            problems.append(bad_value(at, asked, f"must be less than or equal to {name} limit of {limit}"))
        if "/" in name and limit is not None and Quantity.of_json(asked) != Quantity.of_json(limit):
            problems.append(bad_value(at, asked, f"must be equal to {name} limit of {limit}"))
        if "/" in name and Quantity.of_json(asked).nano % 10**9:
            problems.append(bad_value(f"{at}[{name}]", asked, "must be an integer"))
    return problems


def _toleration(path: str, toleration: Object) -> Errors:
    operators = ("Equal", "Exists", "Lt", "Gt")
    problems = one_of(f"{path}.operator", toleration.get("operator") or "Equal", operators)
    if not toleration.get("key") and toleration.get("operator") != "Exists":
        problems.append(bad_value(f"{path}.operator", toleration.get("operator"), "must be Exists when `key` is empty"))
    effect = toleration.get("effect") or None
    return problems + one_of(f"{path}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute"))


def _pod_claim(path: str, claim: Object) -> Errors:
    problems = label_name(f"{path}.name", claim.get("name"))
    sources = [claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")]
    if sum(1 for source in sources if source) != 1:
        why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        problems.append(FieldError(path, f"Required value: {why}", "FieldValueRequired"))
    return problems


def _claims_used(path: str, spec: Object, containers: list[Any]) -> Errors:
    """Containers may only use claims that the pod declares."""
    declared = [sub(claim).get("name") for claim in items(spec.get("resourceClaims"))]
    problems = unique(f"{path}.resourceClaims", iter(declared), "name")
    for container in containers:
        for claim in items(sub(container, "resources").get("claims")):
            if sub(claim).get("name") not in declared:
                at = f"{path}.containers[name={sub(container).get('name')}].resources.claims"
                why = "must be one of the names in pod.spec.resourceClaims"
                problems.append(bad_value(at, sub(claim).get("name"), why))
    return problems


def _labels(path: str, labels: Any) -> Errors:
    if problems := mapping(path, labels):
        return problems
    return [error for key, value in (labels or {}).items() for error in check_label(path, key, value)]


def _node(node: Object) -> Errors:
    status = sub(node, "status")
    problems = quantities("status.capacity", status.get("capacity"))
    problems += quantities("status.allocatable", status.get("allocatable"))
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    return problems + each(
        "spec.taints",
        sub(node, "spec").get("taints"),
        lambda at, taint: (
            ([] if taint.get("key") else [missing(f"{at}.key")])
            + one_of(f"{at}.effect", taint.get("effect"), effects, required=True)
        ),
    )


# -- what makes pods ------------------------------------------------------------------------------------------


def _template(path: str, template: Any, policies: tuple[str, ...] | None) -> Errors:
    if problems := mapping(path, template, required=True):
        return problems
    problems = _pod_spec(f"{path}.spec", template.get("spec"))
    problems += _labels(f"{path}.metadata.labels", sub(template, "metadata").get("labels"))
    policy = sub(template, "spec").get("restartPolicy")
    if policies and not problems and policy not in policies:
        allowed = ", ".join(f'"{each}"' for each in policies)
        why = f'Required value: valid values: {allowed} (found "{policy}")'
        problems.append(FieldError(f"{path}.spec.restartPolicy", why, "FieldValueRequired"))
    return problems


def _replicated(obj: Object) -> Errors:
    """Deployment, ReplicaSet, StatefulSet and DaemonSet: a selector that the template's labels satisfy."""
    if "spec" not in obj:
        return [missing("spec")]
    spec = sub(obj, "spec")
    problems = whole("spec.replicas", spec.get("replicas"))
    problems += _template("spec.template", spec.get("template"), ("Always",))
    selector = sub(spec, "selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return [*problems, missing("spec.selector")]
    labels = sub(spec, "template", "metadata").get("labels") or {}
    if not problems and not selector_of(selector)(labels):
        why = "`selector` does not match template `labels`"
        problems.append(bad_value("spec.template.metadata.labels", labels, why))
    return problems


def _job(job: Object) -> Errors:
    spec = sub(job, "spec")
    problems = _job_counts("spec", spec)
    return problems + _template("spec.template", spec.get("template"), ("OnFailure", "Never"))


def _job_counts(path: str, spec: Object) -> Errors:
    problems: Errors = []
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        problems += whole(f"{path}.{name}", spec.get(name))
    problems += one_of(f"{path}.completionMode", spec.get("completionMode"), ("NonIndexed", "Indexed"))
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        problems.append(missing(f"{path}.completions", "when completion mode is Indexed"))
    return problems


def _cron_job(obj: Object) -> Errors:
    spec = sub(obj, "spec")
    problems = [] if spec.get("schedule") else [missing("spec.schedule")]
    inner = sub(spec, "jobTemplate", "spec")
    return problems + _template("spec.jobTemplate.spec.template", inner.get("template"), ("OnFailure", "Never"))


def _job_set(obj: Object) -> Errors:
    replicated = sub(obj, "spec").get("replicatedJobs")
    problems = [] if replicated else [missing("spec.replicatedJobs")]
    problems += each("spec.replicatedJobs", replicated, _replicated_job)
    names = (sub(job).get("name") for job in items(replicated))
    return problems + unique("spec.replicatedJobs", names, "name")


def _replicated_job(path: str, job: Object) -> Errors:
    problems = label_name(f"{path}.name", job.get("name")) + whole(f"{path}.replicas", job.get("replicas"))
    at, spec = f"{path}.template.spec", sub(job, "template", "spec")
    problems += _job_counts(at, spec)
    template = spec.get("template")
    return problems + (_template(f"{at}.template", template, None) if template else [missing(f"{at}.template")])


def _pod_group(obj: Object) -> Errors:
    policy, claims = sub(obj, "spec", "schedulingPolicy"), sub(obj, "spec").get("resourceClaims")
    problems = each("spec.resourceClaims", claims, _pod_claim)
    problems += unique("spec.resourceClaims", (sub(c).get("name") for c in items(claims)), "name")
    if len(items(claims)) > POD_GROUP_CLAIMS_MAX:
        problems.append(too_many("spec.resourceClaims", len(items(claims)), POD_GROUP_CLAIMS_MAX))
    if "gang" in policy and "basic" in policy:
        return [*problems, bad_value("spec.schedulingPolicy", policy, "must specify one of: `basic`, `gang`")]
    if "gang" not in policy:
        return problems
    at = "spec.schedulingPolicy.gang.minCount"
    return problems + whole(at, sub(policy, "gang").get("minCount"), least=1, required=True)


# -- queues ---------------------------------------------------------------------------------------------------


def _cluster_queue(obj: Object) -> Errors:
    spec = sub(obj, "spec")
    groups = spec.get("resourceGroups")
    problems = [too_many("spec.resourceGroups", len(items(groups)), 16)] if len(items(groups)) > 16 else []
    strategies = ("StrictFIFO", "BestEffortFIFO")
    problems += one_of("spec.queueingStrategy", spec.get("queueingStrategy"), strategies)
    return problems + each("spec.resourceGroups", groups, _resource_group)


def _resource_group(path: str, group: Object) -> Errors:
    covered = items(group.get("coveredResources"))
    problems = [] if covered else [missing(f"{path}.coveredResources")]
    for index, flavor in enumerate(items(group.get("flavors"))):
        at = f"{path}.flavors[{index}]"
        problems += subdomain(f"{at}.name", sub(flavor).get("name"))
        problems += each(f"{at}.resources", sub(flavor).get("resources"), _flavor_quota)
        names = [sub(resource).get("name") for resource in items(sub(flavor).get("resources"))]
        if names != covered:
            why = "must list the coveredResources of its group, in their order"
            problems.append(bad_value(f"{at}.resources", names, why))
    return problems


def _flavor_quota(path: str, quota: Object) -> Errors:
    problems = [] if quota.get("name") else [missing(f"{path}.name")]
    if "nominalQuota" not in quota:
        problems.append(missing(f"{path}.nominalQuota"))
    for name in ("nominalQuota", "borrowingLimit", "lendingLimit"):
        if quota.get(name) is not None:
            problems += quantity(f"{path}.{name}", quota[name])
    return problems


def _local_queue(obj: Object) -> Errors:
    return subdomain("spec.clusterQueue", sub(obj, "spec").get("clusterQueue"))


def _kueue_workload(obj: Object) -> Errors:
    spec = sub(obj, "spec")
    problems = [] if spec.get("podSets") else [missing("spec.podSets")]
    return problems + each("spec.podSets", spec.get("podSets"), _pod_set)


def _pod_set(path: str, pod_set: Object) -> Errors:
    problems = label_name(f"{path}.name", pod_set.get("name") or "main")
    problems += whole(f"{path}.count", pod_set.get("count"), required=True)
    return problems + whole(f"{path}.minCount", pod_set.get("minCount"), least=1)


def _topology(obj: Object) -> Errors:
    levels = items(sub(obj, "spec").get("levels"))
    if not levels:
        return [missing("spec.levels")]
    if len(levels) > 16:
        return [too_many("spec.levels", len(levels), 16)]
    problems = [
        missing(f"spec.levels[{i}].nodeLabel") for i, each in enumerate(levels) if not sub(each).get("nodeLabel")
    ]
    return problems + unique("spec.levels", (sub(level).get("nodeLabel") for level in levels), "nodeLabel")


def _priority(obj: Object) -> Errors:
    return whole("value", obj.get("value"), least=-(2**31), required=True)


# -- data -----------------------------------------------------------------------------------------------------

_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def _data(obj: Object) -> Errors:
    """ConfigMap and Secret: string keys of a file name's shape, string values."""
    problems = mapping("data", obj.get("data"))
    for key, value in sub(obj, "data").items():
        if not _DATA_KEY.fullmatch(key):
            problems.append(bad_value("data", key, "a valid config key consists of A-Z a-z 0-9 - _ ."))
        if not isinstance(value, str):
            problems.append(bad_value(f"data[{key}]", value, "expected a string: write it in quotes"))
    return problems


def _config_map(obj: Object) -> Errors:
    return [forbidden_field("spec", "a ConfigMap has data, not spec")] if "spec" in obj else _data(obj)


def _event(obj: Object) -> Errors:
    about, space = sub(obj, "involvedObject").get("namespace"), obj["metadata"].get("namespace")
    if about and about != space:
        return [bad_value("involvedObject.namespace", about, "does not match event.namespace")]
    return []


_CHECKS: dict[str, Callable[[Object], Errors]] = {
    "pods": _pod,
    "nodes": _node,
    "configmaps": _config_map,
    "secrets": _data,
    "events": _event,
    "deployments.apps": _replicated,
    "replicasets.apps": _replicated,
    "statefulsets.apps": _replicated,
    "daemonsets.apps": _replicated,
    "jobs.batch": _job,
    "cronjobs.batch": _cron_job,
    "jobsets.jobset.x-k8s.io": _job_set,
    "podgroups.scheduling.k8s.io": _pod_group,
    "priorityclasses.scheduling.k8s.io": _priority,
    "workloadpriorityclasses.kueue.x-k8s.io": _priority,
    "clusterqueues.kueue.x-k8s.io": _cluster_queue,
    "localqueues.kueue.x-k8s.io": _local_queue,
    "workloads.kueue.x-k8s.io": _kueue_workload,
    "topologies.kueue.x-k8s.io": _topology,
    CRD_RESOURCE: check_crd,
}
