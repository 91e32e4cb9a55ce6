"""Which resources an API server serves, and in which version each is spoken to it (discovery).

Where we understand several versions the newest served one counts; a kind we have no opinion about is spoken in the
server's preferred version. Aggregated discovery is asked for; a server without it is asked group by group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from bayplan.clusters.kubernetes.http import Http
from bayplan.runtime.objects import ApiError

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"

# Versions whose objects `bayplan.wire` reads, newest first.
UNDERSTOOD: Mapping[str, tuple[str, ...]] = {
    "resource.k8s.io": ("v1", "v1beta2", "v1beta1", "v1alpha3"),
    "scheduling.k8s.io": ("v1", "v1beta1", "v1alpha3", "v1alpha2", "v1alpha1"),
    "kueue.x-k8s.io": ("v1beta2", "v1beta1"),
}


@dataclass(frozen=True)
class Served:
    """One kind as it is served."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()

    @cached_property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The path of the collection, of an object in it, or of that object's subresource."""
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        about = f"/{name}" if name else ""
        about += f"/{subresource}" if subresource else ""
        return f"{'apis' if self.group else 'api'}/{self.api_version}{within}/{self.plural}{about}"


class Catalogue:
    """The served kinds by resource; `revision` grows when the set changes."""

    def __init__(self, kinds: Iterable[Served] = ()) -> None:
        self._by_resource = {k.resource: k for k in kinds}
        self.revision = 0

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._by_resource.values()))

    def __contains__(self, resource: str) -> bool:
        return resource in self._by_resource

    def of(self, resource: str) -> Served:
        """Raises ApiError 404 where it is not served."""
        found = self._by_resource.get(resource)
        if found is None:
            raise ApiError(404, "NotFound", f"the server does not serve {resource}")
        return found

    def replace(self, kinds: Iterable[Served]) -> bool:
        """Takes in what is served now; whether that differs."""
        fresh = {k.resource: k for k in kinds}
        if fresh == self._by_resource:
            return False
        self._by_resource = fresh
        self.revision += 1
        return True


def discover(http: Http) -> list[Served]:
    """Everything the server serves that can be listed. Raises ApiError, Unreachable."""
    found: list[Served] = []
    for root in ("api", "apis"):
        listed = _json(http, root, _AGGREGATED)
        if listed.get("kind") == "APIGroupDiscoveryList":
            found += _aggregated(listed)
        elif root == "api":
            found += [s for version in listed.get("versions") or () for s in _one_by_one(http, "", version)]
        else:
            for group in listed.get("groups") or ():
                versions = [v["version"] for v in group["versions"]]
                found += [s for v in versions for s in _one_by_one(http, group["name"], v)]
    return _preferred(found)


def _aggregated(listed: Mapping[str, Any]) -> Iterator[Served]:
    for group in listed.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            for each in version.get("resources") or ():
                yield Served(
                    name,
                    version["version"],
                    (each.get("responseKind") or {}).get("kind", ""),
                    each["resource"],
                    each.get("scope") == "Namespaced",
                    frozenset(each.get("verbs") or ()),
                )


def _one_by_one(http: Http, group: str, version: str) -> Iterator[Served]:
    listed = _json(http, f"apis/{group}/{version}" if group else f"api/{version}")
    for each in listed.get("resources") or ():
        if "/" not in each["name"]:
            yield Served(
                group, version, each["kind"], each["name"], bool(each.get("namespaced")), frozenset(each["verbs"])
            )


def _preferred(found: Iterable[Served]) -> list[Served]:
    """One version of each resource; the server lists its own preference first."""
    best: dict[str, Served] = {}
    for each in found:
        if "list" not in each.verbs:
            continue
        order = UNDERSTOOD.get(each.group)
        if order is not None and each.version not in order:
            continue
        known = best.get(each.resource)
        if known is None or (order is not None and order.index(each.version) < order.index(known.version)):
            best[each.resource] = each
    return [best[r] for r in sorted(best)]


def _json(http: Http, path: str, accept: str = "application/json") -> Mapping[str, Any]:
    decoded: Any = msgspec.json.decode(http.request("GET", path, accept=accept).body)
    assert isinstance(decoded, dict), "discovery answers with objects"
    return decoded
