"""CEL selectors against devices, once per distinct device.

Devices that agree in everything the selectors read are one `Template`; a selector is evaluated once per template. An
attribute whose type this version does not know breaks every selector on its device, even one that reads only the
driver's name, as it does upstream.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from bayplan import cel
from bayplan.core.allocate.gates import Gates
from bayplan.model.device import Device, DeviceAttribute, DeviceSelector
from bayplan.model.semver import Semver, SemverError


class SelectorError(Exception):
    """A selector that does not compile, or fails on a device; the message is upstream's."""

    def __init__(self, where: str, why: str, device: str = "") -> None:
        super().__init__(f"{where} on device {device}: {why}" if device else f"{where}: {why}")
        self._where, self._why = where, why

    def on(self, device: str, gates: Gates) -> SelectorError:
        """The same, naming the device where upstream does (since 1.37)."""
        return SelectorError(self._where, self._why, device) if gates.release >= (1, 37) else self


class CompileError(SelectorError):
    """A selector that does not compile, on whatever device."""

    def on(self, device: str, gates: Gates) -> SelectorError:
        return self


def unsupported(device: Device, gates: Gates) -> str:
    """The first attribute whose value no selector can read; "" when there is none."""
    lists = gates.lists or gates.release >= (1, 37)
    rare = [n for n, a in device.attributes.items() if a.string is None and a.int_ is None and a.bool_ is None]
    return min((name for name in rare if not _readable(device.attributes[name], lists)), default="")


@lru_cache(maxsize=65536)
def _readable(attribute: DeviceAttribute, lists: bool) -> bool:
    try:
        found = _value(attribute)
    except SemverError:
        return False
    return found is not None and (lists or not isinstance(found, tuple))


def view(driver: str, device: Device, broken: str) -> cel.DeviceView:
    """The device for CEL; `broken` names an attribute no selector can read."""
    attributes = [(n, v) for n, a in device.attributes.items() if n != broken and (v := _value(a)) is not None]
    return cel.DeviceView.of(
        driver,
        () if broken else attributes,
        [(name, published.value) for name, published in device.capacity.items()],
        device.allow_multiple_allocations,
        f"attribute {broken}: unsupported attribute value" if broken else "",
    )


def _value(attribute: DeviceAttribute) -> cel.Attribute | None:
    for scalar in (attribute.string, attribute.int_, attribute.bool_):
        if scalar is not None:
            return scalar
    if attribute.version is not None:
        return Semver.parse(attribute.version)
    for many in (attribute.strings, attribute.ints, attribute.bools):
        if many is not None:
            return many
    return tuple(map(Semver.parse, attribute.versions)) if attribute.versions is not None else None


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> cel.Selector | str:
    """The selector, or why it does not compile. Stored expressions may use what a gate that is off would forbid."""
    try:
        return cel.compile_selector(expression)
    except cel.CompileError as failure:
        return str(failure)


class Matcher:
    """The selectors of a class and of a request, in that order."""

    def __init__(
        self, class_name: str, of_class: Iterable[DeviceSelector], claim: str, own: Iterable[DeviceSelector]
    ) -> None:
        self._steps = [
            (f"{where}: selector #{i}", _compiled(selector.cel.expression if selector.cel else ""))
            for where, selectors in ((f"class {class_name}", of_class), (f"claim {claim}", own))
            for i, selector in enumerate(selectors)
        ]

    def problem(self) -> str:
        """Why some selector does not compile; "" when all do."""
        return next((f"{where}: CEL compile error: {s}" for where, s in self._steps if isinstance(s, str)), "")

    def reads(self) -> frozenset[tuple[str, ...]] | None:
        """The attributes read, as ("attributes", domain, name); None when it may be any."""
        paths: set[tuple[str, ...]] = set()
        for _, selector in self._steps:
            if isinstance(selector, str):
                continue
            found = selector.reads
            if found is None or any(r[0] == "attributes" and len(r) < 3 for r in found):
                return None
            paths.update(r for r in found if r[0] == "attributes")
        return frozenset(paths)

    def matches(self, device: cel.DeviceView) -> bool:
        """Whether a device matches. Raises SelectorError."""
        for where, selector in self._steps:
            if isinstance(selector, str):
                raise CompileError(where, f"CEL compile error: {selector}")
            try:
                if not selector.matches(device):
                    return False
            except cel.EvalError as failure:
                raise SelectorError(where, f"CEL runtime error: {failure}") from failure
        return True
