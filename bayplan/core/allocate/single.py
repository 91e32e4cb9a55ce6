"""One pod on one node, without a catalogue: the question kube-scheduler's allocator answers.

Under `order="upstream"` results and errors are those of k8s.io/dynamic-resource-allocation, first solution first; under
`order="packed"` the same constraints hold, errors of single devices only rule those devices out, and the best found
wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bayplan.core.allocate.asks import Ask, Unservable, compile_ask
from bayplan.core.allocate.board import AllocationError, Board, Choice, Slot, Verdict
from bayplan.core.allocate.components import Machines
from bayplan.core.allocate.gates import DEFAULT_FEATURES, Gates
from bayplan.core.allocate.inventory import Inventory, Site
from bayplan.core.allocate.offers import Offers
from bayplan.core.allocate.packing import solve
from bayplan.core.allocate.pools import Pools
from bayplan.core.allocate.result import Given, allocation, share_id
from bayplan.core.allocate.search import DEFAULT_BUDGET
from bayplan.core.allocate.selectors import SelectorError
from bayplan.model.device import AllocationResult, DeviceClass, DeviceTaintRule, ResourceClaim, ResourceSlice
from bayplan.model.node import Node


class Answer(NamedTuple):
    """One result per claim if `verdict` is FOUND. `error` is what upstream would report instead of an answer."""

    verdict: Verdict
    results: tuple[AllocationResult, ...] = ()
    error: str = ""
    steps: int = 0


def allocate(
    node: Node,
    claims: Sequence[ResourceClaim],
    slices: Sequence[ResourceSlice],
    classes: Mapping[str, DeviceClass],
    *,
    allocated: Sequence[AllocationResult] = (),
    taint_rules: Iterable[DeviceTaintRule] = (),
    features: Iterable[str] = DEFAULT_FEATURES,
    release: tuple[int, int] = (1, 37),
    order: str = "packed",
    budget: int = DEFAULT_BUDGET,
) -> Answer:
    """Allocates all claims on the node, or none; `allocated` is what other claims hold anywhere."""
    gates = Gates.of(features, release)
    machines = Machines(gates)
    try:
        ask = compile_ask(tuple(c.spec for c in claims), tuple(c.metadata.key for c in claims), classes, gates)
    except Unservable as refusal:
        return Answer(Verdict.IMPOSSIBLE, error=str(refusal))
    machines.widen(ask.reads())
    inventory = Inventory(Pools(slices, taint_rules, gates), {node.name: node}, machines)
    site = inventory.sites[node.name]
    board = _board(inventory, machines, site, node, allocated)
    try:
        outcome, _ = solve(Offers(machines, gates), ask, board, upstream=order == "upstream", budget=budget)
    except (AllocationError, SelectorError) as failure:
        return Answer(Verdict.IMPOSSIBLE, error=str(failure))
    results = _results(ask, outcome.choices, inventory, site, node, classes, gates)
    return Answer(outcome.verdict, results if outcome.verdict is Verdict.FOUND else (), "", outcome.steps)


def _board(
    inventory: Inventory, machines: Machines, site: Site, node: Node, allocated: Sequence[AllocationResult]
) -> Board:
    own, wide = inventory.start(node.name, allocated, 0), inventory.start("", allocated, 0)
    slots = [Slot(machines.states[own.states[i] - 1], -1) for i in site.own]
    slots += [Slot(machines.states[wide.states[i] - 1], mask) for i, mask in site.wide]

    def name(slot: int, device: int) -> str:
        return "/".join(inventory.published(site, node.name, slot, device).id)

    return Board(tuple(slots), site.sequence, site.unfinished, site.invalid, name)


def _results(
    ask: Ask,
    choices: Sequence[Choice],
    inventory: Inventory,
    site: Site,
    node: Node,
    classes: Mapping[str, DeviceClass],
    gates: Gates,
) -> tuple[AllocationResult, ...]:
    given: dict[int, list[Given]] = {}
    for ordinal, choice in enumerate(choices):
        published = inventory.published(site, node.name, choice.slot, choice.device)
        shared = published.device.allow_multiple_allocations and gates.consumable
        share = share_id(ask.names[choice.need.claim], published.id, ordinal) if shared else ""
        given.setdefault(choice.need.claim, []).append(Given(choice.need, published, choice.grant.amounts, share))
    return tuple(allocation(spec, given.get(i, ()), classes, node.name, gates) for i, spec in enumerate(ask.claims))
