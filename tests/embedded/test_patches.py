"""JSON patch, merge patch and strategic merge patch: cases from their specifications, and laws."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.clusters.embedded import ApiError, Store
from bayplan.clusters.embedded.listrules import KNOWN
from bayplan.clusters.embedded.patch import json_patch, merge_patch
from bayplan.clusters.embedded.strategic import strategic_merge
from tests.embedded.objects import raises, widget, widget_definition

# RFC 7386, appendix A.
MERGE_CASES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), MERGE_CASES)
def test_a_merge_patch_gives_what_rfc_7386_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def op(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **more}


JSON_CASES: list[tuple[str, Any, list[dict[str, Any]], Any]] = [
    ("adds a member", {"a": 1}, [op("add", "/b", value=2)], {"a": 1, "b": 2}),
    ("inserts into a list", {"a": [1, 3]}, [op("add", "/a/1", value=2)], {"a": [1, 2, 3]}),
    ("appends to a list", {"a": [1]}, [op("add", "/a/-", value=2)], {"a": [1, 2]}),
    ("removes", {"a": 1, "b": [1, 2]}, [op("remove", "/a"), op("remove", "/b/0")], {"b": [2]}),
    ("replaces", {"a": [1]}, [op("replace", "/a/0", value=2)], {"a": [2]}),
    ("replaces everything", {"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}),
    ("moves", {"a": {"b": 1}}, [op("move", "/c", **{"from": "/a/b"})], {"a": {}, "c": 1}),
    ("copies", {"a": [1]}, [op("copy", "/b", **{"from": "/a"}), op("add", "/b/-", value=2)], {"a": [1], "b": [1, 2]}),
    ("tests and goes on", {"a": 1}, [op("test", "/a", value=1), op("add", "/b", value=1)], {"a": 1, "b": 1}),
    ("unescapes", {"a/b": 1, "m~n": 2}, [op("remove", "/a~1b"), op("remove", "/m~0n")], {}),
]


@pytest.mark.parametrize(
    ("target", "patch", "result"), [case[1:] for case in JSON_CASES], ids=[c[0] for c in JSON_CASES]
)
def test_a_json_patch(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([op("test", "/a", value=2)], 422),
        ([op("test", "/a", value=True)], 422),
        ([op("remove", "/nothing")], 422),
        ([op("replace", "/b", value=1)], 422),
        ([op("add", "/l/9", value=1)], 422),
        ([op("add", "/l/01", value=1)], 422),
        ([op("move", "/m/x", **{"from": "/m"})], 422),
        ([op("add", "/x")], 400),
        ([op("increment", "/a")], 400),
        ([op("add", "x", value=1)], 400),
        ({"a": 1}, 400),
    ],
)
def test_a_json_patch_that_cannot_be_carried_out_is_refused(patch: Any, code: int) -> None:
    with pytest.raises(ApiError, check=lambda error: error.status_code == code):
        json_patch({"a": 1, "l": [1], "m": {}}, patch)


def spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **more}}


A, B = {"name": "a", "image": "1"}, {"name": "b", "image": "1"}
STRATEGIC_CASES: list[tuple[str, Any, Any, Any]] = [
    ("an item merges by its key", spec(A, B), spec({"name": "b", "image": "2"}), spec(A, {"name": "b", "image": "2"})),
    ("a new item comes first", spec(A), spec(B), spec(B, A)),
    ("$patch: delete removes an item", spec(A, B), spec({"name": "a", "$patch": "delete"}), spec(B)),
    ("$patch: replace replaces a list", spec(A, B), spec({"$patch": "replace"}, {"name": "c"}), spec({"name": "c"})),
    (
        "$patch: replace replaces a map",
        {"data": {"a": 1, "b": 2}},
        {"data": {"$patch": "replace", "c": 3}},
        {"data": {"c": 3}},
    ),
    ("$patch: delete removes a map", {"data": {"a": 1}, "x": 1}, {"data": {"$patch": "delete"}}, {"x": 1}),
    (
        "$setElementOrder orders the named items",
        spec(A, B),
        {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [B, A]}},
        spec(B, A),
    ),
    (
        "$setElementOrder leaves the others where they were",
        {"metadata": {"finalizers": ["x", "a", "b"]}},
        {"metadata": {"$setElementOrder/finalizers": ["b", "a"]}},
        {"metadata": {"finalizers": ["x", "b", "a"]}},
    ),
    (
        "$deleteFromPrimitiveList removes members",
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
        {"metadata": {"finalizers": ["b"]}},
    ),
    (
        "members of a set are added once",
        {"metadata": {"finalizers": ["a"]}},
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"finalizers": ["a", "b"]}},
    ),
    (
        "$retainKeys keeps only those named",
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}},
        {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
        {"strategy": {"type": "Recreate"}},
    ),
    (
        "environment merges inside a container",
        spec(A | {"env": [{"name": "X", "value": "1"}]}),
        spec({"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "$patch": "delete"}]}),
        spec(A | {"env": [{"name": "Y", "value": "2"}]}),
    ),
    (
        "ports merge by containerPort",
        spec(A | {"ports": [{"containerPort": 80}]}),
        spec({"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}),
        spec(A | {"ports": [{"containerPort": 80, "name": "web"}]}),
    ),
    (
        "conditions merge by type",
        {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X"}]}},
        {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X"}]}},
    ),
    (
        "tolerations and taints are one value",
        {"spec": {"tolerations": [{"key": "a"}], "taints": [{"key": "b"}]}},
        {"spec": {"tolerations": [{"key": "c"}], "taints": []}},
        {"spec": {"tolerations": [{"key": "c"}], "taints": []}},
    ),
    ("null removes", {"a": 1, "b": {"c": 1}}, {"a": None, "b": {"c": None}}, {"b": {}}),
]


@pytest.mark.parametrize(
    ("target", "patch", "result"), [case[1:] for case in STRATEGIC_CASES], ids=[c[0] for c in STRATEGIC_CASES]
)
def test_a_strategic_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert strategic_merge(target, patch, KNOWN) == result
    assert target == before


def test_an_item_without_its_key_is_refused() -> None:
    with raises(400, "BadRequest", "does not contain declared merge key: name"):
        strategic_merge(spec(A), spec({"image": "2"}), KNOWN)


def test_custom_resources_take_no_strategic_patch(store: Store) -> None:
    store.create("customresourcedefinitions.apiextensions.k8s.io", None, widget_definition())
    store.create("widgets.example.com", "default", widget())
    with raises(415, "UnsupportedMediaType", "use a merge patch"):
        store.patch("widgets.example.com", "default", "w", {"spec": {"size": 2}}, "strategic")


# -- laws -----------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["x", "y"])
keys = st.sampled_from(["a", "b", "c"])
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)
maps = st.dictionaries(keys, documents, max_size=3)
items = st.fixed_dictionaries({"name": keys}, optional={"image": st.sampled_from(["1", "2"])})
unique_items = st.lists(items, max_size=3, unique_by=lambda item: item["name"])


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


def difference(old: Any, new: Any) -> Any:
    """The smallest merge patch from `old` to `new`."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    return patch | {k: difference(old.get(k), v) for k, v in new.items() if k not in old or old[k] != v}


