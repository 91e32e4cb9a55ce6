"""Where a gang runs: all of its pods in one domain of the topology tree, or nothing.

For each pod set the candidates are tried best first: the tightest domain of the level asked for (so that wide domains
stay wide), then, where the level is only preferred, wider ones. Inside a domain the pods descend the tree into as few
narrower domains as possible: the widest first, the last one by best fit (Kueue's BestFit, KEP-2724, with the last
domain chosen for the smallest leftover). Pod sets that can go to fewer places are placed first, and a choice that
leaves no room for a later pod set is taken back by dropping its trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from bayplan.core.book import Option
from bayplan.core.chooser import Chooser
from bayplan.core.fleet import Fleet, Put, Trial
from bayplan.core.score import Loss, Score
from bayplan.core.spread import spread
from bayplan.core.stock import Mix
from bayplan.core.topology import HOSTNAME, Domain, Forest, Tree
from bayplan.model.node import NodeSelector
from bayplan.model.reason import TopologyPlacementFailed
from bayplan.model.workload import TopologyRequest

CANDIDATES_MAX = (
    8  # domains tried per pod set and level: a gang that fits none of the tightest rarely fits a looser one
)
TRIALS_MAX = 64  # trials per gang over all pod sets: bounds the search where pod sets compete for one domain


class Need(NamedTuple):
    """`pods` pods of `shape` for a pod set.

    `pinned` lists the nodes an earlier admission chose, one per pod. The pods may only go where every selector of
    `near` holds, and where the devices given to the needs numbered in `follows` can be reached.
    """

    pod_set: str
    shape: int
    pods: int
    topology: TopologyRequest = TopologyRequest()
    pinned: tuple[str, ...] = ()
    near: tuple[NodeSelector, ...] = ()
    follows: tuple[int, ...] = ()


class Placement(NamedTuple):
    """`puts` in the order of the needs' pods; `domain` is the domain of the gang's most constrained pod set."""

    trial: Trial
    puts: tuple[tuple[Put, ...], ...]
    domain: str


class Placer:
    """Placing for one cycle: the fleet, the trees, the node score in force, and the mix it was made for."""

    def __init__(self, fleet: Fleet, forest: Forest, score: Score, mix: Mix = (), loss: Loss | None = None) -> None:
        self.fleet, self.book, self.forest, self.mix = fleet, fleet.book, forest, mix
        self.chooser = Chooser(fleet, score, loss)
        self._failed: dict[tuple[Need, ...], TopologyPlacementFailed] = {}
        self._classes: dict[Domain, Counter[int]] = {}
        self._never: dict[Need, TopologyPlacementFailed | None] = {}
        self._reached: dict[tuple[NodeSelector, ...], frozenset[str]] = {}

    def place(self, needs: tuple[Need, ...]) -> Placement | TopologyPlacementFailed:
        """Every pod of every need, or why not. In a cycle the fleet only fills up, so a failure is remembered."""
        if needs in self._failed:
            return self._failed[needs]
        gang = _Gang(self, needs)
        found = gang.search(Trial(self.fleet))
        if found is not None:
            return found
        return self._failed.setdefault(needs, gang.why())

    def fit(self, needs: tuple[Need, ...], trial: Trial) -> Placement | None:
        """The same on top of a trial, without asking why not."""
        return _Gang(self, needs).search(trial)

    def room_if_empty(self, shape: int) -> Callable[[str], int]:
        """How many pods of the shape a node would hold if nothing ran there."""
        book, sigs = self.book, self.fleet.original
        return lambda node: book.count(book.empty(sigs[node]), shape)

    def empty_room(self, domain: Domain, shape: int) -> int:
        """The same for a whole domain."""
        book, known = self.book, self._classes.get(domain)
        if known is None:
            sigs = Counter(map(self.fleet.original.__getitem__, domain.nodes))
            known = self._classes[domain] = Counter()
            for sig, nodes in sigs.items():
                known[book.node_class_of(sig)] += nodes
        return sum(nodes * book.count(book.empty_of(cls), shape) for cls, nodes in known.items())

    def never(self, needs: tuple[Need, ...]) -> TopologyPlacementFailed | None:
        """Why a need could not be placed even if nothing ran, or None when each alone could."""
        for need in needs:
            if need not in self._never:
                self._never[need] = self._impossible(need)
            found = self._never[need]
            if found is not None:
                return found
        return None

    def _impossible(self, need: Need) -> TopologyPlacementFailed | None:
        level = need.topology.required
        tree = self.forest.tree(level) if level else self.forest.default
        found = explain_failure(self, need, Trial(self.fleet), tree, level)
        return None if found.ever else found

    def put_pinned(self, trial: Trial, need: Need) -> tuple[Put, ...] | None:
        """The need's pods on the nodes its admission chose; None when one of them cannot take its pod any more."""
        puts: list[Put] = []
        for node in need.pinned:
            reached = node in self.fleet.sigs and any(self.within_reach((node,), need.near))
            sig = trial.sig(node) if reached else -1
            best = self.chooser.best_option(sig, need.shape) if sig >= 0 else None
            if best is None:
                return None
            puts.append(trial.put(node, need.shape, best[1]))
        return tuple(puts)

    def put_all(self, trial: Trial, domain: Domain, tree: Tree, need: Need) -> tuple[Put, ...] | None:
        """The need's pods inside `domain`, on top of `trial`; None when they do not fit."""
        if need.pods == 1:
            chosen = self._best_node(trial, domain, need)
            return None if chosen is None else (trial.put(chosen[0], need.shape, chosen[1]),)
        counts = self.counts(trial, domain, need)
        if sum(counts.values()) < need.pods:
            return None
        puts: list[Put] = []
        for node, pods in spread(tree, domain, counts, need.pods):
            for left in reversed(range(pods)):
                option = self._next_option(trial.sig(node), need.shape, left)
                if option is None:
                    return None
                puts.append(trial.put(node, need.shape, option))
        return tuple(puts) if len(puts) == need.pods else None

    def _next_option(self, sig: int, shape: int, left: int) -> Option | None:
        """The best way to run one pod that leaves room for `left` more, as the first way of all does by its count."""
        best = self.chooser.best_option(sig, shape)
        if best is None or self.book.count(best[1].after, shape) >= left:
            return best and best[1]
        return self.book.options(sig, shape)[0]

    def _best_node(self, trial: Trial, domain: Domain, need: Need) -> tuple[str, Option] | None:
        shape = need.shape
        if not trial.touched and not domain.level and not need.near:
            return self.chooser.best_node(shape)
        found: tuple[int, str, Option] | None = None
        for node in self.within_reach(domain.nodes, need.near):
            sig = trial.sig(node)
            best = self.chooser.best_option(sig, shape) if sig >= 0 else None
            if best is not None and (found is None or best[0] > found[0]):
                found = best[0], node, best[1]
        return found and (found[1], found[2])

    def counts(self, trial: Trial, domain: Domain, need: Need) -> dict[str, int]:
        """Pods of this need each node of the domain holds."""
        book, shape = self.book, need.shape
        counts = dict.fromkeys(domain.nodes, 0) if need.near else {}
        by_sig: dict[int, int] = {}
        sig_of = trial.reader()
        for node in self.within_reach(domain.nodes, need.near):
            sig = sig_of(node)
            count = by_sig.get(sig)
            if count is None:
                count = by_sig[sig] = book.count(sig, shape) if sig >= 0 else 0
            counts[node] = count
        return counts

    def within_reach(self, nodes: tuple[str, ...], near: tuple[NodeSelector, ...]) -> Iterable[str]:
        if not near:
            return nodes
        if near not in self._reached:
            known = self.forest.nodes
            self._reached[near] = frozenset(
                name for name, node in known.items() if all(s.matches(name, node.labels) for s in near)
            )
        reached = self._reached[near]
        return [n for n in nodes if n in reached]


