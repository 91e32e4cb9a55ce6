"""What is kept of an object as the API server writes it: everything but managedFields, and what it is."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from bayplan.clusters.kubernetes.cache import record_of

MANAGED = [{"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {}}}}]
META = {"name": "a", "namespace": "team-a", "uid": "u", "resourceVersion": "7", "managedFields": MANAGED}


def kept(obj: object) -> object:
    record = record_of("pods", msgspec.json.encode(obj), "v1", "Pod")
    assert (record.namespace, record.name, record.uid, record.version) == ("team-a", "a", "u", 7)
    return record.decode()


@pytest.mark.parametrize("order", list(itertools.permutations(("name", "uid", "managedFields"))))
def test_managed_fields_are_left_out_wherever_they_stand(order: tuple[str, ...]) -> None:
    meta = {k: META[k] for k in order} | META
    template = {"metadata": {"managedFields": [{"manager": "somebody"}], "name": '"managedFields":['}}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"template": template}}
    without = {k: v for k, v in meta.items() if k != "managedFields"}
    assert kept(obj) == {**obj, "metadata": without}


def test_an_object_without_them_stays_as_it_is() -> None:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {**META, "managedFields": []}}
    assert kept(obj) == {**obj, "metadata": {k: v for k, v in META.items() if k != "managedFields"}}
    meta = {k: v for k, v in META.items() if k != "managedFields"}
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"managedFields": [1]}}
    assert kept(other) == other


def test_the_item_of_a_list_is_told_what_it_is() -> None:
    meta = {k: v for k, v in META.items() if k != "managedFields"}
    assert kept({"metadata": meta}) == {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def test_owners_and_an_end_are_known() -> None:
    meta = {"name": "a", "ownerReferences": [{"uid": "1"}, {"uid": "2"}], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    record = record_of("pods", msgspec.json.encode({"metadata": meta}), "v1", "Pod")
    assert record.owners == ("1", "2") and record.deleting and record.version == 0


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        record_of("pods", b'{"kind":"Status"}', "v1", "Pod")
