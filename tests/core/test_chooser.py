"""The heap of states finds the node that a look at every node finds, whatever was placed before."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.core.book import Option
from bayplan.core.fleet import Trial
from bayplan.core.place import Placer
from bayplan.core.setup import placer_for
from bayplan.model.policy import Policy
from tests.make import cluster


def by_looking_everywhere(placer: Placer, shape: int) -> tuple[str, Option] | None:
    found: tuple[int, str, Option] | None = None
    for node in placer.fleet.names:
        sig = placer.fleet.sigs[node]
        best = placer.chooser.best_option(sig, shape) if sig >= 0 else None
        if best is not None and (found is None or best[0] > found[0]):
            found = best[0], node, best[1]
    return found and found[1:]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=4, max_size=40))
def test_the_best_node(seed: int, steps: list[tuple[int, int]]) -> None:
    world = cluster("a=4 b=4 c=2 d=8:a100share e=4:a100share f=4:none", "w:1 x:2 y:12Gi z:2cpu")
    placer = placer_for(world, Policy(seed=seed), world.workloads.values())
    shapes = [placer.book.shape(w.pod_sets[0].template) for w in world.workloads.values()]
    for which, dice in steps:
        shape = shapes[which]
        chosen = placer.chooser.best_node(shape)
        assert chosen == by_looking_everywhere(placer, shape)
        if chosen is not None:
            trial = Trial(placer.fleet)
            trial.put(chosen[0], shape, chosen[1])
            placer.fleet.absorb(trial)
            if not dice:
                placer.fleet.close([chosen[0]])
