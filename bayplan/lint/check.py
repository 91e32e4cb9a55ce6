"""One way in for people: every object of some files judged, against all the others and the cluster around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bayplan.lint.defaults import with_defaults
from bayplan.lint.devices import claim_advice, class_advice
from bayplan.lint.jobs import job_advice
from bayplan.lint.kinds import GROUP
from bayplan.lint.queues import queue_advice
from bayplan.lint.rules import INVALID, UNKNOWN_FIELD, Finding, Json, items, mapping
from bayplan.lint.validate import kind_of, validate_strictly
from bayplan.lint.world import Note, World, group_of, title_of

_OLD_SHAPE = ("v1alpha3", "v1beta1")
_MOVED = ("deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity")


def lint(objects: Sequence[Json], around: Iterable[Json] = ()) -> list[list[Note]]:
    """The notes on each object, in their order: errors first, then advice, which an object with errors gets none of.

    `around` are objects of the cluster the files are meant for; they are known, and not judged.
    """
    complete = [with_defaults(obj) for obj in objects]
    world = World([*(with_defaults(obj) for obj in around), *complete])
    return [list(_notes(obj, world)) for obj in complete]


def _notes(obj: Json, world: World) -> Iterator[Note]:
    errors = [_error(obj, found) for found in validate_strictly(obj)]
    yield from errors
    if errors or _is_owned(obj):
        return
    if group_of(obj) == GROUP:
        yield from _device_advice(obj, world)
    else:
        yield from queue_advice(obj, world)
        yield from job_advice(obj, world)


def _is_owned(obj: Json) -> bool:
    """Made by a controller from something that gets the advice itself: a job's pod, a template's claim."""
    owners = items(mapping(obj.get("metadata")).get("ownerReferences"))
    return any(owner.get("controller") is True for owner in owners)


def _device_advice(obj: Json, world: World) -> Iterator[Note]:
    kind, version = str(obj.get("kind")), str(obj.get("apiVersion")).rpartition("/")[2]
    if version in _OLD_SHAPE and kind_of(obj) is None:
        message = f"{version} spells {kind} differently, so its fields are not checked"
        yield Note("hint", title_of(obj), "apiVersion", message, f"write {GROUP}/v1, GA since Kubernetes 1.34")
    if kind == "DeviceClass":
        yield from class_advice(obj, world)
    elif kind in ("ResourceClaim", "ResourceClaimTemplate"):
        yield from claim_advice(obj, world)


def _error(obj: Json, found: Finding) -> Note:
    shown = str(Finding("", found.type or INVALID, found.value, found.message))
    return Note("error", title_of(obj), found.path, shown, _mend(found))


def _mend(found: Finding) -> str:
    """Where a field of v1beta1 went."""
    parent, _, name = found.path.rpartition(".")
    if found.type == UNKNOWN_FIELD and name in _MOVED and parent.endswith("]") and ".requests[" in parent:
        return f"in v1 it stands below: {parent}.exactly.{name}"
    if found.type == UNKNOWN_FIELD and name == "basic":
        return "in v1 what stood in `basic` stands in the device itself"
    return ""
