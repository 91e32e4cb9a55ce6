"""The device catalogue: every question about devices, answered once per situation.

Nodes with equal devices share a *kind*, and nodes of one kind with equally much taken share a *state*, whatever the
devices are called and in whatever order they were taken. An answer depends on (kind, state, ask) alone, so a fleet of
500 equal nodes is a few dozen situations. What devices are equal depends on the attributes that questions read:
`ask()` first, then `kind()` and `state()`. When a later question reads an attribute none did before, `epoch` grows, and
kinds and states are to be read again; `Taken` stays valid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bayplan.core.allocate import figures, objective
from bayplan.core.allocate.allocatable import Charge, charges
from bayplan.core.allocate.asks import Ask, Whose
from bayplan.core.allocate.board import AllocationError, Board, Choice, Slot, Verdict
from bayplan.core.allocate.components import DESCRIPTIVE, Machines, Reads
from bayplan.core.allocate.figures import NO_WORTH, Misfit, Worth
from bayplan.core.allocate.gates import DEFAULT_FEATURES, Gates
from bayplan.core.allocate.inventory import Holding, Inventory, Site, Taken
from bayplan.core.allocate.isolation import ANY, Terms
from bayplan.core.allocate.nearness import Separation, separation
from bayplan.core.allocate.offers import Offers
from bayplan.core.allocate.packing import solve
from bayplan.core.allocate.pools import Pools
from bayplan.core.allocate.questions import Questions
from bayplan.core.allocate.result import Given, allocation, share_id
from bayplan.core.allocate.search import DEFAULT_BUDGET
from bayplan.core.allocate.selectors import Matcher, SelectorError
from bayplan.model.device import AllocationResult, DeviceClass, DeviceTaintRule, ResourceClaimSpec, ResourceSlice
from bayplan.model.isolation import Isolation, weakest
from bayplan.model.node import Node
from bayplan.model.reason import DevicesNotFound

FITS_MAX = 12
"""Alternatives kept per question: the best and what differs from it most is enough to choose a node by."""

EVER = 1 << 30
"""As many as anyone may want; the epoch of what never changes."""

ORDERS = ("packed", "upstream")


class Fit(NamedTuple):
    """One way to serve an ask.

    `after` is the state that results; `stranding` the thousandths of a GPU that nothing can use any more because of it
    (negative when it makes some usable again). `preference` adds up which alternatives of prioritised lists were
    taken, 0 = the first of each. `choices` are by canonical slot; `apart` says if they are less close than they might
    be, `charges` what they take of the node's own resources.
    """

    ask: int
    after: int
    stranding: int
    preference: int
    choices: tuple[Choice, ...]
    apart: Separation | None = None
    charges: tuple[Charge, ...] = ()


class _Situation(NamedTuple):
    own: tuple[int, ...]
    wide: tuple[tuple[int, int], ...]


class _Kind(NamedTuple):
    site: Site
    epoch: int


class Catalog:
    """All devices of a fleet and the questions about them. Raises ValueError for an unknown order."""

    def __init__(
        self,
        slices: Sequence[ResourceSlice],
        classes: Mapping[str, DeviceClass],
        nodes: Mapping[str, Node],
        *,
        taint_rules: Sequence[DeviceTaintRule] = (),
        features: Iterable[str] = DEFAULT_FEATURES,
        order: str = "packed",
        budget: int = DEFAULT_BUDGET,
    ) -> None:
        if order not in ORDERS:
            raise ValueError(f"policy.allocate: expected one of {', '.join(ORDERS)}, got {order!r}")
        self._gates = Gates.of(features)
        self._classes = classes
        self._upstream = order == "upstream"
        self._budget = budget
        self._machines = Machines(self._gates)
        drivers = sorted({s.spec.driver for s in slices})
        self._machines.widen(frozenset(("attributes", d, n) for d in drivers for n in DESCRIPTIVE))
        for name in sorted(classes):
            self._machines.widen(Matcher(name, classes[name].spec.selectors, "", ()).reads())
        self._pools = Pools(slices, taint_rules, self._gates)
        self._nodes = nodes
        self._built: Inventory | None = None
        self._offers = Offers(self._machines, self._gates)
        self.epoch = 0
        self._questions = Questions(classes, self._gates)
        self._needed_epoch: dict[int, int] = {0: 0}
        self._reads: list[Reads] = [self._machines.reads]
        self._kinds: list[_Kind] = [_Kind(Site((), (), (), "", False), EVER)]
        self._kind_ids: dict[object, int] = {((), (), (), "", False): 0}
        self._kind_of: dict[str, int] = {}
        self._situations: list[_Situation] = [_Situation((), ())]
        self._situation_ids: dict[_Situation, int] = {_Situation((), ()): 0}
        self._fits: dict[tuple[int, int, int], tuple[Fit, ...]] = {}
        self._counts: dict[tuple[int, int, int], int] = {}
        self._free: dict[tuple[int, int], tuple[int, ...]] = {}
        self._undecided: set[tuple[int, int, int]] = set()
        self._unmatched: dict[int, DevicesNotFound | None] = {}
        self._tenants: dict[str, int] = {"": 0}
        self._softest: dict[int, tuple[Isolation, bool]] = {}

    @property
    def charges(self) -> bool:
        """Whether devices may take of their node's own resources."""
        return self._gates.allocatable

    @property
    def _inventory(self) -> Inventory:
        """Made when first needed, so that the questions asked until then decide at once what tells devices apart."""
        if self._built is None:
            self._built = Inventory(self._pools, self._nodes, self._machines)
        return self._built

    # --- questions -----------------------------------------------------------------------------------------------

    def ask(self, claims: tuple[ResourceClaimSpec, ...], terms: Terms = ANY) -> int:
        """The number of the question "allocate all these claims for one pod"; 0 for none. May raise `epoch`."""
        number = self._questions.number(claims, Whose(self._tenant(terms.tenant), terms.least))
        if number not in self._needed_epoch:
            self._needed_epoch[number] = self._admit(self._questions[number].ask)
        return number

    def _admit(self, asked: Ask | None) -> int:
        """Sees to it that devices are told apart by what the ask reads; from which epoch on they are."""
        reads = asked.reads() if asked is not None else frozenset()
        for epoch, known in enumerate(self._reads):
            if known is None or (reads is not None and reads <= known):
                return epoch
        self._machines.widen(reads)
        if self._built is None:
            self._reads[-1] = self._machines.reads
            return self.epoch
        self._reads.append(self._machines.reads)
        self._built.rekey()
        self._kind_of.clear()
        self._unmatched.clear()
        self.epoch += 1
        return self.epoch

    def _tenant(self, name: str) -> int:
        return self._tenants.setdefault(name, len(self._tenants))

    def terms_that_matter(self, ask: int, terms: Terms) -> Terms:
        """The terms as far as they make a difference to an ask that was made without any.

        Whole GPUs and partitions keep their users apart, so whoever asks for them asks the same.
        """
        if terms == ANY or self._questions[ask].ask is None:
            return ANY
        if ask not in self._softest:
            self._softest[ask] = self._find_softest(ask)
        softest, open_plan = self._softest[ask]
        if not softest.satisfies(terms.least):
            return Terms("", terms.least)
        return Terms(terms.tenant if open_plan else "", Isolation.NONE)

    def _find_softest(self, ask: int) -> tuple[Isolation, bool]:
        """The weakest isolation among devices that could serve the ask, and whether tenants could meet on one."""
        asked = self._questions[ask].ask
        assert asked is not None
        needs = [n for want in asked.wants for n in want if not n.admin]
        able = [(n, t, g) for t in self._inventory.templates() for n in needs if (g := self._offers.grant(n, t))]
        return weakest(n.isolation(t) for n, t, _ in able), any(t.meets(g.units) for _, t, g in able)

    def problem(self, ask: int) -> DevicesNotFound | None:
        """Why the ask can never be served by this fleet: class missing, expression that fails, nothing that matches."""
        problem = self._questions[ask].problem
        if problem is not None:
            return problem
        if ask not in self._unmatched:
            self._unmatched[ask] = self._questions.unmatched(ask, self._inventory.templates())
        return self._unmatched[ask]

    # --- situations ----------------------------------------------------------------------------------------------

    def kind(self, node: str) -> int:
        """The node's kind; 0 = no devices."""
        known = self._kind_of.get(node)
        if known is None:
            known = self._kind_of[node] = self._new_kind(node)
        return known

    def _new_kind(self, node: str) -> int:
        site = self._inventory.sites.get(node)
        if site is None:
            return 0
        own = self._inventory.components.get(node, ())
        wide = self._inventory.components[""]
        kinds = [own[i].kind.id for i in site.own]
        shared = [(wide[i].kind.id, mask) for i, mask in site.wide]
        if not self._upstream:
            kinds.sort()
            shared.sort()
        key = (tuple(kinds), tuple(shared), site.sequence if self._upstream else (), site.unfinished, site.invalid)
        if not kinds and not shared and not site.unfinished:
            return 0
        known = self._kind_ids.get(key)
        if known is None:
            known = self._kind_ids[key] = len(self._kinds)
            self._kinds.append(_Kind(site, self.epoch))
        return known

    def start(self, node: str, allocations: Sequence[AllocationResult], tenants: Sequence[str] = ()) -> Taken:
        """What these allocations take of the node's own devices, or (`""`) of those several nodes may reach.

        `tenants` says whose each allocation is, where tenants are to be kept apart.
        """
        return self._inventory.start(node, allocations, self.epoch, [self._tenant(t) for t in tenants])

    def reach(self, node: str) -> tuple[tuple[int, int], ...]:
        """Which of the devices that several nodes may reach this one does."""
        site = self._inventory.sites.get(node)
        return site.wide if site is not None else ()

    def state(self, node: str, taken: Taken, shared: Taken) -> int:
        """The state: what is free up to renaming of equal GPUs."""
        site = self._inventory.sites.get(node)
        if site is None:
            return 0
        taken, shared = self._current(taken), self._current(shared)
        own = [taken.states[i] for i in site.own]
        wide = [(shared.states[i], mask) for i, mask in site.wide]
        return self._situation(own, wide)

    def _current(self, taken: Taken) -> Taken:
        return taken if taken.epoch == self.epoch else self._inventory.taken(taken.owner, taken.held, self.epoch)

    def _situation(self, own: list[int], wide: list[tuple[int, int]]) -> int:
        if not self._upstream:
            own.sort()
            wide.sort()
        key = _Situation(tuple(own), tuple(wide))
        known = self._situation_ids.get(key)
        if known is None:
            known = self._situation_ids[key] = len(self._situations)
            self._situations.append(key)
        return known

    def _board(self, kind: int, state: int) -> Board:
        own, wide = self._situations[state]
        states = self._machines.states
        slots = [Slot(states[i - 1], -1) for i in own] + [Slot(states[i - 1], mask) for i, mask in wide]
        site = self._kinds[kind].site
        return Board(
            slots=tuple(slots),
            sequence=site.sequence if self._upstream else (),
            unfinished=site.unfinished,
            invalid=site.invalid,
        )

    # --- answers -------------------------------------------------------------------------------------------------

    def fits(self, kind: int, state: int, ask: int) -> tuple[Fit, ...]:
        """Distinct ways to serve the ask, best first; () when there is none (or none was found within budget)."""
        key = (kind, state, ask)
        known = self._fits.get(key)
        if known is None:
            known = self._fits[key] = self._work_out(kind, state, ask)
        return known

    def _work_out(self, kind: int, state: int, ask: int) -> tuple[Fit, ...]:
        asked, problem = self._questions[ask]
        if ask == 0:
            return (Fit(0, state, 0, 0, ()),)
        if asked is None or problem is not None:
            return ()
        assert self._kinds[kind].epoch >= self._needed_epoch[ask], "kind() and state() are to be read again"
        board = self._board(kind, state)
        if self._is_single(asked):
            return self._singles(ask, asked, board)
        try:
            answer, found = solve(self._offers, asked, board, upstream=self._upstream, budget=self._budget)
        except (AllocationError, SelectorError):
            return ()
        if answer.verdict is Verdict.UNDECIDED:
            self._undecided.add((kind, state, ask))
        fits = {fit.after: fit for fit in reversed([self._fit(ask, board, o.choices) for o in found])}
        return tuple(reversed(fits.values()))[:FITS_MAX]

    def _is_single(self, asked: Ask) -> bool:
        """Whether one device is wanted and nothing binds it: then all ways are found at once."""
        return (
            not self._upstream
            and len(asked.wants) == 1
            and not asked.constraints
            and all(n.count == 1 and not n.every and not n.admin for n in asked.wants[0])
        )

    def _singles(self, ask: int, asked: Ask, board: Board) -> tuple[Fit, ...]:
        """The ways for the first alternative that can be had, best first."""
        for need in asked.wants[0]:
            ways = []
            for slot, of in {s: i for i, s in reversed(list(enumerate(board.slots)))}.items():
                offers = self._offers.of(need, slot.state, slot.mask)
                ways += [(o.score, of, o.device, Choice(0, need, of, o.device, o.grant)) for o in offers]
            if ways:
                ways.sort(key=lambda w: w[:3])
                return tuple(self._fit(ask, board, (choice,)) for *_, choice in ways[:FITS_MAX])
        return ()

    def _fit(self, ask: int, board: Board, choices: tuple[Choice, ...]) -> Fit:
        """The state after the choices; admin access takes nothing."""
        states = [s.state for s in board.slots]
        for choice in choices:
            if not choice.need.admin:
                grant = choice.grant
                after = self._machines.move(states[choice.slot], choice.device, grant.units, grant.tenant)
                assert after is not None, "the search chose a device that does not fit"
                states[choice.slot] = after
        touched = sorted({c.slot for c in choices})
        stranding = sum(
            objective.stranded(self._machines, states[i]) - objective.stranded(self._machines, board.slots[i].state)
            for i in touched
        )
        own = [s.id for s, slot in zip(states, board.slots, strict=True) if slot.mask == -1]
        wide = [(s.id, slot.mask) for s, slot in zip(states, board.slots, strict=True) if slot.mask != -1]
        asked = self._questions[ask].ask
        assert asked is not None
        preference = asked.preference((c.want, c.need) for c in choices)
        apart = separation(self._offers, asked, board, choices) if asked.several() and not self._upstream else None
        return Fit(
            ask, self._situation(own, wide), stranding, preference, choices, apart, self._charges(board, choices)
        )

    def _charges(self, board: Board, choices: Sequence[Choice]) -> tuple[Charge, ...]:
        if not self._gates.allocatable:
            return ()
        found: list[Charge] = []
        for choice in choices:
            template = board.slots[choice.slot].state.kind.templates[choice.device]
            if template.device.node_allocatable_resources and not choice.need.admin:
                consumed = dict(zip(template.names, choice.grant.amounts, strict=False))
                found += charges(choice.need.claim, template.device, consumed)
        return tuple(found)

    def count(self, kind: int, state: int, ask: int) -> int:
        """How many such pods fit one after another, each taking the best fit."""
        chain: list[int] = []
        while (kind, state, ask) not in self._counts:
            fits = self.fits(kind, state, ask)
            if not fits or fits[0].after == state:
                self._counts[kind, state, ask] = EVER if fits else 0
                break
            chain.append(state)
            state = fits[0].after
        total = self._counts[kind, state, ask]
        for before in reversed(chain):
            total += 1
            self._counts[kind, before, ask] = total
        return total

    # --- taking --------------------------------------------------------------------------------------------------

    def take(
        self, node: str, taken: Taken, shared: Taken, fit: Fit, *, seed: str = ""
    ) -> tuple[Taken, Taken, tuple[AllocationResult, ...]]:
        """Takes the fit's devices: what is taken now, and one allocation per claim of the ask.

        `seed` (a claim's or pod's identity) makes share ids unique over time; without it they are unique among the
        live shares of a device.
        """
        site = self._inventory.sites[node]
        taken, shared = self._current(taken), self._current(shared)
        places = self._places(site, taken, shared, fit.choices)
        changes: dict[tuple[str, int], list[Holding]] = {}
        given: dict[int, list[Given]] = {}
        made: set[str] = set()
        for choice in fit.choices:
            owner, index = places[choice.slot]
            component = self._inventory.components[owner][index]
            held = changes.get((owner, index))
            if held is None:
                held = list((taken if owner else shared).held[index])
            published = component.members[choice.device]
            share = ""
            if component.kind.templates[choice.device].shareable:
                share = _fresh(seed, published.id, made | {h.share_id for h in held})
                made.add(share)
            if not choice.need.admin:
                units = choice.grant.units if share else None
                held.append(Holding(choice.device, share, units, choice.grant.tenant))
                changes[owner, index] = held
            given.setdefault(choice.need.claim, []).append(Given(choice.need, published, choice.grant.amounts, share))
        asked = self._questions[fit.ask].ask
        results = tuple(
            allocation(spec, given.get(i, ()), self._classes, node, self._gates)
            for i, spec in enumerate(asked.claims if asked else ())
        )
        return self._inventory.changed(taken, changes), self._inventory.changed(shared, changes), results

    def _places(self, site: Site, taken: Taken, shared: Taken, choices: Sequence[Choice]) -> dict[int, tuple[str, int]]:
        """Which component each canonical slot that was chosen stands for: equal ones in their own order."""
        own, wide = site.own, [i for i, _ in site.wide]
        if not self._upstream:
            own = tuple(sorted(sorted(own), key=taken.states.__getitem__))
            wide = [i for i, _ in sorted(site.wide, key=lambda w: (shared.states[w[0]], w[1], w[0]))] if wide else wide
        slots = {c.slot for c in choices}
        return {s: (taken.owner, own[s]) if s < len(own) else ("", wide[s - len(own)]) for s in sorted(slots)}

    def give_back(self, node: str, taken: Taken, allocations: Sequence[AllocationResult]) -> Taken:
        """These allocations' devices freed; what is not held is left alone."""
        assert node == taken.owner
        return self._inventory.give_back(self._current(taken), allocations)

    # --- figures -------------------------------------------------------------------------------------------------

    def free_milli(self, kind: int, state: int) -> tuple[int, ...]:
        """Free thousandths of each physical GPU, most first."""
        known = self._free.get((kind, state))
        if known is None:
            known = self._free[kind, state] = figures.free_milli(self._board(kind, state))
        return known

    def usable_milli(self, kind: int, state: int, ask: int) -> int:
        """Free thousandths on GPUs that could serve one device of this ask now."""
        asked = self._questions[ask].ask
        return figures.usable_milli(self._offers, asked, self._board(kind, state)) if asked is not None else 0

    def worths(self, kind: int, state: int, asks: Sequence[int]) -> tuple[Worth, ...]:
        """What the devices of a state are worth to each ask."""
        slots = Counter(self._board(kind, state).slots).items()
        return tuple(self._worth(kind, state, ask, slots) for ask in asks)

    def _worth(self, kind: int, state: int, ask: int, slots: Iterable[tuple[Slot, int]]) -> Worth:
        asked = self._questions[ask].ask
        if asked is None:
            return NO_WORTH
        alone = None if self._upstream else figures.worth(self._offers, asked, slots)
        if alone is not None:
            return alone
        fits = self.fits(kind, state, ask)
        if not fits:
            return NO_WORTH
        each = sum(self.free_milli(kind, state)) - sum(self.free_milli(kind, fits[0].after))
        return Worth(self.usable_milli(kind, state, ask), self.count(kind, state, ask), each)

    def misfit(self, kind: int, state: int, ask: int) -> Misfit:
        """Numbers for an explanation of an ask that does not fit."""
        asked = self._questions[ask].ask
        undecided = (kind, state, ask) in self._undecided
        if asked is None or not asked.wants:
            return Misfit("", 0, 0, 0, False, undecided)
        empty = self._empty(state)
        found = figures.misfit(self._offers, asked.wants, self._board(kind, state), self._board(kind, empty))
        return found._replace(fits_empty=bool(self.fits(kind, empty, ask)), undecided=undecided)

    def _empty(self, state: int) -> int:
        own, wide = self._situations[state]
        states = self._machines.states
        return self._situation(
            [states[i - 1].kind.root.id for i in own], [(states[i - 1].kind.root.id, mask) for i, mask in wide]
        )


def _fresh(seed: str, device: tuple[str, str, str], live: set[str]) -> str:
    ordinal = len(live)  # those before are mostly taken
    while (made := share_id(seed, device, ordinal)) in live:
        ordinal += 1
    return made
