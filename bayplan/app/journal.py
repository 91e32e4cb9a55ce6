"""A journal that does not fill the disk: when it has grown enough it becomes the old one, and a new one begins."""

from __future__ import annotations

from pathlib import Path

from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.runtime import Journal

MAX_BYTES = 256 * 2**20  # some days of a busy fleet of a few hundred nodes


class BoundedJournal(Journal):
    """`path` and, once that has reached `max_bytes`, `old`: at most twice that much is kept.

    A new file begins with a whole snapshot, so each can be replayed alone.
    """

    def __init__(self, path: Path, old: Path, max_bytes: int = MAX_BYTES) -> None:
        """As `Journal`."""
        self._path, self._old, self._max_bytes = path, old, max_bytes
        super().__init__(path)

    def append(
        self, snapshot: Snapshot, policy: Policy, now_s: int, plan: Plan, findings: tuple[str, ...] = ()
    ) -> bool:
        if self._path.stat().st_size >= self._max_bytes:
            self.close()
            self._path.replace(self._old)
            super().__init__(self._path)
        return super().append(snapshot, policy, now_s, plan, findings)
