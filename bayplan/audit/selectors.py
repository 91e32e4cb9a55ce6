"""Whether a device satisfies CEL selectors, asked once for each distinct set of values that an expression reads.

An attribute whose type this version does not know breaks every selector on its device, as it does upstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from bayplan import cel
from bayplan.audit.pools import Seen
from bayplan.model.device import Device, DeviceAttribute, DeviceSelector
from bayplan.model.policy import Policy
from bayplan.model.semver import Semver, SemverError

Path = tuple[str, ...]


class Selectors:
    """The matchers of one audit; equal selectors are one."""

    def __init__(self, policy: Policy) -> None:
        self._consumable = "DRAConsumableCapacity" in policy.features
        self._lists = "DRAListTypeAttributes" in policy.features
        self._matchers: dict[tuple[DeviceSelector, ...], Matcher] = {}

    def matcher(self, selectors: tuple[DeviceSelector, ...]) -> Matcher:
        known = self._matchers.get(selectors)
        if known is None:
            expressions = [s.cel.expression if s.cel else "" for s in selectors]
            compiled = [(e, _compile(e, self._consumable, self._lists)) for e in expressions]
            known = self._matchers[selectors] = Matcher(compiled)
        return known


class Matcher:
    """Some selectors, all of which must hold; each with its expression, or with why it does not compile."""

    def __init__(self, selectors: list[tuple[str, cel.Selector | str]]) -> None:
        self._selectors = selectors
        self._paths = _paths([compiled for _, compiled in selectors])
        self._known: dict[tuple[object, ...], str] = {}

    def unmet(self, seen: Seen) -> str:
        """The first expression that does not hold for the device, or the error it ends in; "" when all hold."""
        if not self._selectors:
            return ""
        if seen.unreadable:
            return f"attribute {seen.unreadable} has a value of unknown type"
        driver, device = seen.identity[0], seen.device
        if self._paths is None:
            return self._evaluate(driver, device)
        key = (driver, device.allow_multiple_allocations, *[_read(path, driver, device) for path in self._paths])
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._evaluate(driver, device)
        return known

    def _evaluate(self, driver: str, device: Device) -> str:
        for expression, compiled in self._selectors:
            if isinstance(compiled, str):
                return compiled
            try:
                if not compiled.matches(_view(driver, device)):
                    return expression
            except (cel.EvalError, SemverError) as error:
                return str(error)
        return ""


def _paths(selectors: Iterable[cel.Selector | str]) -> tuple[Path, ...] | None:
    """What the expressions read beside the driver and whether it is shared; None when that may be anything."""
    paths: dict[Path, None] = {}
    for compiled in selectors:
        if isinstance(compiled, str) or compiled.reads is None:
            return None
        named = (p for p in sorted(compiled.reads) if p[0] in ("attributes", "capacity"))
        paths.update(dict.fromkeys(named))
    return tuple(paths)


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
