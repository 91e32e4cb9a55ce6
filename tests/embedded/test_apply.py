"""Server-side apply: who owns what, who is in whose way, and what goes when it is applied no longer (KEP-555)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.clusters.embedded import Store
from bayplan.clusters.embedded.ownership import from_fields_v1, to_fields_v1
from tests.embedded.objects import config_map, deployment, raises, widget, widget_definition

DEPLOYMENTS = "deployments.apps"


def apply(
    store: Store, obj: dict[str, Any], manager: str, resource: str = "configmaps", **options: Any
) -> dict[str, Any]:
    return store.patch(resource, "default", obj["metadata"]["name"], obj, "apply", manager=manager, **options).decode()


def owners(obj: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def test_applying_what_does_not_exist_creates_it(store: Store) -> None:
    made = apply(store, config_map(a="1"), "me")
    assert made["data"] == {"a": "1"}
    assert owners(made) == {"me": {"f:data": {"f:a": {}}}}


def test_applying_the_same_again_changes_nothing(store: Store) -> None:
    made = apply(store, config_map(a="1"), "me")
    assert apply(store, config_map(a="1"), "me") == made


def test_a_field_of_another_manager_is_a_conflict_that_names_him(store: Store) -> None:
    apply(store, config_map(a="1", b="1"), "first")
    expected = 'Apply failed with 1 conflict: conflict with "first" using v1: .data.a'
    with raises(409, "Conflict", expected):
        apply(store, config_map(a="2"), "second")
    assert store.get("configmaps", "default", "cm")["data"]["a"] == "1"


def test_several_conflicts_are_listed(store: Store) -> None:
    apply(store, config_map(a="1", b="1"), "first")
    expected = 'Apply failed with 2 conflicts: conflicts with "first" using v1:\n- .data.a\n- .data.b'
    with raises(409, "Conflict", expected):
        apply(store, config_map(a="2", b="2"), "second")


def test_force_takes_the_field_over(store: Store) -> None:
    apply(store, config_map(a="1", b="1"), "first")
    written = apply(store, config_map(a="2"), "second", force=True)
    assert written["data"] == {"a": "2", "b": "1"}
    assert owners(written) == {"first": {"f:data": {"f:b": {}}}, "second": {"f:data": {"f:a": {}}}}


def test_the_same_value_is_owned_together(store: Store) -> None:
    apply(store, config_map(a="1"), "first")
    written = apply(store, config_map(a="1"), "second")
    assert owners(written)["first"] == owners(written)["second"]
    left = apply(store, config_map(), "first")
    assert left["data"] == {"a": "1"}


def test_what_is_applied_no_longer_goes(store: Store) -> None:
    apply(store, config_map(a="1", b="1"), "me")
    assert apply(store, config_map(b="1"), "me")["data"] == {"b": "1"}


def test_what_someone_else_wrote_stays(store: Store) -> None:
    apply(store, config_map(a="1"), "me")
    store.patch("configmaps", "default", "cm", {"data": {"x": "9"}}, manager="editor")
    assert apply(store, config_map(b="1"), "me")["data"] == {"b": "1", "x": "9"}


def test_an_ordinary_write_takes_ownership_and_is_then_in_the_way(store: Store) -> None:
    apply(store, deployment(), "me", DEPLOYMENTS)
    store.patch(DEPLOYMENTS, "default", "web", {"spec": {"replicas": 5}}, manager="autoscaler")
    with raises(409, "Conflict", 'conflict with "autoscaler" using apps/v1: .spec.replicas'):
        apply(store, deployment(), "me", DEPLOYMENTS)


def test_an_object_nobody_tracked_belongs_to_before_first_apply(store: Store) -> None:
    store.create("configmaps", "default", config_map(a="1"))
    with raises(409, "Conflict", 'conflict with "before-first-apply" using v1: .data.a'):
        apply(store, config_map(a="2"), "me")


def test_kubectl_continues_what_client_side_apply_began(store: Store) -> None:
    store.create("configmaps", "default", config_map(a="1"), manager="kubectl-client-side-apply")
    assert apply(store, config_map(a="2"), "kubectl")["data"] == {"a": "2"}


def test_items_of_a_keyed_list_have_owners_of_their_own(store: Store) -> None:
    apply(store, deployment(), "me", DEPLOYMENTS)
    sidecar = {"name": "sidecar", "image": "s:1"}
    added = {"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [sidecar]}}}}
    written = apply(store, added, "injector", DEPLOYMENTS)
    names = [each["name"] for each in written["spec"]["template"]["spec"]["containers"]]
    assert names == ["c", "sidecar"]
    again = apply(store, deployment(), "me", DEPLOYMENTS)
    assert [each["name"] for each in again["spec"]["template"]["spec"]["containers"]] == names
    gone = apply(store, {"metadata": {"name": "web"}, "spec": {}}, "injector", DEPLOYMENTS)
    assert [each["name"] for each in gone["spec"]["template"]["spec"]["containers"]] == ["c"]


def test_a_dropped_field_of_an_item_goes_and_the_item_stays(store: Store) -> None:
    first = deployment()
    container = first["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    container["command"] = ["run"]
    apply(store, first, "me", DEPLOYMENTS)
    del container["command"]
    container["env"] = [{"name": "B", "value": "2"}]
    written = apply(store, first, "me", DEPLOYMENTS)["spec"]["template"]["spec"]["containers"][0]
    assert "command" not in written
    assert written["env"] == [{"name": "B", "value": "2"}]


def test_the_lists_of_custom_resources_follow_their_schema(store: Store) -> None:
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    resource = "widgets.example.com"
    apply(store, widget(parts=[{"id": "a", "n": 1}]), "first", resource)
    written = apply(store, widget(parts=[{"id": "b", "n": 2}]), "second", resource)
    assert written["spec"]["parts"] == [{"id": "a", "n": 1}, {"id": "b", "n": 2}]
    with raises(409, "Conflict", '.spec.parts[id="a"].n'):
        apply(store, widget(parts=[{"id": "a", "n": 3}]), "second", resource)


def test_the_status_is_applied_apart(store: Store) -> None:
    apply(store, deployment(), "me", DEPLOYMENTS)
    sent = {"metadata": {"name": "web"}, "spec": {"replicas": 9}, "status": {"replicas": 1}}
    written = apply(store, sent, "controller", DEPLOYMENTS, subresource="status")
    assert (written["spec"]["replicas"], written["status"]["replicas"]) == (2, 1)
    entry = next(each for each in written["metadata"]["managedFields"] if each["manager"] == "controller")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:replicas": {}}})


@pytest.mark.parametrize(
    ("obj", "manager", "code", "message"),
    [
        (config_map(a="1"), "", 422, "fieldManager: Required value"),
        (config_map() | {"metadata": {"name": "cm", "managedFields": [{}]}}, "me", 400, "must be nil"),
        (config_map() | {"metadata": {"name": "cm", "resourceVersion": "1"}}, "me", 409, "does not exist"),
    ],
)
def test_an_apply_that_makes_no_sense_is_refused(store: Store, obj: Any, manager: str, code: int, message: str) -> None:
    reason = {422: "Invalid", 400: "BadRequest", 409: "Conflict"}[code]
    with raises(code, reason, message):
        apply(store, obj, manager)


def test_objects_that_no_manager_named_carry_no_bookkeeping(store: Store) -> None:
    store.create("configmaps", "default", config_map(a="1"))
    written = store.patch("configmaps", "default", "cm", {"data": {"a": "2"}}).decode()
    assert "managedFields" not in written["metadata"]


# -- laws -----------------------------------------------------------------------------------------------------

data = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)
elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])
paths = st.sets(st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=6)


@given(paths)
def test_a_set_of_paths_survives_being_written_down(owned: set[tuple[str, ...]]) -> None:
    written = to_fields_v1(owned)
    items = {p[:n] for p in owned for n in range(1, len(p)) if p[n - 1].startswith("k:")}
    assert from_fields_v1(written) >= owned
    assert from_fields_v1(written) <= owned | items


@given(st.lists(data, min_size=1, max_size=5))
def test_one_manager_alone_gets_exactly_what_he_applied_last(applied: list[dict[str, str]]) -> None:
    store = Store()
    for each in applied:
        written = apply(store, config_map(**each), "me")
    assert written.get("data", {}) == applied[-1]


@given(data, data, data)
def test_with_two_managers_each_finds_what_he_applied(first: Any, second: Any, third: Any) -> None:
    store = Store()
    apply(store, config_map(**first), "one")
    apply(store, config_map(**second), "two", force=True)
    written = apply(store, config_map(**third), "one", force=True).get("data", {})
    assert third.items() <= written.items()
    assert written == {key: value for key, value in second.items() if key not in third} | third
