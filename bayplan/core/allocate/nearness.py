"""Where in its node a device is, and how far apart the devices of one pod are.

PCIe roots (KEP-4381) and NUMA nodes (KEP-6072) under every name that drivers publish, as one model. Either may be a
list: a group of cores is next to several roots, and close to a device at any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bayplan.core.allocate.asks import NUMA_NAMES, ROOT_NAMES, Ask, Need
from bayplan.core.allocate.board import Board, Choice, Slot
from bayplan.core.allocate.components import Template
from bayplan.core.allocate.constraints import lookup, values_of
from bayplan.core.allocate.offers import Offers

Places = frozenset[str]
"""PCIe roots, or NUMA nodes; empty where none is published."""

ROOT, NUMA = "pcieRoot", "numaNode"


class Spot(NamedTuple):
    roots: Places
    numas: Places

    def at(self, level: str) -> Places:
        return self.roots if level == ROOT else self.numas


class Part(NamedTuple):
    """What one request got, by the places it is at, and at the place that came closest: how many devices it wants, how
    many there would do, and how many of these are free."""

    claim: int
    request: str
    places: tuple[str, ...]
    wanted: int
    there: int
    free: int


class Separation(NamedTuple):
    """Devices of one pod that share no `level` (a PCIe root or a NUMA node) although they are few enough for it.

    `closest` is the place that comes nearest to serving all parts.
    """

    level: str
    closest: str
    parts: tuple[Part, ...]


def spot(template: Template) -> Spot:
    """Where devices of a template are. Meaningful while devices are told apart by what it reads."""
    return Spot(_places(template, ROOT_NAMES), _places(template, NUMA_NAMES))


def _places(template: Template, names: Iterable[str]) -> Places:
    for name in names:
        values = values_of(lookup(template.driver, template.device, name), lists=True)
        if values is not None:
            # The kernel's -1 is a NUMA node that nobody knows.
            return frozenset(str(value) for _, value in values if value != -1)
    return frozenset()


def touched(spots: Iterable[Places]) -> tuple[str, ...]:
    """The fewest places of which every device is at one; devices at a single place decide first."""
    known = [places for places in spots if places]
    chosen = {next(iter(places)) for places in known if len(places) == 1}
    open_ = [places for places in known if chosen.isdisjoint(places)]
    while open_:
        tally: dict[str, int] = {}
        for place in sorted(place for places in open_ for place in places):
            tally[place] = tally.get(place, 0) + 1
        best = max(tally, key=tally.__getitem__)
        chosen.add(best)
        open_ = [places for places in open_ if best not in places]
    return tuple(sorted(chosen))


class Map:
    """The places of a board. `by_root`: PCIe roots count, because devices of several sorts are asked for together."""

    def __init__(self, board: Board, *, by_root: bool) -> None:
        self._board, self._by_root = board, by_root
        self._spots: dict[int, Spot] = {}

    def spot(self, template: Template) -> Spot:
        known = self._spots.get(template.id)
        if known is None:
            found = spot(template)
            known = self._spots[template.id] = found if self._by_root else found._replace(roots=frozenset())
        return known

    def places(self, level: str) -> list[str]:
        """Every place of the board, by name."""
        templates = {t.id: t for state, _ in self._board.slots for t in state.kind.templates}
        return sorted({place for t in templates.values() for place in self.spot(t).at(level)})

    def chosen(self, choices: Sequence[Choice]) -> list[Spot]:
        return [self.spot(self._template(c)) for c in choices]

    def apart(self, choices: Sequence[Choice]) -> tuple[int, int]:
        """How many PCIe roots and NUMA nodes the devices are at. Roots matter between drivers: a GPU and its NIC."""
        spots = self.chosen(choices)
        drivers = {self._template(c).driver for c, s in zip(choices, spots, strict=True) if s.roots}
        roots = touched(s.roots for s in spots) if len(drivers) > 1 else ()
        return len(roots), len(touched(s.numas for s in spots))

    def _template(self, choice: Choice) -> Template:
        return self._board.slots[choice.slot].state.kind.templates[choice.device]

    def within(self, level: str, place: str, *, empty: bool = False) -> Board:
        """What of the board is at a place (`""` = at none that is known), as it is or as if nothing were taken."""
        slots = []
        for state, mask in self._board.slots:
            spots = (self.spot(t).at(level) for t in state.kind.templates)
            here = sum(1 << i for i, at in enumerate(spots) if (place in at if place else not at))
            if mask & here:
                slots.append(Slot(state.kind.root if empty else state, mask & here))
        return self._board._replace(slots=tuple(slots))


def separation(offers: Offers, ask: Ask, board: Board, choices: Sequence[Choice]) -> Separation | None:
    """How far apart the chosen devices are where that is further than their number makes them."""
    if any(c.need.every or c.need.admin for c in choices):
        return None
    places = Map(board, by_root=ask.mixed())
    for level, count in zip((ROOT, NUMA), places.apart(choices), strict=True):
        if count > 1 and not any(c.distinct and c.attribute.endswith(level) for c in ask.constraints):
            found = _separated(offers, places, level, count, choices)
            if found is not None:
                return found
    return None


def _separated(offers: Offers, places: Map, level: str, count: int, choices: Sequence[Choice]) -> Separation | None:
    by_need: dict[Need, list[Choice]] = {}
    for choice in choices:
        by_need.setdefault(choice.need, []).append(choice)
    known = places.places(level)
    there = {need: {p: offers.tally(need, places.within(level, p, empty=True)) for p in known} for need in by_need}
    if count <= _fewest(there, by_need):
        return None
    free = {need: {p: offers.tally(need, places.within(level, p)) for p in known} for need in by_need}

    spots = places.chosen(choices)

    def nearness(place: str) -> tuple[int, int, int, int]:
        """Requests that the place could serve were it free, those it serves now, devices, and whether any are there."""
        wanted = [(len(mine), free[need][place], there[need][place]) for need, mine in by_need.items()]
        served, now = sum(t >= w for w, _, t in wanted), sum(f >= w for w, f, _ in wanted)
        return served, now, sum(min(w, f) for w, f, _ in wanted), sum(place in s.at(level) for s in spots)

    closest = max(known, key=nearness)
    parts = tuple(
        Part(
            need.claim,
            need.name.partition("/")[0],
            touched(s.at(level) for s in places.chosen(mine)),
            len(mine),
            there[need][closest],
            free[need][closest],
        )
        for need, mine in by_need.items()
        if any(s.at(level) for s in places.chosen(mine))
    )
    return Separation(level, closest, parts)


def _fewest(there: Mapping[Need, Mapping[str, int]], by_need: Mapping[Need, Sequence[Choice]]) -> int:
    """The fewest places that hold as many devices as are wanted, sort by sort, were nothing taken."""
    wanted: dict[object, int] = {}
    for need, mine in by_need.items():
        wanted[need.key] = wanted.get(need.key, 0) + len(mine)
    held = {need.key: sorted(at.values(), reverse=True) for need, at in there.items()}
    fewest = 1
    for key, missing in wanted.items():
        if sum(held[key]) >= missing:
            total = places = 0
            while total < missing:
                total, places = total + held[key][places], places + 1
            fewest = max(fewest, places)
    return fewest
