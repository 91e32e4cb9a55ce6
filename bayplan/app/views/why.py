"""The answer to "why?", in the order every answer has: what it needs, the best there is, who holds the rest and until
when, when it starts, what would make it sooner."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from bayplan.app.observed import Ended, Observed
from bayplan.app.views.queue import positions_of, queue_of
from bayplan.app.words import called, called_by_key, calls, kind_of, plain, said, short_domain
from bayplan.core import asks, decide, is_never, says_apart
from bayplan.model.base import Value
from bayplan.model.plan import Hold, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.reason import AnyReason, Holder, TopologyPlacementFailed, WaitingForQuota
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, Workload
from bayplan.whatif import Remedy, Start, forecast, remedies

CLOSE_MAX = 4  # names offered for one that is not there


class Held(Value, frozen=True):
    """Who holds what is missing. `until_s` 0 = not known."""

    name: str
    queue: str
    amount: str
    until_s: int = 0


class Sooner(Value, frozen=True):
    """A change with which it would start now, or (`evicts`) as soon as those have gone; `lost_s` of work ends there."""

    change: str
    domain: str = ""
    evicts: tuple[str, ...] = ()
    lost_s: int = 0


class Spot(Value, frozen=True):
    """Pods and devices on one node."""

    node: str
    pods: int
    devices: tuple[str, ...] = ()


class Why(Value, frozen=True):
    """`state` is waiting, never, starting, running, succeeded or failed. Times are seconds, 0 = unknown.

    `apart` says which pods' devices are less close within their node than they might be.
    `early_s` is the earliest `start_s` could be; `after` are those that end before, the ones in its way first.
    """

    name: str
    kind: str
    namespace: str
    queue: str
    state: str
    now_s: int
    position: int = 0
    of: int = 0
    since_s: int = 0
    priority: int = 0
    reason: str = ""
    needs: str = ""
    best: str = ""
    also: tuple[str, ...] = ()
    holders: tuple[Held, ...] = ()
    start_s: int = 0
    early_s: int = 0
    after: tuple[str, ...] = ()
    sooner: tuple[Sooner, ...] = ()
    where: tuple[Spot, ...] = ()
    domain: str = ""
    ends_s: int = 0
    message: str = ""
    apart: tuple[str, ...] = ()


class Unknown(Value, frozen=True):
    """Nobody is called that; `close` are the names that come near."""

    name: str
    close: tuple[str, ...] = ()


def why_view(seen: Observed, policy: Policy, name: str, *, namespace: str = "") -> tuple[Why, ...] | Unknown:
    """The answers for everything called `name`, those that wait first; Unknown if there is nothing."""
    found = _named(seen.snapshot, name, namespace)
    ended = [e for e in seen.ended if _is_called(e, name) and namespace in ("", e.namespace)]
    if not found and not ended:
        return Unknown(name, _close(seen, name, namespace))
    plan = decide(seen.snapshot, policy, now_s=seen.now_s)
    order = {d.workload: i for i, d in enumerate(plan.decisions)}
    found.sort(key=lambda w: (order.get(w.key, len(order)), w.key))
    return (
        *(answer(seen, policy, plan, w) for w in found),
        *(_over(e, seen.now_s) for e in sorted(ended, key=lambda e: -e.ended_s)),
    )


# --- names --------------------------------------------------------------------------------------------------------


def _named(snapshot: Snapshot, name: str, namespace: str) -> list[Workload]:
    """Who is called that; else the pods of a Deployment that is."""
    wanted, pods = name.lower(), _pods(snapshot)
    there = [w for w in snapshot.workloads.values() if namespace in ("", w.namespace)]
    exact = [w for w in there if wanted in calls(w, tuple(pods.get(w.key, ())))]
    stem = wanted.removeprefix("deployment/") + "-"
    return exact or [w for w in there if kind_of(w) == "Pod" and called(w).startswith(stem)]


def _is_called(ended: Ended, name: str) -> bool:
    job = ended.owner.partition("/")[2]
    own = (job, ended.owner, ended.name, f"{ended.namespace}/{ended.name}", f"{ended.namespace}/{job}")
    return name.lower() in (text.lower() for text in own)


def _close(seen: Observed, name: str, namespace: str) -> tuple[str, ...]:
    known = [called(w) for w in seen.snapshot.workloads.values() if namespace in ("", w.namespace)]
    known += [e.owner.partition("/")[2] for e in seen.ended if namespace in ("", e.namespace)]
    return tuple(difflib.get_close_matches(name, sorted(dict.fromkeys(known)), CLOSE_MAX, cutoff=0.5))


def _pods(snapshot: Snapshot) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for _, pod in sorted(snapshot.pods.items()):
        found.setdefault(pod.workload, []).append(pod)
    return found


# --- one answer ---------------------------------------------------------------------------------------------------


def answer(seen: Observed, policy: Policy, plan: Plan, workload: Workload, *, ahead: bool = True) -> Why:
    """The answer for one workload of the snapshot that `plan` was made of; `ahead` looks for its start and remedies,
    which takes many decisions."""
    decision = next((d for d in plan.decisions if d.workload == workload.key and isinstance(d, Hold | Place)), None)
    base = _base(seen, workload)
    if isinstance(decision, Hold):
        held = _waiting(seen, plan, workload, decision, base)
        return _looking_ahead(seen, policy, workload, held) if ahead else held
    if isinstance(decision, Place):
        return msgspec.structs.replace(
            base,
            state="starting",
            start_s=seen.now_s,
            domain=short_domain(decision.domain),
            where=_spots((p.node, ()) for p in decision.pods),
            apart=_apart(decision),
        )
    admission = workload.admission
    assert admission is not None, "a workload without admission is placed or held"
    return msgspec.structs.replace(
        base,
        state="running",
        since_s=admission.admitted_s,
        ends_s=admission.admitted_s + workload.runtime_s if workload.runtime_s else 0,
        where=_bound(seen.snapshot, workload),
    )


def _base(seen: Observed, workload: Workload) -> Why:
    return Why(
        name=called(workload),
        kind=kind_of(workload),
        namespace=workload.namespace,
        queue=queue_of(workload),
        state="waiting",
        now_s=seen.now_s,
        since_s=workload.created_s,
        priority=workload.priority,
        needs=plain(asks(workload)),
    )


def _waiting(seen: Observed, plan: Plan, workload: Workload, hold: Hold, base: Why) -> Why:
    positions = positions_of(seen.snapshot, plan)
    rivals = (k for k in positions if queue_of(seen.snapshot.workloads[k]) == queue_of(workload))
    first = hold.reasons[0]
    return msgspec.structs.replace(
        base,
        state="never" if is_never(first) else "waiting",
        position=positions.get(workload.key, 0),
        of=sum(1 for _ in rivals),
        reason=str(type(first).__struct_config__.tag),
        best=_best(seen.snapshot, first),
        also=tuple(_best(seen.snapshot, r) for r in hold.reasons[1:]),
        holders=_holders(seen.snapshot, first),
    )


def _looking_ahead(seen: Observed, policy: Policy, workload: Workload, held: Why) -> Why:
    """The answer with its start and with what would make it sooner."""
    start = _start(seen, policy, workload) if held.state == "waiting" else None
    offers = remedies(seen.snapshot, policy, workload.key, now_s=seen.now_s) if workload.active else ()
    return msgspec.structs.replace(
        held,
        start_s=start.at_s if start else 0,
        early_s=start.early_s if start else 0,
        after=_in_the_way(seen.snapshot, held.holders, start.after if start else ()),
        sooner=tuple(_sooner(seen, offer) for offer in offers),
    )


def _in_the_way(snapshot: Snapshot, holders: Sequence[Held], ended: Sequence[str]) -> tuple[str, ...]:
    """Who ends before it starts: those that hold what it needs first."""
    named = [called_by_key(snapshot, key) for key in ended]
    first = [held.name for held in holders if held.name in named]
    return (*first, *(name for name in named if name not in first))


def _start(seen: Observed, policy: Policy, workload: Workload) -> Start | None:
    """As the scheduler wrote it, if it did; else found here by the same road."""
    written = seen.starts.get(workload.key)
    if written:
        return Start(written, written)
    return forecast(seen.snapshot, policy, now_s=seen.now_s, only=workload.key).get(workload.key)


def _best(snapshot: Snapshot, reason: AnyReason) -> str:
    """What there is, without the holders: those have lines of their own."""
    if isinstance(reason, TopologyPlacementFailed | WaitingForQuota):
        reason = msgspec.structs.replace(reason, holders=())
    return said(snapshot, reason)


def _holders(snapshot: Snapshot, reason: AnyReason) -> tuple[Held, ...]:
    if isinstance(reason, WaitingForQuota):
        resource = reason.resource
        return tuple(_held(snapshot, h, f"{_quota(h.amount, resource)} {resource}") for h in reason.holders)
    if isinstance(reason, TopologyPlacementFailed):
        return tuple(_held(snapshot, h, _devices(h.amount)) for h in reason.holders)
    return ()


def _held(snapshot: Snapshot, holder: Holder, amount: str) -> Held:
    return Held(called_by_key(snapshot, holder.workload), holder.queue, plain(amount), holder.until_s)


def _devices(count: int) -> str:
    return f"{count} device" if count == 1 else f"{count} devices"


def _quota(milli: int, resource: str) -> str:
    return f"{milli / 1000 / 2**30:.4g}Gi" if resource == "memory" else f"{milli / 1000:g}"


def _sooner(seen: Observed, offer: Remedy) -> Sooner:
    victims = [seen.snapshot.workloads[key] for key in offer.evicts if key in seen.snapshot.workloads]
    lost = [seen.now_s - w.admission.admitted_s for w in victims if w.admission and w.admission.admitted_s]
    return Sooner(
        offer.change,
        short_domain(offer.domain),
        tuple(called_by_key(seen.snapshot, k) for k in offer.evicts),
        sum(lost),
    )


def _bound(snapshot: Snapshot, workload: Workload) -> tuple[Spot, ...]:
    pods = [p for _, p in sorted(snapshot.pods.items()) if p.workload == workload.key and p.node]
    return _spots((p.node, _given(snapshot, p)) for p in pods)


def _given(snapshot: Snapshot, pod: Pod) -> tuple[str, ...]:
    """The devices of a pod, with the share it has of each."""
    found = []
    for _, key in pod.claims:
        claim = snapshot.claims.get(key)
        for given in claim.status.allocation.devices.results if claim and claim.status.allocation else ():
            share = ", ".join(f"{amount} {name}" for name, amount in sorted(given.consumed_capacity.items()))
            found.append(f"{given.device} ({share})" if share else given.device)
    return tuple(found)


def _spots(pods: Iterable[tuple[str, Sequence[str]]]) -> tuple[Spot, ...]:
    counts: dict[str, int] = {}
    devices: dict[str, tuple[str, ...]] = {}
    for node, given in pods:
        counts[node] = counts.get(node, 0) + 1
        devices[node] = devices.get(node, ()) + tuple(given)
    return tuple(Spot(node, count, devices[node]) for node, count in counts.items())


def _apart(place: Place) -> tuple[str, ...]:
    """What is to be said of devices that are apart, with the number of pods it holds for."""
    tally: dict[str, int] = {}
    for pod in place.pods:
        if pod.apart is not None:
            said = says_apart(pod.apart)
            tally[said] = tally.get(said, 0) + 1
    return tuple(
        f"{count} of {len(place.pods)} pods: {said}" if len(place.pods) > 1 else said for said, count in tally.items()
    )


def _over(ended: Ended, now_s: int) -> Why:
    kind, _, name = ended.owner.partition("/")
    return Why(
        name=name or ended.name,
        kind=kind,
        namespace=ended.namespace,
        queue=ended.queue,
        state="succeeded" if ended.succeeded else "failed",
        now_s=now_s,
        since_s=ended.created_s,
        ends_s=ended.ended_s,
        message=ended.message,
    )
