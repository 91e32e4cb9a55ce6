"""Many waits in one thread: `each` works on several items as greenlets, `ready` and `pause` are where they wait.

Threads would wait as well, but the interpreter runs one of them at a time, and handing it over for every answer costs
several times what the answer does (docs/decisions/0008-one-thread-writes.md). Outside of `each` the same calls simply
wait.
"""

from __future__ import annotations

import math
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
R = TypeVar("R")

MANY = 8
LULL_S = 0.01  # where many wait, what comes within this time is taken up at once: to be woken for each costs more

_BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL


def ready(sock: socket.socket, end_s: float, *, writing: bool = False) -> None:
    """Returns when a socket can be read (or written), or is broken. Raises TimeoutError at `end_s` (monotonic)."""
    event = select.POLLOUT if writing else select.POLLIN
    fiber = getcurrent()
    if isinstance(fiber, _Fiber):
        fiber.crew.wait(fiber, end_s, sock.fileno(), event)
        return
    poll = select.poll()
    poll.register(sock, event | _BROKEN)
    if not poll.poll(max(0.0, end_s - time.monotonic()) * 1000):
        raise TimeoutError("timed out")


def pause(seconds: float) -> None:
    """Others go on meanwhile."""
    fiber = getcurrent()
    if isinstance(fiber, _Fiber):
        fiber.crew.wait(fiber, time.monotonic() + seconds)
    else:
        time.sleep(seconds)


class Turn:
    """Within it are at most `turns` of those that `each` has set to work; alone one need not wait."""

    __slots__ = ("_crew",)

    def __enter__(self) -> None:
        fiber = getcurrent()
        self._crew = fiber.crew if isinstance(fiber, _Fiber) else None
        if self._crew is not None:
            while not self._crew.turns:
                self._crew.queue.append(fiber)
                self._crew.main.switch()
            self._crew.turns -= 1

    def __exit__(self, *_: object) -> None:
        if self._crew is not None:
            self._crew.turns += 1
            if self._crew.queue:
                self._crew.awake.append(self._crew.queue.popleft())


def each(work: Callable[[T], R], items: Iterable[T], at_once: int, turns: int) -> list[R]:
    """`work` on every item, `at_once` of them at a time; results in the order of items. May be nested.

    After a failure nothing more is begun; it is raised when what was begun has ended. `turns` counts at the outermost.
    """
    listed = list(items)
    if len(listed) < 2:
        return [work(item) for item in listed]
    results: dict[int, R] = {}
    failures: list[Exception] = []
    left = iter(enumerate(listed))

    def run() -> None:
        for index, item in left:
            if failures:
                return
            try:
                results[index] = work(item)
            except Exception as error:
                failures.append(error)

    caller = getcurrent()
    crew = caller.crew if isinstance(caller, _Fiber) else _Crew(caller, turns)
    crew.employ(caller, run, min(at_once, len(listed)))
    if failures:
        raise failures[0]
    return [results[i] for i in range(len(listed))]


class _Fiber(greenlet):
    """One flow of work. It goes on in its `main` whenever it waits; what it waits for has until `end_s`."""

    crew: _Crew
    end_s = 0.0


class _Crew:
    """All fibers of one outermost `each`; `main` is the greenlet that called it and looks after the sockets."""

    def __init__(self, main: Any, turns: int) -> None:
        self.main, self.turns = main, turns
        self.awake: deque[Any] = deque()
        self.queue: deque[Any] = deque()
        self._poll = select.poll()
        self._waiting: dict[int, _Fiber] = {}
        self._due_s = math.inf  # nobody who waits is late before
        self._pauses = 0

    def employ(self, caller: Any, work: Callable[[], None], count: int) -> None:
        """So many fibers at the same work, until all of them have ended."""
        left = count

        def run() -> None:
            nonlocal left
            work()
            left -= 1
            if not left and caller is not self.main:
                self.awake.append(caller)

        for _ in range(count):
            fiber = _Fiber(run, self.main)
            fiber.crew = self
            self.awake.append(fiber)
        while left:
            if caller is self.main:
                self._step()
            else:
                self.main.switch()

    def wait(self, fiber: _Fiber, end_s: float, fd: int = -1, event: int = 0) -> None:
        """Until a file descriptor is ready (TimeoutError at `end_s`), or, without one, until `end_s`."""
        if event:
            self._poll.register(fd, event | _BROKEN)
        else:
            self._pauses -= 1
            fd = self._pauses
        self._waiting[fd] = fiber
        fiber.end_s = end_s
        self._due_s = min(self._due_s, end_s)
        if self.main.switch() and event:
            raise TimeoutError("timed out")

    def _step(self) -> None:
        """Everybody who can go on does; then a wait until somebody can."""
        while self.awake:
            self.awake.popleft().switch()
        if not self._waiting:  # the last one has just ended
            return
        if len(self._waiting) >= MANY:
            time.sleep(LULL_S)
        for fd, _ in self._poll.poll(max(0.0, self._due_s - time.monotonic()) * 1000):
            self._poll.unregister(fd)
            self.awake.append(self._waiting.pop(fd))
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._end(now_s)

    def _end(self, now_s: float) -> None:
        """Whoever waits for too long goes on, too."""
        late = sorted((f.end_s, fd) for fd, f in self._waiting.items() if f.end_s <= now_s)
        fibers = [self._waiting.pop(fd) for _, fd in late]
        for _, fd in late:
            if fd >= 0:
                self._poll.unregister(fd)
        self._due_s = min((f.end_s for f in self._waiting.values()), default=math.inf)
        for fiber in fibers:
            fiber.switch(True)
