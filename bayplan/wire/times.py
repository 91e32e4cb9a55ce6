"""Kubernetes timestamps (RFC 3339, UTC) as whole seconds since the epoch, by the calendar alone: no clock, no zone.

Days are counted from 0000-03-01 so that the leap day is the last of its year (H. Hinnant, "chrono-compatible low-level
date algorithms").
"""

from __future__ import annotations

import re
from functools import lru_cache

_SHAPE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_DAYS_TO_EPOCH = 719468
_DAYS_PER_ERA = 146097


@lru_cache(maxsize=65536)
def seconds(text: str) -> int:
    """Seconds of a timestamp, fractions dropped; 0 for an empty one. Raises ValueError."""
    if not text:
        return 0
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError(f"expected an RFC 3339 time such as 2026-01-31T12:00:00Z, got {text!r}")
    year, month, day, hour, minute, second = (int(part) for part in shape.groups()[:6])
    east_minutes = int(shape[8] or 0) * 60 + int(shape[9] or 0)
    if shape[7] == "-":
        east_minutes = -east_minutes
    return _days(year, month, day) * 86400 + (hour * 60 + minute - east_minutes) * 60 + second


@lru_cache(maxsize=4096)
def rfc3339(at_s: int) -> str:
    """The timestamp of a second, as the API writes it."""
    days, rest = divmod(at_s, 86400)
    year, month, day = _date(days)
    return f"{year:04}-{month:02}-{day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


def _days(year: int, month: int, day: int) -> int:
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (
        era * _DAYS_PER_ERA + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - _DAYS_TO_EPOCH
    )


def _date(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + _DAYS_TO_EPOCH, _DAYS_PER_ERA)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = (shifted + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
