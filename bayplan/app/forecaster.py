"""Start times for everybody who waits, worked out in a process of their own so that no decision waits for a forecast.

The scheduler asks at every cycle and gets the latest answer there is; the next one is begun from the world as it is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from bayplan.model import codec
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.whatif import forecast
from bayplan.wire.times import rfc3339


class Forecaster:
    """Callable as the embedded cluster's `Forecast`; `starts` holds the latest answer."""

    def __init__(self, policy: Policy, now_s: Callable[[], int]) -> None:
        self._policy_json, self._now_s = codec.to_json(policy), now_s
        self.starts: dict[str, int] = {}
        self._pool: ProcessPoolExecutor | None = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_quiet
        )
        self._pending: Future[dict[str, int]] | None = None
        self._seen: Snapshot | None = None

    def __call__(self, plan: Plan, snapshot: Snapshot) -> Mapping[str, str]:
        """RFC 3339 times by workload, as far as they are known."""
        self._collect()
        if self._pool is not None and self._pending is None and snapshot is not self._seen and plan.held():
            self._seen = snapshot
            self._pending = self._pool.submit(_forecast, codec.to_json(snapshot), self._policy_json, self._now_s())
        held = {h.workload for h in plan.held()}
        return {key: rfc3339(at_s) for key, at_s in self.starts.items() if key in held}

    def close(self) -> None:
        """Ends the process without waiting for its answer."""
        pool, self._pool = self._pool, None
        if pool is not None:
            workers = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()

    def _collect(self) -> None:
        if self._pending is None or not self._pending.done():
            return
        try:
            self.starts = self._pending.result()
        except BrokenProcessPool:
            self._pool = None  # killed from outside, for memory perhaps: waiting goes on without times
        self._pending = None


def _quiet() -> None:
    """The worker leaves Ctrl-C to its parent and the processor to the decisions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)


def _forecast(snapshot_json: bytes, policy_json: bytes, now_s: int) -> dict[str, int]:
    snapshot = codec.from_json(snapshot_json, Snapshot)
    policy = codec.from_json(policy_json, Policy)
    return {key: start.at_s for key, start in forecast(snapshot, policy, now_s=now_s).items()}
