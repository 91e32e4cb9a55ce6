"""ResourceClaims of pods (KEP-3063, KEP-4381): made from templates, reserved while a consumer lives, freed after it.

A pod's claims are its own: they are named after it, recorded in its status, and go when it has ended. A claim that
several pods share loses one consumer at a time and its devices with the last.
"""

from __future__ import annotations

from collections.abc import Iterable

from bayplan.clusters.embedded.records import Change
from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import (
    Controller,
    Key,
    controller_reference,
    is_deleting,
    owned,
    phase,
    remove,
)
from bayplan.runtime.objects import Object
from bayplan.wire.names import POD_CLAIM_NAME
from bayplan.wire.patches import release, unprotect

CLAIMS = "resourceclaims.resource.k8s.io"
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"


# --- the claims of a pod -----------------------------------------------------------------------------------------


def reconcile_pod(store: Store, key: Key, now_s: int) -> int | None:
    pod = store.find("pods", *key)
    if pod is None:
        return None
    if phase(pod) in ("Succeeded", "Failed"):
        for claim in owned(store, pod, CLAIMS):
            remove(store, CLAIMS, claim)
        for claim in _shared(store, pod):
            _release(store, claim, frozenset((pod["metadata"]["uid"],)))
    elif not is_deleting(pod):
        _make_claims(store, pod, now_s)
    return None


def _make_claims(store: Store, pod: Object, now_s: int) -> None:
    statuses = list((pod.get("status") or {}).get("resourceClaimStatuses") or ())
    have = {s["name"] for s in statuses}
    wanted = [c for c in pod["spec"].get("resourceClaims") or () if c.get("resourceClaimTemplateName")]
    made = [_make_claim(store, pod, c, now_s) for c in wanted if c["name"] not in have]
    fresh = [m for m in made if m is not None]
    if fresh:
        meta = pod["metadata"]
        status = {"status": {"resourceClaimStatuses": [*statuses, *fresh]}}
        store.patch("pods", meta["namespace"], meta["name"], status, subresource="status")


def _make_claim(store: Store, pod: Object, entry: Object, now_s: int) -> Object | None:
    meta, name = pod["metadata"], entry["name"]
    known = next((c for c in owned(store, pod, CLAIMS) if _claim_name(c) == name), None)
    if known is not None:
        return {"name": name, "resourceClaimName": known["metadata"]["name"]}
    template = store.find(TEMPLATES, meta["namespace"], entry["resourceClaimTemplateName"])
    if template is None:
        message = f"cannot find resource claim template {entry['resourceClaimTemplateName']}"
        events.record(
            store,
            pod,
            "FailedResourceClaimCreation",
            message,
            now_s,
            warning=True,
            component="resource-claim-controller",
        )
        return None
    spec = template["spec"]
    given = spec.get("metadata") or {}
    claim = {
        "metadata": {
            "generateName": f"{meta['name']}-{name}-",
            "namespace": meta["namespace"],
            "labels": given.get("labels") or {},
            "annotations": {**(given.get("annotations") or {}), POD_CLAIM_NAME: name},
            "ownerReferences": [controller_reference(pod)],
        },
        "spec": spec["spec"],
    }
    return {"name": name, "resourceClaimName": store.create(CLAIMS, meta["namespace"], claim)["metadata"]["name"]}


def _claim_name(claim: Object) -> str:
    return str((claim["metadata"].get("annotations") or {}).get(POD_CLAIM_NAME, ""))


def _shared(store: Store, pod: Object) -> Iterable[Object]:
    for entry in pod["spec"].get("resourceClaims") or ():
        if entry.get("resourceClaimName"):
            claim = store.find(CLAIMS, pod["metadata"]["namespace"], entry["resourceClaimName"])
            if claim is not None:
                yield claim


def _pod_keys(store: Store, change: Change) -> Iterable[Key]:
    """The changed pod; or the pods that wait for a template that has appeared."""
    record = change.record
    if record.resource == "pods":
        return [(record.namespace, record.name)]
    if change.type == "DELETED":
        return []
    pods, _ = store.list("pods", record.namespace, field_selector="status.phase=Pending")
    names = [(p["metadata"]["name"], p["spec"].get("resourceClaims") or ()) for p in pods]
    return [
        (record.namespace, n) for n, cs in names if any(c.get("resourceClaimTemplateName") == record.name for c in cs)
    ]


# --- the consumers of a claim ------------------------------------------------------------------------------------


def reconcile_claim(store: Store, key: Key, now_s: int) -> int | None:
    claim = store.find(CLAIMS, *key)
    if claim is None:
        return None
    reserved = (claim.get("status") or {}).get("reservedFor") or ()
    gone = frozenset(r["uid"] for r in reserved if r.get("resource") == "pods" and not _consumes(store, key[0], r))
    if gone:
        claim = _release(store, claim, gone)
    # a scheduler protects a claim first and allocates it then: what nobody has held yet stays as it is
    patch = unprotect(claim) if gone or is_deleting(claim) else None
    if patch is not None:
        store.patch(CLAIMS, *key, patch)
    return None


def _consumes(store: Store, namespace: str, consumer: Object) -> bool:
    pod = store.find("pods", namespace, consumer["name"])
    return pod is not None and pod["metadata"]["uid"] == consumer["uid"] and phase(pod) not in ("Succeeded", "Failed")


def _release(store: Store, claim: Object, gone: frozenset[str]) -> Object:
    """Takes these consumers off a claim; returns it as it then is."""
    patch = release(claim, gone)
    if patch is None:
        return claim
    meta = claim["metadata"]
    return store.patch(CLAIMS, meta["namespace"], meta["name"], patch, subresource="status")


def _claim_keys(store: Store, change: Change) -> Iterable[Key]:
    """The changed claim; or the claims a deleted pod shared."""
    record = change.record
    if record.resource == CLAIMS:
        return [(record.namespace, record.name)]
    if change.type != "DELETED":
        return []
    shared = (c.get("resourceClaimName") for c in change.object["spec"].get("resourceClaims") or ())
    return [(record.namespace, name) for name in shared if name]


POD_CLAIMS = Controller("pod-claims", ("pods", TEMPLATES), _pod_keys, reconcile_pod)
CONSUMERS = Controller("claim-consumers", (CLAIMS, "pods"), _claim_keys, reconcile_claim)
