"""The CEL of DRA device selectors (KEP-4381; resource.k8s.io/v1 `CELDeviceSelector`), Kubernetes 1.36/1.37.

`device.driver`, `device.attributes[domain].id`, `device.capacity[domain].id`, and with consumable capacity
`device.allowMultipleAllocations`. An unknown domain is an empty map, an unknown id an error; a name without a
domain belongs to the driver's. Attributes are typed dynamically; the result must be a bool or an attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

import msgspec

from bayplan.cel import stdlib
from bayplan.cel.ast import Call, Node
from bayplan.cel.charges import UNLIMITED
from bayplan.cel.checker import Environment, Problem, check
from bayplan.cel.compile import Program
from bayplan.cel.cost import MAX_INCLUDES, SCALAR, Shape, estimate
from bayplan.cel.errors import CompileError, EvalError
from bayplan.cel.frame import Closure, Frame
from bayplan.cel.lexer import SourceError
from bayplan.cel.parser import parse
from bayplan.cel.paths import DEVICE, Path, Read, path_of, reads_of
from bayplan.cel.registry import Functions, Library
from bayplan.cel.stdlib.regex import validate as validate_regex
from bayplan.cel.stdlib.time import parse_duration, parse_timestamp
from bayplan.cel.types import ANY, BOOL, DYN, STRING, Type, map_of
from bayplan.cel.values import (
    EMPTY_MAP,
    NONE,
    DefaultMap,
    Optional,
    Value,
    equals,
    type_name,
)
from bayplan.model.quantity import Quantity
from bayplan.model.semver import Semver

MAX_EXPRESSION_BYTES = 10 * 1024
MAX_COST = 1_000_000

Attribute: TypeAlias = (
    bool | int | str | Semver | tuple[bool, ...] | tuple[int, ...] | tuple[str, ...] | tuple[Semver, ...]
)


class DeviceView(msgspec.Struct, frozen=True):
    """What a selector sees of one device: attributes and capacity by domain, then by id.

    `unsupported` tells why no selector can be evaluated on the device at all (an attribute of unknown type, a
    version that is none), "" if all is well.
    """

    driver: str
    attributes: Mapping[str, Mapping[str, Attribute]] = {}
    capacity: Mapping[str, Mapping[str, Quantity]] = {}
    allow_multiple_allocations: bool = False
    unsupported: str = ""

    @staticmethod
    def of(
        driver: str,
        attributes: Iterable[tuple[str, Attribute]] = (),
        capacity: Iterable[tuple[str, Quantity]] = (),
        allow_multiple_allocations: bool = False,
        unsupported: str = "",
    ) -> DeviceView:
        """A view of names as the API has them, with or without a domain ("model", "dra.example.com/model")."""
        return DeviceView(
            driver,
            _by_domain(attributes, driver),
            _by_domain(capacity, driver),
            allow_multiple_allocations,
            unsupported,
        )


def _by_domain(entries: Iterable[tuple[str, Value]], driver: str) -> dict[str, dict[str, Value]]:
    result: dict[str, dict[str, Value]] = {}
    for name, value in sorted(entries, key=lambda entry: entry[0]):
        domain, slash, identifier = name.partition("/")
        if slash:
            result.setdefault(domain, {})[identifier] = value
        else:
            result.setdefault(driver, {})[name] = value
    return result


class Selector:
    """A compiled selector. Immutable; `matches` may be called from anywhere.

    `reads` lists the parts of a device the result depends on, e.g. ("attributes", "gpu.nvidia.com", "type"),
    ("attributes", "gpu.nvidia.com") for a whole domain, ("driver",); None when it may depend on everything.
    `max_cost` is the worst case in cost units for a device within the API's limits.
    """

    __slots__ = ("_program", "_reader", "expression", "max_cost", "reads")

    def __init__(self, expression: str, root: Node) -> None:
        self.expression = expression
        self.max_cost = estimate(root, {DEVICE: _DEVICE_SHAPE})
        self.reads: tuple[Read, ...] | None = reads_of(root)
        self._program = Program(root, DeviceRoot(), MAX_COST, metered=self.max_cost > MAX_COST)

    def matches(self, device: DeviceView) -> bool:
        """Whether the device is selected; raises EvalError (which in Kubernetes ends the whole allocation)."""
        if device.unsupported:
            raise EvalError(device.unsupported)
        result = self._program.evaluate(device)
        if result is True or result is False:
            return bool(result)
        raise EvalError(f"CEL result of type {type_name(result)} could not be converted to bool")

    def key(self, device: DeviceView) -> tuple[Value, ...]:
        """A hashable value: devices with equal keys get the same answer (or the same error)."""
        if self.reads is None:
            return device.unsupported, *[_frozen(_read(device, (field,))) for field in _FIELDS]
        return (device.unsupported, *[_frozen(_read(device, read)) for read in self.reads])


_FIELDS = ("driver", "attributes", "capacity", "allowMultipleAllocations")


def _read(device: DeviceView, read: Read) -> Value:
    if read[0] == "driver":
        return device.driver
    if read[0] == "allowMultipleAllocations":
        return device.allow_multiple_allocations
    found: Value = device.attributes if read[0] == "attributes" else device.capacity
    for name in read[1:]:
        found = found.get(name)
        if found is None:
            return None
    return found


def _frozen(value: Value) -> Value:
    """Hashable, and never equal for values that CEL tells apart (Python's True is 1)."""
    kind = type(value)
    if kind is str or value is None:
        return value
    if kind is tuple:
        return tuple(map(_frozen, value))
    if isinstance(value, dict | Mapping):
        return "map", tuple((name, _frozen(value[name])) for name in sorted(value))
    return kind, value


def compile_selector(expression: str, *, consumable_capacity: bool = True, list_attributes: bool = True) -> Selector:
    """Compiles a selector; raises CompileError. The same arguments give the same Selector.

    The two flags are the feature gates a *new* expression obeys (DRAConsumableCapacity, DRAListTypeAttributes);
    stored ones are compiled with both.
    """
    outcome = _compiled(expression, consumable_capacity, list_attributes)
    if isinstance(outcome, CompileError):
        raise CompileError(str(outcome), outcome.problems)
    return outcome


@lru_cache(maxsize=4096)
def _compiled(expression: str, consumable_capacity: bool, list_attributes: bool) -> Selector | CompileError:
    try:
        return Selector(expression, _checked(expression, consumable_capacity, list_attributes))
    except CompileError as error:
        # Kept without its traceback, which would hold the frames of the whole compilation alive.
        return CompileError(str(error), error.problems)


def _checked(expression: str, consumable_capacity: bool, list_attributes: bool) -> Node:
    length = len(expression.encode("utf-8", "surrogatepass"))
    if length > MAX_EXPRESSION_BYTES:
        raise CompileError(f"expression is {length} bytes long, at most {MAX_EXPRESSION_BYTES} are allowed")
    try:
        root = parse(expression)
    except SourceError as error:
        raise _failed(expression, [Problem(error.position, str(error))]) from None
    problems = check(root, environment(consumable_capacity, list_attributes))
    if problems:
        raise _failed(expression, problems)
    attribute = DYN if list_attributes else ANY
    if root.type not in (BOOL, attribute):
        raise CompileError(f"must evaluate to bool or the unknown type, not {root.type}")
    return root


def _failed(expression: str, problems: list[Problem]) -> CompileError:
    lines = []
    for problem in problems:
        before = expression[: problem.position]
        line, column = before.count("\n") + 1, problem.position - (before.rfind("\n") + 1) + 1
        lines.append(f"ERROR: <input>:{line}:{column}: {problem.message}")
    return CompileError(f"compilation failed: {lines[0]}", tuple(lines))


# -- the environment


_INCLUDES = Library()


@_INCLUDES.declare("dyn.includes(dyn) -> bool")
def _includes(target: Value, wanted: Value) -> bool:
    """Equality for a scalar, membership for a list; the work is bounded by looking at 48 elements."""
    if not isinstance(target, tuple):
        return equals(target, wanted)
    for at, item in enumerate(target):
        if at >= MAX_INCLUDES:
            raise EvalError(f"'includes' function cannot be applied to lists longer than {MAX_INCLUDES} values")
        if equals(item, wanted):
            return True
    return False


_DEVICE_TYPE = Type("kubernetes.DRADevice")


def _validator(parser: Callable[[str], object]) -> Callable[[str], None]:
    def validate(text: str) -> None:
        parser(text)

    return validate


@lru_cache(maxsize=4)
def environment(consumable_capacity: bool, list_attributes: bool) -> Environment:
    attribute = DYN if list_attributes else ANY
    fields = {
        "driver": STRING,
        "attributes": map_of(STRING, map_of(STRING, attribute)),
        "capacity": map_of(STRING, map_of(STRING, Type("Quantity"))),
    }
    if consumable_capacity:
        fields["allowMultipleAllocations"] = BOOL
    libraries = [*stdlib.BASE, _INCLUDES] if list_attributes else list(stdlib.BASE)
    return Environment(
        {DEVICE: _DEVICE_TYPE},
        {_DEVICE_TYPE.name: fields},
        Functions(libraries),
        {
            "matches": validate_regex,
            "duration": _validator(parse_duration),
            "timestamp": _validator(parse_timestamp),
        },
    )


# The API's limits: 32 attributes and capacities of a device, ids of 32 characters, domains of 63, values of 64
# characters or (lists) 48 elements.
_ATTRIBUTES = Shape(32, Shape(63), Shape(32, Shape(32), Shape(64)))
_CAPACITY = Shape(32, Shape(63), Shape(32, Shape(32), Shape(UNLIMITED)))
_DEVICE_SHAPE = Shape(
    fields={
        "driver": Shape(63),
        "allowMultipleAllocations": SCALAR,
        "attributes": _ATTRIBUTES,
        "capacity": _CAPACITY,
    }
)


class DeviceRoot:
    """Reads of a device along a constant path, each as one closure."""

    def compiled(self, node: Node, is_shadowed: Callable[[str], bool]) -> tuple[Closure, int] | None:
        if is_shadowed(DEVICE):
            return None
        if isinstance(node, Call) and node.function == "@in":
            return _membership(node)
        path = path_of(node)
        return _READERS[path.fields[0] if path.fields else ""](path) if path is not None else None


def _membership(node: Call) -> tuple[Closure, int] | None:
    """`"id" in device.attributes["domain"]`."""
    key, container = node.args[0], path_of(node.args[1])
    literal = getattr(key, "value", None)
    if container is None or container.mode != "value" or len(container.fields) != 2 or not isinstance(literal, str):
        return None
    source, domain = _map_of(container.fields[0]), container.fields[1]
    return lambda frame: literal in source(frame).get(domain, EMPTY_MAP), 4


def _map_of(field: str) -> Callable[[Frame], Mapping[str, Mapping[str, Value]]]:
    if field == "attributes":
        return lambda frame: frame[0].attributes
    return lambda frame: frame[0].capacity


def _read_device(path: Path) -> tuple[Closure, int]:
    return lambda frame: frame[0], 1


def _read_scalar(path: Path) -> tuple[Closure, int] | None:
    name = {"driver": "driver", "allowMultipleAllocations": "allow_multiple_allocations"}[path.fields[0]]
    if len(path.fields) > 1:
        return None
    if path.mode == "has":
        return lambda frame: True, 1
    if path.mode == "optional":
        return lambda frame: Optional(True, getattr(frame[0], name)), 2
    return lambda frame: getattr(frame[0], name), 2


def _read_map(path: Path) -> tuple[Closure, int] | None:
    """Reads of `device.attributes` and `device.capacity`, down to a domain or an id."""
    source = _map_of(path.fields[0])
    if len(path.fields) == 3:
        return _READ_ID[path.mode](path)
    if path.mode != "value":
        return None
    if len(path.fields) == 2:
        domain = path.fields[1]
        return lambda frame: _plain_dict(source(frame).get(domain, EMPTY_MAP)), 3
    return lambda frame: DefaultMap((name, _plain_dict(held)) for name, held in source(frame).items()), 2


def _plain_dict(mapping: Mapping[str, Value]) -> dict[str, Value]:
    return mapping if isinstance(mapping, dict) else dict(mapping)


def _read_attribute(path: Path) -> tuple[Closure, int]:
    field, domain, name = path.fields

    def attribute(frame: Frame) -> Value:
        try:
            return frame[0].attributes[domain][name]
        except KeyError:
            raise EvalError(f"no such key: {name}") from None

    def capacity(frame: Frame) -> Value:
        try:
            return frame[0].capacity[domain][name]
        except KeyError:
            raise EvalError(f"no such key: {name}") from None

    return attribute if field == "attributes" else capacity, 4


def _has_attribute(path: Path) -> tuple[Closure, int]:
    source, domain, name = _map_of(path.fields[0]), path.fields[1], path.fields[2]
    return lambda frame: name in source(frame).get(domain, EMPTY_MAP), 3


def _find_attribute(path: Path) -> tuple[Closure, int]:
    source, domain, name = _map_of(path.fields[0]), path.fields[1], path.fields[2]

    def found(frame: Frame) -> Value:
        held = source(frame).get(domain, EMPTY_MAP)
        return Optional(True, held[name]) if name in held else NONE

    return found, 4


_READ_ID = {"value": _read_attribute, "has": _has_attribute, "optional": _find_attribute}
_READERS: Mapping[str, Callable[[Path], tuple[Closure, int] | None]] = {
    "": _read_device,
    "driver": _read_scalar,
    "allowMultipleAllocations": _read_scalar,
    "attributes": _read_map,
    "capacity": _read_map,
}
