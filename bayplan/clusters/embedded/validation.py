"""Checks of the kinds we know, with the field path of everything wrong (Kubernetes `pkg/apis/*/validation`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayplan.clusters.embedded.crds import CRD_RESOURCE, check_crd
from bayplan.clusters.embedded.errors import FieldError
from bayplan.clusters.embedded.kinds import Kind


def check_object(kind: Kind, obj: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with the object's content; its metadata is checked elsewhere."""
    check = _CHECKS.get(kind.resource)
    return check(obj) if check else []


_CHECKS: dict[str, Callable[[Mapping[str, Any]], list[FieldError]]] = {
    CRD_RESOURCE: check_crd,
}
