"""The two roads meet: the auditor has nothing against what `decide` decides, in any world, nor once it is done."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.firstfit import NoRoom
from tests.make import cluster

NODES = ("r1/a=4", "r1/b=4", "r2/c=4", "r2/d=2:a100share", "r3/e=1:a100mig", "r3/f=1:h100mig", "r3/g=4:plugin")
ASKS = (
    "1",
    "2",
    "4",
    "2x1",
    "2x4@rack",
    "2x2~rack",
    "3x2@host",
    "12Gi",
    "3x20Gi",
    "1g.10gb",
    "2x3g.40gb",
    "2gpu",
    "8cpu",
)
RUNNING = ("old:2!1@a", "team-b/two:4!2@b", "gang:2x2!3@rack@a,c", "svc:2x30Gi@d", "part:2g.20gb@e", "plug:3gpu@g")
QUEUES = ("", "team-a=6 team-b=4", "team-a=6@org team-b=4@org", "team-a=2@org team-b=12@org")

asks = st.lists(st.tuples(st.sampled_from(ASKS), st.integers(0, 4), st.booleans()), min_size=1, max_size=7)
running = st.lists(st.sampled_from(RUNNING), unique=True, max_size=4)


@settings(max_examples=50, deadline=None)
@given(wanted=asks, before=running, queues=st.sampled_from(QUEUES))
def test_every_plan_is_clean(wanted: list[tuple[str, int, bool]], before: list[str], queues: str) -> None:
    world = _world(wanted, before, queues)
    for _ in range(3):
        plan = decide(world, Policy(), now_s=1000)
        assert [str(finding) for finding in audit(world, Policy(), plan)] == []
        for evict in plan.evicted():
            world = world.without(evict.workload)
        for place in plan.placed():
            world = world.placing(place, now_s=1000)


def _world(wanted: list[tuple[str, int, bool]], before: list[str], queues: str) -> Snapshot:
    def queued(word: str, other: bool) -> str:
        name = word.partition("/")[2] or word
        return f"team-b/{name}" if queues and other else name

    pending = " ".join(queued(f"w{i}:{ask}!{p}", other) for i, (ask, p, other) in enumerate(wanted))
    try:
        held = " ".join(queued(word, word.startswith("team-b/")) for word in before)
        return cluster(" ".join(NODES), pending, running=held, queues=queues)
    except NoRoom:
        return cluster(" ".join(NODES), pending, queues=queues)
