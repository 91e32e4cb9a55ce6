"""ReplicaSet and Deployment (apps/v1): keep this many pods, and roll to a new template within surge and unavailability.

A Deployment's queue and priority class labels are passed to its pods (as Kueue's webhook does), each of which is then
admitted by itself: a service grows and shrinks pod by pod.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers.base import (
    BURST,
    Controller,
    Key,
    controller_reference,
    is_active,
    is_deleting,
    is_ready,
    owned,
    owned_pods,
    pod_of,
    remove,
    set_status,
)
from bayplan.runtime.objects import Object
from bayplan.wire.conditions import with_condition
from bayplan.wire.names import QUEUE_NAME, WORKLOAD_PRIORITY_CLASS

REPLICA_SETS = "replicasets.apps"
DEPLOYMENTS = "deployments.apps"
HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_PASSED_ON = (QUEUE_NAME, WORKLOAD_PRIORITY_CLASS)


# --- ReplicaSet --------------------------------------------------------------------------------------------------


def reconcile_replica_set(store: Store, key: Key, now_s: int) -> int | None:
    replica_set = store.find(REPLICA_SETS, *key)
    if replica_set is None or is_deleting(replica_set):
        return None
    active = [p for p in owned_pods(store, replica_set) if is_active(p)]
    wanted = replica_set["spec"].get("replicas", 1)
    # The pods that serve stay longest; of equals, the older.
    active.sort(key=lambda p: (not is_ready(p), not p["spec"].get("nodeName"), p["metadata"]["creationTimestamp"]))
    for pod in active[wanted:]:
        remove(store, "pods", pod)
    meta, template = replica_set["metadata"], replica_set["spec"]["template"]
    kept = active[:wanted]
    for _ in range(min(BURST, wanted - len(kept))):
        kept.append(store.create("pods", meta["namespace"], pod_of(template, replica_set, f"{meta['name']}-")))
    ready = sum(map(is_ready, kept))
    set_status(
        store,
        REPLICA_SETS,
        replica_set,
        replicas=len(kept),
        fullyLabeledReplicas=len(kept),
        readyReplicas=ready or None,
        availableReplicas=ready or None,
        observedGeneration=meta.get("generation", 1),
    )
    return None


# --- Deployment --------------------------------------------------------------------------------------------------


def reconcile_deployment(store: Store, key: Key, now_s: int) -> int | None:
    deployment = store.find(DEPLOYMENTS, *key)
    if deployment is None or is_deleting(deployment):
        return None
    sets = [s for s in owned(store, deployment, REPLICA_SETS) if not is_deleting(s)]
    template = _template(deployment)
    digest = _digest(template)
    old = [s for s in sets if s["metadata"]["labels"].get(HASH) != digest]
    new = next((s for s in sets if s["metadata"]["labels"].get(HASH) == digest), None)
    if new is None:
        if _is_recreate(deployment) and any(_replicas(s) for s in old):
            for replica_set in old:
                _scale(store, replica_set, 0)
            return None
        new = _create(store, deployment, template, digest, sets)
    if not deployment["spec"].get("paused"):
        _roll(store, deployment, new, old)
    _drop_history(store, deployment, old)
    _report(store, deployment, owned(store, deployment, REPLICA_SETS), digest, now_s)
    return None


def _template(deployment: Object) -> Object:
    """The pod template, with the labels that decide about admission passed on."""
    template: Object = dict(deployment["spec"]["template"])
    labels = deployment["metadata"].get("labels") or {}
    given = (template.get("metadata") or {}).get("labels") or {}
    passed = {k: labels[k] for k in _PASSED_ON if k in labels and k not in given}
    if passed:
        template["metadata"] = {**(template.get("metadata") or {}), "labels": {**given, **passed}}
    return template


def _digest(template: Object) -> str:
    return hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()[:10]


def _create(store: Store, deployment: Object, template: Object, digest: str, sets: list[Object]) -> Object:
    meta = deployment["metadata"]
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH: digest}
    selector = deployment["spec"].get("selector") or {}
    revision = 1 + max((_revision(s) for s in sets), default=0)
    replica_set = {
        "metadata": {
            "name": f"{meta['name']}-{digest}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {REVISION: str(revision)},
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH: digest}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }
    return store.create(REPLICA_SETS, meta["namespace"], replica_set)


def _roll(store: Store, deployment: Object, new: Object, old: list[Object]) -> None:
    """One step: the new set grows into the surge, the old ones give up what availability allows."""
    wanted = deployment["spec"].get("replicas", 1)
    surge, unavailable = _margins(deployment, wanted)
    others = sum(map(_replicas, old))
    _scale(store, new, max(min(wanted, wanted + surge - others), 0 if others else wanted))
    spare = sum(map(_available, [new, *old])) - (wanted - unavailable)
    for replica_set in old:
        idle = _replicas(replica_set) - _available(replica_set)
        gives = min(_replicas(replica_set), max(0, spare) + idle)
        spare -= max(0, gives - idle)
        _scale(store, replica_set, _replicas(replica_set) - gives)


def _margins(deployment: Object, wanted: int) -> tuple[int, int]:
    """maxSurge (rounded up) and maxUnavailable (rounded down) in pods; never both 0."""
    if _is_recreate(deployment):
        return 0, wanted
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return surge, unavailable if surge or unavailable else 1


def _share(value: int | str, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * of
    return -(-hundredths // 100) if up else hundredths // 100


def _scale(store: Store, replica_set: Object, replicas: int) -> None:
    if replicas != _replicas(replica_set):
        meta = replica_set["metadata"]
        store.patch(REPLICA_SETS, meta["namespace"], meta["name"], {"spec": {"replicas": replicas}})


def _drop_history(store: Store, deployment: Object, old: list[Object]) -> None:
    keep = deployment["spec"].get("revisionHistoryLimit", 10)
    empty = [s for s in old if not _replicas(s) and not (s.get("status") or {}).get("replicas")]
    for replica_set in sorted(empty, key=_revision)[: max(0, len(empty) - keep)]:
        remove(store, REPLICA_SETS, replica_set)


def _report(store: Store, deployment: Object, sets: list[Object], digest: str, now_s: int) -> None:
    wanted = deployment["spec"].get("replicas", 1)
    total, available = sum(map(_exists, sets)), sum(map(_available, sets))
    updated = sum(_exists(s) for s in sets if s["metadata"]["labels"].get(HASH) == digest)
    enough = available >= wanted - _margins(deployment, wanted)[1]
    done = updated == total == available == wanted
    conditions = with_condition(
        (deployment.get("status") or {}).get("conditions"),
        "Available",
        enough,
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
        now_s,
    )
    conditions = with_condition(
        conditions,
        "Progressing",
        True,
        "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
        "The new ReplicaSet has successfully progressed." if done else "The new ReplicaSet is progressing.",
        now_s,
    )
    set_status(
        store,
        DEPLOYMENTS,
        deployment,
        observedGeneration=deployment["metadata"].get("generation", 1),
        replicas=total or None,
        updatedReplicas=updated or None,
        readyReplicas=available or None,
        availableReplicas=available or None,
        unavailableReplicas=max(0, wanted - available) or None,
        conditions=conditions,
    )


def _is_recreate(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "Recreate")


def _replicas(replica_set: Mapping[str, Any]) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def _exists(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set.get("status") or {}).get("replicas", 0))


def _available(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas", 0))


def _revision(replica_set: Mapping[str, Any]) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, "0"))


REPLICA_SET = Controller("replicaset", (REPLICA_SETS, "pods"), reconcile_replica_set, "ReplicaSet")
DEPLOYMENT = Controller("deployment", (DEPLOYMENTS, REPLICA_SETS), reconcile_deployment, "Deployment")
