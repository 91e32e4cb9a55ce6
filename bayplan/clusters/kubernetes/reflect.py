"""One resource followed: listed page by page, then watched from there on, for as long as the process lives.

The rules are client-go's reflector's: a watch that ends is taken up again where it stopped (bookmarks carry the place
forward), 410 means list anew, and whatever fails is tried again after a pause that grows and varies.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator

import msgspec

from bayplan.clusters.kubernetes.cache import Cache, Head, head_of, record_of
from bayplan.clusters.kubernetes.http import Http, Unreachable
from bayplan.clusters.kubernetes.served import Served
from bayplan.runtime.objects import ApiError, Record

PAGE_ITEMS = 1000
WATCH_S = 300  # the server ends a watch after this time, plus up to as much again: connections wander
PAUSE_S = 0.2
PAUSE_MAX_S = 20.0

_log = logging.getLogger("bayplan.kubernetes")


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Code(msgspec.Struct):
    code: int = 0
    message: str = ""


class _BookmarkMeta(msgspec.Struct, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMeta


_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_CODE = msgspec.json.Decoder(_Code)
_BOOKMARK = msgspec.json.Decoder(_Bookmark)


class Reflector:
    """Keeps one resource of a cache up to date in a thread of its own.

    `synced` is set while the cache holds everything; `trouble` says what is wrong, `heard_s` when the server last said
    something (monotonic).
    """

    def __init__(self, http: Http, served: Served, cache: Cache) -> None:
        self.served = served
        self.synced = threading.Event()
        self.trouble: Exception | None = None
        self.heard_s = time.monotonic()
        self._http, self._cache = http, cache
        self._version = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{served.resource}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tells the thread to end; it does so at the next line or when its connection is closed."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def resync(self) -> None:
        """Reads everything anew, here and now, beside the watch. Raises ApiError, Unreachable."""
        self._list()

    def _run(self) -> None:
        pause_s = PAUSE_S
        while not self._stopped.is_set():
            try:
                if not self._version:
                    self._version = self._list()
                    self.synced.set()
                self._watch()
                self.trouble, pause_s = None, PAUSE_S
            except ApiError as error:
                self._refused(error)
            except (Unreachable, msgspec.MsgspecError) as error:
                if not self._stopped.is_set():
                    self._note(error)
            if self.trouble is not None:
                self._stopped.wait(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(PAUSE_MAX_S, pause_s * 2)

    def _refused(self, error: ApiError) -> None:
        if error.status_code == 410:
            self._version, self.trouble = "", None
        else:
            self._note(error)

    def _note(self, error: Exception) -> None:
        if str(error) != str(self.trouble):
            _log.warning("%s: %s", self.served.resource, error)
        self.trouble = error

    # --- list ----------------------------------------------------------------------------------------------------

    def _list(self) -> str:
        """Puts all there is into the cache; the version it is current at."""
        token, version = "", ""
        records: list[Record] = []
        while True:
            query = f"?limit={PAGE_ITEMS}" + (f"&continue={token}" if token else "")
            body = self._http.request("GET", self.served.path() + query, timeout_s=60).body
            page = _LIST.decode(body)
            records += [self._record(item) for item in page.items or ()]
            token, version = page.metadata.continue_, page.metadata.resource_version
            self._hear()
            if not token:
                break
        self._cache.replace(self.served.resource, records, int(version or 0))
        return version

    # --- watch ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        timeout_s = int(WATCH_S * random.uniform(1, 2))
        query = f"?watch=1&allowWatchBookmarks=true&resourceVersion={self._version}&timeoutSeconds={timeout_s}"
        for event in self._events(self.served.path() + query):
            if self._stopped.is_set():
                return
            self._hear()
            match event.type:
                case "ADDED" | "MODIFIED":
                    self._version = str(self._take(event.object))
                case "DELETED":
                    record = self._record(event.object)
                    self._cache.drop(record)
                    self._version = str(record.version)
                case "BOOKMARK":
                    self._version = _BOOKMARK.decode(event.object).metadata.resource_version
                case _:
                    told = _CODE.decode(event.object)
                    raise ApiError(told.code, "Expired" if told.code == 410 else "WatchError", told.message)

    def _take(self, raw: msgspec.Raw) -> int:
        """Puts an object into the cache, unless it is our own write that comes back; its version."""
        head = head_of(raw)
        known = self._cache.find(self.served.resource, head.key)
        if known is None or known.version < head.version:
            self._cache.put(self._record(raw, head))
        return head.version

    def _events(self, path: str) -> Iterator[_Event]:
        for line in self._http.lines(path):
            yield _EVENT.decode(line)

    def _record(self, raw: msgspec.Raw, head: Head | None = None) -> Record:
        return record_of(self.served.resource, raw, self.served.api_version, self.served.kind, head)

    def _hear(self) -> None:
        self.heard_s = time.monotonic()
        self.trouble = None
