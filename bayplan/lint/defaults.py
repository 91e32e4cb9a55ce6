"""What the API server fills in before it judges a claim (resource.k8s.io/v1 defaults): files seldom spell it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayplan.lint.rules import Json

_NAMESPACED = ("ResourceClaim", "ResourceClaimTemplate")


def with_defaults(obj: Json) -> Json:
    """The object with namespace `default`, one device per request and tolerations that compare, where nothing is said.

    What is not of the shape these fields should have is left as it is.
    """
    kind, spec = obj.get("kind"), obj.get("spec")
    if kind in _NAMESPACED and isinstance(obj.get("metadata"), dict):
        obj = {**obj, "metadata": {"namespace": "default", **obj["metadata"]}}
    if kind == "ResourceClaim" and isinstance(spec, dict):
        return {**obj, "spec": _claim(spec)}
    if kind == "ResourceClaimTemplate" and isinstance(spec, dict):
        return {**obj, "spec": _at(spec, "spec", _claim)}
    return obj


def _claim(spec: Json) -> Json:
    return _at(spec, "devices", lambda devices: _each(devices, "requests", _request))


def _request(request: Json) -> Json:
    return _each(_at(request, "exactly", _asked), "firstAvailable", _asked)


def _asked(asked: Json) -> Json:
    asked = _each(asked, "tolerations", lambda toleration: {"operator": "Equal", **toleration})
    mode = asked.get("allocationMode") or "ExactCount"
    count = {"count": 1} if mode == "ExactCount" and asked.get("count") is None else {}
    return {**asked, "allocationMode": mode, **count}


def _at(value: Json, name: str, fill: Callable[[Json], Json]) -> Json:
    inner: Any = value.get(name)
    return {**value, name: fill(inner)} if isinstance(inner, dict) else value


def _each(value: Json, name: str, fill: Callable[[Json], Json]) -> Json:
    inner: Any = value.get(name)
    if not isinstance(inner, list):
        return value
    return {**value, name: [fill(each) if isinstance(each, dict) else each for each in inner]}
