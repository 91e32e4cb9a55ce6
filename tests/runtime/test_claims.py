"""Reservations that their pods left behind, where nobody else takes them back."""

from __future__ import annotations

from typing import Any

from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers.claims import CLAIMS, consumers, left_behind
from bayplan.runtime.controllers.pods import POD_GROUPS
from bayplan.runtime.controllers.queue import Controllers

REQUEST = {"name": "gpu", "exactly": {"deviceClassName": "gpu"}}
RESULT = {"request": "gpu", "driver": "gpu.example.com", "pool": "a", "device": "gpu-0"}


def reserved(store: Store, *pods: str) -> None:
    """A claim with a device, reserved for these pods, which name it."""
    spec = {"devices": {"requests": [REQUEST]}}
    store.create(
        CLAIMS,
        "default",
        {"metadata": {"name": "shared", "finalizers": ["resource.kubernetes.io/delete-protection"]}, "spec": spec},
    )
    made = [store.create("pods", "default", _pod(name)) for name in pods]
    consumers = [{"resource": "pods", "name": p["metadata"]["name"], "uid": p["metadata"]["uid"]} for p in made]
    status = {"allocation": {"devices": {"results": [RESULT]}}, "reservedFor": consumers}
    store.patch(CLAIMS, "default", "shared", {"status": status}, subresource="status")


def _pod(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": "c:1"}
    claims = [{"name": "gpu", "resourceClaimName": "shared"}]
    return {"metadata": {"name": name}, "spec": {"containers": [container], "resourceClaims": claims}}


def consumer_names(store: Store) -> list[str]:
    return [r["name"] for r in store.get(CLAIMS, "default", "shared")["status"].get("reservedFor") or ()]


def test_a_reservation_is_taken_back_when_its_pod_has_been_gone_for_a_while() -> None:
    store = Store()
    reserved(store, "p", "q")
    controllers = Controllers(store, (consumers(left_behind, 60),))
    controllers.step(1000)
    store.delete("pods", "default", "p", grace_seconds=0)
    controllers.step(1010)
    controllers.step(1069)
    assert consumer_names(store) == ["p", "q"]
    controllers.step(1070)
    assert consumer_names(store) == ["q"]
    store.delete("pods", "default", "q", grace_seconds=0)
    controllers.step(1100)
    controllers.step(1160)
    claim = store.get(CLAIMS, "default", "shared")
    assert "allocation" not in claim["status"] and not claim["metadata"].get("finalizers")


def test_what_was_left_behind_before_the_start_is_found_and_what_others_did_is_left() -> None:
    store = Store()
    reserved(store, "p")
    store.delete("pods", "default", "p", grace_seconds=0)
    controllers = Controllers(store, (consumers(left_behind, 60),))
    controllers.step(1000)
    store.patch(CLAIMS, "default", "shared", {"status": None}, subresource="status")
    version = store.version
    controllers.step(1060)
    assert store.version == version


def test_a_reservation_of_a_group_is_taken_back_when_the_group_is_gone() -> None:
    """KEP-5729: not with its pods, and not for another group of that name."""
    store = Store()
    reserved(store)
    spec = {
        "schedulingPolicy": {"gang": {"minCount": 1}},
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "shared"}],
    }
    made = store.create(POD_GROUPS, "default", {"metadata": {"name": "g"}, "spec": spec})
    consumer = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": made["metadata"]["uid"]}
    status = {"status": {"reservedFor": [consumer]}}
    store.patch(CLAIMS, "default", "shared", status, subresource="status")
    controllers = Controllers(store, (consumers(left_behind, 60),))
    controllers.step(1000)
    controllers.step(1100)
    assert consumer_names(store) == ["g"]
    store.delete(POD_GROUPS, "default", "g")
    store.create(POD_GROUPS, "default", {"metadata": {"name": "g"}, "spec": spec})
    controllers.step(1200)
    controllers.step(1259)
    assert consumer_names(store) == ["g"]
    controllers.step(1260)
    claim = store.get(CLAIMS, "default", "shared")
    assert consumer_names(store) == [] and "allocation" not in claim["status"]
