"""The wall clock, for a loop that runs in the world as it is."""

from __future__ import annotations

import time


class SystemClock:
    def now_s(self) -> int:
        return int(time.time())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
