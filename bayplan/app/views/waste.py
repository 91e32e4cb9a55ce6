"""Where the silicon goes: every thousandth of every GPU is needed, given beyond need, out of reach, or idle.

The five sums make exactly all there is. The map counts with the same `sums`, so the two never disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bayplan.app.cards import Card, Share, cards
from bayplan.app.words import called_by_key, said
from bayplan.model.base import Value
from bayplan.model.plan import Plan
from bayplan.model.snapshot import Snapshot

BY = ("node", "rack", "team", "workload")
NOBODY = ""
"""The row of what nobody holds, where rows are holders."""


class Sums(Value, frozen=True):
    """Thousandths of GPUs.

    `needed_milli` is held and needed, as far as the holder says. `quantised_milli` is the rest of slices larger than
    what was asked (12Gi asked, 19.5Gi got), `oversized_milli` the rest of whole GPUs where less was asked.
    `stranded_milli` is free where nothing can use it, `idle_milli` free for the next that comes.
    """

    needed_milli: int = 0
    quantised_milli: int = 0
    oversized_milli: int = 0
    stranded_milli: int = 0
    idle_milli: int = 0

    @property
    def held_milli(self) -> int:
        return self.needed_milli + self.quantised_milli + self.oversized_milli

    @property
    def waste_milli(self) -> int:
        """Of use to nobody. What is idle is not wasted yet."""
        return self.quantised_milli + self.oversized_milli + self.stranded_milli

    @property
    def all_milli(self) -> int:
        return self.held_milli + self.stranded_milli + self.idle_milli


class Row(Value, frozen=True):
    """The sums of one node, rack, team or workload; `name` "" = what nobody holds. `gpus` is how many it is about."""

    name: str
    gpus: int
    sums: Sums
    team: str = ""


class Cause(Value, frozen=True):
    """Why GPUs are stranded, or why work waits though GPUs are idle: how much, and who for example.

    `milli` are thousandths stranded, `workloads` how many wait for this reason.
    """

    why: str
    milli: int = 0
    workloads: int = 0
    example: str = ""


class WasteView(Value, frozen=True):
    """`rows` are by `by`, the most wasteful first, and add up to `totals`, which is all `gpus` there are."""

    by: str
    gpus: int
    totals: Sums
    rows: tuple[Row, ...]
    stranded: tuple[Cause, ...] = ()
    waiting: tuple[Cause, ...] = ()


def sums(listed: Iterable[Card]) -> Sums:
    """What became of some cards."""
    tally = Counter[str]()
    for card in listed:
        for share in card.shares:
            tally.update(_spent(share))
        tally.update(_unspent(card))
    return Sums(**tally)


def waste_view(snapshot: Snapshot, plan: Plan, racks: Mapping[str, str], *, by: str = "team") -> WasteView:
    """The waste of a snapshot by one of `BY`. `plan` was made of it; `racks` names the rack of every node."""
    assert by in BY
    listed = [card for of_node in cards(snapshot).values() for card in of_node]
    if by in ("node", "rack"):
        rows = _by_place(listed, (lambda c: c.node) if by == "node" else (lambda c: racks.get(c.node, "")))
    else:
        rows = _by_holder(snapshot, listed, whole_team=by == "team")
    totals = sums(listed)
    return WasteView(
        by=by,
        gpus=len(listed),
        totals=totals,
        rows=tuple(sorted(rows, key=lambda r: (not r.name, -r.sums.waste_milli, -r.sums.all_milli, r.name))),
        stranded=_stranded(listed),
        waiting=_waiting(snapshot, plan) if totals.idle_milli else (),
    )


def _spent(share: Share) -> dict[str, int]:
    beyond = "quantised_milli" if share.sliced else "oversized_milli"
    return {"needed_milli": share.needed_milli, beyond: share.milli - share.needed_milli}


def _unspent(card: Card) -> dict[str, int]:
    return {"stranded_milli": card.stranded_milli, "idle_milli": card.free_milli - card.stranded_milli}


def _by_place(listed: Iterable[Card], place: object) -> list[Row]:
    assert callable(place)
    found: dict[str, list[Card]] = {}
    for card in listed:
        found.setdefault(place(card), []).append(card)
    return [Row(name, len(own), sums(own)) for name, own in found.items()]


def _by_holder(snapshot: Snapshot, listed: Sequence[Card], *, whole_team: bool) -> list[Row]:
    tallies: dict[tuple[str, str], Counter[str]] = {}
    touched: Counter[tuple[str, str]] = Counter()
    for card in listed:
        on_card = {(s.team, NOBODY if whole_team else s.holder): None for s in card.shares}
        for share in card.shares:
            key = share.team, NOBODY if whole_team else share.holder
            tallies.setdefault(key, Counter()).update(_spent(share))
        touched.update(on_card.keys())
        if card.free_milli:
            tallies.setdefault((NOBODY, NOBODY), Counter()).update(_unspent(card))
            touched[NOBODY, NOBODY] += 1
    return [
        Row(team if whole_team else called_by_key(snapshot, holder), touched[team, holder], Sums(**tally), team)
        for (team, holder), tally in tallies.items()
    ]


def _stranded(listed: Iterable[Card]) -> tuple[Cause, ...]:
    tally: Counter[str] = Counter()
    example: dict[str, str] = {}
    for card in listed:
        if card.stranded_milli:
            why = card.blocked or "no partition or request fits what is left"
            tally[why] += card.stranded_milli
            example.setdefault(why, card.node)
    return tuple(Cause(why, milli=milli, example=example[why]) for why, milli in _most(tally))


def _waiting(snapshot: Snapshot, plan: Plan) -> tuple[Cause, ...]:
    """What the workloads that wait say first; equal causes are told by the first of them in the queue."""
    tally: Counter[str] = Counter()
    first: dict[str, Cause] = {}
    for hold in plan.held():
        if hold.reasons:
            tag = str(type(hold.reasons[0]).__struct_config__.tag)
            tally[tag] += 1
            if tag not in first:
                name = called_by_key(snapshot, hold.workload)
                first[tag] = Cause(said(snapshot, hold.reasons[0]), example=name)
    return tuple(Cause(first[tag].why, workloads=n, example=first[tag].example) for tag, n in _most(tally))


def _most(tally: Counter[str]) -> list[tuple[str, int]]:
    return sorted(tally.items(), key=lambda entry: (-entry[1], entry[0]))
