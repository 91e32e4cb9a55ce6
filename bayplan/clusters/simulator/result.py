"""What a simulated run came to. Every figure is a function of the scenario, the policy and the seed."""

from __future__ import annotations

from collections.abc import Sequence

from bayplan.model.base import Value


class Spread(Value, frozen=True):
    """Some durations, in seconds."""

    mean_s: int = 0
    p50_s: int = 0
    p99_s: int = 0
    max_s: int = 0

    @staticmethod
    def of(durations: Sequence[int]) -> Spread:
        if not durations:
            return Spread()
        ranked = sorted(durations)

        def at(percent: int) -> int:
            return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]

        return Spread(mean_s=sum(ranked) // len(ranked), p50_s=at(50), p99_s=at(99), max_s=ranked[-1])


class QueueResult(Value, frozen=True):
    """The finished jobs of one namespace, and the waste of all that ran in it."""

    name: str
    finished: int
    wait: Spread
    gpu_hours: float
    waste: float


class Result(Value, frozen=True):
    """One run of a scenario under one policy.

    `utilisation` is GPU thousandths held over those there are, averaged over the time until the last arrival (before
    the queue drains) and `stranded` the part of free ones that the next job could not use, averaged over samples of the
    same time; both in percent. `cards` and `nodes` are GPUs and nodes with any work on them, averaged over the samples.
    `wait` is from arrival to the last start, `completion` from arrival to the end. `lost_gpu_hours` is work thrown away
    by evictions and by the nodes that failed under `interrupted` jobs, `waste` percent of what was held and not needed.
    """

    scenario: str
    policy: str
    jobs: int
    finished: int
    waiting: int
    running: int
    ended_s: int
    capacity_gpus: float
    utilisation: float
    stranded: float
    cards: float
    nodes: float
    waste: float
    gpu_hours: float
    lost_gpu_hours: float
    evictions: int
    cycles: int
    wait: Spread
    completion: Spread
    queues: tuple[QueueResult, ...] = ()
    interrupted: int = 0