class _Gang:
    """The search for one gang."""

    def __init__(self, placer: Placer, needs: tuple[Need, ...]) -> None:
        self.placer, self.needs = placer, needs
        self.trials = 0
        self.failed: tuple[Need, Trial] | None = None

    def search(self, trial: Trial) -> Placement | None:
        found = self._pinned(trial) or self._place(self._order(trial), trial, {})
        if found is None:
            return None
        puts, domain, last = found
        return Placement(last, tuple(puts[i] for i in range(len(self.needs))), domain)

    def _pinned(self, trial: Trial) -> tuple[dict[int, tuple[Put, ...]], str, Trial] | None:
        if not all(len(n.pinned) == n.pods for n in self.needs):
            return None
        step = trial.child()
        puts: dict[int, tuple[Put, ...]] = {}
        for i, need in enumerate(self.needs):
            placed = self.placer.put_pinned(step, self._following(need, puts))
            if placed is None:
                return None
            puts[i] = placed
        return puts, "", step

    def _order(self, trial: Trial) -> tuple[int, ...]:
        """Pod sets with the fewest places first, so that a flexible one does not take a pinned one's node."""
        if len(self.needs) == 1:
            return (0,)
        root = self.placer.forest.default.root
        room = [sum(self.placer.counts(trial, root, n).values()) for n in self.needs]
        return tuple(
            sorted(
                range(len(room)),
                key=lambda i: (
                    bool(self.needs[i].follows),
                    not self.needs[i].topology.required,
                    room[i],
                    -self.needs[i].pods,
                    i,
                ),
            )
        )

    def _place(
        self, order: tuple[int, ...], trial: Trial, puts: dict[int, tuple[Put, ...]]
    ) -> tuple[dict[int, tuple[Put, ...]], str, Trial] | None:
        if not order:
            return puts, "", trial
        need = self._following(self.needs[order[0]], puts)
        followers = [n for n in self.needs if order[0] in n.follows]
        for tree, domain in self._candidates(need, followers, trial):
            self.trials += 1
            step = trial.child()
            placed = self.placer.put_all(step, domain, tree, need) if domain.nodes else None
            rest = None if placed is None else self._place(order[1:], step, puts | {order[0]: placed})
            if rest is not None:
                return rest[0], domain.name or rest[1], rest[2]
            if self.trials >= TRIALS_MAX:
                break
        if self.failed is None:
            self.failed = need, trial
        return None

    def _candidates(self, need: Need, followers: list[Need], trial: Trial) -> Iterator[tuple[Tree, Domain]]:
        for tree, domain in self._domains(need, trial):
            if followers:
                yield from ((tree, d) for d in self._one_by_one(domain, need, followers, trial))
            else:
                yield tree, domain

    def _one_by_one(self, domain: Domain, need: Need, followers: list[Need], trial: Trial) -> list[Domain]:
        """One node of each state and reach that could take the first pod: where its devices are, others have to follow.

        Those that hold everybody come first, for most devices are only there where they are.
        """
        placer = self.placer
        reach = placer.book.catalog.reach
        alike: dict[tuple[int, tuple[tuple[int, int], ...]], str] = {}
        for node in placer.within_reach(domain.nodes, need.near):
            alike.setdefault((trial.sig(node), reach(node)), node)
        found: list[tuple[bool, int, int, str]] = []
        for (sig, _), node in alike.items():
            best = placer.chooser.best_option(sig, need.shape) if sig >= 0 else None
            if best is not None:
                cramped = any(placer.book.count(best[1].after, f.shape) < f.pods for f in followers)
                found.append((cramped, -best[0], placer.fleet.rank[node], node))
        return [Domain(HOSTNAME, domain.path, (node,)) for *_, node in sorted(found)]

    def _domains(self, need: Need, trial: Trial) -> Iterator[tuple[Tree, Domain]]:
        forest, asked = self.placer.forest, need.topology
        if asked.required:
            tree, levels = forest.tree(asked.required), [asked.required]
        else:
            tree = forest.tree(asked.preferred) if asked.preferred else forest.default
            start = asked.preferred or (tree.levels[-1] if need.pods > 1 and tree.levels else "")
            levels = [*tree.upwards(start)] if start in tree.levels else [""]
        counts = self.placer.counts(trial, tree.root, need) if levels != [""] else {}
        for level in levels:
            yield from ((tree, d) for d in (_fitting(tree, level, need.pods, counts) if level else [tree.root]))

    def _following(self, need: Need, puts: dict[int, tuple[Put, ...]]) -> Need:
        """The need, confined to where the devices it shares with earlier needs can be reached, and to their domain."""
        heads = [puts[i][0] for i in need.follows]
        near = [a.node_selector for put in heads for a in put.allocations if a.node_selector is not None]
        level = need.topology.required
        for i, put in zip(need.follows, heads, strict=True):
            if level and self.needs[i].pod_set == need.pod_set:
                near += self.placer.forest.home(level, (put.node,))
        return need._replace(near=(*need.near, *near)) if near else need

    def why(self) -> TopologyPlacementFailed:
        """The first need that found no place, in numbers."""
        assert self.failed is not None, "only a search that failed is asked why"
        need, trial = self.failed
        level = need.topology.required
        tree = self.placer.forest.tree(level) if level else self.placer.forest.default
        return explain_failure(self.placer, need, trial, tree, level)


