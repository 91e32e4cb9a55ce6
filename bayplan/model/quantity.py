"""Resource quantities as exact integers (k8s.io/apimachinery `resource.Quantity`).

A quantity is a whole number of billionths (`nano`): parsing rounds finer digits up, away from zero, and nothing
else is ever rounded. `str()` gives the canonical form.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

NANO = 10**9
_SHAPE = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


class Quantity(msgspec.Struct, frozen=True, order=True, gc=False):
    """An exact amount in billionths of a unit."""

    nano: int

    @property
    def value(self) -> int:
        """Whole units, rounded up (away from zero), as `Quantity.Value()`."""
        whole, rest = divmod(abs(self.nano), NANO)
        return (whole + bool(rest)) * (1 if self.nano >= 0 else -1)
