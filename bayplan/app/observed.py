"""API objects, as any API server lists them, into what the answers need: the Snapshot and the workloads that ended.

They are read by the scheduler's own mirror, so that an answer given outside the cluster is its exact twin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bayplan.model.base import Metadata, Value
from bayplan.model.snapshot import Snapshot
from bayplan.runtime.mirror import KINDS, GroupKind, Mirror
from bayplan.wire.meta import condition, timestamp
from bayplan.wire.names import FINISHED, START
from bayplan.wire.read import Json, read
from bayplan.wire.times import seconds
from bayplan.wire.workload import WorkloadObject

Listed = Mapping[GroupKind, Iterable[bytes]]
"""The objects of each kind, each as JSON."""


class Ended(Value, frozen=True):
    """A workload that is over."""

    namespace: str
    name: str
    owner: str
    queue: str
    created_s: int
    ended_s: int
    succeeded: bool
    message: str = ""


class Observed(Value, frozen=True):
    """One cluster at `now_s` of its own clock.

    `starts` holds what the scheduler wrote as START on workloads; `problems` the objects that could not be
    read, and why.
    """

    snapshot: Snapshot
    now_s: int
    ended: tuple[Ended, ...] = ()
    starts: dict[str, int] = {}
    problems: tuple[str, ...] = ()


def mirrored(listed: Listed) -> Mirror:
    """A mirror that holds these objects."""
    mirror = Mirror()
    for kind in KINDS:
        for source in listed.get(kind, ()):
            mirror.put(kind, msgspec.json.decode(source, type=_Named).metadata.key, source)
    return mirror


def observed(mirror: Mirror, workloads: Iterable[bytes], now_s: int) -> Observed:
    """What a mirror says at `now_s`; `workloads` are the Workload objects it was made of."""
    return Observed(
        snapshot=mirror.snapshot(),
        now_s=now_s,
        problems=tuple(f"{name}: {error}" for name, error in mirror.problems.items()),
        **_workload_notes(workloads),
    )


def raw_items(body: bytes) -> tuple[list[bytes], str]:
    """The objects of a list response, undecoded, and the token of its next page ("" = it was the last)."""
    page = msgspec.json.decode(body, type=_Page)
    return [bytes(item) for item in page.items or ()], page.metadata.get("continue") or ""


class _Named(msgspec.Struct):
    metadata: Metadata


class _Page(msgspec.Struct):
    items: list[msgspec.Raw] | None = None
    metadata: dict[str, Any] = {}


def _workload_notes(sources: Iterable[bytes | Json]) -> dict[str, Any]:
    """What Workload objects say that no decision needs."""
    ended: list[Ended] = []
    starts: dict[str, int] = {}
    for source in sources:
        try:
            obj = read(source, WorkloadObject)
            if obj.finished:
                ended.append(_ended(obj))
            elif START in obj.metadata.annotations:
                starts[obj.metadata.key] = seconds(obj.metadata.annotations[START])
        except ValueError:
            continue  # an unreadable object, which the mirror has named, or a START that is no time
    return {"ended": tuple(ended), "starts": starts}


def _ended(obj: WorkloadObject) -> Ended:
    over = condition(obj.status.conditions, FINISHED)
    assert over is not None, "only finished workloads come here"
    meta = obj.metadata
    owner = meta.controller() or next(iter(meta.owner_references), None)
    return Ended(
        namespace=meta.namespace,
        name=meta.name,
        owner=f"{owner.kind}/{owner.name}" if owner else f"Workload/{meta.name}",
        queue=obj.spec.queue_name,
        created_s=timestamp(meta.creation_timestamp, "metadata.creationTimestamp"),
        ended_s=timestamp(over.last_transition_time, "status.conditions[Finished].lastTransitionTime"),
        succeeded=over.reason == "Succeeded",
        message=over.message,
    )
