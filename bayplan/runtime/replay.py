"""Replay: decide every journalled cycle again and compare byte for byte. A difference is a bug, or another version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bayplan.model import codec
from bayplan.model.base import Value
from bayplan.runtime.journal import read
from bayplan.runtime.ports import Decide


class Replayed(Value, frozen=True):
    """One cycle decided again: `then` and `now` are the plans' JSON, equal where nothing differs."""

    cycle: int
    now_s: int
    then: bytes
    now: bytes

    @property
    def same(self) -> bool:
        return self.then == self.now


def replay(path: Path, decide: Decide) -> Iterator[Replayed]:
    """Every cycle of the journal, decided again. Raises OSError, JournalError."""
    for cycle, entry in enumerate(read(path), start=1):
        again = codec.to_json(decide(entry.snapshot, entry.policy, now_s=entry.now_s))
        yield Replayed(cycle, entry.now_s, entry.plan_json, again)
