"""One scenario under several policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bayplan.clusters.simulator.result import Result
from bayplan.clusters.simulator.world import Progress, Scenario, World
from bayplan.core.score import PRICED_SCORES, SCORES
from bayplan.model.policy import Policy
from bayplan.runtime import Pricer

PRICES = "prices"
POLICIES = (*SCORES, PRICES)
"""What may be compared: every node score, and ours at prices."""


def score_of(name: str) -> str:
    """The node score that a policy of this name uses."""
    return next(iter(PRICED_SCORES)) if name == PRICES else name


def simulate(
    scenario: Scenario,
    scores: Sequence[str] = ("stranding",),
    *,
    policy: Policy | None = None,
    until_s: int = 0,
    cycle_s: int = 1,
    progress: Callable[[str, Progress], None] | None = None,
) -> tuple[Result, ...]:
    """The scenario under `policy` with each of these scores (of `POLICIES`), in turn.

    Runs until all work that can run has ended, or to `until_s`; decides at most every `cycle_s` seconds. `progress` is
    called with the score's name after every step. Raises ValueError for an unknown score before anything runs, and
    ImportError for prices without the `solver` extra.
    """
    for name in scores:
        if name not in POLICIES:
            raise ValueError(f"policy.score: expected one of {', '.join(sorted(POLICIES))}, got {name!r}")
    results = []
    for name in scores:
        chosen = msgspec.structs.replace(policy or Policy(), score=score_of(name))
        world = World(scenario, chosen, cycle_s=cycle_s, pricer=Pricer() if name == PRICES else None, named=name)
        report = None if progress is None else _named(progress, name)
        results.append(world.run(until_s, report))
    return tuple(results)


def _named(progress: Callable[[str, Progress], None], name: str) -> Callable[[Progress], None]:
    return lambda seen: progress(name, seen)