@given(maps, maps)
def test_a_merge_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(maps, maps)
def test_the_difference_of_two_objects_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    new = without_nulls(new)
    assert merge_patch(old, difference(old, new)) == new


@given(maps, st.lists(st.tuples(keys, documents), max_size=4))
def test_adding_and_removing_again_restores(target: Any, added: list[tuple[str, Any]]) -> None:
    fresh = [(f"new-{index}", value) for index, (_, value) in enumerate(added)]
    there = [op("add", f"/{key}", value=value) for key, value in fresh]
    back = [op("remove", f"/{key}") for key, _ in reversed(fresh)]
    assert json_patch(target, there + back) == target


@given(unique_items, unique_items)
def test_a_strategic_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    once = strategic_merge(spec(*target), spec(*patch), KNOWN)
    assert strategic_merge(once, spec(*patch), KNOWN) == once


@given(unique_items, unique_items)
def test_a_strategic_patch_keeps_every_key_once(target: Any, patch: Any) -> None:
    merged = strategic_merge(spec(*target), spec(*patch), KNOWN)["spec"]["containers"]
    names = [item["name"] for item in merged]
    assert sorted(names) == sorted({item["name"] for item in [*target, *patch]})
    by_name = {item["name"]: item for item in merged}
    assert all(item.items() <= by_name[item["name"]].items() for item in patch)
