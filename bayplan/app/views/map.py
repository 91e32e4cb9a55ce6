"""The bay plan: every GPU in its place, what is free of it, and the largest gang each level could still take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bayplan.app.cards import Card, cards, natural
from bayplan.app.views.waste import sums
from bayplan.model.base import Value
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot

_HOST = "kubernetes.io/hostname"
_MAKERS = ("NVIDIA", "AMD", "Intel", "Instinct", "HBM3", "HBM2e", "SXM4", "SXM5", "PCIe")  # no news in a product name


class Totals(Value, frozen=True):
    """Cards by state, and what became of their thousandths (see `views.waste.Sums`); `used_milli` is all that is held,
    `broken` whole free cards on nodes that somebody else uses too."""

    gpus: int = 0
    whole: int = 0
    slice: int = 0
    free: int = 0
    stranded: int = 0
    broken: int = 0
    used_milli: int = 0
    quantised_milli: int = 0
    oversized_milli: int = 0
    stranded_milli: int = 0
    idle_milli: int = 0

    @property
    def waste_milli(self) -> int:
        """Paid for, and of use to nobody."""
        return self.quantised_milli + self.oversized_milli + self.stranded_milli


class NodeRow(Value, frozen=True):
    name: str
    model: str
    cards: tuple[Card, ...]


class Rack(Value, frozen=True):
    """The nodes of one narrowest domain; `path` names it from the widest level down."""

    path: tuple[str, ...]
    nodes: tuple[NodeRow, ...]
    totals: Totals

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else "nodes"


class Gang(Value, frozen=True):
    """The most GPUs of one model on wholly free nodes of one domain of a level ("" = the whole fleet)."""

    level: str
    domain: str
    model: str
    gpus: int
    nodes: int


class MapView(Value, frozen=True):
    levels: tuple[str, ...]
    racks: tuple[Rack, ...]
    gangs: tuple[Gang, ...]
    totals: Totals
    teams: tuple[str, ...]


def map_view(snapshot: Snapshot, policy: Policy, *, rack: str = "") -> MapView:
    """The map of the fleet, or of the domains named `rack` (at any level). Raises KeyError if there is none."""
    levels = _levels(snapshot, policy)
    paths = {name: tuple(node.labels.get(level, "") for level in levels) for name, node in snapshot.nodes.items()}
    by_node = cards(snapshot)
    if rack:
        by_node = {name: listed for name, listed in by_node.items() if rack in (*paths[name], name)}
        if not by_node:
            raise KeyError(rack)
    rows: dict[tuple[str, ...], list[NodeRow]] = {}
    for name, listed in by_node.items():
        rows.setdefault(paths[name], []).append(NodeRow(name, short_model(listed[0].model), listed))
    racks = tuple(
        Rack(path, tuple(nodes), totals(n.cards for n in nodes)) for path, nodes in sorted(rows.items(), key=_by_path)
    )
    everyone = {s.team for listed in by_node.values() for c in listed for s in c.shares}
    return MapView(
        levels=tuple(level.rpartition("/")[2] for level in levels),
        racks=racks,
        gangs=_gangs(racks, levels),
        totals=totals(by_node.values()),
        teams=tuple(sorted(everyone)),
    )


def totals(nodes: Iterable[tuple[Card, ...]]) -> Totals:
    """The sums over some nodes' cards."""
    known = list(nodes)
    states = Counter(card.state for listed in known for card in listed)
    broken = sum(c.state == "free" for listed in known if any(c.shares for c in listed) for c in listed)
    spent = sums(card for listed in known for card in listed)
    return Totals(
        gpus=states.total(),
        whole=states["whole"],
        slice=states["slice"],
        free=states["free"],
        stranded=states["stranded"],
        broken=broken,
        used_milli=spent.held_milli,
        quantised_milli=spent.quantised_milli,
        oversized_milli=spent.oversized_milli,
        stranded_milli=spent.stranded_milli,
        idle_milli=spent.idle_milli,
    )


def short_model(product: str) -> str:
    """`H100 80GB` for `NVIDIA H100 80GB HBM3`."""
    words = product.replace("-", " ").split()
    kept = [w for w in words if w not in _MAKERS]
    return " ".join(kept) or product


def _levels(snapshot: Snapshot, policy: Policy) -> tuple[str, ...]:
    """Label keys that divide the fleet, from the widest to the narrowest, hosts left out."""
    named = [tuple(level.node_label for level in t.spec.levels) for _, t in sorted(snapshot.topologies.items())]
    chosen = max(named, key=len, default=()) or policy.levels
    labels = [n.labels for n in snapshot.nodes.values()]
    return tuple(level for level in chosen if level != _HOST and any(level in found for found in labels))


def racks_of(snapshot: Snapshot, policy: Policy) -> dict[str, str]:
    """The name of every node's narrowest domain, "" where nodes have none."""
    levels = _levels(snapshot, policy)
    return {name: node.labels.get(levels[-1], "") if levels else "" for name, node in snapshot.nodes.items()}


def _gangs(racks: tuple[Rack, ...], levels: tuple[str, ...]) -> tuple[Gang, ...]:
    """For every model: the best domain of each level, narrowest first, then the fleet."""
    free: dict[tuple[str, int, tuple[str, ...]], tuple[int, int]] = {}
    for rack in racks:
        for node in rack.nodes:
            if all(c.state == "free" for c in node.cards):
                for depth in range(len(levels) + 1):
                    key = node.model, depth, rack.path[:depth]
                    gpus, nodes = free.get(key, (0, 0))
                    free[key] = gpus + len(node.cards), nodes + 1
    best: dict[tuple[str, int], Gang] = {}
    for (model, depth, path), (gpus, nodes) in sorted(free.items()):
        found = best.get((model, depth))
        if found is None or gpus > found.gpus:
            level = levels[depth - 1].rpartition("/")[2] if depth else ""
            best[model, depth] = Gang(level, path[-1] if path else "", model, gpus, nodes)
    return tuple(best[key] for key in sorted(best, key=lambda k: (k[0], -k[1])))


def _by_path(row: tuple[tuple[str, ...], list[NodeRow]]) -> list[object]:
    return [natural(name) for name in row[0]]
