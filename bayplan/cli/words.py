"""Times and numbers as people say them."""

from __future__ import annotations

import time
from collections.abc import Sequence

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def duration(seconds: int) -> str:
    """`40 s`, `41 min`, `2 h 05`, `3 d 4 h`."""
    seconds = max(0, seconds)
    if seconds < 2 * _MINUTE_S:
        return f"{seconds} s"
    if seconds < 100 * _MINUTE_S:
        return f"{(seconds + 30) // _MINUTE_S} min"
    if seconds < 2 * _DAY_S:
        hours, rest = divmod((seconds + 30) // _MINUTE_S, 60)
        return f"{hours} h {rest:02}"
    days, hours = divmod((seconds + 1800) // _HOUR_S, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def clock(at_s: int, now_s: int) -> str:
    """`14:25`, with the day where it is not today's: `Tue 14:25`, `3 Mar 14:25`."""
    at, now = time.localtime(at_s), time.localtime(now_s)
    if at[:3] == now[:3]:
        return time.strftime("%H:%M", at)
    if abs(at_s - now_s) < 6 * _DAY_S:
        return time.strftime("%a %H:%M", at)
    return time.strftime("%-d %b %H:%M", at)


def when(at_s: int, now_s: int) -> str:
    """A moment to come: `now`, or `14:25, in 41 min`."""
    if at_s <= now_s:
        return "now"
    return f"{clock(at_s, now_s)}, in {duration(at_s - now_s)}"


def ordinal(number: int) -> str:
    """`3rd`."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{ends.get(number % 10, 'th')}"


def count(number: int, one: str, many: str = "") -> str:
    """`1 pod`, `8 pods`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def gpus(milli: int) -> str:
    """Thousandths of a GPU: `4`, `3.2`."""
    return f"{milli / 1000:,.1f}".removesuffix(".0")


def listed(names: Sequence[str], most: int = 4) -> str:
    """`a, b and 3 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def folded(names: Sequence[str]) -> str:
    """Devices in order, runs joined: `gpu-0…gpu-7` for eight of a row, `6 × gpu-0 (12Gi memory)` for shares of one."""
    by_share: dict[str, list[str]] = {}
    for name in names:
        device, space, share = name.partition(" ")
        by_share.setdefault(space + share, []).append(device)
    return ", ".join(_run(devices) + share for share, devices in by_share.items())


def _run(names: Sequence[str]) -> str:
    parts: list[str] = []
    run: list[str] = []
    for name in [*names, ""]:
        if run and _follows(run[-1], name):
            run.append(name)
            continue
        parts += [f"{run[0]}…{run[-1]}"] if len(run) > 2 else run
        run = [name]
    tally = {part: parts.count(part) for part in parts}
    return ", ".join(f"{n} × {part}" if n > 1 else part for part, n in tally.items())


def _follows(first: str, second: str) -> bool:
    stem, _, number = first.rpartition("-")
    return number.isdigit() and second == f"{stem}-{int(number) + 1}"
