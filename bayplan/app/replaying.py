"""Yesterday's decisions, made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from bayplan.app.errors import BadInput
from bayplan.core import decide
from bayplan.model import codec
from bayplan.model.base import Value
from bayplan.model.plan import Plan
from bayplan.runtime import JournalError, replay

DIFFERENCES_MAX = 20  # cycles described; the count goes on


class Difference(Value, frozen=True):
    """A cycle that is decided otherwise today: decisions of then and of now that are not in both."""

    cycle: int
    now_s: int
    then: tuple[str, ...]
    now: tuple[str, ...]


class Replay(Value, frozen=True):
    journal: str
    cycles: int
    decisions: int
    different: int
    differences: tuple[Difference, ...] = ()


def replay_journal(path: Path, watch: Callable[[int], None] | None = None) -> Replay:
    """Every cycle of a journal decided again and compared byte for byte. Raises BadInput."""
    cycles = decisions = different = 0
    found: list[Difference] = []
    try:
        for done in replay(path, decide):
            cycles += 1
            decisions += len(codec.from_json(done.then, Plan).decisions)
            if not done.same:
                different += 1
                if len(found) < DIFFERENCES_MAX:
                    found.append(_difference(done.cycle, done.now_s, done.then, done.now))
            if watch is not None:
                watch(cycles)
    except JournalError as error:
        raise BadInput("", "", str(error)) from error
    except OSError as error:
        raise BadInput(str(path), "", error.strerror or "cannot be read") from error
    return Replay(str(path), cycles, decisions, different, tuple(found))


def _difference(cycle: int, now_s: int, then: bytes, now: bytes) -> Difference:
    before, after = _lines(then), _lines(now)
    return Difference(
        cycle, now_s, tuple(x for x in before if x not in after), tuple(x for x in after if x not in before)
    )


def _lines(plan: bytes) -> list[str]:
    """A plan's decisions, one line of JSON each."""
    body = msgspec.json.decode(plan)
    return [msgspec.json.encode(d).decode() for d in body.get("decisions", ())]
