"""Events do not stay: the API server forgets those that have not happened again for an hour."""

from __future__ import annotations

from bayplan.clusters.embedded.store import Store
from bayplan.runtime.controllers.base import Controller, Key
from bayplan.wire.times import seconds

EVENT_TTL_S = 3600


def expire(store: Store, key: Key, now_s: int) -> int | None:
    """Removes an Event that did not happen again for an hour, the API server's default (`--event-ttl`)."""
    event = store.find("events", *key)
    if event is None:
        return None
    due_s = seconds(event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]) + EVENT_TTL_S
    if now_s < due_s:
        return due_s
    store.delete("events", *key)
    return None


EXPIRY = Controller("events", ("events",), expire)
