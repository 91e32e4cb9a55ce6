"""Whether a device satisfies CEL selectors, asked once for each distinct set of values that an expression reads.

An attribute whose type this version does not know breaks every selector on its device, as it does upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from bayplan import cel
from bayplan.audit.pools import DeviceId
from bayplan.model.device import Device, DeviceAttribute, DeviceSelector
from bayplan.model.policy import Policy
from bayplan.model.quantity import Quantity
from bayplan.model.semver import Semver, SemverError

UNKNOWN = DeviceAttribute()

Path = tuple[str, ...]


class View(NamedTuple):
    """A device as expressions see it: attributes and capacities by domain, then by name."""

    driver: str
    attributes: Mapping[str, Mapping[str, object]]
    capacity: Mapping[str, Mapping[str, Quantity]]
    allow_multiple_allocations: bool


class Selectors:
    def __init__(self, policy: Policy) -> None:
        self._consumable = "DRAConsumableCapacity" in policy.features
        self._lists = "DRAListTypeAttributes" in policy.features
        self._reads: dict[tuple[DeviceSelector, ...], tuple[Path, ...] | None] = {}
        self._known: dict[tuple[object, ...], str] = {}

    def unmet(self, selectors: tuple[DeviceSelector, ...], identity: DeviceId, device: Device) -> str:
        """The first expression that does not hold for the device, or the error it ends in; "" when all hold."""
        if not selectors:
            return ""
        for name, attribute in device.attributes.items():
            if attribute == UNKNOWN:
                return f"attribute {name} has a value of unknown type"
        paths = self._paths(selectors)
        if paths is None:
            return self._evaluate(selectors, identity[0], device)
        read = tuple(_read(path, identity[0], device) for path in paths)
        key = (selectors, identity[0], device.allow_multiple_allocations, read)
        if key not in self._known:
            self._known[key] = self._evaluate(selectors, identity[0], device)
        return self._known[key]

    def _paths(self, selectors: tuple[DeviceSelector, ...]) -> tuple[Path, ...] | None:
        """What the expressions read; None when that may be anything."""
        if selectors not in self._reads:
            paths: dict[Path, None] = {}
            known = True
            for compiled in (self._compiled(s) for s in selectors):
                if isinstance(compiled, str) or compiled.reads is None:
                    known = False
                else:
                    paths.update(dict.fromkeys(sorted(compiled.reads)))
            self._reads[selectors] = tuple(paths) if known else None
        return self._reads[selectors]

    def _compiled(self, selector: DeviceSelector) -> cel.Selector | str:
        return _compile(selector.cel.expression if selector.cel else "", self._consumable, self._lists)

    def _evaluate(self, selectors: tuple[DeviceSelector, ...], driver: str, device: Device) -> str:
        for selector in selectors:
            compiled = self._compiled(selector)
            if isinstance(compiled, str):
                return compiled
            try:
                if not compiled.matches(_view(driver, device)):
                    return selector.cel.expression if selector.cel else ""
            except (cel.EvalError, SemverError) as error:
                return str(error)
        return ""


@lru_cache(maxsize=4096)
def _compile(expression: str, consumable: bool, lists: bool) -> cel.Selector | str:
    """The selector, or why it does not compile."""
    try:
        return cel.compile_selector(expression, consumable_capacity=consumable, list_attributes=lists)
    except cel.CompileError as error:
        return str(error)


def _read(path: Path, driver: str, device: Device) -> object:
    """The value at a path such as ("attributes", domain, name): equal values cannot be told apart by expressions."""
    if len(path) < 2:
        return None
    named: Mapping[str, DeviceAttribute | object] = (
        device.attributes if path[0] == "attributes" else {n: c.value for n, c in device.capacity.items()}
    )
    domain, name = path[1], path[2] if len(path) > 2 else ""
    if name:
        found = named.get(f"{domain}/{name}")
        return named.get(name) if found is None and domain == driver else found
    return tuple(sorted((k, repr(v)) for k, v in named.items() if _domain(k, driver) == domain))


def _domain(name: str, driver: str) -> str:
    return name.rpartition("/")[0] or driver


def _view(driver: str, device: Device) -> View:
    attributes: dict[str, dict[str, object]] = {}
    for name, attribute in device.attributes.items():
        attributes.setdefault(_domain(name, driver), {})[name.rpartition("/")[2]] = _value(attribute)
    capacity: dict[str, dict[str, Quantity]] = {}
    for name, published in device.capacity.items():
        capacity.setdefault(_domain(name, driver), {})[name.rpartition("/")[2]] = published.value
    return View(driver, attributes, capacity, device.allow_multiple_allocations)


def _value(attribute: DeviceAttribute) -> object:
    if attribute.version is not None:
        return Semver.parse(attribute.version)
    if attribute.versions is not None:
        return tuple(map(Semver.parse, attribute.versions))
    plain = (attribute.string, attribute.int_, attribute.bool_, attribute.strings, attribute.ints, attribute.bools)
    return next(value for value in plain if value is not None)
