"""Room kept for whoever has waited too long, so that a large gang is not overtaken by small pods for ever.

Whoever waits for longer than the policy allows, and has nobody before it whose room is being kept, is promised the
nodes where it could stand soonest: where the fewest of those that run have to end, known ends before unknown ones and
long ago started before new. Nobody later in the order starts on them, so they empty (Volcano's `sla` plugin; a
reservation of Slurm's backfill, without the filling back). The choice rests on who runs, not on the moment, so it stays
the same from cycle to cycle without anybody remembering it.
"""

from __future__ import annotations

from bayplan.core.place import Placement
from bayplan.core.preempt import Preemption, Preemptor, Running, least


def soonest(preemption: Preemption, asks: Preemptor) -> Placement | None:
    """Where it would stand once as few as possible of those that run have ended; None if not even without all."""
    ending = sorted(preemption.running, key=_end)
    size = least(len(ending), lambda n: preemption.room(asks, ending[:n]) is not None)
    return None if size is None else preemption.room(asks, ending[:size])


def _end(running: Running) -> tuple[bool, int, str]:
    workload = running.workload
    since_s = workload.admission.admitted_s if workload.admission else 0
    return not workload.runtime_s, since_s + workload.runtime_s, workload.key
