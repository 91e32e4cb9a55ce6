"""The nodes, devices and trees of a snapshot, ready to answer a cycle's questions.

Two snapshots of one cluster mostly hold the same objects. What depends on nodes, devices and label keys alone is kept
for the last few such sets and found again by identity (a snapshot never changes), and who stands where is brought from
the last snapshot to this one by what differs. This is a memo of pure functions: nothing here changes an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from bayplan.core.allocate import Catalog
from bayplan.core.book import Book, ask_of
from bayplan.core.fleet import Fleet, Occupancy, ranks
from bayplan.core.history import QUEUED
from bayplan.core.needs import terms_of
from bayplan.core.place import Placer
from bayplan.core.score import LOSSES, PRICED_SCORES, SCORES, Score
from bayplan.core.stock import Mix
from bayplan.core.topology import Forest
from bayplan.core.worth import Worths
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodTemplate, Workload

T = TypeVar("T")
KEPT = 4  # clusters remembered: the live one and a few what-ifs with other nodes
SIGNATURES_MAX = 500_000  # node states remembered before the memo starts anew: about 200 MB


class _Site(NamedTuple):
    """One set of nodes and devices. It holds the objects it was found by, so their identities stay taken."""

    objects: tuple[object, ...]
    keys: frozenset[str]
    names: frozenset[str]
    catalog: Catalog
    epoch: int
    book: Book
    rank: Mapping[str, int]
    forest: Forest
    occupancy: Occupancy


_sites: dict[tuple[object, ...], _Site] = {}


def placer_for(
    snapshot: Snapshot,
    policy: Policy,
    asking: Iterable[Workload],
    otherwise: Iterable[Workload] = (),
    ran: Sequence[tuple[int, Workload]] = (),
) -> Placer:
    """A Placer over the snapshot for the workloads that ask, and for what some of them ask `otherwise`.

    They and what `ran`, with what a pod of it weighs, are the request mix. Raises ValueError for an unknown score.
    """
    asking = tuple(asking)
    weighed = [*((QUEUED if ran else 1, w) for w in asking), *ran]
    known = (*asking, *otherwise, *(w for _, w in ran))
    site = _site(snapshot, policy, tuple(s.template for w in known for s in w.pod_sets))
    weights: dict[int, int] = {}
    for weight, workload in weighed:
        terms = terms_of(workload, snapshot)
        for pod_set in workload.pod_sets:
            shape = site.book.shape(pod_set.template, terms)
            weights[shape] = weights.get(shape, 0) + weight * pod_set.count
    mix = tuple((weight, shape) for shape, weight in sorted(weights.items()))
    score = _score(snapshot, policy, site.book, mix)
    loss = LOSSES[policy.score](site.book, mix) if policy.score in LOSSES else None
    return Placer(Fleet(site.occupancy, site.rank), site.forest, score, mix, loss)


def _score(snapshot: Snapshot, policy: Policy, book: Book, mix: Mix) -> Score:
    plain = named(SCORES, "score", policy.score)
    if policy.prices is not None and policy.score in PRICED_SCORES:
        return PRICED_SCORES[policy.score](book, mix, Worths(book, snapshot.nodes, policy.prices))
    return plain(book, mix)


def named(known: Mapping[str, T], what: str, name: str) -> T:
    """The function a policy names. Raises ValueError that lists the names there are."""
    if name not in known:
        raise ValueError(f"policy.{what}: expected one of {', '.join(sorted(known))}, got {name!r}")
    return known[name]


def _site(snapshot: Snapshot, policy: Policy, templates: tuple[PodTemplate, ...]) -> _Site:
    objects = snapshot.nodes, snapshot.slices, snapshot.device_classes, snapshot.taint_rules, snapshot.topologies
    key = (
        *map(id, objects),
        policy.features,
        policy.allocate,
        policy.levels,
        policy.seed,
        policy.share_between_tenants,
    )
    keys, names = _selected_by(snapshot, templates)
    known = _sites.pop(key, None)
    catalog = _catalog(snapshot, policy) if known is None or known.book.size > SIGNATURES_MAX else known.catalog
    for template in templates:
        catalog.ask(ask_of(template))
    if known is None or known.catalog is not catalog:
        known = _new_site(snapshot, policy, objects, catalog, keys, names)
    elif known.epoch != catalog.epoch or not (keys <= known.keys and names <= known.names):
        known = _new_site(snapshot, policy, objects, catalog, keys | known.keys, names | known.names)
    site = known._replace(occupancy=known.occupancy.seeing(snapshot))
    _sites[key] = site
    while len(_sites) > KEPT:
        _sites.pop(next(iter(_sites)), None)
    return site


def _catalog(snapshot: Snapshot, policy: Policy) -> Catalog:
    return Catalog(
        snapshot.slices,
        snapshot.device_classes,
        snapshot.nodes,
        taint_rules=snapshot.taint_rules,
        features=policy.features,
        order=policy.allocate,
    )


def _new_site(
    snapshot: Snapshot,
    policy: Policy,
    objects: tuple[object, ...],
    catalog: Catalog,
    keys: frozenset[str],
    names: frozenset[str],
) -> _Site:
    resources = {r for n in snapshot.nodes.values() for r in n.allocatable}
    book = Book(catalog, resources, keys, names, mixing=policy.share_between_tenants)
    rank = ranks(snapshot.nodes, policy.seed)
    forest = Forest(snapshot.topologies, policy, snapshot.nodes, rank)
    return _Site(objects, keys, names, catalog, catalog.epoch, book, rank, forest, Occupancy(snapshot, book))


def _selected_by(snapshot: Snapshot, templates: Iterable[PodTemplate]) -> tuple[frozenset[str], frozenset[str]]:
    """The label keys, and the node names, that any of these templates or a flavor selects nodes by."""
    keys = {k for f in snapshot.flavors.values() for k in f.spec.node_labels}
    names: set[str] = set()
    for template in templates:
        keys |= {k for k, _ in template.node_selector}
        for term in template.node_affinity.node_selector_terms if template.node_affinity else ():
            keys |= {r.key for r in term.match_expressions}
            names |= {v for r in term.match_fields for v in r.values}
    return frozenset(keys), frozenset(names)
