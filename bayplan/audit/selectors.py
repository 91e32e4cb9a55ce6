"""Whether a device satisfies CEL selectors, asked once for each distinct set of values that an expression reads.

An attribute whose type this version does not know breaks every selector on its device, as it does upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from bayplan import cel
from bayplan.audit.pools import DeviceId
from bayplan.model.device import Device, DeviceAttribute, DeviceSelector
from bayplan.model.policy import Policy
from bayplan.model.semver import Semver, SemverError

UNKNOWN = DeviceAttribute()

Path = tuple[str, ...]


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
    """The value at a path such as ("attributes", domain, name): equal values cannot be told apart by expressions.

    A path that ends early stands for everything below it.
    """
    if path[0] not in ("attributes", "capacity"):
        return None
    named: Mapping[str, object] = (
        device.attributes if path[0] == "attributes" else {n: c.value for n, c in device.capacity.items()}
    )
    if len(path) == 3:
        found = named.get(f"{path[1]}/{path[2]}")
        return named.get(path[2]) if found is None and path[1] == driver else found
    return tuple(sorted((n, repr(v)) for n, v in named.items() if path[1:] in ((), (n.rpartition("/")[0] or driver,))))


def _view(driver: str, device: Device) -> cel.DeviceView:
    return cel.DeviceView.of(
        driver,
        attributes=[(name, _value(attribute)) for name, attribute in device.attributes.items()],
        capacity=[(name, capacity.value) for name, capacity in device.capacity.items()],
        allow_multiple_allocations=device.allow_multiple_allocations,
    )


def _value(attribute: DeviceAttribute) -> cel.Attribute:
    if attribute.version is not None:
        return Semver.parse(attribute.version)
    if attribute.versions is not None:
        return tuple(map(Semver.parse, attribute.versions))
    plain = (attribute.string, attribute.int_, attribute.bool_, attribute.strings, attribute.ints, attribute.bools)
    return next(value for value in plain if value is not None)
