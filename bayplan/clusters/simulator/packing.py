"""How much of a fleet a node score fills: pods arrive one by one, stay for ever, and are dropped where none fits.

The method of the openb benchmark (Weng et al., USENIX ATC 2023): the trace's pods in a shuffled order, then pods drawn
from it until all requests together reach 1.3 times the fleet; allocation is read where the requests reach a given
percentage of the fleet. Every run is one `decide` over the whole queue, in order of arrival, or at prices one for every
tenth of the fleet that is asked for; nothing is placed by other code. Arrivals are shuffled by Python's generator, so
single runs differ from the published ones and their means do not.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from bayplan.clusters.simulator.openb import OpenbPod, capacity_milli, total_milli, workload_of
from bayplan.core.book import Book, Option
from bayplan.core.cycle import decide
from bayplan.core.fleet import Trial
from bayplan.core.setup import placer_for
from bayplan.model.base import Value
from bayplan.model.plan import Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Workload
from bayplan.runtime.patterns import Patterns
from bayplan.runtime.prices import Market, bound_milli, market

INFLATION_PERCENT = 130
REFRESHES = 10  # of the prices, while requests as large as the fleet arrive


class Packed(Value, frozen=True):
    """One run. `allocation` maps each percentage of requests to the percentage of GPU thousandths allocated."""

    placed: int
    dropped: int
    allocation: dict[int, float]


def arrivals(pods: Sequence[OpenbPod], capacity: int, seed: int, inflation: int = INFLATION_PERCENT) -> list[OpenbPod]:
    """The pods in order of arrival, redraws included. `capacity` in thousandths, `inflation` in percent."""
    rng = random.Random(seed)
    queue = list(pods)
    rng.shuffle(queue)
    limit = capacity * inflation // 100
    requested = total_milli(queue)
    while requested > limit:
        requested -= queue.pop(rng.randrange(len(queue))).total_milli
    while True:
        drawn = pods[rng.randrange(len(pods))]
        if requested + drawn.total_milli > limit:
            return queue
        requested += drawn.total_milli
        queue.append(drawn)


def pack(fleet: Snapshot, queue: Sequence[OpenbPod], policy: Policy) -> Packed:
    """Places the queue on the empty fleet under `policy`, whose seed fixes the order of nodes."""
    waiting = _workloads(queue)
    plan = decide(fleet.replace(workloads={w.key: w for w in waiting}), policy, now_s=len(waiting))
    placed = {d.workload for d in plan.decisions if isinstance(d, Place)}
    return measured(fleet, queue, lambda i: waiting[i].key in placed)


def pack_at_prices(
    fleet: Snapshot, queue: Sequence[OpenbPod], policy: Policy, make: Callable[..., Market] = market
) -> Packed:
    """The same with prices, made anew by `make` whenever another tenth of the fleet has been asked for.

    They are made for what every score knows as the mix, the whole queue. Raises ImportError without the solver extra.
    """
    waiting = _workloads(queue)
    placed: set[str] = set()
    known: Patterns = ()
    for start, end in _tenths(queue, capacity_milli(fleet)):
        asking, others = waiting[start:end], list(_held([*queue[:start], *queue[end:]]))
        prices, _, known = make(fleet, policy, [*asking, *others], known)
        priced = msgspec.structs.replace(policy, prices=prices)
        plan = decide(fleet.replace(workloads={w.key: w for w in (*asking, *others)}), priced, now_s=end)
        places = [d for d in plan.decisions if isinstance(d, Place)]
        after = fleet.replace(workloads={w.key: w for w in asking})
        fleet = after.carried_out(Plan(decisions=tuple(places)), now_s=end).replace(workloads={})
        placed.update(d.workload for d in places)
    return measured(fleet, queue, lambda i: waiting[i].key in placed)


def _held(pods: Iterable[OpenbPod]) -> Iterator[Workload]:
    """These pods as they count in the mix, and nowhere else: one held Workload for all of a kind."""
    kinds = Counter(pod._replace(name="", created_s=0, deleted_s=0) for pod in pods)
    for i, (kind, count) in enumerate(kinds.items()):
        one = workload_of(kind, name=f"others-{i:05d}")
        pod_set = msgspec.structs.replace(one.pod_sets[0], count=count)
        yield msgspec.structs.replace(one, pod_sets=(pod_set,), active=False)


def _tenths(queue: Sequence[OpenbPod], capacity: int) -> Iterator[tuple[int, int]]:
    """The queue in pieces that each ask for a tenth of the fleet."""
    start, requested = 0, 0
    for end, pod in enumerate(queue, start=1):
        requested += pod.total_milli
        if requested * REFRESHES >= capacity:
            yield start, end
            start, requested = end, requested - capacity // REFRESHES
    if start < len(queue):
        yield start, len(queue)


def upper_bound(fleet: Snapshot, queue: Sequence[OpenbPod], policy: Policy) -> float:
    """Percent of the empty fleet's GPUs that the first arrivals that ask for all of it can get at most, by the LP.

    Pods without GPUs are left out. Raises ImportError without the `solver` extra.
    """
    capacity, requested, asking = capacity_milli(fleet), 0, []
    for pod, workload in zip(queue, _workloads(queue), strict=True):
        requested += pod.total_milli
        if requested > capacity:
            break
        if pod.gpus:
            asking.append(workload)
    return 100 * bound_milli(fleet, policy, asking) / capacity


def pack_at_random(fleet: Snapshot, queue: Sequence[OpenbPod], policy: Policy, seed: int) -> Packed:
    """The same with every pod on any node that fits it, and on any GPU that fits it there."""
    rng = random.Random(seed)
    waiting = _workloads(queue)
    placer = placer_for(fleet, policy, waiting)
    book, nodes = placer.book, placer.fleet
    placed: set[int] = set()
    names = sorted(fleet.nodes)
    hopeless: set[int] = set()
    for i, workload in enumerate(waiting):
        shape = book.shape(workload.pod_sets[0].template)
        if shape in hopeless:
            continue
        for node in rng.sample(names, len(names)):
            options = book.options(nodes.sigs[node], shape)
            if options:
                trial = Trial(nodes)
                trial.put(node, shape, rng.choices(options, [_ways(book, nodes.sigs[node], o) for o in options])[0])
                nodes.absorb(trial)
                placed.add(i)
                break
        else:
            hopeless.add(shape)  # nobody leaves
    return measured(fleet, queue, placed.__contains__)


def _ways(book: Book, sig: int, option: Option) -> int:
    """How many GPUs of the node the option stands for: equal ones are one option."""
    free = Counter(book.view(sig).gpu_free_milli)
    drawn = free - Counter(book.view(option.after).gpu_free_milli)
    return max((free[amount] for amount in drawn), default=1)


def measured(fleet: Snapshot, queue: Sequence[OpenbPod], is_placed: Callable[[int], bool]) -> Packed:
    """Allocation by requests: the mean over the arrivals at which the requests round to each percentage."""
    capacity, requested, allocated, count = capacity_milli(fleet), 0, 0, 0
    sums: dict[int, tuple[int, int]] = {}
    for i, pod in enumerate(queue):
        requested += pod.total_milli
        if is_placed(i):
            allocated += pod.total_milli
            count += 1
        at = round(100 * requested / capacity)
        total, seen = sums.get(at, (0, 0))
        sums[at] = total + allocated, seen + 1
    shares = {at: 100 * total / seen / capacity for at, (total, seen) in sums.items()}
    return Packed(placed=count, dropped=len(queue) - count, allocation=shares)


def _workloads(queue: Sequence[OpenbPod]) -> list[Workload]:
    return [workload_of(pod, name=f"{pod.name}-{i:05d}", created_s=i) for i, pod in enumerate(queue)]
