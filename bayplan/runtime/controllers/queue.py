"""The work queue: changes of the store become keys, each key is looked at once however often it changed.

Nothing here has a thread or a clock: `step()` does what there is to do at the second it is told, and `due_s()` says
when there will be more. The order of work is the order of changes, so a simulated world repeats.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic

from bayplan.runtime.controllers import events
from bayplan.runtime.controllers.base import Controller, Key, S, references
from bayplan.runtime.objects import ApiError, Change, Following
from bayplan.wire.errors import Malformed

RETRIES_MAX = 5  # conflicts in a row before a key waits for RETRY_S: somebody else writes without pause
RETRY_S = 5

Item = tuple[int, Key]
"""(position of the controller, key)"""


class Controllers(Generic[S]):
    """All controllers of one store. Not thread-safe: one caller drains it."""

    def __init__(self, store: S, controllers: Sequence[Controller[S]]) -> None:
        self._store = store
        self._controllers = tuple(controllers)
        self._queue: deque[Item] = deque()
        self._queued: dict[Item, None] = {}
        self._timers: list[tuple[int, int, Item]] = []
        self._waits: dict[Item, int] = {}
        self._tries: dict[Item, int] = {}
        self._serial = 0
        self._watch: Following | None = None
        self._revision = -1
        self._watching: dict[str, list[int]] = {}
        self._controlling: dict[str, dict[str, list[int]]] = {}

    def step(self, now_s: int) -> bool:
        """Works until nothing is left to do at this second; whether anything was done."""
        worked = False
        while True:
            self._take_changes()
            self._take_timers(now_s)
            if not self._queue:
                return worked
            worked = True
            batch = list(self._queue)
            try:
                for item, outcome in self._store.each(lambda i: self._work(i, now_s), self._taken(batch)):
                    self._handle(item, outcome, now_s)
            except BaseException:  # the API server is away: everything is looked at again when it is back
                for item in batch:
                    self._add(item)
                raise

    def due_s(self) -> int | None:
        """The next second at which there is work even if nothing changes."""
        return self._timers[0][0] if self._timers else None

    # --- taking work in ------------------------------------------------------------------------------------------

    def _take_changes(self) -> None:
        if self._watch is None or self._revision != self._store.kinds.revision:
            self._start()
            return
        try:
            changes = self._watch.poll()
        except ApiError:
            # Too far behind the store's history: everything is looked at anew.
            self._start()
            return
        for change in changes:
            self._dispatch(change)

    def _start(self) -> None:
        """Looks at everything there is, and watches from there on."""
        self._revision = self._store.kinds.revision
        self._watching, self._controlling = {}, {}
        for position, controller in enumerate(self._controllers):
            for resource in controller.watches:
                if resource not in self._store.kinds:
                    continue
                watching = self._watching.setdefault(resource, [])
                if controller.keys or resource == controller.watches[0]:
                    watching.append(position)
                else:
                    self._controlling.setdefault(resource, {}).setdefault(controller.kind, []).append(position)
        if self._watch is not None:
            self._watch.close()
        self._watch = self._store.watch(tuple(self._watching))
        for resource in self._watching:
            for record in self._store.rows(resource)[0]:
                self._dispatch(Change(record.version, "ADDED", record, None))

    def _dispatch(self, change: Change) -> None:
        record = change.record
        for position in self._watching[record.resource]:
            keys = self._controllers[position].keys
            for key in keys(self._store, change) if keys else [(record.namespace, record.name)]:
                self._add((position, key))
        controlling = self._controlling.get(record.resource)
        for owner in references(record) if controlling and record.owners else ():
            for position in controlling.get(owner.kind, ()) if controlling and owner.controller else ():
                self._add((position, (record.namespace, owner.name)))

    def _add(self, item: Item) -> None:
        if item not in self._queued:
            self._queued[item] = None
            self._queue.append(item)

    def _take_timers(self, now_s: int) -> None:
        while self._timers and self._timers[0][0] <= now_s:
            due_s, _, item = heapq.heappop(self._timers)
            if self._waits.get(item) == due_s:
                del self._waits[item]
                self._add(item)

    def _wait(self, item: Item, due_s: int) -> None:
        known = self._waits.get(item)
        if known is None or due_s < known:
            self._waits[item] = due_s
            self._serial += 1
            heapq.heappush(self._timers, (due_s, self._serial, item))

    # --- doing it ------------------------------------------------------------------------------------------------

    def _taken(self, batch: Sequence[Item]) -> Iterator[Item]:
        """The items one by one, each off the queue at the moment it is worked on."""
        for item in batch:
            self._queue.popleft()
            del self._queued[item]
            yield item

    def _work(self, item: Item, now_s: int) -> tuple[Item, int | ApiError | Malformed | None]:
        """One key looked at: when to look again, or what was in the way."""
        position, key = item
        try:
            with self._store.transaction():
                return item, self._controllers[position].reconcile(self._store, key, now_s)
        except (ApiError, Malformed) as error:
            return item, error

    def _handle(self, item: Item, outcome: int | ApiError | Malformed | None, now_s: int) -> None:
        controller = self._controllers[item[0]]
        if isinstance(outcome, ApiError):
            self._refused(controller, item, outcome, now_s)
        elif isinstance(outcome, Malformed):
            self._say(controller, item[1], "Malformed", str(outcome), now_s)
        else:
            self._tries.pop(item, None)
            if outcome is not None:
                self._wait(item, max(outcome, now_s + 1))

    def _refused(self, controller: Controller[S], item: Item, error: ApiError, now_s: int) -> None:
        """A conflict is tried again; what is gone needs nothing; anything else is said and tried again later."""
        if error.status_code == 404:
            return
        tries = self._tries[item] = self._tries.get(item, 0) + 1
        if error.reason == "Conflict" and tries <= RETRIES_MAX:
            self._add(item)
            return
        self._wait(item, now_s + RETRY_S * min(tries, 60))
        if error.reason != "Conflict":
            self._say(controller, item[1], "FailedReconcile", error.message, now_s)

    def _say(self, controller: Controller[S], key: Key, reason: str, message: str, now_s: int) -> None:
        """A Warning on the object a key stands for, if it is still there."""
        about = self._store.find(controller.watches[0], key[0] or None, key[1].rpartition("/")[2])
        if about is not None:
            events.record(self._store, about, reason, message, now_s, warning=True, component=controller.name)
