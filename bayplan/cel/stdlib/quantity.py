"""The Kubernetes quantity library: exact amounts, compared and added."""

from __future__ import annotations

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.values import INT_MAX, INT_MIN
from bayplan.model.quantity import NANO, Quantity, QuantityError

LIBRARY = Library()
_declare = LIBRARY.declare


@_declare("quantity(string) -> Quantity")
def _quantity(text: str) -> Quantity:
    try:
        return Quantity.parse(text)
    except QuantityError as error:
        raise EvalError(str(error)) from None


@_declare("isQuantity(string) -> bool")
def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except QuantityError:
        return False
    return True


@_declare("Quantity.isInteger() -> bool")
def _is_integer(quantity: Quantity) -> bool:
    units, rest = divmod(quantity.nano, NANO)
    return rest == 0 and INT_MIN <= units <= INT_MAX


@_declare("Quantity.asInteger() -> int")
def _as_integer(quantity: Quantity) -> int:
    if not _is_integer(quantity):
        raise EvalError("cannot convert value to integer")
    return quantity.nano // NANO


@_declare("Quantity.asApproximateFloat() -> double")
def _as_float(quantity: Quantity) -> float:
    try:
        return quantity.nano / NANO
    except OverflowError:
        return float("inf") if quantity.nano > 0 else float("-inf")


# Declared both ways because upstream's declaration, meant as a method, is a function.
@_declare("sign(Quantity) -> int", "Quantity.sign() -> int")
def _sign(quantity: Quantity) -> int:
    return (quantity.nano > 0) - (quantity.nano < 0)


@_declare("Quantity.isGreaterThan(Quantity) -> bool")
def _is_greater(left: Quantity, right: Quantity) -> bool:
    return left.nano > right.nano


@_declare("Quantity.isLessThan(Quantity) -> bool")
def _is_less(left: Quantity, right: Quantity) -> bool:
    return left.nano < right.nano


@_declare("Quantity.compareTo(Quantity) -> int")
def _compare(left: Quantity, right: Quantity) -> int:
    return (left.nano > right.nano) - (left.nano < right.nano)


@_declare("Quantity.add(Quantity) -> Quantity")
def _add(left: Quantity, right: Quantity) -> Quantity:
    return left + right


@_declare("Quantity.add(int) -> Quantity")
def _add_int(left: Quantity, right: int) -> Quantity:
    return left + Quantity.of(right, "DecimalExponent")


@_declare("Quantity.sub(Quantity) -> Quantity")
def _sub(left: Quantity, right: Quantity) -> Quantity:
    return left - right


@_declare("Quantity.sub(int) -> Quantity")
def _sub_int(left: Quantity, right: int) -> Quantity:
    return left - Quantity.of(right, "DecimalExponent")
