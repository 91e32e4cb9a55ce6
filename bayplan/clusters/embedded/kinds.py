"""Which resources the API serves: one row per kind, and a registry that CRDs extend at run time.

A resource is named as kubectl names it, `plural.group` (`pods`, `deployments.apps`, `workloads.kueue.x-k8s.io`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bayplan.clusters.embedded.errors import ApiError


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind keeps what its `scale` subresource shows; dotted paths."""

    replicas: str = "spec.replicas"
    observed: str = "status.replicas"
    selector: str = "spec.selector"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object: names, served versions (first is preferred) and the semantics the store needs.

    `fields` are the field selectors beyond metadata.name and metadata.namespace; `schemas` holds the
    openAPIV3Schema of each version and `printer` the additionalPrinterColumns, both only for kinds from CRDs.
    `create_only` kinds (reviews) are answered and never stored.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = True
    scale: ScalePaths | None = None
    fields: tuple[str, ...] = ()
    custom: bool = False
    builtin_schema: bool = True
    create_only: bool = False
    schemas: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    printer: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    singular_name: str = ""
    list_kind_name: str = ""

    @property
    def resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.list_kind_name or self.kind + "List"

    @property
    def subresources(self) -> tuple[str, ...]:
        named: tuple[str, ...] = ("status",) if self.status else ()
        named += ("scale",) if self.scale else ()
        return named + (("binding", "eviction", "log") if self.resource == "pods" else ())

    def api_version(self, version: str | None = None) -> str:
        version = version or self.versions[0]
        return f"{self.group}/{version}" if self.group else version


class Kinds:
    """The served kinds by resource name; lookups fail with the 404 a client expects."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._by_resource: dict[str, Kind] = {}
        self.revision = 0
        for kind in kinds:
            self.add(kind)

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._by_resource.values()))

    def __contains__(self, resource: str) -> bool:
        return resource in self._by_resource

    def add(self, kind: Kind) -> None:
        """Serve a kind; a definition of one that is built in (Kueue's own CRDs, say) changes nothing."""
        known = self._by_resource.get(kind.resource)
        if kind.custom and known is not None and not known.custom:
            return
        self._by_resource[kind.resource] = kind
        self.revision += 1

    def remove(self, resource: str) -> None:
        if self._by_resource.pop(resource, None):
            self.revision += 1

    def of(self, resource: str) -> Kind:
        """The kind of `plural.group`; ApiError 404 when it is not served."""
        found = self._by_resource.get(resource)
        if found is None:
            raise ApiError(
                404, "NotFound", f"the server could not find the requested resource ({resource} is not served)"
            )
        return found

    def of_object(self, obj: Mapping[str, Any]) -> Kind | None:
        """The kind that an object names by its apiVersion and kind."""
        group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
        for kind in self._by_resource.values():
            if kind.kind == obj.get("kind") and kind.group == group and version in kind.versions:
                return kind
        return None
