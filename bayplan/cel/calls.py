"""Calls of functions: the overload is chosen by the classes of the arguments at run time, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bayplan.cel.ast import Call
from bayplan.cel.charges import CHARGES
from bayplan.cel.errors import NO_OVERLOAD, EvalError
from bayplan.cel.frame import Closure, Constant, Frame, charge
from bayplan.cel.registry import Implementation, Overload
from bayplan.cel.values import Value, equals


def _resolver(overloads: Sequence[Overload]) -> Callable[[tuple[type, ...]], Implementation]:
    known: dict[tuple[type, ...], Implementation] = {}

    def resolve(classes: tuple[type, ...]) -> Implementation:
        found = known.get(classes)
        if found is None:
            for overload in overloads:
                if overload.accepts(classes):
                    found = known[classes] = overload.implementation
                    break
            else:
                raise EvalError(NO_OVERLOAD)
        return found

    return resolve


def dispatched(node: Call, args: Sequence[Closure]) -> Closure:
    resolve = _resolver(node.overloads)
    if len(args) == 1:
        (only,) = args

        def unary(frame: Frame) -> Value:
            value = only(frame)
            return resolve((type(value),))(value)

        return unary
    if len(args) == 2:
        first, second = args

        def binary(frame: Frame) -> Value:
            left, right = first(frame), second(frame)
            return resolve((type(left), type(right)))(left, right)

        return binary

    def call(frame: Frame) -> Value:
        values = [arg(frame) for arg in args]
        return resolve(tuple(map(type, values)))(*values)

    return call


def metered_call(node: Call, args: Sequence[Closure]) -> Closure:
    resolve = _resolver(node.overloads)
    cost_of = CHARGES.get(node.function)

    def call(frame: Frame) -> Value:
        values = [arg(frame) for arg in args]
        result = resolve(tuple(map(type, values)))(*values)
        charge(frame, cost_of(values, result) if cost_of is not None else 1)
        return result

    return call


def folded(node: Call, values: Sequence[Value]) -> Closure:
    """A call of constants: its value, or a closure that fails as it does."""
    try:
        return Constant(_resolver(node.overloads)(tuple(map(type, values)))(*values))
    except EvalError as error:
        message = str(error)

    def fail(frame: Frame) -> Value:
        raise EvalError(message)

    return fail


def specialised(node: Call, args: Sequence[Closure]) -> Closure | None:
    """Faster closures for the calls that selectors are made of: a comparison with a constant."""
    if len(args) != 2 or not isinstance(args[1], Constant):
        return None
    left, right = args[0], args[1].value
    if node.function == "_==_" and isinstance(right, str):
        return lambda frame: left(frame) == right
    if node.function == "_!=_" and isinstance(right, str):
        return lambda frame: left(frame) != right
    if node.function == "_==_":
        return lambda frame: equals(left(frame), right)
    resolve = _resolver(node.overloads)
    kind = type(right)
    try:
        same = resolve((kind, kind))
    except EvalError:
        return None

    def compare(frame: Frame) -> Value:
        value = left(frame)
        return same(value, right) if type(value) is kind else resolve((type(value), kind))(value, right)

    return compare
