"""Who is considered first. A policy names one of `ORDERS`; every key is total and ends in the workload's name."""

from __future__ import annotations

from collections.abc import Callable

from bayplan.model.workload import Workload

Key = tuple[int | str, ...]


def priority(workload: Workload) -> Key:
    """Priority, then age, then name: Kueue's order inside a ClusterQueue and Slurm's main loop."""
    return -workload.priority, workload.created_s, workload.key


def fifo(workload: Workload) -> Key:
    """Age, then name, whatever the priority."""
    return workload.created_s, workload.key


def smallest(workload: Workload) -> Key:
    """Fewest pods first within a priority: short queues drain fast, gangs may starve."""
    return -workload.priority, workload.count, workload.created_s, workload.key


ORDERS: dict[str, Callable[[Workload], Key]] = {"priority": priority, "fifo": fifo, "smallest": smallest}
