"""How the lists and maps inside objects merge, by the field that holds them.

Strategic merge patch needs the patchMergeKey of a list, server-side apply its list type and map keys. The table
repeats the struct tags of k8s.io/api and the CRD schemas of Kueue and JobSet; a list that is not in it is atomic.
For kinds from CRDs the rules are read from the schema (x-kubernetes-list-type, -list-map-keys, -map-type).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from bayplan.clusters.embedded.kinds import Kind

# The field names from the top of the object, list positions left out: ("spec", "containers", "env").
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListRule:
    """`keys` identify an item under server-side apply, `patch_key` under strategic merge ("" replaces the list)."""

    type: Literal["atomic", "set", "map"] = "atomic"
    keys: tuple[str, ...] = ()
    patch_key: str = ""


ATOMIC = ListRule()
_SET = ListRule("set")


def _map(*keys: str, patch_key: str | None = None) -> ListRule:
    return ListRule("map", keys, keys[0] if patch_key is None else patch_key)


_BY_PARENT: dict[tuple[str, str], ListRule] = {
    ("containers", "ports"): _map("containerPort", "protocol"),
    ("initContainers", "ports"): _map("containerPort", "protocol"),
    ("ephemeralContainers", "ports"): _map("containerPort", "protocol"),
    ("spec", "ports"): _map("port", "protocol"),
    ("spec", "resourceClaims"): _map("name"),
    ("resources", "claims"): _map("name", patch_key=""),
    ("metadata", "finalizers"): _SET,
    ("metadata", "ownerReferences"): _map("uid"),
    ("status", "addresses"): _map("type"),
    ("status", "podIPs"): _map("ip"),
    ("status", "hostIPs"): _map("ip"),
    ("status", "reservedFor"): _map("uid"),
    ("status", "devices"): _map("driver", "device", "pool", patch_key=""),
    ("status", "resourceClaimStatuses"): _map("name"),
    ("resourceGroups", "flavors"): _map("name"),
    ("flavors", "resources"): _map("name"),
    ("admission", "podSetAssignments"): _map("name"),
    ("status", "admissionChecks"): _map("name"),
    ("status", "requeueState"): ATOMIC,
    ("spec", "podSets"): _map("name"),
    ("spec", "replicatedJobs"): _map("name"),
    ("spec", "podGroupTemplates"): _map("name"),
}
_BY_NAME: dict[str, ListRule] = {
    "containers": _map("name"),
    "initContainers": _map("name"),
    "ephemeralContainers": _map("name"),
    "env": _map("name"),
    "volumes": _map("name"),
    "volumeMounts": _map("mountPath"),
    "volumeDevices": _map("devicePath"),
    "imagePullSecrets": _map("name"),
    "secrets": _map("name"),
    "hostAliases": _map("ip"),
    "schedulingGates": _map("name"),
    "topologySpreadConstraints": _map("topologyKey", "whenUnsatisfiable"),
    "conditions": _map("type"),
    "volumeClaimTemplates": ATOMIC,
}
# Maps that are one value under server-side apply (x-kubernetes-map-type: atomic).
_ATOMIC_MAPS = frozenset(
    ("nodeSelector", "selector", "labelSelector", "configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef")
)
_KEY_DEFAULTS = {"protocol": "TCP"}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind: for a path, how its list merges and whether its map is one value."""

    of_list: Callable[[Path], ListRule]
    of_map: Callable[[Path], bool]

    def key(self, rule: ListRule, item: Any) -> tuple[tuple[str, Any], ...] | None:
        """What identifies an item of a list of maps; None when it lacks a key."""
        if not isinstance(item, dict):
            return None
        pairs = tuple((key, item.get(key, _KEY_DEFAULTS.get(key))) for key in rule.keys)
        return None if any(value is None for _, value in pairs) else pairs


def _known_list(path: Path) -> ListRule:
    parent = path[-2] if len(path) > 1 else ""
    return _BY_PARENT.get((parent, path[-1])) or _BY_NAME.get(path[-1], ATOMIC)


KNOWN = Rules(_known_list, lambda path: path[-1] in _ATOMIC_MAPS)


def rules_of(kind: Kind, api_version: str) -> Rules:
    """The merge rules for objects of this kind written in `api_version`."""
    if not kind.custom:
        return KNOWN
    schema = kind.schemas.get(api_version.rpartition("/")[2]) or {}
    return _schema_rules(_Frozen(schema))


class _Frozen:
    """A schema as a cache key: the same object, the same rules."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.schema is self.schema


@lru_cache(maxsize=128)
def _schema_rules(frozen: _Frozen) -> Rules:
    def at(path: Path) -> Mapping[str, Any]:
        schema: Any = frozen.schema
        for name in path:
            if schema.get("type") == "array":
                schema = schema.get("items") or {}
            extra = schema.get("additionalProperties")
            schema = (schema.get("properties") or {}).get(name) or (extra if isinstance(extra, dict) else {})
        found: Mapping[str, Any] = schema
        return found

    def of_list(path: Path) -> ListRule:
        if path[0] == "metadata":
            return _known_list(path)
        schema = at(path)
        match schema.get("x-kubernetes-list-type"):
            case "map":
                return _map(*(schema.get("x-kubernetes-list-map-keys") or ("name",)))
            case "set":
                return _SET
        return ATOMIC

    return Rules(of_list, lambda path: at(path).get("x-kubernetes-map-type") == "atomic")
