"""The subresources that are not just `status`: scale, binding and eviction, as functions on a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.clusters.embedded import jsonpath
from bayplan.clusters.embedded.errors import bad_request, stale
from bayplan.clusters.embedded.kinds import Kind
from bayplan.clusters.embedded.patch import json_patch, merge_patch
from bayplan.clusters.embedded.selectors import selector_text
from bayplan.clusters.embedded.store import Object, Store
from bayplan.clusters.embedded.writer import PatchKind


def scale_of(kind: Kind, obj: Mapping[str, Any]) -> Object:
    """The autoscaling/v1 Scale of an object."""
    assert kind.scale is not None
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = _value(obj, kind.scale.selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: value for key, value in obj["metadata"].items() if key in kept},
        "spec": {"replicas": _value(obj, kind.scale.replicas) or 0},
        "status": {
            "replicas": _value(obj, kind.scale.observed) or 0,
            "selector": selector_text(selector) if isinstance(selector, Mapping) else selector or "",
        },
    }


def _value(obj: Mapping[str, Any], path: str) -> Any:
    found = jsonpath.find(path, obj) if path else []
    return found[0] if found else None


def set_scale(
    store: Store,
    kind: Kind,
    namespace: str | None,
    name: str,
    change: Any,
    how: PatchKind | None,
    *,
    manager: str = "",
    dry_run: bool = False,
) -> Object:
    """Write `spec.replicas` of a Scale (`how` None) or of a patch of one into the object; returns the new Scale."""
    assert kind.scale is not None
    with store.transaction():
        obj = store.get(kind.resource, namespace, name)
        scale = scale_of(kind, obj)
        wanted = change if how is None else json_patch(scale, change) if how == "json" else merge_patch(scale, change)
        if not isinstance(wanted, Mapping):
            raise bad_request("a Scale is an object")
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        if version and version != obj["metadata"]["resourceVersion"]:
            raise stale(kind.resource, name)
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            raise bad_request(f"spec.replicas: expected a whole number from 0, found {replicas!r}")
        patch: Any = replicas
        for part in reversed(kind.scale.replicas.split(".")):
            patch = {part: patch}
        written = store.patch(kind.resource, namespace, name, patch, manager=manager, dry_run=dry_run)
    return scale_of(kind, written.decode())


def bind(store: Store, namespace: str, name: str, binding: Mapping[str, Any]) -> None:
    """Carry out a v1 Binding."""
    target = binding.get("target") or {}
    node = target.get("name")
    if not node or target.get("kind", "Node") != "Node":
        raise bad_request("a Binding needs target.name, the name of a Node")
    meta = binding.get("metadata") or {}
    store.bind(namespace, name, node, annotations=meta.get("annotations"))


def evict(store: Store, namespace: str, name: str, eviction: Mapping[str, Any], *, dry_run: bool = False) -> None:
    """Carry out a policy/v1 Eviction: an ordinary deletion, with the pod's grace period."""
    options = eviction.get("deleteOptions") or {}
    store.delete("pods", namespace, name, grace_seconds=options.get("gracePeriodSeconds"), dry_run=dry_run)
