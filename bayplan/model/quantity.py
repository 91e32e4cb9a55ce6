"""Resource quantities as exact integers (k8s.io/apimachinery `resource.Quantity`).

A quantity is a whole number of billionths (`nano`): parsing rounds finer digits up, away from zero, and nothing
else is ever rounded. Two quantities are equal when their amounts are; how a quantity was spelled (`format`,
`given`) only decides what `str()` prints.

`str()` follows upstream: a short decimal or binary number that already has a suffix on a thousand's boundary is
given back as it was written ("+1", "1.025", "1000Ki"); everything else is brought to the largest suffix that
leaves a whole number ("1.08" is "1080m", "0.5Mi" is "512Ki").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

NANO = 10**9
INT64_MAX = 2**63 - 1

# An amount must stay an integer a machine can hold: upstream would try to build 10**2147483647.
MAX_EXPONENT = 1000
MAX_LENGTH = 256

_PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SHAPE = re.compile(r"([+-]?)([0-9]*)(\.?)([0-9]*)([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE][+-]?[0-9]+", re.ASCII)
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_OF = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_DECIMAL_OF = {power: suffix for suffix, power in _DECIMAL.items()}

# Upstream keeps numbers of up to this many decimal digits in 64 bits, and only those as they were written.
_FAST_DECIMAL_DIGITS = 18
_FAST_BINARY_DIGITS = 14


class QuantityError(ValueError):
    """The text is not a quantity; the message says what was expected, in upstream's words."""


class Quantity:
    """An exact amount in billionths of a unit. Immutable; hashable and ordered by amount alone.

    `given` is the spelling to print where upstream keeps it, else "". A plain class, so that JSON codecs treat it as
    the text it is on the wire (`bayplan.model.codec`) and not as an object with fields.
    """

    __slots__ = ("format", "given", "nano")

    def __init__(self, nano: int, format: Format = "DecimalSI", given: str = "") -> None:
        self.nano: Final = nano
        self.format: Final[Format] = format
        self.given: Final = given

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    @staticmethod
    def parse(text: str) -> Quantity:
        """The quantity a Kubernetes string denotes; raises QuantityError."""
        return _parse(text)

    @staticmethod
    def of(units: int, format: Format = "DecimalSI") -> Quantity:
        """A whole number of units."""
        return Quantity(units * NANO, format)

    @staticmethod
    def of_json(value: object) -> Quantity:
        """A quantity as JSON may hold it: a string (surrounding blanks allowed) or a number."""
        if isinstance(value, str):
            return _parse(value.strip())
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise QuantityError(f"expected a quantity (string or number), got {type(value).__name__}")
        return _parse(str(value))

    @property
    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _scaled(self.nano, NANO)

    @property
    def milli(self) -> int:
        """Thousandths, rounded up (away from zero)."""
        return _scaled(self.nano, 10**6)

    def __str__(self) -> str:
        return self.given or _canonical(self.nano, self.format)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __eq__(self, other: object) -> bool:
        return self.nano == other.nano if isinstance(other, Quantity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nano)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano


def _scaled(nano: int, unit: int) -> int:
    return -(-nano // unit) if nano >= 0 else nano // unit


@lru_cache(maxsize=65536)
def _parse(text: str) -> Quantity:
    shape = _SHAPE.fullmatch(text)
    if not text or shape is None:
        raise QuantityError(f"quantities must match the regular expression '{_PATTERN}'")
    if len(text) > MAX_LENGTH:
        raise QuantityError(f"quantities are at most {MAX_LENGTH} characters long")
    sign, whole, dot, fraction, suffix = shape.groups()
    if not (dot or suffix or whole.lstrip("0")):
        return Quantity(0)
    number = whole.lstrip("0") or "0"
    power, format = _suffix(suffix)
    scale = power - len(fraction) if format != "BinarySI" else -len(fraction)
    fast = _is_fast(number, fraction, power, scale, format)
    if not fast and not (whole or fraction):
        raise QuantityError("unable to parse numeric part of quantity")
    mantissa = int(number + fraction)
    if format == "BinarySI":
        nano = _at_scale(mantissa << power, scale)
        if nano > INT64_MAX * NANO:
            nano = INT64_MAX * NANO
        if 0 < nano < NANO:
            format = "DecimalSI"
    else:
        nano = _at_scale(mantissa, scale)
    as_given = fast and _keeps_spelling(number + fraction, mantissa, scale, format)
    return Quantity(-nano if sign == "-" else nano, format, text if as_given else "")


def _suffix(suffix: str) -> tuple[int, Format]:
    """The power (of ten, or of two for BinarySI) and the format a suffix stands for."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], "DecimalSI"
    if suffix in _BINARY:
        return _BINARY[suffix], "BinarySI"
    if not _EXPONENT.fullmatch(suffix):
        raise QuantityError("unable to parse quantity's suffix")
    return int(suffix[1:]), "DecimalExponent"


def _at_scale(mantissa: int, scale: int) -> int:
    """`mantissa` * 10**`scale` in billionths, rounded up."""
    if mantissa == 0:
        return 0
    if scale > MAX_EXPONENT:
        raise QuantityError(f"quantities are at most 1e{MAX_EXPONENT}")
    if scale >= -9:
        return int(mantissa * 10 ** (scale + 9))
    return int(-(-mantissa // 10 ** (-9 - max(scale, -MAX_EXPONENT))))


def _is_fast(number: str, fraction: str, power: int, scale: int, format: Format) -> bool:
    """Whether upstream would hold the number in 64 bits, the precondition of keeping its spelling."""
    if format == "BinarySI":
        room = _FAST_BINARY_DIGITS - len(number) - power * 3 // 10
        return not fraction and room >= 0 and int(number) << power <= INT64_MAX
    return len(number) + len(fraction) <= _FAST_DECIMAL_DIGITS and scale >= -9


def _keeps_spelling(digits: str, mantissa: int, scale: int, format: Format) -> bool:
    if format == "BinarySI":
        return mantissa % 8 != 0
    return scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0"


def _canonical(nano: int, format: Format) -> str:
    if nano == 0:
        return "0"
    if format == "BinarySI" and abs(nano) >= 1024 * NANO and nano % NANO == 0:
        return _canonical_binary(nano // NANO)
    power = -9
    while nano % 1000 == 0:
        nano //= 1000
        power += 3
    if format != "DecimalExponent" and power in _DECIMAL_OF:
        return f"{nano}{_DECIMAL_OF[power]}"
    return f"{nano}e{power}" if power else str(nano)


def _canonical_binary(units: int) -> str:
    power = 0
    while units % 1024 == 0 and power < 60:
        units //= 1024
        power += 10
    return f"{units}{_BINARY_OF[power]}"
