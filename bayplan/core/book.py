"""What equal things have in common, worked out once.

A 512-pod gang is one question, and 5,000 nodes are a few dozen states. The book gives every pod template a number (a
*shape*) and every node state a number (a *signature*: label class, free amounts, device state), and remembers the
answer to each (signature, shape). A node that changes moves to another signature, so nothing is ever invalidated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bayplan.core.allocate import ANY, Catalog, Fit, Terms, total
from bayplan.model.codec import to_json
from bayplan.model.device import ResourceClaimSpec
from bayplan.model.isolation import strongest
from bayplan.model.node import Node
from bayplan.model.reason import DevicesNotFound
from bayplan.model.workload import PodClaim, PodTemplate


class NodeView(NamedTuple):
    """A node state in the units in which scores are written."""

    cpu_free_milli: int
    cpu_total_milli: int
    memory_free_bytes: int
    memory_total_bytes: int
    gpu_free_milli: tuple[int, ...]
    gpu_model: str
    pods: int


class Option(NamedTuple):
    """One way to run a pod on a node: the devices it would take, and the signature the node would have then."""

    fit: Fit | None
    after: int


class _Shape(NamedTuple):
    """`plain` is its ask without `terms`, which are those that matter to it."""

    template: PodTemplate
    needs: tuple[tuple[int, int], ...]
    missing: str
    rule: int
    ask: int
    plain: int
    terms: Terms


class _Class(NamedTuple):
    """Nodes that no pod can tell apart but by what is free on them."""

    labels: tuple[tuple[str, str], ...]
    name: str
    total: tuple[int, ...]
    kind: int
    sample: Node


class _Signature(NamedTuple):
    cls: int
    free: tuple[int, ...]
    state: int


class Book:
    """Shapes, signatures, and the memo between them, for one set of nodes and devices.

    `label_keys` are the node labels any pod may select by, `named` the nodes singled out by name, `resources` the
    scalar resources anything asks for. `mixing`: tenants may share devices that do not keep them apart.
    """

    def __init__(
        self,
        catalog: Catalog,
        resources: Iterable[str],
        label_keys: Iterable[str],
        named: Iterable[str],
        *,
        mixing: bool = False,
    ) -> None:
        self.catalog = catalog
        self.mixing = mixing
        self.resources = tuple(sorted(resources))
        self._index = {r: i for i, r in enumerate(self.resources)}
        self._label_keys = tuple(sorted(label_keys))
        self._named = frozenset(named)
        self._shapes: list[_Shape] = []
        self._shape_ids: dict[tuple[bytes, Terms], int] = {}
        self._asked: dict[tuple[bytes, Terms], int] = {}
        self._asks: dict[bytes, int] = {}
        self._rules: dict[bytes, int] = {}
        self._classes: list[_Class] = []
        self._class_ids: dict[object, int] = {}
        self._signatures: list[_Signature] = []
        self._signature_ids: dict[_Signature, int] = {}
        self._options: list[dict[int, tuple[Option, ...]]] = []
        self._counts: list[dict[int, int]] = []
        self._barriers: dict[tuple[int, int], str] = {}
        self._views: dict[int, NodeView] = {}
        self._empties: dict[int, int] = {}
        self._usable: dict[tuple[int, int], int] = {}
        self._class_of: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Node states remembered."""
        return len(self._signatures)

    # --- interning -----------------------------------------------------------------------------------------------

    def shape(self, template: PodTemplate, terms: Terms = ANY) -> int:
        """The number of a pod template on these terms; equal templates share it, and terms only where they matter."""
        asked = to_json(template), terms
        known = self._asked.get(asked)
        if known is None:
            known = self._asked[asked] = self._shape_for(asked[0], template, terms)
        return known

    def _shape_for(self, text: bytes, template: PodTemplate, terms: Terms) -> int:
        plain = self._asks.get(text)
        if plain is None:
            plain = self._asks[text] = self.catalog.ask(ask_of(template))
        if plain:
            tenant = "" if self.mixing else terms.tenant
            terms = self.catalog.terms_that_matter(plain, Terms(tenant, strongest((terms.least, template.isolation))))
        else:
            terms = ANY
        known = self._shape_ids.get((text, terms))
        if known is None:
            known = self._shape_ids[text, terms] = len(self._shapes)
            self._shapes.append(self._new_shape(template, plain, terms))
            self._options.append({})
            self._counts.append({})
        return known

    def _new_shape(self, template: PodTemplate, plain: int, terms: Terms) -> _Shape:
        needs, missing = [], ""
        for resource, amount in template.requests:
            if resource in self._index:
                needs.append((self._index[resource], amount))
            elif amount:
                missing = resource
        rule = to_json((template.node_selector, template.node_affinity, template.tolerations, template.elsewhere))
        return _Shape(
            template=template,
            needs=tuple(needs),
            missing=missing,
            rule=self._rules.setdefault(rule, len(self._rules)),
            ask=plain if terms == ANY else self.catalog.ask(ask_of(template), terms),
            plain=plain,
            terms=terms,
        )

    def template(self, shape: int) -> PodTemplate:
        return self._shapes[shape].template

    def node_class(self, node: Node) -> int:
        labels = tuple((k, node.labels[k]) for k in self._label_keys if k in node.labels)
        name = node.name if node.name in self._named else ""
        total = tuple(node.allocatable.get(r, 0) for r in self.resources)
        kind = self.catalog.kind(node.name)
        key = (labels, node.taints, node.unschedulable, node.ready, name, total, kind)
        known = self._class_ids.get(key)
        if known is None:
            known = self._class_ids[key] = len(self._classes)
            self._classes.append(_Class(labels, name, total, kind, node))
        self._class_of[node.name] = known
        return known

    def nodes_per_class(self) -> dict[int, int]:
        """How many nodes are of each class."""
        counted: dict[int, int] = {}
        for cls in self._class_of.values():
            counted[cls] = counted.get(cls, 0) + 1
        return counted

    def signature(self, cls: int, free: tuple[int, ...], state: int) -> int:
        key = _Signature(cls, free, state)
        known = self._signature_ids.get(key)
        if known is None:
            known = self._signature_ids[key] = len(self._signatures)
            self._signatures.append(key)
        return known

    def amounts(self, requests: Iterable[tuple[str, int]]) -> tuple[tuple[int, int], ...]:
        """Scalar requests as (index, amount); resources no node has are left out."""
        return tuple((self._index[r], a) for r, a in requests if r in self._index)

    def needs(self, shape: int) -> tuple[tuple[int, int], ...]:
        """Scalar requests of a shape as (index, amount)."""
        return self._shapes[shape].needs

    def ask(self, shape: int) -> int:
        """The catalogue's number for a shape's claims, 0 without any."""
        return self._shapes[shape].ask

    def node_class_of(self, sig: int) -> int:
        return self._signatures[sig].cls

    def kind(self, sig: int) -> int:
        return self._classes[self._signatures[sig].cls].kind

    def kind_of(self, cls: int) -> int:
        """The catalogue's kind of the nodes of a class, 0 for those without devices."""
        return self._classes[cls].kind

    def free(self, sig: int) -> tuple[int, ...]:
        return self._signatures[sig].free

    def total(self, sig: int) -> tuple[int, ...]:
        return self._classes[self._signatures[sig].cls].total

    def state(self, sig: int) -> int:
        return self._signatures[sig].state

    def at(self, sig: int, free: tuple[int, ...], state: int) -> int:
        """The signature of the same node with other free amounts and device state."""
        return self.signature(self._signatures[sig].cls, free, state)

    # --- answers -------------------------------------------------------------------------------------------------

    def options(self, sig: int, shape: int) -> tuple[Option, ...]:
        """The ways one such pod can run on a node in this state; () when it cannot."""
        memo = self._options[shape]
        known = memo.get(sig)
        if known is None:
            known = memo[sig] = self._work_out(sig, shape)
        return known

    def _work_out(self, sig: int, shape: int) -> tuple[Option, ...]:
        asked, (cls, free, state) = self._shapes[shape], self._signatures[sig]
        for i, amount in asked.needs:
            if free[i] < amount:
                return ()
        if asked.missing or not self.admits(cls, shape):
            return ()
        fits = self.catalog.fits(self._classes[cls].kind, state, asked.ask) if asked.ask else ()
        if asked.ask and not fits:
            return ()
        after = list(free)
        for i, amount in asked.needs:
            after[i] -= amount
        left = tuple(after)
        if not asked.ask:
            return (Option(None, self.signature(cls, left, state)),)
        found = []
        for fit in fits:
            rest = self._charged(left, fit, asked.template) if fit.charges else left
            if rest is not None:
                found.append(Option(fit, self.signature(cls, rest, fit.after)))
        return tuple(found)

    def _charged(self, free: tuple[int, ...], fit: Fit, template: PodTemplate) -> tuple[int, ...] | None:
        """What is free once the fit's devices have taken their part of it; None where there is not enough."""
        rest = list(free)
        for resource, amount in total(fit.charges, dict(enumerate(c.containers for c in claims_asked(template)))):
            at = self._index.get(resource, -1)
            if at < 0 or rest[at] < amount:
                return None
            rest[at] -= amount
        return tuple(rest)

    def admits(self, cls: int, shape: int) -> bool:
        """Whether nodes of this class may run the shape at all: selector, affinity, taints, readiness."""
        return not self._barrier(cls, shape)

    def _barrier(self, cls: int, shape: int) -> str:
        key = cls, self._shapes[shape].rule
        known = self._barriers.get(key)
        if known is None:
            known = self._barriers[key] = self._bars(cls, self._shapes[shape].template)
        return known

    def _bars(self, cls: int, template: PodTemplate) -> str:
        node = self._classes[cls].sample
        if not node.ready:
            return "notReady"
        if any(node.labels.get(k) != v for k, v in template.node_selector):
            return "nodeSelector"
        if template.node_affinity is not None and not template.node_affinity.matches(node.name, node.labels):
            return "affinity"
        if any(node.allocatable.get(r) for r in template.elsewhere):
            return "devicePlugin"
        return "" if node.admits(template.tolerations) else "taint"

    def count(self, sig: int, shape: int) -> int:
        """How many such pods a node in this state holds, one after another."""
        memo = self._counts[shape]
        known = memo.get(sig)
        if known is None:
            known = memo[sig] = self._count(sig, shape)
        return known

    def _count(self, sig: int, shape: int) -> int:
        options = self.options(sig, shape)
        if not options:
            return 0
        if options[0].fit is not None and options[0].fit.charges:
            return self._count_one_by_one(sig, shape)
        asked, (cls, free, state) = self._shapes[shape], self._signatures[sig]
        bounds = [free[i] // amount for i, amount in asked.needs if amount]
        if asked.ask:
            bounds.append(self.catalog.count(self._classes[cls].kind, state, asked.ask))
        return min(bounds, default=1 << 30)

    def _count_one_by_one(self, sig: int, shape: int) -> int:
        """The same where devices take of the node's own resources, some more than others."""
        count = 0
        while options := self.options(sig, shape):
            sig, count = options[0].after, count + 1
        return count

    def view(self, sig: int) -> NodeView:
        """The state in a score's units."""
        known = self._views.get(sig)
        if known is None:
            known = self._views[sig] = self._view(sig)
        return known

    def _view(self, sig: int) -> NodeView:
        cls, free, state = self._signatures[sig]
        total, kind = self._classes[cls].total, self._classes[cls].kind

        def at(amounts: tuple[int, ...], resource: str) -> int:
            return amounts[self._index[resource]] if resource in self._index else 0

        return NodeView(
            cpu_free_milli=at(free, "cpu"),
            cpu_total_milli=at(total, "cpu"),
            memory_free_bytes=at(free, "memory"),
            memory_total_bytes=at(total, "memory"),
            gpu_free_milli=self.catalog.free_milli(kind, state) if kind else (),
            gpu_model=str(kind),
            pods=at(total, "pods") - at(free, "pods"),
        )

    def usable_milli(self, sig: int, shape: int) -> int:
        """GPU thousandths free on such a node that this shape could use; 0 where it cannot run at all."""
        known = self._usable.get((sig, shape))
        if known is None:
            ask = self._shapes[shape].ask
            known = 0
            if ask and self.options(sig, shape):
                known = self.catalog.usable_milli(self.kind(sig), self.state(sig), ask)
            self._usable[(sig, shape)] = known
        return known

    # --- explanations --------------------------------------------------------------------------------------------

    def problem(self, shape: int) -> DevicesNotFound | None:
        """Why no node could ever serve the shape's claims, whatever is free."""
        ask = self._shapes[shape].ask
        return self.catalog.problem(ask) if ask else None

    def cause(self, sig: int, shape: int) -> str:
        """The first thing a node in this state lacks for the shape: a barrier's name, a resource, or `devices`.

        `tenants` where devices would do but for another tenant's work on them, `isolation` where they would but for
        the isolation asked for.
        """
        asked, (cls, free, state) = self._shapes[shape], self._signatures[sig]
        if asked.missing:
            return asked.missing
        barrier = self._barrier(cls, shape)
        if barrier:
            return barrier
        for i, amount in asked.needs:
            if free[i] < amount:
                return self.resources[i]
        return self._taken_by_devices(sig, asked) or self._devices_cause(cls, state, asked)

    def _taken_by_devices(self, sig: int, asked: _Shape) -> str:
        """The resource of which the devices that would do take more than the pod leaves; "" where none would do."""
        cls, free, state = self._signatures[sig]
        fits = self.catalog.fits(self._classes[cls].kind, state, asked.ask) if asked.ask else ()
        if not fits:
            return ""
        own = dict(asked.needs)
        taken = total(fits[0].charges, dict(enumerate(c.containers for c in claims_asked(asked.template))))
        at = {r: self._index.get(r, -1) for r, _ in taken}
        return next((r for r, n in taken if at[r] < 0 or free[at[r]] - own.get(at[r], 0) < n), "")

    def _devices_cause(self, cls: int, state: int, asked: _Shape) -> str:
        if asked.terms == ANY or not self.catalog.fits(self._classes[cls].kind, state, asked.plain):
            return "devices"
        return "tenants" if asked.terms.tenant else "isolation"

    def empty(self, sig: int) -> int:
        """The signature of the same node with nothing on it."""
        return self.empty_of(self._signatures[sig].cls)

    def empty_of(self, cls: int) -> int:
        """The signature of a node of this class with nothing on it."""
        known = self._empties.get(cls)
        if known is None:
            known = self._empties[cls] = self._empty_of(cls)
        return known

    def _empty_of(self, cls: int) -> int:
        sample = self._classes[cls].sample.name
        nothing = self.catalog.start("", ())
        state = self.catalog.state(sample, self.catalog.start(sample, ()), nothing)
        return self.signature(cls, self._classes[cls].total, state)


def claims_asked(template: PodTemplate) -> tuple[PodClaim, ...]:
    """The claims that are to be allocated for one pod of the template, in the order of its ask."""
    return tuple(c for c in template.claims if c.template is not None)


def ask_of(template: PodTemplate) -> tuple[ResourceClaimSpec, ...]:
    """What those claims ask of the device catalogue."""
    return tuple(c.template for c in template.claims if c.template is not None)
