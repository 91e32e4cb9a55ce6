"""The queue as a table: who waits, since when, for what, until when; and with `everything`, who runs."""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.app.words import called, kind_of, plain, said
from bayplan.core import asks, is_never
from bayplan.model.base import Value
from bayplan.model.plan import Hold, Place, Plan
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload


class QueueRow(Value, frozen=True):
    """`state` is waiting, never (something must change first), starting or running. Times are seconds, 0 = unknown.

    `position` counts from 1 within the queue, in the order in which the queue is considered; 0 for what runs.
    """

    workload: str
    name: str
    kind: str
    namespace: str
    queue: str
    state: str
    needs: str
    pods: int
    priority: int = 0
    position: int = 0
    since_s: int = 0
    start_s: int = 0
    ends_s: int = 0
    reason: str = ""
    why: str = ""


class QueueView(Value, frozen=True):
    now_s: int
    rows: tuple[QueueRow, ...]
    waiting: int
    running: int


def queue_view(
    snapshot: Snapshot,
    plan: Plan,
    starts: Mapping[str, int],
    *,
    now_s: int,
    namespace: str = "",
    everything: bool = False,
) -> QueueView:
    """Who waits (and with `everything`, who runs too). `plan` was made of this snapshot; `starts` are forecasts."""
    decided = {d.workload: d for d in plan.decisions if isinstance(d, Hold | Place)}
    positions = positions_of(snapshot, plan)
    rows = [
        _row(snapshot, workload, decided.get(key), positions.get(key, 0), starts.get(key, 0), now_s)
        for key, workload in snapshot.workloads.items()
    ]
    shown = [r for r in rows if not namespace or r.namespace == namespace]
    waiting = sorted((r for r in shown if r.position), key=lambda r: (r.queue, r.position, r.workload))
    running = sorted((r for r in shown if not r.position), key=lambda r: (r.queue, -r.since_s, r.workload))
    return QueueView(
        now_s=now_s,
        rows=tuple(running + waiting if everything else waiting),
        waiting=len(waiting),
        running=len(running),
    )


def positions_of(snapshot: Snapshot, plan: Plan) -> dict[str, int]:
    """Place in its queue of every workload without an admission, counted in the order of the plan."""
    counts: dict[str, int] = {}
    positions: dict[str, int] = {}
    for decision in plan.decisions:
        workload = snapshot.workloads.get(decision.workload)
        if isinstance(decision, Hold | Place) and workload and workload.admission is None:
            queue = queue_of(workload)
            positions[workload.key] = counts[queue] = counts.get(queue, 0) + 1
    return positions


def queue_of(workload: Workload) -> str:
    return workload.queue_name or workload.namespace


def _row(
    snapshot: Snapshot, workload: Workload, decision: Hold | Place | None, position: int, start_s: int, now_s: int
) -> QueueRow:
    reason = decision.reasons[0] if isinstance(decision, Hold) and decision.reasons else None
    admission = workload.admission
    if admission is not None:
        state = "running" if decision is None else "starting"
    elif isinstance(decision, Place):
        state, start_s = "starting", now_s
    else:
        state = "never" if reason is not None and is_never(reason) else "waiting"
    since_s = admission.admitted_s if admission else workload.created_s
    return QueueRow(
        workload=workload.key,
        name=called(workload),
        kind=kind_of(workload),
        namespace=workload.namespace,
        queue=queue_of(workload),
        state=state,
        needs=plain(asks(workload)),
        pods=workload.count,
        priority=workload.priority,
        position=position,
        since_s=since_s,
        start_s=start_s,
        ends_s=since_s + workload.runtime_s if admission and workload.runtime_s else 0,
        reason=type(reason).__struct_config__.tag if reason is not None else "",  # type: ignore[arg-type]
        why=said(snapshot, reason) if reason is not None else "",
    )
