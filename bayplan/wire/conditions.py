"""`status.conditions` as the API keeps them: one entry per type; its transition time moves only with the status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.wire.times import rfc3339

ConditionJson = dict[str, Any]


def with_condition(
    conditions: Iterable[Mapping[str, Any]] | None,
    type: str,
    status: bool,
    reason: str,
    message: str,
    now_s: int,
    *,
    generation: int = 0,
) -> list[ConditionJson]:
    """The conditions with this one set; all others, and fields we do not know, stay as they are."""
    kept = [dict(c) for c in conditions or ()]
    old = next((c for c in kept if c.get("type") == type), None)
    new: ConditionJson = {"type": type, "status": str(status), "reason": reason, "message": message}
    if generation:
        new["observedGeneration"] = generation
    moved = old is None or old.get("status") != new["status"]
    new["lastTransitionTime"] = rfc3339(now_s) if moved or old is None else old.get("lastTransitionTime")
    if old is None:
        return [*kept, new]
    return [old | new if c is old else c for c in kept]


def has_true(conditions: Iterable[Mapping[str, Any]] | None, type: str) -> bool:
    return any(c.get("type") == type and c.get("status") == "True" for c in conditions or ())
