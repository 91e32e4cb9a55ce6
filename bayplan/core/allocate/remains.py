"""What is left of devices and of no use: to the hardware's own partitions, and to every request that is known.

A component is asked as placement asks it, so this can never disagree with what `decide` could still place there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bayplan.core.allocate.components import Component, Machines, State
from bayplan.core.allocate.gates import DEFAULT_FEATURES, Gates
from bayplan.core.allocate.inventory import Inventory
from bayplan.core.allocate.objective import stranded
from bayplan.core.allocate.offers import Offers
from bayplan.core.allocate.pools import DeviceId, Pools
from bayplan.core.allocate.questions import Questions
from bayplan.model.device import AllocationResult, DeviceClass, DeviceTaintRule, ResourceClaimSpec, ResourceSlice
from bayplan.model.node import Node


class Remains(NamedTuple):
    """What is left of a component: `wanted` if some request could still take a device of it, `uncovered_milli`
    thousandths of the GPU that no combination of its partitions covers."""

    wanted: bool
    uncovered_milli: int


def remains(
    slices: Iterable[ResourceSlice],
    nodes: Mapping[str, Node],
    classes: Mapping[str, DeviceClass],
    held: Iterable[AllocationResult],
    asked: Iterable[ResourceClaimSpec],
    *,
    taint_rules: Iterable[DeviceTaintRule] = (),
    features: Iterable[str] = DEFAULT_FEATURES,
) -> dict[DeviceId, Remains]:
    """By device: what is left of the component it belongs to, when `held` is taken and `asked` is all that may come."""
    gates = Gates.of(features)
    machines, questions = Machines(gates), Questions(classes, gates)
    found = (questions[questions.number((spec,))].ask for spec in asked)
    asks = [ask for ask in found if ask is not None]
    for ask in asks:
        machines.widen(ask.reads())
    needs = list({n.key: n for ask in asks for want in ask.wants for n in want if not n.admin}.values())
    inventory = Inventory(Pools(tuple(slices), taint_rules, gates), nodes, machines)
    offers, results = Offers(machines, gates), tuple(held)

    def judged(component: Component, state: State) -> Remains:
        wanted = any(offers.of(need, state, (1 << len(component.members)) - 1) for need in needs)
        return Remains(wanted, stranded(machines, state))

    left: dict[DeviceId, Remains] = {}
    for owner, components in inventory.components.items():
        states = inventory.start(owner, results, 0).states
        for component, number in zip(components, states, strict=True):
            verdict = judged(component, machines.states[number - 1])
            left.update((member.id, verdict) for member in component.members)
    return left
