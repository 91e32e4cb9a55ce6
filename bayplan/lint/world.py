"""Everything a linter knows about besides the object at hand: the other objects of the files, and of the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from bayplan.lint.fleet import Choice, Fleet, choose
from bayplan.lint.rules import Json, items, mapping
from bayplan.model.base import Value
from bayplan.model.device import DeviceClass, DeviceSelector, ResourceClaimSpec
from bayplan.wire import devices
from bayplan.wire.errors import Malformed

T = TypeVar("T")

KUEUE = "kueue.x-k8s.io"
_EXTENDED = "deviceclass.resource.kubernetes.io/"


class Note(Value, frozen=True):
    """A line to a person: `severity` is `error` (the API refuses it), `warning` (it will not work as meant) or `hint`.

    `object` is `Kind/name`, `path` the field, `message` a sentence with numbers, `mend` how to put it right.
    """

    severity: str
    object: str
    path: str
    message: str
    mend: str = ""


class World:
    """Objects by kind and key (`namespace/name`, or the name of a cluster-wide one), and the devices they announce.

    Made of parsed JSON; what cannot be read is left out (it is a finding where it stands). What a class and selectors
    find is remembered: many claims ask the same.
    """

    def __init__(self, objects: Iterable[Json] = ()) -> None:
        kinds: dict[str, dict[str, Json]] = {}
        for obj in objects:
            kinds.setdefault(kind_of(obj), {})[key_of(obj)] = obj
        slices = [s for obj in kinds.get("ResourceSlice", {}).values() if (s := _read(devices.resource_slice, obj))]
        classes = {k: c for k, obj in kinds.get("DeviceClass", {}).items() if (c := _read(devices.device_class, obj))}
        self._kinds = kinds
        self._chosen: dict[tuple[str, tuple[DeviceSelector, ...]], Choice] = {}
        self.fleet = Fleet.of(slices)
        self.classes: Mapping[str, DeviceClass] = classes

    def chosen(self, class_name: str, selectors: tuple[DeviceSelector, ...] = ()) -> Choice:
        """What selectors leave of the devices of a class; nothing where there is no such class."""
        key = class_name, selectors
        if key not in self._chosen:
            found = self.classes.get(class_name)
            if selectors:
                self._chosen[key] = choose(self.chosen(class_name).offers, selectors)
            else:
                self._chosen[key] = choose(self.fleet.offers, found.spec.selectors) if found else Choice(())
        return self._chosen[key]

    def all(self, kind: str) -> Mapping[str, Json]:
        return self._kinds.get(kind, {})

    def find(self, kind: str, name: str, namespace: str = "") -> Json | None:
        return self.all(kind).get(f"{namespace}/{name}" if namespace else name)

    def charged_as(self, class_name: str) -> str:
        """The quota resource a device of this class is charged to: its extended resource, else the class."""
        found = self.classes.get(class_name)
        return (found.spec.extended_resource_name if found else "") or class_name

    def class_behind(self, resource: str) -> DeviceClass | None:
        """The class an extended resource name stands for (KEP-5004)."""
        if resource.startswith(_EXTENDED):
            return self.classes.get(resource.removeprefix(_EXTENDED))
        return next((c for _, c in sorted(self.classes.items()) if c.spec.extended_resource_name == resource), None)


def kind_of(obj: Json) -> str:
    return str(obj.get("kind") or "")


def group_of(obj: Json) -> str:
    group, slash, _ = str(obj.get("apiVersion") or "").partition("/")
    return group if slash else ""


def namespace_of(obj: Json) -> str:
    return str(mapping(obj.get("metadata")).get("namespace") or "default")


_CLUSTER_WIDE = frozenset(
    (
        *("Node", "Namespace", "PriorityClass"),
        *("ResourceSlice", "DeviceClass", "DeviceTaintRule", "ResourcePoolStatusRequest"),
        *("ClusterQueue", "Cohort", "ResourceFlavor", "Topology", "WorkloadPriorityClass", "AdmissionCheck"),
    )
)


def key_of(obj: Json) -> str:
    name = str(mapping(obj.get("metadata")).get("name") or "")
    return name if kind_of(obj) in _CLUSTER_WIDE else f"{namespace_of(obj)}/{name}"


def title_of(obj: Json) -> str:
    """`Kind/name`."""
    metadata = mapping(obj.get("metadata"))
    return f"{kind_of(obj)}/{metadata.get('name') or metadata.get('generateName') or '?'}"


def claim_spec_of(obj: Json) -> tuple[ResourceClaimSpec, str] | None:
    """The spec of a claim or of a claim template, and its field path; None if it cannot be read."""
    if kind_of(obj) == "ResourceClaim":
        claim = _read(devices.resource_claim, obj)
        return (claim.spec, "spec") if claim else None
    template = _read(devices.resource_claim_template, obj)
    return (template.spec.spec, "spec.spec") if template else None


def classes_asked(spec: ResourceClaimSpec) -> tuple[str, ...]:
    """The classes every allocation of the claim takes from (of a prioritised list: the first alternative's)."""
    first = [r.exactly or next(iter(r.first_available), None) for r in spec.devices.requests]
    return tuple(asked.device_class_name for asked in first if asked)


def flavors_of(queue: Json) -> list[Json]:
    """The flavor quotas of a ClusterQueue or Cohort."""
    groups = items(mapping(queue.get("spec")).get("resourceGroups"))
    return [flavor for group in groups for flavor in items(group.get("flavors"))]


def _read(reader: Callable[[Json], T], obj: Json) -> T | None:
    try:
        return reader(obj)
    except Malformed:
        return None
