"""What would become of a file's workloads: start now (where, ending whom) or wait (until when, what would help)."""

from __future__ import annotations

from bayplan.app.manifest import Added
from bayplan.app.views.why import Why, answer
from bayplan.app.words import called
from bayplan.core import decide
from bayplan.model.base import Value
from bayplan.model.plan import Evict
from bayplan.model.policy import Policy

AHEAD_MAX = 3  # workloads of a file whose start is looked for: equal ones would only repeat it
_LEAVING = "WaitingForPreemptedWorkloads"  # starts as soon as its victims are gone


class PlanView(Value, frozen=True):
    """`starts` if every workload of the file would start now. `evicted` are those that would be ended for them."""

    starts: bool
    answers: tuple[Why, ...]
    evicted: tuple[str, ...] = ()


def plan_view(added: Added, policy: Policy) -> PlanView:
    """What `decide` makes of the world with the file in it."""
    seen = added.observed
    plan = decide(seen.snapshot, policy, now_s=seen.now_s)
    answers = tuple(
        answer(seen, policy, plan, seen.snapshot.workloads[key], ahead=i < AHEAD_MAX)
        for i, key in enumerate(added.workloads)
    )
    evicted = (d for d in plan.decisions if isinstance(d, Evict) and d.preemptor in added.workloads)
    return PlanView(
        starts=all(a.state == "starting" or a.reason == _LEAVING for a in answers),
        answers=answers,
        evicted=tuple(called(seen.snapshot.workloads[d.workload]) for d in evicted),
    )
