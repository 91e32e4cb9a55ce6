"""A watch over HTTP: one JSON line per change, bookmarks, and an ERROR line when the past is forgotten.

meta/v1 WatchEvent; bookmarks are KEP-956, initial events in the stream (WatchList) KEP-3157.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from bayplan.clusters.embedded.errors import ApiError, gone
from bayplan.clusters.embedded.records import Change, Record
from bayplan.clusters.embedded.store import Store

# Often enough that a client's version stays inside the history, rare enough to cost nothing.
BOOKMARK_SECONDS = 20.0
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What to follow: `since` None starts with what exists now; `matches` tells whether a record is selected."""

    resource: str
    api_version: str
    kind: str
    since: int | None
    initial: bool
    bookmarks: bool
    initial_end: bool
    timeout_seconds: float | None
    matches: Callable[[Record], bool]
    render: Callable[[Record], bytes]


class Wakeups:
    """Tells every open watch of one server that something was committed, or that the server stops."""

    def __init__(self, store: Store) -> None:
        self.closing = False
        self._events: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._unsubscribe = store.subscribe(lambda version: self.wake())

    def wake(self) -> None:
        for event, loop in list(self._events.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        self.closing = True
        self._unsubscribe()
        self.wake()

    def add(self) -> asyncio.Event:
        event = asyncio.Event()
        self._events[event] = asyncio.get_running_loop()
        return event

    def drop(self, event: asyncio.Event) -> None:
        self._events.pop(event, None)


async def watch_lines(store: Store, wakeups: Wakeups, request: WatchRequest) -> AsyncIterator[bytes]:
    """The lines of a watch response; ends when the time is over or the server stops."""
    wakened = wakeups.add()
    loop = asyncio.get_running_loop()
    until = loop.time() + request.timeout_seconds if request.timeout_seconds else None
    try:
        cursor, lines = _begin(store, request)
        if lines:
            yield b"".join(lines)
        bookmark_due = loop.time() + BOOKMARK_SECONDS
        while not wakeups.closing and (until is None or loop.time() < until):
            wakened.clear()
            cursor, lines = _advance(store, request, cursor)
            if request.bookmarks and not lines and loop.time() >= bookmark_due:
                lines = [_bookmark(request, cursor)]
            if lines:
                yield b"".join(lines)
                bookmark_due = loop.time() + BOOKMARK_SECONDS
            await _sleep(wakened, min(bookmark_due, until or bookmark_due) - loop.time())
        if request.bookmarks:
            yield _bookmark(request, cursor)
    except ApiError as error:
        yield _line("ERROR", msgspec.json.encode(error.status()))
    finally:
        wakeups.drop(wakened)


async def _sleep(wakened: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(wakened.wait(), max(seconds, 0.0))
    except TimeoutError:
        return


def _begin(store: Store, request: WatchRequest) -> tuple[int, list[bytes]]:
    """Where to follow from, and the lines for what already exists."""
    if not request.initial:
        cursor = store.version if request.since is None else request.since
        if cursor > store.version:
            raise gone(f"resource version {cursor} is in the future of this cluster ({store.version})")
        return cursor, []
    records, version = store.rows(request.resource)
    lines = [_line("ADDED", request.render(record)) for record in records if request.matches(record)]
    if request.initial_end:
        lines.append(_bookmark(request, version, _INITIAL_EVENTS_END))
    return version, lines


def _advance(store: Store, request: WatchRequest, cursor: int) -> tuple[int, list[bytes]]:
    changes, version = store.changes(request.resource, cursor)
    return version, [line for change in changes for line in _render(change, request)]


def _render(change: Change, request: WatchRequest) -> Iterable[bytes]:
    """The change as this watch sees it: an object that leaves the selection is DELETED, one that enters ADDED."""
    was = change.previous is not None and request.matches(change.previous)
    is_now = change.type != "DELETED" and request.matches(change.record)
    if is_now:
        yield _line("MODIFIED" if was else "ADDED", request.render(change.record))
    elif was:
        yield _line("DELETED", request.render(change.record))


def _bookmark(request: WatchRequest, version: int, annotations: dict[str, str] | None = None) -> bytes:
    meta: dict[str, Any] = {"resourceVersion": str(version)}
    if annotations:
        meta["annotations"] = annotations
    obj = {"kind": request.kind, "apiVersion": request.api_version, "metadata": meta}
    return _line("BOOKMARK", msgspec.json.encode(obj))


def _line(kind: str, raw: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + raw + b"}\n"
