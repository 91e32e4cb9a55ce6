"""Room kept for whoever has waited too long, so that a large gang is not overtaken by small pods for ever.

Whoever waits for longer than the policy allows, and has nobody before it whose room is being kept, is promised the
nodes where it could stand soonest: where the fewest of those that run have to end, known ends before unknown ones and
long ago started before new. Nobody later in the order starts on them, so they empty (Volcano's `sla` plugin), but for
those that will have ended when the last of them does (the filling back of Slurm's backfill; Lifka's EASY, JSSPP 1995).
The choice rests on who runs, not on the moment, so it stays the same from cycle to cycle and nobody has to remember it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bayplan.core.fleet import Fleet, Trial
from bayplan.core.place import Placement
from bayplan.core.preempt import Preemption, Preemptor, Running, least


class Kept(NamedTuple):
    """Room that is kept: its nodes in the states they are in, the domain, and when they are empty (None: unknown)."""

    states: dict[str, int]
    domain: str
    empty_s: int | None

    def close(self, fleet: Fleet) -> None:
        """Takes the nodes out of the cycle, as they are now."""
        self.states.update((n, sig) for n in self.states if (sig := fleet.sigs[n]) >= 0)
        fleet.close(self.states)

    def spans(self, end_s: int) -> bool:
        """Whether whoever ends by then is gone before the room is wanted."""
        return self.empty_s is not None and end_s <= self.empty_s


def soonest(preemption: Preemption, asks: Preemptor) -> Kept | None:
    """Where it would stand once as few as possible of those that run have ended; None if not even without all."""
    ending = sorted(preemption.running, key=_end)
    size = least(len(ending), lambda n: preemption.room(asks, ending[:n]) is not None)
    found = None if size is None else preemption.room(asks, ending[:size])
    if found is None:
        return None
    nodes = _nodes(found)
    known = [_end(r) for r in ending[:size] if any(p.node in nodes for p in r.pods)]
    empty_s = max(at for _, at, _ in known) if known and not any(unknown for unknown, _, _ in known) else None
    return Kept(dict.fromkeys(sorted(nodes), -1), found.domain, empty_s)


def opened(fleet: Fleet, kept: Iterable[Kept]) -> Trial:
    """The fleet with this room open again."""
    trial = Trial(fleet)
    for each in kept:
        trial.sigs.update(each.states)
    return trial


def _nodes(found: Placement) -> set[str]:
    return {p.node for group in found.puts for p in group}


def _end(running: Running) -> tuple[bool, int, str]:
    workload = running.workload
    since_s = workload.admission.admitted_s if workload.admission else 0
    return not workload.runtime_s, since_s + workload.runtime_s, workload.key
