"""What keeps one user of a device from another, in three classes; who asks for one says it by annotation.

A pod template states the least it accepts, a ClusterQueue or LocalQueue the least it demands of all its work.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

ANNOTATION = "bayplan.dev/isolation"
"""On a pod template, a ClusterQueue or a LocalQueue; its value is one of the classes."""


class Isolation(StrEnum):
    """Strongest first. As a demand, `none` is no demand."""

    HARDWARE = "hardware"
    MEMORY_LIMIT = "memory-limit"
    NONE = "none"

    def satisfies(self, least: Isolation) -> bool:
        """Whether it is at least as strong."""
        return _STRENGTH[self] >= _STRENGTH[least]


_STRENGTH = {Isolation.HARDWARE: 2, Isolation.MEMORY_LIMIT: 1, Isolation.NONE: 0}


def strongest(found: Iterable[Isolation]) -> Isolation:
    """The strongest of several demands; `none` without any."""
    return max(found, key=_STRENGTH.__getitem__, default=Isolation.NONE)


def weakest(found: Iterable[Isolation]) -> Isolation:
    """What several devices isolate together; `hardware` without any."""
    return min(found, key=_STRENGTH.__getitem__, default=Isolation.HARDWARE)
