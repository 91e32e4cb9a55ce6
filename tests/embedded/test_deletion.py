"""Deleting: marks, finalizers, grace, owners and namespaces."""

from __future__ import annotations

import pytest

from bayplan.clusters.embedded import Store
from tests.embedded.conftest import Clock
from tests.embedded.objects import config_map, job, owned, pod, raises, widget, widget_definition

JOBS = "jobs.batch"


def test_an_object_that_nothing_holds_is_gone_at_once(store: Store) -> None:
    store.create("configmaps", "default", config_map())
    store.delete("configmaps", "default", "cm")
    assert store.find("configmaps", "default", "cm") is None
    with raises(404, "NotFound", 'configmaps "cm" not found'):
        store.delete("configmaps", "default", "cm")


def test_a_finalizer_holds_an_object_until_it_is_taken_off(store: Store) -> None:
    store.create("configmaps", "default", config_map() | {"metadata": {"name": "cm", "finalizers": ["x.io/f"]}})
    marked = store.delete("configmaps", "default", "cm")
    assert marked["metadata"]["deletionTimestamp"] == "2026-11-02T12:00:00Z"
    assert store.delete("configmaps", "default", "cm") == marked
    store.patch("configmaps", "default", "cm", {"metadata": {"finalizers": None}})
    assert store.find("configmaps", "default", "cm") is None


def test_a_running_pod_gets_its_grace_and_goes_when_the_kubelet_says_so(store: Store, clock: Clock) -> None:
    store.create("pods", "default", pod(terminationGracePeriodSeconds=10))
    store.bind("default", "p", "n1")
    marked = store.delete("pods", "default", "p")
    assert marked["metadata"]["deletionTimestamp"] == "2026-11-02T12:00:10Z"
    assert store.find("pods", "default", "p")
    clock.advance(10)
    store.delete("pods", "default", "p", grace_seconds=0)
    assert store.find("pods", "default", "p") is None


@pytest.mark.parametrize("phase", [None, "Succeeded", "Failed"])
def test_a_pod_that_runs_nowhere_or_is_over_needs_no_grace(store: Store, phase: str | None) -> None:
    store.create("pods", "default", pod())
    if phase:
        store.bind("default", "p", "n1")
        store.patch("pods", "default", "p", {"status": {"phase": phase}}, subresource="status")
    store.delete("pods", "default", "p")
    assert store.find("pods", "default", "p") is None


@pytest.mark.parametrize(
    ("precondition", "message"), [({"uid": "other"}, "UID"), ({"version": "1"}, "ResourceVersion")]
)
def test_a_precondition_that_fails_is_a_conflict(store: Store, precondition: dict[str, str], message: str) -> None:
    store.create("configmaps", "default", config_map())
    with raises(409, "Conflict", f"Precondition failed: {message} in precondition"):
        store.delete("configmaps", "default", "cm", **precondition)  # type: ignore[arg-type]
    assert store.find("configmaps", "default", "cm")


def test_dependents_go_with_their_last_owner(store: Store) -> None:
    first, second = (store.create(JOBS, "default", job(name)) for name in ("a", "b"))
    child = owned(pod(), first)
    child["metadata"]["ownerReferences"] += [
        owned(pod(), second)["metadata"]["ownerReferences"][0] | {"controller": False}
    ]
    made = store.create("pods", "default", child)
    store.create("configmaps", "default", owned(config_map(), made))
    store.delete(JOBS, "default", "a")
    owners = store.get("pods", "default", "p")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in owners] == ["b"]
    store.delete(JOBS, "default", "b")
    assert store.find("pods", "default", "p") is None
    assert store.find("configmaps", "default", "cm") is None


def test_orphans_lose_the_reference_and_stay(store: Store) -> None:
    made = store.create(JOBS, "default", job())
    store.create("pods", "default", owned(pod(), made))
    store.delete(JOBS, "default", "j", propagation="Orphan")
    assert "ownerReferences" not in store.get("pods", "default", "p")["metadata"]


def test_foreground_deletion_waits_for_the_dependents_that_block_it(store: Store) -> None:
    made = store.create(JOBS, "default", job())
    store.create("pods", "default", owned(pod(), made, blocks=True))
    store.bind("default", "p", "n1")
    store.delete(JOBS, "default", "j", propagation="Foreground")
    assert store.get(JOBS, "default", "j")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in store.get("pods", "default", "p")["metadata"]
    store.delete("pods", "default", "p", grace_seconds=0)
    assert store.find("pods", "default", "p") is None
    assert store.find(JOBS, "default", "j") is None


def test_a_namespace_takes_its_content_with_it_and_waits_for_what_is_held(store: Store) -> None:
    store.create("namespaces", None, {"metadata": {"name": "team"}})
    store.create("configmaps", "team", config_map())
    store.create("pods", "team", pod())
    store.bind("team", "p", "n1")
    assert store.delete("namespaces", None, "team")["status"]["phase"] == "Terminating"
    assert store.find("configmaps", "team", "cm") is None
    with raises(403, "Forbidden", "because it is being terminated"):
        store.create("configmaps", "team", config_map())
    store.delete("pods", "team", "p", grace_seconds=0)
    assert store.find("namespaces", None, "team") is None


def test_the_namespaces_every_cluster_needs_stay(store: Store) -> None:
    with raises(403, "Forbidden", "this namespace may not be deleted"):
        store.delete("namespaces", None, "default")


def test_a_dry_run_deletes_nothing(store: Store) -> None:
    store.create("configmaps", "default", config_map())
    store.delete("configmaps", "default", "cm", dry_run=True)
    assert store.find("configmaps", "default", "cm")


def test_with_a_definition_go_its_objects_and_the_kind(store: Store) -> None:
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    store.create("widgets.example.com", "default", widget())
    watch = store.watch(["widgets.example.com"])
    store.delete("customresourcedefinitions.apiextensions.k8s.io", None, "widgets.example.com")
    assert [(change.type, change.record.name) for change in watch.poll()] == [("DELETED", "w")]
    with raises(404, "NotFound", "widgets.example.com is not served"):
        store.get("widgets.example.com", "default", "w")
