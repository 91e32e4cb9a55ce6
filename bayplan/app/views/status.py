"""A cluster at a glance: how full each kind of node is, who waits longest, what just happened."""

from __future__ import annotations

from bayplan.app.cards import cards
from bayplan.app.views.map import Totals, short_model, totals
from bayplan.app.words import called, called_by_key, short_domain
from bayplan.model.base import Value
from bayplan.model.plan import Evict, Place, Plan
from bayplan.model.snapshot import Snapshot

POOL = "bayplan.dev/pool"


class Pool(Value, frozen=True):
    """Nodes of one group, or of one GPU model where no label names groups."""

    name: str
    model: str
    nodes: int
    totals: Totals


class Happening(Value, frozen=True):
    """Something a plan did: `what` is started or evicted."""

    at_s: int
    what: str
    name: str
    queue: str
    detail: str = ""


class Status(Value, frozen=True):
    now_s: int
    nodes: int
    totals: Totals
    pools: tuple[Pool, ...]
    waiting: int
    running: int
    teams: int


def status(snapshot: Snapshot, now_s: int) -> Status:
    """What stands where, summed up."""
    by_node = cards(snapshot)
    pools: dict[str, list[str]] = {}
    for name, listed in by_node.items():
        label = snapshot.nodes[name].labels.get(POOL) or short_model(listed[0].model)
        pools.setdefault(label, []).append(name)
    waiting = sum(1 for w in snapshot.workloads.values() if w.admission is None)
    return Status(
        now_s=now_s,
        nodes=len(snapshot.nodes),
        totals=totals(by_node.values()),
        pools=tuple(
            Pool(label, short_model(by_node[names[0]][0].model), len(names), totals(by_node[n] for n in names))
            for label, names in pools.items()
        ),
        waiting=waiting,
        running=len(snapshot.workloads) - waiting,
        teams=len(snapshot.cluster_queues),
    )


def happenings(snapshot: Snapshot, plan: Plan, now_s: int) -> tuple[Happening, ...]:
    """What carrying out this plan did, in its order; pods that follow an earlier start are no news."""
    found = []
    for decision in plan.decisions:
        match decision:
            case Place(workload=key) if snapshot.workloads[key].admission is None:
                nodes = len({p.node for p in decision.pods})
                where = decision.pods[0].node if nodes == 1 else f"{nodes} nodes"
                within = f" in {short_domain(decision.domain)}" if decision.domain and nodes > 1 else ""
                found.append(_happening(snapshot, key, now_s, "started", f"on {where}{within}"))
            case Evict(workload=key, preemptor=preemptor):
                detail = f"for {called_by_key(snapshot, preemptor)}" if preemptor else "as it could not be completed"
                found.append(_happening(snapshot, key, now_s, "evicted", detail))
    return tuple(found)


def _happening(snapshot: Snapshot, key: str, now_s: int, what: str, detail: str) -> Happening:
    workload = snapshot.workloads[key]
    return Happening(now_s, what, called(workload), workload.queue_name or workload.namespace, detail)
