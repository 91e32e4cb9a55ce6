"""How GPUs that MIG cut beforehand would better be cut, for the work that waits now.

A proposal, never an act: to cut a card anew its driver must let go of it, so only cards on which nobody has a piece are
considered (pieces of pods that are leaving count as free). What a layout is worth is not estimated: `decide` places the
queue on the changed snapshot. The search tries every layout for all cards at once, then improves card by card with
those that serve somebody who still waits, and last takes back every change that was not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from bayplan.core import decide
from bayplan.model.base import Value
from bayplan.model.device import Device, DeviceAttribute, DeviceCapacity, ResourceSlice
from bayplan.model.mig import MEMORY_SLICES, Packing, Placed, Profile, packings, profiles_of
from bayplan.model.plan import Place
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.snapshot import Snapshot

TRIES_MAX = 240  # decisions a proposal may cost
MEDIA = "+me"  # profiles with the media engines, of which a card has one set: only where somebody names them

CardId = tuple[str, str, str]
"""(driver, pool, UUID of the parent)."""


class Relayout(Value, frozen=True):
    """One card and the profiles it has and should have, by memory slice."""

    node: str
    card: str
    parent: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class Repartition(Value, frozen=True):
    """What to cut anew, and what that would let start: `starts` are workloads that wait without it, `delayed` those
    that would start without it and then wait.

    `gain_milli` are thousandths of GPUs more that are put to work. `free` of the `static` cards (cut beforehand) could
    be cut anew, `dynamic` nodes have partitions that every plan picks anyway. `waiting` workloads wait now.
    """

    layouts: tuple[Relayout, ...] = ()
    starts: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()
    gain_milli: int = 0
    static: int = 0
    free: int = 0
    dynamic: int = 0
    waiting: int = 0


class _Card(NamedTuple):
    """A card that may be cut anew; `pieces` are what it has, in the slice `home`."""

    id: CardId
    node: str
    home: str
    pieces: tuple[Device, ...]
    profiles: tuple[Profile, ...]

    @property
    def name(self) -> str:
        return self.pieces[0].name.partition("-mig-")[0]


class _Outcome(NamedTuple):
    """What a world lets start, and thousandths of the cards in question that it uses."""

    starts: tuple[str, ...]
    used_milli: int

    @property
    def worth(self) -> int:
        return len(self.starts)

    @property
    def thrift(self) -> tuple[int, int]:
        """Of two that let equally many start, the one that takes less for it leaves more for the next."""
        return self.worth, -self.used_milli


Layouts = Mapping[CardId, Packing]
"""Cards that are cut anew; the others stay as they are."""


def repartition(snapshot: Snapshot, policy: Policy, *, now_s: int) -> Repartition:
    """The layout of the free cards that lets most of the waiting workloads start; without `layouts` none is better."""
    world = _left_alone(snapshot)
    cards = _cards(world)
    free = [card for card in cards if card.profiles and not _in_use(world, card)]
    waiting = [w.key for w in world.workloads.values() if w.admission is None and w.active]
    found = Repartition(static=len(cards), free=len(free), dynamic=_dynamic(world), waiting=len(waiting))
    if not free or not waiting:
        return found
    search = _Search(world, policy, now_s, free)
    chosen = search.best()
    before, after = search.outcome({}), search.outcome(chosen)
    if not chosen:
        return found
    return msgspec.structs.replace(
        found,
        layouts=tuple(_relayout(card, chosen[card.id]) for card in free if card.id in chosen),
        starts=tuple(key for key in after.starts if key not in before.starts),
        delayed=tuple(key for key in before.starts if key not in after.starts),
        gain_milli=after.used_milli - before.used_milli,
    )


class _Search:
    """Tries layouts of some cards; every answer is a decision on a changed snapshot, made once."""

    def __init__(self, world: Snapshot, policy: Policy, now_s: int, cards: list[_Card]) -> None:
        self._world, self._policy, self._now_s, self._cards = world, policy, now_s, cards
        self._known: dict[tuple[tuple[CardId, Packing], ...], _Outcome] = {}
        self._media = any(MEDIA in str(s) for w in world.workloads.values() for s in w.pod_sets)

    def best(self) -> dict[CardId, Packing]:
        """The best that was found within the budget; {} if nothing beats the cards as they are."""
        ranked = self._uniform()
        chosen = max({}, *ranked[:1], key=lambda layouts: self.outcome(layouts).worth)
        return self._needed(self._climbed(chosen, ranked))

    def outcome(self, layouts: Layouts) -> _Outcome:
        key = tuple(sorted(layouts.items(), key=lambda item: item[0]))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._tried(layouts)
        return known

    def _tried(self, layouts: Layouts) -> _Outcome:
        world = _recut(self._world, self._cards, layouts)
        plan = decide(world, self._policy, now_s=self._now_s)
        placed = [d for d in plan.placed() if world.workloads[d.workload].admission is None]
        sizes = {
            (card.id[0], card.id[1], device.name): _width(device) * 1000 // MEMORY_SLICES
            for card in self._cards
            for device in _devices(card, layouts.get(card.id))
        }
        return _Outcome(tuple(d.workload for d in placed), sum(_used(d, sizes) for d in placed))

    def _uniform(self) -> list[dict[CardId, Packing]]:
        """All cards of a sort cut alike, in every way there is; best first."""
        sorts = dict.fromkeys(card.profiles for card in self._cards)
        tried: list[dict[CardId, Packing]] = []
        for profiles in sorts:
            offered = tuple(p for p in profiles if self._media or MEDIA not in p.name)
            for packing in packings(offered):
                tried.append({c.id: packing for c in self._cards if c.profiles == profiles})
        return sorted(tried, key=lambda layouts: self.outcome(layouts).thrift, reverse=True)

    def _climbed(self, chosen: dict[CardId, Packing], others: Iterable[Layouts]) -> dict[CardId, Packing]:
        """Improved one card at a time by layouts under which somebody starts who still waits, as far as the budget
        goes."""
        offers = list(others)
        for card in self._cards:
            for layouts in offers:
                if len(self._known) >= TRIES_MAX:
                    return chosen
                started = frozenset(self.outcome(chosen).starts)
                if card.id in layouts and not started.issuperset(self.outcome(layouts).starts):
                    changed = chosen | {card.id: layouts[card.id]}
                    if self.outcome(changed).worth > self.outcome(chosen).worth:
                        chosen = changed
        return chosen

    def _needed(self, chosen: dict[CardId, Packing]) -> dict[CardId, Packing]:
        """Without the changes that let nothing more start."""
        for card in self._cards:
            fewer = {id: packing for id, packing in chosen.items() if id != card.id}
            if card.id in chosen and self.outcome(fewer).worth >= self.outcome(chosen).worth:
                chosen = fewer
        return chosen


def _left_alone(snapshot: Snapshot) -> Snapshot:
    """The world once the pods that are leaving have left."""
    staying = {key: pod for key, pod in snapshot.pods.items() if not pod.terminating}
    if len(staying) == len(snapshot.pods):
        return snapshot
    kept = {claim for pod in staying.values() for _, claim in pod.claims}
    dropped = {c for k, pod in snapshot.pods.items() if k not in staying for _, c in pod.claims if c not in kept}
    return snapshot.replace(pods=staying, claims={k: c for k, c in snapshot.claims.items() if k not in dropped})


def _cards(snapshot: Snapshot) -> list[_Card]:
    """The cards that were cut before their driver started, in the order they are announced."""
    pieces: dict[CardId, list[Device]] = {}
    homes: dict[CardId, ResourceSlice] = {}
    for found in snapshot.slices:
        spec = found.spec
        for device in spec.devices:
            parent = _text(device, "parentUUID")
            if parent and spec.node_name and not device.consumes_counters:
                id = spec.driver, spec.pool.name, parent
                homes.setdefault(id, found)
                pieces.setdefault(id, []).append(device)
    return [
        _Card(id, homes[id].spec.node_name, homes[id].metadata.name, tuple(own), _known_profiles(own))
        for id, own in pieces.items()
    ]


def _known_profiles(pieces: Iterable[Device]) -> tuple[Profile, ...]:
    """The card's profiles; () where its table is not known, or lacks one that it has: then it is left alone."""
    own = list(pieces)
    profiles = profiles_of(_text(own[0], "productName"))
    names = [p.name for p in profiles]
    return profiles if all(_text(d, "profile") in names for d in own) else ()


