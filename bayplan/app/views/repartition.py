"""How the cards that MIG cut beforehand would better be cut: the proposal of `whatif`, in people's names."""

from __future__ import annotations

from bayplan.app.words import called_by_key
from bayplan.model.base import Value
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.whatif import Relayout, repartition


class RepartitionView(Value, frozen=True):
    """`layouts` are the cards to cut anew ((): nothing better was found), `starts` who would start then and waits now,
    `delayed` the reverse, `gain_milli` thousandths of GPUs more at work.

    Of `static` cards `free` are in nobody's use; on `dynamic` nodes every plan picks partitions by itself.
    """

    layouts: tuple[Relayout, ...]
    starts: tuple[str, ...]
    delayed: tuple[str, ...]
    gain_milli: int
    static: int
    free: int
    dynamic: int
    waiting: int


def repartition_view(snapshot: Snapshot, policy: Policy, *, now_s: int) -> RepartitionView:
    """The proposal for the queue of this snapshot."""
    found = repartition(snapshot, policy, now_s=now_s)
    return RepartitionView(
        layouts=found.layouts,
        starts=tuple(called_by_key(snapshot, key) for key in found.starts),
        delayed=tuple(called_by_key(snapshot, key) for key in found.delayed),
        gain_milli=found.gain_milli,
        static=found.static,
        free=found.free,
        dynamic=found.dynamic,
        waiting=found.waiting,
    )
