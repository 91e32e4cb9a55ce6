"""What the cluster in this process is doing, for whoever shows it: the latest cycle, summed up when asked."""

from __future__ import annotations

import threading

from bayplan.app.embedded import Embedded
from bayplan.app.views.queue import QueueView, queue_view
from bayplan.app.views.status import Happening, Status, happenings, status
from bayplan.model.base import Value
from bayplan.runtime import Cycle


class Seen(Value, frozen=True):
    """The cluster at its last cycle, and what happened since the last look."""

    status: Status
    queue: QueueView
    news: tuple[Happening, ...] = ()
    trouble: str = ""


class Watcher:
    """Hears every cycle of a loop and keeps what a picture needs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cycle: Cycle | None = None
        self._news: list[Happening] = []
        self.cycles = self.placed = self.evicted = self.findings = 0

    def __call__(self, cycle: Cycle) -> None:
        news = happenings(cycle.snapshot, cycle.plan, cycle.now_s) if cycle.applied else ()
        with self._lock:
            self._cycle = cycle
            self._news += news
            self.cycles += 1
            self.placed += sum(1 for h in news if h.what == "started")
            self.evicted += sum(1 for h in news if h.what == "evicted")
            self.findings += len(cycle.findings)

    @property
    def cycle(self) -> Cycle | None:
        return self._cycle

    def look(self, embedded: Embedded) -> Seen | None:
        """The cluster as of its last cycle; None before the first."""
        with self._lock:
            cycle, news = self._cycle, tuple(self._news)
            self._news = []
        if cycle is None:
            return None
        starts = embedded.forecaster.starts
        return Seen(
            status=status(cycle.snapshot, cycle.now_s),
            queue=queue_view(cycle.snapshot, cycle.plan, starts, now_s=cycle.now_s),
            news=news,
            trouble=embedded.hiccup,
        )