def _in_use(snapshot: Snapshot, card: _Card) -> bool:
    names = frozenset(d.name for d in card.pieces)
    results = (r for c in snapshot.claims.values() if c.status.allocation for r in c.status.allocation.devices.results)
    return any((r.driver, r.pool) == card.id[:2] and r.device in names for r in results)


def _dynamic(snapshot: Snapshot) -> int:
    """Nodes whose driver makes partitions on demand."""
    nodes = (
        s.spec.node_name for s in snapshot.slices for d in s.spec.devices if d.consumes_counters and _text(d, "profile")
    )
    return len(dict.fromkeys(nodes))


def _recut(world: Snapshot, cards: Iterable[_Card], layouts: Layouts) -> Snapshot:
    """The world with these cards cut anew, what they had taken away."""
    changed = [card for card in cards if card.id in layouts]
    gone = {(*card.id[:2], d.name) for card in changed for d in card.pieces}
    homes: dict[str, list[Device]] = {}
    for card in changed:
        homes.setdefault(card.home, []).extend(_devices(card, layouts[card.id]))
    touched = {(card.id[0], card.id[1]) for card in changed}
    return world.replace(
        slices=tuple(
            _with_devices(s, gone, homes.get(s.metadata.name, ()))
            if (s.spec.driver, s.spec.pool.name) in touched
            else s
            for s in world.slices
        )
    )


