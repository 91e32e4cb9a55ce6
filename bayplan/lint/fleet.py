"""The devices there are, and which of them a selector finds: what advice on classes and claims is measured against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bayplan import cel
from bayplan.cel.paths import Read
from bayplan.model.base import Value
from bayplan.model.device import Device, DeviceAttribute, DeviceSelector, ResourceSlice
from bayplan.model.quantity import Quantity
from bayplan.model.semver import Semver, SemverError

_LABELS = ("profile", "partitionProfile", "productName", "model", "type")
_GIB = 1 << 30


class Offer(Value, frozen=True):
    """One device on offer; `node` is "" where more than one node can reach it."""

    driver: str
    node: str
    device: Device
    view: cel.DeviceView

    @property
    def label(self) -> str:
        """What a person calls such a device: its partition profile, product or model."""
        for name in _LABELS:
            attribute = self.device.attributes.get(name) or self.device.attributes.get(f"{self.driver}/{name}")
            if attribute and attribute.string:
                return attribute.string
        return self.driver

    @property
    def is_partition(self) -> bool:
        """Part of a device cut by hardware."""
        return any(name.rpartition("/")[2] in _LABELS[:2] for name in self.device.attributes)

    def capacity(self, name: str) -> Quantity | None:
        """The capacity of this name, with the driver's domain or without."""
        domain, _, identifier = name.rpartition("/")
        return self.view.capacity.get(domain or self.driver, {}).get(identifier)

    def has_attribute(self, name: str) -> bool:
        domain, _, identifier = name.rpartition("/")
        return identifier in self.view.attributes.get(domain or self.driver, {})


class Choice(NamedTuple):
    """What selectors leave of some offers. `failed` is the selector (its place in the list) that left none, or -1.

    `before` are the offers that selector was asked about, `error` a run-time error of it and `errors` on how many.
    """

    offers: tuple[Offer, ...]
    failed: int = -1
    before: tuple[Offer, ...] = ()
    error: str = ""
    errors: int = 0


class Fleet(Value, frozen=True):
    """All devices of the newest generation of every pool."""

    offers: tuple[Offer, ...] = ()

    @staticmethod
    def of(slices: Iterable[ResourceSlice]) -> Fleet:
        known = list(slices)
        newest: dict[tuple[str, str], int] = {}
        for each in known:
            key = each.spec.driver, each.spec.pool.name
            newest[key] = max(newest.get(key, 0), each.spec.pool.generation)
        current = [s for s in known if s.spec.pool.generation == newest[s.spec.driver, s.spec.pool.name]]
        return Fleet(tuple(_offer(each, device) for each in current for device in each.spec.devices))

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(sorted({offer.node for offer in self.offers if offer.node}))

    def drivers(self) -> str:
        """`gpu.nvidia.com (64), dra.net (8)`."""
        return tally(offer.driver for offer in self.offers)


def choose(offers: Sequence[Offer], selectors: Iterable[DeviceSelector]) -> Choice:
    """What is left of the offers. A selector that does not compile leaves all: that is a finding of its own."""
    left = tuple(offers)
    error, errors = "", 0
    for index, each in enumerate(selectors):
        before = left
        try:
            selector = cel.compile_selector(each.cel.expression if each.cel else "")
        except cel.CompileError:
            continue
        answers = {}
        kept = []
        for offer in before:
            key = selector.key(offer.view)
            if key not in answers:
                answers[key] = _answer(selector, offer.view)
            if answers[key] is True:
                kept.append(offer)
            elif answers[key]:
                error, errors = error or str(answers[key]), errors + 1
        left = tuple(kept)
        if before and not left:
            return Choice((), index, before, error, errors)
    return Choice(left, -1, (), error, errors)


def _answer(selector: cel.Selector, view: cel.DeviceView) -> bool | str:
    """Whether the device is selected, or the error of asking."""
    try:
        return selector.matches(view)
    except cel.EvalError as error:
        return str(error)


def published(selector: DeviceSelector, offers: Sequence[Offer]) -> str:
    """What the offers publish of the things a selector reads: `type: 'gpu' (32), 'mig' (8)`; "" if that is unknown."""
    try:
        reads = cel.compile_selector(selector.cel.expression if selector.cel else "").reads or ()
    except cel.CompileError:
        return ""
    return "; ".join(part for read in reads if (part := _published(read, offers)))


def _published(read: Read, offers: Sequence[Offer]) -> str:
    if read[0] == "driver":
        return f"driver: {tally(offer.driver for offer in offers)}"
    if len(read) < 3 or read[0] not in ("attributes", "capacity"):
        return ""
    held = [(o.view.attributes if read[0] == "attributes" else o.view.capacity).get(read[1], {}) for o in offers]
    values = [_spelled(each[read[2]]) for each in held if read[2] in each]
    return f"{read[2]}: {tally(values)}" if values else f"no device publishes {read[1]}/{read[2]}"


def _spelled(value: object) -> str:
    if isinstance(value, Quantity):
        return amount(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def tally(values: Iterable[str], most: int = 4) -> str:
    """Values and how often they occur, the frequent ones first."""
    counts = Counter(values)
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{value} ({count})" for value, count in ranked[:most])
    return f"{shown} and {len(ranked) - most} more" if len(ranked) > most else shown


def amount(value: Quantity) -> str:
    """A quantity as people say it: 9728Mi is 9.5Gi."""
    if value.value < _GIB or value.format != "BinarySI":
        return str(value)
    whole, tenths = divmod(value.value * 10 // _GIB, 10)
    return f"{whole}.{tenths}Gi" if tenths else f"{whole}Gi"


def _offer(source: ResourceSlice, device: Device) -> Offer:
    driver = source.spec.driver
    return Offer(driver, source.spec.node_name or device.node_name, device, _view(driver, device))


def _view(driver: str, device: Device) -> cel.DeviceView:
    values: list[tuple[str, cel.Attribute]] = []
    unsupported = ""
    for name, attribute in device.attributes.items():
        value = _value(attribute)
        if value is None:
            unsupported = unsupported or f"attribute {name}: unsupported attribute value"
        else:
            values.append((name, value))
    capacity = [(name, held.value) for name, held in device.capacity.items()]
    return cel.DeviceView.of(driver, values, capacity, device.allow_multiple_allocations, unsupported)


def _value(attribute: DeviceAttribute) -> cel.Attribute | None:
    given = (attribute.string, attribute.int_, attribute.bool_, attribute.strings, attribute.ints, attribute.bools)
    for value in given:
        if value is not None:
            return value
    try:
        if attribute.version is not None:
            return Semver.parse(attribute.version)
        return None if attribute.versions is None else tuple(map(Semver.parse, attribute.versions))
    except SemverError:
        return None
