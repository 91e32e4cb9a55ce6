"""What is served, as kubectl asks for it: /version, /api, /apis, and each group version's resources.

The aggregated form (apidiscovery.k8s.io/v2, KEP-3352) answers a client's whole question in two requests.
"""

from __future__ import annotations

from typing import Any

from bayplan.clusters.embedded.kinds import Kind, Kinds

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCE_VERBS = {"log": ["get"], "binding": ["create"], "eviction": ["create"]}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
}
# The Kubernetes release whose semantics the store follows; kubectl compares it with its own.
KUBERNETES_MINOR = 34


def version_info() -> dict[str, Any]:
    return {
        "major": "1",
        "minor": str(KUBERNETES_MINOR),
        "gitVersion": f"v1.{KUBERNETES_MINOR}.0+bayplan",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }


def api_versions(address: str) -> dict[str, Any]:
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def group_list(kinds: Kinds) -> dict[str, Any]:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name, v) for name, v in _groups(kinds)]}


def group(kinds: Kinds, name: str) -> dict[str, Any] | None:
    """The APIGroup of one name, or None."""
    versions = dict(_groups(kinds)).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def resource_list(kinds: Kinds, group_name: str, version: str) -> dict[str, Any] | None:
    """The APIResourceList of one group version, or None when nothing is served there."""
    served = [kind for kind in kinds if kind.group == group_name and version in kind.versions]
    if not served:
        return None
    group_version = f"{group_name}/{version}" if group_name else version
    resources = [entry for kind in served for entry in _resources(kind)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def aggregated(kinds: Kinds, *, core: bool) -> dict[str, Any]:
    """Everything below /api (`core`) or /apis in one document."""
    items = []
    for name, versions in [("", ["v1"])] if core else _groups(kinds):
        entries = [
            {"version": each, "freshness": "Current", "resources": _aggregated_resources(kinds, name, each)}
            for each in versions
        ]
        items.append({"metadata": {"name": name, "creationTimestamp": None}, "versions": entries})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resources(kinds: Kinds, group_name: str, version: str) -> list[dict[str, Any]]:
    served = (kind for kind in kinds if kind.group == group_name and version in kind.versions)
    return [_aggregated_resource(kind, version) for kind in served]


def _groups(kinds: Kinds) -> list[tuple[str, list[str]]]:
    """The named groups with their versions, preferred first, in the order they were registered."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        if kind.group:
            versions = found.setdefault(kind.group, [])
            versions += [version for version in kind.versions if version not in versions]
    return list(found.items())


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _verbs(kind: Kind) -> list[str]:
    return ["create"] if kind.create_only else _VERBS


def _resources(kind: Kind) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    entry |= {"shortNames": list(kind.short_names)} if kind.short_names else {}
    entry |= {"categories": list(kind.categories)} if kind.categories else {}
    entries = [entry]
    for name in kind.subresources:
        group_name, version, shown = _SUBRESOURCE_KINDS.get(name, ("", "", kind.kind))
        verbs = _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"])
        sub = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
        sub |= {"kind": shown, "verbs": verbs}
        entries.append(sub | ({"group": group_name, "version": version} if version else {}))
    return entries


def _aggregated_resource(kind: Kind, version: str) -> dict[str, Any]:
    response = {"group": kind.group, "version": version, "kind": kind.kind}
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
    }
    entry |= {"shortNames": list(kind.short_names)} if kind.short_names else {}
    entry |= {"categories": list(kind.categories)} if kind.categories else {}
    subresources = []
    for name in kind.subresources:
        group_name, other, shown = _SUBRESOURCE_KINDS.get(name, (kind.group, version, kind.kind))
        subresources.append(
            {
                "subresource": name,
                "responseKind": {"group": group_name, "version": other, "kind": shown},
                "verbs": _SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"]),
            }
        )
    return entry | ({"subresources": subresources} if subresources else {})
