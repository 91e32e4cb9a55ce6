"""Pods of nodes that are gone (what kube-controller-manager's pod garbage collector does)."""

from __future__ import annotations

from collections.abc import Iterable

from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers.base import Controller, Key
from bayplan.runtime.objects import Change


def collect_lost(store: Store, key: Key, now_s: int) -> int | None:
    """Removes the pods of a node that is gone: nobody is left to stop them."""
    name = key[1]
    if store.find("nodes", None, name) is None:
        for pod in store.list("pods", field_selector=f"spec.nodeName={name}")[0]:
            meta = pod["metadata"]
            store.delete("pods", meta["namespace"], meta["name"], grace_seconds=0)
    return None


def _nodes_gone(store: Store, change: Change) -> Iterable[Key]:
    return [("", change.record.name)] if change.type == "DELETED" else []


LOST = Controller("pods-of-lost-nodes", ("nodes",), collect_lost, keys=_nodes_gone)
