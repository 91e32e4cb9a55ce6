"""Decisions: `decide` and the words for what it decided. Reading order: cycle, order, quota, place, allocate, preempt,
explain."""

from bayplan.core.cycle import decide
from bayplan.core.explain import asks, describe, is_never, says, says_apart

__all__ = ["asks", "decide", "describe", "is_never", "says", "says_apart"]
