"""A CustomResourceDefinition is a kind that arrives at run time (apiextensions.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.clusters.embedded.checks import each, label_name
from bayplan.clusters.embedded.errors import FieldError, bad_value, missing
from bayplan.clusters.embedded.kinds import Kind, ScalePaths
from bayplan.clusters.embedded.shapes import ANY, check_shape

_WHOLE_BOUNDS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_BOUNDS = ("minimum", "maximum", "multipleOf")
CRD_RESOURCE = "customresourcedefinitions.apiextensions.k8s.io"


def kind_of_crd(crd: Mapping[str, Any]) -> Kind:
    """The kind that a valid definition describes; the storage version comes first."""
    spec, names = crd["spec"], crd["spec"]["names"]
    served = sorted(
        (version for version in spec["versions"] if version.get("served", True)),
        key=lambda version: not version.get("storage"),
    )
    subresources = served[0].get("subresources") or {} if served else {}
    return Kind(
        group=spec["group"],
        versions=tuple(version["name"] for version in served),
        kind=names["kind"],
        plural=names["plural"],
        namespaced=spec.get("scope") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        status="status" in subresources,
        scale=_scale(subresources.get("scale")),
        fields=_selectable(served[0]) if served else (),
        custom=True,
        builtin_schema=False,
        schemas={v["name"]: (v.get("schema") or {}).get("openAPIV3Schema") or {} for v in served},
        printer={v["name"]: v.get("additionalPrinterColumns") or [] for v in served},
        singular_name=names.get("singular") or names["kind"].lower(),
        list_kind_name=names.get("listKind") or names["kind"] + "List",
    )


def _scale(paths: Mapping[str, str] | None) -> ScalePaths | None:
    if not paths:
        return None
    replicas, observed = paths.get("specReplicasPath", ""), paths.get("statusReplicasPath", "")
    return ScalePaths(replicas.lstrip("."), observed.lstrip("."), paths.get("labelSelectorPath", "").lstrip("."))


def _selectable(version: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ())


def check_crd(crd: Mapping[str, Any]) -> list[FieldError]:
    """What the definition must say before it can be served."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    problems = [missing(f"spec.{field}") for field in ("group", "scope", "versions") if not spec.get(field)]
    problems += [missing(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if problems:
        return problems
    expected = f"{names['plural']}.{spec['group']}"
    if crd["metadata"].get("name") != expected:
        problems.append(
            bad_value(
                "metadata.name", crd["metadata"].get("name"), f'must be spec.names.plural+"."+spec.group: {expected}'
            )
        )
    if spec["scope"] not in ("Namespaced", "Cluster"):
        problems.append(bad_value("spec.scope", spec["scope"], "must be Namespaced or Cluster"))
    problems += each("spec.versions", spec["versions"], _check_version)
    if sum(1 for version in spec["versions"] if version.get("storage")) != 1:
        problems.append(bad_value("spec.versions", spec["versions"], "must have exactly one version marked as storage"))
    return problems


def _check_version(path: str, version: Mapping[str, Any]) -> list[FieldError]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return label_name(f"{path}.name", version.get("name")) + _check_schema(f"{path}.schema.openAPIV3Schema", schema)


def _check_schema(path: str, schema: Any) -> list[FieldError]:
    """That a schema is one: maps, lists and numbers where validation will look for them."""
    shape = {
        "properties": {"*": {}},
        "required": [str],
        "enum": [ANY],
        "type": str,
        "pattern": str,
        "x-kubernetes-list-type": str,
        "x-kubernetes-list-map-keys": [str],
        **dict.fromkeys(_WHOLE_BOUNDS, int),
        **dict.fromkeys(_BOUNDS, (int, float)),
    }
    if problems := check_shape(shape, schema, path):
        return problems
    inner = {f"{path}.properties[{name}]": part for name, part in (schema.get("properties") or {}).items()}
    for name in ("items", "additionalProperties"):
        if not isinstance(schema.get(name), (bool, type(None))):
            inner[f"{path}.{name}"] = schema[name]
    return [problem for at, part in inner.items() for problem in check_shape({}, part, at) or _check_schema(at, part)]


def with_established_status(crd: dict[str, Any], now: str) -> dict[str, Any]:
    """The definition with the conditions that clients wait for; served from the moment it is stored."""
    status = dict(crd.get("status") or {})
    if any(condition["type"] == "Established" for condition in status.get("conditions") or ()):
        status["acceptedNames"] = crd["spec"]["names"]
        return crd | {"status": status}
    storage = next(version["name"] for version in crd["spec"]["versions"] if version.get("storage"))
    accepted = {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"}
    established = {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}
    established["message"] = "the initial names have been accepted"
    conditions = [each | {"lastTransitionTime": now} for each in (accepted, established)]
    names = crd["spec"]["names"]
    return crd | {"status": {"acceptedNames": names, "conditions": conditions, "storedVersions": [storage]}}
