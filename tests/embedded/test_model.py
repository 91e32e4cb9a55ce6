"""The store against a model of twenty lines: names, versions, conflicts, finalizers, over any sequence of calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bayplan.clusters.embedded import ApiError, Store
from tests.embedded.objects import config_map

NAMES = st.sampled_from(["a", "b"])
SPACES = st.sampled_from(["default", "kube-system"])
VALUES = st.sampled_from(["1", "2", "3"])


class StoreAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.model: dict[tuple[str, str], dict[str, Any]] = {}
        self.read: dict[str, Any] | None = None

    def refused(self, reason: str) -> Any:
        return pytest.raises(ApiError, check=lambda error: error.reason == reason)

    @rule(space=SPACES, name=NAMES, value=VALUES)
    def create(self, space: str, name: str, value: str) -> None:
        if (space, name) in self.model:
            with self.refused("AlreadyExists"):
                self.store.create("configmaps", space, config_map(name, v=value))
        else:
            self.store.create("configmaps", space, config_map(name, v=value))
            self.model[space, name] = {"v": value, "held": False, "deleting": False}

    @rule(space=SPACES, name=NAMES)
    def remember_a_copy(self, space: str, name: str) -> None:
        self.read = self.store.find("configmaps", space, name)

    @precondition(lambda self: self.read is not None)
    @rule(value=VALUES)
    def update_from_the_copy(self, value: str) -> None:
        assert self.read is not None
        meta = self.read["metadata"]
        key = (meta["namespace"], meta["name"])
        now = self.store.find("configmaps", *key)
        fresh = self.read | {"data": {"v": value}}
        if now is None:
            with self.refused("NotFound"):
                self.store.update("configmaps", None, fresh)
        elif now["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            with self.refused("Conflict"):
                self.store.update("configmaps", None, fresh)
        else:
            self.read = self.store.update("configmaps", None, fresh)
            self.model[key]["v"] = value

    @rule(space=SPACES, name=NAMES, value=VALUES)
    def patch(self, space: str, name: str, value: str) -> None:
        if (space, name) in self.model:
            self.store.patch("configmaps", space, name, {"data": {"v": value}})
            self.model[space, name]["v"] = value
        else:
            with self.refused("NotFound"):
                self.store.patch("configmaps", space, name, {"data": {"v": value}})

    @rule(space=SPACES, name=NAMES, held=st.booleans())
    def hold_or_release(self, space: str, name: str, held: bool) -> None:
        if (space, name) not in self.model:
            return
        finalizers = ["x.io/held"] if held else None
        self.store.patch("configmaps", space, name, {"metadata": {"finalizers": finalizers}})
        self.model[space, name]["held"] = held
        if self.model[space, name]["deleting"] and not held:
            del self.model[space, name]

    @rule(space=SPACES, name=NAMES)
    def delete(self, space: str, name: str) -> None:
        if (space, name) not in self.model:
            with self.refused("NotFound"):
                self.store.delete("configmaps", space, name)
            return
        self.store.delete("configmaps", space, name)
        if self.model[space, name]["held"]:
            self.model[space, name]["deleting"] = True
        else:
            del self.model[space, name]

    @invariant()
    def the_lists_agree(self) -> None:
        items, _ = self.store.list("configmaps")
        found = {
            (item["metadata"]["namespace"], item["metadata"]["name"]): {
                "v": item["data"]["v"],
                "held": bool(item["metadata"].get("finalizers")),
                "deleting": "deletionTimestamp" in item["metadata"],
            }
            for item in items
        }
        assert found == self.model
        assert list(found) == sorted(found)


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
