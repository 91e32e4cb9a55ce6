"""One scenario under several policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bayplan.clusters.simulator.result import Result
from bayplan.clusters.simulator.world import Progress, Scenario, World
from bayplan.core.score import SCORES
from bayplan.model.policy import Policy


def simulate(
    scenario: Scenario,
    scores: Sequence[str] = ("stranding",),
    *,
    policy: Policy | None = None,
    until_s: int = 0,
    cycle_s: int = 1,
    progress: Callable[[str, Progress], None] | None = None,
) -> tuple[Result, ...]:
    """The scenario under `policy` with each of these node scores (names in `bayplan.core.score.SCORES`), in turn.

    Runs until all work that can run has ended, or to `until_s`; decides at most every `cycle_s` seconds. `progress` is
    called with the score's name after every step. Raises ValueError for an unknown score before anything runs.
    """
    for name in scores:
        if name not in SCORES:
            raise ValueError(f"policy.score: expected one of {', '.join(sorted(SCORES))}, got {name!r}")
    results = []
    for name in scores:
        world = World(scenario, msgspec.structs.replace(policy or Policy(), score=name), cycle_s=cycle_s)
        report = None if progress is None else _named(progress, name)
        results.append(world.run(until_s, report))
    return tuple(results)


def _named(progress: Callable[[str, Progress], None], name: str) -> Callable[[Progress], None]:
    return lambda seen: progress(name, seen)
