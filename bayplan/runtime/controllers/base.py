"""What a controller is, and the helpers all of them share.

A controller is level-triggered: it is told the key of an object, looks at the world as it is and makes it a little
more as it should be; doing so twice changes nothing. It has no thread, and no memory but of where to look. What it
wants to look at again later it says by returning the second at which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bayplan.model.base import Noun
from bayplan.runtime.objects import Change, Object, Objects, Record
from bayplan.wire.meta import OwnerReference
from bayplan.wire.read import read
from bayplan.wire.times import seconds

Key = tuple[str, str]
"""(namespace, name)"""

S = TypeVar("S", bound=Objects, contravariant=True)
"""What a controller needs of a cluster: a body may offer more than `Objects`."""

# A controller creates or deletes at most this many objects at a time, as the upstream ones do, so that a
# mistyped count does not fill the store before anybody can take it back.
BURST = 500


@dataclass(frozen=True)
class Controller(Generic[S]):
    """`reconcile(store, key, now_s)` makes one object right and says when to look again (None: when something changes).

    It looks at the objects of the first resource it `watches` as they change, and at those of `kind` that control a
    changed object of the others; or, where there are `keys`, at what these name after a change.
    """

    name: str
    watches: tuple[str, ...]
    reconcile: Callable[[S, Key, int], int | None]
    kind: str = ""
    keys: Callable[[S, Change], Iterable[Key]] | None = None


class _References(Noun, frozen=True):
    owner_references: tuple[OwnerReference, ...] = ()


class _Owned(Noun, frozen=True):
    metadata: _References = _References()


def references(record: Record) -> tuple[OwnerReference, ...]:
    """The owners of an object; the rest of it is not read."""
    return read(record.raw, _Owned).metadata.owner_references


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def owned_pods(store: Objects, owner: Mapping[str, Any]) -> list[Object]:
    return owned(store, owner, "pods")


def owned(store: Objects, owner: Mapping[str, Any], resource: str) -> list[Object]:
    """The objects of a resource that name this owner, in order of name."""
    return [r.decode() for r in store.owned(owner["metadata"]["uid"]) if r.resource == resource]


def phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def is_active(pod: Mapping[str, Any]) -> bool:
    return phase(pod) not in ("Succeeded", "Failed") and not is_deleting(pod)


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def controller_reference(owner: Mapping[str, Any]) -> Object:
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    references = obj["metadata"].get("ownerReferences") or ()
    return next((r for r in references if r.get("controller")), None)


def pod_of(template: Mapping[str, Any], owner: Mapping[str, Any], prefix: str, **marks: Mapping[str, str]) -> Object:
    """A pod of a template, owned by `owner` and named after it; `marks` are added labels and annotations."""
    given = template.get("metadata") or {}
    metadata: Object = {
        "generateName": prefix,
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [controller_reference(owner)],
    }
    for field in ("labels", "annotations"):
        merged = dict(given.get(field) or {}) | dict(marks.get(field) or {})
        if merged:
            metadata[field] = merged
    return {"metadata": metadata, "spec": dict(template.get("spec") or {})}


def set_status(store: Objects, resource: str, obj: Mapping[str, Any], **fields: Any) -> None:
    """Writes these fields of the status (None takes one away); nothing is written where they are as they should be."""
    status = obj.get("status") or {}
    changed = {k: v for k, v in fields.items() if status.get(k) != v}
    if changed:
        meta = obj["metadata"]
        store.patch(resource, meta.get("namespace"), meta["name"], {"status": changed}, subresource="status")


def remove(store: Objects, resource: str, obj: Mapping[str, Any]) -> None:
    """Deletes this very object, if it is still there and not on its way out."""
    meta = obj["metadata"]
    found = store.find(resource, meta.get("namespace"), meta["name"])
    if found and found["metadata"]["uid"] == meta["uid"] and not is_deleting(found):
        store.delete(resource, meta.get("namespace"), meta["name"])


def expired(obj: Mapping[str, Any], ended_s: int, now_s: int) -> int | None:
    """When an ended object's `ttlSecondsAfterFinished` is over: None without one, 0 if it is over now."""
    ttl_s = obj["spec"].get("ttlSecondsAfterFinished")
    if ttl_s is None:
        return None
    return 0 if now_s >= ended_s + ttl_s else ended_s + int(ttl_s)


def since(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> int | None:
    """Second at which a condition became true; None where it is not."""
    for condition in conditions or ():
        if condition.get("type") == type and condition.get("status") == "True":
            return seconds(condition.get("lastTransitionTime") or "")
    return None
