"""A cursor over the store's history: level-triggered readers poll it, threads wait on it.

There is no queue per watcher: the cursor is a resourceVersion, and a reader that falls behind the bounded history is
told so (ApiError 410) and lists anew, as with a real API server.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from bayplan.clusters.embedded.records import Change, Records


class Watch:
    """Changes of some resources after a version, in order; usable from one thread at a time."""

    def __init__(self, records: Records, resources: Sequence[str], since: int | None) -> None:
        self._records = records
        self._resources = tuple(resources)
        self._wakened = threading.Event()
        self._stop = records.listen(lambda version: self._wakened.set())
        self.version = records.committed if since is None else since

    def poll(self) -> list[Change]:
        """Everything new since the last call, oldest first, without waiting; ApiError 410 when too far behind."""
        with self._records.lock:
            self._wakened.clear()
            found: list[Change] = []
            for resource in self._resources:
                found += self._records.changes(resource, self.version)
            self.version = self._records.committed
        found.sort(key=lambda change: change.version)
        return found

    def wait(self, timeout_seconds: float | None = None) -> list[Change]:
        """As `poll`, but waits for something to happen; an empty list when the time is over."""
        if found := self.poll():
            return found
        self._wakened.wait(timeout_seconds)
        return self.poll()

    def close(self) -> None:
        self._stop()
        self._wakened.set()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
