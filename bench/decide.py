"""How much CPU one decision takes, audit included, and how it grows.

    python -m bench decide

kube-scheduler 1.36.3's figures on the same worlds are CPU per bound pod measured on a real control plane on a 2-core
machine: 14 ms for one exclusive GPU by CEL selector and 15.8 ms for a 12Gi share (500 nodes, 3,000 pods), 557 ms for a
1g.10gb partition by counters (100 nodes, 1,000 pods). Theirs is a loop over an API server, ours the decision alone:
read the ratio as what the algorithm costs, not as pods per second. Garbage is collected as `bayplan scheduler` does.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from bayplan.audit import audit
from bayplan.clusters.kubernetes.body import GARBAGE
from bayplan.core import decide
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.make import cluster

Case = tuple[str, Callable[[], Snapshot], float | None]


def _pods(count: int, ask: str) -> str:
    return " ".join(f"w{i}:{ask}" for i in range(count))


def _racks(nodes: int) -> str:
    return " ".join(f"b{i // 512}/r{i // 16}/n{i}=8" for i in range(nodes))


CASES: tuple[Case, ...] = (
    ("3,000 × 1 GPU, 500 nodes × 8", lambda: cluster("n*500=8", _pods(3000, "1")), 14.0),
    ("300 × 1 GPU, 500 nodes × 8", lambda: cluster("n*500=8", _pods(300, "1")), None),
    ("3,000 × 12Gi, 500 nodes × 8", lambda: cluster("n*500=8:a100share", _pods(3000, "12Gi")), 15.8),
    ("1,000 × 1g.10gb, 100 nodes × 8 × 26", lambda: cluster("n*100=8:a100mig", _pods(1000, "1g.10gb")), 557.0),
    ("3,000 × 1 GPU, 5,000 nodes × 8", lambda: cluster(_racks(5000), _pods(3000, "1")), None),
    ("gang of 512 × 8 in one block, 5,000 nodes", lambda: cluster(_racks(5000), "gang:512x8"), None),
    ("gang of 512 × 8 that cannot fit, 5,000 nodes", lambda: cluster(_racks(5000), "gang:513x8@rack"), None),
)


def measure(snapshot: Snapshot) -> tuple[int, float, float, float]:
    """(pods placed, CPU seconds of a first decision, of a second one, of its audit)."""
    policy = Policy()
    seconds = []
    gc.set_threshold(GARBAGE)
    for _ in range(4):
        gc.collect()
        gc.freeze()
        start = time.process_time()
        plan = decide(snapshot, policy, now_s=1)
        seconds.append(time.process_time() - start)
    start = time.process_time()
    findings = audit(snapshot, policy, plan)
    audited = time.process_time() - start
    assert not findings, findings[0]
    return sum(len(p.pods) for p in plan.placed()), seconds[0], min(seconds[1:]), audited


def main() -> None:
    print(f"{'':48}{'placed':>8}{'cold s':>9}{'warm s':>9}{'audit s':>9}{'µs/pod':>9}   kube-scheduler / ours")
    for name, world, peer_ms in CASES:
        placed, cold, warm, audited = measure(world())
        each_us = 1e6 * (cold + audited) / max(placed, 1)
        ratio = f"{1000 * peer_ms / each_us:8.0f} ×" if peer_ms else ""
        print(f"{name:48}{placed:8}{cold:9.3f}{warm:9.3f}{audited:9.3f}{each_us:9.0f}   {ratio}")


if __name__ == "__main__":
    main()
