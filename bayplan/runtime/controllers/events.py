"""Kubernetes Events: one object per (object, reason), counted up when it happens again, as clients aggregate them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from bayplan.runtime.objects import Objects
from bayplan.wire.times import rfc3339

_MESSAGE_MAX = 1024  # the API's own limit


def record(
    store: Objects,
    about: Mapping[str, Any],
    reason: str,
    message: str,
    now_s: int,
    *,
    warning: bool = False,
    component: str = "bayplan",
) -> None:
    """Says in the cluster that something happened to an object."""
    meta = about["metadata"]
    namespace = meta.get("namespace") or "default"
    uid = meta.get("uid", "")
    name = f"{meta['name'][:200]}.{hashlib.sha256(f'{uid}/{reason}'.encode()).hexdigest()[:16]}"
    text = message[:_MESSAGE_MAX]
    known = store.find("events", namespace, name)
    if known is not None:
        again = {"count": known.get("count", 1) + 1, "lastTimestamp": rfc3339(now_s), "message": text}
        store.patch("events", namespace, name, again)
        return
    involved = {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": meta["name"], "uid": uid}
    if meta.get("namespace"):
        involved["namespace"] = namespace
    event = {
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": text,
        "type": "Warning" if warning else "Normal",
        "count": 1,
        "firstTimestamp": rfc3339(now_s),
        "lastTimestamp": rfc3339(now_s),
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
    }
    store.create("events", namespace, event)
