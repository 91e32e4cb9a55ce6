"""The work of a fleet file, submitted to an embedded cluster as its time comes, exactly once each over restarts.

How far the stream has come is kept in the cluster itself (a ConfigMap), written in the transaction that submits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.clusters.embedded import Store
from bayplan.clusters.simulator.fleetfile import Fleet
from bayplan.clusters.simulator.stream import Arrival, arrivals

NAMESPACE, NAME = "kube-system", "bayplan-stream"
BATCH = 64  # jobs submitted between two cycles, so that a first rush does not hold the scheduler up


class Stream:
    """The jobs of a fleet, in order of arrival. One thread calls it."""

    def __init__(self, store: Store, fleet: Fleet, now_s: int) -> None:
        self._store = store
        self._arrivals: Iterator[Arrival] = arrivals(fleet)
        self._count = _submitted(store)
        last_s = 0
        for _ in range(self._count):
            last_s = next(self._arrivals).at_s
        self._next = next(self._arrivals) if fleet.work else None
        self._start_s = now_s - last_s

    def due_s(self) -> int | None:
        """When the next job comes; None if none ever will."""
        return None if self._next is None else self._start_s + self._next.at_s

    def step(self, now_s: int) -> None:
        """Submits what is due, a batch at most."""
        due: list[Arrival] = []
        while self._next is not None and len(due) < BATCH and self._start_s + self._next.at_s <= now_s:
            due.append(self._next)
            self._next = next(self._arrivals)
        if not due:
            return
        with self._store.transaction():
            for arrival in due:
                self._store.create("jobs.batch", arrival.team, arrival.job())
            self._count += len(due)
            _remember(self._store, self._count)


def _submitted(store: Store) -> int:
    found = store.find("configmaps", NAMESPACE, NAME)
    return int(found["data"]["submitted"]) if found else 0


def _remember(store: Store, count: int) -> None:
    data: dict[str, Any] = {"data": {"submitted": str(count)}}
    if store.find("configmaps", NAMESPACE, NAME) is None:
        store.create("configmaps", NAMESPACE, {"metadata": {"name": NAME}} | data)
    else:
        store.patch("configmaps", NAMESPACE, NAME, data)
