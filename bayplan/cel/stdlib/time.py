"""Timestamps and durations, exact to the nanosecond. Zones are UTC and fixed offsets ("+02:00").

Named zones need the operating system's zone files, which a pure package does not read: they are an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.values import INT_MAX, INT_MIN, Duration, Timestamp

LIBRARY = Library()
_declare = LIBRARY.declare

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 (3.11's alias hides the class)
# 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z
_FIRST, _LAST = -62135596800 * SECOND, 253402300800 * SECOND - 1
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6}
_UNITS |= {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_DURATION = re.compile(r"([+-]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+|0)", re.ASCII)
_TERM = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_OFFSET = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{2})", re.ASCII)


def _duration(nanos: int) -> Duration:
    if not INT_MIN <= nanos <= INT_MAX:
        raise EvalError("duration overflow")
    return Duration(nanos)


def _timestamp(nanos: int) -> Timestamp:
    if not _FIRST <= nanos <= _LAST:
        raise EvalError("timestamp overflow")
    return Timestamp(nanos)


@_declare("duration(duration) -> duration", "timestamp(timestamp) -> timestamp")
def _same(value: object) -> object:
    return value


@_declare("duration(string) -> duration")
def parse_duration(text: str) -> Duration:
    """Go's notation: "1h30m", "-1.5s", "0"."""
    match = _DURATION.fullmatch(text) if len(text) <= 256 else None
    if match is None:
        raise EvalError(f'time: invalid duration "{text}"')
    sum_of_terms = sum((Decimal(number) * _UNITS[unit] for number, unit in _TERM.findall(match[2])), Decimal(0))
    return _duration(int(-sum_of_terms if match[1] == "-" else sum_of_terms))


@_declare("timestamp(string) -> timestamp")
def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339."""
    match = _TIMESTAMP.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        date, clock, fraction, zone = match.groups()
        moment = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        raise EvalError(f'parsing time "{text}": not an RFC 3339 timestamp') from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return _timestamp(seconds * SECOND + int(((fraction or ".0")[1:] + "0" * 9)[:9]))


@_declare("timestamp(int) -> timestamp")
def _timestamp_of_int(seconds: int) -> Timestamp:
    return _timestamp(seconds * SECOND)


def show_timestamp(moment: Timestamp) -> str:
    seconds, nanos = divmod(moment.nanos, SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%m-%dT%H:%M:%S")
    year = (_EPOCH + timedelta(seconds=seconds)).year
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{year:04d}-{text}{fraction}Z"


def show_duration(span: Duration) -> str:
    """Seconds, with a fraction where needed: "5400s", "0.5s"."""
    seconds = Decimal(span.nanos) / SECOND
    text = f"{seconds:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}s"


LIBRARY.add("string(timestamp) -> string", show_timestamp)
LIBRARY.add("string(duration) -> string", show_duration)
LIBRARY.add("int(timestamp) -> int", lambda moment: moment.nanos // SECOND)
LIBRARY.add("int(duration) -> int", lambda span: span.nanos)

LIBRARY.add("_+_(duration, duration) -> duration", lambda a, b: _duration(a.nanos + b.nanos))
LIBRARY.add("_+_(timestamp, duration) -> timestamp", lambda a, b: _timestamp(a.nanos + b.nanos))
LIBRARY.add("_+_(duration, timestamp) -> timestamp", lambda a, b: _timestamp(a.nanos + b.nanos))
LIBRARY.add("_-_(duration, duration) -> duration", lambda a, b: _duration(a.nanos - b.nanos))
LIBRARY.add("_-_(timestamp, duration) -> timestamp", lambda a, b: _timestamp(a.nanos - b.nanos))
LIBRARY.add("_-_(timestamp, timestamp) -> duration", lambda a, b: _duration(a.nanos - b.nanos))


def _local(moment: Timestamp, zone: str) -> datetime:
    return _EPOCH + timedelta(seconds=moment.nanos // SECOND) + _offset(zone)


def _offset(zone: str) -> timedelta:
    if zone in ("", "UTC", "Z"):
        return timedelta(0)
    match = _OFFSET.fullmatch(zone)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise EvalError(f"unknown time zone {zone} (UTC and offsets like +02:00 are known)")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda local: local.year,
    "getMonth": lambda local: local.month - 1,
    "getDayOfYear": lambda local: local.timetuple().tm_yday - 1,
    "getDayOfMonth": lambda local: local.day - 1,
    "getDate": lambda local: local.day,
    "getDayOfWeek": lambda local: (local.weekday() + 1) % 7,
    "getHours": lambda local: local.hour,
    "getMinutes": lambda local: local.minute,
    "getSeconds": lambda local: local.second,
}


def _getter(part: Callable[[datetime], int]) -> Callable[..., int]:
    def get(moment: Timestamp, zone: str = "") -> int:
        try:
            return part(_local(moment, zone))
        except OverflowError:
            raise EvalError("timestamp overflow") from None

    return get


for _name, _part in _PARTS.items():
    LIBRARY.add(f"timestamp.{_name}() -> int", _getter(_part))
    LIBRARY.add(f"timestamp.{_name}(string) -> int", _getter(_part))


@_declare("timestamp.getMilliseconds() -> int", "timestamp.getMilliseconds(string) -> int")
def _milliseconds(moment: Timestamp, zone: str = "") -> int:
    _offset(zone)
    return moment.nanos % SECOND // 10**6


def _truncated(span: Duration, unit: int) -> int:
    return abs(span.nanos) // unit * (1 if span.nanos >= 0 else -1)


LIBRARY.add("duration.getHours() -> int", lambda span: _truncated(span, 3600 * SECOND))
LIBRARY.add("duration.getMinutes() -> int", lambda span: _truncated(span, 60 * SECOND))
LIBRARY.add("duration.getSeconds() -> int", lambda span: _truncated(span, SECOND))
LIBRARY.add("duration.getMilliseconds() -> int", lambda span: _truncated(span, 10**6))
