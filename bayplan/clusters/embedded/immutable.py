"""Fields that may not change once set, for the kinds where a silent change would break what was promised.

ResourceClaim spec (KEP-4381), Job selector/template/completions (a suspended job that has not started may still get
its scheduling directives, KEP-2926), pod spec with its short list of exceptions, PodGroup (all but minCount).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from bayplan.clusters.embedded.errors import FieldError, bad_value, forbidden_field
from bayplan.clusters.embedded.kinds import Kind

Object = Mapping[str, Any]
_UNCHANGEABLE = "field is immutable"


def check_immutable(kind: Kind, new: Object, old: Object) -> list[FieldError]:
    """One error per immutable field that differs."""
    problems = [
        bad_value(path, _at(new, path), _UNCHANGEABLE)
        for path in _FIXED_PATHS.get(kind.resource, ())
        if _at(old, path) is not None and _at(new, path) != _at(old, path)
    ]
    check = _CHECKS.get(kind.resource)
    return problems + (check(new, old) if check else [])


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


_FIXED_PATHS: dict[str, tuple[str, ...]] = {
    "priorityclasses.scheduling.k8s.io": ("value", "preemptionPolicy"),
    "deployments.apps": ("spec.selector",),
    "replicasets.apps": ("spec.selector",),
    "statefulsets.apps": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy"),
    "daemonsets.apps": ("spec.selector",),
    "jobs.batch": ("spec.selector", "spec.completionMode"),
    "secrets": ("type",),
    "persistentvolumeclaims": ("spec.volumeName", "spec.storageClassName", "spec.accessModes"),
    "customresourcedefinitions.apiextensions.k8s.io": ("spec.group", "spec.scope", "spec.names.kind"),
}


def _check_pod(new: Object, old: Object) -> list[FieldError]:
    """Only images, deadlines, added tolerations, removed gates and (while gated) node selection may change."""
    before, after = copy.deepcopy(old.get("spec") or {}), copy.deepcopy(new.get("spec") or {})
    gated = bool(before.get("schedulingGates"))
    for field in ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "ephemeralContainers"):
        before.pop(field, None), after.pop(field, None)
    for spec in (before, after):
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            container.pop("image", None)
    tolerated = after.pop("tolerations", None) or []
    dropped = [each for each in before.pop("tolerations", None) or [] if each not in tolerated]
    gates = before.pop("schedulingGates", None) or []
    if any(gate not in gates for gate in after.pop("schedulingGates", None) or []):
        return [forbidden_field("spec.schedulingGates", "only deletion is allowed, but found new scheduling gates")]
    if gated:
        for field in ("nodeSelector", "affinity"):
            before.pop(field, None), after.pop(field, None)
    if before == after and not dropped:
        return []
    return [
        forbidden_field(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`,"
            " `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations),"
            " `spec.terminationGracePeriodSeconds`, `spec.schedulingGates` (only removals)",
        )
    ]


def _check_job(new: Object, old: Object) -> list[FieldError]:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    problems = []
    if before.get("completions") != after.get("completions") and not (
        before.get("completionMode") == "Indexed" and after.get("completions") == after.get("parallelism")
    ):
        problems.append(bad_value("spec.completions", after.get("completions"), _UNCHANGEABLE))
    waiting = bool(before.get("suspend")) and not (old.get("status") or {}).get("startTime")
    if _template(before, waiting) != _template(after, waiting):
        problems.append(bad_value("spec.template", after.get("template"), _UNCHANGEABLE))
    return problems


def _template(spec: Object, waiting: bool) -> Any:
    """A job's pod template without what may change while the job is suspended and has not started."""
    template = copy.deepcopy(spec.get("template") or {})
    if waiting:
        for field in ("labels", "annotations"):
            (template.get("metadata") or {}).pop(field, None)
        for field in ("nodeSelector", "affinity", "tolerations", "schedulingGates"):
            (template.get("spec") or {}).pop(field, None)
        for container in (template.get("spec") or {}).get("containers") or ():
            container.pop("resources", None)
    return template


def _check_pod_group(new: Object, old: Object) -> list[FieldError]:
    return [] if _without_min(new) == _without_min(old) else [forbidden_field("spec", _UNCHANGEABLE)]


def _without_min(group: Object) -> Any:
    spec = copy.deepcopy(group.get("spec") or {})
    gang = (spec.get("schedulingPolicy") or {}).get("gang")
    if isinstance(gang, dict):
        gang.pop("minCount", None)
    return spec


def _check_frozen(new: Object, old: Object) -> list[FieldError]:
    """A ConfigMap or Secret with immutable: true."""
    if not old.get("immutable"):
        return []
    fields = ("immutable", "data", "binaryData", "stringData")
    changed = [field for field in fields if new.get(field) != old.get(field)]
    return [forbidden_field(field, "field is immutable when `immutable` is set") for field in changed]


_CHECKS: dict[str, Callable[[Object, Object], list[FieldError]]] = {
    "pods": _check_pod,
    "jobs.batch": _check_job,
    "podgroups.scheduling.k8s.io": _check_pod_group,
    "configmaps": _check_frozen,
    "secrets": _check_frozen,
}
