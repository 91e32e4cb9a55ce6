"""ResourceClaims of pods (KEP-3063, KEP-4381): made from templates, reserved while a consumer lives, freed after it.

A pod's claims are its own: they are named after it, recorded in its status, and go when it has ended. A claim that
several pods share loses one consumer at a time and its devices with the last. Claims of a PodGroup (KEP-5729) are made
once for all of its pods, and go with it.
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
from bayplan.runtime.controllers.claims import CLAIMS, claims_of, consumers, free
from bayplan.runtime.controllers.pods import POD_GROUPS
from bayplan.runtime.objects import Object, Objects
from bayplan.wire.names import POD_CLAIM_NAME

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
            free(store, claim, frozenset((pod["metadata"]["uid"],)))
    elif not is_deleting(pod):
        name = (pod["spec"].get("schedulingGroup") or {}).get("podGroupName")
        group = store.find(POD_GROUPS, key[0], name) if name else None
        if group is not None or not name:  # which claims are its own, its group says
            _make_claims(store, "pods", pod, group, now_s)
    return None


def reconcile_group(store: Store, key: Key, now_s: int) -> int | None:
    group = store.find(POD_GROUPS, *key)
    if group is not None and not is_deleting(group):
        _make_claims(store, POD_GROUPS, group, None, now_s)
    return None


def _make_claims(store: Store, resource: str, owner: Object, group: Object | None, now_s: int) -> None:
    """The claims of a pod or a PodGroup that are still to be made; those that are its `group`'s are only looked up."""
    statuses = list((owner.get("status") or {}).get("resourceClaimStatuses") or ())
    have = {s["name"] for s in statuses}
    wanted = [c for c in owner["spec"].get("resourceClaims") or () if c.get("resourceClaimTemplateName")]
    shared = (group["spec"].get("resourceClaims") or ()) if group is not None else ()
    made = [
        _made(store, group, c["name"]) if group is not None and c in shared else _make_claim(store, owner, c, now_s)
        for c in wanted
        if c["name"] not in have
    ]
    fresh = [m for m in made if m is not None]
    if fresh:
        meta = owner["metadata"]
        status = {"status": {"resourceClaimStatuses": [*statuses, *fresh]}}
        store.patch(resource, meta["namespace"], meta["name"], status, subresource="status")


def _made(store: Store, owner: Object, name: str) -> Object | None:
    """What a status says of a claim that was made for its owner."""
    known = next((c for c in owned(store, owner, CLAIMS) if _claim_name(c) == name), None)
    return {"name": name, "resourceClaimName": known["metadata"]["name"]} if known is not None else None


def _make_claim(store: Store, owner: Object, entry: Object, now_s: int) -> Object | None:
    meta, name = owner["metadata"], entry["name"]
    known = _made(store, owner, name)
    if known is not None:
        return known
    template = store.find(TEMPLATES, meta["namespace"], entry["resourceClaimTemplateName"])
    if template is None:
        message = f"cannot find resource claim template {entry['resourceClaimTemplateName']}"
        events.record(
            store,
            owner,
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
            "ownerReferences": [controller_reference(owner)],
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
    """The changed pod; or the pods that wait for a template, or for their group or its claims, that have appeared."""
    record = change.record
    if record.resource == "pods":
        return [(record.namespace, record.name)]
    if change.type == "DELETED":
        return []
    if record.resource == POD_GROUPS and change.type != "ADDED" and b'"resourceClaims"' not in record.raw:
        return []
    pods, _ = store.list("pods", record.namespace, field_selector="status.phase=Pending")
    if record.resource == POD_GROUPS:
        waiting = [p for p in pods if (p["spec"].get("schedulingGroup") or {}).get("podGroupName") == record.name]
    else:
        waiting = [p for p in pods if _wants(p, record.name)]
    return [(record.namespace, p["metadata"]["name"]) for p in waiting]


def _group_keys(store: Store, change: Change) -> Iterable[Key]:
    """The changed group; or the groups that wait for a template that has appeared."""
    record = change.record
    if change.type == "DELETED":
        return []
    if record.resource == POD_GROUPS:
        return [(record.namespace, record.name)]
    groups, _ = store.list(POD_GROUPS, record.namespace)
    return [(record.namespace, g["metadata"]["name"]) for g in groups if _wants(g, record.name)]


def _wants(owner: Object, template: str) -> bool:
    return any(c.get("resourceClaimTemplateName") == template for c in owner["spec"].get("resourceClaims") or ())


# --- the consumers of a claim ------------------------------------------------------------------------------------


def _claim_keys(store: Objects, change: Change) -> Iterable[Key]:
    """The changed claim; or the claims that a deleted pod or group shared."""
    record = change.record
    if record.resource == CLAIMS:
        return [(record.namespace, record.name)]
    if change.type != "DELETED":
        return []
    return [(record.namespace, name) for name in claims_of(change.object)]


POD_CLAIMS = Controller("pod-claims", ("pods", TEMPLATES, POD_GROUPS), reconcile_pod, keys=_pod_keys)
GROUP_CLAIMS = Controller("pod-group-claims", (POD_GROUPS, TEMPLATES), reconcile_group, keys=_group_keys)
CONSUMERS = consumers(_claim_keys)
