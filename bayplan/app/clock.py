"""The time of an embedded cluster: the wall's, or faster, and never back.

A cluster that has run ahead keeps its lead: it is written down with every look at the clock that matters, and the next
start continues from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path


class Clock:
    """`speed` seconds of the cluster pass in each second of the wall."""

    def __init__(self, path: Path | None = None, *, speed: int = 1, wall: Callable[[], float] = time.time) -> None:
        self._path, self._wall = path, wall
        self.speed = speed
        self.began = wall()
        self.start = max(self.began, _read(path))

    @classmethod
    def told(cls, *, began: float, start: float, speed: int) -> Clock:
        """The clock of another process, by what it has written down."""
        clock = cls(speed=speed)
        clock.began, clock.start = began, start
        return clock

    def now(self) -> float:
        return self.start + (self._wall() - self.began) * self.speed

    def now_s(self) -> int:
        return int(self.now())

    def date(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def sleep(self, seconds: float) -> None:
        """Sleeps that many seconds of the wall: pauses are for machines, which are no faster than they are."""
        time.sleep(seconds)

    def save(self) -> None:
        """Writes down how far the cluster has come."""
        if self._path is not None:
            partial = self._path.with_name(self._path.name + ".partial")
            partial.write_text(f"{self.now():.0f}\n", encoding="ascii")
            partial.replace(self._path)


def _read(path: Path | None) -> float:
    try:
        return float(path.read_text(encoding="ascii")) if path is not None else 0.0
    except (OSError, ValueError):
        return 0.0  # a new cluster, or a file that a crash cut short: the wall's time it is
