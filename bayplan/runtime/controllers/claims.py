"""Reservations of pods and PodGroups that are gone (KEP-4381, KEP-5729): taken back, the devices freed with the last.

The embedded cluster has this in the place of kube-controller-manager, which does it on a real one. There it is done
once more, with patience, for devices must not stay taken because another component is away: both write the same, carry
the version they rest on, and the second finds nothing left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bayplan.runtime.controllers.base import Controller, Key, is_deleting, phase
from bayplan.runtime.controllers.pods import POD_GROUPS
from bayplan.runtime.objects import Change, Object, Objects
from bayplan.wire.patches import is_group, release, unprotect

CLAIMS = "resourceclaims.resource.k8s.io"

Keys = Callable[[Objects, Change], Iterable[Key]]


def consumers(keys: Keys, patience_s: int = 0) -> Controller[Objects]:
    """The controller; `keys` says which claims a change makes worth a look, `patience_s` how long others may take."""
    due: dict[Key, int] = {}

    def reconcile(store: Objects, key: Key, now_s: int) -> int | None:
        claim = store.find(CLAIMS, *key)
        gone = _gone(store, claim) if claim is not None else frozenset()
        if gone and patience_s:
            due_s = due.setdefault(key, now_s + patience_s)
            if now_s < due_s:
                return due_s
        due.pop(key, None)
        if claim is None:
            return None
        if gone:
            claim = free(store, claim, gone)
        # a scheduler protects a claim first and allocates it then: what nobody has held yet stays as it is
        patch = unprotect(claim) if gone or (not patience_s and is_deleting(claim)) else None
        if patch is not None:
            store.patch(CLAIMS, *key, patch)
        return None

    return Controller("claim-consumers", (CLAIMS, "pods", POD_GROUPS), reconcile, keys=keys)


def free(store: Objects, claim: Object, gone: frozenset[str]) -> Object:
    """Takes these consumers off a claim; returns it as it then is."""
    patch = release(claim, gone)
    if patch is None:
        return claim
    meta = claim["metadata"]
    return store.patch(CLAIMS, meta["namespace"], meta["name"], patch, subresource="status").decode()


def left_behind(store: Objects, change: Change) -> Iterable[Key]:
    """Claims seen for the first time, and those of a pod or a group that is gone."""
    record = change.record
    if record.resource == CLAIMS:
        fresh = change.type == "ADDED" and change.previous is None and b'"reservedFor"' in record.raw
        return [(record.namespace, record.name)] if fresh else []
    if change.type != "DELETED" or b'"resourceClaims"' not in record.raw:
        return []
    return [(record.namespace, name) for name in claims_of(change.object)]


def claims_of(owner: Object) -> tuple[str, ...]:
    """The names of the claims that a pod or a PodGroup has."""
    named = [c.get("resourceClaimName") for c in owner["spec"].get("resourceClaims") or ()]
    named += [s.get("resourceClaimName") for s in (owner.get("status") or {}).get("resourceClaimStatuses") or ()]
    return tuple(name for name in named if name)


def _gone(store: Objects, claim: Object) -> frozenset[str]:
    """The uids of pods and groups that the claim is reserved for and that are not there or over."""
    namespace = claim["metadata"]["namespace"]
    reserved = (claim.get("status") or {}).get("reservedFor") or ()
    known = (r for r in reserved if is_group(r) or r.get("resource") == "pods")
    return frozenset(r["uid"] for r in known if not _consumes(store, namespace, r))


def _consumes(store: Objects, namespace: str, consumer: Object) -> bool:
    if is_group(consumer):
        if POD_GROUPS not in store.kinds:
            return True
        group = store.find(POD_GROUPS, namespace, consumer["name"])
        return group is not None and group["metadata"]["uid"] == consumer["uid"]
    pod = store.find("pods", namespace, consumer["name"])
    return pod is not None and pod["metadata"]["uid"] == consumer["uid"] and phase(pod) not in ("Succeeded", "Failed")
