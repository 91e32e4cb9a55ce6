"""What ran of late: the part of the request mix that the queue does not show.

What was started lately is likely to be asked again. A workload that runs counts like one that waits when it has just
been admitted, half as much after the policy's half-life, and so on; those that have ended are in no snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest

from bayplan.model.workload import Workload

QUEUED = 1024
"""What a pod in the queue weighs, where anything that ran does."""

RECENT_MAX = 256  # workloads that count, the latest: what came before them has mostly decayed


def recent(admitted: Iterable[Workload], half_life_s: int, now_s: int) -> list[tuple[int, Workload]]:
    """The latest of these workloads with what each of their pods weighs."""
    latest = nsmallest(RECENT_MAX, (w for w in admitted if half_life_s > 0), key=lambda w: (-_since(w), w.key))
    weighed = [(_decayed(now_s - _since(w), half_life_s), w) for w in latest]
    return [(weight, w) for weight, w in weighed if weight]


def _since(workload: Workload) -> int:
    return workload.admission.admitted_s if workload.admission is not None else 0


def _decayed(age_s: int, half_life_s: int) -> int:
    """Halved for every half-life, and on a straight line in between: the same integers everywhere."""
    halvings, rest_s = divmod(max(0, age_s), half_life_s)
    whole = QUEUED >> min(halvings, QUEUED.bit_length())
    return whole - whole * rest_s // (2 * half_life_s)