def _fitting(tree: Tree, level: str, pods: int, counts: Mapping[str, int]) -> list[Domain]:
    """Domains of a level that hold so many pods, tightest first."""
    sized = [(sum(map(counts.__getitem__, d.nodes)), d) for d in tree.domains(level)]
    fitting = sorted((s for s in sized if s[0] >= pods), key=lambda s: (s[0], s[1].path))
    return [d for _, d in fitting[:CANDIDATES_MAX]]


def explain_failure(placer: Placer, need: Need, trial: Trial, tree: Tree, level: str) -> TopologyPlacementFailed:
    """The numbers of a need that found no domain: the best one, what the nodes lack, and whether it could ever fit."""
    book = placer.book
    counts = placer.counts(trial, tree.root, need)
    domains = tree.domains(level)
    sized = [(sum(map(counts.__getitem__, d.nodes)), placer.empty_room(d, need.shape), d) for d in domains]
    ever = any(room >= need.pods for _, room, _ in sized)
    now, room, best = max(sized, key=lambda s: s[:2] if ever else (s[1], s[0]), default=(0, 0, tree.root))
    full = Counter(map(trial.reader(), (node for node in tree.root.nodes if not counts[node])))
    lacking: Counter[str] = Counter()
    for sig, nodes in full.items():
        lacking[book.cause(sig, need.shape) if sig >= 0 else "reserved"] += nodes
    return TopologyPlacementFailed(
        pod_set=need.pod_set,
        pods_needed=need.pods,
        pods_best=now if ever else room,
        level=level,
        domain=best.name,
        domains_examined=len(domains),
        nodes_examined=len(tree.root.nodes),
        ever=ever,
        lacking=tuple(sorted(lacking.items(), key=lambda c: (-c[1], c[0]))),
    )
