"""Objects served in several versions are stored in one, the kind's first, and shown in the one asked for.

Only the scheduling.k8s.io kinds changed shape between versions (1.36 v1alpha2 to 1.37 v1beta1): where a PodGroup
names its Workload, how disruption is spelled, and the name of its condition. All others differ in apiVersion alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayplan.clusters.embedded.kinds import Kind

Object = dict[str, Any]

_MODES: dict[str, Object] = {"Pod": {"single": {}}, "PodGroup": {"all": {}}}
_CONDITIONS = {"PodGroupScheduled": "PodGroupInitiallyScheduled"}


def to_stored(kind: Kind, obj: Object) -> Object:
    """The object in the version that is stored."""
    version = str(obj["apiVersion"]).rpartition("/")[2]
    if version == kind.versions[0]:
        return obj
    convert = _TO_STORED.get((kind.resource, version), dict)
    return {**convert(obj), "apiVersion": kind.api_version()}


def to_version(kind: Kind, version: str, obj: Object) -> Object:
    """A stored object in the version a client asked for."""
    if version == kind.versions[0]:
        return obj
    convert = _FROM_STORED.get((kind.resource, version), dict)
    return {**convert(obj), "apiVersion": kind.api_version(version)}


def _group_to_beta(obj: Mapping[str, Any]) -> Object:
    spec = _mode_to_beta(dict(obj.get("spec") or {}))
    reference = (spec.pop("podGroupTemplateRef", None) or {}).get("workload")
    if reference:
        names = {"workloadName": "workloadName", "podGroupTemplateName": "templateName"}
        spec["workloadRef"] = {names.get(key, key): value for key, value in reference.items()}
    return _with(obj, spec, _CONDITIONS)


def _group_from_beta(obj: Mapping[str, Any]) -> Object:
    spec = _mode_from_beta(dict(obj.get("spec") or {}))
    reference = spec.pop("workloadRef", None)
    if reference:
        names = {"templateName": "podGroupTemplateName"}
        inner = {names.get(key, key): value for key, value in reference.items()}
        spec["podGroupTemplateRef"] = {"workload": inner}
    return _with(obj, spec, {new: old for old, new in _CONDITIONS.items()})


def _with(obj: Mapping[str, Any], spec: Object, conditions: Mapping[str, str]) -> Object:
    changed = dict(obj) | ({"spec": spec} if "spec" in obj else {})
    status = obj.get("status")
    if isinstance(status, Mapping) and status.get("conditions"):
        renamed = [each | {"type": conditions.get(each.get("type"), each.get("type"))} for each in status["conditions"]]
        changed["status"] = {**status, "conditions": renamed}
    return changed


def _mode_to_beta(template: Object) -> Object:
    mode = template.get("disruptionMode")
    return template | ({"disruptionMode": _MODES[mode]} if isinstance(mode, str) and mode in _MODES else {})


def _mode_from_beta(template: Object) -> Object:
    mode = template.get("disruptionMode")
    spelled = next((name for name, value in _MODES.items() if value == mode), None)
    return template | ({"disruptionMode": spelled} if spelled else {})


def _templates(change: Callable[[Object], Object]) -> Callable[[Mapping[str, Any]], Object]:
    """A conversion of a Workload: of each of its pod group templates."""

    def convert(obj: Mapping[str, Any]) -> Object:
        spec = dict(obj.get("spec") or {})
        templates = spec.get("podGroupTemplates")
        if isinstance(templates, list):
            spec["podGroupTemplates"] = [change(dict(each)) if isinstance(each, dict) else each for each in templates]
        return dict(obj) | ({"spec": spec} if "spec" in obj else {})

    return convert


_GROUPS, _WORKLOADS = "podgroups.scheduling.k8s.io", "workloads.scheduling.k8s.io"
_TO_STORED: dict[tuple[str, str], Callable[[Mapping[str, Any]], Object]] = {
    (_GROUPS, "v1alpha2"): _group_to_beta,
    (_WORKLOADS, "v1alpha2"): _templates(_mode_to_beta),
}
_FROM_STORED: dict[tuple[str, str], Callable[[Mapping[str, Any]], Object]] = {
    (_GROUPS, "v1alpha2"): _group_from_beta,
    (_WORKLOADS, "v1alpha2"): _templates(_mode_from_beta),
}
