"""The smallest OpenAPI documents that switch kubectl to server-side validation (KEP-2885) and let `explain` answer.

kubectl looks up a PATCH operation with the kind's x-kubernetes-group-version-kind and a `fieldValidation` parameter.
Strategic merge is left out of what PATCH accepts, so kubectl computes its patches from its own built-in types.
"""

from __future__ import annotations

from typing import Any

from bayplan.clusters.embedded.kinds import Kind, Kinds

_QUERY_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


def v2(kinds: Kinds) -> dict[str, Any]:
    """Swagger 2.0 with one definition per kind."""
    definitions = {}
    for kind in kinds:
        for version in kind.versions:
            definitions[_name(kind, version)] = _schema(kind, version)
    info = {"title": "Bayplan", "version": "v1"}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": definitions}


def v3_index(kinds: Kinds) -> dict[str, Any]:
    paths = {
        _root(kind, version): {"serverRelativeURL": f"/openapi/v3/{_root(kind, version)}?hash={kinds.revision}"}
        for kind in kinds
        for version in kind.versions
    }
    return {"paths": paths}


def v3(kinds: Kinds, group: str, version: str) -> dict[str, Any] | None:
    """The document of one group version, or None when nothing is served there."""
    served = [kind for kind in kinds if kind.group == group and version in kind.versions]
    if not served:
        return None
    paths = {path: item for kind in served for path, item in _paths(kind, version).items()}
    schemas = {_name(kind, version): _schema(kind, version) for kind in served}
    info = {"title": "Bayplan", "version": "v1"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _root(kind: Kind, version: str) -> str:
    return f"apis/{kind.group}/{version}" if kind.group else f"api/{version}"


def _name(kind: Kind, version: str) -> str:
    return f"{kind.group or 'core'}.{version}.{kind.kind}"


def _gvk(kind: Kind, version: str) -> dict[str, str]:
    return {"group": kind.group, "version": version, "kind": kind.kind}


def _paths(kind: Kind, version: str) -> dict[str, Any]:
    space = "namespaces/{namespace}/" if kind.namespaced else ""
    base = f"/{_root(kind, version)}/{space}{kind.plural}"
    reference = {"schema": {"$ref": f"#/components/schemas/{_name(kind, version)}"}}
    common = {"x-kubernetes-group-version-kind": _gvk(kind, version)}
    answer = {"200": {"description": "OK", "content": {"application/json": reference}}}

    def operation(verb: str, body: dict[str, Any] | None) -> dict[str, Any]:
        said: dict[str, Any] = {**common, "x-kubernetes-action": verb, "responses": answer}
        return said | ({"parameters": _QUERY_PARAMETERS, "requestBody": {"content": body}} if body else {})

    patches = {"application/merge-patch+json": reference, "application/apply-patch+yaml": reference}
    patches["application/json-patch+json"] = reference
    return {
        base: {"get": operation("list", None), "post": operation("post", {"application/json": reference})},
        base + "/{name}": {
            "get": operation("get", None),
            "put": operation("put", {"application/json": reference}),
            "patch": operation("patch", patches),
            "delete": operation("delete", None),
        },
    }


def _schema(kind: Kind, version: str) -> dict[str, Any]:
    """The CRD's own schema; for the rest an open object, so that nothing a client knows is refused."""
    schema = dict(kind.schemas.get(version) or {})
    properties = dict(schema.get("properties") or {})
    properties |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    if not kind.custom:
        for name in ("spec", "status"):
            properties[name] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        schema["x-kubernetes-preserve-unknown-fields"] = True
    known = {"x-kubernetes-group-version-kind": [_gvk(kind, version)]}
    return schema | {"type": "object", "properties": properties} | known
