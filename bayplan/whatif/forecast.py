"""When every waiting workload will start, if run times hold.

The forecast runs the cluster forward: it decides, lets the next running workloads end when their run time is over, and
decides again. The further off an end is, the coarser it is taken: nobody knows next week to the minute. Run times are
what workloads declare (or history taught, through `Workload.runtime_s`). A workload without one, such as a service, is
taken to stay, so whatever waits for it has no start.
"""

from __future__ import annotations

from bayplan.core import decide
from bayplan.model.base import Value
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload

STEPS_MAX = 48  # decisions a forecast may cost: with GRAIN_PERCENT enough for weeks
GRAIN_PERCENT = 20  # ends this close together, in per cent of their distance from now, are taken as one
HORIZON_S = 14 * 24 * 3600


class Start(Value, frozen=True):
    """`at_s` is seconds since the epoch, `early_s` the earliest it could be within the grain of the forecast.

    `after` are the workloads that have ended by then, in order of their ends.
    """

    at_s: int
    early_s: int
    after: tuple[str, ...] = ()


def forecast(
    snapshot: Snapshot, policy: Policy, *, now_s: int, only: str = "", steps: int = STEPS_MAX
) -> dict[str, Start]:
    """Starts by workload key; a workload that is missing has no start within the horizon.

    `only` ends the forecast as soon as that workload has its start.
    """
    starts: dict[str, Start] = {}
    ended: list[str] = []
    world, at_s, early_s = snapshot, now_s, now_s
    for _ in range(steps + 1):
        plan = decide(world, policy, now_s=at_s)
        waiting = {w.key for w in world.workloads.values() if not w.admission}
        world = world.carried_out(plan, now_s=at_s)
        for place in plan.placed():
            if place.workload in waiting and place.workload not in starts:
                starts[place.workload] = Start(at_s, early_s, tuple(ended))
        left = [w for w in world.workloads.values() if not w.admission and w.active]
        if only in starts or not left:
            break
        if plan.evicted():
            continue
        nearest = _next_ends(world, at_s, now_s)
        if not nearest or nearest[0][0] > now_s + HORIZON_S:
            break
        early_s, at_s = nearest[0][0], nearest[-1][0]
        ended += [key for _, key in nearest]
        world = world.without(*(key for _, key in nearest))
    return starts


def _next_ends(world: Snapshot, at_s: int, now_s: int) -> list[tuple[int, str]]:
    """(time, workload) of the next end and of those that follow it within the grain; [] if nothing will end."""
    ends = sorted((max(end, at_s + 1), w.key) for w in world.workloads.values() if (end := _end(w)))
    until_s = ends[0][0] + (ends[0][0] - now_s) * GRAIN_PERCENT // 100 if ends else 0
    return [found for found in ends if found[0] <= until_s]


def _end(workload: Workload) -> int:
    if workload.admission is None or not workload.runtime_s:
        return 0
    return workload.admission.admitted_s + workload.runtime_s
