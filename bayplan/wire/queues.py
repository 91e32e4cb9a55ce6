"""Kueue's queueing kinds, v1beta2 as it is and v1beta1's spellings (`cohort`, `Borrow`, `Preempt`) by translation."""

from __future__ import annotations

from typing import Any

import msgspec

from bayplan.model.base import Metadata
from bayplan.model.isolation import Isolation
from bayplan.model.queue import (
    ClusterQueue,
    Cohort,
    LocalQueue,
    Namespace,
    PriorityClass,
    ResourceFlavor,
    Topology,
    WorkloadPriorityClass,
)
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import isolation
from bayplan.wire.read import Json, parsed, read, title

_RENAMED = {"cohort": "cohortName", "parent": "parentName"}
_FUNGIBILITY = {"Borrow": "MayStopSearch", "Preempt": "MayStopSearch"}


def cluster_queue(source: bytes | Json) -> ClusterQueue:
    """Raises Malformed, as all of these."""
    obj = parsed(source)
    found = read(_modern(obj), ClusterQueue)
    return msgspec.structs.replace(found, isolation=_isolation(found.metadata, obj))


def cohort(source: bytes | Json) -> Cohort:
    return read(_modern(parsed(source)), Cohort)


def local_queue(source: bytes | Json) -> LocalQueue:
    found = read(source, LocalQueue)
    return msgspec.structs.replace(found, isolation=_isolation(found.metadata, source))


def resource_flavor(source: bytes | Json) -> ResourceFlavor:
    return read(source, ResourceFlavor)


def topology(source: bytes | Json) -> Topology:
    return read(source, Topology)


def workload_priority_class(source: bytes | Json) -> WorkloadPriorityClass:
    return read(source, WorkloadPriorityClass)


def priority_class(source: bytes | Json) -> PriorityClass:
    return read(source, PriorityClass)


def namespace(source: bytes | Json) -> Namespace:
    return read(source, Namespace)


def _isolation(metadata: Metadata, source: bytes | Json) -> Isolation:
    try:
        return isolation(metadata.annotations)
    except Malformed as error:
        raise error.of(title(parsed(source))) from error


def _modern(obj: Json) -> Json:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return obj
    renamed: dict[str, Any] = {_RENAMED.get(str(k), str(k)): v for k, v in spec.items()}
    fungibility = spec.get("flavorFungibility")
    if isinstance(fungibility, dict):
        renamed["flavorFungibility"] = {k: _FUNGIBILITY.get(str(v), v) for k, v in fungibility.items()}
    return {**obj, "spec": renamed}
