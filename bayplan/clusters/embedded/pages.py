"""List pages: the continue token of a chunked list names a snapshot, so all pages show one moment.

Snapshots are references to records, cheap to keep; the oldest is dropped, and its token then gets 410 Expired, after
which clients list without pages.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

import msgspec

from bayplan.clusters.embedded.errors import ApiError, bad_request
from bayplan.clusters.embedded.records import Record

SNAPSHOTS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Page:
    records: list[Record]
    version: int
    token: str
    left: int


class Pages:
    """The snapshots behind the continue tokens given out."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[list[Record], int]] = OrderedDict()
        self._serial = count(1)

    def first(self, records: list[Record], version: int, limit: int | None) -> Page:
        if not limit or len(records) <= limit:
            return Page(records, version, "", 0)
        number = next(self._serial)
        self._kept[number] = (records, version)
        while len(self._kept) > SNAPSHOTS_KEPT:
            self._kept.popitem(last=False)
        return self._cut(number, 0, limit)

    def more(self, token: str, limit: int | None) -> Page:
        number, start = _read_token(token)
        if number not in self._kept:
            raise ApiError(410, "Expired", "the provided continue parameter is too old: list again without continue")
        return self._cut(number, start, limit or len(self._kept[number][0]))

    def _cut(self, number: int, start: int, limit: int) -> Page:
        records, version = self._kept[number]
        stop = start + limit
        if stop >= len(records):
            del self._kept[number]
            return Page(records[start:], version, "", 0)
        token = base64.urlsafe_b64encode(msgspec.json.encode([number, stop])).decode()
        return Page(records[start:stop], version, token, len(records) - stop)


def _read_token(token: str) -> tuple[int, int]:
    try:
        number, start = msgspec.json.decode(base64.urlsafe_b64decode(token), type=tuple[int, int])
    except (ValueError, msgspec.DecodeError) as error:
        raise bad_request("continue key is not valid") from error
    return number, max(0, start)