def _with_devices(found: ResourceSlice, gone: set[tuple[str, str, str]], made: Iterable[Device]) -> ResourceSlice:
    spec = found.spec
    kept = (d for d in spec.devices if (spec.driver, spec.pool.name, d.name) not in gone)
    return msgspec.structs.replace(found, spec=msgspec.structs.replace(spec, devices=(*kept, *made)))


def _devices(card: _Card, packing: Packing | None) -> tuple[Device, ...]:
    """What the card announces: what it has, or what it would have when cut like this."""
    return card.pieces if packing is None else tuple(_device(card, placed) for placed in packing)


def _device(card: _Card, placed: Placed) -> Device:
    """A partition as the driver announces it; the UUID of an instance is known only once it exists."""
    like, profile = card.pieces[0], placed.profile
    attributes = {n: a for n, a in like.attributes.items() if n.rpartition("/")[2] != "uuid"}
    attributes |= {n: DeviceAttribute(string=profile.name) for n in attributes if n.rpartition("/")[2] == "profile"}
    engines = profile.engines
    capacity = {
        "memory": f"{profile.memory_mib}Mi",
        "multiprocessors": str(engines.multiprocessors),
        "copyEngines": str(engines.copy_engines),
        "decoders": str(engines.decoders),
        "encoders": "0",
        "jpegEngines": str(engines.jpeg_engines),
        "ofaEngines": str(engines.ofa_engines),
    } | {f"memorySlice{i}": "1" for i in range(placed.start, placed.start + profile.width)}
    short = profile.name.replace(".", "").replace("+", "-")
    return msgspec.structs.replace(
        like,
        name=f"{card.name}-mig-{short}-{profile.number}-{placed.start}",
        attributes=attributes,
        capacity={name: DeviceCapacity(value=Quantity.parse(amount)) for name, amount in capacity.items()},
    )


def _relayout(card: _Card, packing: Packing) -> Relayout:
    before = sorted(card.pieces, key=lambda d: int(tail) if (tail := d.name.rpartition("-")[2]).isdigit() else 0)
    return Relayout(
        node=card.node,
        card=card.name,
        parent=card.id[2],
        before=tuple(_text(d, "profile") for d in before),
        after=tuple(placed.profile.name for placed in packing),
    )


def _used(place: Place, sizes: Mapping[tuple[str, str, str], int]) -> int:
    results = (r for pod in place.pods for claim in pod.claims for r in claim.allocation.devices.results)
    return sum(sizes.get((r.driver, r.pool, r.device), 0) for r in results)


def _width(device: Device) -> int:
    """Memory slices a piece has, by its profile."""
    name, product = _text(device, "profile"), _text(device, "productName")
    return next((p.width for p in profiles_of(product) if p.name == name), 0)


def _text(device: Device, name: str) -> str:
    """A string attribute by its name, with the driver's domain or without."""
    return next((a.string for n, a in device.attributes.items() if n.rpartition("/")[2] == name), None) or ""
